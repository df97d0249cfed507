//! Local archives as ADD takes them: told by content, read safely, given as changes below a destination.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use crate::assemble::{Assembled, AssembledKind, Assembly, Todo, Whiteouts, meta_of, wrong};
use crate::compress::Packing;
use crate::tar::Reader;
use crate::{Change, ChangeKind, Data, Error, Kind, TreePath, decompress, decompress_within};

/// Whether an archive is no longer wanted.
pub type Stopped<'a> = &'a (dyn Fn() -> bool + Sync);

/// What a stream from elsewhere may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Memory of its decompressor.
    pub memory: u64,
    /// Bytes of its tar, and of the files in it.
    pub plain: u64,
}

/// Gives nothing more once nobody wants it.
struct Wanted<'a, R> {
    from: R,
    stopped: Stopped<'a>,
}

impl<R: Read> Read for Wanted<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if (self.stopped)() { Err(io::Error::other("it is no longer wanted")) } else { self.from.read(room) }
    }
}

/// A local archive, its entries known, its bytes readable in any order.
#[derive(Debug)]
pub struct Archive {
    changes: Vec<Change>,
}

impl Archive {
    /// Opens a tar, plain or compressed by gzip, bzip2, xz or zstd; `None` if the file is no archive. The plain tar of
    /// a compressed one is kept in an unnamed file in `scratch`, so that its files can be read in any order. Reading
    /// fails soon after `stopped` is true.
    pub fn open(mut file: File, scratch: &Path, stopped: Stopped<'_>) -> Result<Option<Self>, Error> {
        let reading = |cause| Error::Stream { deed: "read", cause };
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(6).read_to_end(&mut head).map_err(reading)?;
        file.seek(SeekFrom::Start(0)).map_err(reading)?;
        let plain = match Packing::of(&head) {
            Packing::None => file,
            _ => match unpacked(&file, scratch, stopped)? {
                Some(plain) => plain,
                None => return Ok(None),
            },
        };
        if !begins_as_tar(&plain).map_err(reading)? {
            return Ok(None);
        }
        entries(plain, u64::MAX, stopped).map(|changes| Some(Self { changes }))
    }

    /// The same of what comes out of a reader, which has to be a tar within bounds; its plain bytes are kept in
    /// `scratch`.
    pub fn of_stream(packed: impl Read + Send, scratch: &Path, bounds: Bounds) -> Result<Self, Error> {
        let failed = |cause| Error::Stream { deed: "decompress", cause };
        let mut plain = decompress_within(packed, bounds.memory)?;
        let mut out = unnamed(scratch).map_err(|cause| Error::Dir { path: scratch.to_owned(), cause })?;
        let length = io::copy(&mut plain.by_ref().take(bounds.plain.saturating_add(1)), &mut out);
        if length.map_err(failed)? > bounds.plain {
            return Err(failed(too_much(bounds.plain)));
        }
        drop(plain);
        entries(out, bounds.plain, &|| false).map(|changes| Self { changes })
    }

    /// What unpacking it at `dest` changes, in order. Paths are below `dest`; `dest` itself, its parents, and
    /// directories that the archive does not name are not given. Of entries of one name the last counts. Names that
    /// begin with `.wh.` are names like others. No time is part of the content, as with every copy.
    pub fn changes(&self, dest: &TreePath) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let mut change = change.clone();
            change.path = dest.join(&change.path)?;
            if let ChangeKind::HardLink { target } = &mut change.kind {
                *target = dest.join(&*target)?;
            }
            changes.push(change);
        }
        Ok(changes)
    }
}

/// The plain bytes of a compressed file, if they begin as a tar does.
fn unpacked(file: &File, scratch: &Path, stopped: Stopped<'_>) -> Result<Option<File>, Error> {
    let mut plain = Wanted { from: decompress(file)?, stopped };
    let mut first = [0; 512];
    // What cannot be decompressed or is too short is no archive, but a file like any other.
    if plain.read_exact(&mut first).is_err() || !crate::tar::is_header(&first) {
        return Ok(None);
    }
    let mut out = unnamed(scratch).map_err(|cause| Error::Dir { path: scratch.to_owned(), cause })?;
    let copied = out.write_all(&first).and_then(|()| io::copy(&mut plain, &mut out));
    copied.map_err(|cause| Error::Stream { deed: "decompress", cause })?;
    drop(plain);
    Ok(Some(out))
}

