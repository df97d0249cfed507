//! The mounts of a RUN step: made ready outside the sandbox, undone when the step is over.

use crate::authorities::PLACE;
use crate::device;
use crate::error::Fault;
use crate::freshness::{self, Shown};
use crate::job::Job;
use crate::perform::Performer;
use crate::run::{Confinement, Step, without_notes};
use crate::secrets::SecretValue;
use crate::selection::Picked;
use crate::snapshotter::Snapshotter;
use crate::ssh::{Access, Relay};
use ireko_graph::op::{FilesFrom, Mount as MountOp, MountKind, Run};
use ireko_layer::{Follow, OverlayAttrs, TreePath, View};
use ireko_oci::GuestPath;
use ireko_report::{Blame, Event};
use ireko_store::{CacheMount, MountRequest};
use ireko_sys::mount;
use ireko_sys::owner::Owner;
use ireko_sys::sandbox::{Mount, MountSource};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where ssh finds its agent.
const SSH_VARIABLE: &str = "SSH_AUTH_SOCK";

/// Mounts that are ready, and what has to outlive the step.
pub(crate) struct Mounted {
    mounts: Vec<Mount>,
    variables: Vec<(OsString, OsString)>,
    secrets: Vec<SecretValue>,
    /// Groups that the step's user is in because of its devices.
    groups: Vec<u32>,
    /// Owners of links and pipes of stages, by their paths in the step, where owners are noted.
    owners: BTreeMap<PathBuf, Owner>,
    /// Selections of local contexts that the step could see, and that must not have changed meanwhile.
    watched: Vec<Arc<Picked>>,
    /// Cache directories, released when the step is over.
    _caches: Vec<CacheMount>,
    /// File systems mounted in this process's own namespace, taken away when the step is over.
    _attached: Vec<mount::Mounted>,
    /// Sockets of agents, closed when the step is over.
    _relays: Vec<Relay>,
}

impl Mounted {
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    pub(crate) fn variables(&self) -> &[(OsString, OsString)] {
        &self.variables
    }

    pub(crate) fn groups(&self) -> &[u32] {
        &self.groups
    }

    pub(crate) fn owners(&self) -> &BTreeMap<PathBuf, Owner> {
        &self.owners
    }

    pub(crate) fn secrets(&self) -> &[SecretValue] {
        &self.secrets
    }

