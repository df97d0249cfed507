//! Where an image's files come from: a root whose files can be put into a layer.

use ireko_layer::Data;

use crate::packages::Packages;
use ireko_slim::{Dir, Root};

/// A root, and the bytes of its files as layers take them.
pub trait Base: Root {
    /// The bytes of the regular file at a path, which has this size.
    fn data(&self, path: &str, size: u64) -> Data {
        Data::host(self.real(path), size)
    }

    /// The packages that it consists of, where it does.
    fn packages(&self) -> Option<&Packages> {
        None
    }
}

impl Base for Dir {}
