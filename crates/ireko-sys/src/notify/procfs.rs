//! This machine's /proc and /sys for a command in another root, where nothing can be mounted: a filter reports the calls
//! that name files, and those that name a file of the kernel's are done for the command by a thread of this process.
//!
//! What is opened is handed over as a descriptor, so everything beneath it is the kernel's own. A process sees itself as
//! /proc/self, and paths that lead through its root without that. Not seen are calls by the working directory /proc, and
//! the rarer kinds of calls (lists of attributes, watches): those find the stand-ins of [`crate::sandbox`].

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use libc::sock_filter;

use super::caller::{Memory, as_owner};
use super::calls::{At, Shape};
use super::files::old_stat;
use super::kernel::{self, Answer, Asked, Listener};
use super::serve::{PATH_MAX, c_bytes, line_of};
use crate::error::{Error, Result};
use crate::raw::{self, Errno};
use crate::sandbox::{MASKED, READ_ONLY};
use crate::seccomp::{Tests, is_i386, reporting, tables};

/// A call that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Open(At),
    OpenHow,
    Stat(At, Shape),
    ReadLink(At),
    Access(At),
    Mode(At),
    Owner(At),
    Times,
    FileSystem,
    GetAttribute,
    SetAttribute,
    Exec,
}

fn named(name: &str, old: bool) -> Option<Call> {
    let shape = if old { Shape::Old } else { Shape::Own };
    Some(match name {
        "open" => Call::Open(At::Path),
        "openat" => Call::Open(At::Dir),
        "openat2" => Call::OpenHow,
        "stat64" if old => Call::Stat(At::Path, shape),
        "lstat64" if old => Call::Stat(At::Link, shape),
        "fstatat64" if old => Call::Stat(At::Dir, shape),
        "stat" if !old => Call::Stat(At::Path, shape),
        "lstat" if !old => Call::Stat(At::Link, shape),
        "newfstatat" if !old => Call::Stat(At::Dir, shape),
        "statx" => Call::Stat(At::Dir, Shape::Extended),
        "readlink" => Call::ReadLink(At::Link),
        "readlinkat" => Call::ReadLink(At::Dir),
        "access" => Call::Access(At::Path),
        "faccessat" | "faccessat2" => Call::Access(At::Dir),
        "chmod" => Call::Mode(At::Path),
        "fchmodat" | "fchmodat2" => Call::Mode(At::Dir),
        "chown" if !old => Call::Owner(At::Path),
        "chown32" if old => Call::Owner(At::Path),
        "fchownat" => Call::Owner(At::Dir),
        "utimensat" => Call::Times,
        "getxattr" => Call::GetAttribute,
        "setxattr" => Call::SetAttribute,
        "statfs" if !old => Call::FileSystem,
        "execve" => Call::Exec,
        _ => return None,
    })
}

/// The calls that are reported, by their numbers.
struct Reported {
    program: Vec<sock_filter>,
    own: BTreeMap<u32, Call>,
    old: BTreeMap<u32, Call>,
}

impl Reported {
    fn here() -> &'static Self {
        static HERE: OnceLock<Reported> = OnceLock::new();
        HERE.get_or_init(|| {
            let (own, old) = tables();
            let (own, old) = (table(own, false), table(old, true));
            const ALWAYS: Tests = &[];
            let rules = |table: &BTreeMap<u32, Call>| table.keys().map(|number| (*number, ALWAYS)).collect();
            let program = reporting(std::env::consts::ARCH, &rules(&own), &rules(&old));
            Self { program, own, old }
        })
    }
}

fn table(numbers: &str, old: bool) -> BTreeMap<u32, Call> {
    let lines = numbers.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(name, number)| Some((number.parse().ok()?, named(name, old)?))).collect()
}

/// The filter that a command in another root loads.
pub(crate) fn program() -> &'static [sock_filter] {
    &Reported::here().program
}

/// Whether the kernel can report calls, and its /proc is this process's.
pub(crate) fn can_show() -> bool {
    super::missing().is_none()
}

