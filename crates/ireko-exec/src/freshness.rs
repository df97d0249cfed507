//! Times for steps with cache mounts: copied files are shown to them with their sources' present times.
//!
//! A copy that is a hit gives the files the times of its first making. After source v1, v2, v1 again, an object file
//! that v2 left in a cache mount then looks newer than the source, and `make` serves it. So when such a step has to
//! run, files of the copies below it whose sources are newer now are laid over the tree with those times. The layer in
//! the image stays as it is: what the step does not touch is not in its change set.

use crate::copy::fresh_times;
use crate::error::Fault;
use crate::perform::{Job, Performer};
use ireko_graph::op::{CopyItem, FilesFrom, MountKind, Run};
use ireko_graph::{NodeId, Op};
use ireko_layer::{Kind, Time, TreePath, View};
use ireko_report::Blame;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Whether a step can keep files from one run to the next, so that times matter.
pub(crate) fn matters(run: &Run) -> bool {
    run.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Cache { .. }))
}

/// The files whose sources are newer now than when they were copied, with their sources' times.
pub(crate) fn times(
    performer: &Performer<'_>,
    job: &Job,
    below: &View,
) -> Result<BTreeMap<TreePath, Time>, Fault> {
    let mut times: BTreeMap<TreePath, Time> = BTreeMap::new();
    for (layer, origin) in job.base_origins.iter().enumerate() {
        let under = View::new(below.layers()[..layer].to_vec());
        for (path, time) in present_times(performer, job, *origin, &under)? {
            let Some(found) = below.find(&path) else { continue };
            // A later layer may have put something else there, whose time is its own.
            let is_file = matches!(found.entry.kind, Kind::File { .. });
            if found.layer == layer && is_file && time > found.entry.meta.mtime {
                times.insert(path, time);
            }
        }
    }
    Ok(times)
}

/// Lays the files with these times into `dir`, as a layer for an overlay; `None` if there are none. `lowers` are the
/// tree's unpacked layers, bottom first like `below`'s.
pub(crate) fn lay(
    times: &BTreeMap<TreePath, Time>,
    below: &View,
    lowers: &[PathBuf],
    dir: &Path,
) -> Result<Option<PathBuf>, Fault> {
    if times.is_empty() {
        return Ok(None);
    }
    let root = dir.join("times");
    fs::create_dir(&root).map_err(|error| Fault::of(Blame::Environment, &error))?;
    meta(below, &TreePath::root(), &root).map_err(|error| Fault::of(Blame::Environment, &error))?;
    for (path, time) in times {
        let Some(found) = below.find(path) else { continue };
        lay_file(below, path, *time, &lowers[found.layer], &root).map_err(|error| fault(path, &error))?;
    }
    Ok(Some(root))
}

/// Gives the files of a copied tree these times.
pub(crate) fn set(times: &BTreeMap<TreePath, Time>, root: &Path) -> Result<(), Fault> {
    for (path, time) in times {
        touch(&root.join(path.as_path()), *time).map_err(|error| fault(path, &error))?;
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

/// The present times of what a copy from local contexts put into the tree.
fn present_times(
    performer: &Performer<'_>,
    job: &Job,
    origin: NodeId,
    below: &View,
) -> Result<Vec<(TreePath, Time)>, Fault> {
    let Op::Copy(copy) = &performer.graph().node(origin).op else { return Ok(Vec::new()) };
    let from_context = |item: &CopyItem| matches!(item, CopyItem::Files { from: FilesFrom::Context(_), .. });
    if !copy.items.iter().any(from_context) {
        return Ok(Vec::new());
    }
    match performer.picked_of(origin) {
        Some(picked) => Ok(fresh_times(copy, &picked, below)?),
        None => {
            Err(Fault::failed(Blame::Bug, format!("the files of step {} were never selected", job.node.0)))
        }
    }
}

fn lay_file(below: &View, path: &TreePath, time: Time, layer: &Path, root: &Path) -> io::Result<()> {
    let mut parents: Vec<TreePath> = path.ancestors().filter(|parent| !parent.is_root()).collect();
    parents.reverse();
    for parent in parents {
        let dir = root.join(parent.as_path());
        if !dir.exists() {
            fs::create_dir(&dir)?;
            meta(below, &parent, &dir)?;
        }
    }
    let target = root.join(path.as_path());
    fs::copy(layer.join(path.as_path()), &target)?;
    meta(below, path, &target)?;
    touch(&target, time)
}

/// Owner, mode and attributes as the tree has them.
fn meta(below: &View, path: &TreePath, at: &Path) -> io::Result<()> {
    let Some(entry) = below.entry(path) else { return Ok(()) };
    chown(at, Some(entry.meta.uid), Some(entry.meta.gid))?;
    fs::set_permissions(at, fs::Permissions::from_mode(entry.meta.mode))?;
    for (name, value) in &entry.meta.xattrs {
        rustix::fs::lsetxattr(at, name.as_slice(), value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}
