//! What the planner has to know about images, and the questions it asks.

use ireko_oci::{Digest, ImageConfig, Platform, Reference};
use ireko_report::Span;
use std::collections::BTreeMap;

/// How an image is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageName {
    /// By its reference: in the store, else in its registry. A tag is always there, or a digest.
    Reference(Reference),
    /// In an OCI layout.
    Layout {
        /// The layout's directory.
        dir: String,
        /// Tag or digest in it; `None` is its only image.
        image: Option<String>,
    },
    /// Made by the caller, of what these words say.
    Made(String),
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference(reference) => write!(f, "{reference}"),
            Self::Layout { dir, image: Some(image) } => write!(f, "oci-layout://{dir}:{image}"),
            Self::Layout { dir, image: None } => write!(f, "oci-layout://{dir}"),
            Self::Made(what) => write!(f, "{what}"),
        }
    }
}

/// An image whose config the planner has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which image.
    pub image: ImageName,
    /// For which platform.
    pub platform: Platform,
    /// As the Dockerfile names it, for messages.
    pub display: String,
    /// Where the Dockerfile names it.
    pub span: Option<Span>,
    /// Names of stages that could stand there: what the person may have meant, where there is no such image.
    pub stages: Vec<String>,
    /// Names of contexts, for the same reason.
    pub contexts: Vec<String>,
    /// The line of a stage of this very name that comes too late for this FROM.
    pub later: Option<u32>,
}

/// What is known about an image.
#[derive(Clone, Debug)]
pub struct ImageFact {
    /// Its config.
    pub config: ImageConfig,
    /// The digest of the config's bytes.
    pub config_digest: Digest,
    /// The digest its name led to: of the index or manifest, where there is one.
    pub resolved: Option<Digest>,
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    images: BTreeMap<(ImageName, Platform), ImageFact>,
}

impl Facts {
    /// Answers a need.
    pub fn answer(&mut self, need: &Need, fact: ImageFact) {
        self.images.insert((need.image.clone(), need.platform.clone()), fact);
    }

    /// What is known about this image.
    pub fn image(&self, image: &ImageName, platform: &Platform) -> Option<&ImageFact> {
        self.images.get(&(image.clone(), platform.clone()))
    }

    /// Whether any image has ONBUILD triggers.
    pub(crate) fn has_triggers(&self) -> bool {
        self.images.values().any(|fact| !fact.config.config.on_build.is_empty())
    }
}
