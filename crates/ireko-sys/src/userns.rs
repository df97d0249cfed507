//! Sandbox levels: what this process may do here, and how it becomes root of its own namespaces.
//!
//! A whole process enters its level once, at its start, while it has one thread. From then on it is uid 0
//! with all capabilities in its own mount namespace, and the rest of the program need not know the level,
//! apart from what [`IdMap`] says.

mod detect;
mod holder;
mod map;

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, fs, io};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

pub use self::detect::{LevelReport, detect};
pub(crate) use self::holder::Holder;
pub use self::map::{IdMap, IdRange};
use crate::error::{Error, Result};
use crate::{cap, notify, raw};

/// How much of a container this process can make here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Real administrator: `CAP_SYS_ADMIN` where the process was started.
    Root,
    /// A user namespace with the user's subordinate ids.
    Rootless,
    /// A user namespace with one id; owners are notes on the files.
    SingleId,
    /// No namespaces at all. Commands run by chroot, where the caller accepts it and [`chroot_refused`] allows.
    None,
}

impl Level {
    /// The level's name as printed and as typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Rootless => "rootless",
            Self::SingleId => "single-id",
            Self::None => "none",
        }
    }

    /// What its steps' results are worth to steps of other levels: `full` where owners are the kernel's, `partial`
    /// where they are emulated or missing. Part of a step's key.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Root | Self::Rootless => "full",
            Self::SingleId | Self::None => "partial",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Root, Self::Rootless, Self::SingleId, Self::None]
            .into_iter()
            .find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A level that was entered.
#[derive(Debug)]
pub struct Entered {
    /// The level.
    pub level: Level,
    /// Its ids.
    pub map: IdMap,
    /// Better levels that were tried, and why each cannot be had.
    pub passed: Vec<Error>,
}

/// Enters the best level that can be had here: root if this process may administer, rootless if it has been granted ids,
/// else single-id, else none. As [`enter`] otherwise; [`detect()`] explains each level at length.
pub fn enter_best() -> Result<Entered> {
    let mut passed = Vec::new();
    for level in candidates() {
        match enter(level) {
            Ok(map) => return Ok(Entered { level, map, passed }),
            Err(error) if level == Level::Root => return Err(error),
            Err(error) => passed.push(error),
        }
    }
    Ok(Entered { level: Level::None, map: IdMap::current()?, passed })
}

/// The levels worth trying, by the cheapest tests, the best first.
fn candidates() -> Vec<Level> {
    if cap::has_sys_admin() {
        return vec![Level::Root];
    }
    let granted = SubordinateIds::read().is_ok() && MAPPERS.iter().all(|one| find_mapper(one).is_some());
    granted.then_some(Level::Rootless).into_iter().chain([Level::SingleId]).collect()
}

/// Why this process cannot run commands by chroot, and what to do about it.
#[must_use]
pub fn chroot_refused() -> Option<(String, String)> {
    let lacking = cap::lacking_for_chroot();
    if lacking.is_empty() {
        return None;
    }
    let is_root = rustix::process::geteuid().is_root();
    Some(match is_root {
        true => (
            format!("uid 0 lacks the capabilities {}", lacking.join(", ")),
            format!(
                "start the outer container with {}",
                lacking.iter().map(|name| format!("--cap-add {name}")).collect::<Vec<_>>().join(" ")
            ),
        ),
        false => (
            "chroot is for root".to_owned(),
            "run as root; in a container: start it as root, or allow user namespaces in it with --security-opt seccomp=unconfined"
                .to_owned(),
        ),
    })
}

/// Makes this process root of its own mount namespace (and user namespace, at [`Level::Rootless`]); at [`Level::None`] it
/// stays what it is.
///
/// Must be called while the process has one thread: the kernel moves single-threaded processes only.
/// Mounts made later are seen by nobody else and vanish with the process; those made outside still come in.
pub fn enter(level: Level) -> Result<IdMap> {
    match level {
        Level::Root => enter_root()?,
        Level::Rootless => enter_rootless()?,
        Level::SingleId => enter_single_id()?,
        Level::None => {}
    }
    IdMap::current()
}

