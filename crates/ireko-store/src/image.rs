//! Images: names that point at ids, and what each id has.
//!
//! An image for several platforms is an image too: its id is the digest of the list of its members' configs, its layers
//! are theirs together, and each member is an image of its own besides, mostly without a name.
//!
//! A name is a file in `images/names`, an image a file in `images/ids`; both are small, so a list is a few reads. Names
//! are canonical references as `ireko-oci` writes them; the store only compares them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use ireko_oci::{Descriptor, Digest, ImageConfig, Index, Manifest, MediaType, Platform, Timestamp};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Hold, Lock};
use crate::error::{Error, Result};
use crate::layer::BlobForm;
use crate::lease::Object;
use crate::seal::{IMAGE, NAME};
use crate::store::Store;

/// An image of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The digest of its config; of the list of its members where there are any.
    pub id: Digest,
    /// The digest of its manifest or index, where one was written.
    pub manifest: Option<Digest>,
    /// Its layers, bottom first.
    pub diff_ids: Vec<Digest>,
    /// When it was made, as its config says.
    pub created: Option<Timestamp>,
    /// What it runs on.
    pub platform: Platform,
    /// Labels of its config.
    pub labels: BTreeMap<String, String>,
    /// Bytes of its layers' tars together.
    pub size: u64,
    /// The images it consists of, one for each platform, in order; none where it is one image. What is said of
    /// platform, time and labels is then the first one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// One platform's image of an image for several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: Digest,
    /// What it runs on.
    pub platform: Platform,
}

impl Image {
    /// The platforms it is for, in order.
    pub fn platforms(&self) -> Vec<Platform> {
        match self.members.as_slice() {
            [] => vec![self.platform.clone()],
            members => members.iter().map(|member| member.platform.clone()).collect(),
        }
    }
}

/// An image to be kept.
#[derive(Clone, Copy, Debug)]
pub struct NewImage<'a> {
    /// The config document, as its digest is meant.
    pub config: &'a [u8],
    /// The manifest document, where there is one.
    pub manifest: Option<&'a [u8]>,
}

/// An image in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// The image.
    pub image: Image,
    /// Its names, sorted.
    pub names: Vec<String>,
    /// It is a member of an image for several platforms.
    pub is_member: bool,
}

impl ImageRow {
    /// Somebody can ask for it: by a name of its own, or of the image it is a member of.
    pub(crate) fn is_named(&self) -> bool {
        self.is_member || !self.names.is_empty()
    }
}

/// What removing an image came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that are no more.
    pub untagged: Vec<String>,
    /// Images and layers that are no more.
    pub deleted: Vec<Digest>,
    /// Bytes given back.
    pub freed: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NameFile {
    pub(crate) name: String,
    pub(crate) id: Digest,
}

impl Store {
    /// Keeps an image under these names, taking them from whatever had them. Its layers should be in the store; those
    /// that are get held, and blobs that the manifest names are noted as forms of them, once they were read.
    pub fn put_image(&self, names: &[String], new: &NewImage<'_>) -> Result<Image> {
        let document = |what| move |cause| Error::Document { what, cause: Box::new(cause) };
        let config = ImageConfig::parse(new.config).map_err(document("config"))?;
        let diff_ids = config.rootfs.diff_ids.clone();
        let mut size = 0;
        for diff in &diff_ids {
            if self.hold(&Object::Layer(*diff))? {
                size += self.layer_file(diff).map_or(0, |file| file.tar_size);
            }
        }
        if let Some(bytes) = new.manifest {
            let manifest = Manifest::parse(bytes).map_err(document("manifest"))?;
            self.note_blobs(&manifest, &diff_ids)?;
        }
        let image = Image {
            id: self.put_blob(new.config)?,
            manifest: new.manifest.map(|bytes| self.put_blob(bytes)).transpose()?,
            platform: config.platform(),
            labels: config.config.labels,
            created: config.created,
            diff_ids,
            size,
            members: Vec::new(),
        };
        self.write_image(names, image)
    }

