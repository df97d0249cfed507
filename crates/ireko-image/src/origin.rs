//! Where a layer that is not in the store can be had, remembered so that another process can fetch it later.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use ireko_oci::{Descriptor, Digest, Fields, MediaType, Reference};
use ireko_store::{BlobForm, Store};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::{self, Files, Piece};

/// Where a layer's bytes are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// In a registry's repository.
    Registry { reference: Reference, blob: Box<Descriptor> },
    /// In a layout directory, under this name.
    Layout { dir: PathBuf, name: String, blob: Option<Box<Descriptor>> },
    /// In an uncompressed archive, from this byte on.
    Archive { path: PathBuf, offset: u64, size: u64, blob: Option<Box<Descriptor>> },
}

impl Origin {
    /// Notes it for later processes.
    pub(crate) fn remember(&self, store: &Store, diff: &Digest) -> Result<()> {
        // A path that is no UTF-8 is not worth a format of its own.
        let Ok(body) = serde_json::to_vec(self) else { return Ok(()) };
        let name = memo(diff);
        if store.memo(&name).as_deref() != Some(&body) {
            store.put_memo(&name, &body)?;
        }
        Ok(())
    }

    /// What an earlier process noted.
    pub(crate) fn recall(store: &Store, diff: &Digest) -> Option<Self> {
        serde_json::from_slice(&store.memo(&memo(diff))?).ok()
    }

    /// The bytes, where they are on this machine.
    pub(crate) fn piece(&self) -> Result<Option<(Piece, Option<&Descriptor>, String)>> {
        match self {
            Self::Registry { .. } => Ok(None),
            Self::Layout { dir, name, blob } => {
                let files = Files::dir(dir)?;
                let missing = || Error::no_archive(&files.place, format!("its layer `{name}` is missing"));
                let piece = files.find(name)?.ok_or_else(missing)?;
                Ok(Some((piece, blob.as_deref(), files.place)))
            }
            Self::Archive { path, offset, size, blob } => {
                let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
                let piece = Piece::Range { file: Arc::new(file), offset: *offset, size: *size };
                Ok(Some((piece, blob.as_deref(), path.display().to_string())))
            }
        }
    }
}

fn memo(diff: &Digest) -> [u8; 32] {
    Fields::new("ireko origin of layer/1").bytes("diff", diff.to_string().as_bytes()).hash()
}

/// Takes a layer's bytes into the store, checks both digests and indexes it.
pub(crate) fn take(
    store: &Store,
    diff: &Digest,
    (piece, blob, place): (&Piece, Option<&Descriptor>, &str),
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let expect = blob.map(|blob| blob.digest);
    let digest = match piece {
        Piece::Blob { digest, .. } if expect.is_none_or(|expect| expect == *digest) => *digest,
        _ => {
            let mut draft = store.blob_draft()?;
            let mut reader = Counted { inner: piece.open(store)?, done: 0, progress };
            files::copy(&mut reader, &mut draft).map_err(|cause| files::unreadable(place, &cause))?;
            draft.publish(expect.as_ref()).map_err(|error| wrong(error, place))?
        }
    };
    let media_type = match blob {
        Some(blob) if blob.media_type.layer().is_some() => blob.media_type.clone(),
        _ => sniff(store, &digest)?,
    };
    let form = BlobForm { digest, media_type: media_type.to_string(), size: piece.size(), made: false };
    store.import_blob(&form, Some(diff)).map_err(|error| wrong(error, place))?;
    Ok(())
}

/// Says where wrong bytes came from.
pub(crate) fn wrong(error: ireko_store::Error, place: &str) -> Error {
    match error {
        ireko_store::Error::WrongDigest { what, expected, found } => {
            Error::WrongDigest { what: what.to_owned(), place: place.to_owned(), expected, found }
        }
        other => other.into(),
    }
}

/// The media type of a layer that nobody described.
fn sniff(store: &Store, digest: &Digest) -> Result<MediaType> {
    let mut start = [0; 4];
    if let Some(file) = store.open_blob(digest)? {
        let mut taken = file.take(4);
        let mut filled = 0;
        while let Ok(read @ 1..) = taken.read(&mut start[filled..]) {
            filled += read;
        }
    }
    Ok(match start {
        [0x1f, 0x8b, ..] => MediaType::DOCKER_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => MediaType::DOCKER_LAYER_ZSTD,
        _ => MediaType::DOCKER_LAYER,
    })
}

struct Counted<'a> {
    inner: Box<dyn Read + Send>,
    done: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.done += read as u64;
        (self.progress)(self.done);
        Ok(read)
    }
}
