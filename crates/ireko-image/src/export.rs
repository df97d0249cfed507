//! Writing images: archives and layout directories with compressed layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use ireko_layer::Compression;
use ireko_oci::{
    ArchiveImage, Compression as Codec, Descriptor, Digest, ImageConfig, Index, Manifest, MediaType,
    OciLayout, Reference, annotation, blob_path,
};
use ireko_report::Sink;
use ireko_store::{Image, Store};

use crate::assemble::Assembled;
use crate::error::{Error, Result};
use crate::flat;
use crate::output::{Content, Folder, Output};
use crate::pack::Packer;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout in a tar.
    OciTar,
    /// An OCI layout directory.
    OciDir,
    /// An archive for `docker load`, with Docker's media types; also an OCI layout.
    DockerTar,
    /// The same as a directory.
    DockerDir,
    /// The root file system as one tar.
    Tar,
    /// The root file system in a directory.
    Local,
}

impl Form {
    /// Whether it holds layers as blobs, which may be compressed.
    pub fn is_archive(self) -> bool {
        !matches!(self, Self::Tar | Self::Local)
    }
}

/// Where it is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A file or directory of this machine.
    Path(PathBuf),
    /// The standard output of this process.
    Stdout,
}

/// What is written, where, and how its layers are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What.
    pub form: Form,
    /// Where.
    pub to: To,
    /// How; gzip where nothing is said, and compressed layers from elsewhere as they came.
    pub compression: Option<Compression>,
    /// Whether the files of each platform go into a directory named after it; where nothing is said, when there are
    /// several. Archives of images know nothing of it.
    pub split: Option<bool>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The digest of the manifest, or of the index of an image for several platforms, where there is just one image.
    pub manifest: Option<Digest>,
    /// The same with its type and size.
    pub descriptor: Option<Descriptor>,
    /// The index of an image for several platforms.
    pub index: Option<Vec<u8>>,
    /// How many bytes.
    pub bytes: u64,
}

/// An image as it is written into an archive: one, or one for each of several platforms.
struct Unit {
    names: Vec<Reference>,
    parts: Vec<Part>,
}

