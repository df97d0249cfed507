//! One read of each file gives index, BLAKE3, tar, SHA-256 and, where asked for, the unpacked layer.

use std::io::Write;
use std::path::Path;

use ireko_oci::{ContentId, Digest};

use crate::{Change, Error, Index, TreePath};

/// Which attributes overlayfs keeps its marks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OverlayAttrs {
    /// `trusted.overlay.*`: mounted by root.
    Trusted,
    /// `user.overlay.*`: mounted with `userxattr`.
    User,
}

/// A layer that was written or read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it holds.
    pub index: Index,
    /// Its content's identity.
    pub content_id: ContentId,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The length of the uncompressed tar.
    pub tar_size: u64,
    /// What an unpacked layer could not hold as it is (a device, an attribute), with the reason: worth a note.
    pub substituted: Vec<(TreePath, String)>,
}

/// Writes one layer.
pub struct LayerWriter<'a> {
    _sinks: Vec<&'a mut (dyn Write + Send)>,
}

impl<'a> LayerWriter<'a> {
    /// A layer with no sink yet: index and diff ID only.
    #[expect(clippy::new_without_default, reason = "being built")]
    pub fn new() -> Self {
        unimplemented!("being built")
    }

    /// Writes the tar's bytes here too.
    pub fn sink(self, _sink: &'a mut (dyn Write + Send)) -> Self {
        unimplemented!("being built")
    }

    /// Unpacks the layer into this empty directory too, in overlayfs form.
    pub fn snapshot(self, _dir: &Path, _attrs: OverlayAttrs) -> Result<Self, Error> {
        unimplemented!("being built")
    }

    /// Adds one path. Paths come in order, every parent directory (but the root) before what it holds.
    pub fn push(&mut self, _change: Change) -> Result<(), Error> {
        unimplemented!("being built")
    }

    /// Adds many, sorted here; small files are read ahead by several threads.
    pub fn push_all(&mut self, _changes: Vec<Change>) -> Result<(), Error> {
        unimplemented!("being built")
    }

    /// Ends the tar.
    pub fn finish(self) -> Result<Written, Error> {
        unimplemented!("being built")
    }
}

/// Writes the tar of an unpacked layer again: the same bytes as the first time.
pub fn tar_of_snapshot(
    _index: &Index,
    _dir: &Path,
    _sink: &mut (dyn Write + Send),
) -> Result<Written, Error> {
    unimplemented!("being built")
}
