//! Bases that a build makes itself: `--build-context debian:bookworm=deb:bookworm`.
//!
//! A base that was made is remembered under what was asked for on this machine: suite, variant, packages, platform, the
//! sources that would be asked and whose signature counts for them. As with an image of the store, that counts until
//! `--pull`; then the archive is asked, and where it would give the very same packages, what was made stays.

use crate::cli::ArchiveArgs;
use crate::debian;
use crate::debian_base::{self, Wanted, With};
use crate::failure::Failure;
use crate::session::Session;
use crate::settle::MakesBases;
use ireko_exec::Cancel;
use ireko_image::{Assembled, Images, PullPolicy, Resolved};
use ireko_oci::{Digest, Fields, ImageConfig, Platform, Reference};
use ireko_report::nearest_names;
use ireko_store::Store;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stands before a suite in `--build-context`.
const PREFIX: &str = "deb:";
/// What may be said behind `?`: the flags of `ireko base`.
const OPTIONS: [&str; 7] = ["include", "recommends", "mirror", "signed-by", "components", "snapshot", "ca"];
/// The steps that make bases have numbers from here on.
pub(crate) const STEPS: u32 = 1 << 30;

/// What a named context asks for, where it is a base to be made: `deb:SUITE`, `deb:debian:SUITE-slim`,
/// `deb:SUITE?include=A,B&mirror=URL`.
pub(crate) fn parse(text: &str) -> Result<Option<Wanted>, Failure> {
    let Some(rest) = text.strip_prefix(PREFIX) else { return Ok(None) };
    let (name, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (suite, variant) = debian_base::named(name)?;
    let mut wanted = Wanted {
        name: debian_base::full_name(&suite, variant),
        suite,
        variant,
        include: Vec::new(),
        recommends: false,
        archive: ArchiveArgs::default(),
        platform: Platform::host(),
        labels: Vec::new(),
    };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        set(&mut wanted, option)?;
    }
    Ok(Some(wanted))
}

fn set(wanted: &mut Wanted, option: &str) -> Result<(), Failure> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let list = || value.split(',').filter(|one| !one.is_empty()).map(str::to_owned);
    let archive = &mut wanted.archive;
    match name {
        "recommends" if ["", "1", "true"].contains(&value) => wanted.recommends = true,
        "recommends" if ["0", "false"].contains(&value) => wanted.recommends = false,
        "recommends" => return Err(Failure::user(format!("`{option}`: it is `true` or `false`"))),
        known if OPTIONS.contains(&known) && value.is_empty() => {
            return Err(Failure::user(format!("`{option}` has no value")));
        }
        "include" => wanted.include.extend(list()),
        "components" => archive.components.extend(list()),
        "mirror" => archive.mirror = Some(value.to_owned()),
        "snapshot" => archive.snapshot = Some(value.to_owned()),
        "signed-by" => archive.signed_by.push(value.into()),
        "ca" => archive.ca.push(value.into()),
        other => {
            let near = nearest_names(other, OPTIONS);
            let failure = Failure::user(format!("`{other}` is no option of a base"));
            return Err(failure.hint(match near.first() {
                Some(near) => format!("did you mean `{near}`? `deb:SUITE?include=A,B&mirror=URL`"),
                None => format!("there are {}", OPTIONS.join(", ")),
            }));
        }
    }
    Ok(())
}

/// How the image of this name could be made, for a hint; nothing where it is no base of a suite that is known.
pub(crate) fn instead_of(reference: &Reference) -> Option<String> {
    if reference.domain() != "docker.io" || reference.digest().is_some() {
        return None;
    }
    let name = reference.familiar();
    let (suite, _) = debian_base::named(&name).ok().filter(|_| name.contains(':'))?;
    let what = name.strip_prefix("debian:").unwrap_or(&name);
    suite.is_known().then(|| {
        format!(
            "`--build-context {name}={PREFIX}{what}` makes it of {}'s packages, without a registry; `ireko base {name}` does so once, for all builds",
            suite.of.origin()
        )
    })
}

/// What is kept of a base that was made.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Its config, as its digest is meant.
    config: String,
    /// The hash of what it was made of.
    made_of: String,
}

/// The bases that were made, in a store.
struct Made<'a> {
    store: &'a Store,
}

