//! What can go wrong with an archive.

use std::io;
use std::path::PathBuf;

use ireko_http::HttpError;
use ireko_report::Blame;

use crate::openpgp::Refused;
use crate::release::{ReleaseError, show_hash};

/// Why an archive's files are not there, or not believed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Nobody trusted signed it.
    #[error("the signature of `{url}` is not believed")]
    Signature {
        /// The file.
        url: String,
        /// Why.
        #[source]
        cause: Refused,
    },
    /// It is not signed at all.
    #[error("`{url}` is not signed: there is neither an `InRelease` nor a `Release.gpg`")]
    Unsigned {
        /// The directory.
        url: String,
    },
    /// What it says cannot be believed.
    #[error("`{url}` is refused")]
    Release {
        /// The file.
        url: String,
        /// Why.
        #[source]
        cause: ReleaseError,
    },
    /// The archive does not have it.
    #[error("`{url}` has no {what}; it has {has}")]
    NotOffered {
        /// The directory.
        url: String,
        /// What was asked for: a component, or an architecture of one.
        what: String,
        /// What there is.
        has: String,
    },
    /// The server has no such file.
    #[error("`{url}` is missing: the server answered {status}")]
    Missing {
        /// The file.
        url: String,
        /// The answer.
        status: u16,
    },
    /// It could not be fetched.
    #[error("cannot fetch `{url}`")]
    Fetch {
        /// The file.
        url: String,
        /// Why.
        #[source]
        cause: HttpError,
    },
    /// It is another file than the one that is signed.
    #[error("`{url}` is not the file that the archive's lists name: {problem}")]
    Mismatch {
        /// The file.
        url: String,
        /// What differs.
        problem: String,
    },
    /// The Release file names lists that are not there.
    #[error(
        "`{url}` names lists that the mirror does not serve, also when asked once more: it is half updated"
    )]
    HalfUpdate {
        /// The Release file.
        url: String,
        /// What was wrong the second time.
        #[source]
        cause: Box<ArchiveError>,
    },
    /// It cannot be decompressed.
    #[error("cannot decompress `{url}`: {problem}")]
    Damaged {
        /// The file.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The address is of no use.
    #[error("cannot use `{address}`: {problem}")]
    Address {
        /// The address, or the name of the file.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file of a local archive cannot be read.
    #[error("cannot read `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file of the cache cannot be written or read.
    #[error("cannot use `{path}` of the cache of archives", path = path.display())]
    Keep {
        /// The file or its directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl ArchiveError {
    /// A file with another hash.
    pub(super) fn other_hash(url: &str, wanted: &[u8; 32], found: &[u8; 32]) -> Self {
        let problem = format!("its SHA-256 is {}, not {}", show_hash(found), show_hash(wanted));
        Self::Mismatch { url: url.to_owned(), problem }
    }

    /// A file with another size.
    pub(super) fn other_size(url: &str, wanted: u64, found: &str) -> Self {
        Self::Mismatch { url: url.to_owned(), problem: format!("it has {found} bytes, not {wanted}") }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotOffered { .. } | Self::Address { .. } => Blame::User,
            Self::Fetch { cause, .. } => cause.blame(),
            _ => Blame::Environment,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Signature { cause: Refused::Doubts(_), .. } => Some(
                "a key that is missing or out of date comes with the archive's keyring package, such as debian-archive-keyring",
            ),
            Self::Signature { .. } => Some(
                "the network may ask for a login, or answer with a page of its own; look at what it serves there",
            ),
            Self::Release { cause: ReleaseError::Expired { .. }, .. } => {
                Some("use another mirror; for a state of the past, ask for it by its date")
            }
            Self::Release { cause: ReleaseError::Downgraded { .. }, .. } | Self::HalfUpdate { .. } => {
                Some("try again in some minutes, or use another mirror")
            }
            Self::Missing { .. } => Some("check the address, and the suite; the mirror may be out of date"),
            Self::Mismatch { .. } | Self::Damaged { .. } => {
                Some("try again; if it stays so, a proxy or the mirror changes files")
            }
            Self::Fetch { cause, .. } => cause.hint(),
            _ => None,
        }
    }

    /// Whether the mirror has another file than the one that is named, or none.
    pub(super) fn is_of_other_state(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Mismatch { .. } | Self::Damaged { .. })
    }
}
