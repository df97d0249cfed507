//! The state of a source: its Release file, and the lists of packages that it names.

use std::fs;
use std::path::PathBuf;
use std::thread;

use ireko_http::Validators;

use super::cache::Kept;
use super::fetch::{Asked, Document, Target, shown};
use super::intake::Form;
use super::{Archive, ArchiveError, Keys, Meter};
use crate::openpgp::{Refused, Signer, Trust};
use crate::release::{Expected, Listed, Release, ReleaseError, show_hash};
use crate::sources::Source;

/// Release files are a few hundred KiB.
const RELEASE_MAX: usize = 32 << 20;

/// A source, and who must have signed it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The source.
    pub source: &'a Source,
    /// Whose signature counts.
    pub keys: &'a Keys,
}

/// A source as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// What it says of itself.
    pub release: Release,
    /// Who signed it; nobody where the source says that it is trusted without.
    pub signers: Vec<Signer>,
    /// Its lists of packages, in the order of its components.
    pub lists: Vec<List>,
}

/// A list of packages, in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The address that the names of its packages' files begin from.
    pub uri: String,
    /// The component; empty where the archive is flat.
    pub component: String,
    /// The architecture; empty where the archive is flat.
    pub architecture: String,
    /// The size and hash of the text.
    pub listed: Listed,
    path: PathBuf,
}

impl List {
    /// The text.
    ///
    /// # Errors
    /// The cache's file is gone or is no text.
    pub fn read(&self) -> Result<String, ArchiveError> {
        fs::read_to_string(&self.path).map_err(|cause| ArchiveError::Keep { path: self.path.clone(), cause })
    }

    /// The file of its text.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The address of a package by the value of its field `Filename`.
    ///
    /// # Errors
    /// A name that leads out of the archive.
    pub fn address(&self, filename: &str) -> Result<String, ArchiveError> {
        let name = filename.strip_prefix("./").unwrap_or(filename);
        let is_inside = !name.is_empty() && name.split('/').all(|part| !["", "..", "."].contains(&part));
        if !is_inside {
            let problem = "the name of a package's file leads out of its archive";
            return Err(ArchiveError::Address { address: filename.to_owned(), problem });
        }
        // What has a meaning in addresses and is in names, as apt escapes it.
        let name = name.replace('%', "%25").replace('#', "%23").replace('?', "%3f");
        Ok(format!("{}/{name}", self.uri.trim_end_matches('/')))
    }
}

/// Where an update came to its end.
enum Failed {
    Release(ArchiveError),
    List(ArchiveError),
}

impl Failed {
    /// Whether the mirror may be between two states, so that asking anew may help.
    fn may_be_half(&self) -> bool {
        match self {
            Self::Release(ArchiveError::Release { cause, .. }) => {
                matches!(cause, ReleaseError::Downgraded { .. })
            }
            Self::Release(_) => false,
            Self::List(cause) => cause.is_of_other_state(),
        }
    }

    fn cause(self) -> ArchiveError {
        match self {
            Self::Release(cause) | Self::List(cause) => cause,
        }
    }
}

