//! A command that runs: waiting for it, signalling it, and tidying up after it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::c_int;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::keeper::Kept;
use super::moved::Moved;
use crate::cgroup::{Group, Groups};
use crate::error::{Error, Result};
use crate::notify::Answering;
use crate::owner::OwnerTable;
use crate::raw;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code a shell shows: a signal's is 128 and its number.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Which /proc a command sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proc {
    /// Its own.
    Own,
    /// That of the container around this process, which refuses another: other processes show in it.
    Outer,
}

/// A place that was made for a mount and is no part of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Where, relative to the root, free of links.
    pub path: PathBuf,
    /// Whether it is a directory; else it is an empty file.
    pub is_dir: bool,
}

/// A command that was started. Dropped before it ended, it is killed with all it started.
#[derive(Debug)]
pub struct Running {
    pid: c_int,
    pidfd: OwnedFd,
    groups: Groups,
    out_of_memory: bool,
    exit: Option<Exit>,
    /// Our end of its standard input, if that is a pipe.
    pub stdin: Option<File>,
    /// Our end of its standard output, if that is a pipe.
    pub stdout: Option<File>,
    /// Our end of its standard error, if that is a pipe.
    pub stderr: Option<File>,
    /// Our end of its terminal, if it has one. Reading fails with `EIO` when the other end is closed.
    pub terminal: Option<File>,
    /// Places made for mounts, parents first. They lie in the upper directory (or the plain root) until
    /// [`remove_mount_points`] takes them away, after the command has ended.
    pub mount_points: Vec<MountPoint>,
    /// Which /proc it sees.
    pub proc: Proc,
    pub(super) answering: Option<Answering>,
    /// The line to its keeper, where it has one.
    line: Option<OwnedFd>,
    /// What was moved into its root.
    moved: Option<Moved>,
}

/// Kills a command with all it started, from any thread.
#[derive(Debug)]
pub struct Killer(Reach);

#[derive(Debug)]
enum Reach {
    /// A handle of the first process of its namespace.
    First(OwnedFd),
    /// The line to its keeper.
    Line(OwnedFd),
}

impl Killer {
    /// Does it. One that has ended takes no notice.
    pub fn kill(&self) -> Result<()> {
        let done = match &self.0 {
            Reach::First(process) => rustix::process::pidfd_send_signal(process, Signal::KILL),
            Reach::Line(line) => rustix::io::write(line, b"k").map(drop),
        };
        match done {
            Ok(()) | Err(rustix::io::Errno::SRCH | rustix::io::Errno::PIPE) => Ok(()),
            Err(errno) => Err(Error::deed("kill the command", errno)),
        }
    }
}

impl Running {
    pub(super) fn new(pid: c_int, pidfd: OwnedFd, groups: Groups) -> Self {
        Self {
            pid,
            pidfd,
            groups,
            out_of_memory: false,
            exit: None,
            stdin: None,
            stdout: None,
            stderr: None,
            terminal: None,
            mount_points: Vec::new(),
            proc: Proc::Own,
            answering: None,
            line: None,
            moved: None,
        }
    }

    /// One that has a keeper, and a root into which things were moved.
    pub(super) fn kept(kept: Kept, groups: Groups, moved: Moved) -> Self {
        let mut new = Self::new(kept.pid, kept.pidfd, groups);
        new.mount_points = moved.made();
        (new.line, new.moved) = (Some(kept.line), Some(moved));
        new
    }

    /// What kills it, for another thread.
    pub fn killer(&self) -> Result<Killer> {
        let (reach, handle): (fn(OwnedFd) -> Reach, _) = match &self.line {
            Some(line) => (Reach::Line, line),
            None => (Reach::First, &self.pidfd),
        };
        let handle =
            handle.try_clone().map_err(|cause| Error::deed("copy a handle of the command", cause))?;
        Ok(Killer(reach(handle)))
    }

    /// The directory of the control group it has for itself, until it has ended; none where it could not get one.
    #[must_use]
    pub fn group(&self) -> Option<&Path> {
        self.groups.unified.as_ref().map(Group::path)
    }

    /// Whether the kernel killed something in it for using more memory than its limit; known when it has ended.
    #[must_use]
    pub fn out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// Owners that it gave to files which take no note; complete when it has ended, and told once.
    pub fn owners(&mut self) -> OwnerTable {
        self.answering.take().map_or_else(OwnerTable::new, Answering::finish)
    }

