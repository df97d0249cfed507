//! Reading directories of a context, one or a whole subtree, by handles and with the ignore file in mind.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use ireko_dockerfile::ignore::{Patterns, State};
use ireko_layer::{Meta, Time, TreePath, Xattrs};
use ireko_store::FileStat;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::source::{Bytes, Item, ItemKind};

/// A directory that was read.
pub(super) struct Dir {
    /// The directory itself, its attributes known.
    pub(super) item: Arc<Item>,
    /// What is in it, sorted by name.
    pub(super) entries: Vec<Listed>,
    /// Lines of the ignore file that kept something out of it: line, pattern, how many.
    pub(super) kept_out: Vec<(u32, String, u64)>,
}

/// One name of a directory.
pub(super) struct Listed {
    pub(super) item: Arc<Item>,
    /// Ignored itself; something below it may be let in.
    pub(super) hidden: bool,
    /// Of a directory: which patterns matched on the way.
    pub(super) state: Option<State>,
}

impl Dir {
    pub(super) fn get(&self, name: &[u8]) -> Option<&Listed> {
        let at = self
            .entries
            .binary_search_by(|listed| listed.item.path.file_name().unwrap_or_default().cmp(name));
        at.ok().map(|at| &self.entries[at])
    }
}

/// Room for names of one directory at a time.
const NAMES: usize = 32 << 10;

const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a directory below `root`; no link on the way is followed.
pub(super) fn open(root: &OwnedFd, path: &TreePath) -> io::Result<OwnedFd> {
    let name = if path.is_root() { std::path::Path::new(".") } else { path.as_path() };
    open_beneath(root, name, DIR_FLAGS)
}

/// Opens what is at a path below `root`; no link on the way is followed.
pub(super) fn open_beneath(root: impl AsFd, path: &std::path::Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return Ok(opened?),
        }
    }
}

/// Reads one directory. `item` is the directory as its parent lists it; the root has none.
pub(super) fn read(
    fd: &OwnedFd,
    path: &TreePath,
    item: Option<Arc<Item>>,
    ignore: &Patterns,
    state: &State,
) -> io::Result<Dir> {
    let mut entries = Vec::new();
    let mut kept_out: Vec<(u32, String, u64)> = Vec::new();
    let mut room: Vec<u8> = Vec::with_capacity(NAMES);
    let looker = Looker { fd, ignore, state };
    let mut names = RawDir::new(fd, room.spare_capacity_mut());
    while let Some(entry) = names.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let child = path.join(name.to_bytes()).map_err(io::Error::other)?;
        match looker.look(name, entry.file_type(), child)? {
            Look::There(listed) => entries.push(*listed),
            Look::Gone => {}
            Look::KeptOut(line, pattern) => match kept_out.iter_mut().find(|(known, ..)| *known == line) {
                Some((.., count)) => *count += 1,
                None => kept_out.push((line, pattern.to_owned(), 1)),
            },
        }
    }
    entries.sort_by(|left: &Listed, right| left.item.path.cmp(&right.item.path));
    let item = match item {
        Some(item) => item,
        None => {
            let statx = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
            Arc::new(Item { path: path.clone(), meta: meta_of(&statx), kind: ItemKind::Dir })
        }
    };
    let xattrs = xattrs(fd)?;
    let item = match xattrs.is_empty() {
        true => item,
        false => Arc::new(Item { meta: Meta { xattrs, ..item.meta.clone() }, ..Item::clone(&item) }),
    };
    Ok(Dir { item, entries, kept_out })
}

enum Look<'a> {
    There(Box<Listed>),
    /// A socket, or a name that is gone again.
    Gone,
    KeptOut(u32, &'a str),
}

/// Looks at the names of one directory.
struct Looker<'a> {
    fd: &'a OwnedFd,
    ignore: &'a Patterns,
    state: &'a State,
}