/// Starts the thread that answers for the command whose root is the directory `root`. The command's child sends its
/// listener by the socket that is given back; the thread ends with the command.
pub(crate) fn show(root: &Path) -> Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair().map_err(|cause| Error::deed("make a pair of sockets", cause))?;
    let root = fs::canonicalize(root).map_err(|cause| Error::path("find", root, cause))?;
    let named = std::thread::Builder::new().name("procfs".to_owned());
    let thread = named.spawn(move || {
        let Ok(listener) = crate::sandbox::receive_descriptor(&ours.into(), "receive the listener of a step")
        else {
            return;
        };
        let mut shown = Shown { listener: Arc::new(Listener::new(listener)), root, last: None };
        while let Some(asked) = shown.listener.next() {
            let answer = shown.answer(&asked);
            shown.listener.answer(asked.id, answer);
        }
    });
    thread.map_err(|cause| Error::deed("start a thread for the step's calls", cause))?;
    Ok(theirs.into())
}

struct Shown {
    listener: Arc<Listener>,
    /// The command's root, as this process sees it.
    root: PathBuf,
    /// The memory of who asked last, which is likely to ask next.
    last: Option<(u32, Memory)>,
}

/// How a path names a file.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// A file of the kernel's, by its path here.
    File(PathBuf),
    /// The link to the caller's own directory.
    Own(PathBuf),
}

/// Where this process finds what a process means by an absolute path; nothing where that is no file of the kernel's.
/// `whole` is whether a link at the path's end is followed.
fn find(path: &[u8], (tgid, tid): (u32, u32), whole: bool) -> Option<Named> {
    let mut names =
        path.strip_prefix(b"/")?.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let (first, rest): (&[u8], Vec<&[u8]>) = (names.next()?, names.collect());
    if rest.contains(&&b".."[..]) || leads_on(first, &rest) {
        return None;
    }
    let own = Path::new("/proc").join(tgid.to_string());
    let under = |dir: PathBuf, names: &[&[u8]]| {
        names.iter().fold(dir, |path, name| path.join(OsStr::from_bytes(name)))
    };
    let file: PathBuf = match (first, rest.as_slice()) {
        (b"proc", [b"self"]) if !whole => return Some(Named::Own(tgid.to_string().into())),
        (b"proc", [b"thread-self"]) if !whole => {
            return Some(Named::Own(format!("{tgid}/task/{tid}").into()));
        }
        // What is mounted here is none of its business: the stand-in says that nothing is.
        (b"proc", [b"mounts"] | [b"self", b"mounts" | b"mountinfo" | b"mountstats"]) => return None,
        (b"proc", [b"self", rest @ ..]) => under(own, rest),
        (b"proc", [b"thread-self", rest @ ..]) => under(own.join("task").join(tid.to_string()), rest),
        (b"proc", rest) => under("/proc".into(), rest),
        (b"sys", rest) => under("/sys".into(), rest),
        (b"dev", [b"fd", rest @ ..]) if whole || !rest.is_empty() => under(own.join("fd"), rest),
        (b"dev", [b"stdin"]) if whole => own.join("fd/0"),
        (b"dev", [b"stdout"]) if whole => own.join("fd/1"),
        (b"dev", [b"stderr"]) if whole => own.join("fd/2"),
        (b"dev", [b"ptmx"]) => "/dev/ptmx".into(),
        (b"dev", [b"pts", rest @ ..]) => under("/dev/pts".into(), rest),
        _ => return None,
    };
    (!MASKED.iter().any(|hidden| file.starts_with(hidden))).then_some(Named::File(file))
}

/// Whether a path leads to what a process has open, or to a terminal: the rest of the kernel's files keep their modes,
/// owners, times and attributes, which are the machine's.
fn is_open_file(file: &Path) -> bool {
    let names: Vec<_> = file.iter().skip(1).collect();
    match names.as_slice() {
        [proc, _, fd, _] => *proc == "proc" && *fd == "fd",
        [proc, _, task, _, fd, _] => *proc == "proc" && *task == "task" && *fd == "fd",
        [dev, pts, _] => *dev == "dev" && *pts == "pts",
        _ => false,
    }
}

