//! Cache mounts: directories that steps keep between builds, each locked as its sharing says.
//!
//! `mounts/<hash of id and id map>/` holds `name` (for people; its time is the last use) and a pair `<n>` (the
//! directory) and `<n>.lock` for each copy, and `<n>.away` while the directory is moved into a step's files: it says where
//! it lies. Shared and locked mounts use copy 0; private ones take any copy that is
//! free, or a new one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Hold, Lock};
use crate::error::{Error, Result};
use crate::open::unique_name;
use crate::seal::MOUNT;
use crate::store::Store;

/// Who may use a cache mount at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of steps, one directory.
    Shared,
    /// Any number of steps, a directory each.
    Private,
    /// One step after the other.
    Locked,
}

/// A cache mount that a step asks for.
#[derive(Clone, Copy)]
pub struct MountRequest<'a> {
    /// Its id.
    pub id: &'a str,
    /// Who else may use it meanwhile.
    pub sharing: Sharing,
    /// Prepares a directory that was just made (owner, mode, first content); it is not there before this has returned.
    pub prepare: &'a dyn Fn(&Path) -> io::Result<()>,
    /// Asked again and again while others hold it: whether to wait no longer.
    pub give_up: &'a dyn Fn() -> bool,
}

/// A cache mount in use. Dropped, it is free for others.
#[derive(Debug)]
pub struct CacheMount {
    dir: PathBuf,
    name: PathBuf,
    _lock: Lock,
}

impl CacheMount {
    /// The directory to mount.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that says where the directory is, for who moves it instead of mounting it. Such a mount must not be
    /// shared.
    pub fn note(&self) -> PathBuf {
        note_of(&self.dir)
    }
}

fn note_of(dir: &Path) -> PathBuf {
    dir.with_extension(AWAY)
}

/// Of the note's name: what comes after the number.
const AWAY: &str = "away";

/// Brings a directory home that a process took away which is gone. The caller holds its lock alone.
fn bring_home(dir: &Path) -> Result<()> {
    let note = note_of(dir);
    let Some(place) = disk::read(&note)? else { return Ok(()) };
    let away = PathBuf::from(std::ffi::OsString::from_vec(place));
    // It may not have left yet, or be gone with what it was in.
    let is_dir = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if !is_dir(dir)
        && let Some((parent, name)) = without_links(dir, &away)
    {
        let moved = rustix::fs::renameat(&parent, name, rustix::fs::CWD, dir);
        moved.map_err(|errno| Error::io("bring home", &away, errno))?;
    }
    fs::remove_file(&note).map_err(|cause| Error::io("remove", &note, cause))
}

/// The directory that `away` is in, and its name there, if it is a directory of the store of `dir` to which no link
/// leads: the step may have put a link to anywhere in the place of any directory.
fn without_links<'a>(dir: &Path, away: &'a Path) -> Option<(OwnedFd, &'a OsStr)> {
    let store = dir.ancestors().nth(3)?;
    let inode = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let same = inode(store)?;
    // The store may have been named by another path then.
    let named: Vec<&Path> = away.ancestors().skip(1).collect();
    let named = *named.iter().rev().find(|path| inode(path) == Some(same))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(store, flags, Mode::empty()).ok()?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let open =
        |from: &OwnedFd, path: &Path| rustix::fs::openat2(from, path, flags, Mode::empty(), resolve).ok();
    let parent = open(&root, away.strip_prefix(named).ok()?.parent()?)?;
    let name = away.file_name()?;
    open(&parent, Path::new(name)).map(|_| (parent, name))
}

/// Brings home all directories that processes took away which are gone: before what is left of those is cleared.
pub(crate) fn bring_all_home(mounts: &Path) -> Result<()> {
    for place in disk::names(mounts)? {
        let place = mounts.join(place);
        for name in disk::names(&place)? {
            let Some(copy) = name.strip_suffix(AWAY).and_then(|name| name.strip_suffix('.')) else {
                continue;
            };
            if let Some(_lock) = disk::try_lock(&place.join(format!("{copy}.lock")), Hold::Exclusive)? {
                bring_home(&place.join(copy))?;
            }
        }
    }
    Ok(())
}

