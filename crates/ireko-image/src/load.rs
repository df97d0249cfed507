//! Taking archives and layouts into the store.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ireko_oci::{Digest, Platform};
use ireko_store::{Image, NewImage, Store};

use crate::describe::{Described, Part, Reader};
use crate::error::{Error, Result};
use crate::files::{Files, unreadable};
use crate::images::Images;
use crate::pack::parallel;

/// What is loaded.
pub enum LoadFrom<'a> {
    /// A docker or OCI archive, compressed or not, or a directory with the same.
    Path(&'a Path),
    /// An archive as a stream.
    Stream(&'a mut dyn Read),
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its names, canonical.
    pub names: Vec<String>,
    /// The image.
    pub image: Image,
}

/// Layers are read by so many threads.
const READERS: usize = 4;
/// Of a stream, so many bytes are read at a time, and so many times ahead.
const CHUNK: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;

impl Images {
    /// Takes every image of an archive or layout into the store; of an image for several platforms that of this machine.
    pub fn load(&self, from: LoadFrom<'_>) -> Result<Vec<Loaded>> {
        self.load_for(from, &Platform::host())
    }

    /// The same for another platform.
    pub fn load_for(&self, from: LoadFrom<'_>, platform: &Platform) -> Result<Vec<Loaded>> {
        let (files, images) = self.described(from, platform)?;
        let loaded = images.iter().map(|image| self.load_one(&files, image)).collect::<Result<_>>()?;
        self.store.sync()?;
        Ok(loaded)
    }

    /// The same without giving them names.
    pub(crate) fn load_unnamed(&self, from: LoadFrom<'_>, platform: &Platform) -> Result<Vec<Image>> {
        let (files, mut images) = self.described(from, platform)?;
        let mut loaded = Vec::new();
        for image in &mut images {
            image.names.clear();
            loaded.push(self.load_one(&files, image)?.image);
        }
        self.store.sync()?;
        Ok(loaded)
    }

    fn described(&self, from: LoadFrom<'_>, platform: &Platform) -> Result<(Files, Vec<Described>)> {
        let files = match from {
            LoadFrom::Path(path) if path.is_dir() => Files::dir(path)?,
            LoadFrom::Path(path) => open(&self.store, path)?,
            LoadFrom::Stream(stream) => piped(&self.store, stream)?,
        };
        let images = Reader { store: &self.store, files: &files, platform }.all()?;
        Ok((files, images))
    }

    fn load_one(&self, files: &Files, image: &Described) -> Result<Loaded> {
        let layers: Vec<(&Digest, &Part)> = image.config.rootfs.diff_ids.iter().zip(&image.layers).collect();
        parallel(&layers, READERS, |(diff, part)| {
            // What the store has already need not be in the archive.
            let Some(piece) = files.find(&part.name)? else {
                return match self.store.presence(diff)? {
                    true => Ok(()),
                    false => {
                        Err(Error::no_archive(&files.place, format!("its layer `{}` is missing", part.name)))
                    }
                };
            };
            self.take(diff, &piece, part.blob.as_ref(), &files.place)
        })?;
        let manifest = image.manifest.as_ref().map(|(_, bytes)| bytes.as_slice());
        let image_row =
            self.store.put_image(&image.names, &NewImage { config: &image.config_bytes, manifest })?;
        Ok(Loaded { names: image.names.clone(), image: image_row })
    }
}

/// The files of an archive on disk: sought in where it is plain, read through where it is compressed or a pipe.
pub(crate) fn open(store: &Store, path: &Path) -> Result<Files> {
    let failed = |cause| Error::io("read", path, cause);
    let mut file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
    let place = path.display().to_string();
    if !file.metadata().map_err(failed)?.is_file() {
        return Files::stream(store, plain(file, &place)?, &place);
    }
    let mut start = Vec::new();
    file.by_ref().take(6).read_to_end(&mut start).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    match start.as_slice() {
        [] => Err(Error::no_archive(&place, "it is empty")),
        [0x1f, 0x8b, ..]
        | [0x28, 0xb5, 0x2f, 0xfd, ..]
        | [b'B', b'Z', b'h', ..]
        | [0xfd, b'7', b'z', b'X', ..] => Files::stream(store, plain(file, &place)?, &place),
        _ => Files::archive(path, file),
    }
}

fn plain<'a>(stream: impl Read + Send + 'a, place: &str) -> Result<Box<dyn Read + Send + 'a>> {
    ireko_layer::decompress(stream).map_err(|cause| Error::no_archive(place, source_text(&cause)))
}

fn source_text(cause: &dyn std::error::Error) -> String {
    cause.source().map_or_else(|| cause.to_string(), ToString::to_string)
}

/// The files of an archive that this thread reads while another one takes it apart.
fn piped(store: &Store, stream: &mut dyn Read) -> Result<Files> {
    let (ready, chunks) = sync_channel(CHUNKS_AHEAD);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            Files::stream(store, plain(Chunks { chunks, current: Vec::new(), at: 0 }, "-")?, "-")
        });
        let fed = feed(stream, &ready);
        drop(ready);
        let files = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        fed.map_err(|cause| unreadable("-", &cause))?;
        files
    })
}

/// Reads to the end, also when nobody listens any more: whoever writes into the pipe is not to be cut off.
fn feed(stream: &mut dyn Read, ready: &SyncSender<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if stream.take(CHUNK as u64).read_to_end(&mut chunk)? == 0 {
            return Ok(());
        }
        // The listener has what it wanted, or failed and says so itself.
        let _ = ready.send(chunk);
    }
}

struct Chunks {
    chunks: Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            self.at = 0;
            self.current = self.chunks.recv().unwrap_or_default();
        }
        let most = into.len().min(self.current.len() - self.at);
        into[..most].copy_from_slice(&self.current[self.at..self.at + most]);
        self.at += most;
        Ok(most)
    }
}

#[cfg(test)]
mod tests;
