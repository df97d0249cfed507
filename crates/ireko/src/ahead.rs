//! Compression and pushing that go on while steps run.

use ireko_exec::{LastLayer, Packing};
use ireko_image::{Destination, Images, LayerDraft, PushAs};
use ireko_layer::Compression;
use ireko_oci::{Digest, Reference};
use ireko_store::Store;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// Threads that compress layers, and push them, as the destinations of a build will want them.
pub(crate) struct Ahead {
    workers: Vec<JoinHandle<()>>,
}

/// What the build tells.
pub(crate) struct Told {
    layers: Sender<Digest>,
    store: Arc<Store>,
    wanted: Vec<Option<Compression>>,
    threads: usize,
}

/// What is pushed: names, and in which form.
pub(crate) type Pushes = Vec<(Vec<Reference>, PushAs)>;

impl Ahead {
    /// Starts it, where some destination wants compressed layers, or some registry wants layers. Whose a layer is, of
    /// several targets, is not known here: then the export sends it.
    pub(crate) fn start(
        images: &Arc<Images>,
        destinations: &[Destination],
        pushes: Pushes,
        targets: usize,
    ) -> (Option<Self>, Option<Box<dyn Packing>>) {
        let (store, sink) = (images.store(), Arc::clone(images.sink()));
        let archives = destinations
            .iter()
            .filter(|destination| destination.form.is_archive())
            .map(|destination| destination.compression);
        let mut wanted: Vec<Option<Compression>> = archives
            .chain(pushes.iter().map(|(_, how)| how.compression))
            .filter(|how| *how != Some(Compression::None))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() && pushes.is_empty() {
            return (None, None);
        }
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let (layers, inbox): (Sender<Digest>, _) = channel();
        let (ready, outbox): (Sender<Digest>, _) = channel();
        let told = Told { layers, store: Arc::clone(store), wanted: wanted.clone(), threads };
        let store = Arc::clone(store);
        let packer = std::thread::spawn(move || {
            // What fails here is told by the export, which tries again.
            for layer in inbox {
                for how in &wanted {
                    let _ = ireko_image::prepare(&store, &layer, *how, threads, &*sink);
                }
                let _ = ready.send(layer);
            }
        });
        let images = Arc::clone(images);
        let pusher = std::thread::spawn(move || {
            for layer in outbox {
                for (names, how) in pushes.iter().filter(|_| targets == 1) {
                    images.push_ahead(&layer, names, *how, threads);
                }
            }
        });
        (Some(Self { workers: vec![packer, pusher] }), Some(Box::new(told)))
    }

    /// Waits until all it was told of is done. The teller must be gone by now.
    pub(crate) fn finish(self) {
        for worker in self.workers {
            let _ = worker.join();
        }
    }
}

impl Packing for Told {
    fn decided(&self, diff: Digest) {
        // The worker ends only after this end of the channel does.
        let _ = self.layers.send(diff);
    }

    fn last_layer(&self) -> Vec<Box<dyn LastLayer + '_>> {
        let begin = |how: &Option<Compression>| LayerDraft::begin(&self.store, *how, self.threads).ok();
        let takers = self.wanted.iter().filter_map(begin).map(|draft| Taker { draft: Some(draft) });
        takers.map(|taker| Box::new(taker) as Box<dyn LastLayer>).collect()
    }
}

/// A layer being compressed, until that fails.
struct Taker<'a> {
    draft: Option<LayerDraft<'a>>,
}

impl Write for Taker<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(draft) = &mut self.draft
            && draft.write_all(bytes).is_err()
        {
            self.draft = None;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LastLayer for Taker<'_> {
    fn keep(self: Box<Self>, diff: &Digest) {
        let _ = self.draft.map(|draft| draft.keep(diff));
    }
}
