//! What lies in the store, read without judging whether it is whole: for what counts, collects and checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ireko_layer::{Index, Kind};
use ireko_oci::{Digest, Key};

use crate::disk;
use crate::error::Result;
use crate::layer::{BlobForm, LayerFile};
use crate::record::{Origin, Record, decode_record};
use crate::scan::{self, Dir, Seen};
use crate::seal::{self, FORM, LAYER, MOUNT, RECORD, TREE};
use crate::snapshot::{SnapshotFile, SnapshotLink};
use crate::store::Store;
use crate::tree::TreeFile;
use crate::unread::UNREAD;
use crate::usage::UsageKind;

/// A layer's directory and its forms.
#[derive(Clone, Debug)]
pub(crate) struct LayerItem {
    pub(crate) diff: Digest,
    /// Absent where it does not read back.
    pub(crate) file: Option<LayerFile>,
    /// Whether there is such a file at all.
    pub(crate) has_info: bool,
    pub(crate) used: i64,
    pub(crate) own: u64,
    pub(crate) tar: Option<u64>,
    pub(crate) blobs: Vec<BlobForm>,
    /// Blobs that are said to be it and were not read yet.
    pub(crate) unread: Vec<BlobForm>,
    pub(crate) snapshots: Vec<SnapshotItem>,
    /// It was dropped since it was looked at.
    pub(crate) gone: bool,
}

/// One unpacked form.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotItem {
    /// The file in the layer's directory.
    pub(crate) link: String,
    /// The directory in `snapshots/`.
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

impl LayerItem {
    /// Whether its tar can be had without an unpacked directory.
    pub(crate) fn packed(&self) -> bool {
        self.tar.is_some() || !self.blobs.is_empty()
    }

    /// Its blobs, those among them that were not read yet.
    pub(crate) fn all_blobs(&self) -> impl Iterator<Item = &BlobForm> {
        self.blobs.iter().chain(&self.unread)
    }
}

/// A record and its inputs.
#[derive(Clone, Debug)]
pub(crate) struct RecordItem {
    pub(crate) key: Key,
    pub(crate) diff: Option<Digest>,
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) took_ms: u64,
    pub(crate) used: i64,
    pub(crate) bytes: u64,
    /// Whether its inputs are a file of their own.
    pub(crate) has_inputs: bool,
}

/// A cache mount.
#[derive(Clone, Debug)]
pub(crate) struct MountItem {
    pub(crate) path: PathBuf,
    pub(crate) id: String,
    pub(crate) used: i64,
    pub(crate) bytes: u64,
}

impl MountItem {
    /// Copies of repositories lie in mounts of their own.
    pub(crate) fn kind(&self) -> UsageKind {
        if self.id.starts_with("git ") { UsageKind::Repository } else { UsageKind::CacheMount }
    }
}

/// A blob's file.
#[derive(Clone, Debug)]
pub(crate) struct BlobItem {
    pub(crate) digest: Digest,
    pub(crate) used: i64,
    pub(crate) bytes: u64,
}

/// A small file that is kept by its age alone.
#[derive(Clone, Debug)]
pub(crate) struct SmallItem {
    /// Below the directory that was asked for.
    pub(crate) name: String,
    pub(crate) used: i64,
    pub(crate) bytes: u64,
    /// It holds nothing: a crash took its bytes.
    pub(crate) is_empty: bool,
}

impl SmallItem {
    fn of(name: String, seen: Seen) -> Self {
        let Seen { used, bytes, is_empty } = seen;
        Self { name, used, bytes, is_empty }
    }
}

/// Of the directories of small files, those that are two levels deep: one of many files is read and emptied on all cores
/// then.
const FANNED: [&str; 3] = ["memo", "trees", "steps"];

impl Store {
    pub(crate) fn layer_items(&self) -> Result<Vec<LayerItem>> {
        let names = disk::names(&self.layout.dir("layers"))?;
        let diffs: Vec<Digest> = names.iter().filter_map(|hex| digest_of_hex(hex)).collect();
        scan::parallel(&diffs, |diff| self.layer_item(*diff)).into_iter().collect()
    }

    pub(crate) fn layer_item(&self, diff: Digest) -> Result<LayerItem> {
        let mut item = LayerItem {
            diff,
            file: None,
            has_info: false,
            used: 0,
            own: 0,
            tar: None,
            blobs: Vec::new(),
            unread: Vec::new(),
            snapshots: Vec::new(),
            gone: false,
        };
        let Some(place) = Dir::open(&self.layout.layer(&diff))? else { return Ok(item) };
        item.own = place.own().bytes;
        item.has_info = place.names.iter().any(|name| name == "info");
        for name in &place.names {
            let form = ["blob-", "snapshot-", UNREAD].iter().any(|form| name.starts_with(form));
            if name != "info" && !form {
                item.own += place.look(name).map_or(0, |seen| seen.bytes);
                if name == "tar" {
                    item.tar = disk::size_on_disk(&self.layout.tar(&diff));
                }
                continue;
            }
            let Some((bytes, seen)) = place.read(name) else { continue };
            item.own += seen.bytes;
            if name == "info" {
                item.used = item.used.max(seen.used);
                item.file = unsealed(LAYER, bytes);
            } else if name.starts_with("blob-") {
                let form = unsealed::<BlobForm>(FORM, bytes);
                item.blobs.extend(form.filter(|form| self.has_blob(&form.digest)));
            } else if name.starts_with(UNREAD) {
                // Until it is read, it is used when it comes.
                item.used = item.used.max(seen.used);
                let form = unsealed::<BlobForm>(FORM, bytes);
                item.unread.extend(form.filter(|form| self.has_blob(&form.digest)));
            } else if let Some(SnapshotLink { name: dir }) = unsealed(FORM, bytes)
                && let Some(SnapshotFile { bytes, .. }) =
                    quiet(FORM, &self.layout.snapshot(&dir).join("record"))
            {
                item.snapshots.push(SnapshotItem { link: name.clone(), name: dir, bytes });
            }
        }
        Ok(item)
    }

