//! What goes: by age, by size, or all that no tagged image needs; never what a live process holds.
//!
//! While the collector's lock is held, victims are only marked and renamed into `trash/`; they are deleted after it is
//! released, so that builds wait for a moment at most.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ireko_oci::Digest;

use crate::disk::{self, Hold};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::inventory::{LayerItem, SmallItem};
use crate::lease::{self, Object};
use crate::open::unique_name;
use crate::seal::SLOT;
use crate::store::Store;
use crate::usage::UsageKind;

/// What may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Every record, cache mount and unpacked directory, and every layer that no tagged image needs; of tagged images
    /// only packed forms stay.
    pub all: bool,
    /// What was not used for this long. Without it and without a size: [`PrunePlan::UNUSED_FOR`].
    pub unused_for: Option<Duration>,
    /// After that, what was used longest ago, until the store takes no more than this many bytes.
    pub max_size: Option<u64>,
    /// Only tell.
    pub dry_run: bool,
}

impl PrunePlan {
    /// A week: long enough for work to be taken up after a holiday weekend without starting cold.
    pub const UNUSED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

    /// The latest time of use that goes.
    fn cutoff(&self, now: i64) -> i64 {
        let age = match (self.all, self.unused_for, self.max_size) {
            (true, _, _) => return i64::MAX,
            (false, Some(age), _) => age,
            (false, None, Some(_)) => return i64::MIN,
            (false, None, None) => Self::UNUSED_FOR,
        };
        now.saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
    }
}

/// Something that went, or would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunedItem {
    /// What it is.
    pub kind: UsageKind,
    /// Which one.
    pub name: String,
    /// What it takes.
    pub bytes: u64,
}

/// What pruning came to.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Bytes given back, or that would be.
    pub freed: u64,
    /// What went, or would go.
    pub items: Vec<PrunedItem>,
    /// What could not be removed.
    pub problems: Vec<Error>,
}

impl Store {
    /// Drops what the plan says.
    pub fn prune(&self, plan: &PrunePlan) -> Result<Pruned> {
        // A lease is taken under the collector's lock, so it has to be there before.
        self.lease()?;
        let mut pruned = Pruned::default();
        if plan.all && !plan.dry_run {
            self.pack_tagged(&mut pruned)?;
        }
        {
            // Images first, then the collector's lock: in this order everywhere.
            let _images = disk::lock(&self.layout.lock("images"), Hold::Exclusive)?;
            let _gc = disk::lock(&self.layout.lock("gc"), Hold::Exclusive)?;
            if !plan.dry_run {
                pruned.freed +=
                    lease::reap_locked(&self.layout)? + lease::remove_unowned_drafts(&self.layout)?;
            }
            let mut sweep = Sweep::new(self, plan, &mut pruned)?;
            sweep.images()?;
            sweep.records()?;
            sweep.layers()?;
            sweep.blobs()?;
            sweep.cache_files()?;
            sweep.mounts()?;
            if !plan.dry_run {
                sweep.orphans()?;
            }
            if let Some(max) = plan.max_size {
                sweep.down_to(max)?;
            }
        }
        match plan.dry_run {
            true => pruned.freed = pruned.items.iter().map(|item| item.bytes).sum(),
            false => self.empty_trash(&mut pruned)?,
        }
        Ok(pruned)
    }

    /// Layers of tagged images that are only unpacked get a tar, before unpacked directories go.
    fn pack_tagged(&self, pruned: &mut Pruned) -> Result<()> {
        for row in self.images()?.iter().filter(|row| row.is_named()) {
            for diff in &row.image.diff_ids {
                if !self.hold(&Object::Layer(*diff))? {
                    continue;
                }
                let item = self.layer_item(*diff)?;
                if !item.packed()
                    && !item.snapshots.is_empty()
                    && let Err(error) = self.ensure_tar(diff)
                {
                    pruned.problems.push(error);
                }
            }
        }
        Ok(())
    }

    fn empty_trash(&self, pruned: &mut Pruned) -> Result<()> {
        let trash = self.layout.dir("trash");
        for name in disk::names(&trash)? {
            let removal = disk::remove(&trash.join(name));
            pruned.freed += removal.freed;
            pruned.problems.extend(removal.problems);
        }
        Ok(())
    }

