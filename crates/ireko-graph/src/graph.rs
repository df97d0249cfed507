//! The build graph: nodes are operations, edges are "needs the file system of".

use crate::op::{self, CopyItem, FilesFrom, GitSource, MountKind, Op};
use ireko_oci::GuestPath;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;

/// Position of a node in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// One node. Inputs always stand before their users, so the order of nodes is a topological one.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// The tree it starts from; `None` is the empty tree.
    pub base: Option<NodeId>,
    /// Other trees it reads files of, named by [`FilesFrom::Input`].
    pub inputs: Vec<NodeId>,
    /// Nodes that must be done before it begins, though it reads nothing of them. Never part of a key.
    pub after: Vec<NodeId>,
    /// What people are told about it.
    pub about: About,
    /// Whether an earlier result may stand for it.
    pub reuse: Reuse,
}

/// Whether an earlier result may stand for a node. Never part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reuse {
    /// It may.
    #[default]
    Always,
    /// It may, if it was made at most so many seconds ago (`--cache-ttl`).
    Within(u64),
    /// The cache is not asked (`--no-cache`, `--no-cache-filter`).
    Never,
}

/// What people are told about a node. Never part of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Stage name, or its number.
    pub stage: String,
    /// The platform it is for, where the build has several: `linux/arm64`, or `linux/amd64->arm64` for a step that
    /// cross-compiles. Empty otherwise.
    pub platform: String,
    /// Position of the instruction among those of its stage that make nodes, from 1.
    pub step: u32,
    /// How many such instructions the stage has.
    pub steps: u32,
    /// The instruction after expansion, on one line.
    pub text: String,
    /// Line of the Dockerfile, from 1.
    pub line: u32,
    /// Last line of the instruction.
    pub end_line: u32,
    /// Names and values of build arguments visible to the step, to explain a miss.
    pub args: Vec<(String, String)>,
}

impl About {
    /// The instruction's lines in the Dockerfile.
    pub fn lines(&self) -> RangeInclusive<u32> {
        self.line..=self.end_line.max(self.line)
    }

    /// The step as people see it: `[app 2/5] RUN make`, or `[linux/arm64 app 2/5] RUN make` where there are several
    /// platforms. A stage without a name needs none where it is alone.
    pub fn display(&self, alone: bool) -> String {
        let is_number = !self.stage.is_empty() && self.stage.bytes().all(|byte| byte.is_ascii_digit());
        let stage = match (is_number, alone) {
            (true, true) => String::new(),
            (true, false) => format!("stage-{} ", self.stage),
            (false, _) => format!("{} ", self.stage),
        };
        let platform = if self.platform.is_empty() { "" } else { &format!("{} ", self.platform) };
        format!("[{platform}{stage}{}/{}] {}", self.step, self.steps, self.text)
    }
}

/// A selection of files that goes into a node's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// What a copy's patterns select: the performer knows the copy's rules. One for the whole copy.
    Copy,
    /// What the bind mount (or cache mount seed) at this position of the run's mounts shows.
    Mount(usize),
    /// What a source's name means now: the digest of a file, a commit.
    Source,
}

impl Node {
    /// The selections whose digests are part of the key, in order.
    pub fn selections(&self) -> Vec<Selection> {
        match &self.op {
            Op::Image(_) | Op::MakeDir(_) => Vec::new(),
            Op::Http(_) | Op::Git(_) => vec![Selection::Source],
            Op::Copy(_) => vec![Selection::Copy],
            Op::Run(run) => (0..run.mounts.len())
                .filter(|at| run.mounts[*at].kind.reads_files())
                .map(Selection::Mount)
                .collect(),
        }
    }

