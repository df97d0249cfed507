//! Pushing: an image's blobs into repositories, then the manifests that refer to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use ireko_layer::Compression;
use ireko_oci::{Compression as Codec, Descriptor, Digest, Fields, Index, Manifest, MediaType, Reference};
use ireko_registry::{Blob, Pushed};
use ireko_report::Event;
use ireko_store::{Image, Store};

use crate::assemble::Assembled;
use crate::digests::note_pushed;
use crate::early::{Early, Stream};
use crate::error::Result;
use crate::export::{Part, manifest_of, parts_of};
use crate::images::{Images, TRANSFERS, lock};
use crate::origin::Origin;
use crate::pack::{Packed, Packer, parallel};

/// So many repositories of a registry are remembered to have a blob.
const KNOWN_MAX: usize = 4;

/// In which form an image is pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushAs {
    /// How layers are compressed; gzip where nothing is said, and compressed layers from elsewhere as they came.
    pub compression: Option<Compression>,
    /// Docker's media types in place of those of OCI.
    pub docker_types: bool,
}

/// What was pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedImage {
    /// What every name means now: the manifest, or the index of an image for several platforms.
    pub top: Descriptor,
    /// The index of an image for several platforms.
    pub index: Option<Vec<u8>>,
    /// How many bytes were sent.
    pub sent: u64,
    /// How many blobs were there already, or were taken over from other repositories.
    pub spared: usize,
}

/// A layer as it is to be in a registry.
#[derive(Clone)]
struct Shipped {
    diff: Digest,
    descriptor: Descriptor,
}

/// A blob and where its bytes are.
#[derive(Clone)]
enum Item {
    Bytes(Arc<Vec<u8>>, Descriptor),
    Layer(Digest, Shipped),
}

impl Item {
    fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Bytes(_, descriptor) => descriptor,
            Self::Layer(_, shipped) => &shipped.descriptor,
        }
    }
}

impl Images {
    /// Pushes a build's images, one or one for each of several platforms, under these names. A name without a tag is
    /// pushed by its digest alone.
    ///
    /// # Errors
    /// A registry refuses or stays out of reach; a layer cannot be had.
    pub fn push(
        &self,
        images: &[Assembled],
        names: &[Reference],
        how: PushAs,
        threads: usize,
    ) -> Result<PushedImage> {
        let pushed = self.push_parts(images.iter().map(Part::of).collect(), names, how, threads)?;
        // An image for several platforms is known by what `ireko-store` makes of its members, with the index.
        if let [image] = images {
            self.note_pushed(&image.id, names, &pushed);
        }
        Ok(pushed)
    }

    /// Pushes an image of the store under these names, as it came where nothing else is said.
    ///
    /// # Errors
    /// As for [`Images::push`].
    pub fn push_stored(
        &self,
        image: &Image,
        names: &[Reference],
        how: PushAs,
        threads: usize,
    ) -> Result<PushedImage> {
        let mut parts = parts_of(&self.store, image)?;
        for part in &mut parts {
            let as_came = how.compression.is_none() && part.manifest.is_some();
            if !as_came || !self.can_ship(part)? {
                part.manifest = None;
            }
        }
        let pushed = self.push_parts(parts, names, how, threads)?;
        self.note_pushed(&image.id, names, &pushed);
        Ok(pushed)
    }

    fn note_pushed(&self, image: &Digest, names: &[Reference], pushed: &PushedImage) {
        for repository in repositories(names) {
            note_pushed(&self.store, image, &repository, pushed.top.digest);
        }
    }

