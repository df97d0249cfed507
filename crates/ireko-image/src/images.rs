//! Finding images, and bringing their layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use ireko_oci::{Descriptor, Digest, ImageConfig, Platform, Reference};
use ireko_registry::{Pushed, Registry, RegistryError, RemoteImage};
use ireko_report::{Event, Sink};
use ireko_store::{BlobForm, Image, NewImage, Object, Store};

use crate::describe::{Described, Reader};
use crate::engine::Engines;
use crate::error::{Error, Result, Unpacker};
use crate::files::{Files, Piece};
use crate::near::near_images;
use crate::origin::{self, Origin};
use crate::pack::parallel;
use crate::push;

/// So many layers are fetched at a time.
pub(crate) const TRANSFERS: usize = 4;
/// Progress is told in steps of this size.
const PROGRESS_STEP: u64 = 512 << 10;

/// Whether the store's word on a name is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// The registry is asked only for what the store does not have.
    IfMissing,
    /// The registry is always asked.
    Always,
    /// No registry is ever asked.
    Never,
}

/// Where an image is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// By name: in the store, then in its registry.
    Reference(Reference),
    /// In an OCI layout directory.
    Layout {
        /// The directory.
        dir: PathBuf,
        /// A tag, or `@` and a digest; the only image where nothing is said.
        image: Option<String>,
    },
    /// In a docker or OCI archive that holds one image.
    Archive(PathBuf),
}

/// An image that was found. Its layers may still be elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Its config.
    pub config: ImageConfig,
    /// The config's digest: the image id.
    pub config_digest: Digest,
    /// The digest it is pinned by: its manifest's, or its config's where there is no manifest.
    pub digest: Digest,
    /// `store`, a registry's host, or a path.
    pub from: String,
}

/// Where layers are, by image and diff ID.
type Places = BTreeMap<(Digest, Digest), Origin>;

/// The images that can be reached. Several threads may use it at once.
pub struct Images {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sink: Arc<dyn Sink>,
    pull: PullPolicy,
    pub(crate) places: Mutex<Places>,
    turns: Mutex<BTreeMap<Digest, Arc<Mutex<()>>>>,
    /// Blobs that are known to be in a repository now, and how they came there.
    pub(crate) pushed: Mutex<BTreeMap<(String, Digest), Pushed>>,
    /// Registries that nothing more is pushed to ahead of time.
    pub(crate) given_up: Mutex<BTreeSet<String>>,
    pub(crate) engines: Engines,
}

impl Images {
    /// The images of a store and of what a registry session reaches; progress of transfers goes to `sink`.
    pub fn new(store: Arc<Store>, registry: Arc<Registry>, sink: Arc<dyn Sink>, pull: PullPolicy) -> Self {
        let (places, turns, pushed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let engines = Engines::default();
        let given_up = Mutex::default();
        Self { store, registry, sink, pull, places, turns, pushed, given_up, engines }
    }

    /// The same, which finds images in engines too: after the store, before registries.
    #[must_use]
    pub fn with_engines(self, engines: Engines) -> Self {
        Self { engines, ..self }
    }

    /// Where progress is told.
    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.sink
    }

    /// The registries that are asked.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Ends all transfers.
    pub fn abort(&self) {
        self.registry.client().abort();
        self.engines.abort();
    }

    /// Lets transfers begin again.
    pub fn resume(&self) {
        self.registry.client().resume();
        self.engines.resume();
    }

