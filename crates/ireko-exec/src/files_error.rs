//! Why files could not be selected, copied or shown: said with the pattern or path it is about.

use std::io;

use ireko_layer::TreePath;
use ireko_report::Blame;

/// A deed with files that failed.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A source of a copy or mount is not there.
    #[error("`{pattern}` is not in {place}{why}")]
    Missing {
        /// As the user wrote it.
        pattern: String,
        /// `the context`, `the stage or image it is copied from`.
        place: &'static str,
        /// What is known about it: empty, or a clause that begins with a semicolon.
        why: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A pattern, path or owner cannot be used.
    #[error("cannot use `{text}`: {problem}")]
    Unusable {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: Option<String>,
    },
    /// What is to be copied does not fit to what is there.
    #[error("cannot copy to `/{path}`: {problem}")]
    Clash {
        /// The destination.
        path: TreePath,
        /// What is in the way.
        problem: &'static str,
    },
    /// A file changed between two looks at it.
    #[error("`{path}` changed while being read")]
    Changed {
        /// Its path in its source.
        path: TreePath,
    },
    /// The context's directory cannot be used.
    #[error("cannot use context `{dir}`")]
    Context {
        /// The directory.
        dir: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file or directory of a source cannot be read.
    #[error("cannot read `{path}` of {place}")]
    Read {
        /// Its path in its source.
        path: TreePath,
        /// Which source.
        place: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Files could not be laid out for a mount.
    #[error("cannot lay out `{path}`")]
    LayOut {
        /// Its path in the mount.
        path: TreePath,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The build is to stop.
    #[error("interrupted")]
    Interrupted,
    /// A layer, archive or link is wrong.
    #[error(transparent)]
    Layer(#[from] ireko_layer::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ireko_store::Error),
}

impl FilesError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Missing { .. } | Self::Unusable { .. } | Self::Clash { .. } | Self::Changed { .. } => {
                Blame::User
            }
            Self::Interrupted => Blame::Interrupted,
            Self::Context { cause, .. } => match cause.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Blame::User,
                _ => Blame::Environment,
            },
            Self::Read { .. } | Self::LayOut { .. } => Blame::Environment,
            Self::Layer(error) => error.blame(),
            Self::Store(error) => error.blame(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Missing { hint, .. } | Self::Unusable { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// Whether files changed between the keying and the reading: the step is to be keyed again.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Layer(ireko_layer::Error::ChangedWhileRead { .. }))
    }
}
