//! One read of each file gives index, BLAKE3, tar, SHA-256 and, where asked for, the unpacked layer.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use ireko_oci::{ContentId, Digest, FileHash};
use ireko_sys::owner::Owner;
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat};

use crate::index::{INLINED, INLINED_MAX};
use crate::place::Place;
use crate::stream::Output;
use crate::{Change, ChangeKind, Data, Entry, Error, Index, Kind, Meta, TreePath, source, tar, xattr};

/// Files up to this size are read ahead.
const SMALL: u64 = 128 << 10;
/// So many changes, or bytes of small files, are read ahead at a time.
const WINDOW: usize = 512;
const WINDOW_BYTES: u64 = 4 << 20;

/// Which attributes overlayfs keeps its marks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OverlayAttrs {
    /// `trusted.overlay.*`: mounted by root.
    Trusted,
    /// `user.overlay.*`: mounted with `userxattr`.
    User,
    /// As `User`, and owners other than this process's own are a note on the file, [`ireko_sys::owner::RECORD`]. What
    /// can bear none (a symbolic link, a pipe) has its owner in the index alone.
    Noted,
}

impl OverlayAttrs {
    /// What every mark's name begins with.
    pub fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User | Self::Noted => b"user.overlay.",
        }
    }

    /// Its name in records of unpacked layers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::User => "user",
            Self::Noted => "noted",
        }
    }

    /// The form of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Trusted, Self::User, Self::Noted].into_iter().find(|form| form.name() == name)
    }

    /// Whether overlays of this form are mounted with `userxattr`.
    pub fn is_user(self) -> bool {
        self != Self::Trusted
    }

    /// Whose the files are that this process makes and gives to nobody. Where owners are notes, none means root,
    /// whoever this process is.
    pub fn own(self) -> (u32, u32) {
        match self {
            Self::Noted => (0, 0),
            Self::Trusted | Self::User => {
                (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
            }
        }
    }

    /// The owner of a file, of which the kernel says `real`.
    pub fn owner_of(self, path: &Path, real: (u32, u32)) -> (u32, u32) {
        if self != Self::Noted {
            return real;
        }
        let note = xattr::read(path, self).ok().and_then(|found| found.owner);
        note.map_or(self.own(), |owner| (owner.uid, owner.gid))
    }

    /// Gives a file or directory an owner in the way of this form; a symbolic link is not followed.
    pub fn give(self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        if self == Self::Noted {
            return xattr::note(path, Owner::new(uid, gid)).map_err(io::Error::from);
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(chownat(CWD, path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)?)
    }
}

/// A layer that was written or read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it holds.
    pub index: Index,
    /// Its content's identity.
    pub content_id: ContentId,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The length of the uncompressed tar.
    pub tar_size: u64,
    /// What an unpacked layer could not hold as it is (a device, an attribute), with the reason: worth a note.
    pub substituted: Vec<(TreePath, String)>,
}

/// Writes one layer.
///
/// ```
/// use ireko_layer::{Change, ChangeKind, Data, LayerWriter, Meta, TreePath};
/// let mut tar = Vec::new();
/// let mut writer = LayerWriter::new().sink(&mut tar);
/// let hello = ChangeKind::File(Data::memory(*b"hello"));
/// writer.push(Change::new(TreePath::new("hello")?, Meta { mode: 0o644, ..Meta::default() }, hello))?;
/// let written = writer.finish()?;
/// assert_eq!(written.tar_size, 2048);
/// assert_eq!(ireko_layer::index_of(tar.as_slice())?.index, written.index);
/// # Ok::<(), ireko_layer::Error>(())
/// ```
pub struct LayerWriter<'a> {
    output: Output<'a>,
    place: Option<Place>,
    entries: Vec<Entry>,
    inlined: BTreeMap<TreePath, Vec<u8>>,
    headers: Vec<u8>,
}

/// A small file's bytes, read ahead.
struct Loaded {
    bytes: Vec<u8>,
    hash: FileHash,
}

