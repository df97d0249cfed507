//! The workers that read and copy files while the driver waits for their answers.

use ireko_graph::NodeId;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

/// Bytes of a worker's stack. Trees are walked by recursion, and a tree may be some two thousand directories deep.
pub(super) const STACK: usize = 16 << 20;

/// The workers that read and copy files; commands are counted by the machine.
pub(super) struct Crew<'a> {
    /// How many there may be.
    size: usize,
    pub(super) busy: BTreeSet<NodeId>,
    pub(super) waiting: VecDeque<(NodeId, Work<'a>)>,
    /// How many there are. They stay until the build ends: most of what they do takes less time than to start one.
    started: usize,
    hand: Option<Sender<Work<'a>>>,
    take: Arc<Mutex<Receiver<Work<'a>>>>,
}

/// What a worker does; it sends its answer itself.
pub(super) type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

impl<'a> Crew<'a> {
    pub(super) fn new() -> Self {
        // More would only take each other's memory and turns at the disk.
        let size = 2 * std::thread::available_parallelism().map_or(1, usize::from) + 2;
        let (hand, take) = channel();
        let take = Arc::new(Mutex::new(take));
        Self { size, busy: BTreeSet::new(), waiting: VecDeque::new(), started: 0, hand: Some(hand), take }
    }

    /// Hands a piece of work to a worker; a new one is started where all have something to do.
    ///
    /// # Errors
    /// There is none, and none can be started.
    pub(super) fn hand_over<'s>(&mut self, scope: &'s Scope<'s, 'a>, work: Work<'a>) -> io::Result<()>
    where
        'a: 's,
    {
        if self.started < self.busy.len() {
            let take = Arc::clone(&self.take);
            let next = move || take.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
            let thread = std::thread::Builder::new().name("worker".to_owned()).stack_size(STACK);
            match thread.spawn_scoped(scope, move || std::iter::from_fn(next).for_each(|work| work())) {
                Ok(_) => self.started += 1,
                // Those that there are do it one after the other.
                Err(_) if self.started > 0 => {}
                Err(error) => return Err(error),
            }
        }
        let hand = self.hand.as_ref().ok_or_else(|| io::Error::other("the build has ended"))?;
        hand.send(work).map_err(|_| io::Error::other("no worker listens"))
    }

    /// Lets the workers end.
    pub(super) fn dismiss(&mut self) {
        self.hand = None;
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