    /// Keeps images as one image for all their platforms, under these names. They must be in the store already.
    /// `manifest` is the index that was written of it, where there is one.
    pub fn put_index(&self, names: &[String], members: &[Image], manifest: Option<&[u8]>) -> Result<Image> {
        let Some(first) = members.first() else {
            return Err(Error::NoImage { name: "an image for no platform".to_owned() });
        };
        let mut diff_ids: Vec<Digest> = Vec::new();
        let (mut list, mut size) = (Vec::new(), 0);
        for member in members {
            self.hold(&Object::Blob(member.id))?;
            for diff in &member.diff_ids {
                if !diff_ids.contains(diff) {
                    self.hold(&Object::Layer(*diff))?;
                    size += self.layer_file(diff).map_or(0, |file| file.tar_size);
                    diff_ids.push(*diff);
                }
            }
            let bytes = self.blob_size(&member.id).unwrap_or_default();
            let mut entry = Descriptor::new(MediaType::OCI_CONFIG, member.id, bytes);
            entry.platform = Some(member.platform.clone());
            list.push(entry);
        }
        let image = Image {
            id: self.put_blob(&Index::new(MediaType::OCI_INDEX, list).to_json())?,
            manifest: manifest.map(|bytes| self.put_blob(bytes)).transpose()?,
            platform: first.platform.clone(),
            labels: first.labels.clone(),
            created: members.iter().filter_map(|member| member.created).max(),
            diff_ids,
            size,
            members: members
                .iter()
                .map(|member| Member { id: member.id, platform: member.platform.clone() })
                .collect(),
        };
        self.write_image(names, image)
    }

    fn write_image(&self, names: &[String], image: Image) -> Result<Image> {
        let _lock = self.lock_images()?;
        let path = self.layout.image_id(&image.id);
        let known = self.read_json::<Image>(IMAGE, &path);
        // A later put without a manifest does not take away the one that is known.
        let manifest = image.manifest.or_else(|| known.as_ref().and_then(|known| known.manifest));
        let image = Image { manifest, ..image };
        if known.as_ref() != Some(&image) {
            self.write_json(IMAGE, &path, &image)?;
        }
        names.iter().try_for_each(|name| self.write_name(name, &image.id))?;
        Ok(image)
    }

    fn note_blobs(&self, manifest: &Manifest, diff_ids: &[Digest]) -> Result<()> {
        for (layer, diff) in manifest.layers.iter().zip(diff_ids) {
            if !self.has_blob(&layer.digest) {
                continue;
            }
            let media_type = layer.media_type.to_string();
            let blob = BlobForm { digest: layer.digest, media_type, size: layer.size, made: false };
            // A manifest only says so: what it names is a form of the layer once it was read.
            match self.layer_file(diff).is_some() && self.diff_of_blob(&layer.digest) == Some(*diff) {
                true => self.add_blob(diff, &blob)?,
                false if self.has_form(diff, &blob) => {}
                false => self.put_unread(diff, &blob)?,
            }
        }
        Ok(())
    }

    fn write_name(&self, name: &str, id: &Digest) -> Result<()> {
        let path = self.layout.image_name(name);
        let known = self.read_json::<NameFile>(NAME, &path);
        if known.is_some_and(|known| known.id == *id && known.name == name) {
            return Ok(());
        }
        self.write_json(NAME, &path, &NameFile { name: name.to_owned(), id: *id })
    }

    fn lock_images(&self) -> Result<Lock> {
        disk::lock(&self.layout.lock("images"), Hold::Exclusive)
    }

    /// The image with this name.
    pub fn image(&self, name: &str) -> Result<Option<Image>> {
        let path = self.layout.image_name(name);
        let Some(file) = self.read_json::<NameFile>(NAME, &path).filter(|file| file.name == name) else {
            return Ok(None);
        };
        self.image_by_id(&file.id)
    }

    /// The image with this id.
    pub fn image_by_id(&self, id: &Digest) -> Result<Option<Image>> {
        Ok(self.read_json(IMAGE, &self.layout.image_id(id)))
    }

    /// The image whose id is, or begins with, these digits (`sha256:` may stand before them).
    pub fn find_image(&self, id: &str) -> Result<Option<Image>> {
        let digits = id.strip_prefix("sha256:").unwrap_or(id);
        if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let names = disk::names(&self.layout.dir("images/ids"))?;
        let found: Vec<_> = names.iter().filter(|name| name.starts_with(digits)).collect();
        match found.as_slice() {
            [] => Ok(None),
            [name] => Ok(self.read_json(IMAGE, &self.layout.dir("images/ids").join(name))),
            several => Err(Error::Ambiguous { prefix: digits.to_owned(), found: several.len() }),
        }
    }

