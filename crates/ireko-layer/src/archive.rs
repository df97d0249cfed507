//! Local archives as ADD takes them: told by content, read safely, given as changes below a destination.

use std::fs::File;
use std::path::Path;

use crate::{Change, Error, TreePath};

/// A local archive, its entries known, its bytes readable in any order.
#[derive(Debug)]
pub struct Archive {
    _changes: Vec<Change>,
}

impl Archive {
    /// Opens a tar, plain or compressed by gzip, bzip2, xz or zstd; `None` if the file is no archive. The plain tar of
    /// a compressed one is kept in an unnamed file in `scratch`.
    pub fn open(_file: File, _scratch: &Path) -> Result<Option<Self>, Error> {
        unimplemented!("being built")
    }

    /// What unpacking it at `dest` changes, in order; paths are below `dest`, which itself and whose parents are not
    /// named. Later entries of one name win; whiteout names are ordinary names here.
    pub fn changes(&self, _dest: &TreePath) -> Result<Vec<Change>, Error> {
        unimplemented!("being built")
    }
}
