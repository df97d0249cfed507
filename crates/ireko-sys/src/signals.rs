//! Hearing of signals in the ordinary flow of a program, by a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Error, Result};

/// Where the handler writes; -1 before the first [`listen`].
static WRITE_END: AtomicI32 = AtomicI32::new(-1);

/// The signals of Ctrl-C, of a polite end, of a closed terminal, and of a changed window.
pub const USUAL: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGWINCH];

/// Signals that came, in order. Dropped, they do again what they did by default.
#[derive(Debug)]
pub struct Signals {
    read: File,
    heard: Vec<i32>,
}

/// Catches the signals `numbers` from now on, whichever thread they come to. One listener a process. A hang-up that is
/// ignored stays so: `nohup` means that a closed terminal ends nothing.
pub fn listen(numbers: &[i32]) -> Result<Signals> {
    let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
    let (read, write) = pipe_with(flags).map_err(|errno| Error::deed("make a pipe", errno))?;
    let write = OwnedFd::into_raw_fd(write);
    if WRITE_END.compare_exchange(-1, write, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        crate::raw::close(write);
        return Err(Error::Invalid("signals are listened to already".to_owned()));
    }
    let mut heard = numbers.to_vec();
    heard.retain(|number| *number != libc::SIGHUP || !is_ignored(*number));
    let signals = Signals { read: File::from(read), heard };
    for number in &signals.heard {
        set_handler(*number, handler as *const () as usize)
            .map_err(|cause| Error::deed("catch a signal", cause))?;
    }
    Ok(signals)
}

/// Lets a program learn how its children ended, whatever it was started with: where SIGCHLD is ignored, as some
/// supervisors leave it, the kernel forgets them.
pub fn wait_for_children() {
    // It cannot fail for a signal that is known.
    let _ = set_handler(libc::SIGCHLD, libc::SIG_DFL);
}

extern "C" fn handler(number: c_int) {
    let Ok(byte) = u8::try_from(number) else { return };
    // SAFETY: write is async-signal-safe, the byte lives on this stack, and the error number that the
    // interrupted code may be about to read is put back. A full pipe loses a signal of which there are
    // thousands waiting.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(WRITE_END.load(Ordering::SeqCst), (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

pub(crate) fn set_handler(number: i32, handler: usize) -> io::Result<()> {
    // SAFETY: an all-zero `sigaction` is valid (no flags, empty mask); the handler is async-signal-safe.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(number, &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn is_ignored(number: i32) -> bool {
    // SAFETY: an all-zero `sigaction` is valid, and the call fills it; no handler is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

impl Signals {
    /// The next signal that has come, without waiting.
    pub fn try_next(&mut self) -> Option<i32> {
        let mut byte = [0_u8; 1];
        match self.read.read(&mut byte) {
            Ok(1) => Some(i32::from(byte[0])),
            _ => None,
        }
    }

    /// Waits for the next signal, at most `milliseconds` if given.
    pub fn next(&mut self, milliseconds: Option<u32>) -> Option<i32> {
        let limit = milliseconds.map(|all| Timespec {
            tv_sec: i64::from(all / 1000),
            tv_nsec: i64::from(all % 1000) * 1_000_000,
        });
        loop {
            if let Some(number) = self.try_next() {
                return Some(number);
            }
            match poll(&mut [PollFd::new(&self.read, PollFlags::IN)], limit.as_ref()) {
                Err(rustix::io::Errno::INTR) | Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }
}

impl AsFd for Signals {
    /// Readable when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for number in &self.heard {
            // Refused for signals that could not be caught in the first place.
            let _ = set_handler(*number, libc::SIG_DFL);
        }
        crate::raw::close(WRITE_END.swap(-1, Ordering::SeqCst));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_come_in_order() {
        let mut signals = listen(&[libc::SIGUSR1, libc::SIGUSR2]).unwrap();
        assert!(listen(&[libc::SIGUSR1]).is_err(), "one listener a process");
        assert_eq!(signals.next(Some(1)), None);
        for signal in [rustix::process::Signal::USR2, rustix::process::Signal::USR1] {
            rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
            assert_eq!(signals.next(Some(5000)), Some(signal.as_raw()));
        }
        drop(signals);
        drop(listen(&[]).unwrap());
    }
}
