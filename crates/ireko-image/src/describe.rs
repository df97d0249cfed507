//! What an archive or layout says of its images, before any layer is read.

use std::collections::BTreeMap;
use std::str::FromStr;

use ireko_oci::{
    ArchiveImage, Descriptor, Digest, Document, ImageConfig, Index, Manifest, OciError, OciLayout, Platform,
    Reference, annotation, blob_path,
};
use ireko_store::Store;

use crate::error::{Error, Result};
use crate::files::Files;

/// An index within an index within an index is one more than anybody uses.
const NESTING_MAX: usize = 3;

/// An image as its documents tell of it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Canonical names.
    pub(crate) names: Vec<String>,
    pub(crate) config: ImageConfig,
    pub(crate) config_bytes: Vec<u8>,
    pub(crate) id: Digest,
    /// Digest and bytes of the manifest, where there is one.
    pub(crate) manifest: Option<(Digest, Vec<u8>)>,
    /// One for each diff ID of the config.
    pub(crate) layers: Vec<Part>,
}

/// Where a layer's bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// What the manifest says of them.
    pub(crate) blob: Option<Descriptor>,
}

/// Which member of an index is meant.
type Choice<'a> = &'a dyn Fn(&Index) -> Option<&Descriptor>;

/// The documents of an archive or layout.
pub(crate) struct Reader<'a> {
    pub(crate) store: &'a Store,
    pub(crate) files: &'a Files,
    pub(crate) platform: &'a Platform,
}

