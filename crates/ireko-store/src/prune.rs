//! What goes: by age, by size, or all that no tagged image needs; never what a live process holds.
//!
//! Records, and what else is only notes, go without a lock: a build that misses one does its step again. Layers, blobs
//! and images go under the collector's lock, where victims are only marked and renamed into `trash/`; they are deleted
//! after it is released, so that builds wait for a moment at most.

use std::collections::BTreeSet;
use std::time::Duration;

use ireko_oci::Digest;

use crate::disk::{self, Hold};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::lease::{self, Object};
use crate::record::Origin;
use crate::store::Store;
use crate::usage::UsageKind;
use notes::Notes;
pub(crate) use notes::{SMALL, made};
use sweep::Sweep;

mod notes;
mod size;
mod sweep;

/// What may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Every record, cache mount and unpacked directory, and every layer that no tagged image needs; of tagged images
    /// only packed forms stay.
    pub all: bool,
    /// What was not used for this long. Without it and without a size: [`PrunePlan::UNUSED_FOR`].
    pub unused_for: Option<Duration>,
    /// After that, what is worth least, until the store takes no more than this many bytes.
    pub max_size: Option<u64>,
    /// The same until so many bytes are free on the store's file system.
    pub min_free: Option<u64>,
    /// Sizes take nothing more once the store takes no more than this.
    pub reserved: u64,
    /// Of all that, only what fits every one of these.
    pub conditions: Vec<Condition>,
    /// Only tell.
    pub dry_run: bool,
}

/// What has to be so of a thing that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It was not used for this long.
    UnusedFor(Duration),
    /// It is of one of these kinds.
    Kind(Vec<UsageKind>),
    /// Its name, or its text for people, contains this.
    Named(String),
    /// Steps of this project made it.
    Project(String),
    /// Steps of this stage made it.
    Stage(String),
    /// The contrary of another.
    Not(Box<Self>),
    /// At least one of these.
    Any(Vec<Self>),
}

/// What conditions ask of a thing.
struct Facts<'a> {
    kind: UsageKind,
    name: &'a str,
    text: &'a str,
    origin: Option<&'a Origin>,
    used: i64,
}

impl Condition {
    fn fits(&self, facts: &Facts<'_>, now: i64) -> bool {
        match self {
            Self::UnusedFor(age) => facts.used <= before(now, *age),
            Self::Kind(kinds) => kinds.contains(&facts.kind),
            Self::Named(text) => facts.name.contains(text.as_str()) || facts.text.contains(text.as_str()),
            Self::Project(project) => facts.origin.is_some_and(|origin| origin.project == *project),
            Self::Stage(stage) => facts.origin.is_some_and(|origin| origin.stage == *stage),
            Self::Not(other) => !other.fits(facts, now),
            Self::Any(others) => others.iter().any(|other| other.fits(facts, now)),
        }
    }
}

impl PrunePlan {
    /// A week: long enough for work to be taken up after a holiday weekend without starting cold.
    pub const UNUSED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

    /// The latest time of use that goes by its age alone.
    fn cutoff(&self, now: i64) -> i64 {
        let has_size = self.max_size.is_some() || self.min_free.is_some();
        match (self.all, self.unused_for, has_size, self.conditions.is_empty()) {
            (true, ..) => i64::MAX,
            (false, Some(age), ..) => before(now, age),
            (false, None, true, _) => i64::MIN,
            // Who says what has to go does not mean a week.
            (false, None, false, false) => i64::MAX,
            (false, None, false, true) => before(now, Self::UNUSED_FOR),
        }
    }

    fn fits(&self, facts: &Facts<'_>, now: i64) -> bool {
        self.conditions.iter().all(|condition| condition.fits(facts, now))
    }
}

fn before(now: i64, age: Duration) -> i64 {
    now.saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
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
    /// Where a size was asked for and could not be reached: it, and what the rest takes, which is in use, needed by
    /// tagged images or kept by a condition.
    pub missed: Option<(u64, u64)>,
    /// What could not be removed.
    pub problems: Vec<Error>,
}

impl Pruned {
    fn note(&mut self, kind: UsageKind, name: impl Into<String>, bytes: u64) {
        self.items.push(PrunedItem { kind, name: name.into(), bytes });
    }
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
        let mut notes = Notes::read(self)?;
        notes.expire(self, plan, &mut pruned)?;
        // Each has a lock of its own, and what lies in them can be much to look through.
        let mounts = self.mount_items()?;
        {
            // Images first, then the collector's lock: in this order everywhere.
            let _images = disk::lock(&self.layout.lock("images"), Hold::Exclusive)?;
            let _gc = disk::lock(&self.layout.lock("gc"), Hold::Exclusive)?;
            if !plan.dry_run {
                pruned.freed +=
                    lease::reap_locked(&self.layout)? + lease::remove_unowned_drafts(&self.layout)?;
            }
            let mut sweep = Sweep::new(self, plan, &mut pruned)?;
            sweep.read(&notes, mounts)?;
            sweep.images()?;
            sweep.layers()?;
            sweep.blobs()?;
            sweep.mounts()?;
            if !plan.dry_run {
                sweep.orphans()?;
            }
            sweep.down_to_size(&mut notes)?;
        }
        notes.remove(self, plan, &mut pruned)?;
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

    /// Deletes what a prune that was killed had taken out already.
    pub fn clear_trash(&self) -> Result<()> {
        self.empty_trash(&mut Pruned::default())
    }

    fn empty_trash(&self, pruned: &mut Pruned) -> Result<()> {
        let trash = self.layout.dir("trash");
        let names = disk::names(&trash)?;
        for removal in crate::scan::parallel(&names, |name| disk::remove(&trash.join(name))) {
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
                            let mut item = self.layer_item(diff)?;
                            sweep.drop_layer(&mut item)?;
                            for blob in item.all_blobs() {
                                sweep.drop_blob(&blob.digest)?;
                            }
                        }
                    }
                    Object::Blob(digest) => {
                        sweep.drop_blob(&digest)?;
                    }
                }
            }
        }
        self.empty_trash(&mut pruned)?;
        Ok(pruned.freed)
    }
}

/// What an image needs.
pub(crate) fn needs(image: &Image) -> impl Iterator<Item = Object> + '_ {
    let blobs = [Some(image.id), image.manifest].into_iter().flatten().map(Object::Blob);
    image.diff_ids.iter().copied().map(Object::Layer).chain(blobs)
}

#[cfg(test)]
mod tests;