    /// Pushes a layer that an image of a build will have, before that image is known. What fails is told by
    /// [`Images::push`], which tries again.
    pub fn push_ahead(&self, diff: &Digest, names: &[Reference], how: PushAs, threads: usize) {
        let done = || -> Result<()> {
            let packer = self.packer(how, threads, None);
            let Some(packed) = packer.all(&[*diff])?.into_iter().next() else { return Ok(()) };
            let item = Item::Layer(*diff, Shipped { diff: *diff, descriptor: descriptor(&packed, how) });
            let all = repositories(names);
            for (at, repository) in all.iter().enumerate() {
                if lock(&self.given_up).contains(repository.domain()) {
                    continue;
                }
                if self.push_item(repository, &item, &all[..at], None).is_err() {
                    // A registry that gives no answer is not waited for once for each layer.
                    lock(&self.given_up).insert(repository.domain().to_owned());
                }
            }
            Ok(())
        };
        let _ = done();
    }

    fn packer<'a>(&'a self, how: PushAs, threads: usize, early: Option<&'a Early>) -> Packer<'a> {
        Packer { store: &self.store, how: how.compression, threads, sink: &*self.sink, early }
    }

    fn push_parts(
        &self,
        parts: Vec<Part>,
        names: &[Reference],
        how: PushAs,
        threads: usize,
    ) -> Result<PushedImage> {
        let (mut items, mut manifests) = (Vec::new(), Vec::new());
        let repositories = repositories(names);
        let early = Early::new(&self.registry, repositories.first());
        for part in parts {
            let (bytes, kind, layers) = self.manifest(&part, how, threads, &early)?;
            let id = Digest::of(&part.config_bytes);
            items.extend(layers.into_iter().map(|layer| Item::Layer(id, layer)));
            let config = Manifest::parse(&bytes).map_or_else(
                |_| Descriptor::of(MediaType::OCI_CONFIG, &part.config_bytes),
                |manifest| manifest.config,
            );
            items.push(Item::Bytes(Arc::new(part.config_bytes), config));
            let mut entry = Descriptor::of(kind, &bytes);
            entry.platform = Some(part.config.platform());
            manifests.push((entry, bytes));
        }
        let mut seen = std::collections::BTreeSet::new();
        items.retain(|item| seen.insert(item.descriptor().digest));
        let mut index = None;
        let top = match manifests.as_slice() {
            [(entry, _)] => entry.clone(),
            several => {
                let kind = if how.docker_types { MediaType::DOCKER_INDEX } else { MediaType::OCI_INDEX };
                let entries = several.iter().map(|(entry, _)| entry.clone()).collect();
                let bytes = Index::new(kind.clone(), entries).to_json();
                let entry = Descriptor::of(kind, &bytes);
                index = Some(bytes);
                entry
            }
        };
        let tally = std::sync::Mutex::new((0_u64, 0_usize));
        for (at, repository) in repositories.iter().enumerate() {
            parallel(&items, TRANSFERS, |item| {
                let stream = match item {
                    Item::Layer(_, layer) => early.take(&layer.diff, repository),
                    Item::Bytes(..) => None,
                };
                let pushed = self.push_item(repository, item, &repositories[..at], stream)?;
                let mut tally = lock(&tally);
                match pushed {
                    Pushed::Sent => tally.0 += item.descriptor().size,
                    Pushed::Present | Pushed::Mounted(_) => tally.1 += 1,
                }
                Ok(())
            })?;
        }
        for repository in repositories.iter().filter(|_| index.is_some()) {
            for (entry, bytes) in &manifests {
                self.registry.push_manifest(repository, &entry.media_type, bytes)?;
            }
        }
        let bytes = index.as_ref().unwrap_or(&manifests[0].1);
        for name in names {
            self.registry.push_manifest(name, &top.media_type, bytes)?;
        }
        let (sent, spared) = *lock(&tally);
        Ok(PushedImage { top, index, sent, spared })
    }