    /// Of these objects, those that no image, record, tree or live process needs go; tells the bytes given back. The
    /// lock of images must be held.
    pub(crate) fn drop_unneeded(&self, loose: BTreeSet<Object>, deleted: &mut Vec<Digest>) -> Result<u64> {
        self.lease()?;
        let mut pruned = Pruned::default();
        let cached = self.layers_in_cache()?;
        {
            let _gc = disk::lock(&self.layout.lock("gc"), Hold::Exclusive)?;
            let plan = PrunePlan::default();
            let mut sweep = Sweep::new(self, &plan, &mut pruned)?;
            for image in self.all_images()? {
                sweep.keep(&image);
            }
            for object in loose {
                match object {
                    Object::Layer(diff) if cached.contains(&diff) || sweep.is_kept(&object) => {}
                    Object::Layer(diff) => {
                        if self.layout.layer(&diff).exists() {
                            deleted.push(diff);
                            let item = self.layer_item(diff)?;
                            sweep.drop_layer(&item)?;
                            for blob in &item.blobs {
                                sweep.drop_blob(&blob.digest)?;
                            }
                        }
                    }
                    Object::Blob(digest) => sweep.drop_blob(&digest)?,
                }
            }
        }
        self.empty_trash(&mut pruned)?;
        Ok(pruned.freed)
    }
}

/// One collection, with the collector's lock held.
struct Sweep<'a> {
    store: &'a Store,
    plan: PrunePlan,
    cutoff: i64,
    /// What live processes hold.
    held: BTreeSet<Object>,
    /// The same without this one, which may hold a layer only to pack it.
    held_by_others: BTreeSet<Object>,
    /// What images need.
    needed: BTreeSet<Object>,
    pruned: &'a mut Pruned,
}

impl<'a> Sweep<'a> {
    fn new(store: &'a Store, plan: &PrunePlan, pruned: &'a mut Pruned) -> Result<Self> {
        let held = lease::held_by_the_living(&store.layout, None)?;
        let own = store.lease()?;
        let held_by_others = lease::held_by_the_living(&store.layout, Some(own.path()))?;
        Ok(Self {
            store,
            plan: *plan,
            cutoff: plan.cutoff(store.options.now.secs),
            held,
            held_by_others,
            needed: BTreeSet::new(),
            pruned,
        })
    }

    fn keep(&mut self, image: &Image) {
        self.needed.extend(image.diff_ids.iter().copied().map(Object::Layer));
        self.needed.extend([Some(image.id), image.manifest].into_iter().flatten().map(Object::Blob));
    }

    fn is_kept(&self, object: &Object) -> bool {
        self.held.contains(object) || self.needed.contains(object)
    }

    fn note(&mut self, kind: UsageKind, name: impl Into<String>, bytes: u64) {
        self.pruned.items.push(PrunedItem { kind, name: name.into(), bytes });
    }

    /// Moves a path into the trash; nothing is there any more.
    fn trash(&mut self, path: &Path) -> Result<()> {
        if self.plan.dry_run {
            return Ok(());
        }
        let trash = self.store.layout.dir("trash").join(unique_name()?);
        match disk::publish(path, &trash) {
            Err(Error::Io { cause, .. }) if disk::is_absent(&cause) => Ok(()),
            other => other,
        }
    }

    fn unlink(&mut self, path: &Path, bytes: u64) -> Result<()> {
        if self.plan.dry_run {
            return Ok(());
        }
        match fs::remove_file(path) {
            Ok(()) => self.pruned.freed += bytes,
            Err(error) if disk::is_absent(&error) => {}
            Err(cause) => return Err(Error::io("remove", path, cause)),
        }
        Ok(())
    }

    /// Tagged images keep what they need; others go when they were not used lately.
    fn images(&mut self) -> Result<()> {
        let mut rows = self.store.images()?;
        // Whole images first: as long as one is there, its members are.
        rows.sort_by_key(|row| row.image.members.is_empty());
        let mut members = BTreeSet::new();
        for row in rows {
            let path = self.store.layout.image_id(&row.image.id);
            let held = self.held.contains(&Object::Blob(row.image.id)) || members.contains(&row.image.id);
            if row.names.is_empty() && !held && disk::modified(&path) <= self.cutoff {
                let bytes = disk::bytes_of(&path);
                self.note(UsageKind::Image, row.image.id.short(), bytes);
                self.unlink(&path, bytes)?;
            } else {
                members.extend(row.image.members.iter().map(|member| member.id));
                self.keep(&row.image);
            }
        }
        Ok(())
    }

    fn records(&mut self) -> Result<()> {
        for item in self.store.record_items()? {
            if item.used <= self.cutoff {
                self.drop_record(&item)?;
            }
        }
        Ok(())
    }

    fn drop_record(&mut self, item: &crate::inventory::RecordItem) -> Result<()> {
        self.note(UsageKind::Record, item.name.clone(), item.bytes);
        self.unlink(&self.store.layout.record(item.key), 0)?;
        self.unlink(&self.store.layout.inputs(item.key), item.bytes)
    }

    fn layers(&mut self) -> Result<()> {
        for item in self.store.layer_items()? {
            let object = Object::Layer(item.diff);
            if self.needed.contains(&object) {
                if self.plan.all && !self.held_by_others.contains(&object) {
                    self.pack(&item)?;
                }
            } else if !self.held.contains(&object) && (item.used <= self.cutoff || item.file.is_none()) {
                self.drop_layer(&item)?;
            }
        }
        Ok(())
    }

