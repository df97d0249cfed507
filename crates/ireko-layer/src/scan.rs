//! What a step changed, read from overlayfs's upper directory, or from a whole tree that was laid out for it.

mod laid;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ireko_oci::FileHash;
use ireko_sys::owner::{FileId, Owner, OwnerTable};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, major, minor, openat, readlinkat, statat};

pub use self::laid::LaidOut;
pub(crate) use self::laid::open;
use self::laid::{identity, meta_of, names};
use crate::place::Place;
use crate::{
    Change, ChangeKind, Data, Entry, Error, Kind, Meta, OverlayAttrs, Time, TreePath, View, source, xattr,
};

/// How an upper directory is read.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// When the step started, by the clock of the upper directory's file system.
    pub started: Time,
    /// The form of the marks.
    pub attrs: OverlayAttrs,
    /// Paths that are not the step's doing (mount points made for it); left out with all below them.
    pub skip: Vec<TreePath>,
    /// Where owners are noted: those of files that take no note, as far as the step gave them one.
    pub owners: OwnerTable,
}

/// What a step changed.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The changes in order.
    pub changes: Vec<Change>,
    /// Paths of the upper that are no change, and are left out.
    pub dropped: Vec<TreePath>,
    /// Sockets: left out since no tar can hold them; they are among `dropped` too, or a deletion among `changes`.
    pub sockets: Vec<TreePath>,
    /// Directories marked opaque that hide nothing: the layer does not say it of them.
    pub(crate) unmarked: Vec<TreePath>,
    attrs: Option<OverlayAttrs>,
}

/// Reads an upper directory: what differs from the layers below, with every directory above it.
pub fn scan_upper(upper: &Path, below: &View, options: &ScanOptions) -> Result<Scan, Error> {
    scan(upper, None, below, options)
}

/// Reads a whole tree that [`SnapshotStack::lay_out`](crate::SnapshotStack::lay_out) made: the same answer as
/// [`scan_upper`]'s had the step run on an overlay. Where overlayfs breaks a hard link to a file below, all its names
/// are changed here.
///
/// What was not touched since it was laid out is known by its inode and change time and is not read again; all else
/// is compared with the layers below, by its bytes where nothing else differs.
pub fn scan_tree(dir: &Path, laid: &LaidOut, below: &View, options: &ScanOptions) -> Result<Scan, Error> {
    scan(dir, Some(laid), below, options)
}

fn scan(dir: &Path, laid: Option<&LaidOut>, below: &View, options: &ScanOptions) -> Result<Scan, Error> {
    let root = Arc::new(open(dir)?);
    let mut walk = Walk { below, options, laid, seen: Vec::new(), links: BTreeMap::new() };
    walk.dir(root.as_fd(), &TreePath::root(), Hidden::No)?;
    let Walk { mut seen, links, .. } = walk;
    let linked: BTreeSet<(u64, u64)> =
        links.into_iter().filter(|(_, names)| *names > 1).map(|(inode, _)| inode).collect();
    let regrouped = match laid {
        None => linked.clone(),
        Some(_) => regrouped(&seen, &linked, below),
    };
    let mut judge = Judge { root, below, options, linked, regrouped, inherited: None };
    let mut scan = Scan { attrs: Some(options.attrs), ..Scan::default() };
    let mut keep: Vec<bool> = seen.iter().map(|seen| judge.differs(seen)).collect::<Result<_, _>>()?;
    let mut first: BTreeMap<(u64, u64), TreePath> = BTreeMap::new();
    // From the last to the first, so that what a directory holds is decided before it is.
    let mut needed: BTreeSet<TreePath> = BTreeSet::new();
    for (at, seen) in seen.iter().enumerate().rev() {
        keep[at] |= needed.remove(&seen.path);
        if keep[at] {
            needed.extend(seen.path.parent());
        }
    }
    for (seen, keep) in seen.drain(..).zip(keep) {
        if matches!(seen.what, What::Socket) {
            scan.sockets.push(seen.path.clone());
        }
        if !keep {
            scan.dropped.push(seen.path);
            continue;
        }
        if seen.marked && !matches!(seen.what, What::Dir { opaque: true }) {
            scan.unmarked.push(seen.path.clone());
        }
        scan.changes.push(judge.change(seen, &mut first));
    }
    Ok(scan)
}

