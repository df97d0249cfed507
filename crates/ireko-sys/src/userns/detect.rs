//! Finds out which sandbox levels work here, and says why the others do not.

use std::{fs, io};

use super::{Holder, Level, MAPPERS, SubordinateIds, find_mapper, missing_mapper, rootless_instead};
use crate::error::Error;
use crate::{cap, notify};

/// Whether one level works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelReport {
    /// The level.
    pub level: Level,
    /// Why it does not work; none if it does.
    pub problem: Option<String>,
    /// What to do about it, as one command or sentence.
    pub fix: Option<String>,
}

impl LevelReport {
    /// Whether the level works.
    #[must_use]
    pub fn works(&self) -> bool {
        self.problem.is_none()
    }
}

/// A report for every level, best first. Tries the deeds, so it takes some milliseconds.
#[must_use]
pub fn detect() -> Vec<LevelReport> {
    let none = LevelReport { level: Level::None, problem: None, fix: None };
    vec![root(), rootless(), single_id(), none]
}

fn root() -> LevelReport {
    let level = Level::Root;
    if cap::has_sys_admin() {
        return LevelReport { level, problem: None, fix: None };
    }
    if rustix::process::geteuid().is_root() {
        return LevelReport {
            level,
            problem: Some("uid 0, but without CAP_SYS_ADMIN: an outer container withholds it".to_owned()),
            fix: Some("start the outer container with --privileged or --cap-add SYS_ADMIN".to_owned()),
        };
    }
    LevelReport { level, problem: Some("not run as root".to_owned()), fix: Some("run as root".to_owned()) }
}

fn rootless() -> LevelReport {
    let level = Level::Rootless;
    let report = |problem: String, fix: Option<String>| LevelReport { level, problem: Some(problem), fix };
    if let Some((problem, fix)) = namespaces_refused() {
        return report(problem, fix);
    }
    if let Err(Error::Unavailable { reason, fix, .. }) = SubordinateIds::read() {
        return report(reason, fix);
    }
    for program in MAPPERS {
        if find_mapper(program).is_none()
            && let Error::Unavailable { reason, fix, .. } = missing_mapper(program)
        {
            return report(reason, fix);
        }
    }
    LevelReport { level, problem: None, fix: None }
}

fn single_id() -> LevelReport {
    let level = Level::SingleId;
    match (namespaces_refused(), notify::missing()) {
        (Some((problem, fix)), _) => LevelReport { level, problem: Some(problem), fix },
        (None, Some(problem)) => LevelReport { level, problem: Some(problem), fix: rootless_instead() },
        (None, None) => LevelReport { level, problem: None, fix: None },
    }
}

/// Why no user namespace can be made or used here, and what to do about it.
pub(super) fn namespaces_refused() -> Option<(String, Option<String>)> {
    match Holder::start(true).map(|holder| holder.mount_failure()) {
        Err(cause) => Some(userns_refused(&cause)),
        Ok(Some(cause)) => Some(mount_refused(&cause)),
        Ok(None) => None,
    }
}

fn sysctl(path: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

/// Words for a kernel that does not make a user namespace.
pub(super) fn userns_refused(cause: &io::Error) -> (String, Option<String>) {
    let set = |name: &str, value: u64| Some(format!("as root: sysctl -w {name}={value}"));
    match cause.raw_os_error() {
        Some(libc::ENOSPC | libc::EUSERS) if sysctl("user/max_user_namespaces") == Some(0) => (
            "user namespaces are switched off (user.max_user_namespaces=0)".to_owned(),
            set("user.max_user_namespaces", 15000),
        ),
        Some(libc::ENOSPC | libc::EUSERS) => (
            "there are too many user namespaces, or too many inside each other".to_owned(),
            set("user.max_user_namespaces", 15000),
        ),
        Some(libc::EPERM) if sysctl("kernel/unprivileged_userns_clone") == Some(0) => (
            "user namespaces are for root only (kernel.unprivileged_userns_clone=0)".to_owned(),
            set("kernel.unprivileged_userns_clone", 1),
        ),
        Some(libc::EPERM) if sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1) => apparmor(),
        Some(libc::EPERM) => (
            "user namespaces are refused: an outer container's seccomp profile, or a chroot".to_owned(),
            Some("start the outer container with --security-opt seccomp=unconfined".to_owned()),
        ),
        Some(libc::EINVAL | libc::ENOSYS) => ("this kernel has no user namespaces".to_owned(), None),
        _ => (format!("a user namespace cannot be made: {cause}"), None),
    }
}

pub(super) fn mount_refused(cause: &io::Error) -> (String, Option<String>) {
    if sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return apparmor();
    }
    (
        format!("a user namespace can be made, but mounting inside is refused: {cause}"),
        Some("allow mounts: an outer container needs --security-opt apparmor=unconfined --security-opt seccomp=unconfined".to_owned()),
    )
}

fn apparmor() -> (String, Option<String>) {
    (
        "AppArmor withholds capabilities in user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)".to_owned(),
        Some(
            "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give this program an AppArmor profile with `userns,`"
                .to_owned(),
        ),
    )
}
