//! Blobs: manifests, configs and compressed layers, each under the digest of its bytes.

mod follow;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use ireko_oci::{Digest, Hasher};

use crate::disk;
use crate::error::{Error, Result};
use crate::lease::Object;
use crate::store::Store;
use follow::Growth;

pub use follow::Follower;

/// A blob being written. Dropped without publishing, it never existed.
#[derive(Debug)]
pub struct BlobDraft<'a> {
    store: &'a Store,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    published: bool,
    /// What those who follow it wait for.
    growth: Option<Arc<Growth>>,
}

impl BlobDraft<'_> {
    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.hasher.size()
    }

    /// A reader of what was written and of what will be.
    pub fn follow(&mut self) -> Result<Follower> {
        let file = File::open(&self.path).map_err(|cause| Error::io("open", &self.path, cause))?;
        let size = self.hasher.size();
        let growth = self.growth.get_or_insert_with(|| Arc::new(Growth::from(size)));
        Ok(Follower::new(file, Arc::clone(growth)))
    }

    /// Makes it part of the store, held for this process. With `expect`, only where the digest is that one.
    pub fn publish(mut self, expect: Option<&Digest>) -> Result<Digest> {
        let found = std::mem::take(&mut self.hasher).finish();
        if let Some(expected) = expect.copied().filter(|expected| *expected != found) {
            return Err(Error::wrong_digest("a blob", expected, found));
        }
        self.growth.iter().for_each(|growth| growth.whole());
        self.store.claim(&Object::Blob(found))?;
        let path = self.store.layout.blob(&found);
        if !path.exists() {
            self.file.sync_data().map_err(|cause| Error::io("sync", &path, cause))?;
            disk::publish(&self.path, &path)?;
            self.published = true;
        }
        Ok(found)
    }
}

impl Write for BlobDraft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.growth.iter().for_each(|growth| growth.grow(written));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BlobDraft<'_> {
    fn drop(&mut self) {
        self.growth.iter().for_each(|growth| growth.give_up());
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Store {
    /// Begins a blob.
    pub fn blob_draft(&self) -> Result<BlobDraft<'_>> {
        let path = self.scratch()?;
        let file = disk::create_new(&path)?;
        Ok(BlobDraft { store: self, file, path, hasher: Hasher::new(), published: false, growth: None })
    }

    /// Keeps these bytes as a blob.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.hold(&Object::Blob(digest))? {
            return Ok(digest);
        }
        let mut draft = self.blob_draft()?;
        draft.write_all(bytes).map_err(|cause| Error::io("write", &self.layout.blob(&digest), cause))?;
        draft.publish(Some(&digest))
    }

    /// Whether the blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.layout.blob(digest).exists()
    }

    /// The blob's size, where it is there.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.layout.blob(digest)).ok().map(|meta| meta.len())
    }

    /// Opens a blob for reading; its bytes are as they were when it was published.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.layout.blob(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if disk::is_absent(&error) => Ok(None),
            Err(cause) => Err(Error::io("open", &path, cause)),
        }
    }

    /// A document's bytes, checked against the digest; `None` with a warning where they are not those.
    pub fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let path = self.layout.blob(digest);
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        if !digest.matches(&bytes) {
            self.warn(&path, "its bytes do not have the digest of its name");
            return Ok(None);
        }
        Ok(Some(bytes))
    }
}