/// The files with several names that are not names of one file below: some name is new, or was another file's.
fn regrouped(seen: &[Seen<'_>], linked: &BTreeSet<(u64, u64)>, below: &View) -> BTreeSet<(u64, u64)> {
    let mut owners: BTreeMap<(u64, u64), Option<(usize, &TreePath)>> = BTreeMap::new();
    let mut regrouped = BTreeSet::new();
    let files = seen.iter().filter(|seen| matches!(seen.what, What::File { .. }));
    for seen in files.filter(|seen| linked.contains(&seen.inode)) {
        let found = seen.under.and_then(|_| below.owner_of_content(&seen.path));
        let owner = found.map(|found| (found.layer, &found.entry.path));
        if owner.is_none() || *owners.entry(seen.inode).or_insert(owner) != owner {
            regrouped.insert(seen.inode);
        }
    }
    regrouped
}

/// Whether the layers below show at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hidden {
    No,
    /// A directory above is new or opaque.
    Yes,
}

/// One path of the upper directory.
struct Seen<'a> {
    path: TreePath,
    meta: Meta,
    what: What,
    inode: (u64, u64),
    under: Option<&'a Entry>,
    /// Carries overlayfs's mark of an opaque directory, or is another directory than the one that was laid out.
    marked: bool,
    laid: Laid,
}

/// What of a path is as it was laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Laid {
    /// Nothing, as far as is known.
    Nothing,
    /// Mode, owner and attributes, which may be less than the layers below say where this process may not set them.
    Meta,
    /// All: it was not touched.
    All,
}

enum What {
    File { size: u64 },
    Dir { opaque: bool },
    Symlink { target: Vec<u8> },
    Other(Kind),
    Whiteout,
    Socket,
}

struct Walk<'a> {
    below: &'a View,
    options: &'a ScanOptions,
    laid: Option<&'a LaidOut>,
    seen: Vec<Seen<'a>>,
    /// How many names each file with several links has here.
    links: BTreeMap<(u64, u64), u32>,
}

impl<'a> Seen<'a> {
    fn gone(path: TreePath, under: Option<&'a Entry>) -> Self {
        let (meta, what, inode) = (Meta::default(), What::Whiteout, (0, 0));
        Self { path, meta, what, inode, under, marked: false, laid: Laid::Nothing }
    }
}

impl<'a> Walk<'a> {
    fn dir(&mut self, dir: BorrowedFd<'_>, path: &TreePath, hidden: Hidden) -> Result<(), Error> {
        let fail = |path: &TreePath, cause: io::Error| Error::Read { path: path.clone(), cause };
        let found = names(dir).map_err(|cause| fail(path, cause))?;
        let gone = self.gone(path, hidden, &found);
        let mut all: Vec<(Vec<u8>, Option<&'a Entry>)> = found.into_iter().map(|name| (name, None)).collect();
        all.extend(gone);
        all.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, gone) in all {
            let inner = path.join(&name)?;
            if self.options.skip.contains(&inner) {
                continue;
            }
            if gone.is_some() {
                self.seen.push(Seen::gone(inner, gone));
                continue;
            }
            if name.starts_with(b".wh.") {
                return Err(Error::Change {
                    path: inner,
                    problem: "names that begin with `.wh.` mean deletions there",
                });
            }
            let name = OsStr::from_bytes(&name);
            let seen = self.look(dir, name, &inner, hidden).map_err(|cause| fail(&inner, cause))?;
            let (is_dir, opaque) = (matches!(seen.what, What::Dir { .. }), seen.marked);
            let below_shows = seen.under.is_some_and(|under| under.kind.is_dir()) && !opaque;
            self.seen.push(seen);
            if is_dir {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open =
                    openat(dir, name, flags, Mode::empty()).map_err(|cause| fail(&inner, cause.into()))?;
                self.dir(open.as_fd(), &inner, if below_shows { Hidden::No } else { Hidden::Yes })?;
            }
        }
        Ok(())
    }

