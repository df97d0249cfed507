//! From a description of a sandbox to the list of deeds that make it: pure, but for what it is told.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{c_int, c_ulong};

use super::step::{Deed, FreshMount, Slot, Step};
use super::{Devices, Mount, MountSource, Network, Rlimit, RootFs, Sandbox, Security, Stdio};
use crate::cap::{self, CapSet};
use crate::cgroup;
use crate::error::{Error, Result};
use crate::mount::{OverlayApi, OverlayPlan, c_path};
use crate::userns::{IdMap, Level};

/// What must be known of this machine to plan a sandbox.
#[derive(Debug, Clone)]
pub struct Facts {
    /// How overlays are mounted.
    pub overlay: OverlayApi,
    /// Whether /sys/fs/cgroup is one hierarchy (version 2).
    pub cgroup2: bool,
    /// Where commands get control groups of their own, if that is known.
    pub groups: Option<cgroup::Home>,
    /// The highest capability the kernel knows.
    pub last_capability: u32,
    /// What this process may do.
    pub capabilities: CapSet,
    /// Directories below /sys that tell how hot the processors run; Docker masks them.
    pub thermal_paths: Vec<String>,
    /// Whether there is one id only: nobody else can be become, or own anything.
    pub one_id: bool,
    /// Whether /proc has the kernel's memory as a core file, to which /dev/core leads.
    pub kcore: bool,
    /// The caller's limits on open files, soft and hard, where this process has others.
    pub files: Option<(u64, u64)>,
}

impl Facts {
    /// Asks this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let magic = rustix::fs::statfs("/sys/fs/cgroup").map(|stat| stat.f_type as u64);
        let processors = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        let thermal_paths = range_list(&processors)
            .map(|number| format!("/sys/devices/system/cpu/cpu{number}/thermal_throttle"))
            .filter(|path| Path::new(path).exists())
            .collect();
        Self {
            overlay: OverlayApi::of_this_kernel(),
            cgroup2: magic == Ok(cgroup::MAGIC),
            groups: cgroup::Home::find().ok(),
            last_capability: cap::last(),
            capabilities: cap::effective(),
            thermal_paths,
            one_id: IdMap::current().is_ok_and(|map| map.is_single()),
            kcore: Path::new("/proc/kcore").exists(),
            files: crate::limits::files_of_caller(),
        }
    }
}

/// The numbers in a list such as `0-3,8`.
fn range_list(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?.min(8191))
        })
        .flatten()
}