impl<'a> Looker<'a> {
    fn look(&self, name: &CStr, kind: FileType, path: TreePath) -> io::Result<Look<'a>> {
        let mut statx = None;
        let mut kind = kind;
        if kind == FileType::Unknown {
            let Some(found) = self.stat(name)? else { return Ok(Look::Gone) };
            kind = FileType::from_raw_mode(found.stx_mode.into());
            statx = Some(found);
        }
        let (mut hidden, mut inner) = (false, None);
        if kind == FileType::Directory {
            let below = self.ignore.enter(self.state, &path);
            if below.excluded() {
                if self.ignore.prunable(&below, &path) {
                    let decision = self.ignore.decided(&below);
                    return Ok(decision
                        .map_or(Look::Gone, |decision| Look::KeptOut(decision.line, decision.pattern)));
                }
                hidden = true;
            }
            inner = Some(below);
        } else if let Some(decision) = self.ignore.decide_in(self.state, &path)
            && decision.excluded
        {
            return Ok(Look::KeptOut(decision.line, decision.pattern));
        }
        if statx.is_none() {
            statx = self.stat(name)?;
        }
        let Some(statx) = statx else { return Ok(Look::Gone) };
        let Some(kind) = kind_of(self.fd, name, &statx)? else { return Ok(Look::Gone) };
        // What was a directory when its name was read may be something else by now.
        let state = inner.filter(|_| matches!(kind, ItemKind::Dir));
        let item = Arc::new(Item { path, meta: meta_of(&statx), kind });
        Ok(Look::There(Box::new(Listed { item, hidden, state })))
    }

    fn stat(&self, name: &CStr) -> io::Result<Option<Statx>> {
        match rustix::fs::statx(self.fd, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
            Ok(statx) => Ok(Some(statx)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// `None` for a socket, which no layer can hold.
fn kind_of(fd: &OwnedFd, name: &CStr, statx: &Statx) -> io::Result<Option<ItemKind>> {
    let device = (statx.stx_rdev_major, statx.stx_rdev_minor);
    Ok(Some(match FileType::from_raw_mode(statx.stx_mode.into()) {
        FileType::RegularFile => {
            let stat = file_stat(statx);
            let twin = (statx.stx_nlink > 1).then_some((stat.dev, stat.ino));
            ItemKind::File { size: statx.stx_size, twin, bytes: Bytes::Stat(stat) }
        }
        FileType::Directory => ItemKind::Dir,
        FileType::Symlink => {
            ItemKind::Symlink { target: rustix::fs::readlinkat(fd, name, Vec::new())?.into_bytes() }
        }
        FileType::CharacterDevice => ItemKind::Char { major: device.0, minor: device.1 },
        FileType::BlockDevice => ItemKind::Block { major: device.0, minor: device.1 },
        FileType::Fifo => ItemKind::Fifo,
        _ => return Ok(None),
    }))
}

fn meta_of(statx: &Statx) -> Meta {
    Meta { mode: u32::from(statx.stx_mode) & 0o7777, mtime: time_of(statx.stx_mtime), ..Meta::default() }
}

fn time_of(time: rustix::fs::StatxTimestamp) -> Time {
    Time::new(time.tv_sec, time.tv_nsec)
}

/// What the stat cache compares.
pub(super) fn file_stat(statx: &Statx) -> FileStat {
    FileStat {
        dev: u64::from(statx.stx_dev_major) << 32 | u64::from(statx.stx_dev_minor),
        ino: statx.stx_ino,
        size: statx.stx_size,
        mtime: time_of(statx.stx_mtime),
        ctime: time_of(statx.stx_ctime),
    }
}

/// The attributes that go along with a copied file.
pub(super) fn xattrs(fd: impl AsFd) -> io::Result<Xattrs> {
    let mut names = [MaybeUninit::<u8>::uninit(); 4096];
    let names = match rustix::fs::flistxattr(fd.as_fd(), &mut names) {
        Ok(([], _)) => return Ok(Xattrs::new()),
        Ok((names, _)) => names.to_vec(),
        Err(Errno::RANGE) => {
            let mut names = vec![0; 64 << 10];
            let length = rustix::fs::flistxattr(fd.as_fd(), names.as_mut_slice())?;
            names.truncate(length);
            names
        }
        // A file system without attributes, or a security module that shows none.
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => return Ok(Xattrs::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut all = Xattrs::new();
    for name in names.split(|byte| *byte == 0).filter(|name| goes_along(name)) {
        let mut value = vec![0; 64 << 10];
        match rustix::fs::fgetxattr(fd.as_fd(), name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                all.insert(name.to_vec(), value);
            }
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(all)
}

/// Labels of this machine's security module stay behind, and overlayfs's own marks.
fn goes_along(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// Directories that were read, by path.
pub(super) type Found = Vec<(TreePath, Arc<Dir>)>;

/// A directory that could not be read, and why.
pub(super) type Unreadable = (TreePath, io::Error);

/// Reads everything below a directory by as many threads as there are.
pub(super) fn walk(
    root: &OwnedFd,
    path: &TreePath,
    dir: &Arc<Dir>,
    ignore: &Patterns,
) -> Result<Found, Unreadable> {
    let fd = Arc::new(open(root, path).map_err(|cause| (path.clone(), cause))?);
    let walk = Walk { ignore, found: Mutex::default(), failed: Mutex::new(None) };
    rayon::scope(|scope| walk.enter_all(scope, &fd, dir));
    match walk.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failed) => Err(failed),
        None => Ok(walk.found.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

struct Walk<'a> {
    ignore: &'a Patterns,
    found: Mutex<Found>,
    failed: Mutex<Option<Unreadable>>,
}

impl Walk<'_> {
    fn enter_all<'s>(&'s self, scope: &rayon::Scope<'s>, fd: &Arc<OwnedFd>, dir: &Arc<Dir>) {
        for (at, listed) in dir.entries.iter().enumerate() {
            if listed.state.is_some() {
                let (fd, dir) = (Arc::clone(fd), Arc::clone(dir));
                scope.spawn(move |scope| self.enter(scope, &fd, &dir.entries[at]));
            }
        }
    }

    fn enter<'s>(&'s self, scope: &rayon::Scope<'s>, parent: &Arc<OwnedFd>, listed: &Listed) {
        let path = &listed.item.path;
        match self.read(parent, listed) {
            Ok((fd, dir)) => {
                let dir = Arc::new(dir);
                self.found
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((path.clone(), Arc::clone(&dir)));
                self.enter_all(scope, &Arc::new(fd), &dir);
            }
            Err(cause) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert((path.clone(), cause));
            }
        }
    }

    fn read(&self, parent: &Arc<OwnedFd>, listed: &Listed) -> io::Result<(OwnedFd, Dir)> {
        let name = listed.item.path.file_name().unwrap_or_default();
        let fd = rustix::fs::openat(parent, name, DIR_FLAGS, Mode::empty())?;
        let state = listed.state.as_ref().expect("only directories are entered, and each has a state");
        let dir = read(&fd, &listed.item.path, Some(Arc::clone(&listed.item)), self.ignore, state)?;
        Ok((fd, dir))
    }
}
