//! The kernel's side of it, by safe names: the listener, the memory of a process that waits, files by their paths.

use std::ffi::CStr;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{c_int, c_long, c_ulong};

use crate::raw::{self, Errno, Result};

/// Whether a filter can have a listener whose reader is not disturbed by signals.
pub(crate) fn has_listeners() -> bool {
    // The flags are looked at first, then the program, which is not there.
    raw::load_no_filter(LISTEN) == Errno(libc::EFAULT)
}

/// A listener, and answers that no signal of the caller's can interrupt once they were asked for.
pub(crate) const LISTEN: c_ulong =
    libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

fn check(value: c_long) -> Result<c_long> {
    match value {
        -1 => Err(Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))),
        value => Ok(value),
    }
}

fn owned(value: c_long) -> Result<OwnedFd> {
    let number = c_int::try_from(check(value)?).map_err(|_| Errno(libc::EBADF))?;
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn count(value: c_long) -> Result<usize> {
    usize::try_from(check(value)?).map_err(|_| Errno(libc::EIO))
}

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) id: u64,
    /// The thread that made it.
    pub(super) pid: u32,
    pub(super) number: u32,
    /// The audit number of its convention.
    pub(super) audit: u32,
    pub(super) arguments: [u64; 6],
}

impl Asked {
    pub(super) fn argument(&self, at: usize) -> u64 {
        self.arguments.get(at).copied().unwrap_or(0)
    }

    /// An argument that is an `int`.
    pub(super) fn int(&self, at: usize) -> c_int {
        (self.argument(at) as u32).cast_signed()
    }
}

/// What a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// This value.
    Value(i64),
    /// The kernel shall do what was asked.
    Native,
    /// It was answered already.
    Given,
}

/// The descriptor by which calls are received and answered.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Self {
        let wake_here: c_ulong = 1;
        // SAFETY: the request takes an integer. Kernels before 6.6 refuse it, and are slower.
        unsafe {
            libc::syscall(
                libc::SYS_ioctl,
                fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as c_ulong,
                wake_here,
            )
        };
        Self(fd)
    }

    /// The next call; nothing when nobody is left who could make one.
    pub(super) fn next(&self) -> Option<Asked> {
        loop {
            let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one live `pollfd`; no timeout and no mask.
            unsafe { libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, 0, 0, 0) };
            if poll.revents & libc::POLLIN == 0 {
                if poll.revents != 0 {
                    return None;
                }
                continue;
            }
            // SAFETY: an all-zero notification is a valid value and what the kernel wants to be given.
            let mut found: libc::seccomp_notif = unsafe { zeroed() };
            // SAFETY: the request fills one live notification.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_ioctl,
                    self.0.as_raw_fd(),
                    libc::SECCOMP_IOCTL_NOTIF_RECV as c_ulong,
                    &raw mut found,
                )
            };
            if check(done).is_ok() {
                return Some(Asked {
                    id: found.id,
                    pid: found.pid,
                    number: found.data.nr.cast_unsigned(),
                    audit: found.data.arch,
                    arguments: found.data.args,
                });
            }
            // The caller was killed meanwhile, or a signal came to us.
        }
    }

    /// Answers; one whose caller is gone is answered in vain.
    pub(super) fn answer(&self, id: u64, answer: Result<Answer>) {
        let (val, error, flags) = match answer {
            Ok(Answer::Given) => return,
            Ok(Answer::Value(value)) => (value, 0, 0),
            Ok(Answer::Native) => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Err(Errno(errno)) => (0, -errno, 0),
        };
        let answer = libc::seccomp_notif_resp { id, val, error, flags };
        // SAFETY: the request reads one live answer.
        unsafe {
            libc::syscall(
                libc::SYS_ioctl,
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND as c_ulong,
                &raw const answer,
            )
        };
    }

    /// Whether the caller still waits: what was read by its number is then its own.
    pub(super) fn waits(&self, id: u64) -> Result<()> {
        // SAFETY: the request reads one live number.
        let done = unsafe {
            libc::syscall(
                libc::SYS_ioctl,
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID as c_ulong,
                &raw const id,
            )
        };
        check(done).map(drop)
    }

    /// Answers with a descriptor, which the caller gets as one of its own.
    pub(super) fn answer_with(&self, id: u64, file: &OwnedFd, close_on_exec: bool) -> Result<()> {
        let given = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: file.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 },
        };
        // SAFETY: the request reads one live structure and an open descriptor.
        let done = unsafe {
            libc::syscall(
                libc::SYS_ioctl,
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ADDFD as c_ulong,
                &raw const given,
            )
        };
        check(done).map(drop)
    }
}

fn pid_of(pid: u32) -> c_int {
    pid.cast_signed()
}

/// Reads from another process's memory, as much as lies in one piece.
pub(super) fn peek(pid: u32, at: u64, into: &mut [u8]) -> Result<usize> {
    let here = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let there = libc::iovec { iov_base: std::ptr::without_provenance_mut(at as usize), iov_len: into.len() };
    // SAFETY: the first list names a live buffer of ours; the second is about the other process's memory, which the
    // kernel checks.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_vm_readv,
            pid_of(pid),
            &raw const here,
            1_usize,
            &raw const there,
            1_usize,
            0_usize,
        )
    };
    count(done)
}

