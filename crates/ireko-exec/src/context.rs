//! A local directory as a source of files: what its ignore file keeps out is absent, everything belongs to 0:0.
//!
//! Directories are read when somebody asks for what is in them, each once, and whole subtrees by several threads.
//! Bytes are hashed when a selection needs it, through the store's stat cache.

mod dirs;
mod hash;
mod listing;
mod missing;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ireko_dockerfile::ignore::{Patterns, State};
use ireko_layer::{Data, TreePath};
use ireko_store::{StatCache, Store};
use rustix::fs::{Mode, OFlags};

use crate::cancel::Cancel;
use crate::files_error::FilesError;
use crate::source::Item;
use dirs::Listed;

pub use listing::{Ignored, Listing, newest_file, unpack_context};

/// A local directory that a build may read. Cloning gives another handle on the same look at it.
#[derive(Clone)]
pub struct LocalContext {
    place: Arc<Place>,
    seen: Arc<Mutex<Seen>>,
}

/// What does not change while a build runs.
struct Place {
    dir: PathBuf,
    root: Arc<OwnedFd>,
    ignore: Patterns,
    stats: StatCache,
    /// Heard while files are hashed.
    cancel: Cancel,
}

/// What was read of it so far.
#[derive(Default)]
struct Seen {
    dirs: BTreeMap<TreePath, Arc<dirs::Dir>>,
    /// Directories below which everything was read.
    whole: BTreeSet<TreePath>,
}

impl LocalContext {
    /// Opens a directory. Nothing of it is read yet.
    pub fn open(
        dir: &Path,
        ignore: Patterns,
        store: &Arc<Store>,
        cancel: &Cancel,
    ) -> Result<Self, FilesError> {
        let failed = |cause| FilesError::Context { dir: dir.display().to_string(), cause };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let identity = dir.canonicalize().map_err(failed)?;
        let stats = StatCache::load(store, identity.as_os_str().as_encoded_bytes(), store.now());
        let cancel = cancel.clone();
        let place = Place { dir: dir.to_owned(), root: Arc::new(root), ignore, stats, cancel };
        Ok(Self { place: Arc::new(place), seen: Arc::default() })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// Keeps the hashes that were learnt for the next build.
    pub fn save(&self, store: &Store) -> Result<(), FilesError> {
        self.place.stats.save(store)?;
        Ok(())
    }

    /// Forgets what was read, since it changed: the next question looks again.
    pub fn forget(&self) {
        *self.seen() = Seen::default();
    }

    /// The same directory, looked at anew.
    pub(crate) fn afresh(&self) -> Self {
        Self { place: Arc::clone(&self.place), seen: Arc::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is at this path; no link is followed.
    pub(crate) fn item(&self, path: &TreePath) -> Result<Option<Arc<Item>>, FilesError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            let root = self.read(path)?;
            return Ok(root.map(|root| Arc::clone(&root.item)));
        };
        let Some(dir) = self.read(&parent)? else { return Ok(None) };
        let Some(listed) = dir.get(name) else { return Ok(None) };
        self.visible(listed)
    }

    /// What is in a directory, sorted by name.
    pub(crate) fn children(&self, path: &TreePath) -> Result<Vec<Arc<Item>>, FilesError> {
        let Some(dir) = self.read(path)? else { return Ok(Vec::new()) };
        let mut items = Vec::with_capacity(dir.entries.len());
        for listed in &dir.entries {
            items.extend(self.visible(listed)?);
        }
        Ok(items)
    }

    /// A directory with its attributes, which are known once it is read.
    pub(crate) fn dir_item(&self, path: &TreePath) -> Result<Option<Arc<Item>>, FilesError> {
        Ok(self.read(path)?.map(|dir| Arc::clone(&dir.item)))
    }

    /// Everything below a directory, a directory right before what it holds.
    pub(crate) fn below(&self, path: &TreePath) -> Result<Vec<Arc<Item>>, FilesError> {
        let Some(dir) = self.read(path)? else { return Ok(Vec::new()) };
        self.read_whole(path, &dir)?;
        let seen = self.seen();
        let mut items = Vec::new();
        gather(&seen.dirs, &dir, &mut items);
        Ok(items)
    }

    /// A file's bytes as they go into a layer.
    pub(crate) fn data(&self, path: &TreePath, size: u64) -> Data {
        Data::at(Arc::clone(&self.place.root), path.as_path(), size)
    }

    /// An ignored directory is there only if something below it is let in again.
    fn visible(&self, listed: &Listed) -> Result<Option<Arc<Item>>, FilesError> {
        if listed.hidden && self.below(&listed.item.path)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(Arc::clone(&listed.item)))
    }

    /// Reads a directory, unless it is known; `None` if there is no such directory.
    fn read(&self, path: &TreePath) -> Result<Option<Arc<dirs::Dir>>, FilesError> {
        if let Some(dir) = self.seen().dirs.get(path) {
            return Ok(Some(Arc::clone(dir)));
        }
        let (item, state) = match path.parent() {
            None => (None, self.place.ignore.root()),
            Some(parent) => {
                let Some(above) = self.read(&parent)? else { return Ok(None) };
                let Some(listed) = path.file_name().and_then(|name| above.get(name)) else { return Ok(None) };
                let Some(state) = &listed.state else { return Ok(None) };
                (Some(Arc::clone(&listed.item)), State::clone(state))
            }
        };
        let fd = dirs::open(&self.place.root, path).map_err(|cause| self.unreadable(path, cause))?;
        let dir = dirs::read(&fd, path, item, &self.place.ignore, &state)
            .map_err(|cause| self.unreadable(path, cause))?;
        let dir = Arc::new(dir);
        self.seen().dirs.insert(path.clone(), Arc::clone(&dir));
        Ok(Some(dir))
    }

    /// Reads everything below a directory that is read already.
    fn read_whole(&self, path: &TreePath, dir: &Arc<dirs::Dir>) -> Result<(), FilesError> {
        let is_whole = |seen: &Seen| seen.whole.iter().any(|whole| path.is_within(whole));
        if is_whole(&self.seen()) {
            return Ok(());
        }
        let found = dirs::walk(&self.place.root, path, dir, &self.place.ignore)
            .map_err(|(path, cause)| self.unreadable(&path, cause))?;
        let mut seen = self.seen();
        for (path, dir) in found {
            seen.dirs.entry(path).or_insert(dir);
        }
        seen.whole.insert(path.clone());
        Ok(())
    }

    fn unreadable(&self, path: &TreePath, cause: std::io::Error) -> FilesError {
        match path.is_root() {
            true => FilesError::Context { dir: self.place.dir.display().to_string(), cause },
            false => FilesError::Read { path: path.clone(), place: "the context", cause },
        }
    }
}

/// Adds everything below `dir` that is visible; tells whether there was anything.
fn gather(dirs: &BTreeMap<TreePath, Arc<dirs::Dir>>, dir: &dirs::Dir, items: &mut Vec<Arc<Item>>) -> bool {
    let begun = items.len();
    for listed in &dir.entries {
        let Some(below) = listed.state.as_ref().and_then(|_| dirs.get(&listed.item.path)) else {
            if !listed.hidden {
                items.push(Arc::clone(&listed.item));
            }
            continue;
        };
        let at = items.len();
        items.push(Arc::clone(&below.item));
        if !gather(dirs, below, items) && listed.hidden {
            items.truncate(at);
        }
    }
    items.len() > begun
}

#[cfg(test)]
mod tests;
