//! Whose fault a failure is, and the exit code that says so.

use std::error::Error;
use std::io::{self, ErrorKind};

use serde::Serialize;

/// Whose fault a failure is. Every error of the project can answer this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// What the person gave is wrong: a Dockerfile, a flag, a name.
    User,
    /// A step of the build failed: its program returned non-zero.
    Step,
    /// The machine or the network is wrong: no space, no permission, no answer.
    Environment,
    /// ireko itself is wrong.
    Bug,
    /// Somebody asked it to stop.
    Interrupted,
}

impl Blame {
    /// The exit code of the process: part of the documented interface, never renumbered.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Step => 1,
            Self::User => 2,
            Self::Environment => 3,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// Whether an error, or what caused it, is a file system with no room left: no blocks, no inodes, or a used-up quota.
pub fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(at) = error {
        let kind = at.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        // What an input or output error carries is not among its sources.
        let carried = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error = carried.map(|carried| carried as &(dyn Error + 'static)).or_else(|| at.source());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_seen_below_other_errors() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        assert!(is_disk_full(&full()) && is_disk_full(&io::Error::from(ErrorKind::QuotaExceeded)));
        assert!(
            is_disk_full(&io::Error::other(full()))
                && is_disk_full(&io::Error::other(io::Error::other(full())))
        );
        assert!(
            !is_disk_full(&io::Error::from(ErrorKind::NotFound)) && !is_disk_full(&io::Error::other("full"))
        );
    }
}
