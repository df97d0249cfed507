//! What the child does: performs the steps one by one, then becomes the command.
//!
//! It runs on its own stack in its parent's memory (`CLONE_VM | CLONE_VFORK`), so nothing here may allocate,
//! panic, or take a lock: slices are reached by `get`, sums saturate, and calls go straight to the kernel.

use std::ffi::CStr;

use libc::{c_char, c_int, c_long, c_ulong};

use super::step::{Deed, FreshMount, Slot, Step};
use super::walk::{self, Log, Make};
use crate::cap::CapSet;
use crate::mount::{OverlayApi, OverlayPlan, legacy_overlay, new_overlay};
use crate::raw::{self, Errno, Result, family};

/// All the child needs and leaves behind. The parent is suspended while the child uses it.
pub(super) struct Work<'a> {
    pub(super) steps: &'a [Step],
    /// Ends with a null pointer.
    pub(super) argv: &'a [*const c_char],
    /// Ends with a null pointer.
    pub(super) env: &'a [*const c_char],
    pub(super) filter: &'a [libc::sock_filter],
    /// The filter in which calls that wait for the disk do nothing.
    pub(super) no_syncs: &'a [libc::sock_filter],
    /// The filter that reports calls to the parent.
    pub(super) report: &'a [libc::sock_filter],
    pub(super) slots: &'a mut [Kept],
    /// Lists of processes of the control groups to join.
    pub(super) joined: &'a [c_int],
    /// A pidfd of the parent.
    pub(super) parent: c_int,
    pub(super) old_root: c_int,
    /// The old root lies below the new one and cannot be let go of.
    pub(super) covered_root: bool,
    /// The new root's own /dev/null.
    pub(super) null: c_int,
    pub(super) log: Log,
    /// The outer /proc had to be shown.
    pub(super) outer_proc: bool,
    /// The program is there, but not the interpreter or loader it names.
    pub(super) lacks_interpreter: bool,
    /// Index of the step that is being performed.
    pub(super) stage: usize,
    /// Why that one failed; 0 if it did not.
    pub(super) errno: c_int,
}

/// A mount taken and not placed yet.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) fd: c_int,
    /// Attributes to be set when it is placed, where the kernel cannot set them before.
    pub(super) later: u64,
}

/// Performs all steps. Returns only if one failed, which it has noted.
pub(super) fn run(work: &mut Work<'_>) {
    let steps = work.steps;
    for (index, step) in steps.iter().enumerate() {
        work.stage = index;
        if let Err(Errno(errno)) = perform(work, &step.0) {
            work.errno = errno;
            return;
        }
    }
}

fn perform(work: &mut Work<'_>, deed: &Deed) -> Result<()> {
    match deed {
        Deed::Detach => {
            raw::reset_signal_handlers();
            raw::set_signal_mask(0);
            raw::setsid()
        }
        Deed::DieWithParent => die_with_parent(work.parent),
        Deed::Umask(mask) => {
            raw::umask(*mask);
            Ok(())
        }
        Deed::PrivateMounts => raw::mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None),
        Deed::JoinGroups => work.joined.iter().try_for_each(|list| raw::write(*list, b"0")),
        Deed::OwnGroups => raw::unshare_cgroups(),
        Deed::Take { slot, path, recursive } => {
            let fd = raw::clone_tree(raw::AT_CWD, path, *recursive)?;
            keep(work, *slot, fd)
        }
        Deed::Overlay { slot, plan, at } => overlay(work, *slot, plan, at),
        Deed::Idmap { slot, userns } => raw::set_idmap(kept(work, *slot)?.fd, *userns),
        Deed::Restrict { slot, attributes } => restrict(work, *slot, *attributes),
        Deed::EnterRoot { slot, at } => enter_root(work, *slot, at),
        Deed::ChangeRoot(path) => {
            raw::chdir(path)?;
            family::chroot_here()?;
            raw::chdir(c"/")
        }
        Deed::Mount(mount) => fresh(work, mount),
        Deed::Proc => proc(work),
        Deed::Sys { read_only } => sys(work, *read_only),
        Deed::Place { slot, target, directory } => place(work, *slot, target, *directory),
        Deed::InPlace(path) => in_place(work, path),
        Deed::Device { path, host, number } => device(work, path, host, *number),
        Deed::NoMoreDevices(path) => remount(path, libc::MS_NODEV),
        Deed::Dir { path, mode } => raw::mkdirat(raw::AT_CWD, path, *mode),
        Deed::Link { path, text } => raw::symlinkat(text, raw::AT_CWD, path),
        Deed::Mask(path) => mask(path),
        Deed::ReadOnly(path) => read_only(path),
        Deed::LeaveOldRoot => leave_old_root(work),
        Deed::ReadOnlyRoot => remount(c"/", libc::MS_RDONLY),
        other => settle(work, other),
    }
}

