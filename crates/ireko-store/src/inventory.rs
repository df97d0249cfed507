//! What lies in the store, read without judging whether it is whole: for what counts, collects and checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use ireko_layer::{Index, Kind};
use ireko_oci::{Digest, Key};

use crate::disk;
use crate::error::Result;
use crate::layer::{BlobForm, LayerFile};
use crate::record::decode_record;
use crate::seal::{self, FORM, LAYER, MOUNT, RECORD, TREE};
use crate::snapshot::{SnapshotFile, SnapshotLink};
use crate::store::Store;
use crate::tree::TreeFile;

/// A layer's directory and its forms.
#[derive(Clone, Debug)]
pub(crate) struct LayerItem {
    pub(crate) diff: Digest,
    /// Absent where it does not read back.
    pub(crate) file: Option<LayerFile>,
    pub(crate) used: i64,
    pub(crate) own: u64,
    pub(crate) tar: Option<u64>,
    pub(crate) blobs: Vec<BlobForm>,
    pub(crate) snapshots: Vec<SnapshotItem>,
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
}

/// A record and its inputs.
#[derive(Clone, Debug)]
pub(crate) struct RecordItem {
    pub(crate) key: Key,
    pub(crate) diff: Option<Digest>,
    pub(crate) name: String,
    pub(crate) used: i64,
    pub(crate) bytes: u64,
}

/// A cache mount.
#[derive(Clone, Debug)]
pub(crate) struct MountItem {
    pub(crate) path: PathBuf,
    pub(crate) id: String,
    pub(crate) used: i64,
    pub(crate) bytes: u64,
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
    pub(crate) path: PathBuf,
    pub(crate) used: i64,
    pub(crate) bytes: u64,
}

impl Store {
    pub(crate) fn layer_items(&self) -> Result<Vec<LayerItem>> {
        let names = disk::names(&self.layout.dir("layers"))?;
        names.iter().filter_map(|hex| digest_of_hex(hex)).map(|diff| self.layer_item(diff)).collect()
    }

    pub(crate) fn layer_item(&self, diff: Digest) -> Result<LayerItem> {
        let place = self.layout.layer(&diff);
        let tar = fs::metadata(self.layout.tar(&diff)).is_ok() && place.join("tar").exists();
        let mut item = LayerItem {
            diff,
            file: quiet(LAYER, &place.join("info")),
            used: disk::modified(&place.join("info")),
            own: disk::bytes_below(&place),
            tar: tar.then(|| disk::bytes_of(&self.layout.tar(&diff))),
            blobs: Vec::new(),
            snapshots: Vec::new(),
        };
        for link in disk::names(&place)? {
            if link.starts_with("blob-") {
                let form = quiet::<BlobForm>(FORM, &place.join(&link));
                item.blobs.extend(form.filter(|form| self.has_blob(&form.digest)));
            } else if link.starts_with("snapshot-")
                && let Some(SnapshotLink { name }) = quiet(FORM, &place.join(&link))
                && let Some(SnapshotFile { bytes, .. }) =
                    quiet(FORM, &self.layout.snapshot(&name).join("record"))
            {
                item.snapshots.push(SnapshotItem { link, name, bytes });
            }
        }
        Ok(item)
    }

    pub(crate) fn record_items(&self) -> Result<Vec<RecordItem>> {
        let mut items = BTreeMap::new();
        for (hex, path) in disk::fanned_names(&self.layout.dir("records"))? {
            let Some(key) = Key::from_hex(&hex) else { continue };
            let body = disk::read(&path)?.and_then(|bytes| seal::unseal(RECORD, bytes).ok());
            let record = body.and_then(|body| decode_record(&body).ok());
            let bytes = disk::bytes_of(&path);
            let (diff, name) = record.map_or((None, hex), |record| (Some(record.diff), record.name));
            items.insert(key, RecordItem { key, diff, name, used: disk::modified(&path), bytes });
        }
        for (hex, path) in disk::fanned_names(&self.layout.dir("inputs"))? {
            let Some(key) = Key::from_hex(&hex) else { continue };
            let used = disk::modified(&path);
            let item = items.entry(key).or_insert(RecordItem { key, diff: None, name: hex, used, bytes: 0 });
            item.bytes += disk::bytes_of(&path);
        }
        Ok(items.into_values().collect())
    }

    /// Each tree's file with its layers; `None` where it does not read back.
    pub(crate) fn tree_items(&self) -> Result<Vec<(SmallItem, Option<Vec<Digest>>)>> {
        let found = disk::fanned_names(&self.layout.dir("trees"))?;
        let items = found.into_iter().map(|(_, path)| {
            let layers = quiet::<TreeFile>(TREE, &path).map(|file| file.layers);
            (small(path), layers)
        });
        Ok(items.collect())
    }

    /// Layers that the cache still refers to: by a record or as part of a tree.
    pub(crate) fn layers_in_cache(&self) -> Result<BTreeSet<Digest>> {
        let mut layers: BTreeSet<Digest> =
            self.record_items()?.into_iter().filter_map(|item| item.diff).collect();
        layers.extend(self.tree_items()?.into_iter().filter_map(|(_, layers)| layers).flatten());
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
        let found = disk::fanned_names(&self.layout.dir("blobs/sha256"))?;
        let items = found.into_iter().filter_map(|(hex, path)| {
            let digest = digest_of_hex(&hex)?;
            Some(BlobItem { digest, used: disk::modified(&path), bytes: disk::bytes_of(&path) })
        });
        Ok(items.collect())
    }

    /// Files of a directory, one or two levels deep, that nothing refers to by name.
    pub(crate) fn small_items(&self, dir: &str) -> Result<Vec<SmallItem>> {
        let place = self.layout.dir(dir);
        let paths: Vec<PathBuf> = match dir {
            "memo" => disk::fanned_names(&place)?.into_iter().map(|(_, path)| path).collect(),
            _ => disk::names(&place)?.into_iter().map(|name| place.join(name)).collect(),
        };
        Ok(paths.into_iter().map(small).collect())
    }
}

fn small(path: PathBuf) -> SmallItem {
    SmallItem { used: disk::modified(&path), bytes: disk::bytes_of(&path), path }
}

/// A sealed JSON file, without a warning where it does not read back.
pub(crate) fn quiet<T: serde::de::DeserializeOwned>(kind: seal::Kind, path: &std::path::Path) -> Option<T> {
    let body = seal::unseal(kind, disk::read(path).ok()??).ok()?;
    serde_json::from_slice(&body).ok()
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