    /// Leaves a needed layer only its packed form.
    fn pack(&mut self, item: &LayerItem) -> Result<()> {
        if item.packed() {
            self.drop_snapshots(item)?;
        }
        if !item.blobs.is_empty() {
            self.drop_tar(item)?;
        }
        Ok(())
    }

    fn drop_layer(&mut self, item: &LayerItem) -> Result<()> {
        self.note(UsageKind::Layer, item.diff.short(), item.own);
        self.trash(&self.store.layout.layer(&item.diff))?;
        self.drop_tar(item)?;
        self.drop_snapshots(item)
    }

    fn drop_tar(&mut self, item: &LayerItem) -> Result<()> {
        if let Some(bytes) = item.tar {
            self.note(UsageKind::Tar, item.diff.short(), bytes);
            self.unlink(&self.store.layout.layer(&item.diff).join("tar"), 0)?;
            self.trash(&self.store.layout.tar(&item.diff))?;
        }
        Ok(())
    }

    fn drop_snapshots(&mut self, item: &LayerItem) -> Result<()> {
        for snapshot in &item.snapshots {
            self.note(UsageKind::Snapshot, item.diff.short(), snapshot.bytes);
            self.unlink(&self.store.layout.layer(&item.diff).join(&snapshot.link), 0)?;
            self.trash(&self.store.layout.snapshot(&snapshot.name))?;
        }
        Ok(())
    }

    fn drop_blob(&mut self, digest: &Digest) -> Result<()> {
        if self.is_kept(&Object::Blob(*digest)) {
            return Ok(());
        }
        let path = self.store.layout.blob(digest);
        let bytes = disk::bytes_of(&path);
        if bytes > 0 || path.exists() {
            self.note(UsageKind::Blob, digest.short(), bytes);
            self.trash(&path)?;
        }
        Ok(())
    }

    fn blobs(&mut self) -> Result<()> {
        // After the layers: blobs of those that stay, stay.
        for item in self.store.layer_items()? {
            if self.plan.dry_run && self.pruned.items.iter().any(|gone| is_layer(gone, &item.diff)) {
                continue;
            }
            self.needed.extend(item.blobs.iter().map(|blob| Object::Blob(blob.digest)));
        }
        for item in self.store.blob_items()? {
            if item.used <= self.cutoff {
                self.drop_blob(&item.digest)?;
            }
        }
        Ok(())
    }

    /// What is kept by age alone, and trees and slots.
    fn cache_files(&mut self) -> Result<()> {
        for (item, layers) in self.store.tree_items()? {
            if item.used <= self.cutoff || layers.is_none() {
                self.drop_small(UsageKind::Record, &item)?;
            }
        }
        for (dir, kind) in [("slots", UsageKind::Record), ("memo", UsageKind::Record)] {
            for item in self.store.small_items(dir)? {
                let torn = dir == "slots" && crate::inventory::is_torn(SLOT, &item.path);
                if item.used <= self.cutoff || torn {
                    self.drop_small(kind, &item)?;
                }
            }
        }
        for (dir, kind) in [("stat", UsageKind::StatCache), ("logs", UsageKind::Log)] {
            for item in self.store.small_items(dir)? {
                if item.used <= self.cutoff {
                    self.drop_small(kind, &item)?;
                }
            }
        }
        Ok(())
    }

    fn drop_small(&mut self, kind: UsageKind, item: &SmallItem) -> Result<()> {
        let name = item.path.file_name().unwrap_or_default().to_string_lossy();
        self.note(kind, name, item.bytes);
        self.unlink(&item.path, item.bytes)
    }

    fn mounts(&mut self) -> Result<()> {
        for item in self.store.mount_items()? {
            if item.used <= self.cutoff {
                self.drop_mount(&item)?;
            }
        }
        Ok(())
    }

    fn drop_mount(&mut self, item: &crate::inventory::MountItem) -> Result<bool> {
        if !self.plan.dry_run && self.store.trash_mount(&item.path)?.is_none() {
            return Ok(false);
        }
        self.note(UsageKind::CacheMount, item.id.clone(), item.bytes);
        Ok(true)
    }

