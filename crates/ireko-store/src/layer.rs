//! Layers by diff ID: what each holds, and the forms that it has on this disk.
//!
//! `layers/<diff>/` is made whole by one rename and then only gains files: one for each form. A form is a tar in
//! `tars/`, a compressed blob, or an unpacked directory in `snapshots/`. Before that it may hold marks of blobs that
//! were not read yet, see `unread.rs`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ireko_layer::{Index, Kind, View, Written};
use ireko_oci::{ContentId, Digest, DigestReader, Fields};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Lock};
use crate::error::{Error, Result};
use crate::lease::{Lease, Object};
use crate::seal::{self, FORM, INDEX, LAYER};
use crate::snapshot::{SnapshotDraft, Unpacked};
use crate::store::{Store, Unsynced};

/// What is known of a layer and which forms it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// What it contains, volatile times aside.
    pub content: ContentId,
    /// The digest of its uncompressed tar.
    pub diff: Digest,
    /// The length of that tar.
    pub tar_size: u64,
    /// How many paths it holds.
    pub entries: u64,
    /// Whether its tar is ours, so that it can be written again from an unpacked directory.
    pub canonical: bool,
    /// Whether the uncompressed tar is there.
    pub tar: bool,
    /// The compressed blobs that are there.
    pub blobs: Vec<BlobForm>,
    /// Whether it is unpacked in a form that this process can use.
    pub snapshot: bool,
    /// Whether it is unpacked in a form whose files this process can at least read.
    pub readable: bool,
}

impl LayerInfo {
    /// Whether its tar can be had from some form.
    pub fn present(&self) -> bool {
        self.tar || !self.blobs.is_empty() || (self.readable && self.canonical)
    }
}

/// A compressed form of a layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobForm {
    /// The blob's digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size.
    pub size: u64,
    /// It was made here, for somebody who asked for such a form; else it came from elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
}

/// Forms that come with a layer that was just written.
#[derive(Debug, Default)]
pub struct NewForms {
    /// Its tar.
    pub tar: Option<TarDraft>,
    /// It, unpacked.
    pub snapshot: Option<SnapshotDraft>,
    /// A blob that is in the store already.
    pub blob: Option<BlobForm>,
}

/// The `info` file of a layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LayerFile {
    pub(crate) content: ContentId,
    pub(crate) diff: Digest,
    pub(crate) tar_size: u64,
    pub(crate) entries: u64,
    pub(crate) canonical: bool,
    /// Unpacking it depends on what lies below: directories that it does not name, hard links to files of others.
    pub(crate) leans: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TarFile {
    pub(crate) size: u64,
    /// The boot in which it was written, until it was synced.
    pub(crate) boot: Option<String>,
}

/// An uncompressed tar being written. Dropped without being put, it never existed.
#[derive(Debug)]
pub struct TarDraft {
    _lease: Arc<Lease>,
    file: io::BufWriter<File>,
    path: PathBuf,
    size: u64,
}