/// Paths that Docker hides in a container.
pub(crate) const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that Docker makes read-only in a container.
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The devices of every container: name, major and minor number.
pub(super) const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The links in a container's /dev.
pub(super) const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The directories in a container's /dev, and their modes.
pub(super) const DIRS: [(&str, u32); 3] = [("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o755)];

/// What is searched where the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The open descriptors a plan refers to.
#[derive(Debug, Clone, Default)]
pub(super) struct Descriptors {
    /// What becomes the standard streams; -1 keeps this process's own.
    pub(super) streams: [c_int; 3],
    /// Where the terminal's other end is sent.
    pub(super) terminal: c_int,
    /// User namespaces of the id-mapped mounts, in order of the mounts.
    pub(super) idmaps: Vec<c_int>,
    /// Where the listener for reported calls is sent; -1 where none are reported.
    pub(super) listener: c_int,
    /// Which bind mounts are of directories, in order of the mounts.
    pub(super) directories: Vec<bool>,
}

/// The deeds that make `sandbox` on the machine of `facts`, in order.
///
/// Bind mounts are taken for directories here, and descriptors are left open; [`super::spawn()`] fills both in.
pub fn entry_steps(sandbox: &Sandbox, facts: &Facts) -> Result<Vec<Step>> {
    let unknown = Descriptors {
        idmaps: vec![-1; sandbox.mounts.len()],
        directories: vec![true; sandbox.mounts.len()],
        listener: -1,
        ..Descriptors::default()
    };
    Ok(plan(sandbox, facts, &unknown)?.steps)
}

/// A list of steps and how many slots they use.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) slots: usize,
}

pub(super) fn plan(sandbox: &Sandbox, facts: &Facts, descriptors: &Descriptors) -> Result<Plan> {
    if let RootFs::Chroot { dir, .. } = &sandbox.root {
        return plan_chroot(sandbox, dir, facts, descriptors);
    }
    let mut plan = Plan { steps: Vec::new(), slots: 0 };
    plan.push(Deed::Detach);
    plan.push(Deed::DieWithParent);
    plan.push(Deed::Umask(0));
    plan.push(Deed::PrivateMounts);
    if sandbox.limits.is_some() {
        plan.push(Deed::JoinGroups);
    }
    // Not by clone: that would take the parent's group for the root, not the one the child is started in.
    plan.push(Deed::OwnGroups);
    let placed = plan.take_sources(sandbox, facts, descriptors)?;
    plan.enter_root(sandbox, facts)?;
    plan.standard_mounts(sandbox, facts)?;
    for (mount, slot) in sandbox.mounts.iter().zip(placed) {
        plan.place(mount, slot)?;
    }
    if sandbox.network != Network::Host {
        plan.push(Deed::Loopback);
        plan.push(Deed::OpenPorts);
    }
    if sandbox.security == Security::Default {
        plan.hide(facts)?;
    }
    plan.push(Deed::LeaveOldRoot);
    plan.surroundings(sandbox)?;
    plan.streams(sandbox, facts, descriptors)?;
    if sandbox.read_only_root {
        plan.push(Deed::ReadOnlyRoot);
    }
    plan.credentials(sandbox, facts, descriptors);
    plan.push(Deed::Exec { candidates: candidates(sandbox)? });
    Ok(plan)
}

/// The deeds where there are no namespaces: another root, and what belongs to one process.
fn plan_chroot(sandbox: &Sandbox, root: &Path, facts: &Facts, descriptors: &Descriptors) -> Result<Plan> {
    if sandbox.network != Network::Host {
        return Err(no_namespace("a network of its own"));
    }
    if sandbox.read_only_root {
        return Err(no_namespace("a read-only root"));
    }
    let mut plan = Plan { steps: Vec::new(), slots: 0 };
    plan.push(Deed::Detach);
    plan.push(Deed::DieWithParent);
    plan.push(Deed::Umask(0));
    if sandbox.limits.is_some() {
        plan.push(Deed::JoinGroups);
    }
    // Before the root changes: the new one has no file system of terminals.
    plan.streams(sandbox, facts, descriptors)?;
    plan.push(Deed::ChangeRoot(c_path(root)?));
    plan.push(Deed::OwnNull);
    plan.push(Deed::KeepNull);
    plan.push(Deed::WorkDir(working_directory(sandbox)?));
    plan.credentials(sandbox, facts, descriptors);
    plan.push(Deed::Exec { candidates: candidates(sandbox)? });
    Ok(plan)
}

/// What the sandbox asks for cannot be had without a namespace.
fn no_namespace(what: &str) -> Error {
    Error::Unavailable {
        level: Level::None,
        reason: format!("the command asks for {what}, which needs a namespace"),
        fix: Some("`ireko doctor` says what keeps the better levels away".to_owned()),
    }
}

fn working_directory(sandbox: &Sandbox) -> Result<CString> {
    if !sandbox.cwd.is_absolute() {
        return Err(Error::Invalid(format!("working directory `{}` is not absolute", sandbox.cwd.display())));
    }
    c_path(&sandbox.cwd)
}

/// Where a mount's tree is kept until it is placed, and whether its target is a directory.
enum Taken {
    Kept { slot: Slot, directory: bool },
    Made,
}

impl Plan {
    fn push(&mut self, deed: Deed) {
        self.steps.push(Step(deed));
    }

    fn slot(&mut self) -> Slot {
        self.slots += 1;
        self.slots - 1
    }

    /// Takes the host's files while the host's root is still there.
    fn take_sources(&mut self, sandbox: &Sandbox, facts: &Facts, open: &Descriptors) -> Result<Vec<Taken>> {
        let mut taken = Vec::with_capacity(sandbox.mounts.len());
        let known = open.idmaps.iter().zip(&open.directories);
        for (mount, (userns, is_directory)) in sandbox.mounts.iter().zip(known) {
            let (slot, directory) = match &mount.source {
                MountSource::Tmpfs { .. } | MountSource::InPlace => {
                    taken.push(Taken::Made);
                    continue;
                }
                MountSource::Bind(path) | MountSource::Lent { path, .. } => {
                    let slot = self.slot();
                    self.push(Deed::Take { slot, path: c_path(path)?, recursive: true });
                    (slot, *is_directory)
                }
                MountSource::Idmapped { path, .. } => {
                    let slot = self.slot();
                    self.push(Deed::Take { slot, path: c_path(path)?, recursive: false });
                    self.push(Deed::Idmap { slot, userns: *userns });
                    (slot, *is_directory)
                }
                MountSource::Overlay(overlay) => {
                    let slot = self.slot();
                    self.overlay(slot, overlay, facts)?;
                    (slot, true)
                }
            };
            let mut attributes = match mount.devices {
                Devices::AsElsewhere => device_attributes(sandbox),
                Devices::Refused => libc::MOUNT_ATTR_NODEV,
                Devices::Given => 0,
            };
            for (asked, attribute) in [
                (mount.read_only, libc::MOUNT_ATTR_RDONLY),
                (mount.no_set_id, libc::MOUNT_ATTR_NOSUID),
                (mount.no_execution, libc::MOUNT_ATTR_NOEXEC),
            ] {
                if asked {
                    attributes |= attribute;
                }
            }
            if attributes != 0 {
                self.push(Deed::Restrict { slot, attributes });
            }
            taken.push(Taken::Kept { slot, directory });
        }
        Ok(taken)
    }

    /// Unites layers into a slot and says where the result may be placed for a moment. One layer and no
    /// upper directory, or the reverse, are no business of overlayfs's.
    fn overlay(&mut self, slot: Slot, overlay: &super::Overlay, facts: &Facts) -> Result<PathBuf> {
        let at = match (&overlay.lowers[..], &overlay.upper) {
            ([], Some(upper)) => {
                self.push(Deed::Take { slot, path: c_path(&upper.dir)?, recursive: false });
                return Ok(upper.dir.clone());
            }
            ([only], None) => {
                self.push(Deed::Take { slot, path: c_path(only)?, recursive: false });
                self.push(Deed::Restrict { slot, attributes: libc::MOUNT_ATTR_RDONLY });
                return Ok(only.clone());
            }
            ([first, ..], None) => first,
            (_, Some(upper)) => &upper.dir,
            ([], None) => return Err(Error::Invalid("an overlay of no directory at all".to_owned())),
        };
        let plan = OverlayPlan::new(overlay, facts.overlay)?;
        self.push(Deed::Overlay { slot, plan, at: c_path(at)? });
        Ok(at.clone())
    }

    fn enter_root(&mut self, sandbox: &Sandbox, facts: &Facts) -> Result<()> {
        let slot = self.slot();
        let at = match &sandbox.root {
            RootFs::Dir(path) => {
                self.push(Deed::Take { slot, path: c_path(path)?, recursive: true });
                path.clone()
            }
            RootFs::Overlay(overlay) => self.overlay(slot, overlay, facts)?,
            RootFs::Chroot { .. } => return Err(no_namespace("a mounted root")),
        };
        let attributes = device_attributes(sandbox);
        if attributes != 0 {
            self.push(Deed::Restrict { slot, attributes });
        }
        self.push(Deed::EnterRoot { slot, at: c_path(&at)? });
        Ok(())
    }

    fn mount(
        &mut self,
        kind: &'static std::ffi::CStr,
        target: &str,
        flags: c_ulong,
        data: &str,
    ) -> Result<()> {
        let needed = kind != c"mqueue" && !kind.to_bytes().starts_with(b"cgroup");
        self.push(Deed::Mount(FreshMount { kind, target: text(target)?, flags, data: text(data)?, needed }));
        Ok(())
    }

    /// What every container has: /proc, /dev, /sys.
    fn standard_mounts(&mut self, sandbox: &Sandbox, facts: &Facts) -> Result<()> {
        const PLAIN: c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let held = sandbox.security == Security::Default;
        self.push(Deed::Proc);
        let dev = libc::MS_NOSUID | libc::MS_STRICTATIME;
        self.mount(c"tmpfs", "/dev", dev, "mode=755,size=65536k")?;
        self.dev_files(facts)?;
        self.push(Deed::OwnNull);
        if held {
            self.push(Deed::NoMoreDevices(text("/dev")?));
        }
        let devpts = libc::MS_NOSUID | libc::MS_NOEXEC;
        // The group `tty`, where there is one.
        let group = if facts.one_id { "" } else { ",gid=5" };
        self.mount(c"devpts", "/dev/pts", devpts, &format!("newinstance,ptmxmode=0666,mode=0620{group}"))?;
        self.mount(c"tmpfs", "/dev/shm", PLAIN, &format!("mode=1777,size={}", sandbox.shm_size))?;
        self.mount(c"mqueue", "/dev/mqueue", PLAIN, "")?;
        self.push(Deed::Sys { read_only: held });
        let access = if held { libc::MS_RDONLY } else { 0 };
        if facts.cgroup2 {
            self.mount(c"cgroup2", "/sys/fs/cgroup", PLAIN | access, "")
        } else {
            // The old hierarchies cannot be narrowed to the command's own groups; it sees none instead.
            self.push(Deed::Mount(FreshMount {
                kind: c"tmpfs",
                target: text("/sys/fs/cgroup")?,
                flags: PLAIN | libc::MS_RDONLY,
                data: text("mode=755")?,
                needed: false,
            }));
            Ok(())
        }
    }

    fn dev_files(&mut self, facts: &Facts) -> Result<()> {
        for (name, major, minor) in NODES {
            self.push(Deed::Device {
                path: text(&format!("/dev/{name}"))?,
                host: text(&format!("dev/{name}"))?,
                number: major << 8 | minor,
            });
        }
        let core = facts.kcore.then_some(("core", "/proc/kcore"));
        for (name, to) in LINKS.into_iter().chain(core) {
            self.push(Deed::Link { path: text(&format!("/dev/{name}"))?, text: text(to)? });
        }
        for (name, mode) in DIRS {
            self.push(Deed::Dir { path: text(&format!("/dev/{name}"))?, mode });
        }
        Ok(())
    }

    fn place(&mut self, mount: &Mount, taken: Taken) -> Result<()> {
        if !mount.target.is_absolute() {
            return Err(Error::Invalid(format!("mount target `{}` is not absolute", mount.target.display())));
        }
        let target = c_path(&mount.target)?;
        match (taken, &mount.source) {
            (Taken::Kept { slot, directory }, _) => self.push(Deed::Place { slot, target, directory }),
            (Taken::Made, MountSource::Tmpfs { size, mode }) => {
                let mut data = format!("mode={mode:o}");
                if let Some(size) = size {
                    data += &format!(",size={size}");
                }
                let mut flags = libc::MS_NOSUID | libc::MS_NODEV;
                if mount.no_execution {
                    flags |= libc::MS_NOEXEC;
                }
                if mount.read_only {
                    flags |= libc::MS_RDONLY;
                }
                let data = text(&data)?;
                self.push(Deed::Mount(FreshMount { kind: c"tmpfs", target, flags, data, needed: true }));
            }
            (Taken::Made, _) => self.push(Deed::InPlace(target)),
        }
        Ok(())
    }

    fn hide(&mut self, facts: &Facts) -> Result<()> {
        for path in READ_ONLY {
            self.push(Deed::ReadOnly(text(path)?));
        }
        for path in MASKED.into_iter().chain(facts.thermal_paths.iter().map(String::as_str)) {
            self.push(Deed::Mask(text(path)?));
        }
        Ok(())
    }

    fn surroundings(&mut self, sandbox: &Sandbox) -> Result<()> {
        if sandbox.hostname.len() > 64 {
            return Err(Error::Invalid(format!("host name `{}` is longer than 64 bytes", sandbox.hostname)));
        }
        self.push(Deed::Hostname(text(&sandbox.hostname)?));
        self.push(Deed::WorkDir(working_directory(sandbox)?));
        Ok(())
    }

    fn streams(&mut self, sandbox: &Sandbox, facts: &Facts, open: &Descriptors) -> Result<()> {
        let owner = if facts.one_id { 0 } else { sandbox.identity.uid };
        match sandbox.stdio {
            Stdio::Terminal { rows, columns } => {
                let mounted = !matches!(sandbox.root, RootFs::Chroot { .. });
                self.push(Deed::Terminal { rows, columns, socket: open.terminal, owner, mounted });
            }
            Stdio::Streams { .. } => {
                // A user that is not root may open /dev/stdout again only if the pipe is theirs.
                self.push(Deed::Streams { from: open.streams, owner: (owner != 0).then_some(owner) });
            }
        }
        Ok(())
    }

    fn credentials(&mut self, sandbox: &Sandbox, facts: &Facts, open: &Descriptors) {
        let mut keep = CapSet::MAX;
        if let Some((soft, hard)) = facts.files {
            self.push(Deed::Limit { resource: libc::RLIMIT_NOFILE, soft, hard });
        }
        // One of them says who a process is, where that is emulated; Linux ignores it otherwise.
        let taken = |limit: &&Rlimit| sandbox.owners.is_none() || limit.resource != libc::RLIMIT_RSS;
        for limit in sandbox.rlimits.iter().filter(taken) {
            self.push(Deed::Limit { resource: limit.resource, soft: limit.soft, hard: limit.hard });
        }
        self.push(Deed::Keyring);
        if sandbox.security == Security::Default {
            keep = cap::docker_default();
            // An outer container that withholds these two has bounds and a filter of its own.
            if facts.capabilities & cap::SETPCAP != 0 {
                self.push(Deed::Bound { keep, last: facts.last_capability });
            }
            // Before the capabilities go: no_new_privs is not set, as Docker does not, so loading needs them.
            if facts.capabilities & cap::SYS_ADMIN != 0 {
                self.push(Deed::Filter);
            }
        }
        let may_filter = facts.capabilities & cap::SYS_ADMIN != 0;
        let reports = open.listener >= 0 || sandbox.owners.is_some();
        if reports && !may_filter {
            self.push(Deed::NoNewPrivileges);
        }
        if sandbox.volatile && (may_filter || reports) {
            self.push(Deed::NoSyncs);
        }
        if reports {
            self.push(Deed::Report { socket: open.listener });
        }
        self.push(Deed::ClearInherited { keep });
        let identity = &sandbox.identity;
        // As Docker: who drops the group it runs in still is in it, so a file closed to the group stays closed.
        let others = identity.groups.iter().copied().filter(|group| *group != identity.gid);
        let groups = std::iter::once(identity.gid).chain(others).collect();
        if !facts.one_id {
            self.push(Deed::Become { uid: identity.uid, gid: identity.gid, groups });
        }
        // Becoming somebody else made the kernel forget it.
        self.push(Deed::DieWithParent);
        self.push(Deed::Umask(0o022));
    }
}

/// Device files that a command makes or finds cannot be opened, as Docker's device cgroup has it: with the
/// capability to make one, root could reach the host's disks. Those of /dev are mounts of their own, one by one.
fn device_attributes(sandbox: &Sandbox) -> u64 {
    match sandbox.security {
        Security::Default => libc::MOUNT_ATTR_NODEV,
        Security::Insecure => 0,
    }
}

/// The paths at which the program may be.
fn candidates(sandbox: &Sandbox) -> Result<Vec<CString>> {
    let Some(program) = sandbox.argv.first().filter(|program| !program.is_empty()) else {
        return Err(Error::Invalid("there is no command".to_owned()));
    };
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_path(Path::new(program))?]);
    }
    let path = sandbox.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    path.unwrap_or(OsStr::new(DEFAULT_PATH))
        .as_bytes()
        .split(|byte| *byte == b':')
        // As runc: what depends on the working directory is not searched.
        .filter(|dir| dir.first() == Some(&b'/'))
        .map(|dir| c_path(&Path::new(OsStr::from_bytes(dir)).join(program)))
        .collect()
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Invalid(format!("`{}` holds a zero byte", text.escape_default())))
}
