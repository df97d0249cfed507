//! Times for steps with cache mounts: copied files are shown to them with their sources' present times.
//!
//! A copy that is a hit gives the files the times of its first making. After source v1, v2, v1 again, an object file
//! that v2 left in a cache mount then looks newer than the source, and `make` serves it. So when such a step has to
//! run, files of the copies below it whose sources are newer now are laid over the tree with those times, whether they
//! came from a context at once or through other stages; the same goes for stages that it mounts. The layer in the image
//! stays as it is: what the step does not touch is not in its change set. Files that commands made are the business of
//! [`seen`].

mod seen;

use crate::copy::fresh_times;
use crate::error::Fault;
use crate::job::Job;
use crate::perform::Performer;
use ireko_graph::op::{CopyItem, FilesFrom, MountKind, Run};
use ireko_graph::{Graph, NodeId, Op, Tree};
use ireko_layer::{Change, ChangeKind, Entry, Kind, OverlayAttrs, Time, TreePath, View};
use ireko_oci::{Digest, TreeId};
use ireko_report::Blame;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use seen::settle;

/// Whether a step can keep files from one run to the next, so that times matter.
pub(crate) fn matters(run: &Run) -> bool {
    run.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Cache { .. }))
}

/// Files of a tree and the times they are to be shown with.
pub(crate) type Times = BTreeMap<TreePath, Time>;

/// A tree, the node that made each of its layers, and its unpacked layers, bottom first, if it is unpacked.
pub(crate) struct Shown<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) origins: &'t [NodeId],
    pub(crate) lowers: &'t [PathBuf],
    /// Which of the step's trees it is: 0 is its base, the others are its inputs.
    pub(crate) which: usize,
}

/// The files that are newer for the step than the tree has them: those whose sources are newer now, and those that are
/// not what the step saw last.
pub(crate) fn times(performer: &Performer<'_>, job: &Job, shown: &Shown<'_>) -> Result<Times, Fault> {
    let mut newer = Times::new();
    let times = Present { performer, job, known: BTreeMap::new() }.of(shown.tree, shown.origins)?;
    newer.extend(seen::changed(performer, job, shown, &times)?);
    if times.is_empty() {
        return Ok(newer);
    }
    let view = performer.view(shown.tree, shown.origins)?;
    for (path, time) in times.iter() {
        let Some(found) = view.find(path) else { continue };
        if *time > time_in(shown, found.layer, found.entry)? {
            newer.insert(path.clone(), *time);
        }
    }
    Ok(newer)
}

/// Lays the files with these times into `dir`, as a layer for an overlay; `None` if there are none. `lowers` are the
/// tree's unpacked layers, bottom first like `below`'s.
pub(crate) fn lay(
    times: &Times,
    below: &View,
    lowers: &[PathBuf],
    (dir, attrs): (&Path, OverlayAttrs),
) -> Result<Option<PathBuf>, Fault> {
    if times.is_empty() {
        return Ok(None);
    }
    let root = dir.join("times");
    fs::create_dir(&root).map_err(|error| Fault::of(Blame::Environment, &error))?;
    meta(below, &TreePath::root(), &root, attrs).map_err(|error| Fault::of(Blame::Environment, &error))?;
    for (path, time) in times {
        let Some(found) = below.find(path) else { continue };
        lay_file(below, path, &lowers[found.layer], (&root, attrs))
            .and_then(|target| touch(&target, *time))
            .map_err(|error| fault(path, &error))?;
    }
    Ok(Some(root))
}

/// Gives the files of a copied tree, or of the part of it at `part`, these times.
pub(crate) fn set(times: &Times, part: &TreePath, root: &Path) -> Result<(), Fault> {
    for (path, time) in times {
        let Some(inside) = path.below(part) else { continue };
        let file = if inside.is_root() { root.to_owned() } else { root.join(inside.as_path()) };
        touch(&file, *time).map_err(|error| fault(path, &error))?;
    }
    Ok(())
}

/// Gives files of a step's changes the times that their tree has for them, where the step left the times that they were
/// laid with: a mode that was changed does not make a file new. `upper` is where the changes lie, if that is kept.
pub(crate) fn give_back(
    times: &Times,
    below: &View,
    changes: &mut [Change],
    upper: Option<&Path>,
) -> Result<(), Fault> {
    if times.is_empty() {
        return Ok(());
    }
    for change in changes.iter_mut().filter(|change| matches!(change.kind, ChangeKind::File(_))) {
        let path = &change.path;
        let Some(entry) = times.get(path).filter(|time| **time == change.meta.mtime).and(below.entry(path))
        else {
            continue;
        };
        change.meta.mtime = entry.meta.mtime;
        if let Some(upper) = upper {
            touch(&upper.join(path.as_path()), entry.meta.mtime).map_err(|error| fault(path, &error))?;
        }
    }
    Ok(())
}

fn fault(path: &TreePath, error: &io::Error) -> Fault {
    Fault::of(Blame::Environment, error).named(format!("cannot lay `/{path}` with its present time"))
}

