//! Compression that begins while later steps run.

use ireko_image::Destination;
use ireko_layer::Compression;
use ireko_oci::Digest;
use ireko_store::Store;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// What is told of a new layer.
pub(crate) type OnLayer = Box<dyn Fn(Digest) + Send + Sync>;

/// A thread that compresses layers as the destinations of a build will want them.
pub(crate) struct Ahead {
    worker: JoinHandle<()>,
}

impl Ahead {
    /// Starts it, where some destination wants compressed layers.
    pub(crate) fn start(store: &Arc<Store>, destinations: &[Destination]) -> Option<(Self, OnLayer)> {
        let mut wanted: Vec<Option<Compression>> = destinations
            .iter()
            .filter(|destination| destination.form.is_archive())
            .map(|destination| destination.compression)
            .filter(|how| *how != Some(Compression::None))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return None;
        }
        let (layers, inbox): (Sender<Digest>, _) = channel();
        let store = Arc::clone(store);
        let worker = std::thread::spawn(move || {
            // What fails here is told by the export, which tries again.
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            for layer in inbox {
                for how in &wanted {
                    let _ = ireko_image::prepare(&store, &layer, *how, threads);
                }
            }
        });
        let on_layer = move |layer| {
            // The worker ends only after this end of the channel does.
            let _ = layers.send(layer);
        };
        Some((Self { worker }, Box::new(on_layer)))
    }

    /// Waits until all it was told of is compressed. The teller must be gone by now.
    pub(crate) fn finish(self) {
        let _ = self.worker.join();
    }
}