impl Default for LayerWriter<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> LayerWriter<'a> {
    /// A layer with no sink yet: index and diff ID only.
    pub fn new() -> Self {
        let (entries, inlined) = (Vec::new(), BTreeMap::new());
        Self { output: Output::new(), place: None, entries, inlined, headers: Vec::new() }
    }

    /// Writes the tar's bytes here too.
    pub fn sink(mut self, sink: &'a mut (dyn Write + Send)) -> Self {
        self.output.add_sink(sink);
        self
    }

    /// Unpacks the layer into this empty directory too, in overlayfs form.
    pub fn snapshot(mut self, dir: &Path, attrs: OverlayAttrs) -> Result<Self, Error> {
        self.place = Some(Place::new(dir, attrs)?);
        Ok(self)
    }

    /// Adds one path. Paths come in order, every parent directory (but the root) before what it holds.
    pub fn push(&mut self, change: Change) -> Result<(), Error> {
        self.put(change, None, false)
    }

    /// Adds many, sorted here; small files are read ahead by several threads.
    pub fn push_all(&mut self, mut changes: Vec<Change>) -> Result<(), Error> {
        changes.sort_by(|left, right| left.path.cmp(&right.path));
        if changes.len() < 16 {
            return changes.into_iter().try_for_each(|change| self.push(change));
        }
        let (ready, windows) = sync_channel::<Vec<(Change, Option<Result<Loaded, Error>>)>>(2);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut changes = changes.into_iter().peekable();
                while changes.peek().is_some() {
                    let window = next_window(&mut changes);
                    if ready.send(window.into_par_iter().map(load_small).collect()).is_err() {
                        // The writer failed and has said so.
                        break;
                    }
                }
            });
            for (change, loaded) in windows.into_iter().flatten() {
                self.put(change, loaded.transpose()?, false)?;
            }
            Ok(())
        })
    }

    /// Ends the tar.
    pub fn finish(mut self) -> Result<Written, Error> {
        self.output.write(&tar::END).map_err(write_error)?;
        let index = Index::new(self.entries, self.inlined)?;
        let mut substituted = Vec::new();
        if let Some(mut place) = self.place {
            settle_dirs(&mut place, &index, |entry| entry.meta.clone())?;
            substituted = place.substituted;
        }
        let content_id = index.content_id();
        let (diff_id, tar_size) = self.output.finish().map_err(write_error)?;
        Ok(Written { index, content_id, diff_id, tar_size, substituted })
    }

    fn put(&mut self, change: Change, loaded: Option<Loaded>, implied: bool) -> Result<(), Error> {
        let (entry, data) = self.entry_of(change, implied)?;
        if let Some(data) = data {
            return self.put_file(entry, data, loaded);
        }
        self.put_headers(&entry)?;
        if let Some(place) = &mut self.place {
            match entry.kind {
                Kind::Dir { .. } if entry.path.is_root() => {}
                Kind::Dir { .. } => place.dir(&entry.path)?,
                _ => place.special(&entry)?,
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entry that a change becomes, checked; a file's hash is not known yet.
    fn entry_of(&self, change: Change, implied: bool) -> Result<(Entry, Option<Data>), Error> {
        let Change { path, mut meta, kind, dated } = change;
        let wrong = |problem| Error::Change { path: path.clone(), problem };
        if self.entries.last().is_some_and(|last| last.path >= path) {
            return Err(wrong("it comes out of order, or twice"));
        }
        if path.file_name().is_some_and(|name| name.starts_with(b".wh.")) {
            return Err(wrong("names that begin with `.wh.` mean deletions there"));
        }
        meta.mode &= 0o7777;
        xattr::normalise(&mut meta.xattrs);
        let mut data = None;
        let kind = match kind {
            ChangeKind::File(bytes) => {
                let kind = Kind::File { size: bytes.size, hash: FileHash([0; 32]) };
                data = Some(bytes);
                kind
            }
            ChangeKind::HardLink { target } => {
                let at = self.entries.binary_search_by(|entry| entry.path.cmp(&target));
                let first = at
                    .ok()
                    .map(|at| &self.entries[at])
                    .filter(|first| matches!(first.kind, Kind::File { .. }));
                let first = first.ok_or(wrong("a hard link to no earlier file of the layer"))?;
                meta = first.meta.clone();
                let dated = first.dated;
                return Ok((Entry { path, meta, kind: Kind::HardLink { target }, dated, implied }, None));
            }
            ChangeKind::Dir { opaque } => Kind::Dir { opaque },
            ChangeKind::Symlink { target } if target.is_empty() || target.contains(&0) => {
                return Err(wrong("a symbolic link to nothing"));
            }
            ChangeKind::Symlink { target } => {
                meta.mode = 0o777;
                Kind::Symlink { target }
            }
            ChangeKind::Char { major, minor } | ChangeKind::Block { major, minor }
                if major > MAX_DEVICE || minor > MAX_DEVICE =>
            {
                return Err(wrong("a device number too big for a tar"));
            }
            ChangeKind::Char { major: 0, minor: 0 } => {
                return Err(wrong("a device that overlayfs takes for a deletion"));
            }
            ChangeKind::Char { major, minor } => Kind::Char { major, minor },
            ChangeKind::Block { major, minor } => Kind::Block { major, minor },
            ChangeKind::Fifo => Kind::Fifo,
            ChangeKind::Whiteout => {
                meta = Meta::default();
                Kind::Whiteout
            }
        };
        let dated = dated && kind != Kind::Whiteout;
        Ok((Entry { path, meta, kind, dated, implied }, data))
    }

    fn put_headers(&mut self, entry: &Entry) -> Result<(), Error> {
        self.headers.clear();
        tar::entry_bytes(entry, &mut self.headers);
        self.output.write(&self.headers).map_err(write_error)
    }

    fn put_file(&mut self, mut entry: Entry, data: Data, loaded: Option<Loaded>) -> Result<(), Error> {
        self.put_headers(&entry)?;
        let hash = match loaded {
            Some(loaded) => self.put_loaded(&entry, loaded)?,
            None => self.put_streamed(&entry, &data)?,
        };
        if data.expect.is_some_and(|expect| expect != hash) {
            return Err(Error::ChangedWhileRead { path: entry.path });
        }
        self.output.write(&tar::END[..tar::padding(data.size)]).map_err(write_error)?;
        entry.kind = Kind::File { size: data.size, hash };
        self.entries.push(entry);
        Ok(())
    }

    fn put_loaded(&mut self, entry: &Entry, loaded: Loaded) -> Result<FileHash, Error> {
        self.output.write(&loaded.bytes).map_err(write_error)?;
        if let Some(place) = &mut self.place {
            let mut draft = place.file(&entry.path, loaded.bytes.len() as u64)?;
            draft.write(&loaded.bytes).map_err(|cause| Error::Write { path: entry.path.clone(), cause })?;
            place.finish_file(&entry.path, &entry.meta, &draft)?;
        }
        if INLINED.contains(&entry.path.as_bytes()) {
            self.inlined.insert(entry.path.clone(), loaded.bytes);
        }
        Ok(loaded.hash)
    }

    fn put_streamed(&mut self, entry: &Entry, data: &Data) -> Result<FileHash, Error> {
        let path = &entry.path;
        let mut bytes = source::open(path, data)?;
        let mut draft = match &mut self.place {
            Some(place) => Some(place.file(path, data.size)?),
            None => None,
        };
        let mut inline = (INLINED.contains(&path.as_bytes()) && data.size <= INLINED_MAX).then(Vec::new);
        let mut hasher = blake3::Hasher::new();
        let mut left = data.size;
        while left > 0 {
            let room = self.output.room().map_err(write_error)?;
            let want = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = read_some(path, &mut bytes, &mut room[..want])?;
            if count == 0 {
                return Err(Error::ChangedWhileRead { path: path.clone() });
            }
            let got = &room[..count];
            hasher.update(got);
            if let Some(draft) = &mut draft {
                draft.write(got).map_err(|cause| Error::Write { path: path.clone(), cause })?;
            }
            if let Some(inline) = &mut inline {
                inline.extend_from_slice(got);
            }
            self.output.filled(count);
            left -= count as u64;
        }
        if bytes.ends() && read_some(path, &mut bytes, &mut [0])? != 0 {
            return Err(Error::ChangedWhileRead { path: path.clone() });
        }
        if let (Some(place), Some(draft)) = (&mut self.place, &draft) {
            place.finish_file(path, &entry.meta, draft)?;
        }
        if let Some(inline) = inline {
            self.inlined.insert(path.clone(), inline);
        }
        Ok(FileHash(*hasher.finalize().as_bytes()))
    }
}

/// The most that ustar's field for a device number holds.
const MAX_DEVICE: u32 = 0o7_777_777;

fn read_some(path: &TreePath, bytes: &mut source::Bytes, room: &mut [u8]) -> Result<usize, Error> {
    loop {
        match bytes.read(room) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(|cause| Error::Read { path: path.clone(), cause }),
        }
    }
}

fn next_window(changes: &mut std::iter::Peekable<std::vec::IntoIter<Change>>) -> Vec<Change> {
    let mut window = Vec::new();
    let mut total = 0;
    while window.len() < WINDOW && total < WINDOW_BYTES {
        let Some(change) = changes.next() else { break };
        if let ChangeKind::File(data) = &change.kind
            && data.size <= SMALL
        {
            total += data.size;
        }
        window.push(change);
    }
    window
}

fn load_small(change: Change) -> (Change, Option<Result<Loaded, Error>>) {
    let loaded = match &change.kind {
        ChangeKind::File(data) if data.size <= SMALL => Some(load(&change.path, data)),
        _ => None,
    };
    (change, loaded)
}

impl Data {
    /// All its bytes, for what is small; `path` is what errors name.
    ///
    /// # Errors
    /// It cannot be read, or is another length than announced.
    pub fn read(&self, path: &TreePath) -> Result<Vec<u8>, Error> {
        load(path, self).map(|loaded| loaded.bytes)
    }
}

fn load(path: &TreePath, data: &Data) -> Result<Loaded, Error> {
    let mut source = source::open(path, data)?;
    let size = data.size as usize;
    // A byte more than announced, so that one read tells whether the file has grown.
    let mut bytes = vec![0; size + usize::from(source.ends())];
    let mut filled = 0;
    loop {
        let count = read_some(path, &mut source, &mut bytes[filled..])?;
        filled += count;
        if count == 0 || filled >= size {
            break;
        }
    }
    if filled != size {
        return Err(Error::ChangedWhileRead { path: path.clone() });
    }
    bytes.truncate(size);
    let hash = FileHash(*blake3::hash(&bytes).as_bytes());
    Ok(Loaded { bytes, hash })
}

fn write_error(cause: io::Error) -> Error {
    Error::Stream { deed: "write", cause }
}

/// Directories get their times last, the deepest first.
pub(crate) fn settle_dirs(
    place: &mut Place,
    index: &Index,
    meta: impl Fn(&Entry) -> Meta,
) -> Result<(), Error> {
    for entry in index.entries().iter().rev() {
        if let Kind::Dir { opaque } = entry.kind {
            place.settle(&entry.path, &meta(entry), opaque)?;
        }
    }
    Ok(())
}

/// Writes the tar of an unpacked layer again: the same bytes as the first time.
pub fn tar_of_snapshot(index: &Index, dir: &Path, sink: &mut (dyn Write + Send)) -> Result<Written, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root: OwnedFd = rustix::fs::open(dir, flags, Mode::empty())
        .map_err(|cause| Error::Dir { path: dir.to_owned(), cause: cause.into() })?;
    let root = Arc::new(root);
    let mut writer = LayerWriter::new().sink(sink);
    for entry in index.entries() {
        let kind = match &entry.kind {
            Kind::File { size, hash } => {
                ChangeKind::File(Data::at(Arc::clone(&root), entry.path.as_path(), *size).expecting(*hash))
            }
            Kind::HardLink { target } => ChangeKind::HardLink { target: target.clone() },
            Kind::Dir { opaque } => ChangeKind::Dir { opaque: *opaque },
            Kind::Symlink { target } => ChangeKind::Symlink { target: target.clone() },
            Kind::Char { major, minor } => ChangeKind::Char { major: *major, minor: *minor },
            Kind::Block { major, minor } => ChangeKind::Block { major: *major, minor: *minor },
            Kind::Fifo => ChangeKind::Fifo,
            Kind::Whiteout => ChangeKind::Whiteout,
        };
        let change = Change { path: entry.path.clone(), meta: entry.meta.clone(), kind, dated: entry.dated };
        writer.put(change, None, entry.implied)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
