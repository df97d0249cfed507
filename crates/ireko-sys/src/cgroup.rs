//! Control groups, version 2: where this process may make some, and one for each command.
//!
//! A group is a directory below this process's own group. Whoever is not root may make one only where the own group
//! was given to them (systemd calls it delegated), so having none is no error: a command then stays in the group of
//! this process. Limits are another matter: what was asked for is held or refused, see [`Limiter`].

mod find;
mod limiter;
mod limits;

#[cfg(test)]
mod tests;

use std::ffi::c_void;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libc::c_int;
use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use self::find::Hierarchy;
pub(crate) use self::limiter::Groups;
pub use self::limiter::{Limiter, Refusal};
pub use self::limits::{Controller, Limits, Swap};
use crate::raw;

/// Names of our groups begin so; the maker's process number and start and a number follow.
const PREFIX: &str = "ireko-";

/// Why this process has no place for groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The kernel has none.
    #[error("this kernel has no control groups of version 2")]
    Unknown,
    /// They are mounted nowhere.
    #[error("control groups of version 2 are not mounted")]
    NotMounted,
    /// The own one is not in what is mounted.
    #[error("this process's own control group is not below what is mounted")]
    OutOfSight,
}

/// Where groups of this process's commands are made: its own group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
    /// This process as its groups' names tell of it.
    process: (u32, u64),
}

impl Home {
    /// Finds it. Whether groups can be made there is another question.
    pub fn find() -> Result<Self, Missing> {
        let groups = fs::read("/proc/self/cgroup").map_err(|_| Missing::Unknown)?;
        let own = find::own_group(&groups, Hierarchy::Unified).ok_or(Missing::Unknown)?;
        let mounts = fs::read("/proc/self/mountinfo").map_err(|_| Missing::NotMounted)?;
        let candidates = find::directories(&mounts, Hierarchy::Unified, own).ok_or(Missing::NotMounted)?;
        // Another mount may lie over it.
        let dir = candidates.into_iter().find(|dir| is_group(dir)).ok_or(Missing::OutOfSight)?;
        Self::at(dir).ok_or(Missing::Unknown)
    }

    /// A place that is known to be a group.
    fn at(dir: PathBuf) -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        Some(Self { dir, process: find::process(&stat)? })
    }

    /// The directory of this process's own group.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a group. It is removed when it is dropped.
    pub fn make(&self) -> io::Result<Group> {
        Group::open(self.make_dir()?)
    }

    fn make_dir(&self) -> io::Result<PathBuf> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        /// A name can be taken only by a process of another namespace with our number that started with us.
        const TRIES: u32 = 8;
        let (process, start) = self.process;
        for _ in 0..TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = self.dir.join(format!("{PREFIX}{process}-{start}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes groups whose makers were killed before they could. One that is not empty stays: the kernel sees to that.
    pub fn sweep(&self) {
        sweep_in(&self.dir);
    }
}

/// Removes what dead makers left, wherever this process's groups may be.
pub(crate) fn sweep(home: Option<&Home>) {
    if let Some(home) = home {
        home.sweep();
    }
    limiter::own_groups_of_version_1().iter().for_each(|dir| sweep_in(dir));
}

fn sweep_in(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((process, start)) = name.to_str().and_then(find::owner) else { continue };
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if find::process(&stat) != Some((process, start)) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn is_group(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|stat| stat.f_type as u64 == MAGIC)
}

/// The file system type of control groups of version 2.
pub(crate) const MAGIC: u64 = 0x6367_7270;

/// A control group of a command's own. Dropped, what is in it is killed, and it is gone.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    dir: OwnedFd,
}

impl Group {
    fn open(path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&path, flags, Mode::empty()).and_then(|dir| {
            let mode = rustix::fs::fstat(&dir)?.st_mode & 0o777;
            Ok((dir, mode))
        });
        let (dir, mode) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                let _ = fs::remove_dir(&path);
                return Err(errno.into());
            }
        };
        let group = Self { path, dir };
        // A strict mask of the caller's would hide the group's numbers from commands of other users.
        if mode != 0o755 {
            fs::set_permissions(&group.path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(group)
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its list of processes, to be joined by whoever writes `0` into it.
    pub(crate) fn processes(&self) -> io::Result<OwnedFd> {
        let list = fs::File::options().write(true).open(self.path.join("cgroup.procs"))?;
        Ok(list.into())
    }

    /// The open directory, as clone wants it.
    pub(crate) fn descriptor(&self) -> c_int {
        self.dir.as_raw_fd()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The command's end was the end of all it had started, so nearly always there is only the directory left.
        if fs::remove_dir(&self.path).is_ok() {
            return;
        }
        // What joined from outside, and groups that a command without confinement made inside. Version 1 has no such
        // file: there the kernel needs a moment to let go of what has ended.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        for attempt in 0..8 {
            match remove_below(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_micros(100 << attempt));
                }
                _ => return,
            }
        }
    }
}

/// Removes a group and those inside it. Its files are the kernel's and go with it.
fn remove_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

/// Whether commands get groups of their own here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReport {
    /// Why they do not; none if they do.
    pub problem: Option<String>,
    /// What to do about it, as one command or sentence.
    pub fix: Option<String>,
}

/// Tries it: makes a group and starts a process in it, which ends at once.
#[must_use]
pub fn detect() -> GroupReport {
    let refused = |problem: String, fix: Option<&str>| GroupReport {
        problem: Some(problem),
        fix: fix.map(str::to_owned),
    };
    let home = match Home::find() {
        Ok(home) => home,
        Err(missing) => return refused(missing.to_string(), None),
    };
    let at = home.dir().display();
    let group = match home.make() {
        Ok(group) => group,
        Err(error) => {
            let (problem, fix) = making_refused(&error);
            return refused(format!("no group can be made in `{at}`: {problem}"), fix);
        }
    };
    match start_in(&group) {
        Ok(()) => GroupReport { problem: None, fix: None },
        Err(error) => {
            let (problem, fix) = starting_refused(&error);
            refused(format!("no process can be started in a group of `{at}`: {problem}"), fix)
        }
    }
}

/// Words for a kernel that makes no group.
fn making_refused(error: &io::Error) -> (String, Option<&'static str>) {
    match error.kind() {
        io::ErrorKind::PermissionDenied => (
            "it was not given to this user".to_owned(),
            Some("under systemd: systemd-run --user --scope -p Delegate=yes ireko …"),
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            "an outer container shows it read-only".to_owned(),
            Some("start the outer container with --privileged"),
        ),
        _ => (error.to_string(), None),
    }
}

/// Words for a kernel that makes a group but starts nothing in it.
fn starting_refused(error: &io::Error) -> (String, Option<&'static str>) {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => (
            "there is no call clone3: Linux before 5.3, or the seccomp profile of an outer container"
                .to_owned(),
            Some("start the outer container with --security-opt seccomp=unconfined"),
        ),
        Some(libc::EINVAL | libc::E2BIG) => ("that came with Linux 5.7".to_owned(), None),
        _ => (error.to_string(), None),
    }
}

extern "C" fn end_at_once(_: *mut c_void) -> c_int {
    raw::exit(0)
}

fn start_in(group: &Group) -> io::Result<()> {
    // SAFETY: the entry does nothing but end, and takes no notice of its argument.
    let started =
        unsafe { raw::clone::start(0, Some(group.descriptor()), end_at_once, std::ptr::null_mut()) };
    let (_, process) = started?;
    while let Err(errno) = waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
        if errno != rustix::io::Errno::INTR {
            return Err(errno.into());
        }
    }
    Ok(())
}
