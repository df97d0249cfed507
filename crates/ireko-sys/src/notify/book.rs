//! Who owns which file: notes on the files themselves, and a table for those that take none.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

use super::kernel;
use super::place::Place;
use crate::owner::{FileId, Owner, OwnerTable, RECORD};
use crate::raw::{self, Errno, Result};

/// Owners of the files that a step sees.
#[derive(Debug)]
pub(super) struct Book {
    /// The directory in which the changes of the step's root lie, whose files keep their numbers.
    changes: Option<OwnedFd>,
    /// The mount that is the step's root.
    mount: u64,
    /// Owners of files below that take no note, by their paths.
    below: BTreeMap<Vec<u8>, Owner>,
    /// The same in other mounts.
    mounted: BTreeMap<Vec<u8>, Owner>,
    table: BTreeMap<Key, Owner>,
    /// Where the root of the process lies that is served.
    pub(super) root: Vec<u8>,
}

/// What tells a file apart that takes no note.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// It is among the changes.
    Changed(FileId),
    /// It was below before the step, and is not touched.
    Below(Vec<u8>),
    /// It is in another file system, of this number.
    Elsewhere(u32, u32, FileId),
}

fn note() -> &'static CStr {
    // The constant of `owner`, as the kernel takes it.
    const NOTE: &CStr = c"user.ireko.owner";
    debug_assert_eq!(NOTE.to_bytes(), RECORD.as_bytes());
    NOTE
}

/// A path of an open file for this thread, which works in /proc.
pub(super) fn path_of(file: &OwnedFd) -> CString {
    CString::new(format!("self/fd/{}", file.as_raw_fd())).unwrap_or_default()
}

impl Book {
    /// Of a step whose root is this mount, and whose changes go into this directory.
    pub(super) fn new(
        (mount, changes): (u64, Option<OwnedFd>),
        below: BTreeMap<Vec<u8>, Owner>,
        mounted: BTreeMap<Vec<u8>, Owner>,
    ) -> Self {
        let mut book = Self { changes, mount, below, mounted, table: BTreeMap::new(), root: Vec::new() };
        book.take_laid();
        book
    }

    /// The same with owners of changed files that are known already.
    pub(super) fn knowing(mut self, earlier: OwnerTable) -> Self {
        self.table.extend(earlier.into_iter().map(|(id, owner)| (Key::Changed(id), owner)));
        self
    }

    /// Of a plain directory that holds all of the tree, files are known by their numbers from the start.
    fn take_laid(&mut self) {
        let Some(changes) = &self.changes else { return };
        for (path, owner) in std::mem::take(&mut self.below) {
            match CString::new(path.clone()).map(|path| id_in(changes, &path)) {
                Ok(Ok((id, _))) => {
                    self.table.insert(Key::Changed(id), owner);
                }
                _ => {
                    self.below.insert(path, owner);
                }
            }
        }
    }

    /// The owner of what is at a place; root where there is nothing.
    pub(super) fn owner(&self, place: &Place) -> Owner {
        let mut buffer = [0_u8; 64];
        match kernel::attribute(&place.path, note(), place.follow, &mut buffer) {
            Ok(found) => Owner::parse(found).unwrap_or(Owner::ROOT),
            Err(Errno(errno @ (libc::ENODATA | libc::EOPNOTSUPP))) if !self.is_simple() => {
                // What takes notes and has none is root's.
                if errno == libc::ENODATA && is_plain(place) {
                    return Owner::ROOT;
                }
                let flags = libc::O_PATH | if place.follow { 0 } else { libc::O_NOFOLLOW };
                kernel::open(&place.path, flags, 0).map_or(Owner::ROOT, |file| self.listed(&file))
            }
            Err(_) => Owner::ROOT,
        }
    }

    /// The owner of an open file.
    pub(super) fn owner_of(&self, file: &OwnedFd) -> Owner {
        self.owner(&Place { path: path_of(file), follow: true })
    }

    /// Whether notes say all.
    fn is_simple(&self) -> bool {
        self.table.is_empty() && self.below.is_empty() && self.mounted.is_empty()
    }

    /// Whether a link or pipe at any path could be taken for another's, so that what is made anew has to be listed.
    pub(super) fn lists_paths(&self) -> bool {
        !self.below.is_empty()
    }

