//! The standard streams of a container that has no terminal: as in Docker, each is a pipe to it, whatever it is to us.
//!
//! A terminal of ours would be seen as one inside; a file would be emptied by whoever opens `/dev/stdout` again, and
//! could not be opened by another user. So what is no pipe of the container's user is carried over.

use super::terminal::INTERRUPTS;
use crate::cli::RunArgs;
use ireko_sys::sandbox::{Running, Stdio, Stream};
use ireko_sys::signals::Signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat, makedev};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;

/// What the container's streams are, for a program that runs as this user.
pub(super) fn of(args: &RunArgs, user: u32) -> Stdio {
    let stream = |ours: BorrowedFd<'_>| if serves(ours, user) { Stream::Inherit } else { Stream::Pipe };
    Stdio::Streams {
        stdin: if args.interactive { stream(io::stdin().as_fd()) } else { Stream::Null },
        stdout: stream(io::stdout().as_fd()),
        stderr: stream(io::stderr().as_fd()),
    }
}

/// Whether a stream of ours can be the container's as it is.
fn serves(ours: BorrowedFd<'_>, user: u32) -> bool {
    let Ok(stat) = fstat(ours) else { return true };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => stat.st_uid == user,
        FileType::CharacterDevice => stat.st_rdev == makedev(1, 3),
        _ => false,
    }
}

/// Carries bytes over by plain reads and writes. `io::copy` would have the kernel splice, which writes at the place where
/// the file ended when it began: two streams into one file would overwrite each other.
pub(super) fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The outputs that are being carried over, each by a thread.
pub(super) struct Carried {
    threads: Vec<JoinHandle<io::Result<()>>>,
    /// Each thread has a copy of `alive`; when the last is gone, `over` has ended.
    alive: PipeWriter,
    over: PipeReader,
}

impl Carried {
    /// Begins to carry over what is piped.
    pub(super) fn of(running: &mut Running) -> io::Result<Self> {
        if let Some(mut inside) = running.stdin.take() {
            let mut outside = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            // Nobody waits for it: it may be asking a terminal when the container ends.
            std::thread::spawn(move || pass(&mut outside, &mut inside));
        }
        let outputs = [
            (running.stdout.take(), io::stdout().as_fd().try_clone_to_owned()?),
            (running.stderr.take(), io::stderr().as_fd().try_clone_to_owned()?),
        ];
        let (over, alive) = io::pipe()?;
        let mut carried = Self { threads: Vec::new(), alive, over };
        for (inside, outside) in outputs {
            let Some(mut inside) = inside else { continue };
            let mut outside = File::from(outside);
            // When nobody reads any more, the pipe is closed, and the program hears of it.
            carried.add(move || pass(&mut inside, &mut outside))?;
        }
        Ok(carried)
    }

    /// Starts a thread that carries an output over.
    pub(super) fn add(&mut self, carry: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let alive = self.alive.try_clone()?;
        self.threads.push(std::thread::spawn(move || {
            let outcome = carry();
            drop(alive);
            outcome
        }));
        Ok(())
    }

    /// Waits until all of a container that has ended is carried over. The wish to end, of which the container can hear
    /// no more, ends this: whoever reads may never go on.
    pub(super) fn finish(self, signals: &mut Signals) -> io::Result<()> {
        let Self { threads, alive, over } = self;
        drop(alive);
        loop {
            let (ended, heard) = (over.as_fd(), signals.as_fd());
            let mut fds = [PollFd::new(&ended, PollFlags::IN), PollFd::new(&heard, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !fds[0].revents().is_empty() {
                break;
            }
            while let Some(number) = signals.try_next() {
                if INTERRUPTS.contains(&number) {
                    return Ok(());
                }
            }
        }
        for thread in threads {
            match thread.join() {
                // Nobody wanted more, which is no failure.
                Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
