//! Deeds on files: replace whole, lock, remove a tree whatever its modes.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Renames onto `to`, making its parent the first time.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(|cause| Error::io("create directory", parent, cause))?;
            }
            fs::rename(from, to).map_err(|cause| Error::io("publish", to, cause))
        }
        other => other.map_err(|cause| Error::io("publish", to, cause)),
    }
}

/// Renames unless something is there already; tells whether it did.
pub(crate) fn publish_new(from: &Path, to: &Path) -> Result<bool> {
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, from, cwd, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
        Err(error) => Err(Error::io("publish", to, error)),
    }
}

/// Makes a new file for writing, which must not exist.
pub(crate) fn create_new(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|cause| Error::io("create", path, cause))
}

/// Reads a whole file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(cause) => Err(Error::io("read", path, cause)),
    }
}

/// Whether the answer means that there is nothing at that path.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The names in a directory, sorted; none where there is no directory.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(cause) => return Err(Error::io("list", dir, cause)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|cause| Error::io("list", dir, cause))?;
        // Nothing the store writes has a name outside ASCII; what is not ours is left alone.
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Files two levels deep (`ab/<name>`), sorted.
pub(crate) fn fanned_names(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for fan in names(dir)? {
        let below = dir.join(&fan);
        for name in names(&below)? {
            let path = below.join(&name);
            found.push((name, path));
        }
    }
    Ok(found)
}

/// A lock that is held. Given up by name when it is dropped: closing the file alone would leave it with whoever was
/// forked meanwhile and has the same open file.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// The lock of a file that was locked just now.
    pub(crate) fn of(file: File) -> Self {
        Self(file)
    }
}

impl std::ops::Deref for Lock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// How a lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    Exclusive,
}

/// Takes a lock on the file at `path`, made if absent; held until the file is dropped. Each call opens it anew, so
/// threads of one process exclude one another as processes do.
pub(crate) fn lock(path: &Path, hold: Hold) -> Result<Lock> {
    let file = open_lock(path)?;
    let taken = match hold {
        Hold::Shared => file.lock_shared(),
        Hold::Exclusive => file.lock(),
    };
    taken.map_err(|cause| Error::io("lock", path, cause))?;
    Ok(Lock(file))
}

/// As [`lock`], exclusively; `None` where somebody has it.
pub(crate) fn try_lock(path: &Path, hold: Hold) -> Result<Option<Lock>> {
    let file = open_lock(path)?;
    let taken = match hold {
        Hold::Shared => file.try_lock_shared(),
        Hold::Exclusive => file.try_lock(),
    };
    match taken {
        Ok(()) => Ok(Some(Lock(file))),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(cause)) => Err(Error::io("lock", path, cause)),
    }
}

fn open_lock(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|cause| Error::io("open lock", path, cause))
}

/// Whether the open file is still what lies at `path`: a lock on a file that was removed guards nothing.
pub(crate) fn is_still_at(file: &File, path: &Path) -> bool {
    match (rustix::fs::fstat(file), rustix::fs::stat(path)) {
        (Ok(ours), Ok(theirs)) => (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino),
        _ => false,
    }
}

/// Sets the modification time to now, by the kernel's clock. Only a hint for what to drop first, so it may fail.
pub(crate) fn touch(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let _ = rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::empty());
}

/// Seconds of the modification time; zero where there is nothing.
pub(crate) fn modified(path: &Path) -> i64 {
    rustix::fs::lstat(path).map_or(0, |stat| stat.st_mtime)
}

/// Bytes on disk of one file; zero where there is none.
pub(crate) fn bytes_of(path: &Path) -> u64 {
    rustix::fs::lstat(path).map_or(0, |stat| allocated(&stat))
}

/// The same, or `None` where there is none.
pub(crate) fn size_on_disk(path: &Path) -> Option<u64> {
    rustix::fs::lstat(path).ok().map(|stat| allocated(&stat))
}

/// Bytes on disk of everything at and below a path.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let own = bytes_of(path);
    let Ok(entries) = fs::read_dir(path) else { return own };
    entries.flatten().fold(own, |sum, entry| {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        sum + if is_dir { bytes_below(&entry.path()) } else { bytes_of(&entry.path()) }
    })
}

