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
}

impl EngineError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Http { cause: HttpError::Aborted, .. } => Blame::Interrupted,
            Self::Http { .. } | Self::Refused { .. } => Blame::Environment,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http { cause: HttpError::Aborted, .. } => None,
            Self::Http { .. } => {
                Some("check that the engine runs and that you may use its socket; DOCKER_HOST names another")
            }
            Self::Refused { .. } => None,
        }
    }
}
