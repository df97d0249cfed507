//! One build: what goes in, what comes out, and the loop between the solver's machine and the performer.

mod crew;
mod report;

use crate::cancel::Cancel;
use crate::cdi::{Allowed, Devices};
use crate::context::LocalContext;
use crate::error::{BuildError, Fault, StepError};
use crate::explain;
use crate::freshness::copies_below;
use crate::job::Job;
use crate::packing::Packing;
use crate::perform::Performer;
use crate::secrets::Secrets;
use ireko_graph::{Command, Event as Answer, Graph, Machine, NodeId, Op, Policy, Reuse, Tree};
use ireko_layer::Time;
use ireko_oci::{Digest, Key};
use ireko_report::{Blame, Event, MissReason, Sink, StepEnd};
use ireko_store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::Instant;

use crew::{Crew, STACK, Work};
use report::{Ended, Report, caught, fault_report, perform_report, select_report};

/// Brings layers of images into the store, when a step or an export needs them.
pub trait BaseLayers: Send + Sync {
    /// Makes sure that the layer `diff` of the image whose config is `config` is in the store in some form.
    ///
    /// # Errors
    /// What went wrong, in words, and whose fault it is.
    fn bring(&self, config: &Digest, diff: &Digest) -> Result<(), BaseError>;
}

/// A layer of an image could not be brought.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BaseError {
    /// What went wrong, lower case.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whose fault it is.
    pub blame: Blame,
}

/// What a build needs beside its graph.
pub struct Surroundings {
    /// Where results are kept.
    pub store: Arc<Store>,
    /// Local contexts by name.
    pub contexts: BTreeMap<String, LocalContext>,
    /// Where layers of base images come from.
    pub bases: Arc<dyn BaseLayers>,
    /// Fetches what the build names by URL. Whoever asks to stop tells it too.
    pub http: ireko_http::Client,
    /// Reads what the build names as a git repository.
    pub git: crate::repository::GitSettings,
    /// Secrets by id.
    pub secrets: Secrets,
    /// SSH agents by id.
    pub agents: crate::ssh::Agents,
    /// Devices that RUN steps may ask for, and what of them is allowed.
    pub devices: (Devices, Allowed),
    /// How RUN steps are confined on this machine.
    pub sandbox: crate::run::SandboxSettings,
    /// How steps are shown their trees.
    pub snapshotter: crate::snapshotter::Snapshotter,
    /// Where events go.
    pub sink: Arc<dyn Sink>,
    /// The wish to stop.
    pub cancel: Cancel,
    /// Identity of the project, under which steps find their earlier selves when a miss is explained.
    pub project: String,
    /// Compresses layers of the outputs meanwhile, where somebody will want them so.
    pub packing: Option<Box<dyn Packing>>,
    /// Who takes a shell in a step that failed.
    pub on_failure: Option<Arc<dyn crate::shell::OnFailure>>,
}

/// What is built, and how.
pub struct Request {
    /// The graph.
    pub graph: Arc<Graph>,
    /// The nodes whose trees are wanted.
    pub outputs: Vec<NodeId>,
    /// Use of the cache and the machine.
    pub policy: Policy,
    /// Outputs are going to be exported: their layers have to be there at the end.
    pub export: bool,
}

/// The tree of an output.
#[derive(Clone, Debug)]
pub struct BuiltTree {
    /// Its identity and layers.
    pub tree: Tree,
    /// When each layer was made, bottom first; unknown for an image's own.
    pub made: Vec<Option<Time>>,
}

/// The trees of the outputs.
pub type Built = BTreeMap<NodeId, BuiltTree>;

