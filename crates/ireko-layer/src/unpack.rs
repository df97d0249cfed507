//! Layers that others wrote: read safely, whatever the tar says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ireko_oci::FileHash;
use rustix::fs::{Mode, OFlags};

use crate::assemble::{Assembled, AssembledKind, Assembly, Todo, Whiteouts, meta_of, wrong};
use crate::index::{INLINED, INLINED_MAX};
use crate::place::Place;
use crate::stream::Input;
use crate::tar::{Header, Reader, Type};
use crate::writer::settle_dirs;
use crate::{Entry, Error, Follow, Index, Kind, Meta, OverlayAttrs, TreePath, View, Written, source};

/// Bytes of a file that are read at a time.
const PIECE: usize = 256 << 10;

/// Files of the layers below, for hard links that point there.
pub trait LowerFiles {
    /// Opens a regular file of the merged layers below.
    fn open(&self, path: &TreePath) -> io::Result<Option<File>>;
}

/// The layers below as unpacked directories.
#[derive(Clone, Debug, Default)]
pub struct SnapshotStack {
    /// Their indexes.
    pub view: View,
    /// Their directories, bottom first like the view's layers.
    pub dirs: Vec<PathBuf>,
}

impl LowerFiles for SnapshotStack {
    fn open(&self, path: &TreePath) -> io::Result<Option<File>> {
        let path = self.view.resolve(path, Follow::Parents).map_err(io::Error::other)?;
        let Some(found) = self.view.owner_of_content(&path) else { return Ok(None) };
        let Some(dir) = self.dirs.get(found.layer) else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        let file = source::open_beneath(dir.as_fd(), found.entry.path.as_path())?;
        Ok(Some(File::from(file)))
    }
}

/// How a layer is unpacked.
#[derive(Clone, Copy)]
pub struct UnpackOptions<'a> {
    /// The form of overlayfs's marks.
    pub attrs: OverlayAttrs,
    /// The layers below: directories that the tar does not name take their metadata from there.
    pub below: Option<&'a View>,
    /// Bytes of files below, for hard links to them.
    pub lower: Option<&'a dyn LowerFiles>,
}

/// Unpacks an uncompressed tar into an empty directory in overlayfs form, and indexes it in the same read.
pub fn unpack(tar: impl Read, into: &Path, options: &UnpackOptions<'_>) -> Result<Written, Error> {
    let place = Place::new(into, options.attrs)?;
    read_layer(tar, Some(place), options.below, options.lower)
}

/// Indexes an uncompressed tar: the same answer as [`unpack`]'s.
pub fn index_of(tar: impl Read) -> Result<Written, Error> {
    read_layer(tar, None, None, None)
}

/// What is known of a file: its length, its hash, and its bytes if they are kept in the index.
#[derive(Clone)]
struct Content {
    size: u64,
    hash: FileHash,
    inlined: Option<Vec<u8>>,
}

fn read_layer(
    tar: impl Read,
    place: Option<Place>,
    below: Option<&View>,
    lower: Option<&dyn LowerFiles>,
) -> Result<Written, Error> {
    let mut reader = Reader::new(Input::new(tar));
    let mut assembly = Assembly::new(Whiteouts::Delete, place);
    let mut buffer = vec![0; PIECE];
    while let Some(header) = reader.next()? {
        match assembly.add(&header)? {
            Todo::Nothing => {}
            Todo::Content(path) => {
                let meta = meta_of(&header);
                put(&mut assembly, path, meta, header.size, &mut buffer, |room| reader.content(room))?;
            }
            Todo::Below { path, target } => {
                let missing = || wrong(&header, &format!("a hard link to `{target}`, which is not there"));
                let mut file = match lower {
                    Some(lower) => {
                        lower.open(&target).map_err(|cause| Error::Read { path: target.clone(), cause })?
                    }
                    None => None,
                }
                .ok_or_else(missing)?;
                let under =
                    below.and_then(|below| below.entry(&below.resolve(&target, Follow::Parents).ok()?));
                let meta = under.map_or_else(|| meta_of(&header), |entry| entry.meta.clone());
                let fail = |cause| Error::Read { path: target.clone(), cause };
                let size = file.metadata().map_err(fail)?.len();
                put(&mut assembly, path, meta, size, &mut buffer, |room| file.read(room).map_err(fail))?;
            }
        }
    }
    let (diff_id, tar_size) =
        reader.into_input().finish().map_err(|cause| Error::Stream { deed: "read", cause })?;
    let (assembled, place) = assembly.finish();
    let index = index_from(assembled)?;
    let substituted = match place {
        Some(place) => finish_place(place, &index, below)?,
        None => Vec::new(),
    };
    Ok(Written { content_id: index.content_id(), index, diff_id, tar_size, substituted })
}

