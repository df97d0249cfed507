//! Answers the calls of one step, one after the other.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use super::book::{Book, path_of};
use super::caller;
use super::calls::{At, Call};
use super::creds::Creds;
use super::filter::Reported;
use super::kernel::{self, Answer, Asked, Listener};
use super::people::People;
use super::place::{Place, place};
use crate::owner::{Owner, OwnerTable};
use crate::raw::{self, Errno, Result};

/// What is known of a step before it runs.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) first: Creds,
    pub(super) changes: Option<OwnedFd>,
    pub(super) below: BTreeMap<Vec<u8>, Owner>,
    pub(super) mounted: BTreeMap<Vec<u8>, Owner>,
    pub(super) earlier: OwnerTable,
    /// This machine's /proc, in which the step's processes have the numbers that the listener tells.
    pub(super) proc: OwnedFd,
    /// Whether processes may have a user namespace or mounts of their own.
    pub(super) free: bool,
}

/// The state of a step that runs.
pub(super) struct Step {
    pub(super) listener: Listener,
    pub(super) people: People,
    pub(super) book: Book,
    proc: OwnedFd,
    /// The step's root.
    root: OwnedFd,
    /// The user namespace of the step.
    userns: Option<u64>,
    /// Whether any process may have another root.
    roots_differ: bool,
}

/// Longest path that the kernel takes, with the zero byte.
pub(super) const PATH_MAX: usize = 4096;

/// Serves until nobody is left, and tells the owners of what takes no note.
pub(super) fn serve(listener: OwnedFd, begin: Begin) -> OwnerTable {
    let listener = Listener::new(listener);
    let first = loop {
        let Some(asked) = listener.next() else { return OwnerTable::new() };
        // Until the command itself is started it is ireko who calls, to make the sandbox.
        match Reported::here().call(asked.audit, asked.number) {
            Some(Call::Exec(_)) => break asked,
            _ => listener.answer(asked.id, Ok(Answer::Native)),
        }
    };
    let mut step = match Step::begin(listener, begin, first.pid) {
        Ok(step) => step,
        Err((listener, errno)) => {
            // The command does not start, and says why.
            listener.answer(first.id, Err(errno));
            while let Some(asked) = listener.next() {
                listener.answer(asked.id, Ok(Answer::Native));
            }
            return OwnerTable::new();
        }
    };
    step.one(&first);
    while let Some(asked) = step.listener.next() {
        step.one(&asked);
    }
    step.book.into_table()
}

impl Step {
    fn begin(listener: Listener, begin: Begin, pid: u32) -> std::result::Result<Self, (Listener, Errno)> {
        let Begin { first, changes, below, mounted, earlier, proc, free } = begin;
        let open = || -> Result<(OwnedFd, u64, Option<u64>)> {
            kernel::join(pid, &proc)?;
            let root = kernel::open(c"/", libc::O_PATH | libc::O_DIRECTORY, 0)?;
            let found = kernel::statx(root.as_raw_fd(), c"", libc::AT_EMPTY_PATH, libc::STATX_MNT_ID)?;
            Ok((root, found.stx_mnt_id, free.then(|| userns_of(pid)).flatten()))
        };
        match open() {
            Err(errno) => Err((listener, errno)),
            Ok((root, mount, userns)) => Ok(Self {
                listener,
                people: People::new(first),
                book: Book::new((mount, changes), below, mounted).knowing(earlier),
                proc,
                root,
                userns,
                roots_differ: free,
            }),
        }
    }

    fn one(&mut self, asked: &Asked) {
        let call = Reported::here().call(asked.audit, asked.number);
        let answer = match call {
            None => Ok(Answer::Native),
            // In a user namespace of its own a process is no concern of ours.
            Some(_) if self.userns.is_some() && userns_of(asked.pid) != self.userns => Ok(Answer::Native),
            Some(Call::ChangeRoot) => {
                self.roots_differ = true;
                Ok(Answer::Native)
            }
            Some(call) if self.roots_differ => self.as_in_its_root(asked, call),
            Some(call) => self.answer(asked, call),
        };
        self.listener.answer(asked.id, answer);
    }

    fn answer(&mut self, asked: &Asked, call: Call) -> Result<Answer> {
        match call {
            Call::Chown(at, width) => self.chown(asked, at, width),
            Call::Stat(at, shape) => self.stat(asked, at, shape),
            Call::List(at) => self.list(asked, at),
            Call::Attribute(at) => self.set_attribute(asked, at),
            Call::Exec(at) => self.exec(asked, at),
            Call::Move(at) => self.before_move(asked, at),
            Call::Open(_)
            | Call::OpenHow
            | Call::Create
            | Call::MakeDir(_)
            | Call::MakeNode(_)
            | Call::Link(_) => self.create(asked, call),
            other => self.identity(asked, other),
        }
    }