/// Builds the outputs of a graph.
///
/// # Errors
/// The first step that failed, or the interruption.
pub fn build(request: &Request, surroundings: &Surroundings) -> Result<Built, BuildError> {
    let machine = Machine::new(Arc::clone(&request.graph), &request.outputs, request.policy.clone());
    let performer = Performer::new(surroundings, Arc::clone(&request.graph), &request.outputs);
    let (answers, inbox) = channel();
    let stop = answers.clone();
    let _stopping = surroundings.cancel.on_ask(move || {
        // The driver may be gone already; then there is nothing to stop.
        let _ = stop.send(Report::Stop);
    });
    announce(request, surroundings);
    let driver = Mutex::new(Vec::new());
    let mut build = Driver {
        request,
        surroundings,
        performer: &performer,
        machine,
        ran: BTreeSet::new(),
        errors: &driver,
        started: BTreeSet::new(),
        told: BTreeSet::new(),
        unsure: BTreeMap::new(),
        misses: BTreeMap::new(),
        expired: BTreeMap::new(),
        made: BTreeMap::new(),
        shipped: shipped(request),
        crew: Crew::new(),
    };
    let outcome = std::thread::scope(|scope| {
        let outcome = build.run(scope, &answers, &inbox);
        build.crew.dismiss();
        outcome
    });
    performer.save_stat_caches();
    performer.leave_selections();
    outcome
}

struct Driver<'a> {
    request: &'a Request,
    surroundings: &'a Surroundings,
    performer: &'a Performer<'a>,
    machine: Machine,
    /// Nodes that ran in this build.
    ran: BTreeSet<NodeId>,
    errors: &'a Mutex<Vec<StepError>>,
    /// Nodes that began and did not end: one that was sent back since a layer was gone has its line already.
    started: BTreeSet<NodeId>,
    /// Nodes whose end was told.
    told: BTreeSet<NodeId>,
    /// Remembered nodes whose layers are gone: hits, if nobody turns out to need the layers.
    unsure: BTreeMap<NodeId, StepEnd>,
    misses: BTreeMap<NodeId, MissReason>,
    /// Nodes whose remembered results are too old to count.
    expired: BTreeMap<NodeId, MissReason>,
    /// When the result of each node was made, in this build or before.
    made: BTreeMap<NodeId, Time>,
    /// Nodes whose layers the outputs carry.
    shipped: BTreeSet<NodeId>,
    crew: Crew<'a>,
}

