//! What is kept by its age alone and may be missed at any time: records, slots, trees, memos, file hashes, logs.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;

use ireko_oci::{Digest, Key};

use super::{Facts, PrunePlan, Pruned};
use crate::error::Result;
use crate::inventory::{RecordItem, SmallItem};
use crate::record::Origin;
use crate::scan;
use crate::store::Store;
use crate::usage::UsageKind;

/// Directories of small files, and what they count as.
pub(crate) const SMALL: [(&str, UsageKind); 6] = [
    ("trees", UsageKind::Record),
    ("steps", UsageKind::Record),
    // Those of earlier versions: nothing reads them any more.
    ("slots", UsageKind::Record),
    ("memo", UsageKind::Record),
    ("stat", UsageKind::StatCache),
    ("logs", UsageKind::Log),
];

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Record(usize),
    /// A directory of [`SMALL`], and the position in its list.
    Small(usize, usize),
}

/// All of them, as they were when they were read.
pub(super) struct Notes {
    pub(super) records: Vec<RecordItem>,
    pub(super) small: Vec<Vec<SmallItem>>,
    /// What goes, and the bytes of it.
    victims: Vec<(Note, u64)>,
}

/// What making a layer took, and who made it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    pub(crate) took_ms: u64,
    pub(crate) origin: Origin,
    pub(crate) name: String,
}

impl Notes {
    pub(super) fn read(store: &Store) -> Result<Self> {
        let records = store.record_items()?;
        let of = |(dir, kind): &(&str, UsageKind)| {
            let mut items = store.small_items(dir)?;
            if *kind == UsageKind::Log {
                items.retain(|item| !is_written(&store.layout.dir(dir).join(&item.name)));
            }
            Ok(items)
        };
        let small = SMALL.iter().map(of).collect::<Result<_>>()?;
        Ok(Self { records, small, victims: Vec::new() })
    }

    /// Chooses those whose time is over.
    pub(super) fn expire(&mut self, store: &Store, plan: &PrunePlan, pruned: &mut Pruned) -> Result<()> {
        let now = store.options.now.secs;
        let cutoff = plan.cutoff(now);
        let mut victims: Vec<Note> = Vec::new();
        for (at, item) in self.records.iter().enumerate() {
            if item.used <= cutoff {
                victims.push(Note::Record(at));
            }
        }
        for (dir, items) in self.small.iter().enumerate() {
            // A log may be one that nothing has been written to yet.
            let may_be_empty = SMALL[dir].1 == UsageKind::Log;
            let expired = |item: &SmallItem| item.used <= cutoff || (item.is_empty && !may_be_empty);
            let chosen = items.iter().enumerate().filter(|(_, item)| expired(item));
            victims.extend(chosen.map(|(at, _)| Note::Small(dir, at)));
        }
        victims.retain(|note| self.may_go(*note, plan, now));
        for note in victims {
            self.take(note, pruned);
        }
        // Before anything waits for a lock.
        self.remove(store, plan, pruned)
    }

    pub(super) fn may_go(&self, note: Note, plan: &PrunePlan, now: i64) -> bool {
        if plan.conditions.is_empty() {
            return true;
        }
        match note {
            Note::Record(at) => {
                let item = &self.records[at];
                let (kind, key) = (UsageKind::Record, item.key.hex());
                let origin = Some(&item.origin);
                plan.fits(&Facts { kind, name: &key, text: &item.name, origin, used: item.used }, now)
            }
            Note::Small(dir, at) => {
                let (item, kind) = (&self.small[dir][at], SMALL[dir].1);
                plan.fits(&Facts { kind, name: &item.name, text: "", origin: None, used: item.used }, now)
            }
        }
    }

    /// Chooses one; tells what it takes. It takes nothing then.
    pub(super) fn take(&mut self, note: Note, pruned: &mut Pruned) -> u64 {
        let (kind, name, bytes) = match note {
            Note::Record(at) => {
                let item = &mut self.records[at];
                (UsageKind::Record, item.name.as_str(), &mut item.bytes)
            }
            Note::Small(dir, at) => {
                let item = &mut self.small[dir][at];
                (SMALL[dir].1, item.name.rsplit('/').next().unwrap_or_default(), &mut item.bytes)
            }
        };
        let bytes = std::mem::take(bytes);
        pruned.note(kind, name, bytes);
        self.victims.push((note, bytes));
        bytes
    }

    /// What all of them take that were not chosen.
    pub(super) fn bytes(&self) -> u64 {
        let records: u64 = self.records.iter().map(|item| item.bytes).sum();
        records + self.small.iter().flatten().map(|item| item.bytes).sum::<u64>()
    }

    /// Removes those that were chosen since the last time.
    pub(super) fn remove(&mut self, store: &Store, plan: &PrunePlan, pruned: &mut Pruned) -> Result<()> {
        let mut records: (Vec<String>, Vec<u64>) = Default::default();
        let mut inputs: (Vec<String>, Vec<u64>) = Default::default();
        let mut small: [(Vec<String>, Vec<u64>); SMALL.len()] = Default::default();
        for (note, size) in std::mem::take(&mut self.victims) {
            let ((names, sizes), name) = match note {
                Note::Record(at) if self.records[at].has_inputs => {
                    // Counted once, with the inputs.
                    records.0.push(fanned(self.records[at].key));
                    records.1.push(0);
                    (&mut inputs, fanned(self.records[at].key))
                }
                Note::Record(at) => (&mut records, fanned(self.records[at].key)),
                Note::Small(dir, at) => (&mut small[dir], self.small[dir][at].name.clone()),
            };
            names.push(name);
            sizes.push(size);
        }
        if plan.dry_run {
            return Ok(());
        }
        // The record first: inputs without one explain nothing, and count as one that is garbled.
        let records = [("records", &records), ("inputs", &inputs)];
        let small = SMALL.iter().map(|(dir, _)| *dir).zip(&small);
        for (dir, (names, sizes)) in records.into_iter().chain(small) {
            let gone = scan::unlink(&store.layout.dir(dir), names)?;
            pruned.freed += gone.iter().map(|at| sizes[*at]).sum::<u64>();
        }
        Ok(())
    }

    /// Who made each layer: of several records the one that took longest.
    pub(super) fn made(&self) -> BTreeMap<Digest, Made> {
        made(&self.records)
    }
}

/// The same of these records.
pub(crate) fn made(records: &[RecordItem]) -> BTreeMap<Digest, Made> {
    let mut made: BTreeMap<Digest, Made> = BTreeMap::new();
    for item in records {
        let Some(diff) = item.diff else { continue };
        let known = made.get(&diff).is_some_and(|known| known.took_ms >= item.took_ms);
        if !known {
            let (origin, name) = (item.origin.clone(), item.name.clone());
            made.insert(diff, Made { took_ms: item.took_ms, origin, name });
        }
    }
    made
}

/// Whether a step still writes to a log.
fn is_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn fanned(key: Key) -> String {
    let hex = key.hex();
    format!("{}/{hex}", &hex[..2])
}