/// The deeds after the last mount.
fn settle(work: &mut Work<'_>, deed: &Deed) -> Result<()> {
    match deed {
        Deed::Hostname(name) => raw::sethostname(name.to_bytes()),
        Deed::Loopback => raw::loopback_up(),
        Deed::OpenPorts => {
            open_ports();
            Ok(())
        }
        Deed::Limit { resource, soft, hard } => raw::set_rlimit(*resource, *soft, *hard),
        Deed::WorkDir(path) => {
            let found = walk::resolve(path, Make::Directory, None)?;
            raw::chdir(found.as_c_str())
        }
        Deed::Terminal { rows, columns, socket, owner, mounted } => {
            terminal((*rows, *columns), *socket, *owner, *mounted)
        }
        Deed::OwnNull => {
            work.null = raw::openat(raw::AT_CWD, c"/dev/null", libc::O_RDWR, 0)?;
            Ok(())
        }
        Deed::KeepNull => own_null(work.null),
        Deed::Streams { from, owner } => {
            streams(from, *owner)?;
            // Without a mount, the new root comes later, and its /dev/null with it.
            if work.null < 0 { Ok(()) } else { own_null(work.null) }
        }
        Deed::Keyring => {
            raw::join_new_session_keyring();
            Ok(())
        }
        Deed::Bound { keep, last } => bound(*keep, *last),
        Deed::Filter => raw::load_filter(work.filter),
        Deed::NoSyncs => raw::load_filter(work.no_syncs),
        Deed::NoNewPrivileges => raw::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop),
        Deed::Report { socket } => {
            let listener = raw::load_listening_filter(work.report)?;
            let sent = raw::send_descriptor(*socket, listener);
            raw::close(listener);
            sent
        }
        Deed::ClearInherited { keep } => {
            // Kernels before 4.3 have no ambient set to clear.
            let _ = raw::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong, 0);
            let (_, permitted) = raw::capget()?;
            raw::capset(permitted & keep, permitted & keep, 0)
        }
        Deed::Become { uid, gid, groups } => {
            raw::setgroups(groups)?;
            raw::setresgid(*gid)?;
            raw::setresuid(*uid)
        }
        Deed::Exec { candidates } => {
            raw::close_on_exec_from(3);
            Err(exec(work, candidates))
        }
        // Every other deed has been performed by the caller.
        _ => Err(Errno(libc::ENOSYS)),
    }
}

fn die_with_parent(parent: c_int) -> Result<()> {
    raw::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0)?;
    if raw::has_ended(parent) { raw::exit(1) } else { Ok(()) }
}

fn kept(work: &Work<'_>, slot: Slot) -> Result<Kept> {
    work.slots.get(slot).copied().ok_or(Errno(libc::EBADF))
}

fn keep(work: &mut Work<'_>, slot: Slot, fd: c_int) -> Result<()> {
    *work.slots.get_mut(slot).ok_or(Errno(libc::EBADF))? = Kept { fd, later: 0 };
    Ok(())
}

fn overlay(work: &mut Work<'_>, slot: Slot, plan: &OverlayPlan, at: &CStr) -> Result<()> {
    let fd = match plan.api {
        OverlayApi::Append => new_overlay(plan)?,
        OverlayApi::OneText => {
            legacy_overlay(plan, at)?;
            raw::clone_tree(raw::AT_CWD, at, false)?
        }
    };
    keep(work, slot, fd)
}