    /// What the layers below have in a directory of the whole tree, and the tree has no more.
    fn gone(&self, path: &TreePath, hidden: Hidden, found: &[Vec<u8>]) -> Vec<(Vec<u8>, Option<&'a Entry>)> {
        if self.laid.is_none() || hidden == Hidden::Yes {
            return Vec::new();
        }
        let below = self.below.children(path).into_iter().filter_map(|child| {
            let name = child.entry.path.file_name()?.to_vec();
            found.binary_search(&name).is_err().then_some((name, Some(child.entry)))
        });
        below.collect()
    }

    fn look(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &TreePath,
        hidden: Hidden,
    ) -> io::Result<Seen<'a>> {
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let through = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
        let found = xattr::read(&through, self.options.attrs)?;
        let under = if hidden == Hidden::Yes { None } else { self.below.entry(path) };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let laid = self.laid.map(|laid| Ok::<_, io::Error>(laid.print(path, &identity(dir, name)?)));
        let laid = laid.transpose()?;
        // A whole tree bears no marks of overlayfs: a directory that took the place of another hides it.
        let (marks, marked) = match &laid {
            None => (true, found.opaque),
            Some(print) => (false, kind == FileType::Directory && print.is_none()),
        };
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        let what = match kind {
            FileType::RegularFile if marks && found.whiteout && stat.st_size == 0 => What::Whiteout,
            FileType::RegularFile => self.file(&stat, under),
            FileType::Directory => {
                // A mark says something only where the layers below have something to hide.
                let hides = marked && under.is_some_and(|under| under.kind.is_dir());
                What::Dir { opaque: hides && !self.below.children(path).is_empty() }
            }
            FileType::Symlink => What::Symlink { target: readlinkat(dir, name, Vec::new())?.into_bytes() },
            FileType::CharacterDevice if device == (0, 0) => What::Whiteout,
            FileType::CharacterDevice => What::Other(Kind::Char { major: device.0, minor: device.1 }),
            FileType::BlockDevice => What::Other(Kind::Block { major: device.0, minor: device.1 }),
            FileType::Fifo => What::Other(Kind::Fifo),
            _ => What::Socket,
        };
        let mut meta = meta_of(&stat, found.kept, found.owner);
        let mut laid =
            laid.flatten().map_or(Laid::Nothing, |print| print.laid(&stat, &meta, self.options.started));
        if self.options.attrs == OverlayAttrs::Noted && found.owner.is_none() {
            let given = self.options.owners.get(&file_id(dir, name, &self.options.owners)?);
            let taken = || under.filter(|under| marks && copied_up(&what, &under.kind));
            if let Some(Owner { uid, gid }) = given {
                (meta.uid, meta.gid, laid) = (*uid, *gid, Laid::Nothing);
            } else if let Some(Entry { meta: Meta { uid, gid, .. }, .. }) = taken() {
                (meta.uid, meta.gid) = (*uid, *gid);
            }
        }
        let inode = (stat.st_dev, stat.st_ino);
        Ok(Seen { path: path.clone(), meta, what, inode, under, marked, laid })
    }

    fn file(&mut self, stat: &Stat, under: Option<&Entry>) -> What {
        if stat.st_nlink > 1 {
            *self.links.entry((stat.st_dev, stat.st_ino)).or_default() += 1;
        }
        match under.map(|under| &under.kind) {
            // A device that could not be made when the layer below was unpacked, copied up.
            Some(kind @ (Kind::Char { .. } | Kind::Block { .. }))
                if stat.st_size == 0 && self.options.attrs.is_user() =>
            {
                What::Other(kind.clone())
            }
            _ => What::File { size: stat.st_size as u64 },
        }
    }
}