fn enter_root() -> Result<()> {
    if !cap::has_sys_admin() {
        return Err(Error::Unavailable {
            level: Level::Root,
            reason: "this process lacks CAP_SYS_ADMIN".to_owned(),
            fix: Some("run as root, or use level `rootless`".to_owned()),
        });
    }
    own_mounts(Level::Root)
}

fn own_mounts(level: Level) -> Result<()> {
    let failed = |deed: &str, cause: io::Error| Error::Enter { level, deed: deed.to_owned(), cause };
    // SAFETY: without CLONE_FILES nothing that Rust's I/O safety relies on is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|errno| failed("make a mount namespace", errno.into()))?;
    raw::mount(None, c"/", None, libc::MS_REC | libc::MS_SLAVE, None)
        .map_err(|errno| failed("stop mounts from spreading to the outside", errno.into()))
}

fn enter_rootless() -> Result<()> {
    let level = Level::Rootless;
    let failed = |deed: &str, cause: io::Error| Error::Enter { level, deed: deed.to_owned(), cause };
    let ids = SubordinateIds::read()?;
    // It tries to mount too: a user namespace once entered cannot be left.
    let holder = Holder::start(true).map_err(|cause| match detect::userns_refused(&cause) {
        (reason, fix) if fix.is_some() => Error::Unavailable { level, reason, fix },
        _ => failed("make a user namespace", cause),
    })?;
    if let Some(cause) = holder.mount_failure() {
        let (reason, fix) = detect::mount_refused(&cause);
        return Err(Error::Unavailable { level, reason, fix });
    }
    ids.write_maps(holder.pid())?;
    let userns = holder.namespace().map_err(|cause| failed("open the new user namespace", cause))?;
    rustix::thread::move_into_link_name_space(userns.as_fd(), Some(LinkNameSpaceType::User))
        .map_err(|errno| failed("join the new user namespace (more than one thread?)", errno.into()))?;
    drop(holder);
    raw::setresgid(0).map_err(|errno| failed("become group 0 of the user namespace", errno.into()))?;
    raw::setresuid(0).map_err(|errno| failed("become user 0 of the user namespace", errno.into()))?;
    be_dumpable();
    own_mounts(level)
}

/// One id of the outside is all that an ordinary user may map without help.
fn enter_single_id() -> Result<()> {
    let level = Level::SingleId;
    let failed = |deed: &str, cause: io::Error| Error::Enter { level, deed: deed.to_owned(), cause };
    if let Some(reason) = notify::missing() {
        return Err(Error::Unavailable { level, reason, fix: rootless_instead() });
    }
    // A user namespace once entered cannot be left, so a child tries first.
    if let Some((reason, fix)) = detect::namespaces_refused() {
        return Err(Error::Unavailable { level, reason, fix });
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: without CLONE_FILES nothing that Rust's I/O safety relies on is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }.map_err(|errno| {
        match detect::userns_refused(&errno.into()) {
            (reason, Some(fix)) => Error::Unavailable { level, reason, fix: Some(fix) },
            _ => failed("make a user namespace (more than one thread?)", errno.into()),
        }
    })?;
    be_dumpable();
    let only = |id: u32| map::kernel_text(&[IdRange { inside: 0, outside: id, count: 1 }]);
    // The kernel lets nobody drop groups whom a group could be meant to keep out.
    for (file, text) in [("setgroups", "deny".to_owned()), ("uid_map", only(uid)), ("gid_map", only(gid))] {
        let path = Path::new("/proc/self").join(file);
        fs::write(&path, text).map_err(|cause| Error::path("write", &path, cause))?;
    }
    own_mounts(level)
}

/// What does better than one id.
fn rootless_instead() -> Option<String> {
    let fix = |error: Error| match error {
        Error::Unavailable { fix, .. } => fix,
        _ => None,
    };
    SubordinateIds::read()
        .err()
        .and_then(fix)
        .map(|fix| format!("get subordinate ids for level `rootless`, {fix}"))
}

