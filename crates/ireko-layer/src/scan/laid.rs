//! What a tree was like when it was laid out for a step: by that, what the step did not touch is known.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ireko_sys::owner::Owner;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, StatxFlags, openat, statat, statx};

use super::Laid;
use crate::{Error, Meta, OverlayAttrs, Time, TreePath, Xattrs, xattr};

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A tree as it was before a step ran on it.
#[derive(Clone, Debug, Default)]
pub struct LaidOut {
    prints: BTreeMap<TreePath, Print>,
}

/// Which file it is: its inode, and when that was made, since numbers are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    pub(super) born: Option<Time>,
}

/// One path of the tree.
#[derive(Clone, Debug)]
pub(super) struct Print {
    identity: Identity,
    changed: Time,
    meta: Meta,
}

impl LaidOut {
    /// Looks at everything in `dir`. The step may start after this, and no earlier.
    pub fn of(dir: &Path, attrs: OverlayAttrs) -> Result<Self, Error> {
        let root = open(dir)?;
        let mut laid = Self::default();
        laid.add(root.as_fd(), &TreePath::root(), attrs)?;
        Ok(laid)
    }

    /// The latest change. A step that starts later by the clock of the tree's file system leaves a trace of whatever
    /// it touches.
    pub fn latest(&self) -> Time {
        self.prints.values().map(|print| print.changed).max().unwrap_or_default()
    }

    fn add(&mut self, dir: BorrowedFd<'_>, path: &TreePath, attrs: OverlayAttrs) -> Result<(), Error> {
        let fail = |path: &TreePath, cause: io::Error| Error::Read { path: path.clone(), cause };
        for name in names(dir).map_err(|cause| fail(path, cause))? {
            let (inner, name) = (path.join(&name)?, OsStr::from_bytes(&name));
            let (print, is_dir) = Print::of(dir, name, attrs).map_err(|cause| fail(&inner, cause))?;
            self.prints.insert(inner.clone(), print);
            if is_dir {
                let open = openat(dir, name, DIR, Mode::empty());
                self.add(open.map_err(|cause| fail(&inner, cause.into()))?.as_fd(), &inner, attrs)?;
            }
        }
        Ok(())
    }

    /// What was laid out at this path, if that is what is there now.
    pub(super) fn print(&self, path: &TreePath, now: &Identity) -> Option<&Print> {
        self.prints.get(path).filter(|print| print.identity == *now)
    }
}

impl Print {
    fn of(dir: BorrowedFd<'_>, name: &OsStr, attrs: OverlayAttrs) -> io::Result<(Self, bool)> {
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let through = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
        // Which marks of overlayfs there are does not matter: none belongs to a layer.
        let found = xattr::read(&through, attrs)?;
        let print = Self {
            identity: identity(dir, name)?,
            changed: changed(&stat),
            meta: meta_of(&stat, found.kept, found.owner),
        };
        Ok((print, FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// What of it is as it was. A change in the very tick of the clock in which it was laid out leaves no trace in its
    /// change time, so that tick must be over when the step starts.
    pub(super) fn laid(&self, stat: &Stat, meta: &Meta, started: Time) -> Laid {
        let same_meta = Meta { mtime: self.meta.mtime, ..meta.clone() } == self.meta;
        match same_meta {
            true if changed(stat) == self.changed && self.changed < started => Laid::All,
            true => Laid::Meta,
            false => Laid::Nothing,
        }
    }
}

fn changed(stat: &Stat) -> Time {
    Time { secs: stat.st_ctime, nanos: stat.st_ctime_nsec as u32 }
}

pub(super) fn identity(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Identity> {
    let flags = StatxFlags::INO | StatxFlags::BTIME;
    let found = statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, flags)?;
    let born = (found.stx_mask & StatxFlags::BTIME.bits() != 0)
        .then_some(Time { secs: found.stx_btime.tv_sec, nanos: found.stx_btime.tv_nsec });
    Ok(Identity { inode: found.stx_ino, born })
}

pub(super) fn meta_of(stat: &Stat, xattrs: Xattrs, noted: Option<Owner>) -> Meta {
    let symlink = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    let mtime = Time { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 };
    let mode = if symlink { 0o777 } else { stat.st_mode & 0o7777 };
    let Owner { uid, gid } = noted.unwrap_or(Owner::new(stat.st_uid, stat.st_gid));
    Meta { mode, uid, gid, mtime, xattrs }
}

/// The names in a directory, sorted.
pub(super) fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_bytes().to_vec());
        }
    }
    names.sort();
    Ok(names)
}

/// Opens a directory to look into it.
pub(crate) fn open(dir: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty())
        .map_err(|cause| Error::Dir { path: dir.to_owned(), cause: cause.into() })
}
