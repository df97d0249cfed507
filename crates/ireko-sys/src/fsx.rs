//! What the standard library and rustix lack for files: locks as guards, attributes by directory handle,
//! read-only maps, look-ups inside a root.

mod mapped;
mod xattr;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub use self::mapped::Mapped;
pub use self::xattr::{get_xattr, list_xattrs, remove_xattr, set_xattr};
use crate::error::{Error, Result};

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock on a file, given back when this is dropped or the process dies, in whatever way.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, waiting for it. The file is made if it is missing.
    pub fn take(path: &Path, kind: LockKind) -> Result<Self> {
        Self::acquire(path, kind, false)?.ok_or_else(|| Error::path("lock", path, Errno::AGAIN))
    }

    /// Takes the lock if that needs no waiting.
    pub fn try_take(path: &Path, kind: LockKind) -> Result<Option<Self>> {
        Self::acquire(path, kind, true)
    }

    fn acquire(path: &Path, kind: LockKind, at_once: bool) -> Result<Option<Self>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
            .map_err(|errno| Error::path("open lock", path, errno))?;
        let lock = Self { file: File::from(file), path: path.to_owned() };
        Ok(lock.flock(kind, at_once)?.then_some(lock))
    }

    fn flock(&self, kind: LockKind, at_once: bool) -> Result<bool> {
        let operation = match (kind, at_once) {
            (LockKind::Shared, false) => FlockOperation::LockShared,
            (LockKind::Shared, true) => FlockOperation::NonBlockingLockShared,
            (LockKind::Exclusive, false) => FlockOperation::LockExclusive,
            (LockKind::Exclusive, true) => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            match rustix::fs::flock(&self.file, operation) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if at_once => return Ok(false),
                Err(errno) => return Err(Error::path("lock", &self.path, errno)),
            }
        }
    }

    /// Holds it in another way, if that needs no waiting. If not, it may be lost: take it anew.
    pub fn try_convert(&self, kind: LockKind) -> Result<bool> {
        self.flock(kind, true)
    }

    /// The locked file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Text that is the same until the machine is started anew.
pub fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|cause| Error::path("read", path, cause))
}

/// Opens `path` below `root` without ever leaving it: links and `..` are followed as if `root` were `/`.
pub fn open_in_root(root: impl AsFd, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    retry(|| rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, mode, resolve))
}

/// Opens `path` below `root`, refusing links in any place of it and anything that leads out.
pub fn open_beneath(root: impl AsFd, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    retry(|| rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, mode, resolve))
}

/// The kernel gives up with `EAGAIN` when a rename elsewhere might have misled it.
fn retry<T>(mut open: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// The path by which the kernel reaches `name` in the directory behind `dir`.
fn handle_path(dir: impl AsFd, name: &OsStr) -> PathBuf {
    use std::os::fd::AsRawFd;
    let dir = dir.as_fd().as_raw_fd();
    Path::new("/proc/self/fd").join(dir.to_string()).join(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn locks_exclude_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path, LockKind::Shared).unwrap();
        let second = Lock::try_take(&path, LockKind::Shared).unwrap().unwrap();
        assert!(Lock::try_take(&path, LockKind::Exclusive).unwrap().is_none());
        drop((first, second));
        let alone = Lock::try_take(&path, LockKind::Exclusive).unwrap().unwrap();
        assert!(Lock::try_take(&path, LockKind::Shared).unwrap().is_none());
        assert!(alone.try_convert(LockKind::Shared).unwrap());
    }

    #[test]
    fn attributes_of_links_and_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"x").unwrap();
        let handle = File::open(dir.path()).unwrap();
        let (name, key) = (OsStr::new("file"), OsStr::new("user.test"));
        if let Err(errno) = set_xattr(&handle, name, key, b"value") {
            println!("skipped because attributes are refused here: {errno}");
            return;
        }
        assert_eq!(get_xattr(&handle, name, key).unwrap().as_deref(), Some(b"value".as_slice()));
        assert!(list_xattrs(&handle, name).unwrap().contains(&key.to_owned()));
        remove_xattr(&handle, name, key).unwrap();
        assert_eq!(get_xattr(&handle, name, key).unwrap(), None);
    }

    #[test]
    fn maps_hold_the_bytes() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(&*Mapped::whole(&file).unwrap(), b"");
        file.write_all(b"abc").unwrap();
        assert_eq!(&*Mapped::whole(&file).unwrap(), b"abc");
    }

    #[test]
    fn a_root_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let open = |how: fn(&File, &Path, OFlags, Mode) -> rustix::io::Result<OwnedFd>| {
            how(&root, Path::new("out"), OFlags::RDONLY, Mode::empty()).unwrap_err()
        };
        assert_eq!(open(|root, path, flags, mode| open_in_root(root, path, flags, mode)), Errno::NOENT);
        assert_eq!(open(|root, path, flags, mode| open_beneath(root, path, flags, mode)), Errno::LOOP);
    }

    #[test]
    fn the_boot_id_has_the_form_of_a_uuid() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