impl Write for TarDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for TarDraft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Begins a tar.
    pub fn tar_draft(&self) -> Result<TarDraft> {
        let path = self.scratch()?;
        let file = io::BufWriter::with_capacity(256 << 10, disk::create_new(&path)?);
        Ok(TarDraft { _lease: self.lease()?, file, path, size: 0 })
    }

    /// Makes a layer that this process wrote part of the store, or adds forms to one that is. It is held for this
    /// process from then on.
    pub fn put_layer(&self, written: &Written, forms: NewForms) -> Result<LayerInfo> {
        self.put(written, forms, true)
    }

    pub(crate) fn put(&self, written: &Written, forms: NewForms, canonical: bool) -> Result<LayerInfo> {
        let diff = written.diff_id;
        self.claim(&Object::Layer(diff))?;
        let file = LayerFile {
            content: written.content_id,
            diff,
            tar_size: written.tar_size,
            entries: written.index.entries().len() as u64,
            canonical,
            leans: leans(&written.index),
        };
        if self.make_layer(&file, &written.index)? {
            // Steps above will ask for it.
            self.indexes().insert(diff, Arc::new(written.index.clone()));
        }
        {
            let _lock = self.lock_layer(&diff)?;
            if let Some(tar) = forms.tar {
                self.add_tar(&diff, tar)?;
            }
            if let Some(snapshot) = forms.snapshot {
                let exact = written.substituted.is_empty();
                self.add_snapshot(&file, Unpacked { draft: snapshot, exact, below: &[] })?;
            }
        }
        if let Some(blob) = &forms.blob {
            self.add_blob(&diff, blob)?;
        }
        self.layer(&diff)?.ok_or(Error::LayerGone { diff })
    }

    /// The directory of a layer, with what never changes in it; tells whether it was made here.
    fn make_layer(&self, file: &LayerFile, index: &Index) -> Result<bool> {
        let place = self.layout.layer(&file.diff);
        if self.layer_file(&file.diff).is_some() && place.join("index").exists() {
            return Ok(false);
        }
        let draft = self.scratch()?;
        fs::create_dir(&draft).map_err(|cause| Error::io("create directory", &draft, cause))?;
        let written = [
            ("info", seal::seal(LAYER, &crate::open::json(file))),
            ("index", seal::seal(INDEX, &index.encode())),
        ];
        for (name, bytes) in written {
            let path = draft.join(name);
            fs::write(&path, bytes).map_err(|cause| Error::io("write", &place.join(name), cause))?;
        }
        let made = disk::publish_new(&draft, &place)?;
        if !made {
            // Somebody was faster, its blobs came first, or what lies there is damaged: its files are replaced one by one.
            if self.layer_file(&file.diff).is_none() || !place.join("index").exists() {
                disk::publish(&draft.join("index"), &place.join("index"))?;
                disk::publish(&draft.join("info"), &place.join("info"))?;
            }
            disk::remove(&draft);
        }
        Ok(made)
    }

    pub(crate) fn layer_file(&self, diff: &Digest) -> Option<LayerFile> {
        self.read_json(LAYER, &self.layout.layer(diff).join("info"))
    }

    /// One process or thread at a time adds forms to a layer.
    pub(crate) fn lock_layer(&self, diff: &Digest) -> Result<Lock> {
        let path = self.layout.layer(diff);
        let dir = File::open(&path).map_err(|cause| Error::io("open", &path, cause))?;
        dir.lock().map_err(|cause| Error::io("lock", &path, cause))?;
        Ok(Lock::of(dir))
    }

    fn add_tar(&self, diff: &Digest, mut draft: TarDraft) -> Result<()> {
        let place = self.layout.tar(diff);
        draft.flush().map_err(|cause| Error::io("write", &place, cause))?;
        if self.tar_form(diff)?.is_some() {
            return Ok(());
        }
        disk::publish(&draft.path, &place)?;
        self.mark_tar(diff, &TarFile { size: draft.size, boot: Some(self.options.boot_id.clone()) })
    }

    fn mark_tar(&self, diff: &Digest, file: &TarFile) -> Result<()> {
        let path = self.layout.layer(diff).join("tar");
        self.write_json(FORM, &path, file)?;
        if file.boot.is_some() {
            self.pend(path, Unsynced::Tar);
        }
        Ok(())
    }

    /// The tar of a layer, where it is there and can be trusted.
    pub(crate) fn tar_form(&self, diff: &Digest) -> Result<Option<PathBuf>> {
        let path = self.layout.layer(diff).join("tar");
        let Some(file) = self.read_json::<TarFile>(FORM, &path) else { return Ok(None) };
        let tar = self.layout.tar(diff);
        match fs::metadata(&tar) {
            Ok(meta) if meta.len() == file.size => {}
            _ => return Ok(None),
        }
        match file.boot {
            None => {}
            Some(boot) if boot == self.options.boot_id => self.pend(path, Unsynced::Tar),
            Some(_) => {
                if digest_of(&tar)? != *diff {
                    self.warn(&tar, "it was not written out when the machine stopped");
                    let _ = fs::remove_file(&path);
                    let _ = fs::remove_file(&tar);
                    return Ok(None);
                }
                self.mark_tar(diff, &TarFile { size: file.size, boot: None })?;
            }
        }
        Ok(Some(tar))
    }

    /// Notes that a blob of the store is a compressed form of a layer; remembered both ways.
    pub fn add_blob(&self, diff: &Digest, blob: &BlobForm) -> Result<()> {
        if !self.hold(&Object::Blob(blob.digest))? {
            return Err(Error::BlobGone { digest: blob.digest });
        }
        let path = self.layout.layer(diff).join(format!("blob-{}", blob.digest.hex()));
        if self.read_json::<BlobForm>(FORM, &path).as_ref() != Some(blob) {
            self.write_json(FORM, &path, blob)?;
        }
        // Now it is read.
        let _ = fs::remove_file(self.unread_mark(diff, &blob.digest));
        let memo = blob_memo(&blob.digest);
        if self.memo(&memo).as_deref() != Some(diff.to_string().as_bytes()) {
            self.put_memo(&memo, diff.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Whether a blob is known to be a form of a layer.
    pub(crate) fn has_form(&self, diff: &Digest, blob: &BlobForm) -> bool {
        let path = self.layout.layer(diff).join(format!("blob-{}", blob.digest.hex()));
        self.read_json::<BlobForm>(FORM, &path).is_some_and(|form| form.digest == blob.digest)
    }

    /// The diff ID of a compressed layer that was once read here, also when it is gone.
    pub fn diff_of_blob(&self, blob: &Digest) -> Option<Digest> {
        String::from_utf8(self.memo(&blob_memo(blob))?).ok()?.parse().ok()
    }

    /// Takes in a compressed layer that is a blob of the store: reads it once, checks its diff ID against `expect`,
    /// indexes it. Nothing is unpacked. Answers at once where the layer is known.
    pub fn import_blob(&self, blob: &BlobForm, expect: Option<&Digest>) -> Result<LayerInfo> {
        let known = expect.copied().or_else(|| self.diff_of_blob(&blob.digest));
        if let Some(diff) = known.filter(|diff| self.diff_of_blob(&blob.digest) == Some(*diff))
            && self.hold(&Object::Layer(diff))?
            && self.layer_file(&diff).is_some()
        {
            self.add_blob(&diff, blob)?;
            return self.layer(&diff)?.ok_or(Error::LayerGone { diff });
        }
        let file = self.open_blob(&blob.digest)?.ok_or(Error::BlobGone { digest: blob.digest })?;
        let layer_error = |cause| Error::Layer { deed: "read", subject: blob.digest, cause: Box::new(cause) };
        let mut reader = DigestReader::new(file);
        let tar = ireko_layer::decompress(&mut reader).map_err(layer_error)?;
        let written = ireko_layer::index_of(tar).map_err(layer_error)?;
        check_rest(reader, &blob.digest)?;
        check_diff(expect, &written)?;
        let forms = NewForms { blob: Some(blob.clone()), ..NewForms::default() };
        self.put(&written, forms, false)
    }

    /// What is known of a layer; `None` where it was never here or was dropped whole.
    pub fn layer(&self, diff: &Digest) -> Result<Option<LayerInfo>> {
        let Some(file) = self.layer_file(diff) else { return Ok(None) };
        let mut info = LayerInfo {
            content: file.content,
            diff: *diff,
            tar_size: file.tar_size,
            entries: file.entries,
            canonical: file.canonical,
            tar: self.tar_form(diff)?.is_some(),
            blobs: Vec::new(),
            snapshot: false,
            readable: false,
        };
        let own = format!("snapshot-{}", self.options.written_as.fingerprint());
        let place = self.layout.layer(diff);
        for name in disk::names(&place)? {
            if name.starts_with("blob-") {
                let blob = self.read_json::<BlobForm>(FORM, &place.join(&name));
                info.blobs.extend(blob.filter(|blob| self.blob_size(&blob.digest) == Some(blob.size)));
            } else if name.starts_with(&own) && self.snapshot_at(&file, &name)?.is_some() {
                info.snapshot = true;
            }
        }
        info.readable = info.snapshot || self.foreign_snapshot(diff)?.is_some();
        Ok(Some(info))
    }

    /// Whether the layer can be had from some form; if so it is held for this process.
    pub fn presence(&self, diff: &Digest) -> Result<bool> {
        if !self.hold(&Object::Layer(*diff))? {
            return Ok(false);
        }
        let info = self.layer(diff)?.filter(LayerInfo::present);
        let Some(info) = info else { return Ok(false) };
        if !self.indexes().contains_key(diff) && self.index_bytes(diff).is_none() {
            return Ok(false);
        }
        for blob in &info.blobs {
            self.hold(&Object::Blob(blob.digest))?;
        }
        self.used(&self.layout.layer(diff).join("info"));
        Ok(true)
    }

    /// The index file of a layer. One that cannot be read makes the layer useless: it is forgotten, so that it is made
    /// or fetched again where it is asked for.
    fn index_bytes(&self, diff: &Digest) -> Option<Vec<u8>> {
        let place = self.layout.layer(diff);
        let body = self.read_sealed(INDEX, &place.join("index"));
        if body.is_none() {
            let _ = fs::remove_file(place.join("info"));
        }
        body
    }

    /// The sorted list of what a layer holds; read once a process.
    pub fn index(&self, diff: &Digest) -> Result<Arc<Index>> {
        if let Some(index) = self.indexes().get(diff) {
            return Ok(Arc::clone(index));
        }
        let path = self.layout.layer(diff).join("index");
        let body = self.index_bytes(diff).ok_or(Error::LayerGone { diff: *diff })?;
        let index = Index::decode(&body)
            .map_err(|cause| Error::Damaged { path: path.clone(), problem: cause.to_string() })?;
        let index = Arc::new(index);
        self.used(&self.layout.layer(diff).join("info"));
        self.indexes().insert(*diff, Arc::clone(&index));
        Ok(index)
    }

    fn indexes(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<Digest, Arc<Index>>> {
        self.indexes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A stack of layers, bottom first, as one root file system.
    pub fn view(&self, layers: &[Digest]) -> Result<View> {
        let indexes = layers.iter().map(|diff| self.index(diff));
        Ok(View::new(indexes.collect::<Result<_>>()?))
    }

    /// The layer's uncompressed tar, from whichever form there is.
    pub fn open_tar(self: &Arc<Self>, diff: &Digest) -> Result<Box<dyn Read + Send>> {
        self.hold(&Object::Layer(*diff))?;
        if let Some(tar) = self.tar_form(diff)? {
            let file = File::open(&tar).map_err(|cause| Error::io("open", &tar, cause))?;
            return Ok(Box::new(file));
        }
        let info = self.layer(diff)?.ok_or(Error::LayerGone { diff: *diff })?;
        for blob in &info.blobs {
            if let Some(file) = self.open_blob(&blob.digest)? {
                let failed =
                    |cause| Error::Layer { deed: "decompress", subject: *diff, cause: Box::new(cause) };
                return ireko_layer::decompress(file).map_err(failed);
            }
        }
        match info.readable && info.canonical {
            true => TarPipe::open(self, diff).map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            false => Err(Error::LayerGone { diff: *diff }),
        }
    }

    /// Writes the layer's uncompressed tar to `sink`, and checks that it has the digest it must have.
    pub fn copy_tar(self: &Arc<Self>, diff: &Digest, sink: &mut (dyn Write + Send)) -> Result<u64> {
        let info = self.layer(diff)?.ok_or(Error::LayerGone { diff: *diff })?;
        if !info.tar && info.blobs.is_empty() && info.readable && info.canonical {
            return self.tar_from_snapshot(diff, sink);
        }
        let mut reader = DigestReader::new(self.open_tar(diff)?);
        let place = self.layout.layer(diff);
        io::copy(&mut reader, sink).map_err(|cause| Error::io("copy the tar of", &place, cause))?;
        let (_, found, size) = reader.finish();
        match found == *diff {
            true => Ok(size),
            false => Err(Error::wrong_digest("a layer", *diff, found)),
        }
    }

    pub(crate) fn tar_from_snapshot(&self, diff: &Digest, sink: &mut (dyn Write + Send)) -> Result<u64> {
        let dir = match self.any_snapshot(diff)? {
            Some(dir) => dir,
            None => self.foreign_snapshot(diff)?.ok_or(Error::LayerGone { diff: *diff })?,
        };
        let written = ireko_layer::tar_of_snapshot(&*self.index(diff)?, &dir, sink).map_err(|cause| {
            Error::Layer { deed: "write the tar of", subject: *diff, cause: Box::new(cause) }
        })?;
        match written.diff_id == *diff {
            true => Ok(written.tar_size),
            false => Err(Error::wrong_digest("a layer", *diff, written.diff_id)),
        }
    }

    /// Gives a layer that is only unpacked a tar as well.
    pub(crate) fn ensure_tar(&self, diff: &Digest) -> Result<()> {
        let mut draft = self.tar_draft()?;
        self.tar_from_snapshot(diff, &mut draft)?;
        let _lock = self.lock_layer(diff)?;
        self.add_tar(diff, draft)
    }
}

fn blob_memo(blob: &Digest) -> [u8; 32] {
    Fields::new("ireko diff of blob/1").bytes("blob", blob.to_string().as_bytes()).hash()
}

/// Reads what the decompressor left, so that the digest covers the whole blob.
pub(crate) fn check_rest(mut reader: DigestReader<File>, expected: &Digest) -> Result<()> {
    io::copy(&mut reader, &mut io::sink())
        .map_err(|cause| Error::io("read", Path::new(&expected.to_string()), cause))?;
    let (_, found, _) = reader.finish();
    match found == *expected {
        true => Ok(()),
        false => Err(Error::wrong_digest("a layer's blob", *expected, found)),
    }
}

pub(crate) fn check_diff(expect: Option<&Digest>, written: &Written) -> Result<()> {
    match expect {
        Some(expected) if *expected != written.diff_id => {
            Err(Error::wrong_digest("a layer's tar", *expected, written.diff_id))
        }
        _ => Ok(()),
    }
}

pub(crate) fn digest_of(path: &Path) -> Result<Digest> {
    let file = File::open(path).map_err(|cause| Error::io("open", path, cause))?;
    let mut reader = DigestReader::new(file);
    let mut buffer = vec![0; 1 << 20];
    while reader.read(&mut buffer).map_err(|cause| Error::io("read", path, cause))? > 0 {}
    Ok(reader.finish().1)
}

fn leans(index: &Index) -> bool {
    index.entries().iter().any(|entry| match &entry.kind {
        Kind::HardLink { target } => index.get(target).is_none(),
        _ => entry.implied,
    })
}

/// A tar that a thread writes from an unpacked layer while it is read.
struct TarPipe {
    reader: io::PipeReader,
    writer: Option<std::thread::JoinHandle<Result<u64>>>,
}

impl TarPipe {
    fn open(store: &Arc<Store>, diff: &Digest) -> Result<Self> {
        let failed = |cause: io::Error| Error::io("make a pipe for", &store.layout.layer(diff), cause);
        let (reader, writer) = io::pipe().map_err(failed)?;
        let (store_there, diff) = (Arc::clone(store), *diff);
        let writer = std::thread::Builder::new().name("ireko-tar".to_owned()).spawn(move || {
            let mut writer = io::BufWriter::with_capacity(64 << 10, writer);
            let size = store_there.tar_from_snapshot(&diff, &mut writer)?;
            writer
                .flush()
                .map_err(|cause| Error::io("write the tar of", &store_there.layout.layer(&diff), cause))?;
            Ok(size)
        });
        Ok(Self { reader, writer: Some(writer.map_err(failed)?) })
    }
}

impl Read for TarPipe {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(bytes)?;
        if read == 0
            && !bytes.is_empty()
            && let Some(writer) = self.writer.take()
        {
            // The end of the pipe is the end of the tar only where the writer says so.
            match writer.join() {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(io::Error::other(error)),
                Err(_) => return Err(io::Error::other("the thread that writes the tar stopped")),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
