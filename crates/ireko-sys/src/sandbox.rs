//! One command in a container's surroundings: what it is given, as data.
//!
//! [`spawn()`] turns a [`Sandbox`] into a list of [`Step`]s (a pure function, [`entry_steps`]), starts a child
//! in new namespaces that performs them one by one, and returns when the command has been executed. All
//! mounts are made inside the child's mount namespace, so nothing is left of them when it ends, however it
//! ends.

mod child;
mod keeper;
mod moved;
mod plan;
mod pseudo;
mod running;
mod spawn;
mod step;
mod walk;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::plan::{Facts, entry_steps};
pub(crate) use self::plan::{MASKED, READ_ONLY};
pub use self::running::{Exit, Killer, MountPoint, Proc, Running, remove_mount_points};
pub(crate) use self::spawn::receive_descriptor;
pub use self::spawn::{spawn, spawn_with};
pub use self::step::Step;
use crate::cgroup::Limiter;
pub use crate::mount::Overlay;
pub use crate::notify::Owners;

/// A command and everything it can see.
#[derive(Debug)]
pub struct Sandbox {
    /// What becomes `/`.
    pub root: RootFs,
    /// Whether `/` itself refuses writes.
    pub read_only_root: bool,
    /// Further mounts, in this order. Targets that do not exist are made, see [`Running::mount_points`].
    pub mounts: Vec<Mount>,
    /// The host name the command sees.
    pub hostname: String,
    /// What of the network it can reach.
    pub network: Network,
    /// The command. Without a slash, the program is searched in the `PATH` of `env`, inside the root.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory inside the root; made if it does not exist.
    pub cwd: PathBuf,
    /// Who the command runs as.
    pub identity: Identity,
    /// How tightly it is held.
    pub security: Security,
    /// Where its input comes from and its output goes.
    pub stdio: Stdio,
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    /// Limits that differ from this process's own.
    pub rlimits: Vec<Rlimit>,
    /// What it may use of the machine; held by control groups of its own.
    pub limits: Option<Arc<Limiter>>,
    /// What it writes is thrown away, or written to disk by who started it: its own waiting for the disk does nothing.
    pub volatile: bool,
    /// Where this process has one id only: what is needed to show others to the command.
    pub owners: Option<Owners>,
}

impl Sandbox {
    /// A command with Docker's defaults: root, `/`, the host's network, no input, outputs as pipes.
    #[must_use]
    pub fn new(root: RootFs, argv: Vec<OsString>) -> Self {
        Self {
            root,
            read_only_root: false,
            mounts: Vec::new(),
            hostname: "localhost".to_owned(),
            network: Network::Host,
            argv,
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            identity: Identity::default(),
            security: Security::Default,
            stdio: Stdio::default(),
            shm_size: 64 << 20,
            rlimits: Vec::new(),
            limits: None,
            volatile: false,
            owners: None,
        }
    }
}

/// What becomes the command's `/`.
#[derive(Debug, Clone)]
pub enum RootFs {
    /// Layers, united by overlayfs.
    Overlay(Overlay),
    /// A plain directory, written in place.
    Dir(PathBuf),
    /// A plain directory that is entered by chroot, where no namespaces can be had: the command sees this process's
    /// processes, network and host name, and what would be mounted is moved in and out again.
    Chroot {
        /// The directory.
        dir: PathBuf,
        /// A directory on its file system, for what is covered meanwhile and nothing else.
        aside: PathBuf,
        /// Whether the command is shown this machine's /proc and /sys where it can be. Where this process may not
        /// administer, set-id programs then gain nothing.
        with_proc: bool,
    },
}

/// Something mounted below the root.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Where, absolute inside the root. Symbolic links are followed inside the root.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether set-id programs count as plain ones there.
    pub no_set_id: bool,
    /// Whether nothing there can be executed.
    pub no_execution: bool,
    /// Whether device files there can be opened.
    pub devices: Devices,
}