/// What tells the file apart, where that is asked for at all.
fn file_id(dir: BorrowedFd<'_>, name: &OsStr, owners: &OwnerTable) -> io::Result<FileId> {
    if owners.is_empty() {
        return Ok(FileId { inode: 0, born: (0, 0) });
    }
    let found = identity(dir, name)?;
    Ok(FileId { inode: found.inode, born: found.born.map_or((0, 0), |born| (born.secs, born.nanos)) })
}

/// Whether overlayfs made it of what lies below, from which it could take no note along.
fn copied_up(what: &What, under: &Kind) -> bool {
    match (what, under) {
        (What::Symlink { target }, Kind::Symlink { target: other }) => target == other,
        (What::Other(kind), other) => kind == other,
        _ => false,
    }
}

/// Decides what is a change.
struct Judge<'a> {
    root: Arc<OwnedFd>,
    below: &'a View,
    options: &'a ScanOptions,
    /// Files with several names.
    linked: BTreeSet<(u64, u64)>,
    /// Those among them that the layers below do not have as one file.
    regrouped: BTreeSet<(u64, u64)>,
    /// Times below that are no part of their entries' content; made when first needed.
    inherited: Option<BTreeSet<Time>>,
}

impl Judge<'_> {
    fn differs(&self, seen: &Seen<'_>) -> Result<bool, Error> {
        let Some(under) = seen.under else {
            return Ok(!matches!(seen.what, What::Whiteout | What::Socket));
        };
        let regrouped = self.regrouped.contains(&seen.inode);
        if seen.laid == Laid::All && !regrouped {
            return Ok(false);
        }
        let same = match (&seen.what, &under.kind) {
            // What a socket took the place of is gone.
            (What::Whiteout | What::Socket, _) => return Ok(true),
            (What::Dir { opaque }, Kind::Dir { .. }) => return Ok(*opaque || !self.same_owner(seen, under)),
            (What::Symlink { target }, Kind::Symlink { target: other }) => target == other,
            (What::Other(kind), other) => kind == other,
            (What::File { size }, Kind::File { .. } | Kind::HardLink { .. }) => {
                if regrouped || !self.same_owner(seen, under) || !same_time(seen, under) {
                    return Ok(true);
                }
                return self.other_bytes(seen, *size);
            }
            _ => false,
        };
        Ok(!(same && self.same_owner(seen, under) && same_time(seen, under)))
    }

    fn same_owner(&self, seen: &Seen<'_>, under: &Entry) -> bool {
        if seen.laid != Laid::Nothing {
            return true;
        }
        let (left, right) = (&seen.meta, &under.meta);
        let visible =
            |name: &[u8]| self.options.attrs == OverlayAttrs::Trusted || !name.starts_with(b"trusted.");
        (left.mode, left.uid, left.gid) == (right.mode, right.uid, right.gid)
            && left.xattrs.iter().eq(right.xattrs.iter().filter(|(name, _)| visible(name)))
    }

    /// Whether a file's bytes differ from those below; they are read only if nothing else differs.
    fn other_bytes(&self, seen: &Seen<'_>, size: u64) -> Result<bool, Error> {
        let Some(found) = self.below.owner_of_content(&seen.path) else { return Ok(true) };
        match &found.entry.kind {
            Kind::File { size: other, hash } if *other == size => {
                let here = hash_of(&self.root, &seen.path);
                Ok(here.map_err(|cause| Error::Read { path: seen.path.clone(), cause })? != *hash)
            }
            _ => Ok(true),
        }
    }

    fn change(&mut self, seen: Seen<'_>, first: &mut BTreeMap<(u64, u64), TreePath>) -> Change {
        let dated = self.dated(&seen);
        let Seen { path, mut meta, what, inode, under, laid, .. } = seen;
        if let (Laid::Meta | Laid::All, Some(under)) = (laid, under) {
            let mtime = meta.mtime;
            meta = Meta { mtime, ..under.meta.clone() };
        }
        let kind = match what {
            What::File { size } => match first.get(&inode) {
                Some(target) if self.linked.contains(&inode) => {
                    ChangeKind::HardLink { target: target.clone() }
                }
                _ => {
                    first.insert(inode, path.clone());
                    ChangeKind::File(Data::at(Arc::clone(&self.root), path.as_path(), size))
                }
            },
            What::Dir { opaque } => ChangeKind::Dir { opaque },
            What::Symlink { target } => ChangeKind::Symlink { target },
            What::Other(Kind::Char { major, minor }) => ChangeKind::Char { major, minor },
            What::Other(Kind::Block { major, minor }) => ChangeKind::Block { major, minor },
            What::Other(_) => ChangeKind::Fifo,
            What::Whiteout | What::Socket => ChangeKind::Whiteout,
        };
        Change { path, meta, kind, dated }
    }

    /// Whether the time is the step's deed: older than its start, and not what the path, or some file it was moved or
    /// copied from, brought along from below without it being part of the content there.
    fn dated(&mut self, seen: &Seen<'_>) -> bool {
        let mtime = seen.meta.mtime;
        if mtime >= self.options.started || matches!(seen.what, What::Whiteout | What::Socket) {
            return false;
        }
        if let Some(under) = seen.under
            && same_time(seen, under)
        {
            return under.dated;
        }
        if let (What::Dir { opaque: false }, Some(Entry { kind: Kind::Dir { .. }, .. })) =
            (&seen.what, seen.under)
        {
            // A directory's own time moves with what is put into it: older than the start, it is a leftover.
            return false;
        }
        let below = self.below;
        !self.inherited.get_or_insert_with(|| undated_times(below)).contains(&mtime)
    }
}

