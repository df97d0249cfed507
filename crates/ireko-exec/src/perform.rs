//! What runs one node on this machine: selections, copies, directories and commands, each ending in a layer.

use crate::authorities;
use crate::build::Surroundings;
use crate::cancel::{Cancel, Stop};
use crate::context::LocalContext;
use crate::copy::{Workplace, perform_copy};
use crate::error::Fault;
use crate::freshness::{Shown, Times};
use crate::job::Job;
use crate::makedir::make_dir;
use crate::packing::LastLayer;
use crate::remote;
use crate::run::{SandboxSettings, Step, run_step};
use crate::selection::{self, Picked};
use crate::snapshotter::{Snapshotter, same_root};
use crate::source::FileSource;
use crate::tree::TreeFiles;
use crate::{explain, freshness, passwd};
use ireko_graph::op::{Copy, CopyItem, FilesFrom, MakeDir, MountKind, Run};
use ireko_graph::{Declared, Graph, Layer, NodeId, Op, Selection, Tree};
use ireko_layer::{
    Change, Kind, LayerWriter, OverlayAttrs, Scan, ScanOptions, Time, View, Written, prune_upper, scan_upper,
};
use ireko_oci::{ContentId, Digest, Fields, Hash, SelectionId};
use ireko_report::{Blame, Diagnostic, Event};
use ireko_store::{InputFile, NewForms, Record, Scratch, Store};
use ireko_sys::mount::{Overlay, Upper};
use ireko_sys::sandbox::RootFs;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// The digest of one selection, and the selection itself once somebody needs it.
pub(crate) struct Selected {
    pub(crate) id: SelectionId,
    picked: OnceLock<Arc<Picked>>,
}

/// A node that was performed.
pub(crate) struct Done {
    pub(crate) layer: Layer,
    /// An earlier layer with the same content is used instead of the new one.
    pub(crate) adopted: bool,
}

/// What a step stands on: the merged view of its tree, and the tree's unpacked layers, bottom first.
pub(crate) struct Ground {
    pub(crate) below: View,
    pub(crate) lowers: Vec<PathBuf>,
}

/// Performs nodes of one graph.
pub(crate) struct Performer<'a> {
    surroundings: &'a Surroundings,
    graph: Arc<Graph>,
    /// Nodes whose trees a command of this build runs on: their layers are unpacked as they are written.
    on_disk: Vec<bool>,
    /// Nodes that no other stands on, and whose trees are wanted.
    last: Vec<NodeId>,
    selections: Mutex<BTreeMap<NodeId, Arc<Vec<Selected>>>>,
    fetched: remote::Fetched,
}

impl<'a> Performer<'a> {
    pub(crate) fn new(surroundings: &'a Surroundings, graph: Arc<Graph>, outputs: &[NodeId]) -> Self {
        let wanted = graph.reachable(outputs);
        let mut on_disk = vec![false; wanted.len()];
        for id in graph.ids().filter(|id| wanted[id.0 as usize] && graph.node(*id).op.is_run()) {
            let mut at = graph.node(id).base;
            while let Some(node) = at {
                on_disk[node.0 as usize] = true;
                at = graph.node(node).base;
            }
        }
        let is_base = |node: &NodeId| graph.ids().any(|id| graph.node(id).base == Some(*node));
        let last = outputs.iter().copied().filter(|node| !is_base(node)).collect();
        let fetched = remote::Fetched::default();
        Self { surroundings, graph, on_disk, last, selections: Mutex::new(BTreeMap::new()), fetched }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.surroundings.store
    }

    pub(crate) fn surroundings(&self) -> &Surroundings {
        self.surroundings
    }

    pub(crate) fn settings(&self) -> &SandboxSettings {
        &self.surroundings.sandbox
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.surroundings.cancel
    }

    pub(crate) fn emit(&self, event: Event) {
        self.surroundings.sink.emit(event);
    }

    pub(crate) fn warn(&self, message: impl Into<String>) {
        let diagnostic = Diagnostic::warning("build", message.into());
        self.emit(Event::Warning { diagnostic });
    }

    /// A directory of the store that is gone when the step is over.
    pub(crate) fn scratch(&self) -> Result<Scratch, Fault> {
        Ok(self.store().scratch_dir()?)
    }

