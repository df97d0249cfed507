//! Images into an engine and out of one.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ireko_engine::{Address, AddressError, Engine, EngineError, EngineImage, Kind, Programs, Transfers};
use ireko_oci::{Digest, Platform, Reference};
use ireko_report::Blame;
use ireko_store::Image;

use crate::assemble::Assembled;
use crate::error::{Error, Result};
use crate::export::{self, Part};
use crate::images::{Images, Resolved, lock};
use crate::load::LoadFrom;

/// Of an engine's images, so many are looked at for layers it has already.
const LOOKED_MAX: usize = 200;

/// The engines of this machine, reached when somebody asks.
#[derive(Debug, Default)]
pub struct Engines {
    addresses: Vec<Address>,
    /// Somebody named it: that it cannot be reached is told.
    is_named: bool,
    /// What is wrong with what was said of them.
    wrong: Option<AddressError>,
    /// That was told.
    is_told: AtomicBool,
    reached: Mutex<Option<Vec<Arc<Engine>>>>,
    /// Why those that gave no answer gave none.
    silent: Mutex<Vec<EngineError>>,
    /// Has a lock of its own: whoever ends transfers cannot wait for one that is reached just now.
    transfers: Transfers,
    /// What starts `ssh`.
    programs: Option<Arc<dyn Programs>>,
}

impl Engines {
    /// Those at these addresses, where one may be.
    pub fn new(addresses: Vec<Address>) -> Self {
        Self { addresses, ..Self::default() }
    }

    /// The one that somebody named.
    pub fn named(address: Address) -> Self {
        Self { addresses: vec![address], is_named: true, ..Self::default() }
    }

    /// None, since what was said of them is wrong.
    pub fn unusable(error: AddressError) -> Self {
        Self { wrong: Some(error), ..Self::default() }
    }

    /// With what starts `ssh` for engines behind it.
    #[must_use]
    pub fn with_programs(self, programs: Option<Arc<dyn Programs>>) -> Self {
        Self { programs, ..self }
    }

    /// Those that answer.
    ///
    /// # Errors
    /// Somebody asked to stop.
    pub fn running(&self) -> Result<Vec<Arc<Engine>>> {
        let mut reached = lock(&self.reached);
        if let Some(running) = &*reached {
            return Ok(running.clone());
        }
        let mut running = Vec::new();
        for address in &self.addresses {
            match Engine::connect(address, &self.transfers, self.programs.as_ref()) {
                Ok(engine) => running.push(Arc::new(engine)),
                Err(error) if error.blame() == Blame::Interrupted => return Err(error.into()),
                Err(error) => lock(&self.silent).push(error),
            }
        }
        Ok(reached.insert(running).clone())
    }

    /// The first that answers.
    ///
    /// # Errors
    /// None does.
    pub fn first(&self) -> Result<Arc<Engine>> {
        match (self.running()?.into_iter().next(), &self.wrong) {
            (Some(engine), _) => Ok(engine),
            (None, Some(wrong)) => Err(Error::EngineAddress(wrong.to_string())),
            (None, None) => Err(lock(&self.silent).drain(..).next().map_or(Error::NoEngine, Error::from)),
        }
    }

    /// What is to be told of those that give no answer, each once: one that was named, or is there and took too long.
    fn absent(&self) -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        if let Some(wrong) = self.wrong.as_ref().filter(|_| !self.is_told.swap(true, Ordering::Relaxed)) {
            told.push(wrong.to_string());
        }
        let mut silent = lock(&self.silent);
        told.extend(silent.extract_if(.., |error| self.is_named || error.is_silence()).map(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        }));
        told
    }

    /// Ends all transfers.
    pub fn abort(&self) {
        self.transfers.abort();
    }

    /// Lets transfers begin again.
    pub fn resume(&self) {
        self.transfers.resume();
    }
}

/// What an engine was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// The engine.
    pub engine: String,
    /// How many bytes were sent.
    pub bytes: u64,
    /// How many layers it had already.
    pub spared: usize,
    /// Something to know about how it was done.
    pub note: Option<String>,
}

