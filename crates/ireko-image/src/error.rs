//! What can fail with images, each a deed and its subject.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ireko_engine::EngineError;
use ireko_layer::OverlayAttrs;
use ireko_oci::{Digest, OciError};
use ireko_registry::RegistryError;
use ireko_report::Blame;
use ireko_store::Elsewhere;

/// A deed with images that failed. What the store held before is sound afterwards.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No place that was looked at has the image.
    #[error("image `{asked}` does not exist (looked in {}){}", looked.join(", "), near_names(near))]
    NoImage {
        /// What was asked for, as people write it.
        asked: String,
        /// The places.
        looked: Vec<String>,
        /// Names that read alike.
        near: Vec<String>,
        /// What the last place answered.
        #[source]
        cause: Option<Box<RegistryError>>,
    },
    /// The store does not have the image, and its registry cannot be asked.
    #[error("image `{asked}` is not in the store, and its registry gave no answer{}", near_names(near))]
    NotInStore {
        /// What was asked for, as people write it.
        asked: String,
        /// Names in the store that read alike.
        near: Vec<String>,
        /// What happened with the registry.
        #[source]
        cause: Box<RegistryError>,
    },
    /// A registry failed otherwise.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// An engine failed.
    #[error(transparent)]
    Engine(#[from] Box<EngineError>),
    /// No registry may be asked.
    #[error("`{asked}` is not on this machine, and no registry may be asked{}", near_names(near))]
    Offline {
        /// What was asked for, as people write it.
        asked: String,
        /// Names in the store that read alike.
        near: Vec<String>,
    },
    /// What was said of engines is wrong.
    #[error("{0}")]
    EngineAddress(String),
    /// No engine was found.
    #[error("no engine runs here")]
    NoEngine,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Box<ireko_store::Error>),
    /// Reading or writing a layer's bytes failed.
    #[error("cannot {deed} layer `{diff}`")]
    Layer {
        /// The deed, as it follows "cannot".
        deed: &'static str,
        /// The layer's diff ID.
        diff: Digest,
        /// Why.
        #[source]
        cause: Box<ireko_layer::Error>,
    },
    /// A compressor cannot be set up.
    #[error("cannot begin to compress a layer")]
    Compressor(#[source] Box<ireko_layer::Error>),
    /// The operating system refused.
    #[error("cannot {deed} `{path}`", path = path.display())]
    Io {
        /// The deed, as it follows "cannot".
        deed: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        cause: io::Error,
    },
    /// A file or directory holds no image that can be read.
    #[error("`{place}` is no image archive: {problem}")]
    NotAnImage {
        /// The file or directory; `-` for a stream.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A document of an image does not say what it must.
    #[error("cannot use `{name}` of `{place}`")]
    Document {
        /// The document's name within the place.
        name: String,
        /// Where it is.
        place: String,
        /// Why not.
        #[source]
        cause: Box<OciError>,
    },
    /// Bytes are not those that were announced.
    #[error("{what} from `{place}` has digest `{found}`, expected `{expected}`")]
    WrongDigest {
        /// What the bytes are.
        what: String,
        /// Where they came from.
        place: String,
        /// What was announced.
        expected: Box<Digest>,
        /// What came.
        found: Box<Digest>,
    },
    /// The image is there, but not for this platform.
    #[error("`{asked}` has no image for {wanted}; it has {}", available.join(", "))]
    Platform {
        /// What was asked for.
        asked: String,
        /// The platform.
        wanted: String,
        /// The platforms there are.
        available: Vec<String>,
    },
    /// A layer is in the store, in a form that only another sandbox level or user can read.
    #[error(
        "layer `{diff}` of `{image}` is in the store, but only unpacked by {by}, whose files cannot be read here"
    )]
    Elsewhere {
        /// Its diff ID.
        diff: Digest,
        /// The image.
        image: String,
        /// Who unpacked it.
        by: Unpacker,
    },
    /// A layer is neither in the store nor is it known where to get it.
    #[error("layer `{diff}` is not in the store, and where it came from is not known")]
    NoOrigin {
        /// Its diff ID.
        diff: Digest,
    },
}

/// Who unpacked a layer: a sandbox level, and a user where that is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacker {
    level: &'static str,
    other_user: Option<u32>,
}

impl Unpacker {
    /// Each level writes in its own way.
    pub(crate) fn of(who: &Elsewhere) -> Self {
        let level = match (who.by.attrs, who.by.is_identity()) {
            (OverlayAttrs::Trusted, _) => "root",
            (OverlayAttrs::User | OverlayAttrs::Noted, true) => "none",
            (OverlayAttrs::User, false) => "rootless",
            (OverlayAttrs::Noted, false) => "single-id",
        };
        Self { level, other_user: who.other_user }
    }