    /// Keeps what was learnt of local files for the next build.
    pub(crate) fn save_stat_caches(&self) {
        for context in self.surroundings.contexts.values() {
            if let Err(error) = context.save(self.store()) {
                self.warn(format!("cannot keep the file hashes of a context: {error}"));
            }
        }
    }

    // Selections.

    /// Digests everything the node selects, in the order of [`ireko_graph::Node::selections`].
    pub(crate) fn select(&self, job: &Job) -> Result<Vec<SelectionId>, Fault> {
        self.with_layers(job, || self.select_all(job))
    }

    fn select_all(&self, job: &Job) -> Result<Vec<SelectionId>, Fault> {
        let node = self.graph.node(job.node);
        // Asked again, since its files changed while they were read: what was seen of contexts is old.
        if self.lock_selections().contains_key(&job.node) {
            self.surroundings.contexts.values().for_each(LocalContext::forget);
        }
        let mut all = Vec::new();
        for selection in node.selections() {
            all.push(self.select_one(job, &node.op, &selection)?);
        }
        let ids = all.iter().map(|selected| selected.id).collect();
        self.lock_selections().insert(job.node, Arc::new(all));
        Ok(ids)
    }

    fn select_one(&self, job: &Job, op: &Op, selection: &Selection) -> Result<Selected, Fault> {
        if *selection == Selection::Source {
            return Ok(Selected { id: self.fetched.resolve(self, job.node, op)?, picked: OnceLock::new() });
        }
        // What is selected of trees follows from their identities, so that answer is remembered and their
        // indexes need not be read.
        let memo = self.memo_key(job, op, selection);
        if let Some(id) =
            memo.and_then(|key| self.store().memo(&key)).and_then(|bytes| bytes.as_slice().try_into().ok())
        {
            let id = SelectionId(self.with_dates(job, selection, id));
            return Ok(Selected { id, picked: OnceLock::new() });
        }
        let picked = Arc::new(self.pick(job, op, selection)?);
        if let Some(key) = memo {
            self.store().put_memo(&key, &picked.id().0)?;
        }
        let id = SelectionId(self.with_dates(job, selection, picked.id().0));
        Ok(Selected { id, picked: OnceLock::from(picked) })
    }

    /// What files are, and of which trees their times come, where a repository was asked for the commit's: else times
    /// count for nothing, and an earlier checkout's files would stand for these.
    fn with_dates(&self, job: &Job, selection: &Selection, files: Hash) -> Hash {
        let mut fields = Fields::new("ireko dated files/1");
        fields.add("files", &files);
        let mut is_dated = false;
        let node = self.graph.node(job.node);
        for at in node.inputs_of(selection) {
            let input = node.inputs.get(at).map(|input| &self.graph.node(*input).op);
            if matches!(input, Some(Op::Git(source)) if source.commit_times) {
                fields.add("tree", &job.inputs[at].id.0);
                is_dated = true;
            }
        }
        if is_dated { fields.hash() } else { files }
    }

    fn memo_key(&self, job: &Job, op: &Op, selection: &Selection) -> Option<[u8; 32]> {
        let mut fields = Fields::new("ireko selection memo/1");
        match (op, selection) {
            (Op::Copy(copy), Selection::Copy) => {
                let from_context =
                    |item: &CopyItem| matches!(item, CopyItem::Files { from: FilesFrom::Context(_), .. });
                if copy.items.iter().any(from_context) {
                    return None;
                }
                for (name, value) in &Declared::of(self.graph.node(job.node), None, &[], "").fields {
                    fields.add(name, value);
                }
            }
            (Op::Run(run), Selection::Mount(at)) => match &run.mounts.get(*at)?.kind {
                MountKind::Bind { from: FilesFrom::Input(input), source, .. }
                | MountKind::Cache { from: FilesFrom::Input(input), source, .. } => {
                    fields.number("input", *input as u64);
                    fields.add("source", source.as_str().as_bytes());
                }
                _ => return None,
            },
            _ => return None,
        }
        for tree in &job.inputs {
            fields.add("tree", &tree.id.0);
        }
        // Names of owners are looked up in the tree below.
        fields.add("base", &job.base.id.0);
        Some(fields.hash())
    }

