//! What can go wrong with a registry, and whose fault it is.

use std::io;
use std::sync::Arc;

use ireko_oci::OciError;
use ireko_report::Blame;

use crate::keychain::KeychainError;
use ireko_http::{HttpError, Trouble};

/// Why something could not be had from a registry. `what` names the thing, such as ``manifest of `app:1` ``.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No whole answer came.
    #[error("cannot {deed} {what}")]
    Http {
        /// What was to be done with it: `fetch` or `push`.
        deed: &'static str,
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
    /// The registry has no place for it.
    #[error("`{host}` has no place for `{reference}` ({said})")]
    NoPlace {
        /// The reference as people write it.
        reference: String,
        /// The registry asked.
        host: String,
        /// What it answered.
        said: String,
    },
    /// The registry does not let everybody do this.
    #[error("`{host}` does not let {} {} `{reference}` ({said})", who(login), if *pushes { "push" } else { "pull" })]
    Denied {
        /// The reference as people write it.
        reference: String,
        /// The registry asked.
        host: String,
        /// What it answered.
        said: String,
        /// Content was to be put there.
        pushes: bool,
        /// Whose login was used, and where it is from.
        login: Option<String>,
    },
    /// The registry does not take a login.
    #[error("`{host}` does not take the login of {user} ({said})")]
    Login {
        /// The registry asked.
        host: String,
        /// Whose login it is.
        user: String,
        /// What it answered.
        said: String,
    },
    /// A login could not be looked up.
    #[error("cannot look up the login for `{reference}`")]
    Keychain {
        /// The reference as people write it.
        reference: String,
        /// Why not.
        #[source]
        cause: Arc<KeychainError>,
    },
    /// A configuration forbids it.
    #[error("`{file}` blocks `{reference}`")]
    Blocked {
        /// The reference as people write it.
        reference: String,
        /// The file.
        file: String,
    },
    /// A configuration gives a place that is no name.
    #[error("`{file}` moves `{reference}` to `{place}`, which is no name of an image")]
    Place {
        /// The reference as people write it.
        reference: String,
        /// What stands in its place.
        place: String,
        /// The file.
        file: String,
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

/// What to do where TLS fails with a registry: its name has no scheme, and its certificates have places of their own.
fn of_tls(trouble: Trouble) -> Option<&'static str> {
    match trouble {
        Trouble::PlainHttp => Some(
            "if the way there is safe, list the host in IREKO_INSECURE_REGISTRIES, or give `--tls-verify=false` (of kaniko: `--insecure`) where the image is named on the command line",
        ),
        Trouble::Tls => Some(
            "a certificate authority of your own goes into SSL_CERT_FILE, into `certs.d/HOST/ca.crt` below ~/.config/containers or /etc/docker, or into `--cert-dir`; IREKO_INSECURE_REGISTRIES and `--tls-verify=false` take any certificate",
        ),
        _ => None,
    }
}

fn who(login: &Option<String>) -> &str {
    login.as_deref().unwrap_or("everybody")
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
            Self::NotFound { .. }
            | Self::NoPlace { .. }
            | Self::Denied { .. }
            | Self::Login { .. }
            | Self::Blocked { .. }
            | Self::Place { .. }
            | Self::Platform { .. } => Blame::User,
            Self::Http { cause, .. } => cause.blame(),
            Self::Keychain { cause, .. } => cause.blame(),
            Self::Unavailable { .. }
            | Self::Status { .. }
            | Self::TooLarge { .. }
            | Self::Mismatch { .. }
            | Self::Document { .. }
            | Self::Write { .. } => Blame::Environment,
        }
    }

    /// How often what fails like this is tried at most.
    pub(crate) fn attempts(&self) -> u32 {
        match self {
            Self::Http { cause, .. } => cause.attempts(),
            _ => u32::MAX,
        }
    }

    /// What happened and why, in one line.
    pub(crate) fn in_one_line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            text += &format!(": {next}");
            cause = next.source();
        }
        text
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http { cause: HttpError::Connect { trouble, .. }, .. } if of_tls(*trouble).is_some() => {
                of_tls(*trouble)
            }
            Self::Http { cause, .. } => cause.hint(),
            Self::NotFound { .. } => Some("check the spelling of name and tag"),
            // Who is known and may not do this hears 403.
            Self::Denied { login: Some(_), said, .. } if said.contains("401 ") => Some(
                "user name or password (or token) is wrong, or this login may not do it; `ireko login` puts another in its place",
            ),
            Self::Login { .. } => Some(
                "user name or password is wrong; many registries want a token made for this in place of the password",
            ),
            Self::Denied { login: Some(_), .. } => Some(
                "check the spelling, and what this login may do; `ireko login` puts another in its place",
            ),
            Self::Denied { .. } => Some("check the spelling; what is not public needs `ireko login` first"),
            Self::Keychain { cause, .. } => cause.hint(),
            Self::Blocked { .. } | Self::Place { .. } => Some("change the file, or use another name"),
            Self::NoPlace { .. } => {
                Some("check the spelling; some registries want the repository or project to be made first")
            }
            Self::Status { said, .. } if said.starts_with("413") => Some(
                "something before the registry takes no request of this size: raise its limit (of nginx: client_max_body_size)",
            ),
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
