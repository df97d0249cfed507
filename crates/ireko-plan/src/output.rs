//! What the planner answers.

use crate::facts::{ImageName, Need};
use ireko_graph::{Graph, NodeId};
use ireko_oci::{Digest, ImageConfig, Platform, Timestamp};
use ireko_report::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// The planner's answer.
#[derive(Clone, Debug)]
pub enum Planned {
    /// All is known.
    Ready(Box<Plan>),
    /// These must be known first.
    Needs(Vec<Need>),
    /// The build cannot be done; at least one of these is an error.
    Broken(Vec<Diagnostic>),
}

/// A build, ready to be solved.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What is to be done.
    pub graph: Graph,
    /// What comes out, in the order it was asked for.
    pub outputs: Vec<Output>,
    /// The stages that take part, by position.
    pub stages: BTreeSet<usize>,
    /// Images that the build stands on.
    pub images: Vec<UsedImage>,
    /// Which instruction reads what of which context.
    pub reads: Vec<ContextRead>,
    /// Which of them are a node's.
    pub(crate) reads_of: BTreeMap<NodeId, Vec<usize>>,
    /// What the person should know.
    pub warnings: Vec<Diagnostic>,
}

/// A target and its image.
#[derive(Clone, Debug)]
pub struct Output {
    /// The stage's name; its number where it has none.
    pub stage: String,
    /// The node whose tree is the image's root file system; `None` is the empty tree.
    pub node: Option<NodeId>,
    /// Nodes that must be done too, though the image has nothing of them (`FROM --after`).
    pub after: Vec<NodeId>,
    /// The config, whole but for the layers that the build will make: `rootfs.diff_ids` are the base image's,
    /// `created` is missing, and so it is in new history entries (unless there is an epoch). An entry of the
    /// history that is not `empty_layer` stands for one layer, in order, base layers included.
    pub config: ImageConfig,
    /// How many entries of the history are the base image's.
    pub base_history: usize,
    /// The platform.
    pub platform: Platform,
    /// SOURCE_DATE_EPOCH, where it was given as a build argument.
    pub epoch: Option<Timestamp>,
}

/// An image that the build stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedImage {
    /// How it is found.
    pub name: ImageName,
    /// The platform it was asked for.
    pub platform: Platform,
    /// As the Dockerfile names it.
    pub display: String,
    /// The digest its name led to.
    pub resolved: Option<Digest>,
    /// The digest of its config.
    pub config: Digest,
    /// Its node; `None` where it has no layers.
    pub node: Option<NodeId>,
}

/// What an instruction reads of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRead {
    /// The context's name; the main one is `context`.
    pub context: String,
    /// The node that reads.
    pub node: NodeId,
    /// The instruction's line.
    pub line: u32,
    /// The instruction, on one line.
    pub text: String,
    /// Patterns as after expansion, relative to the context's root.
    pub patterns: Vec<String>,
    /// `--exclude` patterns.
    pub excludes: Vec<String>,
}