    fn pick(&self, job: &Job, op: &Op, selection: &Selection) -> Result<Picked, Fault> {
        let source = |from: &FilesFrom| self.file_source(job, from);
        match (op, selection) {
            (Op::Copy(copy), Selection::Copy) => Ok(selection::pick_copy(copy, &source)?),
            (Op::Run(run), Selection::Mount(at)) => match &run.mounts[*at].kind {
                MountKind::Bind { from, source: path, .. } | MountKind::Cache { from, source: path, .. } => {
                    Ok(selection::pick_mount(&source(from)?, path)?)
                }
                _ => Err(Fault::failed(Blame::Bug, "a mount without files was to be digested")),
            },
            _ => Err(Fault::failed(Blame::Bug, "a selection does not belong to its operation")),
        }
    }

    /// The selection at `position` of the node's list, picked now if only its digest was remembered.
    pub(crate) fn picked(&self, job: &Job, position: usize) -> Result<Arc<Picked>, Fault> {
        let all = self.lock_selections().get(&job.node).cloned();
        let all =
            all.ok_or_else(|| Fault::failed(Blame::Bug, "a step runs whose files were never selected"))?;
        let node = self.graph.node(job.node);
        let (Some(selected), Some(selection)) = (all.get(position), node.selections().get(position).cloned())
        else {
            return Err(Fault::failed(Blame::Bug, "a step has fewer selections than it declared"));
        };
        if let Some(picked) = selected.picked.get() {
            return Ok(Arc::clone(picked));
        }
        let picked = Arc::new(self.pick(job, &node.op, &selection)?);
        Ok(Arc::clone(selected.picked.get_or_init(|| picked)))
    }

    /// The files that a node selected, by name, as far as they were picked; to explain a miss.
    pub(crate) fn files_of(&self, node: NodeId) -> Vec<InputFile> {
        let all = self.lock_selections().get(&node).cloned();
        let picked = all.iter().flat_map(|all| all.iter()).filter_map(|selected| selected.picked.get());
        picked.flat_map(|picked| picked.input_files()).collect()
    }

    /// Lets another thread take the selections apart: of many thousand files that is work, and nobody waits for it.
    pub(crate) fn leave_selections(&self) {
        let selections = std::mem::take(&mut *self.lock_selections());
        let contexts: Vec<LocalContext> = self.surroundings.contexts.values().cloned().collect();
        // Where the machine has no thread left, they go here.
        let _ = std::thread::Builder::new().spawn(move || {
            contexts.iter().for_each(LocalContext::forget);
            drop(selections);
        });
    }