    /// Says whether what the step could see of local contexts is still what its key names.
    pub(crate) fn unchanged(&self) -> Result<bool, Fault> {
        for picked in &self.watched {
            if !picked.unchanged()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

struct Preparing<'p, 'a> {
    performer: &'p Performer<'a>,
    job: &'p Job,
    /// What the step stands on.
    below: &'p View,
    /// Files are shown with their sources' present times.
    fresh: bool,
    scratch: &'p Path,
    /// The Dockerfile itself says where ssh finds an agent.
    own_agent: bool,
    /// A file system in memory, for what must never be on disk.
    memory: Option<PathBuf>,
    /// The directories of the cache mounts, by their position.
    caches: BTreeMap<usize, MountSource>,
    done: Mounted,
}

/// A cache that a step asks for, maybe at several places.
struct Cache {
    mode: u32,
    uid: u32,
    gid: u32,
    sharing: ireko_store::Sharing,
    /// What it begins with.
    seed: Option<Arc<Picked>>,
    /// Positions of its mounts.
    at: Vec<usize>,
}

/// Makes a step's mounts ready. `scratch` is a directory of the step's own.
pub(crate) fn prepare(performer: &Performer<'_>, step: &Step<'_>, scratch: &Path) -> Result<Mounted, Fault> {
    let Step { job, run, below, .. } = *step;
    let done = Mounted {
        mounts: Vec::new(),
        variables: Vec::new(),
        secrets: Vec::new(),
        groups: Vec::new(),
        owners: BTreeMap::new(),
        watched: Vec::new(),
        _caches: Vec::new(),
        _attached: Vec::new(),
        _relays: Vec::new(),
    };
    let mut preparing = Preparing {
        performer,
        job,
        below,
        fresh: freshness::matters(run),
        own_agent: run.env.iter().any(|(name, _)| name == SSH_VARIABLE),
        scratch,
        memory: None,
        caches: BTreeMap::new(),
        done,
    };
    preparing.take_caches(run)?;
    let mut selections = 0;
    for (at, op) in run.mounts.iter().enumerate() {
        preparing.one(at, op, &mut selections)?;
    }
    preparing.devices(run)?;
    if let Some(shown) = step.authorities {
        let mut mount = Mount::new(MountSource::Bind(shown.file.clone()), PLACE);
        mount.read_only = true;
        preparing.done.mounts.push(mount);
    }
    Ok(preparing.done)
}

impl Preparing<'_, '_> {
    fn one(&mut self, at: usize, op: &MountOp, selections: &mut usize) -> Result<(), Fault> {
        match &op.kind {
            MountKind::Bind { from: FilesFrom::Empty, writable, .. } => {
                let dir = self.dir(&format!("empty-{at}"))?;
                self.add(MountSource::Bind(dir), &op.target, !writable);
            }
            MountKind::Bind { from: FilesFrom::Input(input), source, writable } => {
                let position = *selections;
                *selections += 1;
                let path = match self.performer.surroundings().snapshotter {
                    Snapshotter::Overlay => self.tree(at, *input, source, *writable)?,
                    Snapshotter::Copy => {
                        let (tree, origins) = (&self.job.inputs[*input], &self.job.input_origins[*input]);
                        self.performer.demand_all(tree, origins)?;
                        let path = self.selection(at, position)?;
                        if self.fresh {
                            let shown = Shown { tree, origins, lowers: &[], which: input + 1 };
                            self.set_times(&shown, source, &path)?;
                        }
                        path
                    }
                };
                self.owners(*input, source, &op.target)?;
                self.add(MountSource::Bind(path), &op.target, !writable);
            }
            MountKind::Bind { writable, .. } => {
                let path = self.selection(at, *selections)?;
                *selections += 1;
                self.add(MountSource::Bind(path), &op.target, !writable);
            }
            MountKind::Cache { read_only, from, .. } => {
                *selections += usize::from(*from != FilesFrom::Empty);
                if let Some(source) = self.caches.get(&at).cloned() {
                    self.add(source, &op.target, *read_only);
                }
            }
            MountKind::Tmpfs { size } => {
                let mode = self.mode_below(&op.target)?;
                let mount = match self.performer.surroundings().on_failure {
                    // What the step wrote there is to be seen when it has ended.
                    Some(_) => MountSource::Bind(self.kept_memory(&format!("tmpfs-{at}"), *size, mode)?),
                    None => MountSource::Tmpfs { size: *size, mode },
                };
                self.add(mount, &op.target, false);
            }
            MountKind::Secret { .. } => self.secret(at, op)?,
            MountKind::Inline { bytes, mode } => {
                let file = self.scratch.join(format!("inline-{at}"));
                fs::write(&file, bytes).map_err(|error| disk(&file, error))?;
                fs::set_permissions(&file, Permissions::from_mode(*mode))
                    .map_err(|error| disk(&file, error))?;
                self.add(MountSource::Bind(file), &op.target, true);
            }
            MountKind::Ssh { .. } => self.agent(at, op)?,
        }
        Ok(())
    }

    /// Where owners are noted, whose the links of an input are that is mounted at `target`: they take no notes.
    fn owners(&mut self, input: usize, source: &GuestPath, target: &GuestPath) -> Result<(), Fault> {
        if self.performer.attrs() != OverlayAttrs::Noted {
            return Ok(());
        }
        let view = self.performer.view(&self.job.inputs[input], &self.job.input_origins[input])?;
        let part = view.resolve(&TreePath::from_guest(source), Follow::All)?;
        let place = self.below.resolve(&TreePath::from_guest(target), Follow::All)?;
        let links = without_notes(&view).filter_map(|(path, owner)| {
            let inside = path.below(&part)?;
            Some((place.as_path().join(inside.as_path()), owner))
        });
        self.done.owners.extend(links);
        Ok(())
    }

    /// The mode of a file system in memory: that of the directory it covers, else as a temporary directory has it.
    fn mode_below(&self, target: &GuestPath) -> Result<u32, Fault> {
        let place = self.below.resolve(&TreePath::from_guest(target), Follow::All)?;
        let covered = self.below.entry(&place).filter(|entry| entry.kind.is_dir());
        Ok(covered.map_or(0o1777, |entry| entry.meta.mode))
    }

    /// What the step's devices want it to be given.
    fn devices(&mut self, run: &Run) -> Result<(), Fault> {
        if run.devices.is_empty() {
            return Ok(());
        }
        let (devices, allowed) = &self.performer.surroundings().devices;
        let given = devices.wanted(&run.devices, allowed).and_then(|(names, _)| devices.given(&names));
        let given = given.map_err(|error| Fault::of(Blame::Environment, &error).hinted(error.hint()))?;
        let dir = self.dir("devices")?;
        let ready = device::ready(&given, &dir)?;
        self.done.variables.extend(ready.variables);
        self.done.groups.extend(ready.groups);
        self.done.mounts.extend(ready.mounts);
        self.done._attached.extend(ready.attached);
        Ok(())
    }

    fn add(&mut self, source: MountSource, target: &GuestPath, read_only: bool) {
        let mut mount = Mount::new(source, target.as_str());
        mount.read_only = read_only;
        self.done.mounts.push(mount);
    }

    /// Nothing can be mounted: what would be is moved in and out.
    fn is_moved(&self) -> bool {
        self.performer.settings().confinement != Confinement::Namespaces
    }

    fn dir(&self, name: &str) -> Result<PathBuf, Fault> {
        let dir = self.scratch.join(name);
        fs::create_dir(&dir).map_err(|error| disk(&dir, error))?;
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).map_err(|error| disk(&dir, error))?;
        Ok(dir)
    }

    /// Selected files are laid out as COPY would show them.
    fn selection(&mut self, at: usize, position: usize) -> Result<PathBuf, Fault> {
        let picked = self.performer.picked(self.job, position)?;
        let dir = self.dir(&format!("bind-{at}"))?;
        let path = picked.lay_out(&dir, self.performer.attrs())?;
        self.done.watched.push(picked);
        Ok(path)
    }

    /// Gives the laid out files of a stage their sources' present times.
    fn set_times(&self, shown: &Shown<'_>, source: &GuestPath, root: &Path) -> Result<(), Fault> {
        let times = freshness::times(self.performer, self.job, shown)?;
        let view = self.performer.view(shown.tree, shown.origins)?;
        freshness::set(&times, &view.resolve(&TreePath::from_guest(source), Follow::All)?, root)
    }

    /// Mounts the tree of an input in this process's own namespace and finds `source` in it.
    fn tree(
        &mut self,
        at: usize,
        input: usize,
        source: &GuestPath,
        writable: bool,
    ) -> Result<PathBuf, Fault> {
        let (tree, origins) = (&self.job.inputs[input], &self.job.input_origins[input]);
        let view = self.performer.view(tree, origins)?;
        let wanted = TreePath::from_guest(source);
        let inside = view.resolve(&wanted, Follow::All)?;
        if !inside.is_root() && view.entry(&inside).is_none() {
            return Err(Fault::failed(
                Blame::User,
                format!("`{source}` is not in the stage or image it is to be mounted from"),
            ));
        }
        let mut lowers = self.performer.snapshots(tree, origins)?;
        if self.fresh {
            let shown = Shown { tree, origins, lowers: &lowers, which: input + 1 };
            let times = freshness::times(self.performer, self.job, &shown)?;
            lowers.extend(freshness::lay(
                &times,
                &view,
                &lowers,
                (&self.dir(&format!("fresh-{at}"))?, self.performer.attrs()),
            )?);
        }
        if lowers.is_empty() {
            lowers.push(self.dir(&format!("below-{at}"))?);
        }
        let (upper, work) = (self.dir(&format!("upper-{at}"))?, self.dir(&format!("work-{at}"))?);
        let point = self.dir(&format!("tree-{at}"))?;
        let upper = writable.then_some((upper.as_path(), work.as_path()));
        let overlay = self.performer.overlay(&lowers, upper);
        let mounted =
            mount::overlay(&overlay, &point).map_err(|error| Fault::of(Blame::Environment, &error))?;
        self.done._attached.push(mounted);
        Ok(point.join(inside.as_path()))
    }

    /// Takes the caches of a step, each once and all steps in the same order: two that want each other's would wait for
    /// ever, and so would one that waits for itself.
    fn take_caches(&mut self, run: &Run) -> Result<(), Fault> {
        for (id, cache) in self.wanted_caches(run)? {
            let mount = self.cache(&id, &cache)?;
            let source = MountSource::Lent { path: mount.dir().to_owned(), note: mount.note() };
            self.caches.extend(cache.at.iter().map(|at| (*at, source.clone())));
            self.done._caches.push(mount);
        }
        Ok(())
    }

    fn wanted_caches(&self, run: &Run) -> Result<BTreeMap<String, Cache>, Fault> {
        use ireko_store::Sharing;
        let mut wanted: BTreeMap<String, Cache> = BTreeMap::new();
        let mut selections = 0;
        for (at, op) in run.mounts.iter().enumerate() {
            let seeded = op.kind.reads_files();
            selections += usize::from(seeded);
            let MountKind::Cache { id, sharing, mode, uid, gid, .. } = &op.kind else { continue };
            let seed = if seeded { Some(self.performer.picked(self.job, selections - 1)?) } else { None };
            // As with BuildKit, a cache begun with another owner, mode or content is another cache.
            let begun = seed.as_ref().map_or(String::new(), |picked| picked.id().hex());
            let name = format!("{id}\n{mode:o} {uid}:{gid} {begun}").trim_end().to_owned();
            let sharing = match sharing {
                ireko_graph::op::Sharing::Shared => Sharing::Shared,
                ireko_graph::op::Sharing::Private => Sharing::Private,
                ireko_graph::op::Sharing::Locked => Sharing::Locked,
            };
            let (mode, uid, gid) = (*mode, *uid, *gid);
            let new = || Cache { mode, uid, gid, sharing, seed, at: Vec::new() };
            let cache = wanted.entry(name).or_insert_with(new);
            cache.at.push(at);
            // The strictest wish counts. One directory is at one place at a time where it is moved.
            let sharing =
                if self.is_moved() && sharing == Sharing::Shared { Sharing::Locked } else { sharing };
            cache.sharing = match (cache.sharing, sharing) {
                (Sharing::Locked, _) | (_, Sharing::Locked) => Sharing::Locked,
                (Sharing::Private, _) | (_, Sharing::Private) => Sharing::Private,
                _ => Sharing::Shared,
            };
        }
        Ok(wanted)
    }

    fn cache(&self, id: &str, cache: &Cache) -> Result<CacheMount, Fault> {
        let attrs = self.performer.attrs();
        let prepare = |dir: &Path| -> io::Result<()> {
            if let Some(picked) = &cache.seed {
                picked
                    .lay_out(dir, attrs)
                    .map_err(|_| io::Error::other("the files to begin with cannot be laid out"))?;
            }
            fs::set_permissions(dir, Permissions::from_mode(cache.mode))?;
            attrs.give(dir, cache.uid, cache.gid)
        };
        let node = self.job.node;
        let told = Cell::new(false);
        let tell = |done, total| {
            let what = format!("waiting for cache `{}`", id.lines().next().unwrap_or_default());
            self.performer.emit(Event::Progress { node: Some(node.0), what, done, total });
        };
        let waiting = |_: &str| {
            told.set(true);
            tell(0, None);
        };
        let give_up = || self.performer.cancel().is_asked();
        let request = MountRequest { id, sharing: cache.sharing, prepare: &prepare, give_up: &give_up };
        let mount = self.performer.store().cache_mount(&request, &waiting).map_err(|error| match error {
            ireko_store::Error::GaveUp => Fault::Cancelled,
            other => other.into(),
        });
        if told.get() {
            tell(1, Some(1));
        }
        mount
    }

    fn secret(&mut self, at: usize, op: &MountOp) -> Result<(), Fault> {
        let MountKind::Secret { id, required, mode, uid, gid, env, file } = &op.kind else {
            return Err(Fault::failed(Blame::Bug, "a secret mount was expected"));
        };
        let value = self.performer.surroundings().secrets.value(id);
        let value = value.map_err(|error| Fault::of(Blame::User, &error))?;
        let Some(value) = value else {
            if *required {
                let fault = Fault::failed(
                    Blame::User,
                    format!("secret `{id}` is required, and the build has none of that name"),
                );
                return Err(fault.hint(format!("give --secret id={id},src=FILE")));
            }
            return Ok(());
        };
        if let Some(name) = env {
            use std::os::unix::ffi::OsStringExt;
            self.done.variables.push((name.into(), OsString::from_vec(value.0.clone())));
        }
        if *file {
            let path = self.memory()?.join(format!("secret-{at}"));
            fs::write(&path, &value.0).map_err(|error| disk(&path, error))?;
            match self.performer.attrs().give(&path, *uid, *gid) {
                // Where owners are noted and memory takes no notes: the step's user may read it in any case.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOTSUP.raw_os_error()) => {}
                given => given.map_err(|error| disk(&path, error))?,
            }
            fs::set_permissions(&path, Permissions::from_mode(*mode)).map_err(|error| disk(&path, error))?;
            self.add(MountSource::Bind(path), &op.target, true);
        }
        self.done.secrets.push(value);
        Ok(())
    }

    fn agent(&mut self, at: usize, op: &MountOp) -> Result<(), Fault> {
        let MountKind::Ssh { id, required, mode, uid, gid } = &op.kind else {
            return Err(Fault::failed(Blame::Bug, "a mount of an agent was expected"));
        };
        // ssh looks for the first one, whether it is there or not, unless the Dockerfile says where to look.
        let told = self.own_agent || self.done.variables.iter().any(|(name, _)| name == SSH_VARIABLE);
        if !told {
            self.done.variables.push((SSH_VARIABLE.into(), op.target.as_str().into()));
        }
        let Some(agent) = self.performer.surroundings().agents.0.get(id) else {
            if *required {
                let message = format!("ssh agent `{id}` is required, and the build has none of that name");
                return Err(Fault::failed(Blame::User, message).hint(format!("give --ssh {id}")));
            }
            return Ok(());
        };
        let access = Access { mode: *mode, uid: *uid, gid: *gid, attrs: self.performer.attrs() };
        let relay = Relay::start(agent, self.scratch, &format!("ssh-{at}"), &access).map_err(|error| {
            let message = format!("ssh agent `{id}` cannot be used at `{}`", agent.display());
            Fault::of(Blame::Environment, &error).named(message).hint("check that the agent runs, and --ssh")
        })?;
        // No socket takes a note.
        if self.performer.attrs() == OverlayAttrs::Noted {
            let place = self.below.resolve(&TreePath::from_guest(&op.target), Follow::All)?;
            self.done.owners.insert(place.as_path().to_owned(), Owner::new(*uid, *gid));
        }
        self.add(MountSource::Bind(relay.path().to_owned()), &op.target, false);
        self.done._relays.push(relay);
        Ok(())
    }

    /// A file system in memory, seen by this process and the step alone.
    fn memory(&mut self) -> Result<PathBuf, Fault> {
        if let Some(memory) = &self.memory {
            return Ok(memory.clone());
        }
        let dir = self.kept_memory("memory", None, 0o755)?;
        self.memory = Some(dir.clone());
        Ok(dir)
    }

    /// A file system in memory that outlives the step's process.
    fn kept_memory(&mut self, name: &str, size: Option<u64>, mode: u32) -> Result<PathBuf, Fault> {
        let dir = self.dir(name)?;
        // Where no memory can be mounted it is a directory, which is moved away with the step's end.
        if !self.is_moved() {
            let mounted = mount::tmpfs(&dir, size).map_err(|error| Fault::of(Blame::Environment, &error))?;
            self.done._attached.push(mounted);
        }
        fs::set_permissions(&dir, Permissions::from_mode(mode)).map_err(|error| disk(&dir, error))?;
        Ok(dir)
    }
}

fn disk(path: &Path, error: io::Error) -> Fault {
    Fault::of(Blame::Environment, &error).named(format!("cannot write `{}`", path.display()))
}
