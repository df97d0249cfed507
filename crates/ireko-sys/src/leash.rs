//! A process group that ends when this process does, however it ends.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use libc::c_int;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group, setpgid};

use crate::error::{Error, Result};
use crate::raw::{self, family};

/// A process group for programs that must not outlive this process: children are put into it as they are started
/// (`CommandExt::process_group`), and what they start is in it too. All of it is killed when this is dropped, and when
/// this process is killed itself.
///
/// The group's first process is a child that waits for the end of a pipe, whose other end this process alone holds. A
/// parent death signal would not do: it is of the thread that started a program, does not reach what the program
/// starts, and is lost where the program changes its group id.
#[derive(Debug)]
pub struct Leash {
    group: Pid,
    _line: OwnedFd,
}

impl Leash {
    /// Makes the group.
    pub fn new() -> Result<Self> {
        let failed = |cause| Error::deed("start a process that watches over a program", cause);
        let (wait, line) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(io::Error::from(errno)))?;
        // A handler of ours must not run in the child, and a kind signal to the group must not end it.
        let mask = raw::set_signal_mask(u64::MAX);
        // SAFETY: the child makes raw system calls only and then ends.
        let pid = match unsafe { family::fork() } {
            Ok(0) => watch(wait.as_raw_fd()),
            other => other,
        };
        raw::set_signal_mask(mask);
        let pid = pid.map_err(|errno| failed(errno.into()))?;
        let group = Pid::from_raw(pid).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let leash = Self { group, _line: line };
        // The child does the same; whoever is first, the group is there before anybody joins it.
        setpgid(Some(leash.group), Some(leash.group)).map_err(|errno| failed(errno.into()))?;
        Ok(leash)
    }

    /// The group's number.
    pub fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Sends a signal to all of the group.
    pub fn signal(&self, signal: Signal) {
        // The first process is there until this is dropped, so the number is nobody else's.
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.group), rustix::process::WaitOptions::empty());
    }
}

/// The first process of the group: waits until nobody holds the other end of the pipe, then ends the group and itself.
fn watch(wait: c_int) -> ! {
    // In another's group it would end that.
    if raw::lead_group().is_err() || raw::dup3(wait, 0).is_err() {
        raw::exit(1);
    }
    // Files of this process must not be held open by a copy of it: the other end of the pipe, locks, the caller's pipes.
    raw::close_from(1);
    raw::wait_for_end(0);
    raw::kill_own_group();
    raw::exit(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_on_it_ends_with_it_and_with_all_it_started() {
        let leash = Leash::new().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo; wait"]).process_group(leash.group()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut out = shell.stdout.take().unwrap();
        io::Read::read_exact(&mut out, &mut [0]).unwrap();
        leash.signal(Signal::URG);
        drop(leash);
        assert_eq!(shell.wait().unwrap().signal(), Some(libc::SIGKILL));
        // The last holder of the pipe is gone: `sleep`.
        assert_eq!(io::Read::read(&mut out, &mut [0]).unwrap(), 0);
    }

    #[test]
    fn the_end_of_the_line_ends_it() {
        let leash = std::mem::ManuallyDrop::new(Leash::new().unwrap());
        let sleep = Command::new("sleep").arg("1000").process_group(leash.group()).spawn();
        // As if this process were gone: nobody else holds the line.
        raw::close(leash._line.as_raw_fd());
        let begin = Instant::now();
        assert_eq!(sleep.unwrap().wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(begin.elapsed() < Duration::from_secs(5));
        rustix::process::waitpid(Some(leash.group), rustix::process::WaitOptions::empty()).unwrap();
    }
}
