//! System calls as the sandbox's child may make them: no allocation, no panic, no lock, no libc wrapper
//! that touches process-wide state.
//!
//! The child shares its parent's memory (`CLONE_VM`), so glibc's `setuid` and friends, which signal every
//! thread, must not be used there; these go straight to the kernel. The parent uses them too where rustix
//! lacks the call.

pub(crate) mod clone;
pub(crate) mod family;

use std::ffi::CStr;
use std::mem::size_of;
use std::ptr;

use libc::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

/// An error number, kept as a plain integer so that the child needs nothing to handle it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// The directory a relative path starts from: the current one.
pub(crate) const AT_CWD: c_int = libc::AT_FDCWD;

/// Highest number of symbolic links followed in one look-up, as the kernel's own limit.
pub(crate) const MAX_LINKS: u32 = 40;

fn check(value: c_long) -> Result<c_long> {
    if value == -1 {
        // SAFETY: `__errno_location` always returns a valid pointer to this thread's error number.
        Err(Errno(unsafe { *libc::__errno_location() }))
    } else {
        Ok(value)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "descriptors and small results fit by the kernel's contract"
)]
fn check_int(value: c_long) -> Result<c_int> {
    check(value).map(|value| value as c_int)
}

fn ptr_or_null(text: Option<&CStr>) -> *const c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}

pub(crate) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    fstype: Option<&CStr>,
    flags: c_ulong,
    data: Option<&CStr>,
) -> Result<()> {
    // SAFETY: every pointer is null or a NUL-terminated string that outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount,
            ptr_or_null(source),
            target.as_ptr(),
            ptr_or_null(fstype),
            flags,
            ptr_or_null(data),
        )
    };
    check(done).map(drop)
}

pub(crate) fn umount_detach(target: &CStr) -> Result<()> {
    // SAFETY: `target` is a NUL-terminated string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_umount2, target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

pub(crate) fn fsopen(fstype: &CStr) -> Result<c_int> {
    const FSOPEN_CLOEXEC: c_uint = 1;
    // SAFETY: `fstype` is a NUL-terminated string that outlives the call.
    check_int(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) })
}

const FSCONFIG_SET_FLAG: c_uint = 0;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;

fn fsconfig(fs: c_int, command: c_uint, key: Option<&CStr>, value: Option<&CStr>) -> Result<()> {
    // SAFETY: both pointers are null or NUL-terminated strings that outlive the call.
    let done =
        unsafe { libc::syscall(libc::SYS_fsconfig, fs, command, ptr_or_null(key), ptr_or_null(value), 0) };
    check(done).map(drop)
}

pub(crate) fn fsconfig_string(fs: c_int, key: &CStr, value: &CStr) -> Result<()> {
    fsconfig(fs, FSCONFIG_SET_STRING, Some(key), Some(value))
}

pub(crate) fn fsconfig_flag(fs: c_int, key: &CStr) -> Result<()> {
    fsconfig(fs, FSCONFIG_SET_FLAG, Some(key), None)
}

pub(crate) fn fsconfig_create(fs: c_int) -> Result<()> {
    fsconfig(fs, FSCONFIG_CMD_CREATE, None, None)
}

pub(crate) fn fsmount(fs: c_int, attributes: u64) -> Result<c_int> {
    const FSMOUNT_CLOEXEC: c_uint = 1;
    // SAFETY: no pointers are passed.
    check_int(unsafe { libc::syscall(libc::SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes) })
}

/// Puts the unattached mount `mount` onto `target`, looked up from `dir`.
pub(crate) fn move_mount(mount: c_int, dir: c_int, target: &CStr) -> Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 4;
    // SAFETY: both strings are NUL-terminated and outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount,
            c"".as_ptr(),
            dir,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    check(done).map(drop)
}

/// A copy of the mount (or mount tree) at `path`, not attached anywhere yet.
pub(crate) fn clone_tree(dir: c_int, path: &CStr, recursive: bool) -> Result<c_int> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= libc::AT_RECURSIVE as c_uint;
    }
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check_int(unsafe { libc::syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) })
}

/// Adds mount attributes to the mount `fd` (to all below it if `recursive`).
pub(crate) fn set_attributes(fd: c_int, add: u64, recursive: bool) -> Result<()> {
    mount_setattr(
        fd,
        libc::mount_attr { attr_set: add, attr_clr: 0, propagation: 0, userns_fd: 0 },
        recursive,
    )
}

/// Maps owners of the unattached mount `fd` by the user namespace `userns`.
pub(crate) fn set_idmap(fd: c_int, userns: c_int) -> Result<()> {
    let userns_fd = u64::try_from(userns).map_err(|_| Errno(libc::EBADF))?;
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    mount_setattr(fd, attributes, false)
}

