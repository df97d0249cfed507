//! Compressed layers: chosen where the store has them, made once where it does not.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ireko_layer::{Compression, Compressor};
use ireko_oci::{Compression as Codec, Digest, Fields, MediaType};
use ireko_report::{Event, Sink};
use ireko_store::{BlobDraft, BlobForm, LayerInfo, Store};
use serde::{Deserialize, Serialize};

use crate::early::Early;
use crate::error::{Error, Result};

/// Layers from this size on are compressed one after the other by all threads, smaller ones side by side.
const LARGE: u64 = 16 << 20;
/// Progress is told in steps of this size.
const PROGRESS_STEP: u64 = 4 << 20;
const DEFAULT: Compression = Compression::Gzip { level: 6 };

/// A layer ready to be shipped: the blob's digest, size and compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) diff: Digest,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) codec: Codec,
}

impl Packed {
    /// Whether the blob is the layer's plain tar, which need not be a blob of the store.
    pub(crate) fn is_tar(&self) -> bool {
        self.digest == self.diff
    }
}

/// How layers are wanted. `None` is gzip, or as they came from elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Packer<'a> {
    pub(crate) store: &'a Arc<Store>,
    pub(crate) how: Option<Compression>,
    pub(crate) threads: usize,
    pub(crate) sink: &'a dyn Sink,
    /// Where large layers are sent while they are compressed.
    pub(crate) early: Option<&'a Early>,
}

/// What is noted of a blob made here.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Made {
    digest: Digest,
    size: u64,
}

impl Packer<'_> {
    /// Every layer in the wanted form, in the same order.
    pub(crate) fn all(&self, layers: &[Digest]) -> Result<Vec<Packed>> {
        // Each is asked of the store once: what that notes of a blob may be pruned at any time, the blob may not.
        let mut packed: BTreeMap<Digest, Packed> = BTreeMap::new();
        let mut missing: BTreeMap<Digest, u64> = BTreeMap::new();
        for diff in layers {
            match self.ready(diff)? {
                Some(ready) => drop(packed.insert(*diff, ready)),
                None => drop(missing.insert(*diff, self.layer(diff)?.tar_size)),
            }
        }
        let (large, small): (Vec<_>, Vec<_>) = missing.into_iter().partition(|(_, size)| *size >= LARGE);
        let packed = Mutex::new(packed);
        let compress = |diff: &Digest, size, threads| -> Result<()> {
            let made = self.compress(diff, size, threads)?;
            packed.lock().unwrap_or_else(PoisonError::into_inner).insert(*diff, made);
            Ok(())
        };
        for (diff, size) in &large {
            compress(diff, *size, self.threads)?;
        }
        parallel(&small, self.threads, |(diff, size)| compress(diff, *size, 1))?;
        let packed = packed.into_inner().unwrap_or_else(PoisonError::into_inner);
        layers.iter().map(|diff| packed.get(diff).copied().ok_or(Error::NoOrigin { diff: *diff })).collect()
    }

    fn layer(&self, diff: &Digest) -> Result<LayerInfo> {
        match self.store.presence(diff)? {
            true => self.store.layer(diff)?.ok_or(Error::NoOrigin { diff: *diff }),
            false => Err(Error::NoOrigin { diff: *diff }),
        }
    }

    /// The form that is there already.
    fn ready(&self, diff: &Digest) -> Result<Option<Packed>> {
        let info = self.layer(diff)?;
        let how = self.how.unwrap_or(DEFAULT);
        if how == Compression::None {
            return Ok(Some(Packed { diff: *diff, digest: *diff, size: info.tar_size, codec: Codec::None }));
        }
        let wanted = codec(how);
        let suits = |blob: &&BlobForm| {
            let codec = codec_of(blob);
            let fits = codec == Some(wanted)
                || (self.how.is_none() && codec.is_some_and(|codec| codec != Codec::None));
            fits && !blob.made
        };
        if let Some(blob) = info.blobs.iter().find(suits) {
            let codec = codec_of(blob).unwrap_or(wanted);
            return Ok(Some(Packed { diff: *diff, digest: blob.digest, size: blob.size, codec }));
        }
        let noted =
            self.store.memo(&made_from(diff, how)).and_then(|body| serde_json::from_slice(&body).ok());
        let Some(Made { digest, size }) = noted else { return Ok(None) };
        let is_there = info.blobs.iter().any(|blob| blob.digest == digest && blob.size == size);
        Ok(is_there.then_some(Packed { diff: *diff, digest, size, codec: wanted }))
    }

    /// Compresses one layer into the store.
    fn compress(&self, diff: &Digest, size: u64, threads: usize) -> Result<Packed> {
        let how = self.how.unwrap_or(DEFAULT);
        let mut blob = self.store.blob_draft()?;
        // What is small is soon compressed.
        if let Some(early) = self.early.filter(|early| size >= LARGE && early.has_room()) {
            early.begin(diff, blob.follow()?);
        }
        let draft = LayerDraft::into(blob, self.store, how, threads)?;
        let what = format!("compressing {}", diff.short());
        let mut counted = Counted { inner: draft, done: 0, told: 0, total: size, what, sink: self.sink };
        let info = self.layer(diff)?;
        if info.tar || !info.blobs.is_empty() {
            // These were checked when they came in, and nobody writes to them.
            let mut tar = self.store.open_tar(diff)?;
            let failed = |cause| compressing(diff, ireko_layer::Error::Stream { deed: "compress", cause });
            crate::files::copy(&mut tar, &mut counted).map_err(failed)?;
        } else {
            self.store.copy_tar(diff, &mut counted)?;
        }
        counted.tell();
        let Made { digest, size } = counted.inner.made(diff)?;
        Ok(Packed { diff: *diff, digest, size, codec: codec(how) })
    }
}