    /// Its process id, as this process sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Waits until it has ended, and with it everything it started.
    pub fn wait(&mut self) -> Result<Exit> {
        loop {
            match self.ask(WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Error::deed("wait for the command", errno)),
                Ok(Some(exit)) => return self.move_out().map(|()| exit),
                Ok(None) => {}
            }
        }
    }

    fn move_out(&mut self) -> Result<()> {
        self.moved.take().map_or(Ok(()), |mut moved| moved.take_out())
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        let exit = self
            .ask(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
            .map_err(|errno| Error::deed("wait for the command", errno))?;
        if exit.is_some() {
            self.move_out()?;
        }
        Ok(exit)
    }

    fn ask(&mut self, options: WaitIdOptions) -> rustix::io::Result<Option<Exit>> {
        if self.exit.is_none()
            && let Some(status) = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?
        {
            self.exit = status
                .exit_status()
                .map(Exit::Code)
                .or_else(|| status.terminating_signal().map(Exit::Signal));
            if self.exit.is_some() {
                self.out_of_memory = self.groups.out_of_memory();
                self.groups = Groups::default();
            }
        }
        Ok(self.exit)
    }

    /// Sends it a signal by number. One that has ended takes no notice.
    pub fn signal(&self, number: i32) -> Result<()> {
        if number == libc::SIGKILL {
            return self.kill();
        }
        let signal = Signal::from_named_raw(number)
            .ok_or_else(|| Error::Invalid(format!("there is no signal {number}")))?;
        match rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::deed("signal the command", errno)),
        }
    }

    /// Kills it and everything it started.
    pub fn kill(&self) -> Result<()> {
        self.killer()?.kill()
    }

    /// Tells its terminal a new size. Without a terminal, nothing happens.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        match &self.terminal {
            Some(terminal) => raw::set_window_size(terminal.as_raw_fd(), rows, columns)
                .map_err(|errno| Error::deed("resize the terminal", errno)),
            None => Ok(()),
        }
    }
}

impl AsFd for Running {
    /// A descriptor that becomes readable when the command ends.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit.is_none() {
            // It may have ended already; then there is only the waiting left.
            let _ = self.kill();
            let _ = self.wait();
        }
    }
}

/// Reads the child's log of places made, leaving out what lies in our own mounts.
pub(super) fn mount_points(log: &[u8]) -> Vec<MountPoint> {
    let mut covered: Vec<&Path> = ["dev", "proc", "sys"].map(Path::new).to_vec();
    let mut made = Vec::new();
    for (letter, path) in log.split(|byte| *byte == 0).filter_map(<[u8]>::split_first) {
        let path = Path::new(OsStr::from_bytes(path));
        match letter {
            b'm' => covered.push(path),
            // What lies in a mount is not the root's, though that may have a directory of the same name.
            _ if covered.iter().any(|mount| path != *mount && path.starts_with(mount)) => {}
            letter => made.push(MountPoint { path: path.to_owned(), is_dir: *letter == b'd' }),
        }
    }
    made
}

/// Removes the places made for mounts from `base`: the upper directory of the sandbox's overlay, or its plain
/// root. What the command has put something into, or replaced, stays.
///
/// Links are not followed, whatever the command has made of the directories in between.
pub fn remove_mount_points(base: &Path, made: &[MountPoint]) -> Result<()> {
    let failed =
        |path: &Path, errno: rustix::io::Errno| Error::path("remove mount point", base.join(path), errno);
    let root = rustix::fs::open(base, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::path("open", base, errno))?;
    for MountPoint { path, is_dir } in made.iter().rev() {
        let Some(name) = path.file_name() else { continue };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let parent = match rustix::fs::openat2(&root, parent, flags, Mode::empty(), resolve) {
            Ok(parent) => parent,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => continue,
            Err(errno) => return Err(failed(path, errno)),
        };
        match remove_one(&parent, name, *is_dir) {
            Ok(())
            | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOTDIR) => {}
            Err(errno) => return Err(failed(path, errno)),
        }
    }
    Ok(())
}

fn remove_one(parent: &OwnedFd, name: &OsStr, is_dir: bool) -> rustix::io::Result<()> {
    if is_dir {
        return rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
    }
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0 {
        rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
    }
    Ok(())
}