    fn listed(&self, file: &OwnedFd) -> Owner {
        let key = self.key(file);
        let found = key.as_ref().and_then(|key| match key {
            Key::Below(path) => self.table.get(key).or_else(|| self.below.get(path)),
            Key::Elsewhere(..) => self.table.get(key).or_else(|| self.mounted.get(&self.path(file)?)),
            key => self.table.get(key).or_else(|| self.of_copied(key, file)),
        });
        found.copied().unwrap_or(Owner::ROOT)
    }

    /// A link that overlayfs copied up has the path that it had below.
    fn of_copied(&self, key: &Key, file: &OwnedFd) -> Option<&Owner> {
        if self.below.is_empty() || !matches!(key, Key::Changed(_)) {
            return None;
        }
        self.below.get(&self.path(file)?)
    }

    fn key(&self, file: &OwnedFd) -> Option<Key> {
        let mask = libc::STATX_INO | libc::STATX_TYPE | libc::STATX_BTIME | libc::STATX_MNT_ID;
        let found = kernel::statx(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH, mask).ok()?;
        if let (Some(changes), true) = (&self.changes, found.stx_mnt_id == self.mount) {
            let path = self.path(file)?;
            let there = CString::new(path.clone()).ok().and_then(|path| id_in(changes, &path).ok());
            let kind = |mode: u16| u32::from(mode) & libc::S_IFMT;
            return Some(match there {
                Some((id, mode)) if kind(mode) == kind(found.stx_mode) => Key::Changed(id),
                _ => Key::Below(path),
            });
        }
        Some(Key::Elsewhere(found.stx_dev_major, found.stx_dev_minor, id_of(&found)))
    }

    /// Where a file is, relative to the step's root.
    fn path(&self, file: &OwnedFd) -> Option<Vec<u8>> {
        let mut buffer = [0_u8; 4096];
        let found = raw::readlinkat(raw::AT_CWD, &path_of(file), &mut buffer).ok()?;
        let found = found.strip_prefix(b"/")?;
        Some([self.root.as_slice(), found].concat())
    }

    /// Gives an open file this owner.
    pub(super) fn give(&mut self, file: &OwnedFd, owner: Owner) -> Result<()> {
        let path = path_of(file);
        let text = owner.to_string();
        let value = (owner != Owner::ROOT).then_some(text.as_bytes());
        match kernel::set_attribute(&path, note(), value) {
            Ok(()) | Err(Errno(libc::ENODATA)) => return Ok(()),
            Err(Errno(libc::EPERM | libc::EOPNOTSUPP | libc::EACCES)) => {}
            Err(errno) => return Err(errno),
        }
        let Some(key) = self.key(file) else { return Ok(()) };
        if owner != Owner::ROOT || self.lists_paths() || self.table.contains_key(&key) {
            self.table.insert(key, owner);
        }
        Ok(())
    }

    /// The owner of an open file, if only its path tells it.
    pub(super) fn by_path(&self, file: &OwnedFd) -> Option<Owner> {
        let key = self.key(file)?;
        let found = match &key {
            _ if self.table.contains_key(&key) => None,
            Key::Below(path) => self.below.get(path),
            key => self.of_copied(key, file),
        };
        found.copied()
    }

    /// Notes a file's owner in the table.
    pub(super) fn list(&mut self, file: &OwnedFd, owner: Owner) {
        if let Some(key) = self.key(file) {
            self.table.insert(key, owner);
        }
    }

    /// What a scan of the step's changes has to know.
    pub(super) fn into_table(self) -> OwnerTable {
        let changed = self.table.into_iter().filter_map(|(key, owner)| match key {
            Key::Changed(id) => Some((id, owner)),
            _ => None,
        });
        changed.collect()
    }
}

fn is_plain(place: &Place) -> bool {
    let nofollow = if place.follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let found = kernel::statx(raw::AT_CWD, &place.path, nofollow, libc::STATX_TYPE);
    found.is_ok_and(|found| matches!(u32::from(found.stx_mode) & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR))
}

fn id_of(found: &libc::statx) -> FileId {
    let born = match found.stx_mask & libc::STATX_BTIME {
        0 => (0, 0),
        _ => (found.stx_btime.tv_sec, found.stx_btime.tv_nsec),
    };
    FileId { inode: found.stx_ino, born }
}

fn id_in(dir: &OwnedFd, path: &CStr) -> Result<(FileId, u16)> {
    let mask = libc::STATX_INO | libc::STATX_TYPE | libc::STATX_BTIME;
    let found = kernel::statx(dir.as_raw_fd(), path, libc::AT_SYMLINK_NOFOLLOW, mask)?;
    Ok((id_of(&found), found.stx_mode))
}