/// Whether device files of a mount can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Devices {
    /// As elsewhere in the sandbox: only where it is not held.
    #[default]
    AsElsewhere,
    /// Never.
    Refused,
    /// Always: it is a device that the command was given.
    Given,
}

/// What is mounted.
#[derive(Debug, Clone)]
pub enum MountSource {
    /// A file or directory of this machine, with the mounts below it.
    Bind(PathBuf),
    /// The same, and where it cannot be mounted but is moved, the file `note` tells meanwhile where it lies.
    Lent {
        /// The directory.
        path: PathBuf,
        /// The file; not there while the directory is at its own place.
        note: PathBuf,
    },
    /// The same, with the owners in the pair shown as the others. See [`crate::mount::idmapped`].
    Idmapped {
        /// The file or directory.
        path: PathBuf,
        /// The user and group that own the files on disk.
        owner: (u32, u32),
        /// Whom the command shall see as their owner.
        shown: (u32, u32),
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Most bytes it may hold; none for the kernel's default (half of the memory).
        size: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
    },
    /// What lies there already, or an empty directory. It stays writable where the root is not.
    InPlace,
    /// Layers, united by overlayfs: writes go to the upper directory and nowhere else.
    Overlay(Overlay),
}

impl Mount {
    /// A file or directory of this machine, writable.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self::new(MountSource::Bind(source.into()), target)
    }

    /// A mount of that source, writable.
    pub fn new(source: MountSource, target: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            source,
            read_only: false,
            no_set_id: false,
            no_execution: false,
            devices: Devices::AsElsewhere,
        }
    }

    /// The same, refusing writes.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// The same, refusing set-id programs, device files and execution.
    #[must_use]
    pub fn hardened(self) -> Self {
        Self { no_set_id: true, no_execution: true, devices: Devices::Refused, ..self }
    }
}

/// What of the network a command can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// All that this process can.
    #[default]
    Host,
    /// Itself only, by the loopback interface.
    None,
    /// A network of its own, to be reached from outside by [`crate::net::NetNs`]; for now it is as `None`.
    Private,
}

/// Who a command runs as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// How tightly a command is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// As a Docker container: its capabilities, system call filter, masked and read-only paths.
    #[default]
    Default,
    /// All capabilities this process has, no filter, nothing masked.
    Insecure,
}

/// Where a command's input comes from and its output goes.
#[derive(Debug)]
pub enum Stdio {
    /// Three separate streams.
    Streams {
        /// Standard input.
        stdin: Stream,
        /// Standard output.
        stdout: Stream,
        /// Standard error.
        stderr: Stream,
    },
    /// A terminal of the command's own, of this size.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
}

impl Default for Stdio {
    fn default() -> Self {
        Self::Streams { stdin: Stream::Null, stdout: Stream::Pipe, stderr: Stream::Pipe }
    }
}

/// One stream of a command.
#[derive(Debug)]
pub enum Stream {
    /// /dev/null.
    Null,
    /// This process's own stream of that number.
    Inherit,
    /// A new pipe; our end is in [`Running`].
    Pipe,
    /// This open file. It stays open here until the [`Sandbox`] is dropped.
    File(OwnedFd),
}

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// Number of the resource, as `RLIMIT_*`; see [`Rlimit::named`].
    pub resource: u32,
    /// Limit in force.
    pub soft: u64,
    /// How far the command may raise it itself.
    pub hard: u64,
}

impl Rlimit {
    /// The limit Docker calls `name` (`nofile`, `nproc`, ...), if there is one.
    #[must_use]
    pub fn named(name: &str, soft: u64, hard: u64) -> Option<Self> {
        const NAMES: [&str; 16] = [
            "cpu",
            "fsize",
            "data",
            "stack",
            "core",
            "rss",
            "nproc",
            "nofile",
            "memlock",
            "as",
            "locks",
            "sigpending",
            "msgqueue",
            "nice",
            "rtprio",
            "rttime",
        ];
        let resource = NAMES.iter().position(|known| *known == name)?;
        Some(Self { resource: u32::try_from(resource).ok()?, soft, hard })
    }
}