    /// The engines of this machine.
    pub fn engines(&self) -> &Engines {
        &self.engines
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Finds an image by its source. Nothing but manifest and config is read.
    pub fn resolve(&self, source: &Source, platform: &Platform) -> Result<Resolved> {
        match source {
            Source::Reference(reference) => self.by_reference(&reference.or_latest(), platform),
            Source::Layout { dir, image } => self.in_layout(dir, image.as_deref(), platform),
            Source::Archive(path) if path.is_dir() => self.in_layout(path, None, platform),
            Source::Archive(path) => self.in_archive(path, platform),
        }
    }

    fn by_reference(&self, reference: &Reference, platform: &Platform) -> Result<Resolved> {
        if self.pull != PullPolicy::Always
            && let Some(image) = self.in_store(reference, platform)?
        {
            let config = self.store.image_config(&image)?;
            self.store.hold_image(&image)?;
            let digest = image.manifest.unwrap_or(image.id);
            return Ok(Resolved { config, config_digest: image.id, digest, from: "store".to_owned() });
        }
        if self.pull != PullPolicy::Always
            && let Some(found) = self.in_engines(reference, platform)?
        {
            return Ok(found);
        }
        let remote = self.remote(reference, platform)?;
        if let (None, Some(found)) = (reference.digest(), other_platform(&remote, platform)) {
            let (asked, wanted) = (reference.familiar(), platform.to_string());
            return Err(Error::Platform { asked, wanted, available: vec![found.to_string()] });
        }
        let config_digest = self.remember_remote(&remote)?;
        let RemoteImage { config, manifest_digest: digest, top, .. } = remote;
        let own = Registry::host(reference);
        let from = if top.host == own { reference.domain().to_owned() } else { top.host };
        Ok(Resolved { config, config_digest, digest, from })
    }

    /// The store's image of this name, if it is for the platform.
    fn in_store(&self, reference: &Reference, platform: &Platform) -> Result<Option<Image>> {
        let fits = |image: &Image| image.platform.serves(platform);
        let here = |image: Image| Ok(self.store.member(&image, platform)?.filter(fits));
        if let Some(image) = self.store.image(&reference.to_string())? {
            return here(image);
        }
        let Some(digest) = reference.digest() else {
            let id = id_in(reference).map(|id| self.store.find_image(&id)).transpose()?;
            return id.flatten().map_or(Ok(None), here);
        };
        let pinned = reference.repository().with_digest(digest).to_string();
        if let Some(image) = self.store.image(&pinned)? {
            return here(image);
        }
        let rows = self.store.images()?;
        let found = rows
            .into_iter()
            .map(|row| row.image)
            .find(|image| image.manifest == Some(digest) || image.id == digest);
        // A digest says which image is meant, whatever it is for.
        found.map_or(Ok(None), |image| Ok(self.store.member(&image, platform)?))
    }

    fn remote(&self, reference: &Reference, platform: &Platform) -> Result<RemoteImage> {
        if self.pull == PullPolicy::Never {
            if let Some(error) = self.for_another_platform(reference, platform) {
                return Err(error);
            }
            let near = near_images(reference, self.known_names());
            return Err(Error::Offline { asked: reference.familiar(), near });
        }
        let found = self.registry.image(reference, platform);
        self.tell_notes();
        found.map_err(|error| self.not_found(reference, platform, error))
    }

    /// Says what was asked for, where it was looked for, and what reads alike.
    fn not_found(&self, reference: &Reference, platform: &Platform, error: RegistryError) -> Error {
        let asked = reference.familiar();
        if self.pull != PullPolicy::Always
            && let Some(error) = self.for_another_platform(reference, platform)
        {
            return error;
        }
        let mut near = near_images(reference, self.known_names());
        match error {
            RegistryError::NotFound { similar, host, said, reference: name } => {
                let tags = similar.iter().map(|tag| format!("{}:{tag}", reference.familiar_name()));
                let new: Vec<String> = tags.filter(|name| *name != asked && !near.contains(name)).collect();
                near.extend(new);
                let mut looked = vec!["the store".to_owned()];
                looked.extend(self.engines.running().unwrap_or_default().iter().map(|engine| engine.name()));
                looked.push(format!("`{host}`"));
                let cause = RegistryError::NotFound { similar: Vec::new(), host, said, reference: name };
                Error::NoImage { asked, looked, near, cause: Some(Box::new(cause)) }
            }
            RegistryError::Http { .. } | RegistryError::Denied { .. }
                if self.pull == PullPolicy::IfMissing =>
            {
                Error::NotInStore { asked, near, cause: Box::new(error) }
            }
            other => other.into(),
        }
    }

    /// What is wrong with a name that the store has, once its image did not do: it is there for another platform.
    fn for_another_platform(&self, reference: &Reference, platform: &Platform) -> Option<Error> {
        let image = self.store.image(&reference.to_string()).ok()??;
        let available = image.platforms().iter().map(ToString::to_string).collect();
        Some(Error::Platform { asked: reference.familiar(), wanted: platform.to_string(), available })
    }

    fn known_names(&self) -> Vec<Reference> {
        // Only for a suggestion: a store that cannot be listed suggests nothing.
        let rows = self.store.images().unwrap_or_default();
        rows.into_iter().flat_map(|row| row.names).filter_map(|name| name.parse().ok()).collect()
    }

    fn remember_remote(&self, remote: &RemoteImage) -> Result<Digest> {
        let RemoteImage { reference, manifest, config, .. } = remote;
        let id = manifest.config.digest;
        let repository = reference.repository();
        for blob in &manifest.layers {
            push::note_at(&self.store, &blob.digest, &repository)?;
        }
        let layers = config.rootfs.diff_ids.iter().zip(&manifest.layers);
        self.remember(
            &id,
            layers.map(|(diff, blob)| {
                (*diff, Origin::Registry { reference: repository.clone(), blob: Box::new(blob.clone()) })
            }),
        )?;
        Ok(id)
    }

    fn remember(&self, id: &Digest, origins: impl Iterator<Item = (Digest, Origin)>) -> Result<()> {
        for (diff, origin) in origins {
            if !self.store.presence(&diff)? {
                origin.remember(&self.store, &diff)?;
            }
            lock(&self.places).insert((*id, diff), origin);
        }
        Ok(())
    }

    fn in_layout(&self, dir: &Path, wanted: Option<&str>, platform: &Platform) -> Result<Resolved> {
        let dir = std::fs::canonicalize(dir).map_err(|cause| Error::io("open directory", dir, cause))?;
        let files = Files::dir(&dir)?;
        let found = Reader { store: &self.store, files: &files, platform }.one(wanted)?;
        let origins = found.config.rootfs.diff_ids.iter().zip(&found.layers).map(|(diff, part)| {
            let blob = part.blob.clone().map(Box::new);
            (*diff, Origin::Layout { dir: dir.clone(), name: part.name.clone(), blob })
        });
        self.remember(&found.id, origins)?;
        Ok(resolved(found, files.place))
    }

    fn in_archive(&self, path: &Path, platform: &Platform) -> Result<Resolved> {
        let path = std::fs::canonicalize(path).map_err(|cause| Error::io("open", path, cause))?;
        let files = crate::load::open(&self.store, &path)?;
        let found = Reader { store: &self.store, files: &files, platform }.one(None)?;
        let mut origins = Vec::new();
        for (diff, part) in found.config.rootfs.diff_ids.iter().zip(&found.layers) {
            let missing = || Error::no_archive(&files.place, format!("its layer `{}` is missing", part.name));
            let piece = files.find(&part.name)?.ok_or_else(missing)?;
            match piece {
                Piece::Range { offset, size, .. } => {
                    let blob = part.blob.clone().map(Box::new);
                    origins.push((*diff, Origin::Archive { path: path.clone(), offset, size, blob }));
                }
                // A compressed archive had to be read as a whole already.
                piece => self.take(diff, &piece, part.blob.as_ref(), &files.place)?,
            }
        }
        self.remember(&found.id, origins.into_iter())?;
        Ok(resolved(found, files.place))
    }

    /// Makes sure that a layer of a resolved image is in the store. The same layer is fetched once, however many ask.
    pub fn bring(&self, config: &Digest, diff: &Digest) -> Result<()> {
        if self.store.presence(diff)? {
            return Ok(());
        }
        let turn = Arc::clone(lock(&self.turns).entry(*diff).or_default());
        let _turn = lock(&turn);
        if self.store.presence(diff)? {
            return Ok(());
        }
        if self.read_unread(config, diff)? {
            return Ok(());
        }
        let Some(origin) = self.origin(config, diff) else { return Err(self.absent(config, diff)?) };
        if let Some((piece, blob, place)) = origin.piece()? {
            return self.take(diff, &piece, blob, &place);
        }
        match &origin {
            Origin::Registry { reference, blob } => self.fetch(reference, blob, diff),
            Origin::Layout { .. } | Origin::Archive { .. } => Err(self.absent(config, diff)?),
        }
    }

    /// Why a layer of an image cannot be had.
    fn absent(&self, config: &Digest, diff: &Digest) -> Result<Error> {
        let Some(who) = self.store.unpacked_elsewhere(diff)? else {
            return Ok(Error::NoOrigin { diff: *diff });
        };
        let names = self.store.images()?.into_iter().find(|row| row.image.id == *config);
        let name = names.and_then(|row| row.names.into_iter().next());
        let image = match name {
            Some(name) => name.parse::<Reference>().map_or(name, |name| name.familiar()),
            None => config.short(),
        };
        Ok(Error::Elsewhere { diff: *diff, image, by: Unpacker::of(&who) })
    }

    /// Where a layer of an image can be had.
    pub(crate) fn origin(&self, config: &Digest, diff: &Digest) -> Option<Origin> {
        let known = lock(&self.places).get(&(*config, *diff)).cloned();
        known.or_else(|| Origin::recall(&self.store, diff))
    }

    pub(crate) fn take(
        &self,
        diff: &Digest,
        piece: &Piece,
        blob: Option<&ireko_oci::Descriptor>,
        place: &str,
    ) -> Result<()> {
        let mut progress = self.progress(&format!("reading {}", diff.short()), piece.size());
        origin::take(&self.store, diff, (piece, blob, place), &mut progress)
    }

    /// Fetches a layer, indexes it, and checks that it is the one that the config means.
    fn fetch(&self, reference: &Reference, blob: &Descriptor, diff: &Digest) -> Result<()> {
        self.download(reference, blob, diff)?;
        let (digest, media_type) = (blob.digest, blob.media_type.to_string());
        let form = BlobForm { digest, media_type, size: blob.size, made: false };
        let imported = self.store.import_blob(&form, Some(diff));
        imported.map_err(|error| origin::wrong(error, &reference.familiar()))?;
        Ok(())
    }

    /// Fetches a layer's blob as it is, where it is not here.
    fn download(&self, reference: &Reference, blob: &Descriptor, diff: &Digest) -> Result<()> {
        if self.pull == PullPolicy::Never && !self.store.has_blob(&blob.digest) {
            let asked = format!("{} (layer {})", reference.familiar(), diff.short());
            return Err(Error::Offline { asked, near: Vec::new() });
        }
        if !self.store.has_blob(&blob.digest) {
            let mut progress = self.progress(&format!("pulling {}", blob.digest.short()), blob.size);
            let mut draft = self.store.blob_draft()?;
            match self.registry.blob(reference, blob, &mut draft, &mut progress) {
                // A mirror lied, and is asked no more.
                Err(error) if Registry::may_ask_again(reference, &error) => {
                    draft = self.store.blob_draft()?;
                    self.registry.blob(reference, blob, &mut draft, &mut progress)?;
                }
                done => done?,
            }
            draft.publish(Some(&blob.digest))?;
            self.tell_notes();
        }
        Ok(())
    }

    pub(crate) fn progress(&self, what: &str, total: u64) -> impl FnMut(u64) + use<> {
        let (sink, what) = (Arc::clone(&self.sink), what.to_owned());
        let mut told = 0;
        move |done| {
            if done < total && done < told + PROGRESS_STEP {
                return;
            }
            told = done;
            sink.emit(Event::Progress { node: None, what: what.clone(), done, total: Some(total) });
        }
    }

    /// Brings every layer of an image of the store that is missing.
    pub fn complete(&self, image: &Image) -> Result<()> {
        self.bring_all(&image.id, &image.diff_ids)
    }

    /// Brings those of these layers that are missing, several at a time.
    pub fn bring_all(&self, config: &Digest, layers: &[Digest]) -> Result<()> {
        parallel(layers, TRANSFERS, |diff| self.bring(config, diff))
    }

    /// Makes sure that a layer is in the store, as a blob at least. The same blob is fetched once.
    fn bring_blob(&self, reference: &Reference, blob: &Descriptor, diff: &Digest) -> Result<()> {
        let turn = Arc::clone(lock(&self.turns).entry(*diff).or_default());
        let _turn = lock(&turn);
        if self.store.presence(diff)? || self.store.hold(&Object::Blob(blob.digest))? {
            return Ok(());
        }
        self.download(reference, blob, diff)
    }

    /// Brings a whole image from its registry into the store, under its name. What is there already is not fetched, and
    /// layers stay as they came: whoever needs one reads it, by [`Images::bring`], and finds there whether it is the
    /// one that the config means.
    pub fn pull(&self, reference: &Reference, platform: &Platform) -> Result<Image> {
        let reference = reference.or_latest();
        let remote = self.remote(&reference, platform)?;
        if let Some(found) = other_platform(&remote, platform) {
            self.warn(&format!("`{}` is for {found}, not for {platform}", reference.familiar()));
        }
        self.remember_remote(&remote)?;
        let layers: Vec<_> = remote.config.rootfs.diff_ids.iter().zip(&remote.manifest.layers).collect();
        let repository = remote.reference.repository();
        parallel(&layers, TRANSFERS, |(diff, blob)| self.bring_blob(&repository, blob, diff))?;
        let name = match reference.digest() {
            Some(digest) => reference.repository().with_digest(digest),
            None => reference,
        };
        let new = NewImage { config: &remote.config_bytes, manifest: Some(&remote.manifest_bytes) };
        let image = self.store.put_image(&[name.to_string()], &new)?;
        self.store.sync()?;
        Ok(image)
    }
}

/// The platform of an image that is no index, where it is another than the one that was asked for. What an index says of
/// its members counts more than what their configs say.
fn other_platform(remote: &RemoteImage, wanted: &Platform) -> Option<Platform> {
    let (is_alone, found) = (remote.top.digest == remote.manifest_digest, remote.config.platform());
    (is_alone && !found.architecture.is_empty() && !found.serves(wanted)).then_some(found)
}

/// The image id that a name may be meant as: `sha256:` and all its digits, or at least the twelve that lists show.
fn id_in(reference: &Reference) -> Option<String> {
    const SHORT: usize = 12;
    let familiar = reference.familiar();
    let digits = familiar.strip_prefix("sha256:").or_else(|| familiar.strip_suffix(":latest"))?;
    let is_id = (SHORT..=64).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_id.then(|| digits.to_owned())
}

fn resolved(found: Described, from: String) -> Resolved {
    let digest = found.manifest.as_ref().map_or(found.id, |(digest, _)| *digest);
    Resolved { config: found.config, config_digest: found.id, digest, from }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests;