/// The image of one platform.
pub(crate) struct Part {
    pub(crate) config: ImageConfig,
    pub(crate) config_bytes: Vec<u8>,
    /// A manifest that others wrote and that still holds.
    pub(crate) manifest: Option<Vec<u8>>,
    /// What a manifest that is made says beside.
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Part {
    /// What a build made.
    pub(crate) fn of(image: &Assembled) -> Self {
        let annotations = image.annotations.clone();
        Self { config: image.config.clone(), config_bytes: image.bytes.clone(), manifest: None, annotations }
    }
}

/// Writes an image; several are one image, each for a platform of its own. Their layers must be in the store: see
/// [`crate::Images::complete`].
#[expect(clippy::too_many_arguments, reason = "what, as what, where to, by how many, and who is told")]
pub fn export(
    store: &Arc<Store>,
    images: &[Assembled],
    names: &[Reference],
    destination: &Destination,
    threads: usize,
    sink: &dyn Sink,
) -> Result<Exported> {
    if !destination.form.is_archive() {
        let configs: Vec<&ImageConfig> = images.iter().map(|image| &image.config).collect();
        return files(store, &configs, destination, sink);
    }
    let packer = Packer { store, how: destination.compression, threads, sink, early: None };
    let names = names.iter().map(Reference::or_latest).collect();
    archive(&packer, vec![Unit { names, parts: images.iter().map(Part::of).collect() }], destination)
}

/// Writes the files of images, without the images.
fn files(
    store: &Arc<Store>,
    configs: &[&ImageConfig],
    destination: &Destination,
    sink: &dyn Sink,
) -> Result<Exported> {
    let split = destination.split.unwrap_or(configs.len() > 1);
    let mut roots = Vec::new();
    for config in configs {
        let (layers, platform) = (config.rootfs.diff_ids.as_slice(), config.platform().to_string());
        let dir = split.then(|| platform.replace('/', "_"));
        roots.push(flat::Files { layers, platform, dir });
    }
    match destination.form {
        Form::Tar => flat::tar(store, &roots, &destination.to),
        _ => flat::local(store, &roots, &destination.to, sink),
    }
}

/// Compresses a layer as an archive of this compression will want it, ahead of time; nothing where it is there already.
///
/// # Errors
/// The layer is not in the store, or cannot be read or written.
pub fn prepare(
    store: &Arc<Store>,
    layer: &Digest,
    how: Option<Compression>,
    threads: usize,
    sink: &dyn Sink,
) -> Result<()> {
    let packer = Packer { store, how, threads, sink, early: None };
    packer.all(&[*layer]).map(|_| ())
}

/// Writes several images of the store into one archive. Docker archives have plain layers where nothing else is said,
/// as `docker save` writes them; OCI archives keep manifests and layers as they came.
pub fn save(
    store: &Arc<Store>,
    images: &[(Image, Vec<Reference>)],
    destination: &Destination,
    threads: usize,
    sink: &dyn Sink,
) -> Result<Exported> {
    let mut destination = destination.clone();
    let is_docker = matches!(destination.form, Form::DockerTar | Form::DockerDir);
    if is_docker {
        destination.compression.get_or_insert(Compression::None);
    }
    let mut units = Vec::new();
    for (image, names) in images {
        let mut parts = parts_of(store, image)?;
        for part in &mut parts {
            let is_whole = destination.compression.is_none()
                && part.manifest.as_ref().is_some_and(|it| is_whole(store, it));
            if !is_whole {
                part.manifest = None;
            }
        }
        units.push(Unit { names: names.iter().map(Reference::or_latest).collect(), parts });
    }
    if let (false, [unit]) = (destination.form.is_archive(), units.as_slice()) {
        let configs: Vec<&ImageConfig> = unit.parts.iter().map(|part| &part.config).collect();
        return files(store, &configs, &destination, sink);
    }
    let packer = Packer { store, how: destination.compression, threads, sink, early: None };
    archive(&packer, units, &destination)
}

/// The images that an image consists of: for several platforms, or just itself.
fn members(store: &Store, image: &Image) -> Result<Vec<Image>> {
    if image.members.is_empty() {
        return Ok(vec![image.clone()]);
    }
    let of = |member: &ireko_store::Member| {
        let gone = || ireko_store::Error::NoImage { name: member.id.to_string() };
        Ok(store.image_by_id(&member.id)?.ok_or_else(gone)?)
    };
    image.members.iter().map(of).collect()
}

/// An image of the store, one platform after the other, each with the manifest it came with.
pub(crate) fn parts_of(store: &Store, image: &Image) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for image in members(store, image)? {
        let gone = ireko_store::Error::BlobGone { digest: image.id };
        let config_bytes = store.read_blob(&image.id)?.ok_or(gone)?;
        let config = store.image_config(&image)?;
        let manifest = image.manifest.map(|digest| store.read_blob(&digest)).transpose()?.flatten();
        parts.push(Part { config, config_bytes, manifest, annotations: BTreeMap::new() });
    }
    Ok(parts)
}

/// Whether [`save`] writes an image with manifest and layers as they came. Then no layer needs to be read before.
///
/// # Errors
/// The store cannot be read.
pub fn goes_as_it_came(store: &Store, image: &Image, destination: &Destination) -> Result<bool> {
    let is_oci = matches!(destination.form, Form::OciTar | Form::OciDir);
    let parts = parts_of(store, image)?;
    let whole = |part: &Part| part.manifest.as_ref().is_some_and(|it| is_whole(store, it));
    Ok(is_oci && destination.compression.is_none() && parts.iter().all(whole))
}

/// Whether all layers of a manifest are still here as they came.
fn is_whole(store: &Store, manifest: &[u8]) -> bool {
    Manifest::parse(manifest).is_ok_and(|manifest| {
        manifest.layers.iter().all(|layer| store.blob_size(&layer.digest) == Some(layer.size))
    })
}

/// All that an archive holds, before anything is written.
#[derive(Default)]
struct Contents {
    documents: BTreeMap<Digest, Vec<u8>>,
    /// Layers by blob digest; with its diff ID where the plain tar is meant.
    layers: BTreeMap<Digest, (u64, Option<Digest>)>,
    entries: Vec<Descriptor>,
    images: Vec<ArchiveImage>,
    /// What each image is named by: its manifest or index.
    tops: Vec<Digest>,
    indexes: Vec<Digest>,
}