    /// The positions among the inputs that a selection takes files of.
    pub fn inputs_of(&self, selection: &Selection) -> Vec<usize> {
        let input = |from: &FilesFrom| match from {
            FilesFrom::Input(input) => Some(*input),
            FilesFrom::Context(_) | FilesFrom::Empty => None,
        };
        match (&self.op, selection) {
            (Op::Copy(copy), Selection::Copy) => {
                let of_item = |item: &CopyItem| match item {
                    CopyItem::Files { from, .. } => input(from),
                    CopyItem::Fetched { input, .. } => Some(*input),
                    CopyItem::Inline { .. } => None,
                };
                copy.items.iter().filter_map(of_item).collect()
            }
            (Op::Run(run), Selection::Mount(at)) => match run.mounts.get(*at).map(|mount| &mount.kind) {
                Some(MountKind::Bind { from, .. } | MountKind::Cache { from, .. }) => {
                    input(from).into_iter().collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Equal for nodes that do the same. Of this process alone: never kept, never part of a key.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.op, self.base, &self.inputs).hash(&mut hasher);
        hasher.finish()
    }

    /// Every node that must be settled before this one can be keyed.
    pub fn needs(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.base.iter().chain(&self.inputs).chain(&self.after).copied()
    }
}

/// Nodes in topological order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The nodes; a [`NodeId`] is a position here.
    pub nodes: Vec<Node>,
    /// Nodes by their fingerprint, so that an equal one is found without going through all.
    alike: BTreeMap<u64, Vec<NodeId>>,
}

impl Graph {
    /// Adds a node, or finds the equal one that is there: two stages that begin alike share their work.
    pub fn add(&mut self, node: Node) -> NodeId {
        let same = |old: &Node| {
            old.op == node.op
                && old.base == node.base
                && old.inputs == node.inputs
                && old.after == node.after
                && old.reuse == node.reuse
        };
        let alike = self.alike.entry(node.fingerprint()).or_default();
        if let Some(at) = alike.iter().find(|at| same(&self.nodes[at.0 as usize])) {
            return *at;
        }
        let id = NodeId(self.nodes.len() as u32);
        alike.push(id);
        self.nodes.push(node);
        id
    }

    /// The node of this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Every id, inputs first.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// Which nodes any of `outputs` needs, themselves included; the position is the node's.
    pub fn reachable(&self, outputs: &[NodeId]) -> Vec<bool> {
        let mut wanted = vec![false; self.nodes.len()];
        for output in outputs {
            wanted[output.0 as usize] = true;
        }
        for at in (0..self.nodes.len()).rev() {
            if wanted[at] {
                for need in self.nodes[at].needs() {
                    wanted[need.0 as usize] = true;
                }
            }
        }
        wanted
    }

    /// A text picture for snapshots in tests: one line a node.
    pub fn picture(&self) -> String {
        let mut out = String::new();
        for id in self.ids() {
            let node = self.node(id);
            let base = node.base.map_or("-".to_owned(), |base| base.0.to_string());
            let inputs: Vec<String> = node.inputs.iter().map(|input| input.0.to_string()).collect();
            let after: Vec<String> = node.after.iter().map(|before| format!(" after {}", before.0)).collect();
            let (inputs, op) = (inputs.join(","), op_picture(&node.op));
            out.push_str(&format!("{} <- {base} [{inputs}] {op}{}\n", id.0, after.concat()));
        }
        out
    }
}

fn op_picture(op: &Op) -> String {
    match op {
        Op::Image(image) => format!("image {}", image.display),
        Op::Run(run) => {
            let mounts: Vec<&GuestPath> = run.mounts.iter().map(|mount| &mount.target).collect();
            format!(
                "run {:?} env={:?} cwd={} user={:?} mounts={mounts:?}",
                run.argv, run.env, run.cwd, run.user
            )
        }
        Op::Copy(copy) => {
            format!("copy {:?} -> {} dir={} link={}", copy.items, copy.dest, copy.dest_is_dir, copy.link)
        }
        Op::MakeDir(dir) => format!("mkdir {} user={:?}", dir.path, dir.user),
        Op::Http(source) => format!("http {} as {}", op::shown(&source.url), source.name),
        Op::Git(source) => {
            let GitSource { remote, reference, checksum, subdir, .. } = &**source;
            let mut text = format!("git {} {reference:?}", op::shown(remote));
            let checksum = checksum.as_ref().map(|checksum| format!("is {checksum}"));
            let flags = [
                checksum,
                (!subdir.is_empty()).then(|| format!("dir {subdir}")),
                source.keep_git_dir.then(|| "with .git".to_owned()),
                (!source.submodules).then(|| "without submodules".to_owned()),
                source.commit_times.then(|| "dated".to_owned()),
                source.by_commit.then(|| "by commit".to_owned()),
            ];
            flags.iter().flatten().for_each(|flag| text.push_str(&format!(", {flag}")));
            text
        }
    }
}