    fn lock_selections(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Vec<Selected>>>> {
        self.selections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an operation's files come from.
    pub(crate) fn file_source(&self, job: &Job, from: &FilesFrom) -> Result<FileSource<'_>, Fault> {
        match from {
            FilesFrom::Empty => Ok(FileSource::Empty),
            FilesFrom::Context(name) => match self.surroundings.contexts.get(name) {
                Some(context) => Ok(FileSource::Context(context)),
                None => Err(Fault::failed(Blame::Bug, format!("context `{name}` was never opened"))),
            },
            FilesFrom::Input(at) => {
                let view = self.view(&job.inputs[*at], &job.input_origins[*at])?;
                let layers = job.inputs[*at].layers.to_vec();
                Ok(FileSource::Tree(TreeFiles::new(view, layers, Arc::clone(self.store()))))
            }
        }
    }

    // Trees.

    /// The merged view of a tree. Layers of images are fetched for their index alone, if they must be.
    pub(crate) fn view(&self, tree: &Tree, origins: &[NodeId]) -> Result<View, Fault> {
        let mut indexes = Vec::with_capacity(tree.layers.len());
        for (diff, origin) in tree.layers.iter().zip(origins) {
            let index = match self.store().index(diff) {
                Err(ireko_store::Error::LayerGone { .. }) => {
                    self.demand(diff, *origin)?;
                    self.store().index(diff)?
                }
                known => known?,
            };
            indexes.push(index);
        }
        Ok(View::new(indexes))
    }

    /// Makes sure that every layer of a tree is there in some form.
    pub(crate) fn demand_all(&self, tree: &Tree, origins: &[NodeId]) -> Result<(), Fault> {
        for (diff, origin) in tree.layers.iter().zip(origins) {
            if !self.store().presence(diff)? {
                self.demand(diff, *origin)?;
            }
        }
        Ok(())
    }

    /// A missing layer is fetched, where it is an image's, or its step has to run again.
    fn demand(&self, diff: &Digest, origin: NodeId) -> Result<(), Fault> {
        let Op::Image(image) = &self.graph.node(origin).op else {
            // It may have come back with an image that was pulled.
            return self.store().read_unread(diff)?.then_some(()).ok_or(Fault::InputGone(origin));
        };
        self.surroundings.bases.bring(&image.config, diff).map_err(|error| {
            let fault = Fault::failed(error.blame, error.message);
            match error.hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        })
    }

    /// The unpacked layers of a tree, bottom first.
    pub(crate) fn snapshots(&self, tree: &Tree, origins: &[NodeId]) -> Result<Vec<PathBuf>, Fault> {
        let unpacked = |at: usize| self.store().snapshot(&tree.layers[at], &tree.layers[..at]);
        let known: Vec<Option<PathBuf>> = (0..tree.layers.len()).map(unpacked).collect::<Result<_, _>>()?;
        if let Some(known) = known.iter().cloned().collect() {
            return Ok(known);
        }
        self.demand_all(tree, origins)?;
        let mut dirs = Vec::with_capacity(tree.layers.len());
        for (at, diff) in tree.layers.iter().enumerate() {
            dirs.push(self.store().ensure_snapshot(diff, &tree.layers[..at])?);
        }
        Ok(dirs)
    }

    // Operations.

    /// Performs the node: its layer is in the store and recorded when this returns.
    pub(crate) fn perform(&self, job: &Job) -> Result<Done, Fault> {
        let began = Instant::now();
        self.with_layers(job, || match &self.graph.node(job.node).op {
            Op::Image(_) => Err(Fault::failed(Blame::Bug, "an image is not performed")),
            Op::Copy(copy) => self.copy(job, copy, began),
            Op::MakeDir(dir) => self.make_dir(job, dir, began),
            Op::Run(run) => self.run(job, run, began),
            Op::Http(_) | Op::Git(_) => self.fetched.perform(self, job, began),
        })
    }

    /// Does something that reads layers of the job's trees. One that turns out to be gone is fetched and it is done
    /// again, or the step that made the layer has to run again.
    fn with_layers<T>(&self, job: &Job, deed: impl Fn() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut brought = BTreeSet::new();
        loop {
            match deed() {
                Err(Fault::LayerGone(diff)) if brought.insert(diff) => match job.origin(&diff) {
                    Some(origin) => self.demand(&diff, origin)?,
                    None => return Err(Fault::LayerGone(diff)),
                },
                outcome => return outcome,
            }
        }
    }

    fn copy(&self, job: &Job, copy: &Copy, began: Instant) -> Result<Done, Fault> {
        let picked = self.picked(job, 0)?;
        let base = if copy.link { View::default() } else { self.view(&job.base, &job.base_origins)? };
        let scratch = self.scratch()?;
        let workplace = Workplace { scratch: scratch.path(), cancel: self.cancel() };
        let changes = perform_copy(copy, &picked, &base, workplace, self.store().now())?;
        let done = self.write(job, changes, Some(began))?;
        self.warn_of_owner(job, copy.owner.as_deref().unwrap_or_default(), &base);
        Ok(done)
    }

    /// Says of an owner that the image does not know who owns the files instead.
    fn warn_of_owner(&self, job: &Job, owner: &str, base: &View) {
        let ((uid, gid), unknown) = passwd::numbers_below(owner, base);
        for error in unknown {
            let about = &self.graph.node(job.node).about;
            let hint = error.hint().unwrap_or_default();
            let owned = format!("so the owner is {uid}:{gid} ({hint})");
            self.warn(format!("line {}: {}: {error}, {owned}", about.line, about.text));
        }
    }

    fn make_dir(&self, job: &Job, dir: &MakeDir, began: Instant) -> Result<Done, Fault> {
        let base = self.view(&job.base, &job.base_origins)?;
        let changes = make_dir(dir, &base, self.store().now())?;
        let done = self.write(job, changes, Some(began))?;
        self.warn_of_owner(job, &dir.user, &base);
        Ok(done)
    }

    /// Writes changes as a layer: unpacked where a command of this build runs on it, else as a tar. It is remembered
    /// if `began` says when the step started.
    pub(crate) fn write(
        &self,
        job: &Job,
        changes: Vec<Change>,
        began: Option<Instant>,
    ) -> Result<Done, Fault> {
        if self.on_disk[job.node.0 as usize] {
            let snapshot = self.store().snapshot_draft()?;
            let written = self.write_layer(changes, Vec::new(), Some(&snapshot.dir()))?;
            let forms = NewForms { snapshot: Some(snapshot), ..NewForms::default() };
            return self.keep(job, &written, forms, began);
        }
        let mut tar = self.store().tar_draft()?;
        let mut takers = self.takers(job.node);
        let sinks = takers.iter_mut().map(|taker| taker as Sink<'_>).chain([&mut tar as Sink<'_>]);
        let written = self.write_layer(changes, sinks.collect(), None)?;
        let done = self.keep(job, &written, NewForms { tar: Some(tar), ..NewForms::default() }, began)?;
        takers.into_iter().for_each(|taker| taker.keep(&written.diff_id));
        Ok(done)
    }

