//! What can go wrong with a layer.

use std::io;
use std::path::PathBuf;

use ireko_report::Blame;

use crate::TreePath;

/// A deed of this crate that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no path inside a tree.
    #[error("`{text}` is no path inside an image: {problem}")]
    Path {
        /// The text, readable.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file differs from what was announced: it was changed while the build read it.
    #[error("`{path}` changed while being read")]
    ChangedWhileRead {
        /// The path in the layer.
        path: TreePath,
    },
    /// A file that goes into a layer could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The path in the layer.
        path: TreePath,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file could not be written to an unpacked layer.
    #[error("cannot write `{path}` to an unpacked layer")]
    Write {
        /// The path in the layer.
        path: TreePath,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The tar stream or its sink failed.
    #[error("cannot {deed} the archive")]
    Stream {
        /// `read`, `write`, `compress`, `decompress`.
        deed: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The tar is wrong.
    #[error("the tar archive is damaged at entry {entry} (`{name}`): {problem}")]
    Tar {
        /// Number of the entry, from 0.
        entry: u64,
        /// Its name, readable.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The index's bytes are wrong.
    #[error("the layer index is damaged: {problem}")]
    Index {
        /// What is wrong.
        problem: &'static str,
    },
    /// A change that no layer can hold.
    #[error("`{path}` cannot be in a layer: {problem}")]
    Change {
        /// The path in the layer.
        path: TreePath,
        /// What is wrong.
        problem: &'static str,
    },
    /// Symbolic links lead nowhere: too many hops.
    #[error("`{path}` goes through too many symbolic links")]
    Links {
        /// The path that was looked up.
        path: TreePath,
    },
    /// A directory of this machine could not be used.
    #[error("cannot use directory `{}`", path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Path { .. } | Self::Tar { .. } | Self::Links { .. } | Self::Change { .. } => Blame::User,
            Self::ChangedWhileRead { .. } => Blame::User,
            // What is packed wrongly, or cut off.
            Self::Stream { cause, .. }
                if matches!(
                    cause.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Blame::User
            }
            Self::Read { .. } | Self::Write { .. } | Self::Stream { .. } | Self::Dir { .. } => {
                Blame::Environment
            }
            Self::Index { .. } => Blame::Environment,
        }
    }
}
