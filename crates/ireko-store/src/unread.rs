//! Layers that came as a blob and were not read yet: the blob is whole, but nobody has looked whether it unpacks to the
//! layer that it is said to be.
//!
//! Such a blob is no form of the layer, and nothing is made of it, until [`Store::import_blob`] has read it. Images may
//! say different things of one layer, so it can have several of them; what one image says spoils nothing for others.

use std::fs;
use std::path::PathBuf;

use ireko_oci::Digest;

use crate::disk;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::layer::BlobForm;
use crate::lease::Object;
use crate::seal::{self, FORM};
use crate::store::Store;

/// How the mark of a blob that was not read begins, in the layer's directory.
pub(crate) const UNREAD: &str = "unread-";

impl Store {
    /// Notes that a blob of the store is said to be a compressed form of a layer. Both are held for this process.
    pub(crate) fn put_unread(&self, diff: &Digest, blob: &BlobForm) -> Result<()> {
        self.claim(&Object::Layer(*diff))?;
        if !self.hold(&Object::Blob(blob.digest))? {
            return Err(Error::BlobGone { digest: blob.digest });
        }
        let place = self.layout.layer(diff);
        if !place.exists() {
            let draft = self.scratch()?;
            fs::create_dir(&draft).map_err(|cause| Error::io("create directory", &draft, cause))?;
            let mark = draft.join(name(&blob.digest));
            fs::write(&mark, seal::seal(FORM, &crate::open::json(blob)))
                .map_err(|cause| Error::io("write", &mark, cause))?;
            if disk::publish_new(&draft, &place)? {
                return Ok(());
            }
            disk::remove(&draft);
        }
        let mark = self.unread_mark(diff, &blob.digest);
        match self.read_json::<BlobForm>(FORM, &mark).as_ref() == Some(blob) {
            true => Ok(()),
            false => self.write_json(FORM, &mark, blob),
        }
    }

    /// The blobs that are said to be a layer and were not read yet. Where there are any, they are held for this process.
    pub fn unread(&self, diff: &Digest) -> Result<Vec<BlobForm>> {
        if !self.hold(&Object::Layer(*diff))? {
            return Ok(Vec::new());
        }
        let mut blobs = Vec::new();
        for blob in self.seen_unread(diff)? {
            if self.hold(&Object::Blob(blob.digest))? {
                blobs.push(blob);
            }
        }
        Ok(blobs)
    }

    /// The same for who only looks.
    fn seen_unread(&self, diff: &Digest) -> Result<Vec<BlobForm>> {
        let place = self.layout.layer(diff);
        let names = disk::names(&place)?;
        let marks = names.iter().filter(|name| name.starts_with(UNREAD));
        let blobs = marks.filter_map(|name| self.read_json::<BlobForm>(FORM, &place.join(name)));
        Ok(blobs.filter(|blob| self.blob_size(&blob.digest) == Some(blob.size)).collect())
    }

    /// Reads a layer from a blob that is said to be it, whoever says so; false where none is. Steps' layers that went and
    /// came back with an image are found so.
    pub fn read_unread(&self, diff: &Digest) -> Result<bool> {
        // One that is something else says nothing of the others.
        Ok(self.unread(diff)?.iter().any(|blob| self.import_blob(blob, Some(diff)).is_ok()))
    }

    /// As [`Store::presence`], and a layer that was not read yet is read.
    pub fn presence_or_read(&self, diff: &Digest) -> Result<bool> {
        Ok(self.presence(diff)? || self.read_unread(diff)?)
    }

    /// Those of an image's layers that are here and were not read yet.
    pub fn unread_of(&self, image: &Image) -> Result<Vec<Digest>> {
        let mut layers = Vec::new();
        for diff in &image.diff_ids {
            if self.layer_file(diff).is_none() && !self.unread(diff)?.is_empty() {
                layers.push(*diff);
            }
        }
        Ok(layers)
    }

    /// Bytes of an image's layers' tars together; of a layer that was not read yet, of its blob.
    pub fn size_of(&self, image: &Image) -> Result<u64> {
        let (mut size, mut is_known) = (0, true);
        for diff in &image.diff_ids {
            match self.layer_file(diff) {
                Some(file) => size += file.tar_size,
                None => {
                    is_known = false;
                    size += self.seen_unread(diff)?.first().map_or(0, |blob| blob.size);
                }
            }
        }
        // What was known when the image was written may be gone.
        Ok(if is_known { size } else { size.max(image.size) })
    }

    pub(crate) fn unread_mark(&self, diff: &Digest, blob: &Digest) -> PathBuf {
        self.layout.layer(diff).join(name(blob))
    }
}

fn name(blob: &Digest) -> String {
    format!("{UNREAD}{}", blob.hex())
}

#[cfg(test)]
mod tests;
