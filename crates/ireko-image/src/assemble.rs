//! A build's result made whole: the config with its layers and times.

use std::collections::BTreeMap;

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
    /// What its manifest says beside, where one is written in the form of OCI.
    pub annotations: BTreeMap<String, String>,
}

/// Gives a planned config its layers (all, bottom first, each with the time of its making where that is known) and its
/// times. History entries that have a time already, the base's, keep it. One without a layer has the time of the layer
/// before it, or of the first layer that is this build's, as with BuildKit: so an image none of whose steps ran again is
/// the same image. `epoch` overrides all. An image without any layer has no time unless its base has one.
pub fn assemble(
    config: ImageConfig,
    layers: &[(Digest, Option<Timestamp>)],
    epoch: Option<Timestamp>,
) -> Assembled {
    let mut config = config;
    config.rootfs.diff_ids = layers.iter().map(|(diff, _)| *diff).collect();
    settle_history(&mut config.history, layers.len());
    let mut times = layers.iter().map(|(_, made)| *made);
    for entry in &mut config.history {
        let made = if entry.empty_layer { None } else { times.next().flatten() };
        entry.created = entry.created.or(epoch).or(made);
    }
    date_the_rest(&mut config.history);
    let last = config.history.iter().rev().find_map(|entry| entry.created);
    config.created = epoch.or(last).or(config.created);
    let bytes = config.to_json();
    let id = Digest::of(&bytes);
    Assembled { config, bytes, id, annotations: BTreeMap::new() }
}

/// Gives entries without a time that of the layer before them; those before the first layer after them, that one's.
fn date_the_rest(history: &mut [History]) {
    let begin = history.iter().position(|entry| entry.created.is_none()).unwrap_or(history.len());
    let (told, rest) = history.split_at_mut(begin);
    let first = rest.iter().find_map(|entry| entry.created);
    let mut current = first.or_else(|| told.iter().rev().find_map(|entry| entry.created));
    for entry in rest {
        match entry.created {
            Some(time) => current = Some(time),
            None => entry.created = current,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints each history entry's time, and the config's.
    fn check(history: &[(Option<i64>, bool)], times: &[Option<i64>], epoch: Option<i64>, expect: &str) {
        let at = |seconds: i64| Timestamp::from_unix(seconds, 0);
        let mut config = ImageConfig::default();
        config.history.extend(history.iter().map(|(created, empty_layer)| History {
            created: created.map(at),
            empty_layer: *empty_layer,
            ..History::default()
        }));
        let layers: Vec<_> =
            times.iter().enumerate().map(|(n, time)| (Digest::of(&[n as u8]), time.map(at))).collect();
        let made = assemble(config, &layers, epoch.map(at));
        let show = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| time.seconds().to_string());
        let mut text: Vec<String> = Vec::new();
        for entry in &made.config.history {
            text.push(format!("{}{}", show(entry.created), if entry.empty_layer { "e" } else { "" }));
        }
        assert_eq!(format!("{} | {}", text.join(" "), show(made.config.created)), expect);
        assert_eq!(made.id, Digest::of(&made.bytes));
        assert_eq!(made.config.rootfs.diff_ids.len(), times.len());
    }

    #[test]
    fn entries_have_the_times_of_their_layers() {
        check(
            &[(Some(5), false), (None, true), (None, false), (None, true)],
            &[None, Some(9)],
            None,
            "5 9e 9 9e | 9",
        );
        check(&[(Some(5), false), (None, false)], &[None, Some(9)], Some(7), "5 7 | 7");
        check(&[(Some(5), true), (None, true)], &[], None, "5e 5e | 5");
        check(
            &[(Some(5), false), (None, true), (None, false), (None, true), (None, false)],
            &[None, Some(8), Some(9)],
            None,
            "5 8e 8 8e 9 | 9",
        );
        check(&[(None, true), (None, false)], &[Some(9)], None, "9e 9 | 9");
        check(&[(None, true)], &[], None, "-e | -");
    }

    #[test]
    fn bases_that_tell_less_or_more_than_they_have_are_mended() {
        check(&[(None, false)], &[None, Some(9)], None, "9 9 | 9");
        check(&[(Some(4), false), (None, false)], &[Some(9)], None, "4e 9 | 9");
        check(&[], &[None], None, " | -");
    }
}
