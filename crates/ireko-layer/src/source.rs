//! Reads the bytes of a change, once, and notices if they are not what was announced.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::change::Source;
use crate::{Data, Error, TreePath};

// Not blocking on what has become a pipe; not following what has become a link.
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// The bytes of a change while they are read.
pub(crate) enum Bytes {
    Memory(Arc<[u8]>, usize),
    Stream(File),
    Range(Arc<File>, u64),
    Pieces { file: Arc<File>, offset: u64, pieces: Arc<[(u64, u64)]>, at: u64, size: u64 },
}

/// Opens what a change announced.
pub(crate) fn open(path: &TreePath, data: &Data) -> Result<Bytes, Error> {
    let stream = |opened: Result<OwnedFd, Errno>| match opened {
        Ok(fd) => Ok(Bytes::Stream(File::from(fd))),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => {
            Err(Error::ChangedWhileRead { path: path.clone() })
        }
        Err(cause) => Err(Error::Read { path: path.clone(), cause: cause.into() }),
    };
    match &data.source {
        Source::Memory(bytes) => Ok(Bytes::Memory(Arc::clone(bytes), 0)),
        Source::Host(host) => stream(openat(CWD, host, OPEN, Mode::empty())),
        Source::At(dir, below) => stream(open_beneath(dir.as_fd(), below)),
        Source::Range(file, offset) => Ok(Bytes::Range(Arc::clone(file), *offset)),
        Source::Pieces(file, offset, pieces) => Ok(Bytes::Pieces {
            file: Arc::clone(file),
            offset: *offset,
            pieces: Arc::clone(pieces),
            at: 0,
            size: data.size,
        }),
    }
}

impl Data {
    /// The bytes, from the first on.
    ///
    /// # Errors
    /// They cannot be opened; `path` is named then.
    pub fn reader(&self, path: &TreePath) -> Result<impl Read + use<>, Error> {
        Ok(open(path, self)?.take(self.size))
    }

    /// A file that begins with the bytes and ends with them, for whoever has to move in it: without a name, in `scratch`.
    ///
    /// # Errors
    /// They cannot be read, or the copy cannot be written.
    pub fn file(&self, path: &TreePath, scratch: &Path) -> Result<File, Error> {
        let wrong = |cause| Error::Dir { path: scratch.to_owned(), cause };
        let mut copy = crate::archive::unnamed(scratch).map_err(wrong)?;
        io::copy(&mut self.reader(path)?, &mut copy).map_err(wrong)?;
        copy.rewind().map_err(wrong)?;
        Ok(copy)
    }
}

/// Opens a file below a directory without following any symbolic link.
pub(crate) fn open_beneath(dir: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(dir, path, OPEN, Mode::empty(), resolve) {
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_step_by_step(dir, path),
        opened => opened,
    }
}

fn open_step_by_step(dir: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let mut held: Option<OwnedFd> = None;
    let mut steps = path.components().peekable();
    while let Some(Component::Normal(name)) = steps.next() {
        let at = held.as_ref().map_or(dir, |fd| fd.as_fd());
        let flags = if steps.peek().is_some() { OPEN | OFlags::DIRECTORY } else { OPEN };
        held = Some(openat(at, name, flags, Mode::empty())?);
    }
    held.ok_or(Errno::INVAL)
}

impl Read for Bytes {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(bytes, at) => {
                let count = room.len().min(bytes.len() - *at);
                room[..count].copy_from_slice(&bytes[*at..*at + count]);
                *at += count;
                Ok(count)
            }
            Self::Stream(file) => file.read(room),
            Self::Range(file, offset) => {
                let count = file.read_at(room, *offset)?;
                *offset += count as u64;
                Ok(count)
            }
            Self::Pieces { file, offset, pieces, at, size } => {
                let mut stored = *offset;
                let mut until = *size;
                for &(start, length) in pieces.iter() {
                    if *at < start {
                        until = start;
                        break;
                    }
                    if *at < start + length {
                        let want = room.len().min((start + length - *at) as usize);
                        let count = file.read_at(&mut room[..want], stored + (*at - start))?;
                        *at += count as u64;
                        return Ok(count);
                    }
                    stored += length;
                }
                let count = room.len().min((until - *at) as usize);
                room[..count].fill(0);
                *at += count as u64;
                Ok(count)
            }
        }
    }
}

impl Bytes {
    /// Whether a file could go on after its announced length: a part of an archive could, and is meant to.
    pub(crate) fn ends(&self) -> bool {
        matches!(self, Self::Memory(..) | Self::Stream(_))
    }
}
