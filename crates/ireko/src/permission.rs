//! Whether registries will take what a build pushes: asked at its beginning, and answered before its first step.

use crate::ahead::Pushes;
use crate::failure::Failure;
use ireko_image::Images;
use ireko_oci::Reference;
use ireko_registry::RegistryError;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// What registries are being asked.
pub(crate) struct Permission {
    images: Arc<Images>,
    answers: Receiver<Result<(), RegistryError>>,
}

impl Permission {
    /// Asks for each repository that something is pushed to, all at the same time; nobody where that is to be skipped.
    pub(crate) fn ask(images: &Arc<Images>, pushes: &Pushes, skip: bool) -> Self {
        let names = pushes.iter().filter(|_| !skip).flat_map(|(names, _)| names);
        let repositories: BTreeSet<Reference> = names.map(Reference::repository).collect();
        let (answer, answers) = channel();
        for repository in repositories {
            let (images, answer) = (Arc::clone(images), answer.clone());
            // Where there is no thread, the push itself finds out.
            let _ = std::thread::Builder::new().name("permission".to_owned()).spawn(move || {
                let registry = images.registry();
                let (begun, said) = match registry.may_push(&repository) {
                    Ok(begun) => (begun, Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // Nobody listens where the build failed meanwhile; nobody waits for the rest.
                let _ = answer.send(said);
                if let Some(begun) = begun {
                    registry.abandon(&repository, &begun);
                }
            });
        }
        Self { images: Arc::clone(images), answers }
    }

    /// Waits for the answers.
    ///
    /// # Errors
    /// A registry denies the push, or is out of reach.
    pub(crate) fn wait(self) -> Result<(), Failure> {
        let denied = self.answers.iter().find_map(Result::err);
        match denied {
            None => Ok(()),
            Some(error) => {
                self.images.tell_notes();
                Err(ireko_image::Error::from(error).into())
            }
        }
    }
}