impl Drop for CacheMount {
    fn drop(&mut self) {
        disk::touch(&self.name);
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MountFile {
    pub(crate) id: String,
    pub(crate) id_map: String,
}

impl Store {
    /// Takes a cache mount, made the first time. Where others hold it and it cannot be shared, `waiting` is told once
    /// and the call waits.
    pub fn cache_mount(&self, request: &MountRequest<'_>, waiting: &dyn Fn(&str)) -> Result<CacheMount> {
        // Owners in it are those of this id map: another one must not see them as its own.
        self.grows();
        let place = self.layout.mount(request.id, &self.options.written_as.id_map);
        loop {
            self.make_mount(&place, request.id)?;
            let taken = match request.sharing {
                Sharing::Shared | Sharing::Locked => self.take_copy(&place, 0, request, Some(waiting))?,
                Sharing::Private => self.take_free_copy(&place, request)?,
            };
            // None: the collector took the directory between its making and its locking, or it has just come home.
            if let Some(mount) = taken {
                disk::touch(&mount.name);
                return Ok(mount);
            }
        }
    }

    fn make_mount(&self, place: &Path, id: &str) -> Result<()> {
        match fs::create_dir(place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create directory", place, error));
            }
            _ => {}
        }
        let name = place.join("name");
        if name.exists() {
            return Ok(());
        }
        let file = MountFile { id: id.to_owned(), id_map: self.options.written_as.id_map.clone() };
        self.write_json(MOUNT, &name, &file)
    }

    fn take_free_copy(&self, place: &Path, request: &MountRequest<'_>) -> Result<Option<CacheMount>> {
        let mut copy = 0;
        loop {
            // Nobody waits for a private copy: the next number is tried.
            match self.take_copy(place, copy, request, None)? {
                Some(mount) => return Ok(Some(mount)),
                None if !place.join("name").exists() => return Ok(None),
                None => copy += 1,
            }
        }
    }

    fn take_copy(
        &self,
        place: &Path,
        copy: u32,
        request: &MountRequest<'_>,
        waiting: Option<&dyn Fn(&str)>,
    ) -> Result<Option<CacheMount>> {
        let hold = match request.sharing {
            Sharing::Shared => Hold::Shared,
            Sharing::Private | Sharing::Locked => Hold::Exclusive,
        };
        let path = place.join(format!("{copy}.lock"));
        let lock = match disk::try_lock(&path, hold) {
            Err(Error::Io { cause, .. }) if disk::is_absent(&cause) => return Ok(None),
            other => other?,
        };
        let lock = match (lock, waiting) {
            (Some(lock), _) => lock,
            (None, None) => return Ok(None),
            (None, Some(waiting)) => {
                waiting(request.id);
                wait_for(&path, hold, request.give_up)?
            }
        };
        if !disk::is_still_at(&lock, &path) {
            return Ok(None);
        }
        let dir = place.join(copy.to_string());
        if note_of(&dir).exists() {
            if hold == Hold::Shared {
                drop(lock);
                let alone = wait_for(&path, Hold::Exclusive, request.give_up)?;
                if disk::is_still_at(&alone, &path) {
                    bring_home(&dir)?;
                }
                return Ok(None);
            }
            bring_home(&dir)?;
        }
        if !dir.exists() {
            self.fill(&dir, request)?;
        }
        Ok(Some(CacheMount { dir, name: place.join("name"), _lock: lock }))
    }

    fn fill(&self, dir: &Path, request: &MountRequest<'_>) -> Result<()> {
        let draft = self.scratch()?;
        fs::create_dir(&draft).map_err(|cause| Error::io("create directory", &draft, cause))?;
        let prepared =
            (request.prepare)(&draft).map_err(|cause| Error::io("prepare cache mount", dir, cause));
        let made = prepared.and_then(|()| disk::publish_new(&draft, dir));
        if !matches!(made, Ok(true)) {
            disk::remove(&draft);
        }
        made.map(|_| ())
    }

    /// Takes an unused cache mount out of the store, into the trash; nothing where somebody uses it or it is gone.
    pub(crate) fn trash_mount(&self, place: &Path) -> Result<Option<PathBuf>> {
        let mut locks = Vec::new();
        for name in disk::names(place)?.iter().filter(|name| name.ends_with(".lock")) {
            match disk::try_lock(&place.join(name), Hold::Exclusive)? {
                Some(lock) => locks.push(lock),
                None => return Ok(None),
            }
        }
        let trash = self.layout.dir("trash").join(unique_name()?);
        match disk::publish(place, &trash) {
            // Another prune was faster.
            Err(Error::Io { cause, .. }) if disk::is_absent(&cause) => Ok(None),
            other => other.map(|()| Some(trash)),
        }
    }
}

/// How often a lock that others hold is asked for.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes a lock as soon as it is free. The kernel's own waiting cannot be ended by a wish to stop.
fn wait_for(path: &Path, hold: Hold, give_up: &dyn Fn() -> bool) -> Result<Lock> {
    loop {
        if let Some(lock) = disk::try_lock(path, hold)? {
            return Ok(lock);
        }
        if give_up() {
            return Err(Error::GaveUp);
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests;
