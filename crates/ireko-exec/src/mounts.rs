//! The mounts of a RUN step: made ready outside the sandbox, undone when the step is over.

use crate::error::Fault;
use crate::freshness::{self, Shown};
use crate::perform::{Job, Performer};
use crate::secrets::SecretValue;
use crate::selection::Picked;
use crate::snapshotter::Snapshotter;
use crate::source::FileSource;
use ireko_graph::op::{FilesFrom, Mount as MountOp, MountKind, Run};
use ireko_layer::{Follow, TreePath};
use ireko_oci::GuestPath;
use ireko_report::Blame;
use ireko_store::{CacheMount, MountRequest};
use ireko_sys::mount;
use ireko_sys::sandbox::{Mount, MountSource};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Mounts that are ready, and what has to outlive the step.
pub(crate) struct Mounted {
    mounts: Vec<Mount>,
    variables: Vec<(OsString, OsString)>,
    secrets: Vec<SecretValue>,
    /// Selections of local contexts that the step could see, and that must not have changed meanwhile.
    watched: Vec<Arc<Picked>>,
    /// Cache directories, released when the step is over.
    _caches: Vec<CacheMount>,
    /// File systems mounted in this process's own namespace, taken away when the step is over.
    _attached: Vec<mount::Mounted>,
}

impl Mounted {
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    pub(crate) fn variables(&self) -> &[(OsString, OsString)] {
        &self.variables
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
    /// Files are shown with their sources' present times.
    fresh: bool,
    scratch: &'p Path,
    /// A file system in memory, for what must never be on disk.
    memory: Option<PathBuf>,
    done: Mounted,
}

/// Makes a step's mounts ready. `scratch` is a directory of the step's own.
pub(crate) fn prepare(
    performer: &Performer<'_>,
    job: &Job,
    run: &Run,
    scratch: &Path,
) -> Result<Mounted, Fault> {
    let done = Mounted {
        mounts: Vec::new(),
        variables: Vec::new(),
        secrets: Vec::new(),
        watched: Vec::new(),
        _caches: Vec::new(),
        _attached: Vec::new(),
    };
    let mut preparing =
        Preparing { performer, job, fresh: freshness::matters(run), scratch, memory: None, done };
    let mut selections = 0;
    for (at, op) in run.mounts.iter().enumerate() {
        preparing.one(at, op, &mut selections)?;
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
                            self.set_times(&Shown { tree, origins, lowers: &[] }, source, &path)?;
                        }
                        path
                    }
                };
                self.add(MountSource::Bind(path), &op.target, !writable);
            }
            MountKind::Bind { writable, .. } => {
                let path = self.selection(at, *selections)?;
                *selections += 1;
                self.add(MountSource::Bind(path), &op.target, !writable);
            }
            MountKind::Cache { read_only, .. } => {
                let dir = self.cache(op)?;
                self.add(MountSource::Bind(dir), &op.target, *read_only);
            }
            MountKind::Tmpfs { size } => {
                let mount = MountSource::Tmpfs { size: *size, mode: 0o1777 };
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
            MountKind::Ssh { .. } => {
                return Err(Fault::failed(Blame::User, "`--mount=type=ssh` is not supported yet"));
            }
        }
        Ok(())
    }

    fn add(&mut self, source: MountSource, target: &GuestPath, read_only: bool) {
        let mut mount = Mount::new(source, target.as_str());
        mount.read_only = read_only;
        self.done.mounts.push(mount);
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
        let path = picked.lay_out(&dir)?;
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
            let shown = Shown { tree, origins, lowers: &lowers };
            let times = freshness::times(self.performer, self.job, &shown)?;
            lowers.extend(freshness::lay(&times, &view, &lowers, &self.dir(&format!("fresh-{at}"))?)?);
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

    fn cache(&mut self, op: &MountOp) -> Result<PathBuf, Fault> {
        let MountKind::Cache { id, sharing, from, source, mode, uid, gid, .. } = &op.kind else {
            return Err(Fault::failed(Blame::Bug, "a cache mount was expected"));
        };
        let seed = match from {
            FilesFrom::Empty => None,
            _ => Some(self.seed(from, source)?),
        };
        let prepare = |dir: &Path| -> io::Result<()> {
            if let Some(picked) = &seed {
                picked
                    .lay_out(dir)
                    .map_err(|_| io::Error::other("the files to begin with cannot be laid out"))?;
            }
            fs::set_permissions(dir, Permissions::from_mode(*mode))?;
            chown(dir, Some(*uid), Some(*gid))
        };
        let sharing = match sharing {
            ireko_graph::op::Sharing::Shared => ireko_store::Sharing::Shared,
            ireko_graph::op::Sharing::Private => ireko_store::Sharing::Private,
            ireko_graph::op::Sharing::Locked => ireko_store::Sharing::Locked,
        };
        let node = self.job.node;
        let waiting = |what: &str| {
            let what = format!("waiting for {what}");
            self.performer.emit(ireko_report::Event::Progress {
                node: Some(node.0),
                what,
                done: 0,
                total: None,
            });
        };
        // As with BuildKit, a cache begun with another owner, mode or content is another cache.
        let begun = seed.as_ref().map_or(String::new(), |picked| picked.id().hex());
        let id = format!("{id}\n{mode:o} {uid}:{gid} {begun}");
        let request = MountRequest { id: id.trim_end(), sharing, prepare: &prepare };
        let mount = self.performer.store().cache_mount(&request, &waiting)?;
        let dir = mount.dir().to_owned();
        self.done._caches.push(mount);
        Ok(dir)
    }

    fn seed(&self, from: &FilesFrom, source: &GuestPath) -> Result<Picked, Fault> {
        let files: FileSource<'_> = self.performer.file_source(self.job, from)?;
        Ok(crate::selection::pick_mount(&files, source)?)
    }

    fn secret(&mut self, at: usize, op: &MountOp) -> Result<(), Fault> {
        let MountKind::Secret { id, required, mode, uid, gid, env, file } = &op.kind else {
            return Err(Fault::failed(Blame::Bug, "a secret mount was expected"));
        };
        let value = self.performer.surroundings().secrets.value(id).map_err(|(path, error)| {
            Fault::of(Blame::User, &error)
                .named(format!("cannot read secret `{id}` from `{}`", path.display()))
        })?;
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
            chown(&path, Some(*uid), Some(*gid)).map_err(|error| disk(&path, error))?;
            fs::set_permissions(&path, Permissions::from_mode(*mode)).map_err(|error| disk(&path, error))?;
            self.add(MountSource::Bind(path), &op.target, true);
        }
        self.done.secrets.push(value);
        Ok(())
    }

    /// A file system in memory, seen by this process and the step alone.
    fn memory(&mut self) -> Result<PathBuf, Fault> {
        if let Some(memory) = &self.memory {
            return Ok(memory.clone());
        }
        let dir = self.dir("memory")?;
        let mounted = mount::tmpfs(&dir, None).map_err(|error| Fault::of(Blame::Environment, &error))?;
        self.done._attached.push(mounted);
        self.memory = Some(dir.clone());
        Ok(dir)
    }
}

fn disk(path: &Path, error: io::Error) -> Fault {
    Fault::of(Blame::Environment, &error).named(format!("cannot write `{}`", path.display()))
}