fn restrict(work: &mut Work<'_>, slot: Slot, attributes: u64) -> Result<()> {
    let kept = work.slots.get_mut(slot).ok_or(Errno(libc::EBADF))?;
    match raw::set_attributes(kept.fd, attributes, true) {
        Err(Errno(libc::ENOSYS)) => {
            kept.later |= attributes;
            Ok(())
        }
        other => other,
    }
}

fn enter_root(work: &mut Work<'_>, slot: Slot, at: &CStr) -> Result<()> {
    let root = kept(work, slot)?;
    raw::move_mount(root.fd, raw::AT_CWD, at)?;
    raw::close(root.fd);
    if root.later != 0 {
        remount(at, mount_flags_of(root.later))?;
    }
    work.old_root = raw::openat(raw::AT_CWD, c"/", libc::O_PATH | libc::O_DIRECTORY, 0)?;
    raw::chdir(at)?;
    match raw::pivot_root_here() {
        // An outer container's filter refuses that call alone: the new root is put over the old one, which nothing
        // leads to any more.
        Err(Errno(libc::EPERM)) => {
            raw::mount(Some(c"."), c"/", None, libc::MS_MOVE, None)?;
            family::chroot_here()?;
            work.covered_root = true;
        }
        other => other?,
    }
    // The old root now lies over the new one, or below; it is reached by the descriptor only.
    raw::chdir(c"/")
}

fn leave_old_root(work: &mut Work<'_>) -> Result<()> {
    if work.covered_root {
        raw::close(work.old_root);
        return Ok(());
    }
    raw::fchdir(work.old_root)?;
    raw::umount_detach(c".")?;
    raw::close(work.old_root);
    raw::chdir(c"/")
}

fn fresh(work: &mut Work<'_>, mount: &FreshMount) -> Result<()> {
    let done = mount_fresh(work, mount);
    if mount.needed { done } else { Ok(()) }
}

fn mount_fresh(work: &mut Work<'_>, mount: &FreshMount) -> Result<()> {
    let target = walk::resolve(&mount.target, Make::Directory, Some(&mut work.log))?;
    let target = target.as_c_str();
    work.log.mounted(target)?;
    match raw::mount(Some(mount.kind), target, Some(mount.kind), mount.flags, Some(&mount.data)) {
        // The outer /sys, shown where no fresh one can be had, has the outer view of the same groups there.
        Err(Errno(libc::EBUSY)) if mount.data.is_empty() => mount_over_itself(mount, target),
        other => other,
    }
}

/// As `mount`, which refuses a file system on top of itself, though another part of it may be shown.
fn mount_over_itself(mount: &FreshMount, target: &CStr) -> Result<()> {
    let fs = raw::fsopen(mount.kind)?;
    let made = raw::fsconfig_create(fs).and_then(|()| raw::fsmount(fs, attributes_of(mount.flags)));
    raw::close(fs);
    let made = made?;
    let moved = raw::move_mount(made, raw::AT_CWD, target);
    raw::close(made);
    moved
}

const KERNEL_FILES: c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

fn proc(work: &mut Work<'_>) -> Result<()> {
    let target = walk::resolve(c"/proc", Make::Directory, Some(&mut work.log))?;
    match raw::mount(Some(c"proc"), target.as_c_str(), Some(c"proc"), KERNEL_FILES, None) {
        Err(Errno(libc::EPERM)) => {}
        other => return other,
    }
    let outer = raw::clone_tree(work.old_root, c"proc", true)?;
    raw::move_mount(outer, raw::AT_CWD, target.as_c_str())?;
    raw::close(outer);
    work.outer_proc = true;
    Ok(())
}

fn sys(work: &mut Work<'_>, read_only: bool) -> Result<()> {
    let target = walk::resolve(c"/sys", Make::Directory, Some(&mut work.log))?;
    let access_flag = if read_only { libc::MS_RDONLY } else { 0 };
    match raw::mount(Some(c"sysfs"), target.as_c_str(), Some(c"sysfs"), KERNEL_FILES | access_flag, None) {
        Err(Errno(libc::EPERM)) => {}
        other => return other,
    }
    let outer = raw::clone_tree(work.old_root, c"sys", true)?;
    let plain = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    let access = if read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let restricted = raw::set_attributes(outer, plain | access, true);
    raw::move_mount(outer, raw::AT_CWD, target.as_c_str())?;
    raw::close(outer);
    match restricted {
        Err(Errno(libc::ENOSYS)) => remount(target.as_c_str(), KERNEL_FILES | access_flag),
        other => other,
    }
}