fn touch(file: &Path, time: Time) -> io::Result<()> {
    let time = Timespec { tv_sec: time.secs, tv_nsec: i64::from(time.nanos) };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The time that the step would see without us.
fn time_in(shown: &Shown<'_>, layer: usize, entry: &Entry) -> Result<Time, Fault> {
    let Some(dir) = shown.lowers.get(layer) else { return Ok(entry.meta.mtime) };
    // An unpacked layer may hold whole seconds only, where its index knows more.
    let metadata = fs::symlink_metadata(dir.join(entry.path.as_path()));
    let metadata = metadata.map_err(|error| fault(&entry.path, &error))?;
    Ok(Time::new(metadata.mtime(), metadata.mtime_nsec() as u32))
}

/// Finds the present times of copied files, through as many copies as there are between a context and a tree.
struct Present<'p, 'a> {
    performer: &'p Performer<'a>,
    job: &'p Job,
    known: BTreeMap<TreeId, Arc<Times>>,
}

impl Present<'_, '_> {
    /// The files of a tree that came from local contexts, with their sources' present times.
    fn of(&mut self, tree: &Tree, origins: &[NodeId]) -> Result<Arc<Times>, Fault> {
        let (performer, job) = (self.performer, self.job);
        if !origins.iter().any(|origin| job.copies.contains_key(origin)) {
            return Ok(Arc::default());
        }
        if let Some(times) = self.known.get(&tree.id) {
            return Ok(Arc::clone(times));
        }
        let view = performer.view(tree, origins)?;
        let mut times = Times::new();
        for (layer, origin) in origins.iter().enumerate() {
            let Some(earlier) = job.copies.get(origin) else { continue };
            let Op::Copy(copy) = &performer.graph().node(*origin).op else { continue };
            let mut inputs = Vec::new();
            for (input, origins) in earlier.inputs.iter().zip(&earlier.input_origins) {
                inputs.push((input, self.of(input, origins)?));
            }
            let of_input = |layers: &[Digest], path: &TreePath| {
                let same = inputs.iter().find(|(tree, _)| tree.layers[..] == *layers);
                same.and_then(|(_, times)| times.get(path).copied())
            };
            let under = View::new(view.layers()[..layer].to_vec());
            let picked = performer.picked(earlier, 0)?;
            for (path, time) in fresh_times(copy, &picked, &under, &of_input)? {
                // A later layer may have put something else there, whose time is its own.
                let own = view.find(&path).filter(|found| found.layer == layer);
                if own.is_some_and(|found| matches!(found.entry.kind, Kind::File { .. })) {
                    times.insert(path, time);
                }
            }
        }
        let times = Arc::new(times);
        self.known.insert(tree.id, Arc::clone(&times));
        Ok(times)
    }
}

/// The copies whose files come from a local context, at once or through other copies, below the node.
pub(crate) fn copies_below(graph: &Graph, node: NodeId) -> Vec<NodeId> {
    let Op::Run(run) = &graph.node(node).op else { return Vec::new() };
    if !matters(run) {
        return Vec::new();
    }
    let mut copies = Vec::new();
    // Whether a tree has any such file.
    let mut has: Vec<bool> = Vec::new();
    for (id, reached) in graph.ids().zip(graph.reachable(&[node])) {
        let it = graph.node(id);
        let from_context = match &it.op {
            Op::Copy(copy) => copy.items.iter().any(|item| match item {
                CopyItem::Files { from: FilesFrom::Context(_), .. } => true,
                CopyItem::Files { from: FilesFrom::Input(at), .. } => has[it.inputs[*at].0 as usize],
                _ => false,
            }),
            _ => false,
        };
        if from_context && reached {
            copies.push(id);
        }
        has.push(from_context || it.base.is_some_and(|base| has[base.0 as usize]));
    }
    copies
}

pub(crate) fn lay_file(
    below: &View,
    path: &TreePath,
    layer: &Path,
    (root, attrs): (&Path, OverlayAttrs),
) -> io::Result<PathBuf> {
    let mut parents: Vec<TreePath> = path.ancestors().filter(|parent| !parent.is_root()).collect();
    parents.reverse();
    for parent in parents {
        let dir = root.join(parent.as_path());
        if !dir.exists() {
            fs::create_dir(&dir)?;
            meta(below, &parent, &dir, attrs)?;
        }
    }
    let target = root.join(path.as_path());
    fs::copy(layer.join(path.as_path()), &target)?;
    meta(below, path, &target, attrs)?;
    Ok(target)
}

/// Owner, mode and attributes as the tree has them.
pub(crate) fn meta(below: &View, path: &TreePath, at: &Path, attrs: OverlayAttrs) -> io::Result<()> {
    let Some(entry) = below.entry(path) else { return Ok(()) };
    attrs.give(at, entry.meta.uid, entry.meta.gid)?;
    fs::set_permissions(at, fs::Permissions::from_mode(entry.meta.mode))?;
    for (name, value) in &entry.meta.xattrs {
        rustix::fs::lsetxattr(at, name.as_slice(), value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}