fn mount_setattr(fd: c_int, attributes: libc::mount_attr, recursive: bool) -> Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the attribute structure is live for the call and its true size is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(done).map(drop)
}

pub(crate) fn pivot_root_here() -> Result<()> {
    // SAFETY: both arguments are static NUL-terminated strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Result<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_chdir, path.as_ptr()) }).map(drop)
}

pub(crate) fn fchdir(fd: c_int) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_fchdir, fd) }).map(drop)
}

pub(crate) fn openat(dir: c_int, path: &CStr, flags: c_int, mode: u32) -> Result<c_int> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check_int(unsafe { libc::syscall(libc::SYS_openat, dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) })
}

pub(crate) fn mkdirat(dir: c_int, path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_mkdirat, dir, path.as_ptr(), mode) }).map(drop)
}

pub(crate) fn mknodat(dir: c_int, path: &CStr, mode: u32, device: u32) -> Result<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_mknodat, dir, path.as_ptr(), mode, device) }).map(drop)
}

pub(crate) fn symlinkat(text: &CStr, dir: c_int, path: &CStr) -> Result<()> {
    // SAFETY: both strings are NUL-terminated and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_symlinkat, text.as_ptr(), dir, path.as_ptr()) }).map(drop)
}

/// Reads a symbolic link into `buffer`; the result is the part of the buffer that was filled.
pub(crate) fn readlinkat<'a>(dir: c_int, path: &CStr, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    // SAFETY: `path` is NUL-terminated; the kernel writes at most `buffer.len()` bytes into the buffer.
    let length = check(unsafe {
        libc::syscall(libc::SYS_readlinkat, dir, path.as_ptr(), buffer.as_mut_ptr(), buffer.len())
    })?;
    let length = usize::try_from(length).map_err(|_| Errno(libc::EIO))?;
    buffer.get(..length).ok_or(Errno(libc::EIO))
}

pub(crate) fn write(fd: c_int, bytes: &[u8]) -> Result<()> {
    // SAFETY: the pointer and length describe a live slice; the kernel reads from it.
    check(unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) }).map(drop)
}

pub(crate) fn close(fd: c_int) {
    // SAFETY: no pointers are passed; the caller gives up the descriptor.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

pub(crate) fn dup3(from: c_int, to: c_int) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_dup3, from, to, 0) }).map(drop)
}

/// A copy of `from` with a number of at least `least`, closed on exec.
pub(crate) fn dup_from(from: c_int, least: c_int) -> Result<c_int> {
    // SAFETY: no pointers are passed.
    check_int(unsafe { libc::syscall(libc::SYS_fcntl, from, libc::F_DUPFD_CLOEXEC, least) })
}

/// Waits; a signal may end it early.
pub(crate) fn pause(milliseconds: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: c_long::from(milliseconds) * 1_000_000 };
    // SAFETY: the kernel reads from the live structure and writes nothing, as no remainder is asked for.
    unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, std::ptr::null_mut::<libc::timespec>()) };
}

/// Marks every descriptor from `first` up as closed on exec. Older kernels lack it; ours are marked anyway.
pub(crate) fn close_on_exec_from(first: c_uint) {
    const CLOSE_RANGE_CLOEXEC: c_uint = 4;
    // SAFETY: no pointers are passed.
    unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
}

/// Closes every descriptor from `first` up; where the kernel lacks the call, those that a process usually has.
pub(crate) fn close_from(first: c_uint) {
    const USUAL: c_int = 4096;
    // SAFETY: no pointers are passed; the caller gives up the descriptors.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, 0) };
    if done != 0 {
        (first.cast_signed()..USUAL).for_each(close);
    }
}

/// Waits until nobody can write to the pipe `fd` any more.
pub(crate) fn wait_for_end(fd: c_int) {
    let mut byte = [0_u8; 1];
    loop {
        // SAFETY: the kernel writes at most one byte into a live array.
        let read = check(unsafe { libc::syscall(libc::SYS_read, fd, byte.as_mut_ptr(), 1) });
        if !matches!(read, Ok(1..) | Err(Errno(libc::EINTR))) {
            return;
        }
    }
}

/// Makes this process the first of a new process group.
pub(crate) fn lead_group() -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_setpgid, 0, 0) }).map(drop)
}

/// Kills this process and all others of its group.
pub(crate) fn kill_own_group() {
    // SAFETY: no pointers are passed.
    unsafe { libc::syscall(libc::SYS_kill, 0, libc::SIGKILL) };
}

