//! A process that stays outside: it starts programs where this process was before it entered its namespaces.
//!
//! In a user namespace a program finds another user id, and the files of the machine's root belong to nobody; `ssh`
//! then looks for keys in another home and refuses the machine's own configuration. The process also leads a session
//! of its own without a terminal, so that what it starts neither asks there nor hears its Ctrl-C.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, waitpid};

use crate::error::{Error, Result};
use crate::raw;

/// A command line is no longer.
const REQUEST_MAX: usize = 64 << 10;
/// A program that is asked to end has so long for it.
const GRACE: Duration = Duration::from_secs(2);
/// A line tells an exit code.
const ENDED: u8 = 0;
/// A line tells the number of the error for which the program was not started.
const NOT_STARTED: u8 = 1;

/// The process outside. Dropped, or when this process is gone, all that it started is ended.
#[derive(Debug)]
pub struct Outside {
    door: Option<OwnedFd>,
    process: Pid,
}

/// A program that was started outside.
#[derive(Debug)]
pub struct Started {
    /// Its standard input and output.
    pub stream: UnixStream,
    /// Its standard error.
    pub said: File,
    /// What keeps it alive.
    pub line: Line,
}

/// Keeps a program alive: it is ended when this is dropped, with all of its process group.
#[derive(Debug)]
pub struct Line(UnixStream);

impl Line {
    /// The program's exit code once it has ended; 128 and its number for a signal. Waits so long, and tells it once.
    ///
    /// # Errors
    /// It has not ended by then; or it could not be started, for the reason that the error has.
    pub fn code(&self, patience: Duration) -> io::Result<u8> {
        self.0.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        let mut told = [0; 2];
        (&self.0).read_exact(&mut told)?;
        match told {
            [ENDED, code] => Ok(code),
            [_, errno] => Err(io::Error::from_raw_os_error(i32::from(errno))),
        }
    }
}

impl Outside {
    /// Leaves a process behind. Must be called while this process has one thread, before it enters a namespace.
    pub fn start() -> Result<Self> {
        let failed = |cause: io::Error| Error::deed("start a process outside of the sandbox level", cause);
        if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
            return Err(Error::Invalid(
                "a process outside was asked for after threads were started".to_owned(),
            ));
        }
        let (theirs, ours) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|errno| failed(errno.into()))?;
        // SAFETY: this is the only thread, so no lock is held by another, and the copy may do what any process may.
        match unsafe { libc::fork() } {
            0 => {
                drop(ours);
                attend(theirs)
            }
            pid => match Pid::from_raw(pid) {
                Some(process) if pid > 0 => Ok(Self { door: Some(ours), process }),
                _ => Err(failed(io::Error::last_os_error())),
            },
        }
    }

    /// Starts a program, found by `PATH`, in a process group of its own.
    ///
    /// # Errors
    /// The process outside is gone, or descriptors cannot be made. Whether the program could be started tells its
    /// [`Line`].
    pub fn run(&self, program: &OsStr, arguments: &[OsString]) -> io::Result<Started> {
        let (stream, far) = UnixStream::pair()?;
        let (said, say) = io::pipe()?;
        let (line, far_line) = UnixStream::pair()?;
        let mut words = program.as_bytes().to_vec();
        for argument in arguments {
            words.push(0);
            words.extend(argument.as_bytes());
        }
        if words.len() > REQUEST_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command line is too long"));
        }
        let passed = [far.as_fd(), say.as_fd(), far_line.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&passed));
        let door = self.door.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        rustix::net::sendmsg(door, &[IoSlice::new(&words)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(Started { stream, said: File::from(OwnedFd::from(said)), line: Line(line) })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.door.take());
        let _ = waitpid(Some(self.process), WaitOptions::empty());
    }
}

/// What the process outside does until nobody can ask it any more.
fn attend(door: OwnedFd) -> ! {
    let done = settle().and_then(|()| serve(&door));
    raw::exit(i32::from(done.is_err()))
}

/// Leaves the terminal, and lets go of the caller's files: whoever reads its output must see its end.
fn settle() -> io::Result<()> {
    raw::setsid()?;
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for standard in 0..3 {
        raw::dup3(nothing.as_raw_fd(), standard)?;
    }
    // What the caller left open is nothing for programs.
    raw::close_on_exec_from(3);
    Ok(())
}

fn serve(door: &OwnedFd) -> io::Result<()> {
    let mut runs = Vec::new();
    while let Some((words, files)) = request(door)? {
        runs.retain(|run: &std::thread::JoinHandle<()>| !run.is_finished());
        runs.push(std::thread::Builder::new().spawn(move || run(&words, files))?);
    }
    // Their lines are cut: the process that held them is gone or lets go of everything.
    let until = Instant::now() + 2 * GRACE;
    while runs.iter().any(|run| !run.is_finished()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The next program to start; nothing once nobody asks any more.
fn request(door: &OwnedFd) -> io::Result<Option<(Vec<OsString>, [OwnedFd; 3])>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; REQUEST_MAX];
    let length = loop {
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(door, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received.bytes,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    let words = bytes[..length].split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    Ok(files.try_into().ok().filter(|_| length > 0).map(|files| (words.collect(), files)))
}

/// Starts a program, and ends it when its line is cut.
fn run(words: &[OsString], [stream, said, line]: [OwnedFd; 3]) {
    let line = UnixStream::from(line);
    let Some((program, arguments)) = words.split_first() else { return };
    let spawned = stream.try_clone().and_then(|out| {
        let mut command = Command::new(program);
        command.args(arguments).process_group(0).stdin(stream).stdout(out);
        command.stderr(said.try_clone()?).spawn()
    });
    let mut child = match spawned {
        Ok(child) => child,
        Err(cause) => {
            tell(&line, NOT_STARTED, cause.raw_os_error().unwrap_or(libc::EIO));
            return;
        }
    };
    drop(said);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = pid.is_some_and(|pid| ends_before(pid, &line, None));
    if !ended && let Some(pid) = pid {
        let _ = kill_process_group(pid, Signal::TERM);
        ends_before(pid, &line, Some(GRACE));
    }
    // Before it is waited for, its number is nobody else's.
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    if let Ok(status) = child.wait() {
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        tell(&line, ENDED, code.unwrap_or_default());
    }
}

/// Whether a process ends before its line is cut, or before so much time is over, where the line does not count.
fn ends_before(pid: Pid, line: &UnixStream, patience: Option<Duration>) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let until = patience.map(|patience| Instant::now() + patience);
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        let mut watched = vec![PollFd::new(&process, PollFlags::IN)];
        if until.is_none() {
            watched.push(PollFd::new(line, PollFlags::IN));
        }
        match poll(&mut watched, limit.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(count) => return count > 0 && !watched[0].revents().is_empty(),
            Err(_) => return false,
        }
    }
}

fn tell(mut line: &UnixStream, what: u8, number: i32) {
    // Nobody listens where the line is cut.
    let _ = line.write_all(&[what, u8::try_from(number).unwrap_or(u8::MAX)]);
}