/// Whether a path's time is the one below, which may have been rounded to a second on its way through a tar.
fn same_time(seen: &Seen<'_>, under: &Entry) -> bool {
    seen.meta.mtime == under.meta.mtime || seen.meta.mtime == under.meta.mtime.whole()
}

/// The times of entries below whose time is not their content, as they are and as a tar rounds them. Whole seconds come
/// from images and are the same everywhere.
fn undated_times(below: &View) -> BTreeSet<Time> {
    let entries = below.layers().iter().flat_map(|layer| layer.entries());
    let times =
        entries.filter(|entry| !entry.dated && entry.meta.mtime.nanos != 0).map(|entry| entry.meta.mtime);
    times.flat_map(|time| [time, time.whole()]).collect()
}

fn hash_of(root: &OwnedFd, path: &TreePath) -> io::Result<FileHash> {
    let mut file = std::fs::File::from(source::open_beneath(root.as_fd(), path.as_path())?);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(FileHash(*hasher.finalize().as_bytes())),
            Ok(count) => {
                hasher.update(&buffer[..count]);
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Removes from an upper directory all that is no entry of the layer, so that it is the layer's snapshot. The overlay
/// must not be mounted any more.
pub fn prune_upper(upper: &Path, scan: &Scan) -> Result<(), Error> {
    let mut place = Place::new(upper, scan.attrs.unwrap_or(OverlayAttrs::Trusted))?;
    let mut touched: BTreeSet<TreePath> = BTreeSet::new();
    // What lies in a dropped directory is dropped too, and stands after it.
    for path in scan.dropped.iter().rev() {
        place.remove(path)?;
        touched.extend(path.parent());
    }
    for change in scan.changes.iter().filter(|change| scan.sockets.contains(&change.path)) {
        place.remove(&change.path)?;
        place.whiteout(&change.path)?;
        touched.extend(change.path.parent());
    }
    for path in &scan.unmarked {
        place.unmark(path)?;
    }
    for change in scan.changes.iter().rev() {
        if touched.contains(&change.path) {
            place.touch_dir(&change.path, change.meta.mtime)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
