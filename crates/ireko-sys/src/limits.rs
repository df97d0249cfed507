//! Limits of this process that are not the commands' business.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the caller had set before [`open_many`].
static FILES: OnceLock<Rlimit> = OnceLock::new();

/// More descriptors than any tree is deep, or a build has workers.
const ENOUGH: u64 = 1 << 16;

/// Lets this process have many files open, as far as the hard limit goes: a tree is walked with a directory open at each
/// level. Commands get the caller's limit.
pub fn open_many() {
    let now = *FILES.get_or_init(|| getrlimit(Resource::Nofile));
    let wanted = now.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if now.current.is_some_and(|current| current < wanted) {
        // Where it is refused, a tree that is too deep is an error that says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum });
    }
}

/// The caller's limit on open files, soft and hard, if this process has another now.
pub(crate) fn files_of_caller() -> Option<(u64, u64)> {
    let number = |limit: Option<u64>| limit.unwrap_or(libc::RLIM64_INFINITY);
    FILES.get().map(|limit| (number(limit.current), number(limit.maximum)))
}
