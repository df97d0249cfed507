//! What can go wrong with a repository, and whose fault it is.

use std::io;
use std::path::PathBuf;

use ireko_report::Blame;

/// Why something could not be had from a repository. No variant holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is missing or unusable.
    #[error("cannot run `git`: {problem}")]
    Program {
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such repository, as far as the asker may know.
    #[error("there is no repository at `{address}` ({said})")]
    NoRepository {
        /// Where it was looked for.
        address: String,
        /// What the server answered.
        said: String,
    },
    /// The repository lacks what was asked for.
    #[error("`{address}` has no {wanted}{}", similar_names(similar))]
    NoRef {
        /// The repository.
        address: String,
        /// What it lacks: ``ref `main` ``.
        wanted: String,
        /// Names that read alike, or else the first ones.
        similar: Vec<String>,
    },
    /// What the reference names is not what it must be.
    #[error("`{reference}` of `{address}` is {found}, and must be {expected}")]
    Checksum {
        /// The repository.
        address: String,
        /// The reference.
        reference: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// What was asked for cannot be meant.
    #[error("{problem}")]
    Request {
        /// What is wrong.
        problem: String,
    },
    /// The server wants to know who asks, or does not let this one in.
    #[error("`{address}` does not let {} read it ({said})", if *known { "this token or user" } else { "everybody" })]
    Denied {
        /// The repository.
        address: String,
        /// Whether credentials were shown.
        known: bool,
        /// Whether it is asked over ssh.
        ssh: bool,
        /// What the server answered.
        said: String,
    },
    /// The server cannot be reached, or went away.
    #[error("cannot reach `{address}` ({said})")]
    Unreachable {
        /// The repository.
        address: String,
        /// What git said.
        said: String,
    },
    /// The server sent nothing for a long time.
    #[error("`{address}` has sent nothing for {seconds} seconds")]
    Stalled {
        /// The repository.
        address: String,
        /// For how long.
        seconds: u64,
    },
    /// Somebody asked to stop.
    #[error("stopped")]
    Cancelled,
    /// The machine refused something.
    #[error("cannot {deed} `{path}`", path = path.display())]
    Io {
        /// What was to be done.
        deed: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Git failed in a way of its own.
    #[error("git cannot {deed} `{address}`: {said}")]
    Failed {
        /// What it was to do.
        deed: &'static str,
        /// The repository.
        address: String,
        /// What it said.
        said: String,
    },
    /// A submodule could not be had.
    #[error("cannot fetch submodule `{path}`")]
    Submodule {
        /// Its path.
        path: String,
        /// Why not.
        #[source]
        cause: Box<GitError>,
    },
}

fn similar_names(similar: &[String]) -> String {
    if similar.is_empty() {
        return String::new();
    }
    let names: Vec<String> = similar.iter().map(|name| format!("`{name}`")).collect();
    format!("; it has {}", names.join(", "))
}

impl GitError {
    pub(crate) fn io(deed: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Io { deed, path: path.into(), cause }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoRepository { .. }
            | Self::NoRef { .. }
            | Self::Checksum { .. }
            | Self::Request { .. }
            | Self::Denied { .. } => Blame::User,
            Self::Program { .. }
            | Self::Unreachable { .. }
            | Self::Stalled { .. }
            | Self::Io { .. }
            | Self::Failed { .. } => Blame::Environment,
            Self::Cancelled => Blame::Interrupted,
            Self::Submodule { cause, .. } => cause.blame(),
        }
    }

    /// What to do next, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let token = "--secret id=GIT_AUTH_TOKEN,src=FILE";
        match self {
            Self::Program { .. } => Some("install git, version 2.31 or newer".to_owned()),
            Self::NoRepository { .. } => Some(format!(
                "check the spelling; a private repository may need `{token}`, or `--ssh default`"
            )),
            Self::Denied { ssh: true, .. } => Some(
                "give the agent with `--ssh default`, and see that it holds a key for this server".to_owned(),
            ),
            Self::Denied { known: false, .. } => Some(format!("give a token with `{token}`")),
            Self::Denied { .. } => Some(format!("see that the token of `{token}` may read this repository")),
            Self::Checksum { .. } => {
                Some("the ref has moved, or the checksum is of another commit; see which is right".to_owned())
            }
            Self::Submodule { cause, .. } => {
                cause.hint().or_else(|| Some("`?submodules=false` leaves submodules out".to_owned()))
            }
            _ => None,
        }
    }

    /// Whether the same may succeed a moment later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } => true,
            Self::Submodule { cause, .. } => cause.retryable(),
            _ => false,
        }
    }
}