fn archive(packer: &Packer<'_>, units: Vec<Unit>, destination: &Destination) -> Result<Exported> {
    let is_docker = matches!(destination.form, Form::DockerTar | Form::DockerDir);
    let as_dir = matches!(destination.form, Form::OciDir | Form::DockerDir);
    let mut contents = Contents::default();
    for unit in units {
        contents.add(packer, unit, is_docker)?;
    }
    let mut folder = Folder::open(&destination.to, as_dir)?;
    contents.write_blobs(packer.store, &mut folder)?;
    let descriptor = match contents.tops.as_slice() {
        [_] => contents.entries.first().map(|it| Descriptor::new(it.media_type.clone(), it.digest, it.size)),
        _ => None,
    };
    let index = Index::new(MediaType::OCI_INDEX, merged(contents.entries, folder.present("index.json")));
    let layout = OciLayout::default().to_json();
    // In the order of names, as other tools write them; a directory's index comes last of what readers need.
    if is_docker {
        let list = ArchiveImage::list_to_json(&contents.images);
        folder.file("oci-layout", 0o444, Content::Bytes(&layout))?;
        folder.file("manifest.json", 0o644, Content::Bytes(&list))?;
        folder.file("index.json", 0o644, Content::Bytes(&index.to_json()))?;
    } else {
        folder.file("oci-layout", 0o444, Content::Bytes(&layout))?;
        folder.file("index.json", 0o644, Content::Bytes(&index.to_json()))?;
    }
    let manifest = descriptor.as_ref().map(|descriptor| descriptor.digest);
    let index = manifest.filter(|top| contents.indexes.contains(top));
    let index = index.and_then(|top| contents.documents.remove(&top));
    Ok(Exported { manifest, descriptor, index, bytes: folder.finish()? })
}

/// Writes an image as Docker's archive to who reads it, with plain layers; those that the reader has are empty files.
pub(crate) fn stream(
    store: &Arc<Store>,
    part: &Part,
    (names, has): (&[Reference], &BTreeSet<Digest>),
    out: File,
) -> Result<u64> {
    let mut folder = Folder::Archive(Output::stream(out));
    let id = Digest::of(&part.config_bytes);
    folder.dir("blobs")?;
    folder.dir("blobs/sha256")?;
    folder.file(&blob_path(&id), 0o444, Content::Bytes(&part.config_bytes))?;
    let diffs = &part.config.rootfs.diff_ids;
    for diff in diffs.iter().collect::<BTreeSet<_>>() {
        if has.contains(diff) {
            folder.file(&blob_path(diff), 0o444, Content::Bytes(&[]))?;
            continue;
        }
        let layer = store.layer(diff)?.ok_or(Error::NoOrigin { diff: *diff })?;
        let tar = |output: &mut Output| store.copy_tar(diff, output).map(drop).map_err(Error::from);
        folder.file(&blob_path(diff), 0o444, Content::Made(layer.tar_size, &tar))?;
    }
    let repo_tags = names.iter().map(|name| name.or_latest().familiar()).collect();
    let layers = diffs.iter().map(blob_path).collect();
    let image = ArchiveImage { config: blob_path(&id), repo_tags, layers, ..ArchiveImage::default() };
    folder.file("manifest.json", 0o644, Content::Bytes(&ArchiveImage::list_to_json(&[image])))?;
    folder.finish()
}