/// Whether writing there would change the machine: a container sees these read-only.
fn is_the_machines(file: &Path) -> bool {
    file.starts_with("/sys") || READ_ONLY.iter().any(|path| file.starts_with(path))
}

/// Whether a path goes on behind a link to any directory: links there would be followed from this process's root, not
/// from the command's.
fn leads_on(first: &[u8], rest: &[&[u8]]) -> bool {
    let of_process = match (first, rest) {
        (b"dev", [b"fd", _, _, ..]) => return true,
        (b"proc", [_, b"task", _, rest @ ..] | [_, rest @ ..]) => rest,
        _ => return false,
    };
    matches!(of_process, [b"root" | b"cwd" | b"exe", _, ..] | [b"fd" | b"map_files", _, _, ..])
}

impl Shown {
    /// The text that an argument of a call points to.
    fn text(&mut self, asked: &Asked, at: u64) -> raw::Result<Vec<u8>> {
        if let Some((pid, memory)) = &self.last
            && *pid == asked.pid
            // That of a process that is gone, or runs another program by now, says nothing.
            && let Ok(text) = memory.text(at)
        {
            return Ok(text);
        }
        let memory = Memory::of(asked.pid, false)?;
        let text = memory.text(at);
        self.last = Some((asked.pid, memory));
        text
    }

    fn answer(&mut self, asked: &Asked) -> raw::Result<Answer> {
        let reported = Reported::here();
        let table = if is_i386(asked.audit) { &reported.old } else { &reported.own };
        let Some(call) = table.get(&asked.number) else { return Ok(Answer::Native) };
        let (first, flags) = match call {
            Call::Open(At::Dir) => (1, asked.int(2)),
            Call::Open(_) => (0, asked.int(1)),
            Call::OpenHow | Call::ReadLink(At::Dir) => (1, 0),
            Call::Stat(At::Dir, Shape::Extended) => (1, asked.int(2)),
            Call::Stat(At::Dir, _) | Call::Access(At::Dir) | Call::Times | Call::Mode(At::Dir) => {
                (1, asked.int(3))
            }
            Call::Owner(At::Dir) => (1, asked.int(4)),
            _ => (0, 0),
        };
        let address = asked.argument(first);
        let Ok(text) = self.text(asked, address) else { return Ok(Answer::Native) };
        if *call == Call::Exec {
            self.last = None;
        }
        if !is_candidate(&text) {
            return Ok(Answer::Native);
        }
        let whole = match call {
            Call::Stat(At::Link, _) | Call::ReadLink(_) => false,
            Call::Open(_) => flags & libc::O_NOFOLLOW == 0,
            _ => flags & libc::AT_SYMLINK_NOFOLLOW == 0,
        };
        let Some(named) = find(&text, (tgid_of(asked.pid), asked.pid), whole) else {
            return Ok(Answer::Native);
        };
        self.listener.waits(asked.id)?;
        match (named, *call) {
            (Named::Own(text), Call::ReadLink(at)) => tell_link(asked, at, text.as_os_str().as_bytes()),
            (Named::Own(_), _) => Ok(Answer::Native),
            (Named::File(file), Call::Exec) => self.exec(asked, &file, &text),
            (Named::File(file), call) => self.done(asked, call, &file, flags),
        }
    }