    /// Every image with its names: named ones first, sorted by name.
    pub fn images(&self) -> Result<Vec<ImageRow>> {
        let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for file in self.all_names()? {
            names.entry(file.id).or_default().push(file.name);
        }
        let mut rows = Vec::new();
        let images = self.all_images()?;
        let members = members_of(&images);
        for image in images {
            let mut names = names.remove(&image.id).unwrap_or_default();
            names.sort_unstable();
            rows.push(ImageRow { is_member: members.contains(&image.id), image, names });
        }
        rows.sort_by(|left, right| {
            let key = |row: &ImageRow| (row.names.is_empty(), row.names.clone(), row.image.id);
            key(left).cmp(&key(right))
        });
        Ok(rows)
    }

    pub(crate) fn all_names(&self) -> Result<Vec<NameFile>> {
        let dir = self.layout.dir("images/names");
        let names = disk::names(&dir)?;
        Ok(names.iter().filter_map(|name| self.read_json(NAME, &dir.join(name))).collect())
    }

    pub(crate) fn all_images(&self) -> Result<Vec<Image>> {
        let dir = self.layout.dir("images/ids");
        let names = disk::names(&dir)?;
        Ok(names.iter().filter_map(|name| self.read_json(IMAGE, &dir.join(name))).collect())
    }

    /// The config of an image.
    pub fn image_config(&self, image: &Image) -> Result<ImageConfig> {
        let bytes = self.read_blob(&image.id)?.ok_or(Error::BlobGone { digest: image.id })?;
        ImageConfig::parse(&bytes).map_err(|cause| Error::Document { what: "config", cause: Box::new(cause) })
    }

    /// The image of an image for a platform: the best that its machines run, else one of another level of their
    /// instruction set. Itself where it is one image, whatever that is for; nothing where it has none.
    pub fn member(&self, image: &Image, platform: &Platform) -> Result<Option<Image>> {
        if image.members.is_empty() {
            return Ok(Some(image.clone()));
        }
        let members = || image.members.iter();
        let runs = |own: &Platform| members().find(|member| member.platform.same(own));
        let best = platform.runnable().iter().find_map(runs);
        let best = best.or_else(|| members().find(|member| member.platform.is_level_of(platform)));
        let Some(member) = best else { return Ok(None) };
        let gone = || Error::NoImage { name: member.id.to_string() };
        self.image_by_id(&member.id)?.ok_or_else(gone).map(Some)
    }

    /// The manifest of an image, where one was written and is still there.
    pub fn image_manifest(&self, image: &Image) -> Result<Option<Manifest>> {
        let Some(digest) = &image.manifest else { return Ok(None) };
        let Some(bytes) = self.read_blob(digest)? else { return Ok(None) };
        let parsed = Manifest::parse(&bytes);
        parsed.map(Some).map_err(|cause| Error::Document { what: "manifest", cause: Box::new(cause) })
    }

    /// Layers of an image that cannot be had from the store. The others, and its documents, are held for this process;
    /// some of them may have to be read first, see [`Store::unread_of`].
    pub fn hold_image(&self, image: &Image) -> Result<Vec<Digest>> {
        self.hold(&Object::Blob(image.id))?;
        if let Some(manifest) = image.manifest {
            self.hold(&Object::Blob(manifest))?;
        }
        let mut gone = Vec::new();
        for diff in &image.diff_ids {
            if !self.presence(diff)? && self.unread(diff)?.is_empty() {
                gone.push(*diff);
            }
        }
        Ok(gone)
    }

    /// Gives an image one more name, taking it from whatever had it.
    pub fn tag(&self, id: &Digest, name: &str) -> Result<()> {
        let _lock = self.lock_images()?;
        if self.image_by_id(id)?.is_none() {
            return Err(Error::NoImage { name: id.to_string() });
        }
        self.write_name(name, id)
    }

    /// Takes a name away; the image stays, even where it was its last. Tells whose it was.
    pub fn untag(&self, name: &str) -> Result<Option<Digest>> {
        let _lock = self.lock_images()?;
        self.remove_name(name)
    }

