//! What takes the space, by kind and thing.

use std::collections::BTreeSet;
use std::fmt;

use crate::disk::{self, Hold};
use crate::error::Result;
use crate::lease::{self, Object};
use crate::store::Store;

/// A kind of thing that takes space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageKind {
    /// An image's entry.
    Image,
    /// A compressed layer, a config or a manifest.
    Blob,
    /// What is known of a layer: its index.
    Layer,
    /// A layer's uncompressed tar.
    Tar,
    /// An unpacked layer.
    Snapshot,
    /// A cache mount.
    CacheMount,
    /// Records of steps, their inputs, trees and memos.
    Record,
    /// Known hashes of a context's files.
    StatCache,
    /// Logs of steps.
    Log,
    /// Drafts of processes at work, and what waits for deletion.
    Temporary,
}

impl UsageKind {
    /// Its name in lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Blob => "blob",
            Self::Layer => "layer index",
            Self::Tar => "layer tar",
            Self::Snapshot => "unpacked layer",
            Self::CacheMount => "cache mount",
            Self::Record => "record",
            Self::StatCache => "file hashes",
            Self::Log => "log",
            Self::Temporary => "temporary",
        }
    }
}

impl fmt::Display for UsageKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One row of what takes the space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What it is.
    pub kind: UsageKind,
    /// Which one.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Seconds since 1970 of the last use, as far as it is noted (to the hour).
    pub last_used: i64,
    /// Whether a tagged image needs it.
    pub tagged: bool,
    /// Whether a process that runs now holds it.
    pub in_use: bool,
}

impl Store {
    /// What takes the space: a row for each blob, layer form and cache mount, and one for each kind of small file.
    pub fn du(&self) -> Result<Vec<Usage>> {
        let held = {
            let _gc = disk::lock(&self.layout.lock("gc"), Hold::Shared)?;
            lease::held_by_the_living(&self.layout, None)?
        };
        let mut needed = BTreeSet::new();
        for row in self.images()?.iter().filter(|row| row.is_named()) {
            needed.extend(row.image.diff_ids.iter().copied().map(Object::Layer));
            needed.extend([Some(row.image.id), row.image.manifest].into_iter().flatten().map(Object::Blob));
            for diff in &row.image.diff_ids {
                needed.extend(self.layer_item(*diff)?.blobs.iter().map(|blob| Object::Blob(blob.digest)));
            }
        }
        self.usage(&held, &needed)
    }

    pub(crate) fn usage(&self, held: &BTreeSet<Object>, needed: &BTreeSet<Object>) -> Result<Vec<Usage>> {
        let mut rows = Vec::new();
        for item in self.blob_items()? {
            let object = Object::Blob(item.digest);
            rows.push(Usage {
                kind: UsageKind::Blob,
                name: item.digest.short(),
                bytes: item.bytes,
                last_used: item.used,
                tagged: needed.contains(&object),
                in_use: held.contains(&object),
            });
        }
        for item in self.layer_items()? {
            let object = Object::Layer(item.diff);
            let row = |kind, bytes| Usage {
                kind,
                name: item.diff.short(),
                bytes,
                last_used: item.used,
                tagged: needed.contains(&object),
                in_use: held.contains(&object),
            };
            rows.push(row(UsageKind::Layer, item.own));
            rows.extend(item.tar.map(|bytes| row(UsageKind::Tar, bytes)));
            rows.extend(item.snapshots.iter().map(|snapshot| row(UsageKind::Snapshot, snapshot.bytes)));
        }
        for item in self.mount_items()? {
            rows.push(Usage {
                kind: UsageKind::CacheMount,
                name: item.id,
                bytes: item.bytes,
                last_used: item.used,
                tagged: false,
                in_use: is_mount_used(&item.path),
            });
        }
        self.small_usage(&mut rows);
        Ok(rows)
    }

    fn small_usage(&self, rows: &mut Vec<Usage>) {
        const DIRECTORIES: [(UsageKind, &[&str]); 5] = [
            (UsageKind::Image, &["images"]),
            (UsageKind::Record, &["records", "inputs", "trees", "slots", "memo"]),
            (UsageKind::StatCache, &["stat"]),
            (UsageKind::Log, &["logs"]),
            (UsageKind::Temporary, &["tmp", "trash"]),
        ];
        for (kind, names) in DIRECTORIES {
            let dirs = names.iter().map(|name| self.layout.dir(name));
            let (bytes, last_used) = dirs.fold((0, 0), |(bytes, used), dir| {
                (bytes + disk::bytes_below(&dir), disk::modified(&dir).max(used))
            });
            rows.push(Usage { kind, name: names.join(", "), bytes, last_used, tagged: false, in_use: false });
        }
    }
}

fn is_mount_used(place: &std::path::Path) -> bool {
    let names = disk::names(place).unwrap_or_default();
    let mut locks = names.iter().filter(|name| name.ends_with(".lock")).map(|name| place.join(name));
    locks.any(|path| matches!(disk::try_lock(&path, Hold::Exclusive), Ok(None)))
}