/// A change of credentials hides /proc/self from the process itself; nothing here is secret to its owner.
pub(crate) fn be_dumpable() {
    // A refusal changes nothing that a later, better worded error would not say.
    let _ = raw::prctl(libc::PR_SET_DUMPABLE, 1, 0);
}

/// The ids a user may map besides their own, as the files of shadow-utils grant them.
#[derive(Debug)]
struct SubordinateIds {
    uid: u32,
    gid: u32,
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
}

impl SubordinateIds {
    fn read() -> Result<Self> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let name = user_name(uid);
        let granted = |file: &str| -> Vec<IdRange> {
            let text = fs::read_to_string(file).unwrap_or_default();
            map::granted(&text, name.as_deref(), uid)
        };
        let (uids, gids) = (granted("/etc/subuid"), granted("/etc/subgid"));
        let lacks = |file: &str| {
            let who = name.clone().unwrap_or_else(|| uid.to_string());
            Error::Unavailable {
                level: Level::Rootless,
                reason: format!("`{file}` grants user `{who}` no subordinate ids"),
                fix: Some(format!(
                    "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {who}"
                )),
            }
        };
        if uids.is_empty() {
            return Err(lacks("/etc/subuid"));
        }
        if gids.is_empty() {
            return Err(lacks("/etc/subgid"));
        }
        Ok(Self { uid, gid, uids, gids })
    }

    /// Asks the set-id programs of shadow-utils to write both maps of process `pid`.
    fn write_maps(&self, pid: u32) -> Result<()> {
        let [uids, gids] = MAPPERS;
        run_mapper(uids, pid, &map::with_own(self.uid, &self.uids))?;
        run_mapper(gids, pid, &map::with_own(self.gid, &self.gids))
    }
}

/// The set-id programs that write the maps of users and of groups.
const MAPPERS: [&str; 2] = ["newuidmap", "newgidmap"];

/// Where the set-id programs are looked for. `PATH` is not asked: these are the places distributions use.
const MAPPER_DIRS: [&str; 5] = ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin", "/run/wrappers/bin"];

fn find_mapper(program: &str) -> Option<PathBuf> {
    MAPPER_DIRS.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists())
}

fn run_mapper(program: &'static str, pid: u32, ranges: &[IdRange]) -> Result<()> {
    let level = Level::Rootless;
    let path = find_mapper(program).ok_or_else(|| missing_mapper(program))?;
    let mut command = Command::new(&path);
    command.arg(pid.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for range in ranges {
        command.args([range.inside, range.outside, range.count].map(|number| number.to_string()));
    }
    let output = command.output().map_err(|cause| Error::path("run", &path, cause))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Unavailable {
        level,
        reason: format!("`{program}` refused: {}", said.trim()),
        fix: Some(format!(
            "see that `{}` is set-user-ID root (or has its file capability) and that /etc/subuid and /etc/subgid name this user",
            path.display()
        )),
    })
}

fn missing_mapper(program: &str) -> Error {
    Error::Unavailable {
        level: Level::Rootless,
        reason: format!("`{program}` is not installed"),
        fix: Some("install package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)".to_owned()),
    }
}

/// The name of `uid` in /etc/passwd. Read by ourselves: the C library would load plug-ins for it.
fn user_name(uid: u32) -> Option<String> {
    map::name_of(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

/// A user namespace in which the file owner `from` is shown as `to`, for id-mapped mounts.
///
/// Each pair is `(on disk, shown)`. Needs privileges over the ids on the outside.
pub(crate) fn namespace_for_idmap(uids: &[IdRange], gids: &[IdRange]) -> io::Result<File> {
    let holder = Holder::start(false)?;
    let write = |file: &str, ranges: &[IdRange]| {
        fs::write(
            Path::new("/proc").join(holder.pid().to_string()).join(OsStr::new(file)),
            map::kernel_text(ranges),
        )
    };
    write("uid_map", uids)?;
    write("gid_map", gids)?;
    holder.namespace()
}
