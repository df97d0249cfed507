//! What can fail in the store, each a deed and its subject.

use std::io;
use std::path::{Path, PathBuf};

use ireko_oci::Digest;
use ireko_report::Blame;

/// A deed of the store that failed. What the store held before is sound afterwards.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused: no space, no permission, a broken disk.
    #[error("cannot {deed} `{path}`", path = path.display())]
    Io {
        /// The deed, as it follows "cannot" and precedes the path.
        deed: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        cause: io::Error,
    },
    /// The directory lies on a file system that cannot hold a store.
    #[error("`{home}` cannot hold the store: {problem}", home = home.display())]
    Unsuitable {
        /// The store's directory.
        home: PathBuf,
        /// What the file system lacks.
        problem: String,
    },
    /// The directory was made by a version whose format is not understood.
    #[error("the store `{home}` has format `{found}`, and this version reads {known}", home = home.display())]
    Format {
        /// The store's directory.
        home: PathBuf,
        /// What its version file says.
        found: String,
        /// What is understood.
        known: u32,
    },
    /// Bytes that came in are not those that were announced.
    #[error("{what} has digest `{found}`, expected `{expected}`")]
    WrongDigest {
        /// What the bytes are.
        what: &'static str,
        /// What was announced.
        expected: Box<Digest>,
        /// What came.
        found: Box<Digest>,
    },
    /// The caller did not want to wait for others any longer.
    #[error("others hold what was asked for")]
    GaveUp,
    /// The layer has no form that can be read here.
    #[error("layer `{diff}` is no longer in the store")]
    LayerGone {
        /// Its diff ID.
        diff: Digest,
    },
    /// A blob was asked for that is not there.
    #[error("blob `{digest}` is not in the store")]
    BlobGone {
        /// Its digest.
        digest: Digest,
    },
    /// Something kept does not read back.
    #[error("`{path}` is damaged: {problem}", path = path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Reading or writing a layer failed.
    #[error("cannot {deed} layer `{subject}`")]
    Layer {
        /// The deed, as it follows "cannot".
        deed: &'static str,
        /// The layer's diff ID or its blob's digest.
        subject: Digest,
        /// Why.
        #[source]
        cause: Box<ireko_layer::Error>,
    },
    /// A document of an image does not say what it must.
    #[error("cannot read the {what} of an image")]
    Document {
        /// Which document.
        what: &'static str,
        /// Why.
        #[source]
        cause: Box<ireko_oci::OciError>,
    },
    /// No image has this name or id.
    #[error("image `{name}` is not in the store")]
    NoImage {
        /// The name or id asked for.
        name: String,
    },
    /// Several images begin with these digits.
    #[error("image id `{prefix}` is ambiguous: {found} images begin with it")]
    Ambiguous {
        /// The digits.
        prefix: String,
        /// How many images.
        found: usize,
    },
    /// The image has several names and only one thing was asked to go.
    #[error("image `{id}` has several names: {names}", names = names.join(", "))]
    ManyNames {
        /// The first digits of its id.
        id: String,
        /// Its names.
        names: Vec<String>,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Io { .. } | Self::Unsuitable { .. } | Self::Format { .. } | Self::GaveUp => {
                Blame::Environment
            }
            Self::WrongDigest { .. } | Self::Damaged { .. } => Blame::Environment,
            Self::LayerGone { .. } | Self::BlobGone { .. } => Blame::Environment,
            Self::Layer { cause, .. } => cause.blame(),
            Self::Document { .. } | Self::NoImage { .. } => Blame::User,
            Self::Ambiguous { .. } | Self::ManyNames { .. } => Blame::User,
        }
    }

    /// What to do about it, if one sentence says it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsuitable { .. } => {
                Some("set IREKO_HOME to a directory on a local disk (ext4, xfs, btrfs or tmpfs)")
            }
            Self::Io { cause, .. }
                if cause.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) =>
            {
                Some("`ireko cache prune` frees space; `ireko cache du` shows what takes it")
            }
            Self::Damaged { .. } => {
                Some("`ireko cache fsck --repair` drops what is damaged and can be made again")
            }
            Self::Ambiguous { .. } => Some("give more digits of the id"),
            Self::ManyNames { .. } => Some("remove it by its names, or force it"),
            _ => None,
        }
    }

    pub(crate) fn wrong_digest(what: &'static str, expected: Digest, found: Digest) -> Self {
        Self::WrongDigest { what, expected: Box::new(expected), found: Box::new(found) }
    }

    pub(crate) fn io(deed: &'static str, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self::Io { deed, path: path.to_owned(), cause: cause.into() }
    }
}

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;
