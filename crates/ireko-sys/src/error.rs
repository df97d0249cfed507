//! What can fail when talking to the kernel, each a deed and its subject.

use std::io;
use std::path::PathBuf;

use crate::userns::Level;

/// A deed of this crate that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sandbox level cannot be had here.
    #[error("sandbox level `{level}` is not available: {reason}")]
    Unavailable {
        /// The level asked for.
        level: Level,
        /// Why not, in one sentence.
        reason: String,
        /// What to do about it, if something can be done.
        fix: Option<String>,
    },
    /// Entering a user or mount namespace failed.
    #[error("cannot enter sandbox level `{level}`: cannot {deed}")]
    Enter {
        /// The level asked for.
        level: Level,
        /// The deed that failed, as it follows "cannot".
        deed: String,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// Something about a path failed.
    #[error("cannot {deed} `{path}`", path = path.display())]
    Path {
        /// The deed, as it follows "cannot" and precedes the path.
        deed: &'static str,
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// A step of setting a sandbox up failed.
    #[error("cannot set the sandbox up: cannot {deed}")]
    SetUp {
        /// The deed that failed, as it follows "cannot".
        deed: String,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// The program to run is not in the image.
    #[error("program `{program}` is not in the image{searched}", searched = if *searched { " (searched in its PATH)" } else { "" })]
    ProgramNotFound {
        /// What was to be run.
        program: String,
        /// Whether it was looked up in `PATH`.
        searched: bool,
    },
    /// The program to run is in the image, but not what it needs to be started.
    #[error("program `{program}` is in the image, but not the interpreter or loader it names")]
    InterpreterNotFound {
        /// What was to be run.
        program: String,
    },
    /// The program to run is there but cannot be run.
    #[error("cannot run `{program}`")]
    ProgramNotRunnable {
        /// What was to be run.
        program: String,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// A deed without a path failed.
    #[error("cannot {deed}")]
    Deed {
        /// The deed, as it follows "cannot".
        deed: &'static str,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// One thing is to be at two places, and nothing can be mounted.
    #[error("what is to be mounted at `{target}` is at another place already, and nothing can be mounted here", target = target.display())]
    Twice {
        /// The second place.
        target: PathBuf,
    },
    /// Limits that were found to hold do not any more.
    #[error(transparent)]
    Limits(crate::cgroup::Refusal),
    /// A description of a sandbox that no kernel could carry out.
    #[error("invalid sandbox: {0}")]
    Invalid(String),
}

/// The result of this crate's deeds.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code a shell and Docker give for this failure to start a program: 127 if it is not there,
    /// 126 if it cannot be run; none for anything else.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::ProgramNotFound { .. } | Self::InterpreterNotFound { .. } => Some(127),
            Self::ProgramNotRunnable { .. } => Some(126),
            _ => None,
        }
    }

    /// Whether a path was looked for that is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Path { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }

    /// Whether what was asked for is why: the working directory leads to something that is no directory, or is to be
    /// made where nothing can be.
    #[must_use]
    pub fn is_of_the_image(&self) -> bool {
        let Self::SetUp { deed, cause } = self else { return false };
        let code = cause.raw_os_error();
        deed.starts_with("enter working directory")
            && matches!(code, Some(libc::ENOTDIR | libc::ELOOP | libc::EROFS))
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unavailable { fix, .. } => fix.as_deref(),
            Self::Limits(refusal) => refusal.hint(),
            _ => None,
        }
    }

    pub(crate) fn path(deed: &'static str, path: impl Into<PathBuf>, cause: impl Into<io::Error>) -> Self {
        Self::Path { deed, path: path.into(), cause: cause.into() }
    }

    pub(crate) fn deed(deed: &'static str, cause: impl Into<io::Error>) -> Self {
        Self::Deed { deed, cause: cause.into() }
    }
}