impl Images {
    /// Gives a build's image to an engine, with those layers that it lacks.
    ///
    /// # Errors
    /// The engine refuses or goes away; the store cannot be read.
    pub fn hand_over(&self, engine: &Engine, image: &Assembled, names: &[Reference]) -> Result<HandedOver> {
        self.hand_part(engine, &Part::of(image), names)
    }

    fn hand_part(&self, engine: &Engine, part: &Part, names: &[Reference]) -> Result<HandedOver> {
        let layers = &part.config.rootfs.diff_ids;
        let mut note = None;
        let keeps_content = engine.keeps_content()?;
        let mut has = BTreeSet::new();
        if keeps_content {
            note = Some(format!("{} keeps images with containerd and takes them only whole", engine.name()));
        } else {
            has = layers_at(engine, layers, names)?;
        }
        let id = Digest::of(&part.config_bytes);
        let missing: Vec<Digest> = layers.iter().filter(|diff| !has.contains(*diff)).copied().collect();
        self.bring_all(&id, &missing)?;
        let done = |bytes, spared, note| HandedOver { engine: engine.name(), bytes, spared, note };
        let send = |has| {
            let (bytes, said) = self.send(engine, part, names, has)?;
            arrived(engine, part, names, (keeps_content, &said))?;
            Ok(bytes)
        };
        match send(&has) {
            Ok(bytes) => Ok(done(bytes, has.len(), note)),
            // A layer may be gone since it was seen there.
            Err(Error::Engine(error)) if !has.is_empty() && error.is_refusal() => {
                self.bring_all(&id, layers)?;
                let bytes = send(&BTreeSet::new())?;
                let note = format!(
                    "{} did not take the image without the layers it has: all were sent",
                    engine.name()
                );
                Ok(done(bytes, 0, Some(note)))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends an archive; layers that the engine has are empty files in it. Its size and what the engine said.
    fn send(
        &self,
        engine: &Engine,
        part: &Part,
        names: &[Reference],
        has: &BTreeSet<Digest>,
    ) -> Result<(u64, Vec<String>)> {
        let pipe = |cause: io::Error| Error::io("make a pipe to", Path::new(&engine.place), cause);
        let (mut reader, writer) = io::pipe().map_err(pipe)?;
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let out = File::from(OwnedFd::from(writer));
                export::stream(&self.store, part, (names, has), out)
            });
            let loaded = engine.load(&mut reader);
            drop(reader);
            let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (loaded, written) {
                (Ok(said), Ok(bytes)) => Ok((bytes, said)),
                // An engine that reads no further says why by itself.
                (Err(error), Ok(_)) => Err(error.into()),
                (Err(error), Err(broken)) if broken.is_broken_pipe() => Err(error.into()),
                (Ok(_), Err(broken)) if broken.is_broken_pipe() => {
                    let (deed, said) = ("load an image", "it answered before it had the whole image");
                    Err(EngineError::Refused { deed, place: engine.name(), said: said.to_owned() }.into())
                }
                (_, Err(error)) => Err(error),
            }
        })
    }

    /// Finds an image in an engine, and takes it into the store where it is not there yet.
    pub(crate) fn in_engines(&self, reference: &Reference, platform: &Platform) -> Result<Option<Resolved>> {
        let running = self.engines.running()?;
        for why in self.engines.absent() {
            self.warn(&format!("an engine is passed over: {why}"));
        }
        for engine in running {
            match self.in_engine(&engine, reference, platform) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) if error.blame() == Blame::Interrupted => return Err(error),
                // Other places may have it.
                Err(error) => self.warn(&format!("{} is passed over: {error}", engine.name())),
            }
        }
        Ok(None)
    }

    fn in_engine(
        &self,
        engine: &Engine,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<Resolved>> {
        let Some((name, found)) = seen_as(engine, reference)? else { return Ok(None) };
        let own: Option<Platform> = found.platform.parse().ok();
        if !own.is_some_and(|own| own.serves(platform)) {
            return Ok(None);
        }
        let image = match self.held(&found)? {
            Some(image) => image,
            None => {
                let mut archive = engine.save(&name)?;
                let loaded = self.load_unnamed(LoadFrom::Stream(&mut archive), platform)?;
                let is_it = |image: &Image| image.diff_ids == found.diff_ids;
                let Some(image) = loaded.into_iter().find(is_it) else { return Ok(None) };
                image
            }
        };
        let config = self.store.image_config(&image)?;
        self.store.hold_image(&image)?;
        // An engine tells no manifest: only what was asked for by digest has one that others know.
        let digest = reference.digest().or(image.manifest).unwrap_or(image.id);
        Ok(Some(Resolved { config, config_digest: image.id, digest, from: engine.name() }))
    }

    /// The same image in the store, whole.
    fn held(&self, found: &EngineImage) -> Result<Option<Image>> {
        let Some(image) = self.store.image_by_id(&found.id)? else { return Ok(None) };
        Ok(self.store.hold_image(&image)?.is_empty().then_some(image))
    }
}

