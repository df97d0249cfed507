//! A child process that does nothing but keep a new user namespace alive while its maps are written.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use libc::{c_int, c_long, c_ulong};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::raw::{self, Errno};

/// The process; dropped, it ends and is reaped.
#[derive(Debug)]
pub(crate) struct Holder {
    pid: c_int,
    /// Closing it wakes the child, which then ends.
    _release: OwnedFd,
    /// What the child found when it tried to use its capabilities: 0, or an error number.
    mount_errno: i32,
}

impl Holder {
    /// Makes the namespace. With `try_mount`, the child also finds out whether its capabilities are real.
    pub(crate) fn start(try_mount: bool) -> io::Result<Self> {
        let (wait, release) = pipe_with(PipeFlags::CLOEXEC)?;
        let (mut answers, answer) =
            pipe_with(PipeFlags::CLOEXEC).map(|(read, write)| (File::from(read), write))?;
        let flags = c_ulong::try_from(libc::CLONE_NEWUSER | libc::SIGCHLD).expect("clone flags are positive");
        // SAFETY: without CLONE_VM this is a fork; the child makes raw system calls only and then exits.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if pid == 0 {
            child(wait.as_raw_fd(), release.as_raw_fd(), answer.as_raw_fd(), try_mount);
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        drop(answer);
        let pid = c_int::try_from(pid).expect("a process id is an int");
        let mut holder = Self { pid, _release: release, mount_errno: 0 };
        let mut word = [0_u8; 4];
        answers.read_exact(&mut word)?;
        holder.mount_errno = i32::from_ne_bytes(word);
        Ok(holder)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Why the child could not mount inside, if it was asked to try.
    pub(crate) fn mount_failure(&self) -> Option<io::Error> {
        (self.mount_errno != 0).then(|| io::Error::from_raw_os_error(self.mount_errno))
    }

    /// The user namespace itself, which lives on while this is open.
    pub(crate) fn namespace(&self) -> io::Result<File> {
        File::open(format!("/proc/{}/ns/user", self.pid))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: the pid is our own child's, not reaped yet, so it cannot be anyone else's.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn child(wait: c_int, release: c_int, answer: c_int, try_mount: bool) -> ! {
    raw::close(release);
    let _ = raw::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0);
    let errno = if try_mount { use_capabilities().err().map_or(0, |errno| errno.0) } else { 0 };
    // Without an answer the parent sees the end of the pipe, and says so.
    let _ = raw::write(answer, &errno.to_ne_bytes());
    raw::close(answer);
    let mut byte = [0_u8; 1];
    // SAFETY: the kernel writes at most one byte into a live array. Returns when the parent closes its end.
    unsafe { libc::syscall(libc::SYS_read, wait, byte.as_mut_ptr(), 1) };
    raw::exit(0)
}

/// Makes a mount namespace and a mount, as a sandbox must.
fn use_capabilities() -> Result<(), Errno> {
    // SAFETY: this process has one thread and shares nothing with its parent.
    let done: c_long = unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWNS) };
    if done != 0 {
        // SAFETY: `__errno_location` always returns a valid pointer to this thread's error number.
        return Err(Errno(unsafe { *libc::__errno_location() }));
    }
    raw::mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
    raw::mount(Some(c"tmpfs"), c"/proc", Some(c"tmpfs"), 0, None)
}