/// The compressed form of a layer while it is made: it is given the layer's tar. Dropped without [`Self::keep`], it
/// never existed.
pub struct LayerDraft<'a> {
    store: &'a Store,
    how: Compression,
    compressor: Compressor<BlobDraft<'a>>,
}

impl<'a> LayerDraft<'a> {
    /// Begins one, compressed by this many threads; `how` is as destinations say it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn begin(store: &'a Store, how: Option<Compression>, threads: usize) -> Result<Self> {
        Self::into(store.blob_draft()?, store, how.unwrap_or(DEFAULT), threads)
    }

    fn into(blob: BlobDraft<'a>, store: &'a Store, how: Compression, threads: usize) -> Result<Self> {
        let compressor =
            Compressor::new(how, threads, blob).map_err(|cause| Error::Compressor(Box::new(cause)))?;
        Ok(Self { store, how, compressor })
    }

    /// Makes it a form of the layer that has this diff ID and is in the store.
    ///
    /// # Errors
    /// The store cannot be written, or the layer is not there.
    pub fn keep(self, diff: &Digest) -> Result<()> {
        self.made(diff).map(|_| ())
    }

    fn made(self, diff: &Digest) -> Result<Made> {
        let Self { store, how, compressor } = self;
        let draft = compressor.finish().map_err(|cause| compressing(diff, cause))?;
        let size = draft.size();
        let digest = draft.publish(None)?;
        let media_type = MediaType::oci_layer(codec(how)).to_string();
        store.add_blob(diff, &BlobForm { digest, media_type, size, made: true })?;
        let made = Made { digest, size };
        let body = serde_json::to_vec(&made).expect("a digest and a number serialise");
        store.put_memo(&made_from(diff, how), &body)?;
        Ok(made)
    }
}

impl Write for LayerDraft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.compressor.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.compressor.flush()
    }
}

fn compressing(diff: &Digest, cause: ireko_layer::Error) -> Error {
    Error::Layer { deed: "compress", diff: *diff, cause: Box::new(cause) }
}

pub(crate) fn codec(how: Compression) -> Codec {
    match how {
        Compression::Gzip { .. } | Compression::GzipSingle { .. } => Codec::Gzip,
        Compression::Zstd { .. } => Codec::Zstd,
        Compression::None => Codec::None,
    }
}

fn codec_of(blob: &BlobForm) -> Option<Codec> {
    MediaType::new(&blob.media_type).layer().map(|layer| layer.compression)
}

fn made_from(diff: &Digest, how: Compression) -> [u8; 32] {
    let fields = Fields::new("ireko blob of layer/1").bytes("diff", diff.to_string().as_bytes());
    fields.bytes("how", format!("{how:?}").as_bytes()).hash()
}

struct Counted<'a> {
    inner: LayerDraft<'a>,
    done: u64,
    told: u64,
    total: u64,
    what: String,
    sink: &'a dyn Sink,
}

impl Counted<'_> {
    fn tell(&mut self) {
        self.told = self.done;
        let (what, done) = (self.what.clone(), self.done);
        self.sink.emit(Event::Progress { node: None, what, done, total: Some(self.total) });
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.done += written as u64;
        if self.done >= self.told + PROGRESS_STEP {
            self.tell();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Does the work for each item, on some threads; the first failure ends it.
pub(crate) fn parallel<T: Sync>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let failed = || failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let run = || {
        while failed().is_none()
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = work(item) {
                failed().get_or_insert(error);
            }
        }
    };
    match threads.min(items.len()) {
        0 | 1 => run(),
        threads => std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(run);
            }
        }),
    }
    failed().take().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use ireko_layer::{Change, ChangeKind, Data, LayerWriter, Meta, Time, TreePath};
    use ireko_store::NewForms;

    /// Takes every note of the store away whenever something is told.
    struct Pruning<'a>(&'a std::path::Path);

    impl Sink for Pruning<'_> {
        fn emit(&self, _: Event) {
            let memo = self.0.join("memo");
            let _ = std::fs::remove_dir_all(&memo);
            std::fs::create_dir(memo).unwrap();
        }
    }

    fn layer(store: &Store, name: &str) -> Digest {
        let mut tar = store.tar_draft().unwrap();
        let mut writer = LayerWriter::new().sink(&mut tar);
        let meta = Meta::new(0o644, Time::new(1_000_000, 0));
        let kind = ChangeKind::File(Data::memory(name.as_bytes().to_vec()));
        writer.push_all(vec![Change::new(TreePath::new(name).unwrap(), meta, kind)]).unwrap();
        let written = writer.finish().unwrap();
        store.put_layer(&written, NewForms { tar: Some(tar), ..NewForms::default() }).unwrap().diff
    }

    #[test]
    fn notes_that_are_pruned_meanwhile_are_not_missed() {
        let home = tempfile::tempdir().unwrap();
        let store = testing::open(home.path());
        let layers = ["a", "b", "c"].map(|name| layer(&store, name));
        let sink = Pruning(home.path());
        let packer = Packer { store: &store, how: None, threads: 1, sink: &sink, early: None };
        let first = packer.all(&layers).unwrap();
        assert_eq!(first.iter().map(|packed| packed.diff).collect::<Vec<_>>(), layers);
        assert!(first.iter().all(|packed| store.has_blob(&packed.digest)));
        assert_eq!(packer.all(&layers).unwrap(), first);
    }
}
