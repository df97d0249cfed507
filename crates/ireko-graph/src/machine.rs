//! What to do next: a state machine that sees keys, inputs and outcomes, and never what an operation does.
//!
//! Feed it [`Event`]s, perform the [`Command`]s it gives. It holds no thread, clock or file.

use crate::graph::{Graph, NodeId, Reuse};
use crate::key::Declared;
use crate::op::Op;
use ireko_oci::{ContentId, Digest, Key, SelectionId, TreeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The layer that a step yielded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it contains, volatile times aside.
    pub content: ContentId,
    /// The layer that holds it: the step's own, or the earlier one that was adopted.
    pub diff: Digest,
}

/// A tree whose identity is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its identity.
    pub id: TreeId,
    /// Its layers, bottom first.
    pub layers: Arc<Vec<Digest>>,
}

impl Tree {
    /// The empty tree.
    pub fn empty() -> Self {
        Self { id: TreeId::empty(), layers: Arc::new(Vec::new()) }
    }

    fn with(&self, layer: &Layer, id: TreeId) -> Self {
        let mut layers = (*self.layers).clone();
        layers.push(layer.diff);
        Self { id, layers: Arc::new(layers) }
    }
}

/// What the driver is asked to do. Each is answered by exactly one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Digest the files that the node selects; answer [`Event::Selected`], [`Event::InputGone`] or [`Event::Failed`].
    Select(NodeId),
    /// Ask the cache; answer [`Event::Found`] or [`Event::Missed`].
    LookUp(NodeId, Key),
    /// Do it; answer [`Event::Performed`], [`Event::InputGone`], [`Event::Stale`] or [`Event::Failed`].
    Perform(NodeId, Key),
}

/// What the driver reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node's selections, in the order of [`crate::Node::selections`].
    Selected(NodeId, Vec<SelectionId>),
    /// The cache knows the key.
    Found(NodeId, Layer),
    /// It does not.
    Missed(NodeId),
    /// The step is done; its layer is in the store, adoption decided.
    Performed(NodeId, Layer),
    /// The step could not begin, because layers of `inputs` that records promised are no longer there.
    InputGone {
        /// Who asked.
        node: NodeId,
        /// Whose layers are missing.
        inputs: Vec<NodeId>,
    },
    /// An output's layer that a record promised is no longer there. A layer that is gone more than [`LOST_MAX`] times
    /// fails its node.
    OutputGone(NodeId),
    /// The files read were not the files keyed: they changed in between.
    Stale(NodeId),
    /// The step failed; the driver keeps the reason.
    Failed(NodeId),
    /// Begin nothing more.
    Stop,
}

/// How a build uses the cache and the machine.
#[derive(Clone, Debug)]
pub struct Policy {
    /// RUN steps at one time.
    pub jobs: usize,
    /// Equal content means equal tree; otherwise equal key does (`--cache-cutoff=off`).
    pub cutoff: bool,
    /// Class of the sandbox level (`full`, `partial`), part of a run's key.
    pub class: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Waits for what it needs, or for a free place.
    Waiting,
    /// A command is out.
    Selecting,
    LookingUp,
    Running,
    /// Another node with the same key is running.
    Twin,
    /// Must run and waits for a place.
    Due,
    Done,
    Failed,
}

/// How often the layer of one key may be gone in a build. Layers that a build uses are held, so that once is what
/// there is to expect; a store that goes on losing them must not make the build go on for ever.
pub const LOST_MAX: usize = 2;

/// A layer that a record promised was gone.
#[derive(Clone, Copy, Debug)]
struct Lost {
    key: Key,
    times: usize,
    /// The cache is not asked for it: it has to be made again, and is not yet.
    unmade: bool,
}

#[derive(Clone, Debug)]
struct Slot {
    state: State,
    wanted: bool,
    /// Nothing of its tree, and nothing that the tree comes of, is being made or made again.
    whole: bool,
    lost: Option<Lost>,
    /// What it yielded in this build, which is not done twice.
    made: Option<(Key, Layer)>,
    /// When it yielded that, and when its last command was sent, in steps performed so far.
    made_at: usize,
    sent_at: usize,
    /// Its files changed while they were read; once is forgiven.
    stale: bool,
    /// An input got another tree while this ran: run the cycle again when it ends.
    outdated: bool,
    selections: Option<Vec<SelectionId>>,
    key: Option<Key>,
    layer: Option<Layer>,
    tree: Option<Tree>,
}