    fn hint(&self) -> &'static str {
        match (self.other_user, self.level) {
            (Some(_), _) | (None, "root") => {
                "make the image here as well; or have that user write it with `ireko save IMAGE -o FILE`, and `ireko load -i FILE` here"
            }
            (None, "rootless") => {
                "`ireko --level rootless save --type oci IMAGE -o FILE` once leaves the layer in the store for all levels; or use `--level rootless` here, or make the image at this level as well"
            }
            (None, _) => {
                "`ireko --level LEVEL save --type oci IMAGE -o FILE` with that level, once, leaves the layer in the store for all; or use that level here, or make the image at this one as well"
            }
        }
    }
}

impl fmt::Display for Unpacker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.other_user, self.level) {
            (Some(user), level) => write!(out, "user {user} at sandbox level `{level}`"),
            (None, "root") => out.write_str("root"),
            (None, level) => write!(out, "sandbox level `{level}`"),
        }
    }
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoImage { .. } | Self::NotAnImage { .. } | Self::Platform { .. } => Blame::User,
            Self::Document { .. } | Self::Offline { .. } | Self::EngineAddress(_) => Blame::User,
            Self::Engine(cause) => cause.blame(),
            Self::Registry(cause) | Self::NotInStore { cause, .. } => cause.blame(),
            Self::Store(cause) => cause.blame(),
            Self::Layer { cause, .. } => cause.blame(),
            Self::Io { cause, .. } if is_users(cause) => Blame::User,
            Self::Io { .. }
            | Self::NoEngine
            | Self::WrongDigest { .. }
            | Self::NoOrigin { .. }
            | Self::Elsewhere { .. }
            | Self::Compressor(_) => Blame::Environment,
        }
    }

    /// What to do about it, if one sentence says it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoImage { .. } => Some("check the spelling; `ireko images` lists what is in the store"),
            Self::Registry(cause) | Self::NotInStore { cause, .. } => cause.hint(),
            Self::Store(cause) => cause.hint(),
            Self::Engine(cause) => cause.hint(),
            Self::NoEngine => Some(
                "start Docker or Podman (`systemctl --user start podman.socket`), or name its socket: DOCKER_HOST=unix:///…; `dest=FILE` in `-o` writes an archive",
            ),
            Self::Offline { .. } => Some("pull it first, or leave out `--offline` and `--pull=never`"),
            Self::NotAnImage { .. } => {
                Some("docker archives, OCI archives and OCI layout directories can be read")
            }
            Self::WrongDigest { .. } => Some("the image is damaged where it lies; fetch or write it again"),
            Self::Platform { .. } => Some(
                "choose one of these with `--platform`, for one stage in its `FROM --platform=…`, or take another image",
            ),
            Self::Elsewhere { by, .. } => Some(by.hint()),
            Self::NoOrigin { .. } => Some("pull, load or build the image again"),
            Self::Io { cause, .. } if cause.kind() == io::ErrorKind::AlreadyExists => {
                Some("leave `platform-split=false` out: each platform then has a directory of its own")
            }
            Self::Io { cause, .. } if cause.kind() == io::ErrorKind::StorageFull => {
                Some("free some space there, or write elsewhere")
            }
            _ => None,
        }
    }

    /// Who was to read something went away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            if error.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe) {
                return true;
            }
            next = error.source();
        }
        false
    }

    pub(crate) fn io(deed: &'static str, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self::Io { deed, path: path.to_owned(), cause: cause.into() }
    }

    pub(crate) fn no_archive(place: &str, problem: impl Into<String>) -> Self {
        Self::NotAnImage { place: place.to_owned(), problem: problem.into() }
    }
}

/// A path that the person named is not what it should be.
fn is_users(cause: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory, NotFound};
    matches!(cause.kind(), NotFound | NotADirectory | IsADirectory | AlreadyExists)
}

impl From<ireko_store::Error> for Error {
    fn from(cause: ireko_store::Error) -> Self {
        Self::Store(Box::new(cause))
    }
}

impl From<EngineError> for Error {
    fn from(cause: EngineError) -> Self {
        Self::Engine(Box::new(cause))
    }
}

impl From<RegistryError> for Error {
    fn from(cause: RegistryError) -> Self {
        Self::Registry(Box::new(cause))
    }
}

/// A result with images.
pub type Result<T> = std::result::Result<T, Error>;