pub(crate) fn fchown(fd: c_int, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_fchown, fd, uid, gid) }).map(drop)
}

/// Whether `fd` is a character or block device.
pub(crate) fn is_device(fd: c_int) -> Result<bool> {
    Ok(matches!(stat_of(fd)?.st_mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK))
}

/// Whether `fd` is a /dev/null, whoever made it.
pub(crate) fn is_null(fd: c_int) -> Result<bool> {
    let stat = stat_of(fd)?;
    Ok(stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(1, 3))
}

fn stat_of(fd: c_int) -> Result<libc::stat> {
    // SAFETY: an all-zero `stat` is a valid value, and the call fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::syscall(libc::SYS_fstat, fd, &raw mut stat))?;
        Ok(stat)
    }
}

pub(crate) fn umask(mask: u32) {
    // SAFETY: no pointers are passed.
    unsafe { libc::syscall(libc::SYS_umask, mask) };
}

pub(crate) fn sethostname(name: &[u8]) -> Result<()> {
    // SAFETY: the pointer and length describe a live slice.
    check(unsafe { libc::syscall(libc::SYS_sethostname, name.as_ptr(), name.len()) }).map(drop)
}

/// Gives this process a view of control groups of its own, whose root is the group it is in.
pub(crate) fn unshare_cgroups() -> Result<()> {
    // SAFETY: no pointers are passed, and no resource that Rust knows of is unshared.
    check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWCGROUP) }).map(drop)
}

pub(crate) fn setsid() -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_setsid) }).map(drop)
}

pub(crate) fn prctl(option: c_int, a: c_ulong, b: c_ulong) -> Result<c_int> {
    // SAFETY: only options that take integers are used by this crate.
    check_int(unsafe { libc::syscall(libc::SYS_prctl, option, a, b, 0, 0) })
}

/// Starts an empty session keyring, so that keys of the caller's login are out of reach. Best effort.
pub(crate) fn join_new_session_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) };
}

pub(crate) fn setgroups(groups: &[u32]) -> Result<()> {
    // SAFETY: the pointer and length describe a live slice of group ids.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

pub(crate) fn setresgid(gid: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

pub(crate) fn setresuid(uid: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Sets this thread's capability sets; bit n is capability n.
pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    #[expect(clippy::cast_possible_truncation, reason = "each half of a 64-bit set is its own word")]
    let word = |shift: u32| CapData {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [word(0), word(32)];
    // SAFETY: version 3 takes a header and exactly two data words, both live for the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// This thread's effective and permitted capabilities.
pub(crate) fn capget() -> Result<(u64, u64)> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 reads the header and fills exactly two data words.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let [low, high] = data;
    let join = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
    Ok((join(low.effective, high.effective), join(low.permitted, high.permitted)))
}

pub(crate) fn set_rlimit(resource: c_uint, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the new limit is live for the call; the old one is not asked for.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, 0) }).map(drop)
}

/// The kernel's `struct sigaction`, which is not libc's.
#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: c_ulong,
    restorer: usize,
    mask: u64,
}

/// Gives every signal its default disposition.
pub(crate) fn reset_signal_handlers() {
    let default = KernelSigaction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    for signal in 1..=64 {
        // SAFETY: the structure is live and of the kernel's layout; SIGKILL and SIGSTOP are refused harmlessly.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0, size_of::<u64>()) };
    }
}

/// Replaces this thread's signal mask and returns the old one. Bit n-1 is signal n.
pub(crate) fn set_signal_mask(mask: u64) -> u64 {
    let mut old = 0_u64;
    // SAFETY: both masks are live 64-bit words, the size the kernel asks for.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut old,
            size_of::<u64>(),
        )
    };
    old
}

/// Loads a filter for this thread. Needs `CAP_SYS_ADMIN` in its user namespace, or `no_new_privs`.
pub(crate) fn load_filter(program: &[libc::sock_filter]) -> Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| Errno(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let load = |flags: c_ulong| {
        // SAFETY: the program's pointer and length describe a live slice; the kernel copies and checks it.
        check(unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        })
    };
    // Speculation stays as it is outside the sandbox, which is what runc asks for too.
    match load(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) {
        Err(Errno(libc::EINVAL)) => load(0).map(drop),
        other => other.map(drop),
    }
}