/// The state of one build.
#[derive(Debug)]
pub struct Machine {
    graph: Arc<Graph>,
    policy: Policy,
    slots: Vec<Slot>,
    commands: VecDeque<Command>,
    in_flight: BTreeSet<NodeId>,
    running: BTreeMap<Key, NodeId>,
    runs: usize,
    /// Steps performed so far.
    performed: usize,
    stopping: bool,
    failed: Vec<NodeId>,
}

impl Machine {
    /// A machine that works towards `outputs`; nothing else of the graph is touched.
    pub fn new(graph: Arc<Graph>, outputs: &[NodeId], policy: Policy) -> Self {
        let slots = graph.reachable(outputs).into_iter().map(|wanted| Slot {
            state: State::Waiting,
            wanted,
            whole: false,
            lost: None,
            made: None,
            made_at: 0,
            sent_at: 0,
            stale: false,
            outdated: false,
            selections: None,
            key: None,
            layer: None,
            tree: None,
        });
        let slots = slots.collect();
        let mut machine = Self {
            graph,
            policy,
            slots,
            commands: VecDeque::new(),
            in_flight: BTreeSet::new(),
            running: BTreeMap::new(),
            runs: 0,
            performed: 0,
            stopping: false,
            failed: Vec::new(),
        };
        machine.advance();
        machine
    }