    /// The manifest of a platform's image, and the layers it names.
    fn manifest(
        &self,
        part: &Part,
        how: PushAs,
        threads: usize,
        early: &Early,
    ) -> Result<(Vec<u8>, MediaType, Vec<Shipped>)> {
        let diffs = &part.config.rootfs.diff_ids;
        if let Some(bytes) = &part.manifest
            && let Ok(manifest) = Manifest::parse(bytes)
        {
            let layers = diffs.iter().zip(&manifest.layers);
            let layers =
                layers.map(|(diff, blob)| Shipped { diff: *diff, descriptor: blob.clone() }).collect();
            let kind = match manifest.media_type.is_empty() {
                true => MediaType::OCI_MANIFEST,
                false => manifest.media_type,
            };
            return Ok((bytes.clone(), kind, layers));
        }
        let id = Digest::of(&part.config_bytes);
        // Layers that were never needed here stay where and as they are until the registry asks for them.
        let mut packed: BTreeMap<Digest, Packed> = BTreeMap::new();
        let mut here = Vec::new();
        for diff in diffs {
            match self.as_it_came(&id, diff, how.compression)? {
                Some(layer) => drop(packed.insert(*diff, layer)),
                None => {
                    self.bring(&id, diff)?;
                    here.push(*diff);
                }
            }
        }
        let compressed = self.packer(how, threads, Some(early)).all(&here)?;
        packed.extend(compressed.into_iter().map(|layer| (layer.diff, layer)));
        // Docker's types know no zstd: one such layer makes all of OCI.
        let has_zstd = packed.values().any(|layer| layer.codec == Codec::Zstd);
        let how = PushAs { docker_types: how.docker_types && !has_zstd, ..how };
        let shipped = |diff: &Digest| {
            let layer = packed.get(diff).ok_or(crate::Error::NoOrigin { diff: *diff })?;
            Ok(Shipped { diff: *diff, descriptor: descriptor(layer, how) })
        };
        let layers: Vec<Shipped> = diffs.iter().map(shipped).collect::<Result<_>>()?;
        let blobs = layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let mut manifest = manifest_of(&part.config_bytes, blobs, how.docker_types);
        if !how.docker_types {
            manifest.annotations.clone_from(&part.annotations);
        }
        Ok((manifest.to_json(), manifest.media_type, layers))
    }