impl<'a> Driver<'a> {
    fn run<'s>(
        &mut self,
        scope: &'s Scope<'s, 'a>,
        answers: &Sender<Report>,
        inbox: &Receiver<Report>,
    ) -> Result<Built, BuildError>
    where
        'a: 's,
    {
        loop {
            while let Some(command) = self.machine.next_command() {
                self.dispatch(scope, answers, command);
            }
            while let Some((node, work)) = self.crew.next() {
                self.hand_over(scope, node, work);
            }
            if !self.machine.is_idle() {
                let Ok(report) = inbox.recv() else { return Err(BuildError::Stuck) };
                if let Some(done) = report.node() {
                    self.crew.busy.remove(&done);
                }
                self.take(report);
                continue;
            }
            if !self.machine.is_settled() || !self.retract_missing_outputs() {
                break;
            }
        }
        self.outcome()
    }

    fn outcome(&mut self) -> Result<Built, BuildError> {
        for (node, end) in std::mem::take(&mut self.unsure) {
            self.finish(node, end);
        }
        let mut errors =
            std::mem::take(&mut *self.errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if !errors.is_empty() {
            return Err(BuildError::Step(errors.remove(0)));
        }
        if self.surroundings.cancel.is_asked() {
            return Err(BuildError::Interrupted);
        }
        let made = |node: &NodeId| {
            self.origins(Some(*node)).iter().map(|origin| self.made.get(origin).copied()).collect()
        };
        let tree = |node: &NodeId| {
            Some((*node, BuiltTree { tree: self.machine.tree(*node)?.clone(), made: made(node) }))
        };
        let trees: Option<Built> = self.request.outputs.iter().map(tree).collect();
        trees.ok_or(BuildError::Stuck)
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Stop => self.machine.handle(Answer::Stop),
            Report::Stale(node, message) => {
                self.machine.handle(Answer::Stale(node));
                if self.machine.failed().contains(&node) {
                    let fault = Fault::failed(Blame::User, message).hint(match self.request.graph.node(node).op {
                        Op::Http(_) => "the server gives another file each time; write what is wanted as `--checksum`",
                        _ => "nothing may write to the context while it is built",
                    });
                    self.take(fault_report(node, fault, self.errors));
                }
            }
            Report::Answer(Answer::InputGone { node, inputs }, _) => self.retract(node, inputs),
            Report::Answer(answer, ended) => {
                if let Some(Ended { node, end }) = ended {
                    if matches!(end, StepEnd::Ran { .. } | StepEnd::Adopted { .. }) {
                        self.ran.insert(node);
                        self.made.insert(node, self.surroundings.store.now());
                    }
                    if matches!(end, StepEnd::Failed { .. }) {
                        self.surroundings.cancel.fail();
                    }
                    self.finish(node, end);
                }
                if let Answer::Performed(node, layer) = &answer {
                    self.tell_of_layer(*node, layer.diff);
                }
                self.machine.handle(answer);
            }
        }
    }

    fn tell_of_layer(&self, node: NodeId, diff: Digest) {
        if let Some(packing) = self.surroundings.packing.as_ref().filter(|_| self.shipped.contains(&node)) {
            packing.decided(diff);
        }
    }

    /// Layers that a node needs have to be made again first.
    fn retract(&mut self, node: NodeId, inputs: Vec<NodeId>) {
        self.machine.handle(Answer::InputGone { node, inputs: inputs.clone() });
        self.fail_lost(&inputs);
    }

    /// Says of nodes that were given up since their layers were gone again and again why they failed.
    fn fail_lost(&mut self, nodes: &[NodeId]) {
        for node in
            nodes.iter().filter(|node| self.machine.failed().contains(node)).copied().collect::<Vec<_>>()
        {
            let message =
                "its result was in the store and is gone again: something removes it while the build runs";
            let hint = "look for what else works on the store's directory, or give another with `IREKO_HOME`";
            let fault = Fault::failed(Blame::Environment, message).hint(hint);
            self.take(fault_report(node, fault, self.errors));
        }
    }

    fn finish(&mut self, node: NodeId, end: StepEnd) {
        let miss = self.misses.remove(&node);
        self.started.remove(&node);
        self.unsure.remove(&node);
        self.told.insert(node);
        self.surroundings.sink.emit(Event::StepFinished { node: node.0, end, miss });
    }

    fn dispatch<'s>(&mut self, scope: &'s Scope<'s, 'a>, answers: &Sender<Report>, command: Command)
    where
        'a: 's,
    {
        match command {
            Command::LookUp(node, key) => {
                let answer = self.look_up(node, key);
                self.machine.handle(answer);
            }
            Command::Select(node) => {
                let job = self.job(node, None);
                let (performer, answers) = (self.performer, answers.clone());
                let errors = self.errors;
                let work: Work<'a> = Box::new(move || {
                    let answer = caught(|| performer.select(&job));
                    let _ = answers.send(select_report(node, answer, errors));
                });
                self.crew.waiting.push_back((node, work));
            }
            Command::Perform(node, key) => {
                let gone = self.gone_below(node);
                if !gone.is_empty() {
                    return self.retract(node, gone.into_iter().collect());
                }
                self.start(node);
                self.miss(node);
                let job = self.job(node, Some(key));
                let (performer, answers) = (self.performer, answers.clone());
                let errors = self.errors;
                let began = Instant::now();
                let work: Work<'a> = Box::new(move || {
                    let outcome = caught(|| performer.perform(&job));
                    let _ = answers.send(perform_report(node, outcome, began, errors));
                });
                match self.request.graph.node(node).op.is_run() {
                    true => self.spawn(scope, node, work),
                    false => self.crew.waiting.push_back((node, work)),
                }
            }
        }
    }

    /// Starts a thread, unless the build is to end; where the machine has none left, the node fails.
    fn spawn<'s>(&mut self, scope: &'s Scope<'s, 'a>, node: NodeId, work: Work<'a>)
    where
        'a: 's,
    {
        if self.is_over(node) {
            return;
        }
        let thread = std::thread::Builder::new().name("worker".to_owned()).stack_size(STACK);
        if let Err(error) = thread.spawn_scoped(scope, work) {
            self.no_thread(node, &error);
        }
    }

    /// The same for a worker of the crew.
    fn hand_over<'s>(&mut self, scope: &'s Scope<'s, 'a>, node: NodeId, work: Work<'a>)
    where
        'a: 's,
    {
        if self.is_over(node) {
            return;
        }
        if let Err(error) = self.crew.hand_over(scope, work) {
            self.no_thread(node, &error);
        }
    }

    /// Whether nothing begins any more; then the node is told so.
    fn is_over(&mut self, node: NodeId) -> bool {
        let over = self.surroundings.cancel.is_asked();
        if over {
            self.crew.busy.remove(&node);
            self.take(fault_report(node, Fault::Cancelled, self.errors));
        }
        over
    }

    fn no_thread(&mut self, node: NodeId, error: &std::io::Error) {
        let fault = Fault::of(Blame::Environment, error);
        let hint = "no thread could be started: the machine has too many, or a limit (`ulimit -u`, `ulimit -v`) is low";
        self.crew.busy.remove(&node);
        self.take(fault_report(node, fault.hint(hint), self.errors));
    }

    fn start(&mut self, node: NodeId) {
        if self.started.insert(node) {
            self.surroundings.sink.emit(Event::StepStarted { node: node.0 });
        }
    }

    fn look_up(&mut self, node: NodeId, key: Key) -> Answer {
        let store = &self.surroundings.store;
        let Some(record) = store.record(key) else { return Answer::Missed(node) };
        if let Reuse::Within(allowed_s) = self.request.graph.node(node).reuse {
            let age_s = u64::try_from(store.now().secs - record.at.secs).unwrap_or_default();
            if age_s >= allowed_s {
                self.expired.insert(node, MissReason::Expired { age_s, allowed_s });
                return Answer::Missed(node);
            }
        }
        // Only the explanation of a later miss would suffer.
        let _ = store.remember(&self.slot(node), key);
        self.made.insert(node, record.at);
        let end = if self.machine_ran_below(node) { StepEnd::CutOff } else { StepEnd::Hit };
        match store.layer(&record.diff) {
            // Its tree was another for a moment; what became of the step was told.
            _ if self.told.contains(&node) => {}
            Ok(Some(layer)) if layer.present() => self.finish(node, end),
            _ => drop(self.unsure.insert(node, end)),
        }
        self.tell_of_layer(node, record.diff);
        Answer::Found(node, ireko_graph::Layer { content: record.content, diff: record.diff })
    }

    /// Whether anything that the node stands on ran in this build.
    fn machine_ran_below(&self, node: NodeId) -> bool {
        if self.ran.is_empty() {
            return false;
        }
        let below = self.request.graph.reachable(&[node]);
        self.ran.iter().any(|ran| *ran != node && below[ran.0 as usize])
    }

    /// Finds out, and says, why a step has to run.
    fn miss(&mut self, node: NodeId) {
        if let Some(expired) = self.expired.remove(&node) {
            self.misses.insert(node, expired);
            return;
        }
        let Some(declared) = self.machine.declared(node) else { return };
        let files = self.performer.files_of(node);
        let (store, graph) = (&self.surroundings.store, &self.request.graph);
        let before = store.nearest(&self.slot(node)).and_then(|key| store.inputs(key));
        let now = explain::inputs(graph.node(node), &declared, &files);
        let (reason, lines) = explain::miss(graph, graph.node(node), before.as_ref(), &now);
        self.misses.insert(node, reason);
        if !lines.is_empty() {
            self.surroundings.sink.emit(Event::MissExplained { node: node.0, lines });
        }
    }

    fn slot(&self, node: NodeId) -> Vec<u8> {
        explain::slot(&self.surroundings.project, self.request.graph.node(node))
    }

    /// Everything a worker needs to know of a node, taken out of the machine.
    fn job(&self, node: NodeId, key: Option<Key>) -> Job {
        let mut job = self.job_alone(node, key);
        if key.is_some() {
            let copies = copies_below(&self.request.graph, node);
            job.copies = copies.into_iter().map(|copy| (copy, self.job_alone(copy, None))).collect();
        }
        job
    }

    fn job_alone(&self, node: NodeId, key: Option<Key>) -> Job {
        // What does not look at the tree below is the same whether that is decided yet or not.
        let base = match self.request.graph.node(node).op.ignores_base() {
            true => Tree::empty(),
            false => self.machine.base_tree(node).unwrap_or_else(Tree::empty),
        };
        let graph = &self.request.graph;
        let inputs = graph
            .node(node)
            .inputs
            .iter()
            .map(|input| self.machine.tree(*input).cloned().unwrap_or_else(Tree::empty))
            .collect();
        Job {
            node,
            key,
            base_origins: self.origins(graph.node(node).base),
            input_origins: graph.node(node).inputs.iter().map(|input| self.origins(Some(*input))).collect(),
            base,
            inputs,
            declared: self.machine.declared(node).unwrap_or_default(),
            slot: self.slot(node),
            cutoff: self.request.policy.cutoff,
            copies: BTreeMap::new(),
        }
    }

    /// Which node made each layer of a node's tree, bottom first.
    fn origins(&self, node: Option<NodeId>) -> Vec<NodeId> {
        let mut origins = Vec::new();
        let mut at = node;
        while let Some(node) = at {
            match &self.request.graph.node(node).op {
                Op::Image(image) => origins.extend(image.diff_ids.iter().map(|_| node)),
                _ => origins.push(node),
            }
            at = self.request.graph.node(node).base;
        }
        // A step's own layer is on top of its base; an image's layers are already bottom first.
        origins.reverse();
        origins
    }

    /// At the end, the layers of what is exported must be there. True if some have to be made again.
    fn retract_missing_outputs(&mut self) -> bool {
        if !self.request.export {
            return false;
        }
        let trees = self.request.outputs.iter().map(|output| self.gone_of(*output));
        let gone: BTreeSet<NodeId> = trees.flatten().collect();
        for node in &gone {
            self.misses.insert(*node, MissReason::ResultGone);
            self.machine.handle(Answer::OutputGone(*node));
        }
        self.fail_lost(&gone.iter().copied().collect::<Vec<_>>());
        !gone.is_empty()
    }

    /// Whose layers a command would run on and are gone. It is asked before the command counts as begun.
    fn gone_below(&self, node: NodeId) -> BTreeSet<NodeId> {
        let node = self.request.graph.node(node);
        node.base.filter(|_| node.op.is_run()).map(|base| self.gone_of(base)).unwrap_or_default()
    }

    /// The nodes that made those layers of a node's tree that are gone.
    fn gone_of(&self, node: NodeId) -> BTreeSet<NodeId> {
        let Some(tree) = self.machine.tree(node) else { return BTreeSet::new() };
        let layers = tree.layers.iter().zip(self.origins(Some(node)));
        let of_step = |origin: &NodeId| !matches!(self.request.graph.node(*origin).op, Op::Image(_));
        let is_gone = |diff| !self.surroundings.store.presence_or_read(diff).unwrap_or(false);
        layers.filter(|(diff, origin)| of_step(origin) && is_gone(diff)).map(|(_, origin)| origin).collect()
    }
}