fn place(work: &mut Work<'_>, slot: Slot, target: &CStr, directory: bool) -> Result<()> {
    let kept = kept(work, slot)?;
    let make = if directory { Make::Directory } else { Make::File };
    let target = walk::resolve(target, make, Some(&mut work.log))?;
    raw::move_mount(kept.fd, raw::AT_CWD, target.as_c_str())?;
    raw::close(kept.fd);
    work.log.mounted(target.as_c_str())?;
    if kept.later == 0 { Ok(()) } else { remount(target.as_c_str(), mount_flags_of(kept.later)) }
}

fn in_place(work: &mut Work<'_>, path: &CStr) -> Result<()> {
    let path = walk::resolve(path, Make::Directory, Some(&mut work.log))?;
    raw::mount(Some(path.as_c_str()), path.as_c_str(), None, libc::MS_BIND | libc::MS_REC, None)
}

/// What mounts refuse: in the terms of the new calls, and of the old.
const RESTRICTIONS: [(u64, c_ulong); 4] = [
    (libc::MOUNT_ATTR_RDONLY, libc::MS_RDONLY),
    (libc::MOUNT_ATTR_NOSUID, libc::MS_NOSUID),
    (libc::MOUNT_ATTR_NODEV, libc::MS_NODEV),
    (libc::MOUNT_ATTR_NOEXEC, libc::MS_NOEXEC),
];

fn mount_flags_of(attributes: u64) -> c_ulong {
    RESTRICTIONS.iter().filter(|(new, _)| attributes & new != 0).fold(0, |flags, (_, old)| flags | old)
}

fn attributes_of(flags: c_ulong) -> u64 {
    RESTRICTIONS.iter().filter(|(_, old)| flags & old != 0).fold(0, |attributes, (new, _)| attributes | new)
}

/// Adds flags to the mount at `path`, keeping those it has.
fn remount(path: &CStr, added: c_ulong) -> Result<()> {
    let had = raw::mount_flags(path)?;
    raw::mount(None, path, None, libc::MS_REMOUNT | libc::MS_BIND | had | added, None)
}

fn device(work: &Work<'_>, path: &CStr, host: &CStr, number: u32) -> Result<()> {
    let node = match raw::mknodat(raw::AT_CWD, path, libc::S_IFCHR | 0o666, number) {
        // Mounted onto itself, it can be opened where its surroundings soon refuse devices.
        Ok(()) => raw::clone_tree(raw::AT_CWD, path, false)?,
        // In a user namespace. Changing the mode or owner of the host's is refused there just so.
        Err(Errno(libc::EPERM)) => {
            raw::mknodat(raw::AT_CWD, path, libc::S_IFREG | 0o666, 0)?;
            raw::clone_tree(work.old_root, host, false)?
        }
        Err(errno) => return Err(errno),
    };
    raw::move_mount(node, raw::AT_CWD, path)?;
    raw::close(node);
    Ok(())
}

fn mask(path: &CStr) -> Result<()> {
    match raw::mount(Some(c"/dev/null"), path, None, libc::MS_BIND, None) {
        Err(Errno(libc::ENOTDIR)) => raw::mount(Some(c"tmpfs"), path, Some(c"tmpfs"), libc::MS_RDONLY, None),
        Err(Errno(libc::ENOENT)) => Ok(()),
        other => other,
    }
}

fn read_only(path: &CStr) -> Result<()> {
    match raw::mount(Some(path), path, None, libc::MS_BIND | libc::MS_REC, None) {
        Err(Errno(libc::ENOENT)) => Ok(()),
        Err(errno) => Err(errno),
        Ok(()) => remount(path, libc::MS_RDONLY),
    }
}

/// First number that a descriptor moved out of the way gets.
const ASIDE: c_int = 10;

