//! Layers that were pulled and left as they came: read when somebody needs them, shipped without that where the blob is
//! what is wanted.

use ireko_layer::Compression;
use ireko_oci::{Compression as Codec, Descriptor, Digest, Reference};
use ireko_store::{Image, Object};

use crate::error::Result;
use crate::images::{Images, lock};
use crate::origin::{self, Origin};
use crate::pack::{self, Packed};

impl Images {
    /// Reads those of an image's layers that are in the store and were not read yet. No registry is asked.
    pub fn read_layers(&self, image: &Image) -> Result<()> {
        self.bring_all(&image.id, &self.store.unread_of(image)?)
    }

    /// Reads a layer whose blob is in the store; false where there is none that is it.
    pub(crate) fn read_unread(&self, config: &Digest, diff: &Digest) -> Result<bool> {
        let mut unread = self.store.unread(diff)?;
        if unread.is_empty() {
            return Ok(false);
        }
        let named = self.named_blob(config, diff)?;
        let is_named = |blob: &Digest| named.as_ref().is_none_or(|(own, _)| own.digest == *blob);
        unread.sort_by_key(|blob| !is_named(&blob.digest));
        for blob in unread {
            match self.store.import_blob(&blob, Some(diff)) {
                Ok(_) => return Ok(true),
                Err(error) if is_named(&blob.digest) => {
                    let place = named.map_or_else(|| config.to_string(), |(_, place)| place);
                    return Err(origin::wrong(error, &place));
                }
                // What another image says of its blob is no word on this one.
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// The blob that an image itself names for a layer, and the image in words.
    fn named_blob(&self, config: &Digest, diff: &Digest) -> Result<Option<(Descriptor, String)>> {
        let known = lock(&self.places).get(&(*config, *diff)).and_then(described);
        if known.is_some() {
            return Ok(known);
        }
        if let Some(image) = self.store.image_by_id(config)?
            && let Some(manifest) = self.store.image_manifest(&image)?
            && let Some(at) = image.diff_ids.iter().position(|own| own == diff)
            && let Some(blob) = manifest.layers.get(at)
        {
            return Ok(Some((blob.clone(), self.in_words(config)?)));
        }
        Ok(Origin::recall(&self.store, diff).as_ref().and_then(described))
    }

    fn in_words(&self, id: &Digest) -> Result<String> {
        let rows = self.store.images()?;
        let name =
            rows.into_iter().find(|row| row.image.id == *id).and_then(|row| row.names.into_iter().next());
        let familiar = |name: String| name.parse::<Reference>().map_or(name, |name| name.familiar());
        Ok(name.map_or_else(|| id.to_string(), familiar))
    }

    /// A layer that nobody here has read, as it is in the store or its registry, if it may stay so.
    pub(crate) fn as_it_came(
        &self,
        config: &Digest,
        diff: &Digest,
        how: Option<Compression>,
    ) -> Result<Option<Packed>> {
        if self.store.presence(diff)? {
            return Ok(None);
        }
        let origin = self.origin(config, diff);
        let blob = match self.named_blob(config, diff)? {
            Some((blob, _)) if self.store.hold(&Object::Blob(blob.digest))? => blob,
            _ => match origin {
                Some(Origin::Registry { blob, .. }) => *blob,
                _ => return Ok(None),
            },
        };
        let Some(codec) = blob.media_type.layer().map(|layer| layer.compression) else { return Ok(None) };
        let fits = codec != Codec::None && how.is_none_or(|how| pack::codec(how) == codec);
        Ok(fits.then_some(Packed { diff: *diff, digest: blob.digest, size: blob.size, codec }))
    }
}

fn described(origin: &Origin) -> Option<(Descriptor, String)> {
    match origin {
        Origin::Registry { reference, blob } => Some(((**blob).clone(), reference.familiar())),
        Origin::Layout { dir: path, blob, .. } | Origin::Archive { path, blob, .. } => {
            blob.as_ref().map(|blob| ((**blob).clone(), path.display().to_string()))
        }
    }
}