/// Writes into another process's memory, all or nothing.
pub(super) fn poke(pid: u32, at: u64, bytes: &[u8]) -> Result<()> {
    let here = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let there = libc::iovec { iov_base: std::ptr::without_provenance_mut(at as usize), iov_len: bytes.len() };
    // SAFETY: the first list names a live buffer, which is only read; the second is about the other process's memory,
    // which the kernel checks.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_vm_writev,
            pid_of(pid),
            &raw const here,
            1_usize,
            &raw const there,
            1_usize,
            0_usize,
        )
    };
    if count(done)? == bytes.len() { Ok(()) } else { Err(Errno(libc::EFAULT)) }
}

/// The soft limit on a process's resident memory, which the kernel keeps and ignores.
pub(super) fn number(pid: u32) -> Result<u64> {
    // SAFETY: an all-zero limit is a valid value; the call fills it.
    unsafe {
        let mut old: libc::rlimit64 = zeroed();
        check(libc::syscall(libc::SYS_prlimit64, pid, libc::RLIMIT_RSS, 0, &raw mut old))?;
        Ok(old.rlim_cur)
    }
}

pub(super) fn set_number(pid: u32, number: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: number, rlim_max: libc::RLIM64_INFINITY };
    // SAFETY: the call reads one live limit.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, libc::RLIMIT_RSS, &raw const limit, 0) }).map(drop)
}

/// Lets this thread have a root and a working directory of its own, and sees mounts as `pid` does. The working
/// directory is then `proc`.
pub(super) fn join(pid: u32, proc: &OwnedFd) -> Result<()> {
    // SAFETY: no pointers are passed; this thread shares no lock or cache over its working directory.
    check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_FS) })?;
    let path = crate::mount::c_path(format!("{pid}/ns/mnt").as_ref()).map_err(|_| Errno(libc::EINVAL))?;
    let mounts = open_at(proc.as_raw_fd(), &path, libc::O_RDONLY, 0)?;
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_setns, mounts.as_raw_fd(), libc::CLONE_NEWNS) })?;
    raw::fchdir(proc.as_raw_fd())
}

/// Makes a directory the root of this thread, and `proc` its working directory again.
pub(super) fn change_root(root: &OwnedFd, proc: &OwnedFd) -> Result<()> {
    raw::fchdir(root.as_raw_fd())?;
    // SAFETY: the path is a NUL-terminated constant.
    let done = check(unsafe { libc::syscall(libc::SYS_chroot, c".".as_ptr()) });
    raw::fchdir(proc.as_raw_fd())?;
    done.map(drop)
}

pub(super) fn open(path: &CStr, flags: c_int, mode: u32) -> Result<OwnedFd> {
    open_at(raw::AT_CWD, path, flags, mode)
}

fn open_at(dir: c_int, path: &CStr, flags: c_int, mode: u32) -> Result<OwnedFd> {
    let number = raw::openat(dir, path, flags, mode)?;
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Gives the file behind a descriptor an owner of the kernel's.
pub(super) fn chown(file: &OwnedFd, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: the path is a NUL-terminated constant.
    let done = unsafe {
        libc::syscall(libc::SYS_fchownat, file.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH)
    };
    check(done).map(drop)
}

/// Reads an attribute into `buffer`.
pub(super) fn attribute<'b>(
    path: &CStr,
    name: &CStr,
    follow: bool,
    buffer: &'b mut [u8],
) -> Result<&'b [u8]> {
    let call = if follow { libc::SYS_getxattr } else { libc::SYS_lgetxattr };
    // SAFETY: both texts are NUL-terminated; the kernel writes at most the buffer's length into it.
    let done =
        unsafe { libc::syscall(call, path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr(), buffer.len()) };
    let length = count(done)?;
    buffer.get(..length).ok_or(Errno(libc::EIO))
}

/// Sets an attribute, or removes it where there is no value.
pub(super) fn set_attribute(path: &CStr, name: &CStr, value: Option<&[u8]>) -> Result<()> {
    // SAFETY: both texts are NUL-terminated and the value is a live slice of the length that is given.
    let done = unsafe {
        match value {
            Some(value) => libc::syscall(
                libc::SYS_setxattr,
                path.as_ptr(),
                name.as_ptr(),
                value.as_ptr(),
                value.len(),
                0,
            ),
            None => libc::syscall(libc::SYS_removexattr, path.as_ptr(), name.as_ptr()),
        }
    };
    check(done).map(drop)
}

/// The names of a file's attributes, each ended by a zero byte.
pub(super) fn attributes(path: &CStr, follow: bool) -> Result<Vec<u8>> {
    let call = if follow { libc::SYS_listxattr } else { libc::SYS_llistxattr };
    let mut buffer = vec![0_u8; 64 << 10];
    // SAFETY: the path is NUL-terminated; the kernel writes at most the buffer's length into it.
    let done = unsafe { libc::syscall(call, path.as_ptr(), buffer.as_mut_ptr(), buffer.len()) };
    buffer.truncate(count(done)?);
    Ok(buffer)
}

