//! Owners and users for a step whose kernel knows one id only: a filter reports its calls, a thread of this process
//! answers them.
//!
//! The thread sees mounts as the step does and is root of its user namespace; it stays outside its process numbers and
//! reaches its processes by this machine's /proc. Nothing is protected by this: every process of a step has root's
//! powers over the step's files, whoever it is said to be. It makes installers and their checks work, and gives a layer
//! the owners that it would have.

mod acl;
mod book;
mod caller;
mod calls;
mod create;
mod creds;
mod files;
mod filter;
mod identity;
pub(crate) mod kernel;
mod people;
mod place;
pub(crate) mod procfs;
mod serve;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use self::creds::Creds;
pub(crate) use self::filter::Reported;
use crate::error::{Error, Result};
use crate::owner::{Owner, OwnerTable};
use crate::{cap, sandbox};

/// Why steps cannot be told of other owners and users here; nothing where they can.
pub(crate) fn missing() -> Option<String> {
    let own_proc = || {
        let this = std::fs::read_link("/proc/self").ok()?;
        this.to_str()?.parse::<u32>().ok().filter(|pid| *pid == std::process::id())
    };
    let reason = match () {
        () if !kernel::has_listeners() => {
            "this kernel cannot report system calls as steps need it (seccomp notifications of Linux 5.19)"
        }
        () if own_proc().is_none() => "/proc does not show this process by its own number",
        () => return None,
    };
    Some(reason.to_owned())
}

/// What the emulation of a sandbox has to know of its files.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// The directory in which the changes of the root lie: the overlay's upper directory, or the plain root.
    pub changes: PathBuf,
    /// Owners of links, pipes and sockets below, which take no note, by their paths in the root.
    pub below: BTreeMap<PathBuf, Owner>,
    /// The same of what is mounted in the root, by the paths that they have there.
    pub mounted: BTreeMap<PathBuf, Owner>,
    /// What an earlier command on the same changes told of them.
    pub earlier: OwnerTable,
}

/// The thread that answers, to be waited for when the step has ended.
#[derive(Debug)]
pub(crate) struct Answering {
    thread: JoinHandle<OwnerTable>,
}

impl Answering {
    /// Starts it. The step's child sends its listener by the socket that is given back.
    pub(crate) fn start(sandbox: &sandbox::Sandbox, owners: &Owners) -> Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            UnixStream::pair().map_err(|cause| Error::deed("make a pair of sockets", cause))?;
        let open = |path: &Path| File::open(path).map_err(|cause| Error::path("open", path, cause));
        let sandbox::Identity { uid, gid, groups } = sandbox.identity.clone();
        let (bounding, free) = match sandbox.security {
            sandbox::Security::Default => (cap::docker_default(), false),
            sandbox::Security::Insecure => (cap::effective(), true),
        };
        // As where they are real: a process is in the group that it runs in.
        let others = groups.into_iter().filter(|group| *group != gid);
        let mut groups: Vec<u32> = std::iter::once(gid).chain(others).collect();
        groups.sort_unstable();
        let path = |path: &Path| path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes().to_vec();
        let begin = serve::Begin {
            first: Creds::of(uid, gid, groups, bounding),
            changes: Some(open(&owners.changes)?.into()),
            below: owners.below.iter().map(|(at, owner)| (path(at), *owner)).collect(),
            mounted: owners.mounted.iter().map(|(at, owner)| (path(at), *owner)).collect(),
            earlier: owners.earlier.clone(),
            proc: open(Path::new("/proc"))?.into(),
            free,
        };
        let named = std::thread::Builder::new().name("owners".to_owned());
        let thread = named.spawn(move || {
            let listener = sandbox::receive_descriptor(&ours.into(), "receive the listener of a step");
            // Where the child failed before, there is none to serve.
            listener.map_or_else(|_| OwnerTable::new(), |listener| serve::serve(listener, begin))
        });
        let thread = thread.map_err(|cause| Error::deed("start a thread for the step's calls", cause))?;
        debug_assert!(theirs.as_raw_fd() >= 0);
        Ok((Self { thread }, theirs.into()))
    }

    /// Waits until nobody asks any more.
    pub(crate) fn finish(self) -> OwnerTable {
        self.thread.join().unwrap_or_default()
    }
}
