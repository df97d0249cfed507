//! Which of what may go goes first, where there is a size to be kept.
//!
//! A thing is worth the time that it takes to make again, for each byte that it takes, and the less the longer nobody
//! used it: `seconds / (bytes × age)`. What is worth least goes first.

use std::path::Path;

use ireko_oci::Digest;

use super::notes::{Note, Notes, SMALL};
use super::sweep::Sweep;
use crate::error::{Error, Result};
use crate::inventory::{BlobItem, LayerItem, MountItem};
use crate::lease::Object;
use crate::usage::UsageKind;

/// Something that can go.
struct Candidate {
    worth: f64,
    what: Evictable,
}

#[derive(Clone, Copy)]
enum Evictable {
    Layer(usize),
    Snapshots(usize),
    Tar(usize),
    Blob(usize),
    Mount(usize),
    Note(Note),
}

/// Seconds to make a thing again, where no record says it.
mod seconds {
    /// For each byte that comes from elsewhere: a registry, or what a step fetches into a cache mount.
    pub(super) const FETCHED: f64 = 1.0 / 10e6;
    /// For each byte that is unpacked from a tar that is here.
    pub(super) const UNPACKED: f64 = 1.0 / 200e6;
    /// For each byte of a tar whose blob is here.
    pub(super) const INFLATED: f64 = 1.0 / 300e6;
    /// At least so much: a step or a fetch has to be begun.
    pub(super) const LEAST: f64 = 1e-3;
    /// A note that only explains, or spares a look at what is here.
    pub(super) const NOTE: f64 = 1e-4;
}

/// What a thing is worth.
fn worth(seconds: f64, bytes: u64, age: i64) -> f64 {
    // Use is noted to the hour.
    let age = age.max(3600) as f64;
    seconds.max(f64::MIN_POSITIVE) / (bytes.max(1) as f64 * age)
}

