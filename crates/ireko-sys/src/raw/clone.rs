//! Starting a child that works in this process's memory, and in a control group from its first instruction.

use std::ffi::c_void;
use std::os::fd::{FromRawFd, OwnedFd};
use std::{io, ptr};

use libc::{c_int, c_long};

use super::{Errno, Result, set_signal_mask};

/// What a child does; it must not return.
pub(crate) type Entry = extern "C" fn(*mut c_void) -> c_int;

/// The child's own stack. Pages it does not touch cost nothing.
struct Stack {
    base: *mut c_void,
}

impl Stack {
    const SIZE: usize = 256 << 10;

    fn new() -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at a place of the kernel's choice touches no memory in use.
        let base = unsafe { libc::mmap(ptr::null_mut(), Self::SIZE, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(last_error());
        }
        Ok(Self { base })
    }

    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(Self::SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the child has left it: it executed or ended before clone returned.
        unsafe { libc::munmap(self.base, Self::SIZE) };
    }
}

fn last_error() -> Errno {
    Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// Starts `entry(argument)` with namespaces of its own as `flags` say, in the control group of the open directory
/// `group` if one is given, and suspends this thread until the child has executed a program or ended.
///
/// Returns the child's process id and a descriptor of it. The child has all signals blocked.
///
/// # Safety
/// The child shares this process's memory: `entry` must neither return, allocate, panic nor take a lock, and
/// nobody else may use what `argument` points to while it runs.
pub(crate) unsafe fn start(
    flags: c_int,
    group: Option<c_int>,
    entry: Entry,
    argument: *mut c_void,
) -> Result<(c_int, OwnedFd)> {
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    let stack = Stack::new()?;
    let mut pidfd: c_int = -1;
    // A handler of ours must not run in the child, which shares our memory.
    let mask = set_signal_mask(u64::MAX);
    let done = match group {
        // SAFETY: the stack is ours and unused, and CLONE_VFORK keeps it and `argument` alive for as long as the
        // child uses them; the rest is promised by the caller.
        Some(group) => unsafe { into_group((flags, group), &stack, &mut pidfd, (entry, argument)) },
        None => {
            // SAFETY: as above.
            let pid =
                unsafe { libc::clone(entry, stack.top(), flags | libc::SIGCHLD, argument, &raw mut pidfd) };
            if pid < 0 { Err(last_error()) } else { Ok(pid) }
        }
    };
    set_signal_mask(mask);
    let pid = done?;
    // SAFETY: the kernel made this descriptor for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Linux 5.7: before, there is no such flag, and `clone` has no room for it.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// # Safety
/// As [`start`]; nothing else may use `stack`.
unsafe fn into_group(
    (flags, group): (c_int, c_int),
    stack: &Stack,
    pidfd: &mut c_int,
    child: (Entry, *mut c_void),
) -> Result<c_int> {
    let word = |number: c_int| u64::from(number.unsigned_abs());
    let arguments = libc::clone_args {
        flags: word(flags) | INTO_CGROUP,
        pidfd: ptr::from_mut(pidfd).expose_provenance() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: word(libc::SIGCHLD),
        stack: stack.base.expose_provenance() as u64,
        stack_size: Stack::SIZE as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: word(group),
    };
    // SAFETY: the arguments are live and name a stack that nothing else uses; the rest is promised by the caller.
    let answer = unsafe { clone3(&arguments, child) };
    match c_int::try_from(answer) {
        Ok(errno) if errno < 0 => Err(Errno(-errno)),
        Ok(pid) => Ok(pid),
        Err(_) => Err(Errno(libc::EIO)),
    }
}

/// The bare call; in the child, `entry(argument)` runs on the new stack. Returns a process id or a negated error.
///
/// No function of libc's does this: in the child it would return to where the new, empty stack says.
///
/// # Safety
/// `arguments` must name a stack of the child's own; `entry` must not return.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(arguments: &libc::clone_args, (entry, argument): (Entry, *mut c_void)) -> c_long {
    let answer: c_long;
    // SAFETY: the kernel keeps all registers but rax, rcx and r11. The child goes to `entry` on its own stack, whose
    // top is aligned as a call wants it, and never comes back here; the parent's stack is left alone.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {argument}",
            "call {entry}",
            "ud2",
            "2:",
            entry = in(reg) entry,
            argument = in(reg) argument,
            inlateout("rax") libc::SYS_clone3 => answer,
            in("rdi") ptr::from_ref(arguments),
            in("rsi") size_of::<libc::clone_args>(),
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(arguments: &libc::clone_args, (entry, argument): (Entry, *mut c_void)) -> c_long {
    let answer: c_long;
    // SAFETY: the kernel keeps all registers but x0. The child goes to `entry` on its own stack and never comes back
    // here; the parent's stack is left alone.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, {argument}",
            "blr {entry}",
            "brk 1",
            "2:",
            entry = in(reg) entry,
            argument = in(reg) argument,
            in("x8") libc::SYS_clone3,
            inlateout("x0") ptr::from_ref(arguments) => answer,
            in("x1") size_of::<libc::clone_args>(),
            out("x30") _,
            options(nostack),
        );
    }
    answer
}

/// Other processors: not written yet, so nothing is started in a group.
///
/// # Safety
/// Always sound.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(_: &libc::clone_args, _: (Entry, *mut c_void)) -> c_long {
    -c_long::from(libc::ENOSYS)
}
