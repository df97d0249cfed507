//! Taking archives and layouts into the store.

use std::io::Read;
use std::path::Path;

use ireko_store::Image;

use crate::error::Result;
use crate::images::Images;

/// What is loaded.
pub enum LoadFrom<'a> {
    /// A docker or OCI archive, compressed or not, or a directory with the same.
    Path(&'a Path),
    /// An archive as a stream.
    Stream(&'a mut dyn Read),
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its names, canonical.
    pub names: Vec<String>,
    /// The image.
    pub image: Image,
}

impl Images {
    /// Takes every image of an archive or layout into the store.
    pub fn load(&self, from: LoadFrom<'_>) -> Result<Vec<Loaded>> {
        unimplemented!("being built")
    }
}
