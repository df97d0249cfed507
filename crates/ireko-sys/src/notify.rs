//! Owners and users for a step whose kernel knows one id only: a filter reports its calls, a thread of this process
//! answers them.

pub(crate) mod kernel;

/// Why steps cannot be told of other owners and users here; nothing where they can.
pub(crate) fn missing() -> Option<String> {
    if kernel::has_listeners() {
        return None;
    }
    Some(
        "this kernel cannot report system calls as steps need it (seccomp notifications of Linux 5.19)"
            .to_owned(),
    )
}