    /// Writes changes into sinks and, unpacked, into a directory; a wish to stop is heard on the way.
    fn write_layer(
        &self,
        changes: Vec<Change>,
        sinks: Vec<Sink<'_>>,
        unpacked: Option<&Path>,
    ) -> Result<Written, Fault> {
        let mut stop = Stop(self.cancel());
        let mut writer = LayerWriter::new().sink(&mut stop);
        if let Some(dir) = unpacked {
            writer = writer.snapshot(dir, self.attrs())?;
        }
        let mut writer = sinks.into_iter().fold(writer, |writer, sink| writer.sink(sink));
        let written = writer.push_all(changes).and_then(|()| writer.finish());
        written.map_err(|error| if self.cancel().is_asked() { Fault::Cancelled } else { error.into() })
    }

    /// What compresses a node's layer while it is written, where nothing else is left to do then.
    fn takers(&self, node: NodeId) -> Vec<Box<dyn LastLayer + '_>> {
        let packing = self.surroundings.packing.as_ref().filter(|_| self.last.contains(&node));
        packing.map(|packing| packing.last_layer()).unwrap_or_default()
    }

    pub(crate) fn attrs(&self) -> OverlayAttrs {
        self.store().written_as().attrs
    }

    fn run(&self, job: &Job, run: &Run, began: Instant) -> Result<Done, Fault> {
        let below = self.view(&job.base, &job.base_origins)?;
        let lowers = self.snapshots(&job.base, &job.base_origins)?;
        let ground = Ground { below, lowers };
        match self.surroundings.snapshotter {
            Snapshotter::Overlay => self.run_on_overlay(job, run, ground, began),
            Snapshotter::Copy => self.run_on_copy(job, run, ground, began),
        }
    }

    fn run_on_overlay(&self, job: &Job, run: &Run, ground: Ground, began: Instant) -> Result<Done, Fault> {
        let Ground { below, mut lowers } = ground;
        let (mut fresh, mut times) = (None, Times::new());
        if freshness::matters(run) {
            let shown = Shown { tree: &job.base, origins: &job.base_origins, lowers: &lowers, which: 0 };
            times = freshness::times(self, job, &shown)?;
            let scratch = fresh.insert(self.scratch()?);
            lowers.extend(freshness::lay(&times, &below, &lowers, (scratch.path(), self.attrs()))?);
        }
        let authorities = self.settings().authorities.as_ref();
        let shown = match authorities {
            Some(authorities) => {
                let place = (fresh.insert(self.scratch()?).path(), self.attrs());
                Some(authorities::lay(authorities, &below, &lowers, place)?)
            }
            None => None,
        };
        lowers.extend(shown.as_ref().and_then(|shown| shown.layer.clone()));
        let draft = self.store().snapshot_draft()?;
        let upper = draft.dir();
        let started = made_at(&upper)?;
        same_root(&below, &upper, self.attrs())?;
        let root = RootFs::Overlay(self.overlay(&lowers, Some((&upper, &draft.work()))));
        let step = Step { job, run, below: &below, upper: &upper, authorities: shown.as_ref() };
        let ran = run_step(self, &step, root)?;
        if let Some(authorities) = authorities {
            authorities::take_out(authorities, &below, &upper)?;
        }
        let (unchanged, owners) = (ran.unchanged, ran.owners);
        let options = ScanOptions { started, attrs: self.attrs(), skip: Vec::new(), owners };
        let mut scan = scan_upper(&upper, &below, &options)?;
        freshness::give_back(&times, &below, &mut scan.changes, Some(&upper))?;
        self.warn_of(run, unchanged, &scan);
        let mut takers = self.takers(job.node);
        let sinks = takers.iter_mut().map(|taker| taker as Sink<'_>);
        let written = self.write_layer(scan.changes.clone(), sinks.collect(), None)?;
        prune_upper(&upper, &scan)?;
        let forms = NewForms { snapshot: Some(draft), ..NewForms::default() };
        let done = self.keep(job, &written, forms, unchanged.then_some(began))?;
        takers.into_iter().for_each(|taker| taker.keep(&written.diff_id));
        Ok(done)
    }

    /// Says what a step left that its layer cannot hold, or that nothing can be said of later.
    pub(crate) fn warn_of(&self, run: &Run, unchanged: bool, scan: &Scan) {
        if !unchanged {
            self.warn(format!(
                "`{}`: files changed while the step could see them; its result is used, not remembered",
                run.argv.join(" ")
            ));
        }
        for socket in &scan.sockets {
            self.warn(format!("socket `/{socket}` is left out: no layer can hold one"));
        }
    }

    /// An overlay over unpacked layers, bottom first.
    pub(crate) fn overlay(&self, lowers: &[PathBuf], upper: Option<(&Path, &Path)>) -> Overlay {
        let upper = upper.map(|(dir, work)| Upper { dir: dir.to_owned(), work: work.to_owned() });
        Overlay::of_stack(lowers, upper, self.attrs().is_user())
    }

    /// Puts a new layer into the store, lets an earlier one with the same content win, and remembers the outcome,
    /// if it may be remembered: then `began` is when the step started.
    fn keep(
        &self,
        job: &Job,
        written: &Written,
        forms: NewForms,
        began: Option<Instant>,
    ) -> Result<Done, Fault> {
        // Marks that only an overlay would miss are no loss where none can stand.
        let mark = |path| {
            let kind = written.index.get(path).map(|entry| &entry.kind);
            matches!(kind, Some(Kind::Whiteout | Kind::Dir { opaque: true }))
        };
        for (path, reason) in written.substituted.iter().filter(|(path, _)| !mark(path)) {
            self.warn(format!("`/{path}`: {reason}"));
        }
        self.store().put_layer(written, forms)?;
        let content = ContentId(self.with_dates(job, &Selection::Copy, written.content_id.0));
        let tree = match job.key {
            Some(key) if !job.cutoff => job.base.id.with_key(key),
            _ => job.base.id.with(content),
        };
        let diff = self.store().settle(tree, &job.base.layers, written.diff_id)?;
        if let (Some(key), Some(began)) = (job.key, began) {
            let node = self.graph.node(job.node);
            let (at, took_ms) = (self.store().now(), began.elapsed().as_millis() as u64);
            let (name, origin) = (node.about.text.clone(), explain::origin(&self.surroundings.project, node));
            let record = Record { content, diff, at, took_ms, name, origin };
            let inputs = explain::inputs(node, &job.declared, &self.files_of(job.node));
            self.store().put_record(key, &record, &inputs, &job.slot)?;
        }
        Ok(Done { layer: Layer { content, diff }, adopted: diff != written.diff_id })
    }
}