impl Archive<'_> {
    /// Fetches what is new of a source, for an architecture.
    ///
    /// # Errors
    /// It is not there, not believed, or half updated.
    pub fn update(&self, place: Place<'_>, architecture: &str) -> Result<Updated, ArchiveError> {
        self.updated(place, architecture, &Meter::new(self.watch))
    }

    /// What a source says of itself, without its lists.
    ///
    /// # Errors
    /// It is not there, or not believed.
    pub fn release_of(&self, place: Place<'_>) -> Result<Release, ArchiveError> {
        self.release(place, Asked::Usual).map(|(release, _)| release)
    }

    /// The same as [`Archive::update`] for several sources at once, each with its own end.
    pub fn update_all(&self, places: &[Place<'_>], architecture: &str) -> Vec<Result<Updated, ArchiveError>> {
        let meter = Meter::new(self.watch);
        let one = |place: &Place<'_>| self.updated(*place, architecture, &meter);
        thread::scope(|scope| {
            // No thread for a single source, and none that could not be started.
            let running: Vec<_> = places
                .iter()
                .skip(1)
                .map(|place| {
                    let work = move || one(place);
                    thread::Builder::new().spawn_scoped(scope, work).map_err(|_| place)
                })
                .collect();
            let first = places.first().map(one);
            let rest = running.into_iter().map(|it| match it {
                Ok(running) => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(place) => one(place),
            });
            first.into_iter().chain(rest).collect()
        })
    }

    fn updated(
        &self,
        place: Place<'_>,
        architecture: &str,
        meter: &Meter<'_>,
    ) -> Result<Updated, ArchiveError> {
        let first = match self.attempt(place, architecture, Asked::Usual, meter) {
            Ok(updated) => return Ok(updated),
            Err(failed) => failed,
        };
        if !first.may_be_half() {
            return Err(first.cause());
        }
        self.attempt(place, architecture, Asked::Anew, meter).map_err(|failed| match failed {
            Failed::List(cause) if cause.is_of_other_state() => {
                ArchiveError::HalfUpdate { url: shown(&place.source.directory()), cause: Box::new(cause) }
            }
            failed => failed.cause(),
        })
    }

    fn attempt(
        &self,
        place: Place<'_>,
        architecture: &str,
        asked: Asked,
        meter: &Meter<'_>,
    ) -> Result<Updated, Failed> {
        let (release, signers) = self.release(place, asked).map_err(Failed::Release)?;
        let wanted = wanted(place.source, &release, architecture).map_err(Failed::Release)?;
        let mut lists = Vec::new();
        for (component, architecture, name) in wanted {
            let list = (component, architecture, name.as_str());
            lists.push(self.list(place.source, &release, list, (asked, meter)).map_err(Failed::List)?);
        }
        Ok(Updated { release, signers, lists })
    }

    /// The Release file of a source, believed and held against what is known.
    fn release(&self, place: Place<'_>, asked: Asked) -> Result<(Release, Vec<Signer>), ArchiveError> {
        let Place { source, keys } = place;
        let directory = source.directory();
        let known = self.cache.release(&directory);
        let known_date = known.as_ref().and_then(|kept| self.date_of(kept, source, keys));
        // One that nobody signs any more is no reason to take less than what the server has.
        let usable = known.filter(|_| known_date.is_some() && asked == Asked::Usual);
        let (kept, is_new) = match self.kept(source, usable.as_ref(), asked)? {
            Some(kept) => (kept, true),
            None => (usable.unwrap_or_default(), false),
        };
        let url = || {
            shown(&format!("{directory}{}", if kept.signature.is_some() { "Release" } else { "InRelease" }))
        };
        let (text, signers) = self.believed(&kept, source, keys, &url)?;
        let release = Release::parse(&text).map_err(|cause| ArchiveError::Release { url: url(), cause })?;
        let expected = Expected {
            suite: &source.suite,
            now: self.now,
            known: known_date,
            past: self.past || source.check_valid_until == Some(false),
        };
        release.check(&expected).map_err(|cause| ArchiveError::Release { url: url(), cause })?;
        if is_new {
            self.cache.keep_release(&directory, &kept)?;
        }
        Ok((release, signers))
    }

    /// When a kept Release file was made, if it is still believed.
    fn date_of(&self, kept: &Kept, source: &Source, keys: &Keys) -> Option<u64> {
        let (text, _) = self.believed(kept, source, keys, &String::new).ok()?;
        Release::parse(&text).ok()?.date
    }

    /// The signed text.
    fn believed(
        &self,
        kept: &Kept,
        source: &Source,
        keys: &Keys,
        url: &dyn Fn() -> String,
    ) -> Result<(Vec<u8>, Vec<Signer>), ArchiveError> {
        let trust = Trust { keys: &keys.keyring, only: &keys.only, at: self.now };
        let refused = |cause: Refused| ArchiveError::Signature { url: url(), cause };
        let is_clear_signed = crate::openpgp::is_clear_signed(&kept.file);
        match (&kept.signature, source.trusted) {
            // Trusted whatever it is; only what is signed is read where there is a signature all the same.
            (None, Some(true)) if !is_clear_signed => Ok((kept.file.clone(), Vec::new())),
            (_, Some(true)) if is_clear_signed => {
                let text = crate::openpgp::signed_part(&kept.file).map_err(refused)?;
                Ok((text, Vec::new()))
            }
            (Some(_), Some(true)) => Ok((kept.file.clone(), Vec::new())),
            (None, _) => {
                let signed = trust.clear_signed(&kept.file).map_err(refused)?;
                Ok((signed.text, signed.signers))
            }
            (Some(signature), _) => {
                let signers = trust.detached(&kept.file, signature).map_err(refused)?;
                Ok((kept.file.clone(), signers))
            }
        }
    }

    /// Fetches the Release file; nothing where it is the known one.
    fn kept(
        &self,
        source: &Source,
        known: Option<&Kept>,
        asked: Asked,
    ) -> Result<Option<Kept>, ArchiveError> {
        let directory = source.directory();
        let kept = |file, signature, validators: Validators| {
            let Validators { etag, last_modified, .. } = validators;
            Some(Kept { etag, last_modified, file, signature })
        };
        let clear = known.filter(|kept| kept.signature.is_none());
        match self.document(&format!("{directory}InRelease"), RELEASE_MAX, clear, asked) {
            Ok(Document::Unchanged) => return Ok(None),
            Ok(Document::Whole(file, validators)) => return Ok(kept(file, None, validators)),
            Err(ArchiveError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        let apart = known.filter(|kept| kept.signature.is_some());
        let (file, validators) =
            match self.document(&format!("{directory}Release"), RELEASE_MAX, apart, asked)? {
                Document::Unchanged => return Ok(None),
                Document::Whole(file, validators) => (file, validators),
            };
        match self.document(&format!("{directory}Release.gpg"), RELEASE_MAX, None, asked) {
            Ok(Document::Whole(signature, _)) => Ok(kept(file, Some(signature), validators)),
            Ok(Document::Unchanged) => Ok(None),
            Err(ArchiveError::Missing { .. }) if source.trusted == Some(true) => {
                Ok(kept(file, None, validators))
            }
            Err(ArchiveError::Missing { .. }) => Err(ArchiveError::Unsigned { url: shown(&directory) }),
            Err(error) => Err(error),
        }
    }

    /// One list: from the cache, or in the best form that the mirror has.
    fn list(
        &self,
        source: &Source,
        release: &Release,
        (component, architecture, name): (&str, &str, &str),
        (asked, meter): (Asked, &Meter<'_>),
    ) -> Result<List, ArchiveError> {
        let list = |path: PathBuf, listed: Listed| List {
            uri: source.uri.clone(),
            component: component.to_owned(),
            architecture: architecture.to_owned(),
            listed,
            path,
        };
        let plain = release.files.get(name).copied();
        if let Some((plain, path)) = plain.and_then(|it| Some((it, self.cache.find(&it.sha256, it.size)?))) {
            return Ok(list(path, plain));
        }
        let directory = source.directory();
        let mut missing = None;
        for form in Form::ALL {
            let file = format!("{name}{}", form.ending());
            let Some(&wanted) = release.files.get(&file) else { continue };
            let by_hash = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let by_hash = format!("{by_hash}by-hash/SHA256/{}", show_hash(&wanted.sha256));
            let uses_hash = source.by_hash.unwrap_or(release.by_hash);
            for address in [uses_hash.then_some(&by_hash), Some(&file)].into_iter().flatten() {
                let url = format!("{directory}{address}");
                let target = Target { url: &url, form, wanted, plain_max: plain.map(|plain| plain.size) };
                meter.expect(wanted.size);
                let taken = self.take_in(target, asked, meter).inspect_err(|_| meter.give_up(wanted.size));
                match taken {
                    Ok((_, found)) if plain.is_some_and(|plain| plain != found) => {
                        let wanted = plain.map(|plain| plain.sha256).unwrap_or_default();
                        return Err(ArchiveError::other_hash(&shown(&url), &wanted, &found.sha256));
                    }
                    Ok((draft, found)) => return Ok(list(self.cache.keep(draft, &found.sha256)?, found)),
                    Err(error @ ArchiveError::Missing { .. }) => missing = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(missing.unwrap_or_else(|| not_offered(source, release, &format!("list `{name}`"))))
    }
}

fn not_offered(source: &Source, release: &Release, what: &str) -> ArchiveError {
    let (components, architectures) = (release.components.join(", "), release.architectures.join(", "));
    let has = format!("components {components} for architectures {architectures}");
    ArchiveError::NotOffered { url: shown(&source.directory()), what: what.to_owned(), has }
}

/// The lists of a source: component, architecture, and the path without the ending of a compression.
fn wanted<'a>(
    source: &'a Source,
    release: &Release,
    architecture: &'a str,
) -> Result<Vec<(&'a str, &'a str, String)>, ArchiveError> {
    let is_there = |name: &str| {
        Form::ALL.iter().any(|form| release.files.contains_key(&format!("{name}{}", form.ending())))
    };
    if source.is_flat() {
        let name = ["Packages", "./Packages"].into_iter().find(|name| is_there(name)).unwrap_or("Packages");
        return Ok(vec![("", "", name.to_owned())]);
    }
    let mut found = Vec::new();
    for component in &source.components {
        if !release.has_component(component) {
            return Err(not_offered(source, release, &format!("component `{component}`")));
        }
        let name = release.packages_of(component, architecture);
        let all = release.packages_of(component, "all");
        let has_all = release.all_is_apart && is_there(&all);
        if is_there(&name) {
            found.push((component.as_str(), architecture, name));
        } else if !has_all {
            let what = format!("packages of component `{component}` for architecture `{architecture}`");
            return Err(not_offered(source, release, &what));
        }
        if has_all {
            found.push((component.as_str(), "all", all));
        }
    }
    Ok(found)
}
