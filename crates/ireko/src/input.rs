//! Input that may never come, such as a terminal's or a pipe's: read so that a wish to stop is heard.

use crate::failure::Failure;
use ireko_exec::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// How long a wish to stop may go unheard.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A file whose bytes are waited for as long as nobody asks to stop.
pub(crate) struct Patient<'a> {
    file: File,
    cancel: &'a Cancel,
}

impl<'a> Patient<'a> {
    /// Standard input.
    pub(crate) fn stdin(cancel: &'a Cancel) -> io::Result<Self> {
        Ok(Self { file: File::from(io::stdin().as_fd().try_clone_to_owned()?), cancel })
    }

    /// A file by its path; a pipe need not have a writer yet.
    pub(crate) fn open(path: &Path, cancel: &'a Cancel) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self { file: File::from(rustix::fs::open(path, flags, Mode::empty())?), cancel })
    }

    /// All bytes.
    pub(crate) fn all(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.cancel.is_asked() {
                return Err(io::Error::other("interrupted"));
            }
            // A pipe whose writers are gone is ready too: its end can be read.
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&TICK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            match self.file.read(room) {
                // Another reader of the same pipe was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

/// What failed, or the interruption that made it fail.
pub(crate) fn unless_stopped<T>(result: Result<T, Failure>, cancel: &Cancel) -> Result<T, Failure> {
    if cancel.is_wished() { Err(Failure::interrupted()) } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_pipe_is_waited_for_until_its_end_or_a_wish_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let cancel = Cancel::default();
        let patient = Patient::open(&path, &cancel).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                std::thread::sleep(std::time::Duration::from_millis(120));
                File::options().write(true).open(path).unwrap().write_all(b"late").unwrap();
            }
        });
        assert_eq!(patient.all().unwrap(), b"late");
        writer.join().unwrap();

        let patient = Patient::open(&path, &cancel).unwrap();
        cancel.ask();
        assert_eq!(patient.all().unwrap_err().to_string(), "interrupted");
    }
}
