//! What steps with cache mounts saw before: their caches may hold what was made of it.
//!
//! A file that a command made has the time of that command. When the command is a hit again after another result was
//! seen in between, that time is older than what a cache mount holds of the other result. So the trees that a step saw
//! are remembered, and files that are not what every one of them had are shown with the time of now.

use std::collections::BTreeSet;
use std::sync::Arc;

use ireko_graph::op::MountKind;
use ireko_graph::{NodeId, Op};
use ireko_layer::{Kind, Time, TreePath, View};
use ireko_oci::{Digest, Fields, FileHash};
use serde::{Deserialize, Serialize};

use super::{Shown, Times, time_in};
use crate::error::Fault;
use crate::job::Job;
use crate::perform::{Performer, clock_of};

/// So many trees are remembered of runs that did not end well; after more, every file counts as changed.
const KEPT: usize = 16;

/// The trees that a step may have left objects of in its caches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    trees: Vec<SeenTree>,
    /// There were more.
    forgot: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SeenTree {
    layers: Vec<Digest>,
    /// When the step that saw it had succeeded, in seconds and nanoseconds.
    until: Option<(i64, u32)>,
}

/// Notes that the step is about to see this tree, and finds the files, beside those of `known`, that differ from what
/// it saw before: with the time of now.
pub(super) fn changed(
    performer: &Performer<'_>,
    job: &Job,
    shown: &Shown<'_>,
    known: &Times,
) -> Result<Times, Fault> {
    let graph = performer.graph();
    let is_made = |layer: usize| !matches!(graph.node(shown.origins[layer]).op, Op::Image(_));
    if !(0..shown.origins.len()).any(is_made) {
        return Ok(Times::new());
    }
    let name = name(performer, job.node, shown.which);
    let memo = performer.store().memo(&name);
    let seen: Seen = memo.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    performer.store().put_memo(&name, &seen.clone().with(&shown.tree.layers).to_bytes())?;
    let is_this = |tree: &SeenTree| tree.layers[..] == shown.tree.layers[..];
    if seen.trees.is_empty() || (seen.trees.iter().all(is_this) && !seen.forgot) {
        return Ok(Times::new());
    }
    let before: Option<Vec<View>> = match seen.forgot {
        true => None,
        false => seen.trees.iter().map(|tree| view_of(performer, tree)).collect(),
    };
    let since = seen.trees.iter().map(|tree| tree.until).collect::<Option<Vec<_>>>();
    let since = since.and_then(|times| times.into_iter().max()).map(|(secs, nanos)| Time::new(secs, nanos));
    let view = performer.view(shown.tree, shown.origins)?;
    let now = now(performer)?;
    let mut times = Times::new();
    for (layer, index) in view.layers().iter().enumerate().filter(|(layer, _)| is_made(*layer)) {
        for entry in index.entries().iter().filter(|entry| is_file(&entry.kind)) {
            let path = &entry.path;
            if known.contains_key(path) || view.find(path).is_none_or(|found| found.layer != layer) {
                continue;
            }
            let content = content_of(&view, path);
            let had = |all: &Vec<View>| all.iter().all(|old| content_of(old, path) == content);
            let is_old =
                || time_in(shown, layer, entry).is_ok_and(|time| since.is_none_or(|since| time <= since));
            if !before.as_ref().is_some_and(had) && is_old() {
                times.insert(path.clone(), now);
            }
        }
    }
    Ok(times)
}

/// The step has succeeded: whatever its caches held of other trees was brought up to date.
pub(crate) fn settle(performer: &Performer<'_>, job: &Job) -> Result<(), Fault> {
    let now = now(performer)?;
    let trees = std::iter::once(&job.base).chain(&job.inputs).enumerate();
    for (which, tree) in trees {
        let name = name(performer, job.node, which);
        // Only what was shown was noted.
        if performer.store().memo(&name).is_some() {
            let until = Some((now.secs, now.nanos));
            let seen = Seen { trees: vec![SeenTree { layers: tree.layers.to_vec(), until }], forgot: false };
            performer.store().put_memo(&name, &seen.to_bytes())?;
        }
    }
    Ok(())
}

impl Seen {
    /// With a tree that is seen from now on.
    fn with(mut self, layers: &[Digest]) -> Self {
        if let Some(tree) = self.trees.iter_mut().find(|tree| tree.layers == layers) {
            tree.until = None;
        } else if self.trees.len() < KEPT {
            self.trees.push(SeenTree { layers: layers.to_vec(), until: None });
        } else {
            self.forgot = true;
        }
        self
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("digests and numbers serialise")
    }
}

/// Where it is remembered: one place for each step of a project and each tree it sees. A step is known by its stage, its
/// caches and how many steps below it have the same ones, so that lines that come and go between leave it alone.
fn name(performer: &Performer<'_>, node: NodeId, which: usize) -> [u8; 32] {
    let graph = performer.graph();
    let own = caches(&graph.node(node).op);
    let below = std::iter::successors(graph.node(node).base, |at| graph.node(*at).base);
    let like_it = below.filter(|at| caches(&graph.node(*at).op) == own).count();
    let mut fields = Fields::new("ireko trees seen/2");
    fields.add("project", performer.surroundings().project.as_bytes());
    fields.add("stage", graph.node(node).about.stage.as_bytes());
    own.iter().for_each(|id| fields.add("cache", id.as_bytes()));
    fields.number("below", like_it as u64);
    fields.number("tree", which as u64);
    fields.hash()
}

/// The names of an operation's caches.
fn caches(op: &Op) -> BTreeSet<&str> {
    let Op::Run(run) = op else { return BTreeSet::new() };
    let ids = run.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Cache { id, .. } => Some(id.as_str()),
        _ => None,
    });
    ids.collect()
}

fn view_of(performer: &Performer<'_>, tree: &SeenTree) -> Option<View> {
    let indexes = tree.layers.iter().map(|diff| performer.store().index(diff).ok());
    indexes.collect::<Option<Vec<Arc<_>>>>().map(View::new)
}

fn is_file(kind: &Kind) -> bool {
    matches!(kind, Kind::File { .. } | Kind::HardLink { .. })
}

fn content_of(view: &View, path: &TreePath) -> Option<FileHash> {
    match view.owner_of_content(path)?.entry.kind {
        Kind::File { hash, .. } => Some(hash),
        _ => None,
    }
}

/// The time by the clock of the file system that caches lie in.
fn now(performer: &Performer<'_>) -> Result<Time, Fault> {
    clock_of(performer.scratch()?.path())
}
