//! Puts entries into a directory, in overlayfs form. Every step is relative to an open directory and follows no
//! symbolic link, so nothing can be written outside.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ireko_sys::owner::Owner;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawMode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod,
    fchown, fsetxattr, ftruncate, futimens, linkat, lsetxattr, makedev, mkdirat, mknodat, openat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::{Entry, Error, Kind, Meta, OverlayAttrs, Time, TreePath, xattr};

/// Holes are looked for in pieces of this size, as file systems make them.
const HOLE: usize = 4096;
/// Smaller files get no holes: there is little to save.
const HOLES_FROM: u64 = 64 << 10;

/// A directory that is being filled.
#[derive(Debug)]
pub(crate) struct Place {
    root: OwnedFd,
    attrs: OverlayAttrs,
    /// The open directories from the root down to the one used last.
    open: Vec<(TreePath, OwnedFd)>,
    owner: (u32, u32),
    pub(crate) substituted: Vec<(TreePath, String)>,
}

/// A regular file that is being written.
#[derive(Debug)]
pub(crate) struct FileDraft {
    file: File,
    at: u64,
    size: u64,
}

impl Place {
    pub(crate) fn new(dir: &Path, attrs: OverlayAttrs) -> Result<Self, Error> {
        let root = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|cause| Error::Dir { path: dir.to_owned(), cause: cause.into() })?;
        let owner = attrs.own();
        Ok(Self { root, attrs, open: Vec::new(), owner, substituted: Vec::new() })
    }

    /// The open directory that holds this path.
    fn parent(&mut self, path: &TreePath) -> io::Result<(BorrowedFd<'_>, PathBuf)> {
        let name = PathBuf::from(OsStr::from_bytes(path.file_name().unwrap_or(b".")));
        while self.open.last().is_some_and(|(dir, _)| dir == path || !path.is_within(dir)) {
            self.open.pop();
        }
        let wanted = path.parent().unwrap_or_default();
        let have = self.open.last().map(|(dir, _)| dir.clone()).unwrap_or_default();
        let mut at = have.clone();
        for step in wanted.below(&have).unwrap_or_default().names() {
            let above = self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
            let fd = openat(above, OsStr::from_bytes(step), DIR, Mode::empty())?;
            at = at.join(step).map_err(io::Error::other)?;
            self.open.push((at.clone(), fd));
        }
        Ok((self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd()), name))
    }

    /// Makes a directory; owner, mode and time come with [`Self::settle`].
    pub(crate) fn dir(&mut self, path: &TreePath) -> Result<(), Error> {
        self.deed(path, |parent, name| mkdirat(parent, name, Mode::from_raw_mode(0o700)))
    }

    /// Starts a regular file.
    pub(crate) fn file(&mut self, path: &TreePath, size: u64) -> Result<FileDraft, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.deed(path, |parent, name| openat(parent, name, flags, Mode::from_raw_mode(0o600)))?;
        Ok(FileDraft { file: File::from(file), at: 0, size })
    }

    /// Ends a regular file.
    pub(crate) fn finish_file(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        draft: &FileDraft,
    ) -> Result<(), Error> {
        let wrap = |cause: io::Error| Error::Write { path: path.clone(), cause };
        if draft.at < draft.size || draft.size >= HOLES_FROM {
            ftruncate(&draft.file, draft.size).map_err(|cause| wrap(cause.into()))?;
        }
        self.finish_open(path, meta, draft.file.as_fd()).map_err(wrap)
    }

    fn finish_open(&mut self, path: &TreePath, meta: &Meta, fd: BorrowedFd<'_>) -> io::Result<()> {
        if (meta.uid, meta.gid) != self.owner {
            let owner = match self.attrs {
                OverlayAttrs::Noted => xattr::note_open(fd, Owner::new(meta.uid, meta.gid)),
                _ => fchown(fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid))),
            };
            self.allow(path, "owner", owner)?;
        }
        for (name, value) in &meta.xattrs {
            let set = fsetxattr(fd, name.as_slice(), value, XattrFlags::empty());
            self.allow(path, "attribute", set)?;
        }
        fchmod(fd, Mode::from_raw_mode(meta.mode as RawMode))?;
        futimens(fd, &times(meta.mtime))?;
        Ok(())
    }

    /// Puts an entry that has no bytes of its own and is no directory.
    pub(crate) fn special(&mut self, entry: &Entry) -> Result<(), Error> {
        let path = &entry.path;
        match &entry.kind {
            Kind::Symlink { target } => {
                self.deed(path, |parent, name| symlinkat(OsStr::from_bytes(target), parent, name))?;
            }
            Kind::HardLink { target } => return self.link(target, path),
            Kind::Whiteout => return self.whiteout(path),
            Kind::Fifo => self.node(path, FileType::Fifo, 0)?,
            Kind::Char { major, minor } => {
                self.node(path, FileType::CharacterDevice, makedev(*major, *minor))?
            }
            Kind::Block { major, minor } => {
                self.node(path, FileType::BlockDevice, makedev(*major, *minor))?
            }
            Kind::File { .. } | Kind::Dir { .. } => return Ok(()),
        }
        self.finish_named(entry).map_err(|cause| Error::Write { path: path.clone(), cause })
    }

    /// Puts overlayfs's mark of a deletion.
    pub(crate) fn whiteout(&mut self, path: &TreePath) -> Result<(), Error> {
        let (kind, device) = (FileType::CharacterDevice, makedev(0, 0));
        let made =
            self.deed(path, |parent, name| match mknodat(parent, name, kind, Mode::empty(), device) {
                // A file system on which no overlay can stand, such as another overlay.
                Err(Errno::PERM | Errno::NOTSUP | Errno::INVAL) => Ok(false),
                made => made.map(|()| true),
            })?;
        if !made {
            self.substituted.push((path.clone(), "a deletion, kept in the index alone".to_owned()));
        }
        Ok(())
    }

    fn node(&mut self, path: &TreePath, kind: FileType, device: u64) -> Result<(), Error> {
        let mode = Mode::from_raw_mode(0o600);
        let substitute = self.deed(path, |parent, name| match mknodat(parent, name, kind, mode, device) {
            // In a user namespace: the index keeps the device, the directory an empty file in its place.
            Err(Errno::PERM) => mknodat(parent, name, FileType::RegularFile, mode, 0).map(|()| true),
            done => done.map(|()| false),
        })?;
        if substitute {
            self.substituted.push((path.clone(), "a device, kept as an empty file".to_owned()));
        }
        Ok(())
    }

    fn finish_named(&mut self, entry: &Entry) -> io::Result<()> {
        let (path, meta) = (&entry.path, &entry.meta);
        let symlink = matches!(entry.kind, Kind::Symlink { .. });
        let (owner, attrs) = (self.owner, self.attrs);
        let (parent, name) = self.parent(path)?;
        let mut results = Vec::new();
        let through = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(&name);
        if (meta.uid, meta.gid) != owner {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            let given = match attrs {
                OverlayAttrs::Noted => xattr::note(&through, Owner::new(meta.uid, meta.gid)),
                _ => chownat(parent, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW),
            };
            results.push(("owner", given));
        }
        for (name, value) in &meta.xattrs {
            results.push(("attribute", lsetxattr(&through, name.as_slice(), value, XattrFlags::empty())));
        }
        if !symlink {
            // The entry was made just now by this process, as no symbolic link.
            rustix::fs::chmodat(parent, &name, Mode::from_raw_mode(meta.mode as RawMode), AtFlags::empty())?;
        }
        utimensat(parent, &name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        for (what, result) in results {
            self.allow(path, what, result)?;
        }
        Ok(())
    }

    /// Makes another name of a file that is there already.
    pub(crate) fn link(&mut self, target: &TreePath, path: &TreePath) -> Result<(), Error> {
        let wrap = |cause: io::Error| Error::Write { path: path.clone(), cause };
        let (from, from_name) = self.parent(target).map_err(wrap)?;
        let from = from.try_clone_to_owned().map_err(wrap)?;
        self.deed(path, |parent, name| linkat(&from, &from_name, parent, name, AtFlags::empty()))
    }

    /// Removes what is at this path, with all below it.
    pub(crate) fn remove(&mut self, path: &TreePath) -> Result<(), Error> {
        self.open.retain(|(dir, _)| !dir.is_within(path));
        self.deed(path, remove_all)
    }

    /// Gives a directory its owner, mode, attributes, mark and time; once nothing more is put into it.
    pub(crate) fn settle(&mut self, path: &TreePath, meta: &Meta, opaque: bool) -> Result<(), Error> {
        let fd = self.deed(path, |parent, name| openat(parent, name, DIR, Mode::empty()))?;
        let mark = if opaque { self.mark_opaque(path, fd.as_fd()) } else { Ok(()) };
        mark.and_then(|()| self.finish_open(path, meta, fd.as_fd()))
            .map_err(|cause| Error::Write { path: path.clone(), cause })
    }

    fn mark_opaque(&mut self, path: &TreePath, fd: BorrowedFd<'_>) -> io::Result<()> {
        let name = [self.attrs.prefix(), b"opaque"].concat();
        let set = fsetxattr(fd, name.as_slice(), b"y", XattrFlags::empty());
        self.allow(path, "mark", set)
    }

    /// Sets a directory's time again, after something in it was removed.
    pub(crate) fn touch_dir(&mut self, path: &TreePath, mtime: Time) -> Result<(), Error> {
        self.deed(path, |parent, name| utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Takes the mark of an opaque directory away.
    pub(crate) fn unmark(&mut self, path: &TreePath) -> Result<(), Error> {
        let name = [self.attrs.prefix(), b"opaque"].concat();
        self.deed(path, |parent, file| {
            let fd = openat(parent, file, DIR, Mode::empty())?;
            rustix::fs::fremovexattr(fd, name.as_slice())
        })
    }

    fn deed<T>(
        &mut self,
        path: &TreePath,
        deed: impl FnOnce(BorrowedFd<'_>, &Path) -> Result<T, Errno>,
    ) -> Result<T, Error> {
        let done = self.parent(path).and_then(|(parent, name)| Ok(deed(parent, &name)?));
        done.map_err(|cause| Error::Write { path: path.clone(), cause })
    }

    /// Notes what this process may not set; the index keeps it.
    fn allow(&mut self, path: &TreePath, what: &str, result: Result<(), Errno>) -> io::Result<()> {
        match result {
            Err(cause @ (Errno::PERM | Errno::NOTSUP | Errno::INVAL)) => {
                self.substituted.push((path.clone(), format!("its {what} cannot be set here: {cause}")));
                Ok(())
            }
            result => Ok(result?),
        }
    }
}

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

impl FileDraft {
    /// Takes all bytes of another file: shared where the file system can, else copied by the kernel.
    pub(crate) fn fill(&mut self, mut from: &File) -> io::Result<()> {
        let copied = match rustix::fs::ioctl_ficlone(&self.file, from) {
            Ok(()) => self.file.metadata()?.len(),
            Err(_) => io::copy(&mut from, &mut &self.file)?,
        };
        self.at = self.size;
        if copied == self.size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Writes the next bytes; blocks of zeros become holes in a file big enough for them to matter.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size < HOLES_FROM {
            return self.write_at(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let lead = (HOLE - (self.at % HOLE as u64) as usize).min(rest.len());
            let zero = rest[..lead].iter().all(|&byte| byte == 0);
            let mut end = lead;
            while end < rest.len() {
                let next = (end + HOLE).min(rest.len());
                if rest[end..next].iter().all(|&byte| byte == 0) != zero {
                    break;
                }
                end = next;
            }
            if zero {
                self.at += end as u64;
            } else {
                self.write_at(&rest[..end])?;
            }
            rest = &rest[end..];
        }
        Ok(())
    }

    fn write_at(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.file, bytes, self.at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.at += count as u64;
                    bytes = &bytes[count..];
                }
                Err(Errno::INTR) => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }
}

fn times(mtime: Time) -> Timestamps {
    let time = Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Removes a file or a directory with all below it, without following links.
pub(crate) fn remove_all(parent: BorrowedFd<'_>, name: &Path) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        done => return done,
    }
    let dir = openat(parent, name, DIR, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(PathBuf::from(OsStr::from_bytes(entry.file_name().to_bytes())));
        }
    }
    for inner in names {
        remove_all(dir.as_fd(), &inner)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}
