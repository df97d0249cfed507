//! The deeds that make a sandbox, as values: what the child will do, in words and in the kernel's terms.

use std::ffi::{CStr, CString};
use std::fmt;

use libc::{c_int, c_ulong};

use crate::cap::CapSet;
use crate::mount::OverlayPlan;

/// Number of a descriptor kept by the child between two steps.
pub(super) type Slot = usize;

/// One deed of the child, between being started and becoming the command.
///
/// Its text follows "cannot" in an error. The fields are in the kernel's terms already, so that performing a
/// step neither allocates nor decides.
#[derive(Debug, Clone)]
pub struct Step(pub(super) Deed);

#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Leave the caller's session, its terminal and its signal handlers.
    Detach,
    /// Be killed when the parent dies; end now if it has died already.
    DieWithParent,
    /// Set the file mode mask.
    Umask(u32),
    /// Stop mounts from spreading outside.
    PrivateMounts,
    /// Join the control groups that it could not be started in.
    JoinGroups,
    /// See the control group the child is in as the root of all.
    OwnGroups,
    /// Take a host file or directory, with what is mounted below it.
    Take { slot: Slot, path: CString, recursive: bool },
    /// Unite layers.
    Overlay { slot: Slot, plan: OverlayPlan, at: CString },
    /// Show owners through the user namespace.
    Idmap { slot: Slot, userns: c_int },
    /// Restrict a mount that is not placed yet.
    Restrict { slot: Slot, attributes: u64 },
    /// Make a directory the root of all paths, without a mount.
    ChangeRoot(CString),
    /// Place the root and move into it, keeping a hand on the old one.
    EnterRoot { slot: Slot, at: CString },
    /// Mount a file system of the kernel's.
    Mount(FreshMount),
    /// Mount /proc, or show the outer one where a fresh one is refused.
    Proc,
    /// Mount /sys, or show the outer one where a fresh one is refused.
    Sys { read_only: bool },
    /// Place something taken earlier.
    Place { slot: Slot, target: CString, directory: bool },
    /// Make a device file of our own, since what the command does to its mode and owner must not reach the host's;
    /// show the host's where none can be made.
    Device { path: CString, host: CString, number: u32 },
    /// Refuse to open device files made here from now on; those that are mounts of their own stay.
    NoMoreDevices(CString),
    /// Make a directory of our own /dev.
    Dir { path: CString, mode: u32 },
    /// Make a symbolic link in our own /dev.
    Link { path: CString, text: CString },
    /// Hide a file or directory, if it is there.
    Mask(CString),
    /// Refuse writes to what is below, if it is there.
    ReadOnly(CString),
    /// Let go of the old root.
    LeaveOldRoot,
    /// Refuse writes to the root.
    ReadOnlyRoot,
    /// Set the host name.
    Hostname(CString),
    /// Bring the loopback interface up.
    Loopback,
    /// Let every user of the new network listen on any port and send pings, as Docker does.
    OpenPorts,
    /// Set a resource limit.
    Limit { resource: u32, soft: u64, hard: u64 },
    /// Go to the working directory, making it if needed.
    WorkDir(CString),
    /// Open a terminal and hand its other end out: one of the root's own where that has a file system of them.
    Terminal { rows: u16, columns: u16, socket: c_int, owner: u32, mounted: bool },
    /// Open the new /dev/null, for streams that are another.
    OwnNull,
    /// Use it for the streams that were set before.
    KeepNull,
    /// Put descriptors in the places of the standard streams; -1 keeps what is there.
    Streams { from: [c_int; 3], owner: Option<u32> },
    /// Mount a directory onto itself, so that it does not follow its surroundings.
    InPlace(CString),
    /// Forget the caller's keys.
    Keyring,
    /// Give up every capability that is not in the set, for good.
    Bound { keep: CapSet, last: u32 },
    /// Load the system call filter.
    Filter,
    /// Let calls that wait for the disk do nothing.
    NoSyncs,
    /// Gain nothing by set-id programs, which a filter of one's own asks for where one may not administer.
    NoNewPrivileges,
    /// Report calls to the parent.
    Report { socket: c_int },
    /// Clear the sets that pass capabilities on.
    ClearInherited { keep: CapSet },
    /// Become the user.
    Become { uid: u32, gid: u32, groups: Vec<u32> },
    /// Run the first of these programs that is there.
    Exec { candidates: Vec<CString> },
}

/// A file system that the kernel makes up.
#[derive(Debug, Clone)]
pub(super) struct FreshMount {
    pub(super) kind: &'static CStr,
    pub(super) target: CString,
    pub(super) flags: c_ulong,
    pub(super) data: CString,
    /// Whether a refusal is fatal; where it is not, the container goes without.
    pub(super) needed: bool,
}