    /// Does what a call asks, with the caller's rights.
    fn done(&self, asked: &Asked, call: Call, file: &Path, flags: i32) -> raw::Result<Answer> {
        let path = c_bytes(file.as_os_str().as_bytes().to_vec())?;
        let changes = matches!(call, Call::Mode(_) | Call::Owner(_) | Call::Times | Call::SetAttribute);
        if changes && !is_open_file(file) {
            return if is_the_machines(file) { Err(Errno(libc::EROFS)) } else { Ok(Answer::Native) };
        }
        let look = flags & (libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT);
        match call {
            Call::Open(at) => {
                self.open(asked, &path, flags, asked.argument(if at == At::Dir { 3 } else { 2 }))
            }
            Call::OpenHow => {
                let [flags, mode, resolve] = Memory::of(asked.pid, false)?.words(asked.argument(2))?;
                if resolve != 0 {
                    return Ok(Answer::Native);
                }
                self.open(asked, &path, (flags as u32).cast_signed(), mode)
            }
            Call::Stat(at, Shape::Extended) => {
                debug_assert_eq!(at, At::Dir);
                let mask = asked.argument(3) as u32;
                let found = as_owner(asked.pid, || kernel::statx(raw::AT_CWD, &path, look, mask))?;
                tell(asked, 4, kernel::bytes_of(&found))
            }
            Call::Stat(at, shape) => {
                let look = if at == At::Link { libc::AT_SYMLINK_NOFOLLOW } else { look };
                let found = as_owner(asked.pid, || kernel::stat(&path, look))?;
                let buffer = if at == At::Dir { 2 } else { 1 };
                match shape {
                    Shape::Old => tell(asked, buffer, &old_stat(&found)),
                    _ => tell(asked, buffer, kernel::bytes_of(&found)),
                }
            }
            Call::ReadLink(at) => {
                let mut buffer = [0_u8; PATH_MAX];
                let text = as_owner(asked.pid, || raw::readlinkat(raw::AT_CWD, &path, &mut buffer))?;
                tell_link(asked, at, self.inside(text))
            }
            Call::Access(at) => {
                let mode = asked.int(if at == At::Dir { 2 } else { 1 });
                as_owner(asked.pid, || kernel::may(&path, mode))?;
                Ok(Answer::Value(0))
            }
            Call::Mode(at) => {
                let mode = asked.argument(if at == At::Dir { 2 } else { 1 }) as u32;
                as_owner(asked.pid, || kernel::change_mode(&path, mode))?;
                Ok(Answer::Value(0))
            }
            Call::Owner(at) => {
                let first = if at == At::Dir { 2 } else { 1 };
                let (uid, gid) = (asked.argument(first) as u32, asked.argument(first + 1) as u32);
                as_owner(asked.pid, || kernel::change_owner(&path, uid, gid))?;
                Ok(Answer::Value(0))
            }
            Call::Times if is_i386(asked.audit) && asked.argument(2) != 0 => Ok(Answer::Native),
            Call::Times => {
                let at = asked.argument(2);
                let read = |at| Memory::of(asked.pid, false)?.words::<4>(at);
                let times = (at != 0).then(|| read(at)).transpose()?.map(|times| times.map(u64::cast_signed));
                as_owner(asked.pid, || kernel::change_times(&path, times))?;
                Ok(Answer::Value(0))
            }
            Call::FileSystem => {
                let found = as_owner(asked.pid, || kernel::statfs(&path))?;
                tell(asked, 1, kernel::bytes_of(&found))
            }
            Call::GetAttribute | Call::SetAttribute => attribute(asked, call, &path),
            Call::Exec => Ok(Answer::Native),
        }
    }

    fn open(&self, asked: &Asked, path: &CStr, flags: i32, mode: u64) -> raw::Result<Answer> {
        let writes =
            flags & libc::O_ACCMODE != libc::O_RDONLY || flags & (libc::O_TRUNC | libc::O_CREAT) != 0;
        if writes
            && flags & libc::O_PATH == 0
            && is_the_machines(Path::new(OsStr::from_bytes(path.to_bytes())))
        {
            return Err(Errno(libc::EROFS));
        }
        let opening =
            Opening { id: asked.id, pid: asked.pid, path: path.to_owned(), flags, mode: mode as u32 };
        if !opening.may_wait() {
            return opening.answer(&self.listener);
        }
        // Whoever is to open the other end has to be answered meanwhile.
        let listener = Arc::clone(&self.listener);
        let thread = std::thread::Builder::new().name("procfs-open".to_owned()).spawn(move || {
            let answer = opening.answer(&listener);
            listener.answer(opening.id, answer);
        });
        thread.map(|_| Answer::Given).map_err(|_| Errno(libc::EAGAIN))
    }