    /// Whether all layers of a manifest that came from elsewhere can be had as they were, and may go so. Plain ones may
    /// only where a registry gave them so: an archive has them plain because it is one.
    fn can_ship(&self, part: &Part) -> Result<bool> {
        let Some(manifest) = part.manifest.as_ref().and_then(|bytes| Manifest::parse(bytes).ok()) else {
            return Ok(false);
        };
        let id = Digest::of(&part.config_bytes);
        for (diff, blob) in part.config.rootfs.diff_ids.iter().zip(&manifest.layers) {
            let is_there = matches!(self.origin(&id, diff), Some(Origin::Registry { blob: known, .. }) if known.digest == blob.digest);
            let is_plain = blob.media_type.layer().is_some_and(|layer| layer.compression == Codec::None);
            if is_plain && !is_there {
                return Ok(false);
            }
            if self.store.blob_size(&blob.digest) == Some(blob.size) {
                continue;
            }
            if !is_there || self.store.presence(diff)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pushes a blob, of which the bytes may be on their way already.
    fn push_item(
        &self,
        repository: &Reference,
        item: &Item,
        earlier: &[Reference],
        stream: Option<Stream>,
    ) -> Result<Pushed> {
        let descriptor = item.descriptor();
        let done = (repository.name(), descriptor.digest);
        if let Some(pushed) = lock(&self.pushed).get(&done) {
            return Ok(pushed.clone());
        }
        let mut sources = earlier.to_vec();
        sources.extend(known_at(&self.store, &descriptor.digest, repository.domain()));
        let what = format!("pushing {}", descriptor.digest.short());
        let mut begun = None;
        if let Some(stream) = stream {
            // What was sent in vain ends here; the rest of it is spared.
            match self.registry.has_blob(repository, descriptor)? {
                true => drop(stream),
                false => {
                    let mut progress = self.progress(&what, descriptor.size);
                    // It is all there only when the registry has said so.
                    begun = stream.finish(&mut |done| progress(done.min(descriptor.size.saturating_sub(1))));
                }
            }
        }
        let content = |from: u64| self.content(item, from);
        let blob = Blob { descriptor, content: &content, sources: &sources, begun: begun.as_ref() };
        let mut progress = self.progress(&what, descriptor.size);
        let pushed = self.registry.push_blob(repository, blob, &mut progress)?;
        note_at(&self.store, &descriptor.digest, repository)?;
        lock(&self.pushed).insert(done, pushed.clone());
        Ok(pushed)
    }

    /// The bytes of a blob from one on. A layer that is elsewhere comes here first.
    fn content(&self, item: &Item, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let (config, layer) = match item {
            Item::Bytes(bytes, _) => {
                let mut bytes = io::Cursor::new(bytes.to_vec());
                bytes.set_position(from);
                return Ok(Box::new(bytes));
            }
            Item::Layer(config, layer) => (config, layer),
        };
        let digest = &layer.descriptor.digest;
        if !self.store.has_blob(digest) {
            self.bring(config, &layer.diff).map_err(io::Error::other)?;
        }
        let mut file = match self.store.open_blob(digest).map_err(io::Error::other)? {
            Some(file) => file,
            None if *digest == layer.diff => self.plain_tar(&layer.diff)?,
            None => return Err(io::Error::other(ireko_store::Error::BlobGone { digest: *digest })),
        };
        file.seek(SeekFrom::Start(from))?;
        Ok(Box::new(file))
    }

    /// A layer's plain tar as a file without a name.
    fn plain_tar(&self, diff: &Digest) -> io::Result<File> {
        let scratch = self.store.scratch_dir().map_err(io::Error::other)?;
        let path = scratch.path().join("layer.tar");
        let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
        self.store.copy_tar(diff, &mut file).map_err(io::Error::other)?;
        Ok(file)
    }

    /// Tells what a registry session noted by the way.
    pub fn tell_notes(&self) {
        self.registry.take_notes().iter().for_each(|note| self.warn(note));
    }

    /// Says something to know about.
    pub(crate) fn warn(&self, text: &str) {
        let diagnostic = ireko_report::Diagnostic::warning("registry", text);
        self.sink.emit(Event::Warning { diagnostic });
    }
}

/// The repositories of names, each once, in their order.
fn repositories(names: &[Reference]) -> Vec<Reference> {
    let mut all: Vec<Reference> = Vec::new();
    for repository in names.iter().map(Reference::repository) {
        if !all.contains(&repository) {
            all.push(repository);
        }
    }
    all
}

/// A layer as a manifest names it.
fn descriptor(packed: &Packed, how: PushAs) -> Descriptor {
    let kind = match how.docker_types {
        true => MediaType::docker_layer(packed.codec),
        false => MediaType::oci_layer(packed.codec),
    };
    Descriptor::new(kind, packed.digest, packed.size)
}

/// Repositories of a registry that were seen with a blob, the last first.
fn known_at(store: &Store, blob: &Digest, domain: &str) -> Vec<Reference> {
    let known = store.memo(&place_memo(blob, domain));
    let known: Vec<Reference> = known.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    known.into_iter().filter(|known| known.domain() == domain).collect()
}

/// Notes that a repository has a blob.
pub(crate) fn note_at(store: &Store, blob: &Digest, place: &Reference) -> Result<()> {
    let mut known = known_at(store, blob, place.domain());
    let place = place.repository();
    if known.first() == Some(&place) {
        return Ok(());
    }
    known.retain(|other| *other != place);
    known.insert(0, place.clone());
    known.truncate(KNOWN_MAX);
    let body = serde_json::to_vec(&known).expect("references serialise");
    store.put_memo(&place_memo(blob, place.domain()), &body)?;
    Ok(())
}

fn place_memo(blob: &Digest, domain: &str) -> [u8; 32] {
    let fields = Fields::new("ireko blob at registry/1").bytes("blob", blob.to_string().as_bytes());
    fields.bytes("registry", domain.as_bytes()).hash()
}