    /// The next thing to do, if there is one now.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Takes a report and prepares the commands that follow from it.
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Selected(node, selections) => {
                self.landed(node);
                if self.is_current(node) {
                    let slot = self.slot(node);
                    slot.selections = Some(selections);
                    slot.state = State::Waiting;
                }
            }
            Event::Found(node, layer) => {
                self.landed(node);
                self.finish(node, layer);
            }
            Event::Missed(node) => {
                self.landed(node);
                if self.is_current(node) {
                    self.slot(node).state = State::Due;
                }
            }
            Event::Performed(node, layer) => {
                self.made(node, &layer);
                self.ended(node);
                self.finish(node, layer);
            }
            Event::InputGone { node, inputs } => self.input_gone(node, &inputs),
            Event::OutputGone(node) => self.retract(node),
            Event::Stale(node) => self.stale(node),
            Event::Failed(node) => {
                self.ended(node);
                self.fail(node);
            }
            Event::Stop => self.stop(),
        }
        self.advance();
    }

    /// Nothing is out and nothing more will be.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.commands.is_empty()
    }

    /// Every wanted node is settled.
    pub fn is_settled(&self) -> bool {
        self.slots.iter().all(|slot| !slot.wanted || slot.tree.is_some() && slot.state == State::Done)
    }

    /// The nodes that failed, first failure first.
    pub fn failed(&self) -> &[NodeId] {
        &self.failed
    }

    /// Nodes that a command is out for.
    pub fn in_flight(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.in_flight.iter().copied()
    }

    /// The tree of a settled node.
    pub fn tree(&self, node: NodeId) -> Option<&Tree> {
        self.slots[node.0 as usize].tree.as_ref()
    }

    /// The tree below a node, once it is settled.
    pub fn base_tree(&self, node: NodeId) -> Option<Tree> {
        match self.graph.node(node).base {
            None => Some(Tree::empty()),
            Some(base) => self.tree(base).cloned(),
        }
    }

    /// The layer that a settled node added.
    pub fn layer(&self, node: NodeId) -> Option<&Layer> {
        self.slots[node.0 as usize].layer.as_ref()
    }

    /// The declared inputs of a node whose inputs are settled, for the record and for explanations.
    pub fn declared(&self, node: NodeId) -> Option<Declared> {
        let base = self.base_tree(node).map(|tree| tree.id);
        let selections = self.slots[node.0 as usize].selections.clone().unwrap_or_default();
        Some(Declared::of(self.graph.node(node), base, &selections, &self.policy.class))
    }

    fn slot(&mut self, node: NodeId) -> &mut Slot {
        &mut self.slots[node.0 as usize]
    }

    fn landed(&mut self, node: NodeId) {
        self.in_flight.remove(&node);
    }

    /// What was performed is in the store: nobody with this key has to make it any more.
    fn made(&mut self, node: NodeId, layer: &Layer) {
        self.performed += 1;
        let performed = self.performed;
        let slot = self.slot(node);
        let Some(key) = slot.key else { return };
        slot.made = Some((key, layer.clone()));
        slot.made_at = performed;
        for lost in self.slots.iter_mut().filter_map(|slot| slot.lost.as_mut()) {
            lost.unmade &= lost.key != key;
        }
    }

    /// A performed node is no longer out; its twins ask the cache again.
    fn ended(&mut self, node: NodeId) {
        self.landed(node);
        if self.slots[node.0 as usize].state != State::Running {
            return;
        }
        if self.graph.node(node).op.is_run() {
            self.runs -= 1;
        }
        if let Some(key) = self.slots[node.0 as usize].key {
            self.running.remove(&key);
            for slot in &mut self.slots {
                // One that waits for a place need not be performed at all.
                if matches!(slot.state, State::Twin | State::Due) && slot.key == Some(key) {
                    slot.state = State::Waiting;
                }
            }
        }
    }

    /// An answer still counts, unless an input got another tree meanwhile: then the node begins again.
    fn is_current(&mut self, node: NodeId) -> bool {
        let slot = self.slot(node);
        if !slot.outdated {
            return true;
        }
        slot.outdated = false;
        slot.selections = None;
        slot.key = None;
        slot.state = State::Waiting;
        false
    }

    fn finish(&mut self, node: NodeId, layer: Layer) {
        if !self.is_current(node) {
            return;
        }
        let slot = self.slot(node);
        slot.state = State::Done;
        slot.layer = Some(layer);
        self.settle(node);
    }

    /// Gives a finished node its tree, when the one below is settled; a tree other than before unsettles its users.
    fn settle(&mut self, node: NodeId) {
        let Some(base) = self.base_tree(node) else { return };
        let key = self.slots[node.0 as usize].key;
        let Some(layer) = self.slots[node.0 as usize].layer.clone() else { return };
        let id = match (self.policy.cutoff, key) {
            (false, Some(key)) => base.id.with_key(key),
            _ => base.id.with(layer.content),
        };
        let tree = base.with(&layer, id);
        let before = self.slot(node).tree.replace(tree.clone());
        if before.is_some_and(|before| before != tree) {
            self.unsettle_users(node);
        }
    }

    /// Everything above a node whose tree became another begins again. Each node is visited once: the ways to it may
    /// be more than can be counted.
    fn unsettle_users(&mut self, node: NodeId) {
        let graph = Arc::clone(&self.graph);
        let mut moved = vec![false; self.slots.len()];
        moved[node.0 as usize] = true;
        for user in graph.ids().skip(node.0 as usize + 1) {
            if !graph.node(user).needs().any(|need| moved[need.0 as usize]) {
                continue;
            }
            let slot = self.slot(user);
            moved[user.0 as usize] = slot.tree.is_some();
            match slot.state {
                State::Selecting | State::LookingUp | State::Running => slot.outdated = true,
                _ => {
                    slot.state = State::Waiting;
                    slot.selections = None;
                    slot.key = None;
                    slot.layer = None;
                }
            }
        }
    }

    fn input_gone(&mut self, node: NodeId, inputs: &[NodeId]) {
        let sent_at = self.slots[node.0 as usize].sent_at;
        self.ended(node);
        if !self.is_current(node) {
            return;
        }
        self.slot(node).state = State::Waiting;
        for input in inputs {
            // One that was made since looked gone only to somebody who looked too early.
            if self.slots[input.0 as usize].made_at <= sent_at {
                self.retract(*input);
            }
        }
    }

    fn retract(&mut self, node: NodeId) {
        let slot = &self.slots[node.0 as usize];
        let Some(key) = slot.key.filter(|_| slot.state == State::Done) else { return };
        let times = slot.lost.filter(|lost| lost.key == key).map_or(1, |lost| lost.times + 1);
        if times > LOST_MAX {
            return self.fail(node);
        }
        // Another node with this key may have made it meanwhile: then the cache knows of it.
        let made = |slot: &Slot| slot.made.as_ref().is_some_and(|(made, _)| *made == key);
        let is_made = times == 1 && !made(slot) && self.slots.iter().any(made);
        let slot = self.slot(node);
        slot.lost = Some(Lost { key, times, unmade: !is_made });
        slot.state = State::Waiting;
    }

    fn stale(&mut self, node: NodeId) {
        self.ended(node);
        if self.slot(node).stale {
            self.fail(node);
            return;
        }
        let slot = self.slot(node);
        slot.stale = true;
        slot.selections = None;
        slot.key = None;
        slot.state = State::Waiting;
    }

    fn fail(&mut self, node: NodeId) {
        self.slot(node).state = State::Failed;
        self.failed.push(node);
        self.stop();
    }

    fn stop(&mut self) {
        self.stopping = true;
        let commands = std::mem::take(&mut self.commands);
        for command in commands {
            let (Command::Select(node) | Command::LookUp(node, _) | Command::Perform(node, _)) = command;
            self.ended(node);
            self.slot(node).state = State::Waiting;
        }
    }

    /// Moves every node as far as it can go without an answer.
    fn advance(&mut self) {
        if self.stopping {
            return;
        }
        for id in self.graph.ids() {
            if self.slots[id.0 as usize].wanted {
                self.step(id);
                let is_whole = self.is_settled_on_whole(id);
                self.slot(id).whole = is_whole;
            }
        }
    }

    fn is_settled_on_whole(&self, id: NodeId) -> bool {
        let slot = &self.slots[id.0 as usize];
        slot.tree.is_some()
            && slot.state == State::Done
            && self.graph.node(id).needs().all(|need| self.slots[need.0 as usize].whole)
    }

    fn step(&mut self, id: NodeId) {
        let graph = Arc::clone(&self.graph);
        let node = graph.node(id);
        if let Op::Image(image) = &node.op {
            if self.slots[id.0 as usize].tree.is_none() {
                let layers = image.diff_ids.clone();
                let tree = match ireko_oci::chain_id(&layers) {
                    None => Tree::empty(),
                    Some(chain) => {
                        Tree { id: TreeId::of_chain(&chain.to_string()), layers: Arc::new(layers) }
                    }
                };
                let slot = self.slot(id);
                slot.tree = Some(tree);
                slot.state = State::Done;
            }
            return;
        }
        match self.slots[id.0 as usize].state {
            State::Waiting if self.can_be_keyed(id) => self.ask(id),
            // A linked copy may be done before the tree below it is known.
            State::Done if self.slots[id.0 as usize].tree.is_none() => self.settle(id),
            _ => {}
        }
        if self.slots[id.0 as usize].state == State::Due {
            self.perform(id);
        }
    }

    fn can_be_keyed(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        let whole = |need: &NodeId| self.slots[need.0 as usize].whole;
        (node.op.ignores_base() || node.base.iter().all(whole))
            && node.inputs.iter().chain(&node.after).all(whole)
    }

    fn ask(&mut self, id: NodeId) {
        let graph = Arc::clone(&self.graph);
        let node = graph.node(id);
        if self.slots[id.0 as usize].selections.is_none() && !node.selections().is_empty() {
            self.slot(id).state = State::Selecting;
            return self.send(Command::Select(id), id);
        }
        let Some(key) = self.declared(id).map(|declared| declared.key()) else { return };
        let slot = self.slot(id);
        slot.key = Some(key);
        let is_lost = slot.lost.is_some_and(|lost| lost.key == key && lost.unmade);
        let made = slot.made.clone().filter(|(made, _)| *made == key && !is_lost);
        if let Some((_, layer)) = made {
            self.finish(id, layer);
        } else if self.running.contains_key(&key) {
            self.slot(id).state = State::Twin;
        } else if node.reuse == Reuse::Never || is_lost {
            self.slot(id).state = State::Due;
        } else {
            self.slot(id).state = State::LookingUp;
            self.send(Command::LookUp(id, key), id);
        }
    }

    fn perform(&mut self, id: NodeId) {
        let is_run = self.graph.node(id).op.is_run();
        let Some(key) = self.slots[id.0 as usize].key else { return };
        if is_run && self.runs >= self.policy.jobs {
            return;
        }
        // What a step stands on has to be there; what was retracted is made first.
        if !self.can_be_keyed(id) {
            self.slot(id).state = State::Waiting;
            return;
        }
        if self.running.contains_key(&key) {
            self.slot(id).state = State::Twin;
            return;
        }
        self.running.insert(key, id);
        self.runs += usize::from(is_run);
        self.slot(id).state = State::Running;
        self.send(Command::Perform(id, key), id);
    }

    fn send(&mut self, command: Command, id: NodeId) {
        self.in_flight.insert(id);
        self.slot(id).sent_at = self.performed;
        self.commands.push_back(command);
    }
}

#[cfg(test)]
mod tests;
