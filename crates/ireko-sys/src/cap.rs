//! Capabilities: which there are, which a step is given, which this process has.

use crate::raw;

/// A set of capabilities; bit n is capability n.
pub type CapSet = u64;

/// To give up capabilities for good.
pub(crate) const SETPCAP: CapSet = 1 << 8;

/// To administer the user namespace.
pub(crate) const SYS_ADMIN: CapSet = 1 << 21;

/// What a process needs to run commands in another root as their users, with files of all owners and devices.
const FOR_CHROOT: [(u32, &str); 9] = [
    (0, "CHOWN"),
    (1, "DAC_OVERRIDE"),
    (3, "FOWNER"),
    (4, "FSETID"),
    // To end what another user's step left running.
    (5, "KILL"),
    (6, "SETGID"),
    (7, "SETUID"),
    (18, "SYS_CHROOT"),
    (27, "MKNOD"),
];

/// What this thread lacks of the capabilities to run commands in another root.
#[must_use]
pub fn lacking_for_chroot() -> Vec<&'static str> {
    let has = effective();
    FOR_CHROOT.iter().filter(|(number, _)| has & (1 << number) == 0).map(|(_, name)| *name).collect()
}

/// The capabilities a Docker container has, by number.
const DOCKER_DEFAULT: [u32; 14] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    5,  // KILL
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    10, // NET_BIND_SERVICE
    13, // NET_RAW
    18, // SYS_CHROOT
    27, // MKNOD
    29, // AUDIT_WRITE
    31, // SETFCAP
];

/// What a step may ever hold: the set Docker gives its containers.
#[must_use]
pub fn docker_default() -> CapSet {
    DOCKER_DEFAULT.iter().fold(0, |set, capability| set | 1 << capability)
}

/// This thread's effective capabilities.
#[must_use]
pub fn effective() -> CapSet {
    raw::capget().map_or(0, |(effective, _)| effective)
}

/// Whether this thread may administer its user namespace: mount, make namespaces, load filters.
#[must_use]
pub fn has_sys_admin() -> bool {
    effective() & SYS_ADMIN != 0
}

/// The highest capability this kernel knows.
pub(crate) fn last() -> u32 {
    std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        // CAP_CHECKPOINT_RESTORE, the last one since Linux 5.9.
        .unwrap_or(40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_is_dockers() {
        // As `CapBnd` of a container started by Docker shows it.
        assert_eq!(format!("{:016x}", docker_default()), "00000000a80425fb");
    }
}
