//! The named files of an image on disk: a directory, an archive that can be sought in, or one that came as a stream.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ireko_oci::Digest;
use ireko_store::Store;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::archive::{Members, Passing, Role, Seeking, Stream, clean};
use crate::error::{Error, Result};

/// No manifest, index or config is larger.
pub(crate) const DOCUMENT_MAX: u64 = 8 << 20;
/// Files of a stream up to this size are kept in memory, as long as all of them together stay below the second.
const SMALL: u64 = 1 << 20;
const SMALL_TOTAL: u64 = 32 << 20;
/// No image has so many members.
const MEMBERS_MAX: usize = 1 << 20;
const LINKS_MAX: usize = 8;

/// Bytes of one file.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Memory(Arc<[u8]>),
    Range {
        file: Arc<File>,
        offset: u64,
        size: u64,
    },
    /// A blob of the store.
    Blob {
        digest: Digest,
        size: u64,
    },
}

#[derive(Debug)]
enum Content {
    Dir(OwnedFd),
    Members(BTreeMap<String, Entry>),
}

#[derive(Debug)]
enum Entry {
    Piece(Piece),
    Link(String),
}

/// Named files. Names are looked up, never followed out.
#[derive(Debug)]
pub(crate) struct Files {
    content: Content,
    /// What people call it.
    pub(crate) place: String,
}

impl Files {
    /// The files of a directory.
    pub(crate) fn dir(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|cause| Error::io("open directory", path, cause))?;
        Ok(Self { content: Content::Dir(dir), place: path.display().to_string() })
    }

    /// The members of an uncompressed archive; only headers are read.
    pub(crate) fn archive(path: &Path, file: File) -> Result<Self> {
        let place = path.display().to_string();
        let length = file.metadata().map_err(|cause| Error::io("read", path, cause))?.len();
        let file = Arc::new(file);
        let walker = file.try_clone().map_err(|cause| Error::io("read", path, cause))?;
        let entries =
            walk(Members::new(Seeking(walker)), &place, |_, offset, size| match offset.checked_add(size) {
                Some(end) if end <= length => Ok(Piece::Range { file: Arc::clone(&file), offset, size }),
                _ => Err(Error::no_archive(&place, "it ends in the middle of a file")),
            })?;
        Ok(Self { content: Content::Members(entries), place })
    }

    /// The members of an archive that comes as a stream: small ones are kept in memory, large ones go into the store,
    /// where they are layers.
    pub(crate) fn stream(store: &Store, stream: impl Read, place: &str) -> Result<Self> {
        let mut kept = 0;
        let entries = walk(Members::new(Passing(stream)), place, |bytes, _, size| {
            let failed = |cause: io::Error| unreadable(place, &cause);
            if size <= SMALL && kept + size <= SMALL_TOTAL {
                kept += size;
                let mut content = Vec::new();
                bytes.take(size).read_to_end(&mut content).map_err(failed)?;
                return Ok(Piece::Memory(content.into()));
            }
            let mut draft = store.blob_draft()?;
            copy(&mut bytes.take(size), &mut draft).map_err(failed)?;
            Ok(Piece::Blob { size, digest: draft.publish(None)? })
        })?;
        Ok(Self { content: Content::Members(entries), place: place.to_owned() })
    }

    /// The file of this name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Piece>> {
        let Some(mut name) = clean(name) else { return Ok(None) };
        let members = match &self.content {
            Content::Dir(dir) => return self.open(dir, &name),
            Content::Members(members) => members,
        };
        for _ in 0..LINKS_MAX {
            match members.get(&name) {
                None => return Ok(None),
                Some(Entry::Piece(piece)) => return Ok(Some(piece.clone())),
                Some(Entry::Link(target)) => name.clone_from(target),
            }
        }
        Ok(None)
    }

    fn open(&self, dir: &OwnedFd, name: &str) -> Result<Option<Piece>> {
        let path = || Path::new(&self.place).join(name);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let found = rustix::fs::openat2(dir, name, flags, Mode::empty(), ResolveFlags::BENEATH);
        let file = match found {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(cause) => return Err(Error::io("open", &path(), cause)),
        };
        let meta = file.metadata().map_err(|cause| Error::io("read", &path(), cause))?;
        if !meta.is_file() {
            return Ok(None);
        }
        Ok(Some(Piece::Range { file: Arc::new(file), offset: 0, size: meta.len() }))
    }

    /// The bytes of a document, nothing where there is none of this name.
    pub(crate) fn document(&self, store: &Store, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(piece) = self.find(name)? else { return Ok(None) };
        if piece.size() > DOCUMENT_MAX {
            return Err(Error::no_archive(
                &self.place,
                format!("`{name}` is larger than {DOCUMENT_MAX} bytes"),
            ));
        }
        let mut bytes = Vec::new();
        piece.open(store)?.read_to_end(&mut bytes).map_err(|cause| unreadable(&self.place, &cause))?;
        Ok(Some(bytes))
    }
}

impl Piece {
    /// How many bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Range { size, .. } | Self::Blob { size, .. } => *size,
        }
    }

    /// The bytes from the start.
    pub(crate) fn open(&self, store: &Store) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Memory(bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
            Self::Range { file, offset, size } => {
                Box::new(RangeReader { file: Arc::clone(file), at: *offset, left: *size })
            }
            Self::Blob { digest, .. } => {
                let gone = ireko_store::Error::BlobGone { digest: *digest };
                Box::new(store.open_blob(digest)?.ok_or(gone)?)
            }
        })
    }
}

struct RangeReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for RangeReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let read = self.file.read_at(&mut into[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

fn walk<S: Stream>(
    mut members: Members<S>,
    place: &str,
    mut take: impl FnMut(&mut dyn Read, u64, u64) -> Result<Piece>,
) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    // Not even one entry: who named a file of another kind is not helped by hearing that it is cut off.
    let unreadable = |entries: &BTreeMap<String, Entry>, cause: &io::Error| match cause.kind() {
        io::ErrorKind::UnexpectedEof if entries.is_empty() => Error::no_archive(place, "it is no tar"),
        _ => unreadable(place, cause),
    };
    while let Some(member) = members.next().map_err(|cause| unreadable(&entries, &cause))? {
        let entry = match member.role {
            _ if member.name.is_empty() => continue,
            Role::File => Entry::Piece(take(&mut members, member.offset, member.size)?),
            Role::Link(target) => Entry::Link(target),
            Role::Other => continue,
        };
        entries.insert(member.name, entry);
        if entries.len() > MEMBERS_MAX {
            return Err(Error::no_archive(place, "it has more files than any image"));
        }
    }
    Ok(entries)
}

/// A failed read of what should be an archive.
pub(crate) fn unreadable(place: &str, cause: &io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof => Error::no_archive(place, "it ends in the middle"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other
            if cause.raw_os_error().is_none() =>
        {
            Error::no_archive(place, cause.to_string())
        }
        kind => Error::io("copy", Path::new(place), io::Error::new(kind, cause.to_string())),
    }
}

/// As `io::copy`, in larger steps.
pub(crate) fn copy(from: &mut dyn Read, to: &mut dyn io::Write) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                total += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