    fn remove_name(&self, name: &str) -> Result<Option<Digest>> {
        let path = self.layout.image_name(name);
        let Some(file) = self.read_json::<NameFile>(NAME, &path) else { return Ok(None) };
        fs::remove_file(&path).map_err(|cause| Error::io("remove", &path, cause))?;
        Ok(Some(file.id))
    }

    /// Takes a name away, and with the last name the image and what only it needed.
    pub fn remove_named(&self, name: &str) -> Result<Removed> {
        let id = self.untag(name)?.ok_or_else(|| Error::NoImage { name: name.to_owned() })?;
        let untagged = vec![name.to_owned()];
        if self.names_of(&id)?.is_empty() {
            let removed = self.remove_image(&id, false)?;
            return Ok(Removed { untagged, ..removed });
        }
        Ok(Removed { untagged, ..Removed::default() })
    }

    fn names_of(&self, id: &Digest) -> Result<Vec<String>> {
        let mut names: Vec<_> =
            self.all_names()?.into_iter().filter(|file| file.id == *id).map(|file| file.name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an image with its name, or with all of them where that is forced; then what only it needed. Layers
    /// that the cache still uses stay until they are pruned.
    pub fn remove_image(&self, id: &Digest, force: bool) -> Result<Removed> {
        let mut removed = Removed::default();
        {
            let _lock = self.lock_images()?;
            let image = self.image_by_id(id)?.ok_or_else(|| Error::NoImage { name: id.to_string() })?;
            let names = self.names_of(id)?;
            if names.len() > 1 && !force {
                return Err(Error::ManyNames { id: id.short(), names });
            }
            for name in names {
                self.remove_name(&name)?;
                removed.untagged.push(name);
            }
            // A member goes with the image it is a member of.
            if members_of(&self.all_images()?).contains(id) {
                return Ok(removed);
            }
            let mut loose = BTreeSet::new();
            self.drop_image(&image, &mut removed, &mut loose)?;
            let others = members_of(&self.all_images()?);
            for member in image.members.iter().filter(|member| !others.contains(&member.id)) {
                if let Some(member) = self.image_by_id(&member.id)?.filter(|member| member.id != *id)
                    && self.names_of(&member.id)?.is_empty()
                {
                    self.drop_image(&member, &mut removed, &mut loose)?;
                }
            }
            removed.freed = self.drop_unneeded(loose, &mut removed.deleted)?;
        }
        Ok(removed)
    }

    /// Removes every image that has no name, is used by nobody and is wanted gone, and what only these needed. Layers
    /// that the cache still uses stay until they are pruned.
    pub fn remove_nameless(&self, wanted: &dyn Fn(&Image) -> bool) -> Result<Removed> {
        let mut removed = Removed::default();
        self.lease()?;
        let _lock = self.lock_images()?;
        let held = {
            let _gc = disk::lock(&self.layout.lock("gc"), Hold::Shared)?;
            crate::lease::held_by_the_living(&self.layout, None)?
        };
        let mut loose = BTreeSet::new();
        let mut rows = self.images()?;
        // Whole images first: as long as one is there, its members are.
        rows.sort_by_key(|row| row.image.members.is_empty());
        let mut kept = BTreeSet::new();
        for row in rows {
            let image = &row.image;
            let goes = row.names.is_empty() && !held.contains(&Object::Blob(image.id)) && wanted(image);
            if goes && !kept.contains(&image.id) {
                self.drop_image(image, &mut removed, &mut loose)?;
            } else {
                kept.extend(image.members.iter().map(|member| member.id));
            }
        }
        removed.freed = self.drop_unneeded(loose, &mut removed.deleted)?;
        Ok(removed)
    }

    /// Removes what is written of an image; what it needed is loose then.
    fn drop_image(&self, image: &Image, removed: &mut Removed, loose: &mut BTreeSet<Object>) -> Result<()> {
        let path = self.layout.image_id(&image.id);
        fs::remove_file(&path).map_err(|cause| Error::io("remove", &path, cause))?;
        removed.deleted.push(image.id);
        loose.extend(image.diff_ids.iter().copied().map(Object::Layer));
        loose.extend([Some(image.id), image.manifest].into_iter().flatten().map(Object::Blob));
        Ok(())
    }
}

/// The images that are members of others.
fn members_of(images: &[Image]) -> BTreeSet<Digest> {
    images.iter().flat_map(|image| &image.members).map(|member| member.id).collect()
}

#[cfg(test)]
mod tests;
