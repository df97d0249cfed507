//! Layers that others wrote: read safely, whatever the tar says.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, OverlayAttrs, TreePath, View, Written};

/// Files of the layers below, for hard links that point there.
pub trait LowerFiles {
    /// Opens a regular file of the merged layers below.
    fn open(&self, path: &TreePath) -> io::Result<Option<File>>;
}

/// The layers below as unpacked directories.
#[derive(Clone, Debug, Default)]
pub struct SnapshotStack {
    /// Their indexes.
    pub view: View,
    /// Their directories, bottom first like the view's layers.
    pub dirs: Vec<PathBuf>,
}

impl LowerFiles for SnapshotStack {
    fn open(&self, _path: &TreePath) -> io::Result<Option<File>> {
        unimplemented!("being built")
    }
}

/// How a layer is unpacked.
#[derive(Clone, Copy)]
pub struct UnpackOptions<'a> {
    /// The form of overlayfs's marks.
    pub attrs: OverlayAttrs,
    /// The layers below: directories that the tar does not name take their metadata from there.
    pub below: Option<&'a View>,
    /// Bytes of files below, for hard links to them.
    pub lower: Option<&'a dyn LowerFiles>,
}

/// Unpacks an uncompressed tar into an empty directory in overlayfs form, and indexes it in the same read.
pub fn unpack(_tar: impl Read, _into: &Path, _options: &UnpackOptions<'_>) -> Result<Written, Error> {
    unimplemented!("being built")
}

/// Indexes an uncompressed tar: the same answer as [`unpack`]'s.
pub fn index_of(_tar: impl Read) -> Result<Written, Error> {
    unimplemented!("being built")
}

/// Writes the bytes of one regular file of an uncompressed tar; false if it has none there.
pub fn read_file_from_tar(_tar: impl Read, _path: &TreePath, _out: &mut dyn Write) -> Result<bool, Error> {
    unimplemented!("being built")
}
