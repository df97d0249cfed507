//! What the commands read that look at a Dockerfile and build nothing.

use crate::arguments;
use crate::cli::SourceArgs;
use crate::cli::registry::RegistryArgs;
use crate::dockerfile::{self, Source};
use crate::failure::Failure;
use crate::registries;
use crate::repositories::{self, Elsewhere};
use crate::session::Session;
use ireko_exec::{Agents, Cancel, Repositories, Secrets};
use ireko_image::{Images, PullPolicy};
use ireko_store::{Scratch, Store};
use std::sync::Arc;

/// A Dockerfile with its context, and what is needed to know its base images.
pub(crate) struct Looked {
    /// The store.
    pub(crate) store: Arc<Store>,
    /// The Dockerfile and its context.
    pub(crate) source: Source,
    /// Build arguments as they were given.
    pub(crate) build_args: Vec<(String, Option<String>)>,
    /// Where base images are known from.
    pub(crate) images: Images,
    /// Holds what came from elsewhere.
    pub(crate) _scratch: Scratch,
}

/// Reads them; `with_files` if the files of a context from elsewhere are to be seen too.
pub(crate) fn look_at(
    args: &SourceArgs,
    session: &Session,
    secrets: &Secrets,
    (pull, with_files): (PullPolicy, bool),
) -> Result<Looked, Failure> {
    let store = session.store()?;
    let scratch = store.scratch_dir()?;
    let sink = session.sink();
    let build_args: Vec<_> =
        args.build_arg.iter().map(|text| arguments::build_arg(text, &session.environment)).collect();
    let git = repositories::settings(&session.environment);
    let options = registries::options(&session.environment, &RegistryArgs::default(), &[])?;
    let registry = Arc::new(ireko_registry::Registry::new(options));
    let elsewhere = Elsewhere {
        repositories: Repositories {
            settings: &git,
            store: &store,
            secrets,
            agents: &Agents::default(),
            cancel: &Cancel::default(),
        },
        scratch: scratch.path(),
        build_args: &build_args,
        http: &registry.client().clone(),
        with_files,
        sink: &*sink,
    };
    let source = dockerfile::read(args, &elsewhere)?;
    let images = Images::new(Arc::clone(&store), registry, sink, pull);
    Ok(Looked { store, source, build_args, images, _scratch: scratch })
}
