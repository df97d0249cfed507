//! What can go wrong with an engine.

use std::io;

use ireko_http::HttpError;
use ireko_report::Blame;

use crate::ssh::{End, Far};

/// What kept `ssh` from carrying a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshTrouble {
    /// The program is not there.
    Missing,
    /// It did not come as far as the other machine.
    Network,
    /// The other machine's key is not known, or another.
    HostKey,
    /// It was not let in.
    Login,
    /// The program that speaks with the engine is not there.
    NoProgram(Far),
    /// The program there found no engine.
    NoEngine(Far),
}

impl SshTrouble {
    /// Judges by how it failed. 255 is `ssh`'s own failure, all else that of the command there.
    pub(crate) fn of(end: &End, far: Far) -> Self {
        let says = |words: &str| end.said.contains(words);
        match end.code {
            _ if end.not_started == Some(io::ErrorKind::NotFound) => Self::Missing,
            Some(126 | 127) => Self::NoProgram(far),
            Some(code) if code != 255 => Self::NoEngine(far),
            _ if says("Host key") || says("host key") => Self::HostKey,
            _ if says("Permission denied") || says("Too many authentication failures") => Self::Login,
            _ => Self::Network,
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Missing => "install openssh-client",
            Self::Network => {
                "`ssh HOST docker version` must work by itself; see that the host and its port are right, in ~/.ssh/config too"
            }
            Self::HostKey => "log in once with `ssh HOST`, so that the host's key is known",
            Self::Login => {
                "nothing can be asked for here: `ssh HOST` must log in without a password, by a key that has no passphrase or is in ssh-agent"
            }
            Self::NoProgram(Far::Docker) => {
                "`docker` must be there for that user, on the PATH of `ssh HOST docker version`; it speaks with the engine"
            }
            Self::NoProgram(Far::Podman) => {
                "`podman` must be there for that user, on the PATH of `ssh HOST podman version`; it speaks with the engine"
            }
            Self::NoEngine(Far::Docker) => {
                "see that the engine runs there, and that the user may use its socket: `ssh HOST docker version`"
            }
            Self::NoEngine(Far::Podman) => {
                "see that Podman's socket is there: `systemctl --user enable --now podman.socket`, as that user; the address may end with its path"
            }
        }
    }
}

/// Why an engine did not do what it was asked for. `deed` follows "cannot".
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No whole answer came.
    #[error("cannot {deed}: {place} gave no answer{aside}")]
    Http {
        /// What it was asked for.
        deed: &'static str,
        /// Which engine.
        place: String,
        /// What `ssh` said meanwhile, in brackets, where it carries the connection; it need not be the cause.
        aside: Box<str>,
        /// What happened.
        #[source]
        cause: HttpError,
    },
    /// The program `ssh`, which was to carry the connection, failed.
    #[error("cannot {deed}: {place} gave no answer: {said}")]
    Ssh {
        /// What it was asked for.
        deed: &'static str,
        /// Which engine.
        place: String,
        /// What the program said, or how it ended.
        said: String,
        /// Of what kind the trouble is.
        trouble: SshTrouble,
    },
    /// It refused, or answered something strange.
    #[error("cannot {deed}: {place} says: {said}")]
    Refused {
        /// What it was asked for.
        deed: &'static str,
        /// Which engine.
        place: String,
        /// What it said.
        said: String,
    },
    /// It took an image, and does not have it.
    #[error("cannot load an image: {place} took it, but `{name}` is not this image there afterwards")]
    Lost {
        /// Which engine.
        place: String,
        /// A name or an id that the image was to have.
        name: String,
    },
}

impl EngineError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Http { cause: HttpError::Aborted, .. } => Blame::Interrupted,
            Self::Http { .. } | Self::Ssh { .. } | Self::Refused { .. } | Self::Lost { .. } => {
                Blame::Environment
            }
        }
    }

    /// Whether it could not do with what it was given.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Lost { .. })
    }

    /// Whether somebody is there who took too long.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Http { cause: HttpError::Timeout { .. }, .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http { cause: HttpError::Aborted, .. } => None,
            Self::Http { .. } => {
                Some("check that the engine runs and that you may use its socket; DOCKER_HOST names another")
            }
            Self::Ssh { trouble, .. } => Some(trouble.hint()),
            Self::Refused { .. } => None,
            Self::Lost { .. } => Some("see what the engine's log says"),
        }
    }
}
