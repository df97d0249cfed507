//! Calls of a process that looks after others: starting a copy of itself, waiting, killing, reading /proc.

use std::ptr;

use libc::{c_int, c_ulong};

use super::{Errno, Result, check, check_int};

/// Makes the current directory the root of all paths of this process.
pub(crate) fn chroot_here() -> Result<()> {
    // SAFETY: the path is a live string.
    check(unsafe { libc::syscall(libc::SYS_chroot, c".".as_ptr()) }).map(drop)
}

/// Continues in a copy of this process: there 0, here the copy's process id.
///
/// # Safety
/// Other threads are not copied, and locks they hold are never released in the copy: it must make raw system calls
/// only, and end by an exit.
pub(crate) unsafe fn fork() -> Result<c_int> {
    let flags = c_ulong::from(libc::SIGCHLD.unsigned_abs());
    // SAFETY: without CLONE_VM this is a fork; the rest is promised by the caller.
    check_int(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
}

/// Whether to wait for a child's end or only to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    Look,
}

/// The end of any child: its process id and how it ended, as `waitpid` tells it. None where none has ended yet, `ECHILD`
/// where there is no child.
pub(crate) fn reap(patience: Patience) -> Result<Option<(c_int, c_int)>> {
    let options = if patience == Patience::Look { libc::WNOHANG } else { 0 };
    let mut status: c_int = 0;
    // SAFETY: the kernel writes one live integer; no usage is asked for.
    let pid = unsafe {
        libc::syscall(libc::SYS_wait4, -1, &raw mut status, options | libc::__WALL, ptr::null_mut::<u8>())
    };
    let pid = check_int(pid)?;
    Ok((pid != 0).then_some((pid, status)))
}

pub(crate) fn kill(pid: c_int, signal: c_int) {
    // SAFETY: no pointers are passed.
    unsafe { libc::syscall(libc::SYS_kill, pid, signal) };
}

pub(crate) fn own_pid() -> c_int {
    // SAFETY: no pointers are passed.
    check_int(unsafe { libc::syscall(libc::SYS_getpid) }).unwrap_or(0)
}

/// A descriptor from which the signals of the mask can be read, as 128 bytes each that begin with the number.
pub(crate) fn signals(mask: u64) -> Result<c_int> {
    let size = size_of::<u64>();
    // SAFETY: the mask is a live 64-bit word, the size the kernel asks for.
    check_int(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, size, libc::SFD_CLOEXEC) })
}

/// Bytes read from an open file.
pub(crate) fn read(fd: c_int, buffer: &mut [u8]) -> Result<&[u8]> {
    // SAFETY: the kernel writes at most the length of a live buffer.
    let length = check(unsafe { libc::syscall(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len()) })?;
    filled(buffer, length)
}

/// Records of an open directory's entries, as the kernel writes them (`linux_dirent64`).
pub(crate) fn entries(fd: c_int, buffer: &mut [u8]) -> Result<&[u8]> {
    // SAFETY: the kernel writes at most the length of a live buffer.
    let length =
        check(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) })?;
    filled(buffer, length)
}

fn filled(buffer: &[u8], length: libc::c_long) -> Result<&[u8]> {
    usize::try_from(length).ok().and_then(|length| buffer.get(..length)).ok_or(Errno(libc::EIO))
}

/// Waits until one of two descriptors can be read or has ended, and says which.
pub(crate) fn either(first: c_int, second: c_int) -> Result<(bool, bool)> {
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut both = [entry(first), entry(second)];
    let no_time = ptr::null::<libc::timespec>();
    // SAFETY: the list is live and as long as told; neither a time nor a mask is given.
    check(unsafe { libc::syscall(libc::SYS_ppoll, both.as_mut_ptr(), 2, no_time, ptr::null::<u64>(), 0) })?;
    Ok((both[0].revents != 0, both[1].revents != 0))
}