/// The nodes whose layers the outputs carry: the outputs and what they stand on.
fn shipped(request: &Request) -> BTreeSet<NodeId> {
    let mut all = BTreeSet::new();
    for output in &request.outputs {
        let mut at = Some(*output);
        while let Some(node) = at {
            all.insert(node);
            at = request.graph.node(node).base;
        }
    }
    all
}

/// Tells the sink which steps there are.
fn announce(request: &Request, surroundings: &Surroundings) {
    let graph = &request.graph;
    let wanted = graph.reachable(&request.outputs);
    let is_step = |id: &NodeId| wanted[id.0 as usize] && !matches!(graph.node(*id).op, Op::Image(_));
    let steps: Vec<NodeId> = graph.ids().filter(is_step).collect();
    let stages: BTreeSet<&str> = steps.iter().map(|id| graph.node(*id).about.stage.as_str()).collect();
    surroundings.sink.emit(Event::BuildStarted { steps: steps.len() as u32 });
    for id in steps {
        let about = &graph.node(id).about;
        let display = about.display(stages.len() == 1);
        surroundings.sink.emit(Event::StepQueued {
            node: id.0,
            stage: about.stage.clone(),
            display,
            platform: Some(about.platform.clone()).filter(|platform| !platform.is_empty()),
        });
    }
}