/// What takes a layer's tar.
type Sink<'a> = &'a mut (dyn Write + Send);

/// The time by the clock of the file system that a step writes to.
pub(crate) fn clock_of(dir: &Path) -> Result<Time, Fault> {
    let path = dir.join(".clock");
    let time = || -> std::io::Result<Time> {
        let metadata = File::create(&path)?.metadata()?;
        std::fs::remove_file(&path)?;
        Ok(Time::new(metadata.mtime(), metadata.mtime_nsec() as u32))
    };
    time().map_err(|error| Fault::of(Blame::Environment, &error))
}

/// When a directory that is still empty was made, by the clock of the file system that a step writes to.
fn made_at(dir: &Path) -> Result<Time, Fault> {
    let metadata = std::fs::metadata(dir).map_err(|error| Fault::of(Blame::Environment, &error))?;
    Ok(Time::new(metadata.mtime(), metadata.mtime_nsec() as u32))
}

/// A layer that could not be written or read: files that changed meanwhile are a case of their own.
fn layer_fault(error: &ireko_layer::Error) -> Fault {
    match error {
        ireko_layer::Error::ChangedWhileRead { path } => {
            Fault::Stale(format!("`{path}` changed while being read"))
        }
        other => Fault::of(other.blame(), other),
    }
}

impl From<ireko_layer::Error> for Fault {
    fn from(error: ireko_layer::Error) -> Self {
        layer_fault(&error)
    }
}