/// Reads a file's content into the tree, and into the directory if there is one.
#[expect(
    clippy::too_many_arguments,
    reason = "one deed with its place, its source and a buffer that is reused"
)]
fn put(
    assembly: &mut Assembly<Content>,
    path: TreePath,
    meta: Meta,
    size: u64,
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>,
) -> Result<(), Error> {
    assembly.clear(&path)?;
    let mut draft = match &mut assembly.place {
        Some(place) => Some(place.file(&path, size)?),
        None => None,
    };
    let mut inlined = (INLINED.contains(&path.as_bytes()) && size <= INLINED_MAX).then(Vec::new);
    let mut hasher = blake3::Hasher::new();
    let mut left = size;
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = read(&mut buffer[..want])?;
        if count == 0 {
            return Err(Error::ChangedWhileRead { path });
        }
        let got = &buffer[..count];
        hasher.update(got);
        if let Some(draft) = &mut draft {
            draft.write(got).map_err(|cause| Error::Write { path: path.clone(), cause })?;
        }
        if let Some(inlined) = &mut inlined {
            inlined.extend_from_slice(got);
        }
        left -= count as u64;
    }
    if let (Some(place), Some(draft)) = (&mut assembly.place, &draft) {
        place.finish_file(&path, &meta, draft)?;
    }
    let hash = FileHash(*hasher.finalize().as_bytes());
    assembly.put_file(path, meta, Content { size, hash, inlined });
    Ok(())
}

fn index_from(assembled: Vec<Assembled<Content>>) -> Result<Index, Error> {
    let mut inlined = BTreeMap::new();
    let mut entries = Vec::with_capacity(assembled.len());
    for Assembled { path, meta, kind } in assembled {
        let (kind, implied) = match kind {
            AssembledKind::File(Content { size, hash, inlined: bytes }) => {
                if let Some(bytes) = bytes.filter(|_| INLINED.contains(&path.as_bytes())) {
                    inlined.insert(path.clone(), bytes);
                }
                (Kind::File { size, hash }, false)
            }
            AssembledKind::Dir { opaque, implied } => (Kind::Dir { opaque }, implied),
            AssembledKind::Other(kind) => (kind, false),
        };
        entries.push(Entry { path, meta, kind, dated: false, implied });
    }
    Index::new(entries, inlined)
}

/// Deletions, and last of all the directories' own metadata; what the tar does not say of one comes from below.
fn finish_place(
    mut place: Place,
    index: &Index,
    below: Option<&View>,
) -> Result<Vec<(TreePath, String)>, Error> {
    for entry in index.entries().iter().filter(|entry| entry.kind == Kind::Whiteout) {
        place.special(entry)?;
    }
    settle_dirs(&mut place, index, |entry| {
        let under = below.filter(|_| entry.implied).and_then(|below| below.entry(&entry.path));
        under.filter(|under| under.kind.is_dir()).map_or(&entry.meta, |under| &under.meta).clone()
    })?;
    Ok(place.substituted)
}

/// Writes the bytes of one regular file of an uncompressed tar; false if it has none of this name.
pub fn read_file_from_tar(tar: impl Read, path: &TreePath, out: &mut dyn Write) -> Result<bool, Error> {
    let mut reader = Reader::new(io::BufReader::with_capacity(PIECE, tar));
    let mut buffer = vec![0; PIECE];
    while let Some(header) = reader.next()? {
        if !is_file_at(&header, path) {
            continue;
        }
        loop {
            match reader.content(&mut buffer)? {
                0 => return Ok(true),
                count => {
                    out.write_all(&buffer[..count])
                        .map_err(|cause| Error::Stream { deed: "write", cause })?;
                }
            }
        }
    }
    Ok(false)
}

/// Reads an uncompressed tar once and hands over each regular file's path and bytes, in the tar's order, until `visit`
/// wants no more. Bytes that it leaves are skipped.
pub fn read_files_from_tar(
    tar: impl Read,
    mut visit: impl FnMut(&TreePath, &mut dyn Read) -> io::Result<bool>,
) -> Result<(), Error> {
    let mut reader = Reader::new(io::BufReader::with_capacity(PIECE, tar));
    while let Some(header) = reader.next()? {
        let names = header.name.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        let Ok(path) = TreePath::new(names.collect::<Vec<_>>().join(&b'/')) else { continue };
        if header.kind != Type::File {
            continue;
        }
        let more = visit(&path, &mut Bytes(&mut reader));
        if !more.map_err(|cause| Error::Stream { deed: "read", cause })? {
            break;
        }
    }
    Ok(())
}

/// The present entry's bytes.
struct Bytes<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Bytes<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.content(room).map_err(io::Error::other)
    }
}

fn is_file_at(header: &Header, path: &TreePath) -> bool {
    let names = header.name.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    header.kind == Type::File && names.eq(path.names())
}

#[cfg(test)]
mod tests;