impl Made<'_> {
    /// Under what a base is remembered. Another version may make another base of the same packages.
    fn name(wanted: &Wanted) -> Result<[u8; 32], Failure> {
        let Wanted { name, suite: _, variant: _, include, recommends, archive, platform, labels } = wanted;
        let mut fields = Fields::new("ireko base/1").bytes("ireko", env!("CARGO_PKG_VERSION").as_bytes());
        fields.add("name", name.as_bytes());
        include.iter().for_each(|package| fields.add("include", package.as_bytes()));
        fields.add("recommends", &[u8::from(*recommends)]);
        fields.add("platform", platform.to_string().as_bytes());
        for (name, value) in labels {
            fields.add("label", name.as_bytes());
            fields.add("value", value.as_bytes());
        }
        fields.add("snapshot", archive.snapshot.as_deref().unwrap_or_default().as_bytes());
        for line in debian::trusted(&wanted.suite, (archive, platform))? {
            fields.add("source", line.as_bytes());
        }
        Ok(fields.hash())
    }

    /// The base of this name, with the hash of what it was made of, where all of it is here; it is held then.
    fn find(&self, name: &[u8; 32]) -> Result<Option<(Assembled, String)>, Failure> {
        let Some(record) = self.store.memo(name) else { return Ok(None) };
        let Ok(Record { config, made_of }) = serde_json::from_slice(&record) else { return Ok(None) };
        let Ok(parsed) = ImageConfig::parse(config.as_bytes()) else { return Ok(None) };
        for diff in &parsed.rootfs.diff_ids {
            if !self.store.presence(diff)? {
                return Ok(None);
            }
        }
        let bytes = config.into_bytes();
        let id = Digest::of(&bytes);
        Ok(Some((Assembled { config: parsed, bytes, id, annotations: BTreeMap::new() }, made_of)))
    }

    fn keep(&self, name: &[u8; 32], image: &Assembled, made_of: &str) -> Result<(), Failure> {
        let config = String::from_utf8_lossy(&image.bytes).into_owned();
        let record = serde_json::to_vec(&Record { config, made_of: made_of.to_owned() });
        let record = record.map_err(|error| Failure::environment("cannot note a base").cause(error))?;
        Ok(self.store.put_memo(name, &record)?)
    }
}

/// Makes the bases of a build, each once.
pub(crate) struct Maker<'a> {
    session: &'a Session,
    images: &'a Arc<Images>,
    cancel: &'a Cancel,
    pull: PullPolicy,
    /// Authorities that mirrors are checked with, too.
    ca: &'a [std::path::PathBuf],
    done: RefCell<BTreeMap<[u8; 32], Resolved>>,
    steps: Cell<u32>,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(
        (session, images, cancel): (&'a Session, &'a Arc<Images>, &'a Cancel),
        pull: PullPolicy,
        ca: &'a [std::path::PathBuf],
    ) -> Self {
        Self { session, images, cancel, pull, ca, done: RefCell::default(), steps: Cell::new(STEPS) }
    }

    fn make(
        &self,
        wanted: &Wanted,
        name: &[u8; 32],
        known: Option<(Assembled, String)>,
    ) -> Result<Resolved, Failure> {
        let store = self.images.store();
        // A base is made in less steps than this.
        let first = self.steps.replace(self.steps.get() + 16);
        let with =
            With { session: self.session, store, images: self.images, cancel: self.cancel, steps: first };
        let same = |made_of: &str| match &known {
            Some((image, before)) if before == made_of => Some(image.clone()),
            _ => None,
        };
        let debian_base::Base { image, made_of, .. } = debian_base::made(wanted, &with, &same)?;
        let is_known = known.is_some_and(|(before, of)| before.id == image.id && of == made_of);
        if !is_known {
            Made { store }.keep(name, &image, &made_of)?;
        }
        Ok(resolved(image, if is_known { "the store" } else { "the archive" }))
    }
}

impl MakesBases for Maker<'_> {
    fn base(&self, what: &str, platform: &Platform) -> Result<Resolved, Failure> {
        let mut wanted = wanted(what, platform)?;
        wanted.archive.ca.extend(self.ca.iter().cloned());
        let name = Made::name(&wanted)?;
        if let Some(done) = self.done.borrow().get(&name) {
            return Ok(done.clone());
        }
        let known = Made { store: self.images.store() }.find(&name)?;
        let found = match (known, self.pull) {
            (Some((image, _)), PullPolicy::IfMissing | PullPolicy::Never) => resolved(image, "the store"),
            (None, PullPolicy::Never) => {
                return Err(Failure::user(format!(
                    "no such base for {platform} was made here, and no archive is asked"
                ))
                .hint("build once without `--offline` and `--pull=never`"));
            }
            (known, _) => self.make(&wanted, &name, known)?,
        };
        self.done.borrow_mut().insert(name, found.clone());
        Ok(found)
    }
}

/// Knows the bases that were made, and of others what is sure before they are: for what builds nothing.
pub(crate) struct Foretold<'a>(pub(crate) &'a Store);

impl MakesBases for Foretold<'_> {
    fn base(&self, what: &str, platform: &Platform) -> Result<Resolved, Failure> {
        let wanted = wanted(what, platform)?;
        // Where apt's settings cannot be read, the build says so.
        let known = Made::name(&wanted).ok().map(|name| Made { store: self.0 }.find(&name)).transpose()?;
        let image = match known.flatten() {
            Some((image, _)) => image,
            None => ireko_image::assemble(debian_base::bare_config(&wanted), &[], None),
        };
        Ok(resolved(image, "the archive"))
    }
}

fn wanted(what: &str, platform: &Platform) -> Result<Wanted, Failure> {
    let unknown = || Failure::user(format!("`{what}` is no base that could be made"));
    Ok(Wanted { platform: platform.clone(), ..parse(what)?.ok_or_else(unknown)? })
}

/// A base that was made, with when and where from.
fn resolved(image: Assembled, from: &str) -> Resolved {
    let label = |name: &str| image.config.config.labels.get(name).map_or("", String::as_str);
    let from = format!("{from}: made of {} as of {}", label(debian_base::MIRROR), label(debian_base::DATE));
    let (config_digest, digest) = (image.id, image.id);
    Resolved { config: image.config, config_digest, digest, from }
}

#[cfg(test)]
mod tests;
