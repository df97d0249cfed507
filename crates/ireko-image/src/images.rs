//! Finding images, and bringing their layers.

use std::path::PathBuf;
use std::sync::Arc;

use ireko_oci::{Digest, ImageConfig, Platform, Reference};
use ireko_registry::Registry;
use ireko_report::Sink;
use ireko_store::{Image, Store};

use crate::error::Result;

/// Whether the store's word on a name is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// The registry is asked only for what the store does not have.
    IfMissing,
    /// The registry is always asked.
    Always,
}

/// Where an image is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// By name: in the store, then in its registry.
    Reference(Reference),
    /// In an OCI layout directory.
    Layout {
        /// The directory.
        dir: PathBuf,
        /// A tag, or `@` and a digest; the only image where nothing is said.
        image: Option<String>,
    },
    /// In a docker or OCI archive that holds one image.
    Archive(PathBuf),
}

/// An image that was found. Its layers may still be elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Its config.
    pub config: ImageConfig,
    /// The config's digest: the image id.
    pub config_digest: Digest,
    /// The digest it is pinned by: its manifest's, or its config's where there is no manifest.
    pub digest: Digest,
    /// `store`, a registry's host, or a path.
    pub from: String,
}

/// The images that can be reached. Several threads may use it at once.
pub struct Images {
    store: Arc<Store>,
    registry: Arc<Registry>,
    sink: Arc<dyn Sink>,
    pull: PullPolicy,
}

impl Images {
    /// The images of a store and of what a registry session reaches; progress of transfers goes to `sink`.
    pub fn new(store: Arc<Store>, registry: Arc<Registry>, sink: Arc<dyn Sink>, pull: PullPolicy) -> Self {
        Self { store, registry, sink, pull }
    }

    /// Finds an image by its source. Nothing but manifest and config is read.
    pub fn resolve(&self, source: &Source, platform: &Platform) -> Result<Resolved> {
        unimplemented!("being built")
    }

    /// Makes sure that a layer of a resolved image is in the store. The same layer is fetched once, however many ask.
    pub fn bring(&self, config: &Digest, diff: &Digest) -> Result<()> {
        unimplemented!("being built")
    }

    /// Brings every layer of an image of the store that is missing.
    pub fn complete(&self, image: &Image) -> Result<()> {
        unimplemented!("being built")
    }

    /// Brings a whole image from its registry into the store, under its name. What is there already is not fetched.
    pub fn pull(&self, reference: &Reference, platform: &Platform) -> Result<Image> {
        unimplemented!("being built")
    }
}