fn begins_as_tar(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut first = [0; 512];
    match file.read_exact_at(&mut first, 0) {
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| crate::tar::is_header(&first)),
    }
}

/// A file without name, gone when closed.
pub(crate) fn unnamed(dir: &Path) -> io::Result<File> {
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match openat(CWD, dir, flags | OFlags::TMPFILE, mode) {
        // File systems that cannot do this.
        Err(Errno::NOTSUP | Errno::ISDIR | Errno::INVAL) => {}
        opened => return Ok(File::from(opened?)),
    }
    for number in 0..1000 {
        let name = dir.join(format!(".archive-{}-{number}", rustix::process::getpid().as_raw_nonzero()));
        match openat(CWD, &name, flags | OFlags::CREATE | OFlags::EXCL, mode) {
            Err(Errno::EXIST) => {}
            opened => {
                let file = File::from(opened?);
                unlinkat(CWD, &name, AtFlags::empty())?;
                return Ok(file);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn too_much(most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it holds more than {most} bytes"))
}

/// The entries of a tar, whose files have so many bytes at most: holes of sparse ones have bytes too.
fn entries(mut file: File, most: u64, stopped: Stopped<'_>) -> Result<Vec<Change>, Error> {
    file.seek(SeekFrom::Start(0)).map_err(|cause| Error::Stream { deed: "read", cause })?;
    let file = Arc::new(file);
    let mut reader = Reader::new(BufReader::with_capacity(64 << 10, Wanted { from: &*file, stopped }));
    let mut assembly: Assembly<Data> = Assembly::new(Whiteouts::Plain, None);
    let mut left = most;
    while let Some(header) = reader.next()? {
        left = left.checked_sub(header.size).ok_or_else(|| wrong(&header, &too_much(most).to_string()))?;
        match assembly.add(&header)? {
            Todo::Nothing => {}
            Todo::Content(path) => {
                let data = match header.pieces.clone() {
                    None => Data::range(Arc::clone(&file), header.offset, header.size),
                    Some(pieces) => Data::pieces(Arc::clone(&file), header.offset, pieces, header.size),
                };
                assembly.clear(&path)?;
                assembly.put_file(path, meta_of(&header), data);
            }
            Todo::Below { target, .. } => {
                return Err(wrong(
                    &header,
                    &format!("a hard link to `{target}`, which is not in the archive"),
                ));
            }
        }
    }
    let (assembled, _) = assembly.finish();
    Ok(assembled.into_iter().filter_map(change).collect())
}

fn change(assembled: Assembled<Data>) -> Option<Change> {
    let Assembled { path, meta, kind } = assembled;
    let kind = match kind {
        AssembledKind::File(data) => ChangeKind::File(data),
        AssembledKind::Dir { implied: true, .. } => return None,
        AssembledKind::Dir { .. } if path.is_root() => return None,
        AssembledKind::Dir { .. } => ChangeKind::Dir { opaque: false },
        AssembledKind::Other(Kind::HardLink { target }) => ChangeKind::HardLink { target },
        AssembledKind::Other(Kind::Symlink { target }) => ChangeKind::Symlink { target },
        AssembledKind::Other(Kind::Char { major, minor }) => ChangeKind::Char { major, minor },
        AssembledKind::Other(Kind::Block { major, minor }) => ChangeKind::Block { major, minor },
        AssembledKind::Other(Kind::Fifo) => ChangeKind::Fifo,
        AssembledKind::Other(Kind::File { .. } | Kind::Dir { .. } | Kind::Whiteout) => return None,
    };
    Some(Change::new(path, meta, kind))
}

#[cfg(test)]
mod tests;