    /// Files that no layer knows: of processes killed between two renames.
    fn orphans(&mut self) -> Result<()> {
        let items = self.store.layer_items()?;
        let tars: BTreeSet<String> =
            items.iter().filter(|item| item.tar.is_some()).map(|item| item.diff.hex()).collect();
        let snapshots: BTreeSet<&str> =
            items.iter().flat_map(|item| &item.snapshots).map(|snapshot| snapshot.name.as_str()).collect();
        // The first digits are enough: they only make one more thing stay while somebody is at work on it.
        let busy: BTreeSet<String> = self.held.iter().filter_map(Object::layer_digits).collect();
        let layout = &self.store.layout;
        let mut lost: Vec<PathBuf> = Vec::new();
        for name in disk::names(&layout.dir("tars"))? {
            if !tars.contains(&name) && !busy.contains(name.get(..12).unwrap_or_default()) {
                lost.push(layout.dir("tars").join(name));
            }
        }
        for name in disk::names(&layout.dir("snapshots"))? {
            if !snapshots.contains(name.as_str()) && !busy.contains(name.get(..12).unwrap_or_default()) {
                lost.push(layout.dir("snapshots").join(name));
            }
        }
        lost.iter().try_for_each(|path| self.trash(path))
    }

    /// Drops what was used longest ago until the rest fits.
    fn down_to(&mut self, max: u64) -> Result<()> {
        let mut left = self.left()?;
        let mut candidates = self.candidates()?;
        candidates.sort_by_key(|candidate| candidate.used);
        for candidate in candidates {
            if left <= max {
                break;
            }
            if self.evict(&candidate.what)? {
                left = left.saturating_sub(candidate.bytes);
            }
        }
        Ok(())
    }

    /// What the store takes now; in a dry run, after what would have gone.
    fn left(&self) -> Result<u64> {
        let total: u64 = self.store.usage(&self.held, &self.needed)?.iter().map(|row| row.bytes).sum();
        let gone: u64 = match self.plan.dry_run {
            true => self.pruned.items.iter().map(|item| item.bytes).sum(),
            false => 0,
        };
        Ok(total.saturating_sub(gone))
    }

    fn candidates(&self) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for item in self.store.layer_items()? {
            let object = Object::Layer(item.diff);
            if self.held.contains(&object) {
                continue;
            }
            let (used, unpacked) = (item.used, item.snapshots.iter().map(|snapshot| snapshot.bytes).sum());
            if !self.needed.contains(&object) {
                let blobs: u64 = item.blobs.iter().map(|blob| blob.size).sum();
                let bytes = item.own + item.tar.unwrap_or(0) + unpacked + blobs;
                candidates.push(Candidate { used, bytes, what: Evictable::Layer(item) });
                continue;
            }
            if item.packed() && unpacked > 0 {
                candidates.push(Candidate {
                    used,
                    bytes: unpacked,
                    what: Evictable::Snapshots(item.clone()),
                });
            }
            if let Some(bytes) = item.tar.filter(|_| !item.blobs.is_empty()) {
                candidates.push(Candidate { used, bytes, what: Evictable::Tar(item) });
            }
        }
        for item in self.store.mount_items()? {
            candidates.push(Candidate { used: item.used, bytes: item.bytes, what: Evictable::Mount(item) });
        }
        for item in self.store.record_items()? {
            candidates.push(Candidate { used: item.used, bytes: item.bytes, what: Evictable::Record(item) });
        }
        for item in self.store.blob_items()? {
            if !self.is_kept(&Object::Blob(item.digest)) {
                let what = Evictable::Blob(item.digest);
                candidates.push(Candidate { used: item.used, bytes: item.bytes, what });
            }
        }
        for (dir, kind) in
            [("memo", UsageKind::Record), ("stat", UsageKind::StatCache), ("logs", UsageKind::Log)]
        {
            for item in self.store.small_items(dir)? {
                candidates.push(Candidate {
                    used: item.used,
                    bytes: item.bytes,
                    what: Evictable::Small(kind, item),
                });
            }
        }
        Ok(candidates)
    }

    fn evict(&mut self, what: &Evictable) -> Result<bool> {
        match what {
            Evictable::Layer(item) => {
                self.drop_layer(item)?;
                for blob in &item.blobs {
                    self.needed.remove(&Object::Blob(blob.digest));
                    self.drop_blob(&blob.digest)?;
                }
            }
            Evictable::Snapshots(item) => self.drop_snapshots(item)?,
            Evictable::Tar(item) => self.drop_tar(item)?,
            Evictable::Blob(digest) => self.drop_blob(digest)?,
            Evictable::Record(item) => self.drop_record(item)?,
            Evictable::Small(kind, item) => self.drop_small(*kind, item)?,
            Evictable::Mount(item) => return self.drop_mount(item),
        }
        Ok(true)
    }
}

struct Candidate {
    used: i64,
    bytes: u64,
    what: Evictable,
}

enum Evictable {
    Layer(LayerItem),
    Snapshots(LayerItem),
    Tar(LayerItem),
    Blob(Digest),
    Record(crate::inventory::RecordItem),
    Small(UsageKind, SmallItem),
    Mount(crate::inventory::MountItem),
}

fn is_layer(gone: &PrunedItem, diff: &Digest) -> bool {
    gone.kind == UsageKind::Layer && gone.name == diff.short()
}

#[cfg(test)]
mod tests;
