//! What a worker knows of the node that it performs.

use std::collections::BTreeMap;

use ireko_graph::{Declared, NodeId, Tree};
use ireko_oci::{Digest, Key};

/// What a worker is given of one node: everything that the solver's machine knows of it.
pub(crate) struct Job {
    pub(crate) node: NodeId,
    pub(crate) key: Option<Key>,
    /// The tree below, and the node that made each of its layers.
    pub(crate) base: Tree,
    pub(crate) base_origins: Vec<NodeId>,
    /// The trees of the inputs, likewise.
    pub(crate) inputs: Vec<Tree>,
    pub(crate) input_origins: Vec<Vec<NodeId>>,
    pub(crate) declared: Declared,
    pub(crate) slot: Vec<u8>,
    /// Equal content means equal tree.
    pub(crate) cutoff: bool,
    /// Of a step with a cache mount: the copies below it whose files' present times count.
    pub(crate) copies: BTreeMap<NodeId, Job>,
}

impl Job {
    /// The node that made a layer of one of the job's trees.
    pub(crate) fn origin(&self, diff: &Digest) -> Option<NodeId> {
        let trees = std::iter::once((&self.base, &self.base_origins));
        let mut trees = trees.chain(self.inputs.iter().zip(&self.input_origins));
        let own = trees.find_map(|(tree, origins)| {
            let at = tree.layers.iter().position(|layer| layer == diff)?;
            origins.get(at).copied()
        });
        own.or_else(|| self.copies.values().find_map(|copy| copy.origin(diff)))
    }
}