/// The names that an engine may have an image under, the likeliest first. Podman puts what it built, and what a bare
/// name means, under `localhost/` before Docker's registry.
fn names_at(engine: &Engine, reference: &Reference) -> Vec<String> {
    let familiar = reference.familiar();
    match engine.kind {
        Kind::Docker | Kind::Unknown => vec![familiar],
        Kind::Podman if familiar.contains('/') => vec![reference.to_string()],
        Kind::Podman => vec![format!("localhost/{familiar}"), reference.to_string()],
    }
}

/// An image of an engine and the name it has there.
fn seen_as(engine: &Engine, reference: &Reference) -> Result<Option<(String, EngineImage)>> {
    for name in names_at(engine, reference) {
        if let Some(image) = engine.image(&name)? {
            return Ok(Some((name, image)));
        }
    }
    Ok(None)
}

/// Makes sure that an engine has the image that it took, under each of its names. What keeps content knows it by a
/// manifest that is not ours: there the layers tell.
fn arrived(
    engine: &Engine,
    part: &Part,
    names: &[Reference],
    (keeps_content, said): (bool, &[String]),
) -> Result<()> {
    let id = Digest::of(&part.config_bytes);
    let is_it = |image: &EngineImage| {
        image.id == id || keeps_content && image.diff_ids == part.config.rootfs.diff_ids
    };
    let mut wanted: Vec<Vec<String>> = names.iter().map(|name| names_at(engine, &name.or_latest())).collect();
    if names.is_empty() {
        // "Loaded image ID: sha256:…"
        let told = said.iter().filter_map(|line| line.split_whitespace().last()).map(str::to_owned);
        wanted.push([id.to_string()].into_iter().chain(told).collect());
    }
    for places in wanted {
        let mut found = false;
        for place in &places {
            found = found || engine.image(place)?.as_ref().is_some_and(is_it);
        }
        if !found {
            let name = places.into_iter().next().unwrap_or_default();
            return Err(EngineError::Lost { place: engine.name(), name }.into());
        }
    }
    Ok(())
}

/// Those of these layers that an engine has at each place where the image has them: in what the names mean there now,
/// then in its other images.
fn layers_at(engine: &Engine, layers: &[Digest], names: &[Reference]) -> Result<BTreeSet<Digest>> {
    let mut has = vec![false; layers.len()];
    let look = |image: &EngineImage, has: &mut [bool]| match engine.kind {
        // Docker knows a layer only on top of the same layers below.
        Kind::Docker | Kind::Unknown => {
            let same = layers.iter().zip(&image.diff_ids).take_while(|(one, other)| one == other).count();
            has.iter_mut().take(same).for_each(|it| *it = true);
        }
        Kind::Podman => {
            layers.iter().zip(has).for_each(|(layer, it)| *it |= image.diff_ids.contains(layer));
        }
    };
    for name in names {
        if let Some((_, image)) = seen_as(engine, name)? {
            look(&image, &mut has);
        }
    }
    let mut rest = engine.images()?;
    rest.truncate(LOOKED_MAX);
    for id in rest {
        if has.iter().all(|it| *it) {
            break;
        }
        if let Some(image) = engine.image(&id)? {
            look(&image, &mut has);
        }
    }
    let lacking: BTreeSet<Digest> =
        layers.iter().zip(&has).filter(|(_, has)| !**has).map(|(layer, _)| *layer).collect();
    Ok(layers.iter().filter(|layer| !lacking.contains(*layer)).copied().collect())
}

#[cfg(test)]
mod tests;