fn allocated(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

/// What removing a tree came to.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    /// Bytes given back to the disk.
    pub(crate) freed: u64,
    /// What could not be removed, and why.
    pub(crate) problems: Vec<Error>,
}

/// Removes a file or a whole directory, making directories writable where that is what is in the way. Never follows a
/// link and never enters another file system: a mount left behind is reported and stays.
pub(crate) fn remove(path: &Path) -> Removal {
    let mut remover =
        Remover { top: path.to_owned(), device: 0, deep: Vec::new(), moved: 0, removal: Removal::default() };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return remover.removal };
    let opened = open_dir(rustix::fs::CWD, parent.as_os_str().as_encoded_bytes());
    match opened {
        Err(Errno::NOENT | Errno::NOTDIR) => {}
        Err(error) => remover.problem("open directory", error),
        Ok(parent) => {
            let name = CString::new(name.as_encoded_bytes()).unwrap_or_default();
            if let Ok(stat) = rustix::fs::statat(&parent, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                remover.device = stat.st_dev;
                remover.entry(parent.as_fd(), &name, &parent, 0);
                while let Some(name) = remover.deep.pop() {
                    remover.entry(parent.as_fd(), &name, &parent, 0);
                }
            }
        }
    }
    remover.removal
}

struct Remover {
    top: PathBuf,
    device: u64,
    /// What was moved up beside the top, to be removed next.
    deep: Vec<CString>,
    moved: u32,
    removal: Removal,
}

impl Remover {
    /// How many directories are held open at one time; what lies deeper is moved up first, so that no depth can use
    /// up the descriptors.
    const DEPTH: u32 = 100;

    fn problem(&mut self, deed: &'static str, error: Errno) {
        self.removal.problems.push(Error::io(deed, &self.top, error));
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr, top: &OwnedFd, depth: u32) {
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return,
            Err(error) => return self.problem("look at what is below", error),
        };
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_dir && stat.st_dev != self.device {
            return self.problem("remove a mount left below", Errno::BUSY);
        }
        if is_dir && depth >= Self::DEPTH && self.move_up(parent, name, top) {
            return;
        }
        if is_dir {
            self.children(parent, name, top, depth);
        }
        let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let removed = match rustix::fs::unlinkat(parent, name, flags) {
            Err(Errno::ACCESS) => {
                let _ = rustix::fs::fchmod(parent, Mode::RWXU);
                rustix::fs::unlinkat(parent, name, flags)
            }
            other => other,
        };
        match removed {
            Ok(()) if is_dir || stat.st_nlink == 1 => self.removal.freed += allocated(&stat),
            Ok(()) | Err(Errno::NOENT) => {}
            // Something below stayed and has been reported.
            Err(Errno::NOTEMPTY | Errno::EXIST) if !self.removal.problems.is_empty() => {}
            Err(error) => self.problem("remove", error),
        }
    }

    fn children(&mut self, parent: BorrowedFd<'_>, name: &CStr, top: &OwnedFd, depth: u32) {
        let dir = match open_dir(parent, name.to_bytes()) {
            Err(Errno::ACCESS) => {
                let _ = rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty());
                open_dir(parent, name.to_bytes())
            }
            other => other,
        };
        let dir = match dir {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return,
            Err(error) => return self.problem("open a directory below", error),
        };
        let listed = rustix::fs::Dir::read_from(&dir).map(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name().to_owned());
            names.filter(|name| name.as_bytes() != b"." && name.as_bytes() != b"..").collect::<Vec<_>>()
        });
        match listed {
            Ok(names) => names.iter().for_each(|name| self.entry(dir.as_fd(), name, top, depth + 1)),
            Err(error) => self.problem("list a directory below", error),
        }
    }

    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &CStr, top: &OwnedFd) -> bool {
        let stem = self.top.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.moved += 1;
        let Ok(moved) = CString::new(format!("{stem}.deep{}", self.moved)) else { return false };
        if rustix::fs::renameat(parent, name, top, &*moved).is_err() {
            return false;
        }
        self.deep.push(moved);
        true
    }
}

fn open_dir(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests;