impl Reader<'_> {
    /// All images; of an image for several platforms the one that runs here, of an image for one platform that one.
    pub(crate) fn all(&self) -> Result<Vec<Described>> {
        let legacy = self.docker_images()?;
        let Some(index) = self.index()? else {
            return match legacy {
                Some(images) if images.is_empty() => Err(self.wrong("its `manifest.json` lists no image")),
                Some(images) => Ok(images),
                None => Err(self.wrong("it has neither `index.json` nor `manifest.json`")),
            };
        };
        let mut images: BTreeMap<Digest, Described> = BTreeMap::new();
        for entry in self.chosen(&index) {
            let Some(found) = self.oci_image(entry, 0, &|index| self.here_or_only(index))? else { continue };
            let image = images.entry(found.id).or_insert(found);
            image.names.extend(names_of(entry));
        }
        for other in legacy.unwrap_or_default() {
            images
                .entry(other.id)
                .and_modify(|image| image.names.extend(other.names.clone()))
                .or_insert(other);
        }
        if images.is_empty() {
            return Err(self.nothing_here(&index));
        }
        let tidy = |mut image: Described| {
            image.names.sort();
            image.names.dedup();
            image
        };
        Ok(images.into_values().map(tidy).collect())
    }

    /// The entries of a layout that are images to load. Entries of one name, each for a platform of its own, are one
    /// image: of them the one that runs here.
    fn chosen<'i>(&self, index: &'i Index) -> Vec<&'i Descriptor> {
        let entries = || index.manifests.iter().filter(|entry| !entry.is_attestation());
        let mut images: BTreeMap<Vec<String>, Vec<Descriptor>> = BTreeMap::new();
        for entry in entries().filter(|entry| entry.platform.is_some()) {
            images.entry(tags_of(entry)).or_default().push(entry.clone());
        }
        let chosen = |entry: &&Descriptor| {
            let Some(platform) = &entry.platform else { return true };
            let image = images.get(&tags_of(entry)).map_or(&[][..], Vec::as_slice);
            if image.iter().all(|other| other.platform.as_ref().is_some_and(|it| it.same(platform))) {
                return true;
            }
            let best = self.platform.runnable().into_iter().find(|runnable| {
                image.iter().any(|other| other.platform.as_ref().is_some_and(|it| it.same(runnable)))
            });
            best.is_some_and(|best| platform.same(&best))
        };
        entries().filter(chosen).collect()
    }

    /// The member of an index that runs here, or its only one.
    fn here_or_only<'i>(&self, index: &'i Index) -> Option<&'i Descriptor> {
        let only = || {
            let mut images = index.manifests.iter().filter(|entry| !entry.is_attestation());
            images.next().filter(|_| images.next().is_none())
        };
        index.select(self.platform).or_else(only)
    }

    /// Says which platforms there are, where none is this one.
    fn nothing_here(&self, index: &Index) -> Error {
        let mut available: Vec<String> = index.platforms().iter().map(ToString::to_string).collect();
        for entry in index.manifests.iter().filter(|entry| entry.platform.is_none()) {
            let Ok(bytes) = self.blob(&entry.digest, "manifest") else { continue };
            let Ok(Document::Index(nested)) = Document::parse(&bytes) else { continue };
            available.extend(nested.platforms().iter().map(ToString::to_string));
        }
        if available.is_empty() {
            return self.wrong("it lists no image");
        }
        let (asked, wanted) = (self.files.place.clone(), self.platform.to_string());
        Error::Platform { asked, wanted, available }
    }

    /// The one image meant: by tag, by `@` and digest, or the only one.
    pub(crate) fn one(&self, wanted: Option<&str>) -> Result<Described> {
        let Some(index) = self.index()? else {
            return self.only(self.docker_images()?.unwrap_or_default(), wanted);
        };
        let images: Vec<&Descriptor> =
            index.manifests.iter().filter(|entry| !entry.is_attestation()).collect();
        let entry = match wanted {
            None => self.only_entry(&images)?,
            Some(wanted) => {
                match wanted.rsplit_once('@').map(|(_, digest)| digest).or(wanted.strip_prefix('@')) {
                    Some(digest) => self.by_digest(&images, digest)?,
                    None => {
                        let found =
                            images.iter().find(|entry| tags_of(entry).iter().any(|tag| tag == wanted));
                        found.map(|entry| (*entry).clone()).ok_or_else(|| self.no_tag(wanted, &images))?
                    }
                }
            }
        };
        self.oci_image(&entry, 0, &|index| index.select(self.platform))?.ok_or_else(|| {
            let available = entry.platform.iter().map(ToString::to_string);
            let asked = format!(
                "{}{}",
                self.files.place,
                wanted.map_or(String::new(), |wanted| format!(":{wanted}"))
            );
            Error::Platform { asked, wanted: self.platform.to_string(), available: available.collect() }
        })
    }

    fn only(&self, images: Vec<Described>, wanted: Option<&str>) -> Result<Described> {
        let count = images.len();
        let named = |image: &Described| {
            wanted.is_none_or(|wanted| image.names.iter().any(|name| name.ends_with(&format!(":{wanted}"))))
        };
        let mut found = images.into_iter().filter(named);
        match (found.next(), found.next()) {
            (Some(image), None) => Ok(image),
            (Some(_), Some(_)) => {
                Err(self.wrong(&format!("it has {count} images, and it is not said which one is meant")))
            }
            _ => Err(self.wrong("it has no `index.json` with such an image")),
        }
    }

    fn only_entry(&self, images: &[&Descriptor]) -> Result<Descriptor> {
        let mut digests: Vec<Digest> = images.iter().map(|entry| entry.digest).collect();
        digests.sort();
        digests.dedup();
        let latest = images.iter().find(|entry| tags_of(entry).iter().any(|tag| tag == "latest"));
        match (digests.as_slice(), latest) {
            ([], _) => Err(self.wrong("it lists no image")),
            ([_], _) => Ok(images[0].clone()),
            (_, Some(latest)) => Ok((*latest).clone()),
            _ => {
                let mut fitting = images
                    .iter()
                    .filter(|entry| entry.platform.as_ref().is_some_and(|it| it.same(self.platform)));
                match (fitting.next(), fitting.next()) {
                    (Some(entry), None) => Ok((*entry).clone()),
                    _ => Err(self.no_tag("latest", images)),
                }
            }
        }
    }

    fn by_digest(&self, images: &[&Descriptor], digest: &str) -> Result<Descriptor> {
        let digest = Digest::from_str(digest).map_err(|cause| self.document(digest, cause))?;
        if let Some(entry) = images.iter().find(|entry| entry.digest == digest) {
            return Ok((*entry).clone());
        }
        let Some(piece) = self.files.find(&blob_path(&digest))? else {
            let near = images.iter().map(|entry| entry.digest.to_string()).collect();
            let looked = vec![format!("`{}`", self.files.place)];
            return Err(Error::NoImage { asked: digest.to_string(), looked, near, cause: None });
        };
        Ok(Descriptor::new(Default::default(), digest, piece.size()))
    }

    fn no_tag(&self, wanted: &str, images: &[&Descriptor]) -> Error {
        let mut near: Vec<String> = images.iter().flat_map(|entry| tags_of(entry)).collect();
        near.sort();
        near.dedup();
        near.truncate(8);
        Error::NoImage {
            asked: wanted.to_owned(),
            looked: vec![format!("`{}`", self.files.place)],
            near,
            cause: None,
        }
    }

    fn index(&self) -> Result<Option<Index>> {
        let Some(bytes) = self.files.document(self.store, "index.json")? else { return Ok(None) };
        if let Some(layout) = self.files.document(self.store, ireko_oci::LAYOUT_FILE)? {
            OciLayout::parse(&layout).map_err(|cause| self.document(ireko_oci::LAYOUT_FILE, cause))?;
        }
        Index::parse(&bytes).map(Some).map_err(|cause| self.document("index.json", cause))
    }

    /// The image behind an entry of an index; nothing where it is none, or is an index of which none is chosen.
    fn oci_image(&self, entry: &Descriptor, depth: usize, choose: Choice<'_>) -> Result<Option<Described>> {
        if depth > NESTING_MAX {
            return Err(self.wrong("its indexes are nested too deeply"));
        }
        let bytes = self.blob(&entry.digest, "manifest")?;
        let name = blob_path(&entry.digest);
        match Document::parse(&bytes).map_err(|cause| self.document(&name, cause))? {
            Document::Manifest(manifest) if !manifest.is_image() => Ok(None),
            Document::Manifest(manifest) => self.with_manifest(entry.digest, bytes, &manifest).map(Some),
            Document::Index(index) => match choose(&index) {
                Some(chosen) => self.oci_image(chosen, depth + 1, choose),
                None => Ok(None),
            },
        }
    }

    fn with_manifest(&self, digest: Digest, bytes: Vec<u8>, manifest: &Manifest) -> Result<Described> {
        let config_bytes = self.blob(&manifest.config.digest, "config")?;
        let part = |layer: &Descriptor| Part { name: blob_path(&layer.digest), blob: Some(layer.clone()) };
        let layers = manifest.layers.iter().map(part).collect();
        let image = self.with_config(&blob_path(&manifest.config.digest), config_bytes, layers)?;
        Ok(Described { manifest: Some((digest, bytes)), ..image })
    }

    fn with_config(&self, name: &str, config_bytes: Vec<u8>, layers: Vec<Part>) -> Result<Described> {
        let config = ImageConfig::parse(&config_bytes).map_err(|cause| self.document(name, cause))?;
        if config.rootfs.diff_ids.len() != layers.len() {
            let (layers, ids) = (layers.len(), config.rootfs.diff_ids.len());
            return Err(self.wrong(&format!("an image has {layers} layers, but its config names {ids}")));
        }
        let id = Digest::of(&config_bytes);
        Ok(Described { names: Vec::new(), config, config_bytes, id, manifest: None, layers })
    }

    fn docker_images(&self) -> Result<Option<Vec<Described>>> {
        let Some(bytes) = self.files.document(self.store, "manifest.json")? else { return Ok(None) };
        let list = ArchiveImage::parse_list(&bytes).map_err(|cause| self.document("manifest.json", cause))?;
        let mut images: Vec<Described> = Vec::new();
        for image in list {
            let missing = || self.wrong(&format!("`{}` is missing", image.config));
            let config = self.files.document(self.store, &image.config)?.ok_or_else(missing)?;
            self.check_name(&image.config, &config)?;
            let part = |name: &String| Part { name: name.clone(), blob: None };
            let mut found =
                self.with_config(&image.config, config, image.layers.iter().map(part).collect())?;
            found.names = image.repo_tags.iter().filter_map(|name| canonical(name)).collect();
            match images.iter_mut().find(|other| other.id == found.id) {
                Some(other) => other.names.extend(found.names),
                None => images.push(found),
            }
        }
        Ok(Some(images))
    }

    /// A config whose file is named by a digest must have that digest.
    fn check_name(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let stem = name.rsplit('/').next().unwrap_or_default();
        let stem = stem.strip_suffix(".json").unwrap_or(stem);
        match Digest::from_str(&format!("sha256:{stem}")) {
            Ok(expected) => self.check(&expected, bytes, "config"),
            Err(_) => Ok(()),
        }
    }

    fn blob(&self, digest: &Digest, what: &str) -> Result<Vec<u8>> {
        let name = blob_path(digest);
        let missing = || self.wrong(&format!("its {what} `{name}` is missing"));
        let bytes = self.files.document(self.store, &name)?.ok_or_else(missing)?;
        self.check(digest, &bytes, what)?;
        Ok(bytes)
    }

    fn check(&self, expected: &Digest, bytes: &[u8], what: &str) -> Result<()> {
        if expected.matches(bytes) {
            return Ok(());
        }
        let (what, place) = (what.to_owned(), self.files.place.clone());
        Err(Error::WrongDigest {
            what,
            place,
            expected: Box::new(*expected),
            found: Box::new(Digest::of(bytes)),
        })
    }

    fn wrong(&self, problem: &str) -> Error {
        Error::no_archive(&self.files.place, problem)
    }

    fn document(&self, name: &str, cause: OciError) -> Error {
        Error::Document { name: name.to_owned(), place: self.files.place.clone(), cause: Box::new(cause) }
    }
}

/// The whole names an entry carries; a mere tag names no repository.
fn names_of(entry: &Descriptor) -> Vec<String> {
    let whole = entry.annotations.get(annotation::CONTAINERD_IMAGE_NAME);
    let short = entry.annotations.get(annotation::REF_NAME).filter(|name| name.contains([':', '/']));
    whole.or(short).and_then(|name| canonical(name)).into_iter().collect()
}

/// What an entry can be asked for by.
fn tags_of(entry: &Descriptor) -> Vec<String> {
    let mut tags = Vec::new();
    for key in [annotation::REF_NAME, annotation::CONTAINERD_IMAGE_NAME] {
        let Some(name) = entry.annotations.get(key) else { continue };
        tags.push(name.clone());
        if name.contains([':', '/'])
            && let Ok(reference) = name.parse::<Reference>()
        {
            tags.push(reference.familiar());
            tags.extend(reference.tag().map(str::to_owned));
        }
    }
    tags
}

fn canonical(name: &str) -> Option<String> {
    name.parse::<Reference>().ok().map(|name| name.or_latest().to_string())
}
