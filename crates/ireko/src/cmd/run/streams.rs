//! The standard streams of a container that has no terminal: as in Docker, each is a pipe to it, whatever it is to us.
//!
//! A terminal of ours would be seen as one inside; a file would be emptied by whoever opens `/dev/stdout` again, and
//! could not be opened by another user. So what is no pipe of the container's user is carried over.

use crate::cli::RunArgs;
use ireko_sys::sandbox::{Running, Stdio, Stream};
use rustix::fs::{FileType, fstat, makedev};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;

/// What the container's streams are, for a program that runs as this user.
pub(super) fn of(args: &RunArgs, user: u32) -> Stdio {
    let stream = |ours: BorrowedFd<'_>| if serves(ours, user) { Stream::Inherit } else { Stream::Pipe };
    Stdio::Streams {
        stdin: if args.interactive { stream(std::io::stdin().as_fd()) } else { Stream::Null },
        stdout: stream(std::io::stdout().as_fd()),
        stderr: stream(std::io::stderr().as_fd()),
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

/// The outputs that are being carried over.
pub(super) struct Carried(Vec<JoinHandle<()>>);

/// Carries over what is piped.
pub(super) fn carry(running: &mut Running) -> std::io::Result<Carried> {
    if let Some(mut inside) = running.stdin.take() {
        let mut outside = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        // Nobody waits for it: it may be asking a terminal when the container ends.
        std::thread::spawn(move || std::io::copy(&mut outside, &mut inside));
    }
    let outputs = [
        (running.stdout.take(), std::io::stdout().as_fd().try_clone_to_owned()?),
        (running.stderr.take(), std::io::stderr().as_fd().try_clone_to_owned()?),
    ];
    let carried = outputs.into_iter().filter_map(|(inside, outside)| {
        let (mut inside, mut outside) = (inside?, File::from(outside));
        // When nobody reads any more, the pipe is closed, and the program hears of it.
        Some(std::thread::spawn(move || drop(std::io::copy(&mut inside, &mut outside))))
    });
    Ok(Carried(carried.collect()))
}

impl Carried {
    /// Waits until all of a container that has ended is carried over.
    pub(super) fn finish(self) {
        for output in self.0 {
            let _ = output.join();
        }
    }
}