fn streams(from: &[c_int; 3], owner: Option<u32>) -> Result<()> {
    let mut aside = [-1; 3];
    for (place, source) in aside.iter_mut().zip(from) {
        if *source >= 0 {
            *place = raw::dup_from(*source, ASIDE)?;
            match owner {
                // A device, such as /dev/null or the caller's terminal, stays whose it is.
                Some(owner) if !raw::is_device(*place)? => {
                    // Fails on files of others, which are then theirs for a reason.
                    let _ = raw::fchown(*place, owner, u32::MAX);
                }
                _ => {}
            }
        }
    }
    let mut number = 0;
    for source in aside {
        if source >= 0 {
            raw::dup3(source, number)?;
            raw::close(source);
        }
        number = c_int::saturating_add(number, 1);
    }
    Ok(())
}

/// As runc: a stream that is the host's /dev/null becomes this one. Root in here could change the mode and owner of the
/// host's by the descriptor.
fn own_null(null: c_int) -> Result<()> {
    for number in 0..3 {
        // One that is closed stays so.
        if raw::is_null(number).unwrap_or(false) {
            raw::dup3(null, number)?;
        }
    }
    Ok(())
}

/// Best effort: groups that are not mapped are refused, and kernels before 4.11 lack the first file.
fn open_ports() {
    let settings: [(&CStr, &[u8]); 2] = [
        (c"/proc/sys/net/ipv4/ip_unprivileged_port_start", b"0"),
        (c"/proc/sys/net/ipv4/ping_group_range", b"0 2147483647"),
    ];
    for (path, value) in settings {
        if let Ok(file) = raw::openat(raw::AT_CWD, path, libc::O_WRONLY, 0) {
            let _ = raw::write(file, value);
            raw::close(file);
        }
    }
}

/// Asks the master side of a terminal for its slave side.
const TIOCGPTPEER: c_ulong = 0x5441;

fn terminal((rows, columns): (u16, u16), socket: c_int, owner: u32, mounted: bool) -> Result<()> {
    let multiplexer = if mounted { c"/dev/pts/ptmx" } else { c"/dev/ptmx" };
    let master = raw::openat(raw::AT_CWD, multiplexer, libc::O_RDWR | libc::O_NOCTTY, 0)?;
    raw::unlock_pty(master)?;
    let slave =
        raw::ioctl_int(master, TIOCGPTPEER, c_long::from(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC))?;
    raw::set_window_size(slave, rows, columns)?;
    raw::send_descriptor(socket, master)?;
    raw::close(master);
    raw::ioctl_int(slave, libc::TIOCSCTTY, 0)?;
    raw::fchown(slave, owner, u32::MAX)?;
    if !mounted {
        return streams(&[slave, slave, slave], None);
    }
    // The first terminal of a fresh devpts is always number 0.
    raw::mknodat(raw::AT_CWD, c"/dev/console", libc::S_IFREG | 0o600, 0)?;
    raw::mount(Some(c"/dev/pts/0"), c"/dev/console", None, libc::MS_BIND, None)?;
    streams(&[slave, slave, slave], None)
}

fn bound(keep: CapSet, last: u32) -> Result<()> {
    for capability in 0..=last.min(63) {
        if keep & (1_u64 << capability) == 0 {
            raw::prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), 0)?;
        }
    }
    Ok(())
}

/// How often a program is tried that somebody has open for writing, and the pause between two tries in milliseconds.
const BUSY_TRIES: u32 = 1_000;
const BUSY_PAUSE_MS: u32 = 2;

fn exec(work: &mut Work<'_>, candidates: &[std::ffi::CString]) -> Errno {
    let mut worst = Errno(libc::ENOENT);
    for path in candidates {
        let mut refused = raw::execve(path, work.argv, work.env);
        // Another step's child holds what this process was writing until it runs its own program.
        for _ in 0..BUSY_TRIES {
            if refused != Errno(libc::ETXTBSY) {
                break;
            }
            raw::pause(BUSY_PAUSE_MS);
            refused = raw::execve(path, work.argv, work.env);
        }
        match refused {
            absent @ Errno(libc::ENOENT | libc::ENOTDIR) => {
                // It is there: what is missing is the interpreter it names.
                if raw::openat(raw::AT_CWD, path, libc::O_PATH, 0).is_ok() {
                    work.lacks_interpreter = true;
                    return absent;
                }
            }
            refused @ Errno(libc::EACCES) => worst = refused,
            other => return other,
        }
    }
    worst
}