    /// A program that starts itself again by the kernel's link to it is told the file's name instead, if there is room:
    /// nobody else can start it.
    fn exec(&self, asked: &Asked, file: &Path, text: &[u8]) -> raw::Result<Answer> {
        let path = c_bytes(file.as_os_str().as_bytes().to_vec())?;
        let mut buffer = [0_u8; PATH_MAX];
        let Ok(target) = raw::readlinkat(raw::AT_CWD, &path, &mut buffer) else { return Ok(Answer::Native) };
        let inside = self.inside(target);
        if inside.first() == Some(&b'/') && inside.len() <= text.len() {
            let name = CString::new(inside).map_err(|_| Errno(libc::ENOENT))?;
            Memory::of(asked.pid, true)?.write(asked.argument(0), name.as_bytes_with_nul())?;
        }
        Ok(Answer::Native)
    }

    /// A path of this process as the command sees it.
    fn inside<'t>(&self, path: &'t [u8]) -> &'t [u8] {
        match path.strip_prefix(self.root.as_os_str().as_bytes()) {
            Some(b"") => b"/",
            Some(rest) if rest.first() == Some(&b'/') => rest,
            _ => path,
        }
    }
}

/// Reads or sets an attribute of what a path leads to: access lists are set so, by way of /proc/self/fd.
fn attribute(asked: &Asked, call: Call, path: &CStr) -> raw::Result<Answer> {
    let memory = Memory::of(asked.pid, false)?;
    let name = c_bytes(memory.text(asked.argument(1))?)?;
    let size = usize::try_from(asked.argument(3)).unwrap_or(usize::MAX);
    if call == Call::SetAttribute {
        if size > ATTRIBUTE_MAX {
            return Err(Errno(libc::E2BIG));
        }
        let value = memory.bytes(asked.argument(2), size)?;
        as_owner(asked.pid, || kernel::set_attribute(path, &name, Some(&value)))?;
        return Ok(Answer::Value(0));
    }
    let mut buffer = vec![0; ATTRIBUTE_MAX];
    let value = as_owner(asked.pid, || kernel::attribute(path, &name, true, &mut buffer))?;
    match size {
        0 => {}
        size if size < value.len() => return Err(Errno(libc::ERANGE)),
        _ => Memory::of(asked.pid, true)?.write(asked.argument(2), value)?,
    }
    Ok(Answer::Value(value.len() as i64))
}

/// The kernel's limit on an attribute's length.
const ATTRIBUTE_MAX: usize = 64 << 10;

/// A file that is to be opened for a caller.
struct Opening {
    id: u64,
    pid: u32,
    path: CString,
    flags: i32,
    mode: u32,
}

impl Opening {
    /// Whether it is a pipe that has to be opened at its other end too.
    fn may_wait(&self) -> bool {
        let waits = self.flags & (libc::O_NONBLOCK | libc::O_PATH) == 0;
        waits && kernel::stat(&self.path, 0).is_ok_and(|found| found.st_mode & libc::S_IFMT == libc::S_IFIFO)
    }

    fn answer(&self, listener: &Listener) -> raw::Result<Answer> {
        // The terminal of nobody here, whatever is opened.
        let flags = self.flags | libc::O_NOCTTY | libc::O_CLOEXEC;
        let file = as_owner(self.pid, || kernel::open(&self.path, flags, self.mode))?;
        listener.answer_with(self.id, &file, self.flags & libc::O_CLOEXEC != 0)?;
        Ok(Answer::Given)
    }
}

