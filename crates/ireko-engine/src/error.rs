//! What can go wrong with an engine.

use ireko_http::HttpError;
use ireko_report::Blame;

/// Why an engine did not do what it was asked for. `deed` follows "cannot".
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No whole answer came.
    #[error("cannot {deed}: {place} gave no answer")]
    Http {
        /// What it was asked for.
        deed: &'static str,
        /// Which engine.
        place: String,
        /// What happened.
        #[source]
        cause: HttpError,
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
            Self::Http { .. } | Self::Refused { .. } | Self::Lost { .. } => Blame::Environment,
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
            Self::Refused { .. } => None,
            Self::Lost { .. } => Some("see what the engine's log says"),
        }
    }
}