/// Loads a filter that reports calls, and gives the descriptor by which they are received.
pub(crate) fn load_listening_filter(program: &[libc::sock_filter]) -> Result<c_int> {
    let length = u16::try_from(program.len()).map_err(|_| Errno(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let flags = crate::notify::kernel::LISTEN | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the program's pointer and length describe a live slice; the kernel copies and checks it.
    check_int(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })
}

/// What the kernel says to a filter with these flags and without a program.
pub(crate) fn load_no_filter(flags: c_ulong) -> Errno {
    // SAFETY: the kernel refuses the null pointer, if not the flags before it.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, 0) };
    check(done).err().unwrap_or(Errno(0))
}

pub(crate) fn execve(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Errno {
    // SAFETY: `path` is NUL-terminated, both lists end with a null pointer (the plan made them so) and all
    // strings outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    check(done).err().unwrap_or(Errno(libc::EIO))
}

pub(crate) fn exit(code: c_int) -> ! {
    loop {
        // SAFETY: ends this process at once; nothing of it runs afterwards.
        unsafe { libc::syscall(libc::SYS_exit_group, code) };
    }
}

/// Whether the process behind `pidfd` has ended.
pub(crate) fn has_ended(pidfd: c_int) -> bool {
    let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one live `pollfd`, a live timeout and no signal mask.
    let ready = unsafe { libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, &raw const now, 0, 0) };
    ready == 1 && poll.revents & libc::POLLIN != 0
}

/// An ioctl that takes an integer, or nothing.
pub(crate) fn ioctl_int(fd: c_int, request: c_ulong, argument: c_long) -> Result<c_int> {
    // SAFETY: the requests used with this function take their argument by value.
    check_int(unsafe { libc::syscall(libc::SYS_ioctl, fd, request, argument) })
}

/// Unlocks the slave of the pseudo-terminal `master`.
pub(crate) fn unlock_pty(master: c_int) -> Result<()> {
    let unlocked: c_int = 0;
    // SAFETY: TIOCSPTLCK reads one integer through the pointer.
    check(unsafe { libc::syscall(libc::SYS_ioctl, master, libc::TIOCSPTLCK, &raw const unlocked) }).map(drop)
}

/// Sets the size of a terminal.
pub(crate) fn set_window_size(fd: c_int, rows: u16, columns: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize` through the pointer.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// Brings the loopback interface of this thread's network namespace up.
pub(crate) fn loopback_up() -> Result<()> {
    // SAFETY: no pointers are passed.
    let socket = check_int(unsafe {
        libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
    })?;
    // SAFETY: an all-zero `ifreq` is a valid value of that plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: SIOCSIFFLAGS reads one live `ifreq`.
    let done =
        check(unsafe { libc::syscall(libc::SYS_ioctl, socket, libc::SIOCSIFFLAGS, &raw const request) });
    close(socket);
    done.map(drop)
}

/// The flags of the mount that holds `path`, as `mount(2)` wants them back on a remount.
pub(crate) fn mount_flags(path: &CStr) -> Result<c_ulong> {
    // SAFETY: an all-zero `statfs64` is a valid value; the call fills it and `path` is NUL-terminated.
    let stat = unsafe {
        let mut stat: libc::statfs64 = std::mem::zeroed();
        check(libc::syscall(libc::SYS_statfs, path.as_ptr(), &raw mut stat))?;
        stat
    };
    let kept = libc::ST_NOSUID | libc::ST_NODEV | libc::ST_NOEXEC | libc::ST_NOATIME | libc::ST_NODIRATIME;
    let mut flags = c_ulong::try_from(stat.f_flags).unwrap_or(0) & kept;
    // ST_RELATIME (0x1000) is MS_BIND as a mount flag; the real MS_RELATIME is another bit.
    if c_ulong::try_from(stat.f_flags).unwrap_or(0) & 0x1000 != 0 {
        flags |= libc::MS_RELATIME;
    }
    Ok(flags)
}

/// Sends one byte and the descriptor `passed` over the socket `socket`.
pub(crate) fn send_descriptor(socket: c_int, passed: c_int) -> Result<()> {
    #[repr(C, align(8))]
    struct Control {
        length: usize,
        level: c_int,
        kind: c_int,
        descriptor: c_int,
        padding: c_int,
    }
    let mut byte = [0_u8; 1];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast::<c_void>(), iov_len: 1 };
    let mut control = Control {
        // The header's 16 bytes and one descriptor, without the padding.
        length: 20,
        level: libc::SOL_SOCKET,
        kind: libc::SCM_RIGHTS,
        descriptor: passed,
        padding: 0,
    };
    // SAFETY: an all-zero `msghdr` is a valid value of that plain C structure.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast::<c_void>();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: the message refers only to live local values with their true sizes.
    check(unsafe { libc::syscall(libc::SYS_sendmsg, socket, &raw const message, 0) }).map(drop)
}