struct Quoted<'a>(&'a CStr);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`", self.0.to_string_lossy())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Deed::Detach => write!(out, "start a session"),
            Deed::DieWithParent => write!(out, "be killed with the parent"),
            Deed::Umask(mask) => write!(out, "set umask {mask:04o}"),
            Deed::PrivateMounts => write!(out, "keep mounts private"),
            Deed::JoinGroups => write!(out, "join its control groups"),
            Deed::OwnGroups => write!(out, "see its own control group only"),
            Deed::Take { path, .. } => write!(out, "take {} to bind it", Quoted(path)),
            Deed::Overlay { plan, at, .. } => write_overlay(out, plan, at),
            Deed::Idmap { .. } => write!(out, "map its owners"),
            Deed::Restrict { attributes, .. } => write_restriction(out, *attributes),
            Deed::EnterRoot { at, .. } => write!(out, "make {} the root", Quoted(at)),
            Deed::Mount(mount) => write_mount(out, mount),
            Deed::Proc => write!(out, "mount proc on `/proc`"),
            Deed::Sys { read_only: true } => write!(out, "mount sysfs on `/sys`, read-only"),
            Deed::Sys { read_only: false } => write!(out, "mount sysfs on `/sys`"),
            Deed::Place { target, directory: true, .. } => write!(out, "mount onto {}", Quoted(target)),
            Deed::Place { target, .. } => write!(out, "mount onto file {}", Quoted(target)),
            Deed::InPlace(path) => write!(out, "mount {} onto itself", Quoted(path)),
            Deed::Device { path, .. } => write!(out, "show device {}", Quoted(path)),
            Deed::NoMoreDevices(path) => write!(out, "refuse new devices in {}", Quoted(path)),
            Deed::Dir { path, mode } => write!(out, "make directory {} with mode {mode:04o}", Quoted(path)),
            Deed::Link { path, text } => write!(out, "link {} to {}", Quoted(path), Quoted(text)),
            Deed::Mask(path) => write!(out, "mask {}", Quoted(path)),
            Deed::ReadOnly(path) => write!(out, "make {} read-only", Quoted(path)),
            Deed::LeaveOldRoot => write!(out, "leave the old root"),
            Deed::ReadOnlyRoot => write!(out, "make the root read-only"),
            Deed::Hostname(name) => write!(out, "set host name {}", Quoted(name)),
            Deed::Loopback => write!(out, "bring the loopback interface up"),
            Deed::OpenPorts => write!(out, "open low ports to every user"),
            Deed::Limit { resource, soft, hard } => write!(out, "set limit {resource} to {soft}:{hard}"),
            Deed::WorkDir(path) => write!(out, "enter working directory {}", Quoted(path)),
            Deed::Terminal { rows, columns, .. } => write!(out, "open a terminal of {rows}x{columns}"),
            Deed::OwnNull => write!(out, "open `/dev/null`"),
            Deed::KeepNull => write!(out, "put `/dev/null` in the places of the caller's"),
            Deed::ChangeRoot(path) => write!(out, "make {} the root", Quoted(path)),
            Deed::Streams { .. } => write!(out, "connect the standard streams"),
            Deed::Keyring => write!(out, "start a keyring"),
            Deed::Bound { keep, .. } => write!(out, "bound capabilities to {keep:016x}"),
            Deed::Filter => write!(out, "load the system call filter"),
            Deed::NoSyncs => write!(out, "let no call wait for the disk"),
            Deed::NoNewPrivileges => write!(out, "give up privileges of set-id programs"),
            Deed::Report { .. } => write!(out, "report calls"),
            Deed::ClearInherited { .. } => write!(out, "clear inherited capabilities"),
            Deed::Become { uid, gid, groups } => {
                write!(out, "become user {uid}:{gid} with groups {groups:?}")
            }
            Deed::Exec { candidates } => write_programs(out, candidates),
        }
    }
}

fn write_overlay(out: &mut fmt::Formatter<'_>, plan: &OverlayPlan, at: &CStr) -> fmt::Result {
    let plural = if plan.lowers.len() == 1 { "" } else { "s" };
    write!(out, "mount an overlay of {} layer{plural}", plan.lowers.len())?;
    match &plan.upper {
        Some((dir, _)) => write!(out, " with upper directory {}", Quoted(dir)),
        None => write!(out, " at {}, read-only", Quoted(at)),
    }
}

fn write_restriction(out: &mut fmt::Formatter<'_>, attributes: u64) -> fmt::Result {
    let words = [
        (libc::MOUNT_ATTR_RDONLY, "ro"),
        (libc::MOUNT_ATTR_NOSUID, "nosuid"),
        (libc::MOUNT_ATTR_NODEV, "nodev"),
        (libc::MOUNT_ATTR_NOEXEC, "noexec"),
    ];
    let named: Vec<&str> =
        words.iter().filter(|(bit, _)| attributes & bit != 0).map(|(_, word)| *word).collect();
    write!(out, "make it {}", named.join(","))
}

fn write_mount(out: &mut fmt::Formatter<'_>, mount: &FreshMount) -> fmt::Result {
    write!(out, "mount {} on {}", mount.kind.to_string_lossy(), Quoted(&mount.target))?;
    let words = [
        (libc::MS_RDONLY, "ro"),
        (libc::MS_NOSUID, "nosuid"),
        (libc::MS_NODEV, "nodev"),
        (libc::MS_NOEXEC, "noexec"),
        (libc::MS_STRICTATIME, "strictatime"),
    ];
    for (bit, word) in words {
        if mount.flags & bit != 0 {
            write!(out, ",{word}")?;
        }
    }
    if !mount.data.is_empty() {
        write!(out, ",{}", mount.data.to_string_lossy())?;
    }
    if mount.needed { Ok(()) } else { write!(out, " if it can be had") }
}

fn write_programs(out: &mut fmt::Formatter<'_>, candidates: &[CString]) -> fmt::Result {
    write!(out, "run")?;
    for (index, path) in candidates.iter().enumerate() {
        write!(out, "{} {}", if index == 0 { "" } else { " or" }, Quoted(path))?;
    }
    Ok(())
}
