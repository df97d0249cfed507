//! What can go wrong with a registry, and whose fault it is.

use std::io;

use ireko_oci::OciError;
use ireko_report::Blame;

use ireko_http::HttpError;

/// Why something could not be had from a registry. `what` names the thing, such as ``manifest of `app:1` ``.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No whole answer came.
    #[error("cannot fetch {what}")]
    Http {
        /// What was asked for.
        what: String,
        /// What happened.
        #[source]
        cause: HttpError,
    },
    /// The registry does not have it.
    #[error("`{reference}` is not at `{host}` ({said}){}", list(similar))]
    NotFound {
        /// The reference as people write it.
        reference: String,
        /// The registry asked.
        host: String,
        /// What it answered.
        said: String,
        /// Tags of the repository: those that read alike, or else the first ones.
        similar: Vec<String>,
    },
    /// The registry does not give it to everybody.
    #[error("`{host}` does not let everybody pull `{reference}` ({said})")]
    Denied {
        /// The reference as people write it.
        reference: String,
        /// The registry asked.
        host: String,
        /// What it answered.
        said: String,
    },
    /// The registry was asked too often, or is out of order.
    #[error("`{host}` cannot serve {what} now ({said})")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// The registry asked.
        host: String,
        /// What it answered.
        said: String,
    },
    /// The registry gave an answer the protocol does not know here.
    #[error("`{host}` answered {said} when asked for {what}")]
    Status {
        /// What was asked for.
        what: String,
        /// The registry asked.
        host: String,
        /// What it answered.
        said: String,
    },
    /// A document is too big to be one.
    #[error("{what} from `{host}` is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The registry asked.
        host: String,
        /// The limit.
        limit: u64,
    },
    /// What came is not what was asked for.
    #[error("{what} from `{host}` is wrong: expected {expected}, got {found}")]
    Mismatch {
        /// What was asked for.
        what: String,
        /// The registry asked.
        host: String,
        /// The digest or size it should have.
        expected: String,
        /// The digest or size it has.
        found: String,
    },
    /// A document cannot be read.
    #[error("`{host}` sent an unusable {what}")]
    Document {
        /// What was asked for.
        what: String,
        /// The registry asked.
        host: String,
        /// What is wrong with it.
        #[source]
        cause: OciError,
    },
    /// The image does not exist for this platform.
    #[error("`{reference}` has no image for {wanted}; it has {}", available.join(", "))]
    Platform {
        /// The reference as people write it.
        reference: String,
        /// The platform asked for.
        wanted: String,
        /// The platforms there are.
        available: Vec<String>,
    },
    /// What arrived could not be written.
    #[error("cannot write {what}")]
    Write {
        /// What was being written.
        what: String,
        /// What the writer said.
        #[source]
        cause: io::Error,
    },
}

fn list(similar: &[String]) -> String {
    if similar.is_empty() {
        return String::new();
    }
    format!("; tags there: {}", similar.join(", "))
}

impl RegistryError {
    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Http { cause, .. } => cause.retryable(),
            Self::Unavailable { .. } | Self::Mismatch { .. } => true,
            _ => false,
        }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotFound { .. } | Self::Denied { .. } | Self::Platform { .. } => Blame::User,
            Self::Http { cause, .. } => cause.blame(),
            Self::Unavailable { .. }
            | Self::Status { .. }
            | Self::TooLarge { .. }
            | Self::Mismatch { .. }
            | Self::Document { .. }
            | Self::Write { .. } => Blame::Environment,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http { cause, .. } => cause.hint(),
            Self::NotFound { .. } => Some("check the spelling of name and tag"),
            Self::Denied { .. } => {
                Some("check the spelling; private images need a login, which is not supported yet")
            }
            Self::Unavailable { .. } => Some("try again later"),
            Self::Mismatch { .. } => {
                Some("the registry or something before it changes content; try again, or another registry")
            }
            Self::Platform { .. } => Some("choose one of these with `--platform`, or another image"),
            Self::Status { .. } => Some("check that the host is a registry"),
            Self::TooLarge { .. } | Self::Document { .. } | Self::Write { .. } => None,
        }
    }
}
