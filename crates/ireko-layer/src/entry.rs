//! What a layer holds at one path.

use std::collections::BTreeMap;

use ireko_oci::FileHash;

use crate::TreePath;

/// Extended attributes by name, both as bytes.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A moment: seconds since 1970 (negative before) and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Seconds.
    pub secs: i64,
    /// Nanoseconds, under 1e9.
    pub nanos: u32,
}

impl Time {
    /// A moment.
    pub fn new(secs: i64, nanos: u32) -> Self {
        Self { secs, nanos }
    }

    /// The same moment, rounded down to a second: what a tar holds.
    pub fn whole(self) -> Self {
        Self { secs: self.secs, nanos: 0 }
    }
}

/// What every entry has besides its kind.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits with set-id and sticky bits: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Time,
    /// Extended attributes, without those of overlayfs itself.
    pub xattrs: Xattrs,
}

impl Meta {
    /// Of root, without attributes.
    pub fn new(mode: u32, mtime: Time) -> Self {
        Self { mode, mtime, ..Self::default() }
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its length.
        size: u64,
        /// BLAKE3 of its bytes.
        hash: FileHash,
    },
    /// Another name of a file of the same layer.
    HardLink {
        /// The path that has the bytes: a `File` of this layer, earlier in order.
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
    /// What lies below at this path is gone.
    Whiteout,
}

impl Kind {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self, Self::Dir { .. })
    }
}

/// One path of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// Owner, mode, time, attributes.
    pub meta: Meta,
    /// What.
    pub kind: Kind,
    /// Whether the modification time is part of the content: somebody set it deliberately.
    pub dated: bool,
    /// A directory that a foreign tar does not name though it holds something there: its `meta` is a stand-in, the
    /// directory below keeps its own.
    pub implied: bool,
}
