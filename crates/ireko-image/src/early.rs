//! Layers that are sent to a registry while they are compressed: their digest is told at the end.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ireko_oci::{Digest, Reference};
use ireko_registry::{Begun, Registry};
use ireko_store::Follower;

use crate::images::{TRANSFERS, lock};

/// How often progress is told.
const STEP: Duration = Duration::from_millis(100);
/// How long a transfer that is not wanted any more may take to end. It goes on ending by itself after that.
const ENDING: Duration = Duration::from_secs(5);

/// Uploads to one repository. What goes wrong with one is not told: the layer is then pushed once it is compressed.
pub(crate) struct Early {
    registry: Arc<Registry>,
    repository: Option<Reference>,
    streams: Mutex<BTreeMap<Digest, Stream>>,
}

/// One layer on its way. Dropped, the transfer ends, and the registry forgets what came.
pub(crate) struct Stream {
    registry: Arc<Registry>,
    repository: Reference,
    sent: Arc<AtomicU64>,
    unwanted: Arc<AtomicBool>,
    /// The upload, which nobody has asked for yet; nothing where it failed.
    outcome: Option<Receiver<Option<Begun>>>,
}

impl Early {
    /// For this repository, or none.
    pub(crate) fn new(registry: &Arc<Registry>, repository: Option<&Reference>) -> Self {
        let (registry, repository) = (Arc::clone(registry), repository.cloned());
        Self { registry, repository, streams: Mutex::default() }
    }

    /// Whether one more is sent: only so many are on their way at a time.
    pub(crate) fn has_room(&self) -> bool {
        let streams = lock(&self.streams);
        self.repository.is_some() && streams.values().filter(|stream| stream.goes_on()).count() < TRANSFERS
    }

    /// Sends a layer while it is compressed.
    pub(crate) fn begin(&self, diff: &Digest, blob: Follower) {
        let Some(repository) = self.repository.clone() else { return };
        let (send, receive) = channel();
        let (sent, unwanted) = (Arc::default(), Arc::default());
        let transfer = Transfer {
            registry: Arc::clone(&self.registry),
            repository: repository.clone(),
            blob,
            sent: Arc::clone(&sent),
            unwanted: Arc::clone(&unwanted),
        };
        let named = std::thread::Builder::new().name("upload".to_owned());
        if named.spawn(move || transfer.run(&send)).is_err() {
            return;
        }
        let registry = Arc::clone(&self.registry);
        let stream = Stream { registry, repository, sent, unwanted, outcome: Some(receive) };
        lock(&self.streams).insert(*diff, stream);
    }

    /// The transfer of a layer into this repository.
    pub(crate) fn take(&self, diff: &Digest, repository: &Reference) -> Option<Stream> {
        self.repository.as_ref().filter(|own| *own == repository)?;
        lock(&self.streams).remove(diff)
    }
}

impl Stream {
    /// Whether its thread has still to do.
    fn goes_on(&self) -> bool {
        Arc::strong_count(&self.sent) > 1
    }

    /// Waits until all is sent: the upload, if it did not fail. `progress` is told how many bytes have been sent.
    pub(crate) fn finish(mut self, progress: &mut dyn FnMut(u64)) -> Option<Begun> {
        let outcome = self.outcome.take()?;
        loop {
            match outcome.recv_timeout(STEP) {
                Ok(begun) => return begun,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => progress(self.sent.load(Ordering::Relaxed)),
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(outcome) = self.outcome.take() else { return };
        self.unwanted.store(true, Ordering::Relaxed);
        if let Ok(Some(begun)) = outcome.recv_timeout(ENDING) {
            self.registry.abandon(&self.repository, &begun);
        }
    }
}

/// What a thread does for one layer.
struct Transfer {
    registry: Arc<Registry>,
    repository: Reference,
    blob: Follower,
    sent: Arc<AtomicU64>,
    unwanted: Arc<AtomicBool>,
}

impl Transfer {
    fn run(self, outcome: &Sender<Option<Begun>>) {
        let content = |_: u64| {
            let (blob, unwanted) = (self.blob.clone(), Arc::clone(&self.unwanted));
            Ok(Box::new(Wanted { blob, unwanted }) as Box<dyn Read + Send>)
        };
        let mut progress = |done| self.sent.store(done, Ordering::Relaxed);
        let begun = self.registry.begin_blob(&self.repository, &content, &mut progress);
        if let Err(unheard) = outcome.send(begun.ok())
            && let Some(begun) = unheard.0
        {
            self.registry.abandon(&self.repository, &begun);
        }
    }
}

/// The bytes of a layer as long as somebody wants them to be sent.
struct Wanted {
    blob: Follower,
    unwanted: Arc<AtomicBool>,
}

impl Read for Wanted {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.unwanted.load(Ordering::Relaxed) {
            true => Err(io::Error::other("nobody wants it any more")),
            false => self.blob.read(room),
        }
    }
}

#[cfg(test)]
mod tests;