/// Whether a path may name a file of the kernel's: nearly none does.
fn is_candidate(path: &[u8]) -> bool {
    let names = path.iter().position(|byte| *byte != b'/').filter(|at| *at > 0);
    let rest = names.and_then(|at| path.get(at..)).unwrap_or_default();
    [&b"proc"[..], b"sys", b"dev", b"./"].iter().any(|begin| rest.starts_with(begin))
}

fn tgid_of(tid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    line_of(&status, "Tgid:").and_then(|line| line.parse().ok()).unwrap_or(tid)
}

fn tell(asked: &Asked, argument: usize, bytes: &[u8]) -> raw::Result<Answer> {
    Memory::of(asked.pid, true)?.write(asked.argument(argument), bytes)?;
    Ok(Answer::Value(0))
}

/// A link's text, cut where there is no more room, as the kernel does.
fn tell_link(asked: &Asked, at: At, text: &[u8]) -> raw::Result<Answer> {
    let buffer = if at == At::Dir { 2 } else { 1 };
    let room = usize::try_from(asked.int(buffer + 1)).map_err(|_| Errno(libc::EINVAL))?;
    let text = text.get(..room.min(text.len())).unwrap_or(text);
    tell(asked, buffer, text)?;
    Ok(Answer::Value(text.len() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, whole: bool, expected: Option<&str>) {
        let found = find(path.as_bytes(), (42, 43), whole);
        assert_eq!(found, expected.map(|path| Named::File(path.into())), "{path}");
    }

    #[test]
    fn files_of_the_kernel_are_found() {
        check("/proc/self/exe", false, Some("/proc/42/exe"));
        check("//proc/./self/fd/", true, Some("/proc/42/fd"));
        check("/proc/self", true, Some("/proc/42"));
        check("/proc/thread-self/comm", true, Some("/proc/42/task/43/comm"));
        check("/proc", true, Some("/proc"));
        check("/proc/7/stat", true, Some("/proc/7/stat"));
        check("/sys/class", true, Some("/sys/class"));
        check("/dev/fd/63", true, Some("/proc/42/fd/63"));
        check("/dev/fd/63", false, Some("/proc/42/fd/63"));
        check("/dev/stdout", true, Some("/proc/42/fd/1"));
        check("/dev/pts/3", true, Some("/dev/pts/3"));
        check("/proc/kcore", true, None);
        for (path, open, machines) in [
            ("/proc/42/fd/3", true, false),
            ("/proc/42/task/43/fd/3", true, false),
            ("/dev/pts/3", true, false),
            ("/proc/42/comm", false, false),
            ("/proc/sys/kernel/hostname", false, true),
            ("/sys/kernel", false, true),
        ] {
            assert_eq!(
                (is_open_file(path.as_ref()), is_the_machines(path.as_ref())),
                (open, machines),
                "{path}"
            );
        }
        check("/proc/self/root/", true, Some("/proc/42/root"));
        check("/proc/self/fdinfo/3", true, Some("/proc/42/fdinfo/3"));
        assert_eq!(find(b"/proc/self", (42, 43), false), Some(Named::Own("42".into())));
        assert_eq!(find(b"/proc/thread-self", (42, 43), false), Some(Named::Own("42/task/43".into())));
    }

    #[test]
    fn others_are_left_to_the_kernel() {
        for path in [
            "/etc/passwd",
            "/dev/null",
            "/dev/shm/x",
            "proc/self",
            "/proc/../etc",
            "/procs",
            "/proc/mounts",
            "/proc/self/mountinfo",
            "",
            // A link behind these would be followed from another root.
            "/proc/self/root/etc/mtab",
            "/proc/7/task/8/cwd/x",
            "/proc/self/fd/3/x",
            "/proc/self/task/7/fd/3/x",
            "/dev/fd/3/x",
        ] {
            check(path, true, None);
        }
        for path in ["/dev/stdin", "/dev/fd"] {
            check(path, false, None);
        }
        for path in ["/usr/lib/x", "etc", "", "/", "proc"] {
            assert!(!is_candidate(path.as_bytes()), "{path}");
        }
        assert!(is_candidate(b"//proc/self"));
    }
}