impl Contents {
    fn add(&mut self, packer: &Packer<'_>, unit: Unit, is_docker: bool) -> Result<()> {
        let Unit { names, parts } = unit;
        let created = parts.iter().filter_map(|part| part.config.created).max();
        let mut entries = Vec::new();
        for part in parts {
            entries.push(self.part(packer, part, &names, is_docker)?);
        }
        let mut entry = match entries.as_slice() {
            [_] => entries.remove(0),
            _ => {
                let bytes = Index::new(MediaType::OCI_INDEX, entries).to_json();
                let entry = Descriptor::of(MediaType::OCI_INDEX, &bytes);
                self.indexes.push(entry.digest);
                self.documents.insert(entry.digest, bytes);
                entry
            }
        };
        if let Some(created) = created {
            entry.annotations.insert(annotation::CREATED.to_owned(), created.to_string());
        }
        self.tops.push(entry.digest);
        self.entries.extend(names.iter().map(|name| {
            let mut entry = entry.clone();
            entry.annotations.insert(annotation::CONTAINERD_IMAGE_NAME.to_owned(), name.to_string());
            if let Some(tag) = name.tag() {
                entry.annotations.insert(annotation::REF_NAME.to_owned(), tag.to_owned());
            }
            entry
        }));
        if names.is_empty() {
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Adds the image of one platform; what an index says of it comes back.
    fn part(
        &mut self,
        packer: &Packer<'_>,
        part: Part,
        names: &[Reference],
        is_docker: bool,
    ) -> Result<Descriptor> {
        let Part { config, config_bytes, manifest, annotations } = part;
        let layers = match &manifest {
            None => packer.all(&config.rootfs.diff_ids)?,
            Some(_) => Vec::new(),
        };
        let (bytes, kind) = match manifest {
            Some(bytes) => {
                let parsed = Manifest::parse(&bytes).map_err(|cause| document(&config_bytes, cause))?;
                for layer in &parsed.layers {
                    self.layers.insert(layer.digest, (layer.size, None));
                }
                let kind =
                    if parsed.media_type.is_empty() { MediaType::OCI_MANIFEST } else { parsed.media_type };
                (bytes, kind)
            }
            None => {
                for layer in &layers {
                    self.layers.insert(layer.digest, (layer.size, layer.is_tar().then_some(layer.diff)));
                }
                // Docker has no type for zstd that other tools agree on.
                let as_docker = is_docker && layers.iter().all(|layer| layer.codec != Codec::Zstd);
                let kind = |codec| match as_docker {
                    true => MediaType::docker_layer(codec),
                    false => MediaType::oci_layer(codec),
                };
                let blobs =
                    layers.iter().map(|layer| Descriptor::new(kind(layer.codec), layer.digest, layer.size));
                let mut manifest = manifest_of(&config_bytes, blobs.collect(), as_docker);
                if !as_docker {
                    manifest.annotations = annotations;
                }
                (manifest.to_json(), manifest.media_type)
            }
        };
        let id = Digest::of(&config_bytes);
        let mut entry = Descriptor::of(kind, &bytes);
        entry.platform = Some(config.platform());
        self.documents.insert(entry.digest, bytes);
        self.documents.insert(id, config_bytes);
        if is_docker {
            let (config, layers) =
                (blob_path(&id), layers.iter().map(|layer| blob_path(&layer.digest)).collect());
            let repo_tags =
                names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect();
            self.images.push(ArchiveImage { config, repo_tags, layers, ..ArchiveImage::default() });
        }
        Ok(entry)
    }

    fn write_blobs(&self, store: &Arc<Store>, folder: &mut Folder) -> Result<()> {
        folder.dir("blobs")?;
        folder.dir("blobs/sha256")?;
        let mut digests: Vec<&Digest> = self.documents.keys().chain(self.layers.keys()).collect();
        digests.sort();
        digests.dedup();
        for digest in digests {
            let name = blob_path(digest);
            if let Some(bytes) = self.documents.get(digest) {
                folder.file(&name, 0o444, Content::Bytes(bytes))?;
                continue;
            }
            let (size, diff) = self.layers[digest];
            if folder.has(&name, size) {
                continue;
            }
            let content = match (store.open_blob(digest)?, diff) {
                (Some(file), _) => Content::File(file, size),
                (None, Some(diff)) => {
                    let tar =
                        |output: &mut Output| store.copy_tar(&diff, output).map(drop).map_err(Error::from);
                    folder.file(&name, 0o444, Content::Made(size, &tar))?;
                    continue;
                }
                (None, None) => return Err(ireko_store::Error::BlobGone { digest: *digest }.into()),
            };
            folder.file(&name, 0o444, content)?;
        }
        Ok(())
    }
}

/// The manifest of a config and its layers.
pub(crate) fn manifest_of(config: &[u8], layers: Vec<Descriptor>, as_docker: bool) -> Manifest {
    let (kind, config_kind) = match as_docker {
        true => (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG),
        false => (MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG),
    };
    Manifest::new(kind, Descriptor::of(config_kind, config), layers)
}

fn document(config: &[u8], cause: ireko_oci::OciError) -> Error {
    let place = Digest::of(config).to_string();
    Error::Document { name: "manifest".to_owned(), place, cause: Box::new(cause) }
}

/// The entries of a layout that is written into again: what has another name stays.
fn merged(new: Vec<Descriptor>, present: Option<Vec<u8>>) -> Vec<Descriptor> {
    let Some(old) = present.and_then(|bytes| Index::parse(&bytes).ok()) else { return new };
    let name = |entry: &Descriptor| {
        let name = entry.annotations.get(annotation::CONTAINERD_IMAGE_NAME);
        name.or_else(|| entry.annotations.get(annotation::REF_NAME)).cloned()
    };
    let stays = |entry: &Descriptor| match name(entry) {
        Some(old) => new.iter().all(|entry| name(entry).as_ref() != Some(&old)),
        None => new.iter().all(|new| name(new).is_some() && new.digest != entry.digest),
    };
    let mut entries: Vec<Descriptor> = old.manifests.into_iter().filter(|entry| stays(entry)).collect();
    entries.extend(new);
    entries
}

#[cfg(test)]
mod tests;
