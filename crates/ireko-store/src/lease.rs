//! What keeps a running process's objects from being collected: a locked file that lists them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ireko_oci::Digest;

use crate::disk::{self, Hold, Lock};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::open::unique_name;
use crate::store::Store;

/// Something that can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A blob, by its digest.
    Blob(Digest),
    /// A layer in all its forms, by its diff ID.
    Layer(Digest),
}

impl Object {
    fn line(&self) -> String {
        match self {
            Self::Blob(digest) => format!("blob {digest}\n"),
            Self::Layer(diff) => format!("layer {diff}\n"),
        }
    }

    /// The first digits of a layer's diff ID.
    pub(crate) fn layer_digits(&self) -> Option<String> {
        match self {
            Self::Blob(_) => None,
            Self::Layer(diff) => Some(diff.short()),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ')? {
            ("blob", digest) => Some(Self::Blob(digest.parse().ok()?)),
            ("layer", diff) => Some(Self::Layer(diff.parse().ok()?)),
            _ => None,
        }
    }
}

/// One process's lease and its part of `tmp`. Both carry the same name, so whoever finds the lock free knows that the
/// drafts are nobody's.
#[derive(Debug)]
pub(crate) struct Lease {
    path: PathBuf,
    tmp: PathBuf,
    file: Mutex<Lock>,
    held: Mutex<BTreeSet<Object>>,
}

impl Lease {
    pub(crate) fn take(layout: &Layout) -> Result<Self> {
        reap(layout)?;
        // Nobody may judge the file between its making and its locking.
        let _gc = disk::lock(&layout.lock("gc"), Hold::Shared)?;
        let name = format!("{}-{}", std::process::id(), unique_name()?);
        let path = layout.lease(&name);
        let file = disk::create_new(&path)?;
        file.try_lock().map_err(|cause| Error::io("lock", &path, std::io::Error::from(cause)))?;
        let tmp = layout.dir("tmp").join(&name);
        fs::create_dir(&tmp).map_err(|cause| Error::io("create directory", &tmp, cause))?;
        Ok(Self { path, tmp, file: Mutex::new(Lock::of(file)), held: Mutex::new(BTreeSet::new()) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where this process keeps its drafts.
    pub(crate) fn dir(&self) -> &Path {
        &self.tmp
    }

    fn append(&self, object: &Object) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut file: &File = &file;
        file.write_all(object.line().as_bytes()).map_err(|cause| Error::io("write", &self.path, cause))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let removal = disk::remove(&self.tmp);
        if removal.problems.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the drafts and the leases of processes that are gone. Does nothing where the collector is at work.
pub(crate) fn reap(layout: &Layout) -> Result<u64> {
    let Some(_gc) = disk::try_lock(&layout.lock("gc"), Hold::Exclusive)? else { return Ok(0) };
    reap_locked(layout)
}

/// As [`reap`], for who has the collector's lock already.
pub(crate) fn reap_locked(layout: &Layout) -> Result<u64> {
    let mut freed = 0;
    crate::mount::bring_all_home(&layout.dir("mounts"))?;
    let leases = disk::names(&layout.dir("leases"))?;
    for name in &leases {
        let path = layout.lease(name);
        let Some(_lock) = try_lock_existing(&path)? else { continue };
        let removal = disk::remove(&layout.dir("tmp").join(name));
        freed += removal.freed;
        // What cannot be removed from here (files of subordinate ids) waits for a process that can.
        if removal.problems.is_empty() {
            match fs::remove_file(&path) {
                // Its owner ended between our looking and our locking, and took it away itself.
                Err(error) if !disk::is_absent(&error) => return Err(Error::io("remove", &path, error)),
                _ => {}
            }
        }
    }
    Ok(freed)
}

/// Drafts in `tmp` that belong to no lease: of a process killed between making the one and the other, or of a probe.
pub(crate) fn remove_unowned_drafts(layout: &Layout) -> Result<u64> {
    let mut freed = 0;
    for name in disk::names(&layout.dir("tmp"))? {
        // A probe of a store being opened at this moment has no lease either.
        let is_probe = name.starts_with("probe-");
        if !is_probe && !layout.lease(&name).exists() {
            freed += disk::remove(&layout.dir("tmp").join(&name)).freed;
        }
    }
    Ok(freed)
}

/// Everything that live processes hold, `except` the one with this lease. The collector's lock must be held, so that
/// nothing is added meanwhile.
pub(crate) fn held_by_the_living(layout: &Layout, except: Option<&Path>) -> Result<BTreeSet<Object>> {
    let mut held = BTreeSet::new();
    for name in disk::names(&layout.dir("leases"))? {
        let path = layout.lease(&name);
        if Some(path.as_path()) == except {
            continue;
        }
        if try_lock_existing(&path)?.is_some() {
            continue;
        }
        let bytes = disk::read(&path)?.unwrap_or_default();
        held.extend(String::from_utf8_lossy(&bytes).lines().filter_map(Object::parse));
    }
    Ok(held)
}

fn try_lock_existing(path: &Path) -> Result<Option<Lock>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if disk::is_absent(&error) => return Ok(None),
        Err(cause) => return Err(Error::io("open", path, cause)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock::of(file))),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(cause)) => Err(Error::io("lock", path, cause)),
    }
}

impl Store {
    /// Keeps an object from being collected while this process lives; false where it is not there (any more).
    pub fn hold(&self, object: &Object) -> Result<bool> {
        if self.holds(object)? {
            return Ok(true);
        }
        // Looked at before anything is written, so that asking for what was never there costs one look.
        if !self.exists(object) {
            return Ok(false);
        }
        let lease = self.lease()?;
        let _gc = disk::lock(&self.layout.lock("gc"), Hold::Shared)?;
        lease.append(object)?;
        if !self.exists(object) {
            return Ok(false);
        }
        lease.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(*object);
        Ok(true)
    }

    /// Announces an object before it is published, so that no collector comes in between.
    pub(crate) fn claim(&self, object: &Object) -> Result<()> {
        if self.holds(object)? {
            return Ok(());
        }
        self.grows();
        let lease = self.lease()?;
        let _gc = disk::lock(&self.layout.lock("gc"), Hold::Shared)?;
        lease.append(object)?;
        lease.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(*object);
        Ok(())
    }

    fn holds(&self, object: &Object) -> Result<bool> {
        let lease = self.lease.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(lease) = &*lease else { return Ok(false) };
        let held = lease.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(held.contains(object) && self.exists(object))
    }

    fn exists(&self, object: &Object) -> bool {
        match object {
            Object::Blob(digest) => self.layout.blob(digest).exists(),
            Object::Layer(diff) => self.layout.layer(diff).exists(),
        }
    }
}
