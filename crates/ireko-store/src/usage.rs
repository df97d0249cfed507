//! What takes the space, by kind and thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ireko_oci::Digest;

use crate::disk::{self, Hold};
use crate::error::Result;
use crate::inventory::RecordItem;
use crate::lease::{self, Object};
use crate::prune::{SMALL, made, needs};
use crate::record::Origin;
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
    /// A copy of a git repository.
    Repository,
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
            Self::Repository => "repository",
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
    /// Whether it is a second form of a layer, which goes where all goes that can be made again from what is here.
    pub spare: bool,
    /// Whether a process that runs now holds it.
    pub in_use: bool,
    /// Whose step made it, where a record says so.
    pub origin: Option<Origin>,
    /// How many things the row stands for.
    pub count: u64,
}

impl UsageKind {
    /// All of them, in the order of lists.
    pub const ALL: [Self; 11] = [
        Self::Image,
        Self::Blob,
        Self::Layer,
        Self::Tar,
        Self::Snapshot,
        Self::CacheMount,
        Self::Repository,
        Self::Record,
        Self::StatCache,
        Self::Log,
        Self::Temporary,
    ];
}

impl Store {
    /// What takes the space: a row for each image, blob, layer form and cache mount, one for the records of each stage
    /// of each project, and one for each kind of other small files.
    pub fn du(&self) -> Result<Vec<Usage>> {
        let held = {
            let _gc = disk::lock(&self.layout.lock("gc"), Hold::Shared)?;
            lease::held_by_the_living(&self.layout, None)?
        };
        let records = self.record_items()?;
        let layers = self.layer_items()?;
        let images = self.images()?;
        let mut needed = BTreeSet::new();
        for row in images.iter().filter(|row| row.is_named()) {
            needed.extend(needs(&row.image));
        }
        let forms = layers.iter().filter(|item| needed.contains(&Object::Layer(item.diff)));
        let blobs: Vec<Object> =
            forms.flat_map(|item| item.all_blobs()).map(|blob| Object::Blob(blob.digest)).collect();
        needed.extend(blobs);
        let mut rows = Vec::new();
        for row in &images {
            let path = self.layout.image_id(&row.image.id);
            let mut bytes = disk::bytes_of(&path);
            bytes += row.names.iter().map(|name| disk::bytes_of(&self.layout.image_name(name))).sum::<u64>();
            rows.push(Usage {
                tagged: row.is_named(),
                in_use: held.contains(&Object::Blob(row.image.id)),
                ..Usage::new(UsageKind::Image, row.image.id.short(), bytes, disk::modified(&path))
            });
        }
        let made = made(&records);
        for item in &layers {
            let object = Object::Layer(item.diff);
            let row = |kind, bytes| Usage {
                tagged: needed.contains(&object),
                in_use: held.contains(&object),
                origin: made.get(&item.diff).map(|made| made.origin.clone()),
                ..Usage::new(kind, item.diff.short(), bytes, item.used)
            };
            rows.push(row(UsageKind::Layer, item.own));
            let is_blob = !item.blobs.is_empty();
            rows.extend(item.tar.map(|bytes| Usage { spare: is_blob, ..row(UsageKind::Tar, bytes) }));
            let unpacked = item.snapshots.iter().map(|snapshot| row(UsageKind::Snapshot, snapshot.bytes));
            rows.extend(unpacked.map(|row| Usage { spare: item.packed(), ..row }));
        }
        let of: BTreeMap<Digest, Digest> =
            layers.iter().flat_map(|item| item.all_blobs().map(|blob| (blob.digest, item.diff))).collect();
        for item in self.blob_items()? {
            let object = Object::Blob(item.digest);
            let layer = of.get(&item.digest);
            rows.push(Usage {
                tagged: needed.contains(&object),
                in_use: held.contains(&object)
                    || layer.is_some_and(|diff| held.contains(&Object::Layer(*diff))),
                origin: layer.and_then(|diff| made.get(diff)).map(|made| made.origin.clone()),
                ..Usage::new(UsageKind::Blob, item.digest.short(), item.bytes, item.used)
            });
        }
        for item in self.mount_items()? {
            let row = Usage::new(item.kind(), item.id, item.bytes, item.used);
            rows.push(Usage { in_use: is_mount_used(&item.path), ..row });
        }
        rows.extend(of_records(&records));
        self.small_usage(&mut rows)?;
        Ok(rows)
    }

    fn small_usage(&self, rows: &mut Vec<Usage>) -> Result<()> {
        for (dir, kind) in SMALL {
            let items = self.small_items(dir)?;
            let bytes = items.iter().map(|item| item.bytes).sum();
            let used = items.iter().map(|item| item.used).max().unwrap_or_default();
            let row = Usage::new(kind, dir.to_owned(), bytes, used);
            rows.push(Usage { count: items.len() as u64, ..row });
        }
        for dir in ["tmp", "trash"] {
            let path = self.layout.dir(dir);
            let count = disk::names(&path)?.len() as u64;
            let row = Usage::new(
                UsageKind::Temporary,
                dir.to_owned(),
                disk::bytes_below(&path),
                disk::modified(&path),
            );
            rows.push(Usage { count, in_use: dir == "tmp" && count > 0, ..row });
        }
        Ok(())
    }
}

impl Usage {
    fn new(kind: UsageKind, name: String, bytes: u64, last_used: i64) -> Self {
        Self {
            kind,
            name,
            bytes,
            last_used,
            tagged: false,
            spare: false,
            in_use: false,
            origin: None,
            count: 1,
        }
    }
}

/// A row for the records of each stage.
fn of_records(records: &[RecordItem]) -> Vec<Usage> {
    let mut rows: BTreeMap<&Origin, Usage> = BTreeMap::new();
    for item in records {
        let row = rows.entry(&item.origin).or_insert_with(|| {
            let known = !item.origin.project.is_empty() || !item.origin.stage.is_empty();
            let row = Usage::new(UsageKind::Record, "records, inputs".to_owned(), 0, 0);
            Usage { count: 0, origin: known.then(|| item.origin.clone()), ..row }
        });
        row.count += 1;
        row.bytes += item.bytes;
        row.last_used = row.last_used.max(item.used);
    }
    rows.into_values().collect()
}

fn is_mount_used(place: &std::path::Path) -> bool {
    let names = disk::names(place).unwrap_or_default();
    let mut locks = names.iter().filter(|name| name.ends_with(".lock")).map(|name| place.join(name));
    locks.any(|path| matches!(disk::try_lock(&path, Hold::Exclusive), Ok(None)))
}
