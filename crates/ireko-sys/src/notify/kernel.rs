//! The kernel's side of it, by safe names.

use crate::raw::{self, Errno};

/// Whether a filter can have a listener whose reader is not disturbed by signals.
pub(crate) fn has_listeners() -> bool {
    // The flags are looked at first, then the program, which is not there.
    raw::load_no_filter(LISTEN) == Errno(libc::EFAULT)
}

/// A listener, and answers that no signal of the caller's can interrupt once they were asked for.
pub(crate) const LISTEN: libc::c_ulong =
    libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
