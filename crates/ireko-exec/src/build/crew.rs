//! The workers that read and copy files while the driver waits for their answers.

use ireko_graph::NodeId;
use std::collections::{BTreeSet, VecDeque};

/// Bytes of a worker's stack. Trees are walked by recursion, and a tree may be some two thousand directories deep.
pub(super) const STACK: usize = 16 << 20;

/// The workers that read and copy files; commands are counted by the machine.
pub(super) struct Crew<'a> {
    /// How many there may be.
    size: usize,
    pub(super) busy: BTreeSet<NodeId>,
    pub(super) waiting: VecDeque<(NodeId, Work<'a>)>,
}

/// What a worker does; it sends its answer itself.
pub(super) type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

impl<'a> Crew<'a> {
    pub(super) fn new() -> Self {
        // More would only take each other's memory and turns at the disk.
        let size = 2 * std::thread::available_parallelism().map_or(1, usize::from) + 2;
        Self { size, busy: BTreeSet::new(), waiting: VecDeque::new() }
    }

    /// The next piece of work, and whose it is, if there is a worker for it.
    pub(super) fn next(&mut self) -> Option<(NodeId, Work<'a>)> {
        if self.busy.len() >= self.size {
            return None;
        }
        let (node, work) = self.waiting.pop_front()?;
        self.busy.insert(node);
        Some((node, work))
    }
}