    /// Answers as seen from the root of the process, where that is another than the step's.
    fn as_in_its_root(&mut self, asked: &Asked, call: Call) -> Result<Answer> {
        let pid = asked.pid;
        let theirs = kernel::open(&c(format!("{pid}/root"))?, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let id = |file: &OwnedFd| {
            let mask = libc::STATX_INO | libc::STATX_MNT_ID;
            let found = kernel::statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH, mask)?;
            Ok::<_, Errno>((found.stx_mnt_id, found.stx_ino))
        };
        if id(&theirs)? == id(&self.root)? {
            return self.answer(asked, call);
        }
        let mut buffer = [0_u8; PATH_MAX];
        let root = raw::readlinkat(raw::AT_CWD, &path_of(&theirs), &mut buffer)?;
        self.book.root = [root.strip_prefix(b"/").unwrap_or(root), b"/"].concat();
        kernel::change_root(&theirs, &self.proc)?;
        let answer = self.answer(asked, call);
        self.book.root.clear();
        kernel::change_root(&self.root, &self.proc)?;
        answer
    }

    /// Where the file of a call is, the arguments that name it coming first.
    pub(super) fn place(&self, asked: &Asked, at: At, flags: i32) -> Result<Place> {
        let pid = asked.pid;
        match at {
            At::Path => place(pid, raw::AT_CWD, &self.path(asked, 0)?, true),
            At::Link => place(pid, raw::AT_CWD, &self.path(asked, 0)?, false),
            At::Open => place(pid, asked.int(0), b"", true),
            At::Dir => {
                let path = self.path(asked, 1)?;
                if path.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
                    return Err(Errno(libc::ENOENT));
                }
                place(pid, asked.int(0), &path, flags & libc::AT_SYMLINK_NOFOLLOW == 0)
            }
        }
    }

    /// The path that an argument points to.
    pub(super) fn path(&self, asked: &Asked, argument: usize) -> Result<Vec<u8>> {
        match asked.argument(argument) {
            0 => Ok(Vec::new()),
            at => caller::text(at, |at, room| kernel::peek(asked.pid, at, room)),
        }
    }

    /// Words of 32 bits in the caller's memory.
    pub(super) fn words(&self, asked: &Asked, argument: usize, count: usize) -> Result<Vec<u32>> {
        let mut bytes = vec![0_u8; count * 4];
        if count > 0 && kernel::peek(asked.pid, asked.argument(argument), &mut bytes)? != bytes.len() {
            return Err(Errno(libc::EFAULT));
        }
        let word = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap_or(0);
        Ok(bytes.chunks_exact(4).map(word).collect())
    }

    /// Writes an answer into the caller's memory, if it still waits.
    pub(super) fn tell(&self, asked: &Asked, argument: usize, bytes: &[u8]) -> Result<()> {
        self.listener.waits(asked.id)?;
        kernel::poke(asked.pid, asked.argument(argument), bytes)
    }

    /// Opens a file for being looked at and given an owner; nothing is done to it.
    pub(super) fn open(&self, place: &Place) -> Result<OwnedFd> {
        let flags = libc::O_PATH | if place.follow { 0 } else { libc::O_NOFOLLOW };
        kernel::open(&place.path, flags, 0)
    }
}

fn userns_of(pid: u32) -> Option<u64> {
    let path = c(format!("{pid}/ns/user")).ok()?;
    kernel::statx(raw::AT_CWD, &path, 0, libc::STATX_INO).ok().map(|found| found.stx_ino)
}

pub(super) fn c(text: String) -> Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|_| Errno(libc::EINVAL))
}

/// A text that came from a path of the caller's.
pub(super) fn c_bytes(text: Vec<u8>) -> Result<std::ffi::CString> {
    std::ffi::CString::new(text).map_err(|_| Errno(libc::EINVAL))
}

/// A line of what the kernel says of a process.
pub(super) fn status_of(pid: u32, name: &str) -> Result<String> {
    let gone = Errno(libc::ESRCH);
    let status = std::fs::read_to_string(format!("{pid}/status")).map_err(|_| gone)?;
    line_of(&status, name).map(str::to_owned).ok_or(gone)
}

/// What a line of a process's status says.
pub(super) fn line_of<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The umask of a process.
pub(super) fn umask_of(pid: u32) -> Result<u32> {
    u32::from_str_radix(&status_of(pid, "Umask:")?, 8).map_err(|_| Errno(libc::ESRCH))
}

/// A capability set of a file, as its attribute has it: permitted, inheritable, in force at once.
pub(super) fn file_caps(path: &CStr) -> Option<(u64, u64, bool)> {
    let mut buffer = [0_u8; 24];
    let found = kernel::attribute(path, c"security.capability", true, &mut buffer).ok()?;
    let word = |at: usize| -> Option<u64> {
        let bytes: [u8; 4] = found.get(at * 4..at * 4 + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes).into())
    };
    let join = |low: u64, high: u64| low | high << 32;
    Some((join(word(1)?, word(3)?), join(word(2)?, word(4)?), word(0)? & 1 == 1))
}