    pub(crate) fn record_items(&self) -> Result<Vec<RecordItem>> {
        let records = scan::fanned(&self.layout.dir("records"), |fan, hex| {
            let key = Key::from_hex(hex)?;
            let (bytes, seen) = fan.read(hex)?;
            let record = seal::unseal(RECORD, bytes).ok().and_then(|body| decode_record(&body).ok());
            let Seen { used, bytes, .. } = seen;
            Some(match record {
                Some(Record { diff, took_ms, name, origin, .. }) => {
                    let (diff, has_inputs) = (Some(diff), false);
                    RecordItem { key, diff, name, origin, took_ms, used, bytes, has_inputs }
                }
                None => RecordItem::unknown(key, used, bytes),
            })
        })?;
        let mut items: BTreeMap<Key, RecordItem> =
            records.into_iter().map(|(_, item)| (item.key, item)).collect();
        let inputs =
            scan::fanned(&self.layout.dir("inputs"), |fan, hex| Some((Key::from_hex(hex)?, fan.look(hex)?)))?;
        for (_, (key, seen)) in inputs {
            let item = items.entry(key).or_insert_with(|| RecordItem::unknown(key, seen.used, 0));
            item.bytes += seen.bytes;
            item.has_inputs = true;
        }
        Ok(items.into_values().collect())
    }

    /// Layers that the cache still refers to: by a record or as part of a tree.
    pub(crate) fn layers_in_cache(&self) -> Result<BTreeSet<Digest>> {
        let mut layers: BTreeSet<Digest> =
            self.record_items()?.into_iter().filter_map(|item| item.diff).collect();
        let trees = scan::fanned(&self.layout.dir("trees"), |fan, name| {
            unsealed::<TreeFile>(TREE, fan.read(name)?.0).map(|file| file.layers)
        })?;
        layers.extend(trees.into_iter().flat_map(|(_, layers)| layers));
        Ok(layers)
    }

    pub(crate) fn mount_items(&self) -> Result<Vec<MountItem>> {
        let dir = self.layout.dir("mounts");
        let items = disk::names(&dir)?.into_iter().map(|name| {
            let path = dir.join(&name);
            let id = quiet::<crate::mount::MountFile>(MOUNT, &path.join("name")).map_or(name, |file| file.id);
            let used = disk::modified(&path.join("name")).max(disk::modified(&path));
            MountItem { id, used, bytes: disk::bytes_below(&path), path }
        });
        Ok(items.collect())
    }

    pub(crate) fn blob_items(&self) -> Result<Vec<BlobItem>> {
        let found = scan::fanned(&self.layout.dir("blobs/sha256"), Dir::look)?;
        let item = |(hex, seen): (String, Seen)| {
            Some(BlobItem { digest: digest_of_hex(&hex)?, used: seen.used, bytes: seen.bytes })
        };
        Ok(found.into_iter().filter_map(item).collect())
    }

    /// Files of a directory, one or two levels deep, that nothing refers to by name.
    pub(crate) fn small_items(&self, dir: &str) -> Result<Vec<SmallItem>> {
        let place = self.layout.dir(dir);
        let found = match FANNED.contains(&dir) {
            true => scan::fanned(&place, Dir::look)?
                .into_iter()
                .map(|(name, seen)| (format!("{}/{name}", name.get(..2).unwrap_or_default()), seen))
                .collect(),
            false => scan::flat(&place)?,
        };
        Ok(found.into_iter().map(|(name, seen)| SmallItem::of(name, seen)).collect())
    }
}

impl RecordItem {
    /// One that does not read back.
    fn unknown(key: Key, used: i64, bytes: u64) -> Self {
        let origin = Origin::default();
        Self { key, diff: None, name: key.hex(), origin, took_ms: 0, used, bytes, has_inputs: false }
    }
}

/// A sealed JSON file, without a warning where it does not read back.
pub(crate) fn quiet<T: serde::de::DeserializeOwned>(kind: seal::Kind, path: &std::path::Path) -> Option<T> {
    unsealed(kind, disk::read(path).ok()??)
}

fn unsealed<T: serde::de::DeserializeOwned>(kind: seal::Kind, bytes: Vec<u8>) -> Option<T> {
    serde_json::from_slice(&seal::unseal(kind, bytes).ok()?).ok()
}

pub(crate) fn digest_of_hex(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

/// What a layer takes when it is unpacked: files in whole blocks, one block for each directory.
pub(crate) fn unpacked_bytes(index: &Index) -> u64 {
    const BLOCK: u64 = 4096;
    let bytes = index.entries().iter().map(|entry| match &entry.kind {
        Kind::File { size, .. } => size.div_ceil(BLOCK) * BLOCK,
        Kind::Dir { .. } => BLOCK,
        _ => 0,
    });
    bytes.sum()
}

/// Whether a sealed file does not read back.
pub(crate) fn is_torn(kind: seal::Kind, path: &std::path::Path) -> bool {
    matches!(disk::read(path), Ok(Some(bytes)) if seal::body_offset(kind, &bytes).is_err())
}
