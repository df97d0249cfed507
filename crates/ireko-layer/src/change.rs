//! What is to be put into a layer.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ireko_oci::FileHash;

use crate::{Meta, TreePath};

/// One path of a layer to be written.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// Owner, mode, time, attributes.
    pub meta: Meta,
    /// What.
    pub kind: ChangeKind,
    /// Whether the modification time is part of the content.
    pub dated: bool,
}

impl Change {
    /// A change whose time is not part of the content, as copies make them.
    pub fn new(path: TreePath, meta: Meta, kind: ChangeKind) -> Self {
        Self { path, meta, kind, dated: false }
    }
}

/// What is to be put there.
#[derive(Clone, Debug)]
pub enum ChangeKind {
    /// A regular file with these bytes.
    File(Data),
    /// Another name of a file of the same layer, earlier in order.
    HardLink {
        /// The first name.
        target: TreePath,
    },
    /// A directory.
    Dir {
        /// Whether it hides what lies below.
        opaque: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: Vec<u8>,
    },
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// What lies below is gone.
    Whiteout,
}

/// The bytes of a file, read when the layer is written; what was announced must still hold then.
#[derive(Clone, Debug)]
pub struct Data {
    pub(crate) source: Source,
    pub(crate) size: u64,
    pub(crate) expect: Option<FileHash>,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Memory(Arc<[u8]>),
    Host(PathBuf),
    At(Arc<OwnedFd>, PathBuf),
    Range(Arc<File>, u64),
    /// Pieces `(where in the content, length)`, stored one after the other from the offset; the rest is holes.
    Pieces(Arc<File>, u64, Arc<[(u64, u64)]>),
}

impl Data {
    /// Bytes at hand.
    pub fn memory(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, source: Source::Memory(bytes), expect: None }
    }

    /// A file of this machine (its last name is not followed if it is a symbolic link).
    pub fn host(path: impl Into<PathBuf>, size: u64) -> Self {
        Self { source: Source::Host(path.into()), size, expect: None }
    }

    /// A file below an open directory; no symbolic link on the way is followed.
    pub fn at(dir: Arc<OwnedFd>, path: impl Into<PathBuf>, size: u64) -> Self {
        Self { source: Source::At(dir, path.into()), size, expect: None }
    }

    /// A part of an open file.
    pub fn range(file: Arc<File>, offset: u64, size: u64) -> Self {
        Self { source: Source::Range(file, offset), size, expect: None }
    }

    pub(crate) fn pieces(file: Arc<File>, offset: u64, pieces: Vec<(u64, u64)>, size: u64) -> Self {
        Self { source: Source::Pieces(file, offset, pieces.into()), size, expect: None }
    }

    /// The same, and the bytes must have this hash.
    pub fn expecting(self, hash: FileHash) -> Self {
        Self { expect: Some(hash), ..self }
    }

    /// The file of this machine that has them, where it is one.
    pub fn host_path(&self) -> Option<&Path> {
        match &self.source {
            Source::Host(path) => Some(path),
            _ => None,
        }
    }

    /// The announced length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The announced hash.
    pub fn expected(&self) -> Option<FileHash> {
        self.expect
    }
}
