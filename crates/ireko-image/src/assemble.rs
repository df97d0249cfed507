//! A build's result made whole: the config with its layers and times.

use ireko_oci::{Digest, History, ImageConfig, Reference, Timestamp};
use ireko_store::{Image, NewImage, Store};

use crate::error::Result;

/// An image whose config is final.
#[derive(Clone, Debug, PartialEq)]
pub struct Assembled {
    /// The config.
    pub config: ImageConfig,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their digest: the image id.
    pub id: Digest,
}

/// Gives a planned config its layers (all, bottom first, each with the time of its making where that is known) and its
/// times. History entries that have a time already, the base's, keep it; one without a layer has the time of the entry
/// before it, as with BuildKit, so an image none of whose steps ran again is the same image. `epoch` overrides all.
pub fn assemble(
    config: ImageConfig,
    layers: &[(Digest, Option<Timestamp>)],
    epoch: Option<Timestamp>,
) -> Assembled {
    let mut config = config;
    config.rootfs.diff_ids = layers.iter().map(|(diff, _)| *diff).collect();
    settle_history(&mut config.history, layers.len());
    let mut times = layers.iter().map(|(_, made)| *made);
    let mut last = config.created.unwrap_or(Timestamp::EPOCH);
    for entry in &mut config.history {
        let made = if entry.empty_layer { None } else { times.next().flatten() };
        last = entry.created.or(epoch).or(made).unwrap_or(last);
        entry.created = Some(last);
    }
    config.created = Some(epoch.unwrap_or(last));
    let bytes = config.to_json();
    let id = Digest::of(&bytes);
    Assembled { config, bytes, id }
}

/// As many entries with a layer as there are layers. Some bases tell less, or more, than they have.
fn settle_history(history: &mut Vec<History>, layers: usize) {
    let told = history.iter().filter(|entry| !entry.empty_layer).count();
    for entry in history.iter_mut().filter(|entry| !entry.empty_layer).take(told.saturating_sub(layers)) {
        entry.empty_layer = true;
    }
    if history.is_empty() {
        return;
    }
    // What is not told belongs to the bottom: the steps of this build tell of all their layers.
    let missing = layers.saturating_sub(told);
    history.splice(0..0, std::iter::repeat_n(History::default(), missing));
}

/// Keeps an image in the store under these names. Layers that are not there yet may be brought later.
pub fn keep(store: &Store, image: &Assembled, names: &[Reference]) -> Result<Image> {
    let names: Vec<String> = names.iter().map(|name| name.or_latest().to_string()).collect();
    Ok(store.put_image(&names, &NewImage { config: &image.bytes, manifest: None })?)
}