/// What the kernel says of a file in its own `struct stat`.
pub(super) fn stat(path: &CStr, flags: c_int) -> Result<libc::stat> {
    let mut found = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path is NUL-terminated; the call fills the structure, which is valid when it was all zeros.
    unsafe {
        check(libc::syscall(libc::SYS_newfstatat, raw::AT_CWD, path.as_ptr(), found.as_mut_ptr(), flags))?;
        Ok(found.assume_init())
    }
}

/// The same in the extended form; of a path relative to `dir`.
pub(super) fn statx(dir: c_int, path: &CStr, flags: c_int, mask: u32) -> Result<libc::statx> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: as above.
    unsafe {
        check(libc::syscall(libc::SYS_statx, dir, path.as_ptr(), flags, mask, found.as_mut_ptr()))?;
        Ok(found.assume_init())
    }
}

/// What the kernel says of a file's file system.
pub(super) fn statfs(path: &CStr) -> Result<libc::statfs> {
    let mut found = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: as above.
    unsafe {
        check(libc::syscall(libc::SYS_statfs, path.as_ptr(), found.as_mut_ptr()))?;
        Ok(found.assume_init())
    }
}

/// The bytes of a plain structure of the kernel's.
pub(super) fn bytes_of<T: Copy>(value: &T) -> &[u8] {
    // SAFETY: the callers pass structures of integers that were filled from zeroed memory, padding included.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }
}

/// Sets the permission bits of what a path leads to.
pub(super) fn change_mode(path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_fchmodat, raw::AT_CWD, path.as_ptr(), mode) }).map(drop)
}

/// Gives what a path leads to an owner.
pub(super) fn change_owner(path: &CStr, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_fchownat, raw::AT_CWD, path.as_ptr(), uid, gid, 0) }).map(drop)
}

/// Gives what a path leads to times, as `utimensat` takes them; those of now where there are none.
pub(super) fn change_times(path: &CStr, times: Option<[i64; 4]>) -> Result<()> {
    let times = times.as_ref().map_or(std::ptr::null(), |times| times.as_slice().as_ptr());
    // SAFETY: the path is NUL-terminated; the times are two live pairs of 64-bit words, or none.
    check(unsafe { libc::syscall(libc::SYS_utimensat, raw::AT_CWD, path.as_ptr(), times, 0) }).map(drop)
}

/// Whether this thread's rights over files allow what `mode` says.
pub(super) fn may(path: &CStr, mode: c_int) -> Result<()> {
    let flags = libc::AT_EACCESS;
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_faccessat2, raw::AT_CWD, path.as_ptr(), mode, flags) }).map(drop)
}

/// The rights that this thread has given up for a moment; it has them again when this is dropped.
pub(super) struct GivenUp {
    groups: Vec<u32>,
    capabilities: (u64, u64),
}

/// Acts with the rights of another user and group, and no others, in this thread alone.
pub(super) fn act_as((uid, gid): (u32, u32)) -> Result<GivenUp> {
    let groups = rustix::process::getgroups().map_err(|errno| Errno(errno.raw_os_error()))?;
    let groups = groups.into_iter().map(|group| group.as_raw()).collect();
    let given_up = GivenUp { groups, capabilities: raw::capget()? };
    // A refusal, where a namespace denies it, leaves what this process itself may do.
    let _ = raw::setgroups(&[gid]);
    set_file_ids(uid, gid);
    raw::capset(0, given_up.capabilities.1, 0)?;
    Ok(given_up)
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        let (effective, permitted) = self.capabilities;
        let _ = raw::capset(effective, permitted, 0);
        set_file_ids(0, 0);
        let _ = raw::setgroups(&self.groups);
    }
}

fn set_file_ids(uid: u32, gid: u32) {
    for (call, id) in [(libc::SYS_setfsgid, gid), (libc::SYS_setfsuid, uid)] {
        // SAFETY: no pointers are passed.
        unsafe { libc::syscall(call, id) };
    }
}

pub(super) fn make_dir(path: &CStr, mode: u32) -> Result<()> {
    raw::mkdirat(raw::AT_CWD, path, mode)
}

pub(super) fn make_node(path: &CStr, mode: u32) -> Result<()> {
    raw::mknodat(raw::AT_CWD, path, mode, 0)
}

pub(super) fn make_link(text: &CStr, path: &CStr) -> Result<()> {
    raw::symlinkat(text, raw::AT_CWD, path)
}

/// Whom the socket of another process speaks with: process, user and group, as this process sees them.
pub(super) fn peer(pid: u32, socket: c_int) -> Result<libc::ucred> {
    // SAFETY: no pointers are passed.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: no pointers are passed.
    let socket = owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), socket, 0) })?;
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the call fills one live structure of the length that is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_getsockopt,
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            &raw mut found,
            &raw mut length,
        )
    };
    check(done).map(|_| found)
}