impl Sweep<'_> {
    /// Drops what is worth least until the rest fits.
    pub(super) fn down_to_size(&mut self, notes: &mut Notes) -> Result<()> {
        if self.plan.max_size.is_none() && self.plan.min_free.is_none() {
            return Ok(());
        }
        let mut left = self.left(notes)?;
        let limit = self.limit(left)?;
        if left > limit {
            let mut candidates = self.candidates(notes);
            candidates.sort_by(|one, other| one.worth.total_cmp(&other.worth));
            for candidate in candidates {
                if left <= limit {
                    break;
                }
                left = left.saturating_sub(self.evict(candidate.what, notes)?);
            }
        }
        self.pruned.missed = (left > limit).then_some((limit, left));
        Ok(())
    }

    /// What the store takes without what has gone, or would have.
    fn left(&self, notes: &Notes) -> Result<u64> {
        let forms = |item: &LayerItem| {
            let unpacked: u64 = item.snapshots.iter().map(|snapshot| snapshot.bytes).sum();
            item.own + item.tar.unwrap_or(0) + unpacked
        };
        let layers: u64 = self.layers.iter().map(forms).sum();
        let blobs: u64 = self.blobs.iter().map(|item| item.bytes).sum();
        let mounts: u64 = self.mounts.iter().map(|item| item.bytes).sum();
        Ok(layers + blobs + mounts + notes.bytes() + self.rest()?)
    }

    /// How much may be left.
    fn limit(&self, left: u64) -> Result<u64> {
        let mut limit = self.plan.max_size.unwrap_or(u64::MAX);
        if let Some(wanted) = self.plan.min_free {
            let free = free_bytes(self.store.layout.home())?;
            // What has gone already is not deleted yet.
            let trash = crate::disk::bytes_below(&self.store.layout.dir("trash"));
            limit = limit.min(left.saturating_sub(wanted.saturating_sub(free.saturating_add(trash))));
        }
        Ok(limit.max(self.plan.reserved))
    }

    fn candidates(&self, notes: &Notes) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        self.add_layers(&mut candidates);
        let now = self.store.options.now.secs;
        for (at, item) in self.blobs.iter().enumerate() {
            if !self.is_kept(&Object::Blob(item.digest)) && self.blob_may_go(item) {
                let worth = worth(item.bytes as f64 * seconds::FETCHED, item.bytes, now - item.used);
                candidates.push(Candidate { worth, what: Evictable::Blob(at) });
            }
        }
        for (at, item) in self.mounts.iter().enumerate().filter(|(_, item)| self.mount_may_go(item)) {
            let worth = worth(item.bytes as f64 * seconds::FETCHED, item.bytes, now - item.used);
            candidates.push(Candidate { worth, what: Evictable::Mount(at) });
        }
        let mut note = |note: Note, seconds: f64, bytes: u64, used: i64| {
            if bytes > 0 && notes.may_go(note, self.plan, now) {
                let worth = worth(seconds, bytes, now - used);
                candidates.push(Candidate { worth, what: Evictable::Note(note) });
            }
        };
        for (at, item) in notes.records.iter().enumerate() {
            let seconds = (item.took_ms as f64 / 1000.0).max(seconds::LEAST);
            note(Note::Record(at), seconds, item.bytes, item.used);
        }
        for (dir, items) in notes.small.iter().enumerate() {
            let seconds = match SMALL[dir].1 {
                // Nothing is lost with a log.
                UsageKind::Log => 0.0,
                _ => seconds::NOTE,
            };
            for (at, item) in items.iter().enumerate() {
                note(Note::Small(dir, at), seconds, item.bytes, item.used);
            }
        }
        candidates
    }

    fn add_layers(&self, candidates: &mut Vec<Candidate>) {
        let now = self.store.options.now.secs;
        for (at, item) in self.layers.iter().enumerate() {
            let object = Object::Layer(item.diff);
            if self.held.contains(&object) {
                continue;
            }
            let made = self.made.get(&item.diff);
            let fits = |kind| {
                self.plan.conditions.is_empty() || self.may_go(kind, &item.diff.hex(), made, item.used)
            };
            let age = now - item.used;
            let unpacked: u64 = item.snapshots.iter().map(|snapshot| snapshot.bytes).sum();
            if item.packed() && unpacked > 0 && fits(UsageKind::Snapshot) {
                let worth = worth(unpacked as f64 * seconds::UNPACKED, unpacked, age);
                candidates.push(Candidate { worth, what: Evictable::Snapshots(at) });
            }
            if let Some(bytes) = item.tar.filter(|_| !item.blobs.is_empty() && fits(UsageKind::Tar)) {
                let worth = worth(bytes as f64 * seconds::INFLATED, bytes, age);
                candidates.push(Candidate { worth, what: Evictable::Tar(at) });
            }
            if !self.needed.contains(&object) && fits(UsageKind::Layer) {
                let blobs: u64 = item.all_blobs().map(|blob| blob.size).sum();
                let bytes = item.own + item.tar.unwrap_or(0) + unpacked + blobs;
                let seconds = match made {
                    Some(made) => (made.took_ms as f64 / 1000.0).max(seconds::LEAST),
                    None => bytes as f64 * seconds::FETCHED,
                };
                let worth = worth(seconds, bytes, age);
                candidates.push(Candidate { worth, what: Evictable::Layer(at) });
            }
        }
    }

    fn blob_may_go(&self, item: &BlobItem) -> bool {
        self.plan.conditions.is_empty() || self.may_go(UsageKind::Blob, &item.digest.hex(), None, item.used)
    }

    /// Drops one; tells the bytes.
    fn evict(&mut self, what: Evictable, notes: &mut Notes) -> Result<u64> {
        match what {
            Evictable::Note(note) => Ok(notes.take(note, self.pruned)),
            Evictable::Mount(at) => {
                let item: MountItem = self.mounts[at].clone();
                self.drop_mount(&item)
            }
            Evictable::Blob(at) => {
                let digest = self.blobs[at].digest;
                Ok(self.drop_nameless(&Object::Blob(digest))? + self.drop_blob(&digest)?)
            }
            Evictable::Snapshots(at) => self.with_layer(at, Self::drop_snapshots),
            Evictable::Tar(at) => self.with_layer(at, Self::drop_tar),
            Evictable::Layer(at) => self.with_layer(at, |sweep, item| {
                let mut bytes = sweep.drop_nameless(&Object::Layer(item.diff))?;
                bytes += sweep.drop_layer(item)?;
                let digests: Vec<Digest> = item.all_blobs().map(|blob| blob.digest).collect();
                for digest in digests {
                    sweep.needed.remove(&Object::Blob(digest));
                    bytes += sweep.drop_nameless(&Object::Blob(digest))? + sweep.drop_blob(&digest)?;
                }
                Ok(bytes)
            }),
        }
    }

    fn with_layer(
        &mut self,
        at: usize,
        deed: impl FnOnce(&mut Self, &mut LayerItem) -> Result<u64>,
    ) -> Result<u64> {
        let mut item = self.layers[at].clone();
        if item.gone {
            return Ok(0);
        }
        let bytes = deed(self, &mut item)?;
        self.layers[at] = item;
        Ok(bytes)
    }
}

/// What anybody may still write to the file system of a directory.
fn free_bytes(dir: &Path) -> Result<u64> {
    let stat =
        rustix::fs::statvfs(dir).map_err(|cause| Error::io("ask for the free space of", dir, cause))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
