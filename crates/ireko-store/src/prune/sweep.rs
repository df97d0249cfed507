//! One collection of layers, blobs and images, with the collector's lock held.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ireko_oci::Digest;

use super::notes::{Made, Notes};
use super::{Facts, PrunePlan, Pruned, needs};
use crate::disk;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::inventory::{BlobItem, LayerItem, MountItem};
use crate::lease::{self, Object};
use crate::open::unique_name;
use crate::scan::{self, Seen};
use crate::store::Store;
use crate::usage::UsageKind;

pub(super) struct Sweep<'a> {
    pub(super) store: &'a Store,
    pub(super) plan: &'a PrunePlan,
    cutoff: i64,
    /// What live processes hold.
    pub(super) held: BTreeSet<Object>,
    /// The same without this one, which may hold a layer only to pack it.
    held_by_others: BTreeSet<Object>,
    /// What images need.
    pub(super) needed: BTreeSet<Object>,
    /// Images without a name that stay as long as there is room, by what they need.
    pub(super) nameless: BTreeMap<Object, Vec<Digest>>,
    pub(super) layers: Vec<LayerItem>,
    pub(super) blobs: Vec<BlobItem>,
    pub(super) mounts: Vec<MountItem>,
    /// Who made each layer, and what that took.
    pub(super) made: BTreeMap<Digest, Made>,
    pub(super) pruned: &'a mut Pruned,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(store: &'a Store, plan: &'a PrunePlan, pruned: &'a mut Pruned) -> Result<Self> {
        let held = lease::held_by_the_living(&store.layout, None)?;
        let own = store.lease()?;
        let held_by_others = lease::held_by_the_living(&store.layout, Some(own.path()))?;
        Ok(Self {
            store,
            plan,
            cutoff: plan.cutoff(store.options.now.secs),
            held,
            held_by_others,
            needed: BTreeSet::new(),
            nameless: BTreeMap::new(),
            layers: Vec::new(),
            blobs: Vec::new(),
            mounts: Vec::new(),
            made: BTreeMap::new(),
            pruned,
        })
    }

    /// Reads what there is. After the leases: what is published from now on was held already.
    pub(super) fn read(&mut self, notes: &Notes, mounts: Vec<MountItem>) -> Result<()> {
        self.layers = self.store.layer_items()?;
        self.blobs = self.store.blob_items()?;
        self.mounts = mounts;
        self.made = notes.made();
        Ok(())
    }

    /// Whether the plan's conditions let a thing go.
    pub(super) fn may_go(&self, kind: UsageKind, name: &str, made: Option<&Made>, used: i64) -> bool {
        let (text, origin) = made.map_or(("", None), |made| (made.name.as_str(), Some(&made.origin)));
        self.plan.fits(&Facts { kind, name, text, origin, used }, self.store.options.now.secs)
    }

    fn layer_may_go(&self, item: &LayerItem, kind: UsageKind) -> bool {
        // Most plans have no conditions, and names are made for nothing then.
        self.plan.conditions.is_empty()
            || self.may_go(kind, &item.diff.hex(), self.made.get(&item.diff), item.used)
    }

    pub(super) fn keep(&mut self, image: &Image) {
        self.needed.extend(needs(image));
    }

    pub(super) fn is_kept(&self, object: &Object) -> bool {
        self.held.contains(object) || self.needed.contains(object)
    }

    fn note(&mut self, kind: UsageKind, name: impl Into<String>, bytes: u64) {
        self.pruned.note(kind, name, bytes);
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
    pub(super) fn images(&mut self) -> Result<()> {
        let has_size = self.plan.max_size.is_some() || self.plan.min_free.is_some();
        let mut rows = self.store.images()?;
        // Whole images first: as long as one is there, its members are.
        rows.sort_by_key(|row| row.image.members.is_empty());
        let mut members = BTreeSet::new();
        for row in rows {
            let path = self.store.layout.image_id(&row.image.id);
            let held = self.held.contains(&Object::Blob(row.image.id)) || members.contains(&row.image.id);
            let used = disk::modified(&path);
            let loose = row.names.is_empty() && !held;
            let may_go = loose && self.may_go(UsageKind::Image, &row.image.id.hex(), None, used);
            if may_go && used <= self.cutoff {
                let bytes = disk::bytes_of(&path);
                self.note(UsageKind::Image, row.image.id.short(), bytes);
                self.unlink(&path, bytes)?;
                continue;
            }
            if may_go && has_size {
                self.keep_while_there_is_room(&row.image)?;
                continue;
            }
            members.extend(row.image.members.iter().map(|member| member.id));
            self.keep(&row.image);
        }
        Ok(())
    }

    /// An image goes with the first thing that it, or one of its members, needs.
    fn keep_while_there_is_room(&mut self, image: &Image) -> Result<()> {
        let mut objects: BTreeSet<Object> = needs(image).collect();
        for member in &image.members {
            objects.extend(self.store.image_by_id(&member.id)?.iter().flat_map(needs));
        }
        for object in objects {
            self.nameless.entry(object).or_default().push(image.id);
        }
        Ok(())
    }

    pub(super) fn layers(&mut self) -> Result<()> {
        let mut items = std::mem::take(&mut self.layers);
        for item in &mut items {
            let object = Object::Layer(item.diff);
            let nameless = self.nameless.contains_key(&object);
            if self.needed.contains(&object) || nameless {
                if self.plan.all && !self.held_by_others.contains(&object) {
                    self.pack(item)?;
                }
            } else if !self.held.contains(&object)
                && (item.used <= self.cutoff || item.file.is_none() && item.unread.is_empty())
                && self.layer_may_go(item, UsageKind::Layer)
            {
                self.drop_layer(item)?;
            }
        }
        items.retain(|item| !item.gone);
        self.layers = items;
        Ok(())
    }

    /// Leaves a needed layer only its packed form.
    fn pack(&mut self, item: &mut LayerItem) -> Result<()> {
        if item.packed() && self.layer_may_go(item, UsageKind::Snapshot) {
            self.drop_snapshots(item)?;
        }
        if !item.blobs.is_empty() && self.layer_may_go(item, UsageKind::Tar) {
            self.drop_tar(item)?;
        }
        Ok(())
    }

    /// Drops a layer in all its forms but blobs; tells the bytes, as all the others of its kind.
    pub(super) fn drop_layer(&mut self, item: &mut LayerItem) -> Result<u64> {
        self.note(UsageKind::Layer, item.diff.short(), item.own);
        self.trash(&self.store.layout.layer(&item.diff))?;
        item.gone = true;
        Ok(item.own + self.drop_tar(item)? + self.drop_snapshots(item)?)
    }

    pub(super) fn drop_tar(&mut self, item: &mut LayerItem) -> Result<u64> {
        let Some(bytes) = item.tar.take() else { return Ok(0) };
        self.note(UsageKind::Tar, item.diff.short(), bytes);
        self.unlink(&self.store.layout.layer(&item.diff).join("tar"), 0)?;
        self.trash(&self.store.layout.tar(&item.diff))?;
        Ok(bytes)
    }

    pub(super) fn drop_snapshots(&mut self, item: &mut LayerItem) -> Result<u64> {
        let mut bytes = 0;
        for snapshot in std::mem::take(&mut item.snapshots) {
            self.note(UsageKind::Snapshot, item.diff.short(), snapshot.bytes);
            self.unlink(&self.store.layout.layer(&item.diff).join(&snapshot.link), 0)?;
            self.trash(&self.store.layout.snapshot(&snapshot.name))?;
            bytes += snapshot.bytes;
        }
        Ok(bytes)
    }

    pub(super) fn drop_blob(&mut self, digest: &Digest) -> Result<u64> {
        if self.is_kept(&Object::Blob(*digest)) {
            return Ok(0);
        }
        let path = self.store.layout.blob(digest);
        let Some(bytes) = disk::size_on_disk(&path) else { return Ok(0) };
        self.note(UsageKind::Blob, digest.short(), bytes);
        self.trash(&path)?;
        Ok(bytes)
    }

    pub(super) fn blobs(&mut self) -> Result<()> {
        // After the layers: blobs of those that stay, stay.
        let forms = self.layers.iter().flat_map(LayerItem::all_blobs);
        self.needed.extend(forms.map(|blob| Object::Blob(blob.digest)));
        for item in std::mem::take(&mut self.blobs) {
            let object = Object::Blob(item.digest);
            let expired = item.used <= self.cutoff && !self.nameless.contains_key(&object);
            if expired
                && !self.is_kept(&object)
                && self.may_go(UsageKind::Blob, &item.digest.hex(), None, item.used)
            {
                self.drop_blob(&item.digest)?;
            } else {
                self.blobs.push(item);
            }
        }
        Ok(())
    }

    pub(super) fn mounts(&mut self) -> Result<()> {
        for item in std::mem::take(&mut self.mounts) {
            let goes = item.used <= self.cutoff && self.mount_may_go(&item);
            if !goes || self.drop_mount(&item)? == 0 {
                self.mounts.push(item);
            }
        }
        Ok(())
    }

    pub(super) fn mount_may_go(&self, item: &MountItem) -> bool {
        self.may_go(item.kind(), &item.id, None, item.used)
    }

    /// None where somebody uses it.
    pub(super) fn drop_mount(&mut self, item: &MountItem) -> Result<u64> {
        if !self.plan.dry_run && self.store.trash_mount(&item.path)?.is_none() {
            return Ok(0);
        }
        self.note(item.kind(), item.id.clone(), item.bytes);
        Ok(item.bytes)
    }

    /// Files that no layer knows: of processes killed between two renames.
    pub(super) fn orphans(&mut self) -> Result<()> {
        let items = &self.layers;
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

    /// Drops the images without a name that need this. First of all: no image may be there without its layers.
    pub(super) fn drop_nameless(&mut self, object: &Object) -> Result<u64> {
        let mut bytes = 0;
        for id in self.nameless.remove(object).unwrap_or_default() {
            let path = self.store.layout.image_id(&id);
            if let Some(size) = disk::size_on_disk(&path) {
                self.note(UsageKind::Image, id.short(), size);
                self.unlink(&path, size)?;
                bytes += size;
            }
        }
        Ok(bytes)
    }

    /// What the notes of images take. What processes are writing at this moment is not counted.
    pub(super) fn rest(&self) -> Result<u64> {
        let layout = &self.store.layout;
        let mut bytes = 0;
        for dir in ["images/names", "images/ids"] {
            bytes += scan::flat(&layout.dir(dir))?.iter().map(|(_, Seen { bytes, .. })| bytes).sum::<u64>();
        }
        Ok(bytes)
    }
}
