//! Debian's archive as the command line asks it: which suite, from which mirror, believed by which keys, and packages.

mod deb;
mod suite;

pub(crate) use deb::Deb;
pub(crate) use suite::Suite;

use crate::cli::ArchiveArgs;
use crate::environment;
use crate::failure::Failure;
use crate::registries;
use crate::session::Session;
use crate::text::bytes;
use ireko_deb::archive::{
    Archive, ArchiveError, CONNECTIONS, Cache, Keys, List, Package as Wanted, Place, Updated,
};
use ireko_deb::host::{Host, HostError};
use ireko_deb::index::{self, Index, Input, VersionId};
use ireko_deb::logins::{Logins, without_login};
use ireko_deb::openpgp::{Keyring, Refused};
use ireko_deb::release::{Listed, Release, parse_hash, show_date};
use ireko_deb::resolve::{self, Options, Request, Solution};
use ireko_deb::sources::{self, Distribution, Source};
use ireko_exec::{Cancel, Registered};
use ireko_http::Client;
use ireko_oci::Platform;
use ireko_report::{Blame, Event, Sink};
use ireko_store::{CacheMount, MountRequest, Sharing, Store};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lists of a suite as they are now, and what fetches packages.
pub(crate) struct Lists {
    suite: Suite,
    native: String,
    client: Client,
    logins: Logins,
    /// Held as long as its files are used.
    cache: (CacheMount, Cache),
    parts: Vec<(Source, Updated)>,
    texts: Vec<(usize, List, String)>,
    past: bool,
    /// Ends the transfers when somebody wishes to stop.
    _stopping: Registered,
}

/// Who says that sources are of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// They stand in the configuration of this machine, where others' stand too: `Origin` of the Release file says it.
    Machine,
    /// The distribution's own.
    Distribution,
    /// Who runs the command.
    Person,
}

/// The name of an architecture in Debian.
pub(crate) fn architecture(platform: &Platform) -> Result<&'static str, Failure> {
    Ok(match (platform.architecture.as_str(), platform.variant.as_str()) {
        ("amd64", _) => "amd64",
        ("386", _) => "i386",
        ("arm64", _) => "arm64",
        ("arm", "v6" | "v5") => "armel",
        ("arm", _) => "armhf",
        ("ppc64le", _) => "ppc64el",
        ("s390x", _) => "s390x",
        ("riscv64", _) => "riscv64",
        ("loong64", _) => "loong64",
        _ => return Err(Failure::user(format!("no suite has packages for `{platform}`"))),
    })
}

impl Lists {
    /// Fetches these, whose hashes are known.
    pub(crate) fn fetch_these(&self, session: &Session, wanted: &[Wanted]) -> Result<Vec<PathBuf>, Failure> {
        let total = wanted.iter().fold(0_u64, |all, package| all.saturating_add(package.listed.size));
        let count = match wanted.len() {
            1 => "1 package".to_owned(),
            count => format!("{count} packages"),
        };
        session.screen.note(&format!("{count}, {}", bytes(total)));
        let transfer = Transfer::new(session, "fetching packages".to_owned());
        let watch = |done, total| transfer.goes_on(done, total);
        let paths = self.archive(&watch).fetch(wanted).map_err(|error| failed(error, self.suite.of))?;
        transfer.done();
        Ok(paths)
    }

    /// Asks the archive.
    pub(crate) fn update(
        (session, store, cancel): (&Session, &Arc<Store>, &Cancel),
        suite: &Suite,
        (args, platform): (&ArchiveArgs, &Platform),
    ) -> Result<Self, Failure> {
        let (mut lists, host) = Self::opened((session, store, cancel), suite, (args, platform))?;
        lists.settle_role(&host, args)?;
        let (sources, whose) = chosen(&host, &lists.suite, (args, &lists.native));
        lists.take(session, (&host, args), (&sources, whose))?;
        if whose == Whose::Machine && !lists.parts.iter().any(|(source, _)| lists.is_itself(source)) {
            // None of this machine's sources was the distribution's after all.
            let usual = sources::defaults(lists.suite.of, &lists.suite.name, &lists.native);
            lists.take(session, (&host, args), (&usual, Whose::Distribution))?;
        }
        Ok(lists)
    }

    /// Asks the archive which suite has a role such as `stable`.
    fn settle_role(&mut self, host: &Host, args: &ArchiveArgs) -> Result<(), Failure> {
        if !self.suite.is_role() {
            return Ok(());
        }
        let (sources, _) = chosen(host, &self.suite, (args, &self.native));
        let source = sources.into_iter().find(|source| source.suite == self.suite.name);
        let source = source.ok_or_else(|| Failure::environment("the suite has no source"))?;
        let keys = keys_of(host, &source, (&self.suite, args))?;
        let place = Place { source: &source, keys: &keys };
        let release =
            self.archive(&|_, _| {}).release_of(place).map_err(|error| failed(error, self.suite.of))?;
        self.suite = self.suite.of_role(&release).ok_or_else(|| {
            let (role, directory) = (&self.suite.name, source.directory());
            Failure::environment(format!(
                "the Release file of `{directory}` does not say which suite is `{role}`"
            ))
            .hint("name the suite by its codename: `debian:bookworm`")
        })?;
        Ok(())
    }

    /// Whether a source is of the suite itself, and not of its updates or security.
    fn is_itself(&self, source: &Source) -> bool {
        let unstable = ["sid", "unstable"];
        source.suite == self.suite.name
            || [&source.suite, &self.suite.name].iter().all(|name| unstable.contains(&name.as_str()))
    }

    /// Fetches what sources have now.
    fn take(
        &mut self,
        session: &Session,
        (host, args): (&Host, &ArchiveArgs),
        (sources, whose): (&[Source], Whose),
    ) -> Result<(), Failure> {
        let of = self.suite.of;
        let keys = sources
            .iter()
            .map(|source| keys_of(host, source, (&self.suite, args)))
            .collect::<Result<Vec<_>, _>>()?;
        let places: Vec<Place<'_>> =
            sources.iter().zip(&keys).map(|(source, keys)| Place { source, keys }).collect();
        let transfer = Transfer::new(session, format!("fetching lists of {}", self.suite.name));
        let watch = |done, total| transfer.goes_on(done, total);
        let updated = self.archive(&watch).update_all(&places, &self.native);
        transfer.done();
        for (source, updated) in sources.iter().zip(updated) {
            let updated = match updated {
                Ok(updated) => updated,
                // A suite may have no updates or security yet; without itself nothing can be made.
                Err(error) if matches!(error, ArchiveError::Missing { .. }) && !self.is_itself(source) => {
                    session.screen.note(&format!("{}: {error}", source.suite));
                    continue;
                }
                Err(error) => return Err(self.mistyped(source, &error).unwrap_or_else(|| failed(error, of))),
            };
            if let Some(why) = foreign(source, &updated.release, (whose, of)) {
                session.screen.note(&why);
                continue;
            }
            let part = self.parts.len();
            for list in &updated.lists {
                self.texts.push((part, list.clone(), list.read().map_err(|error| failed(error, of))?));
            }
            self.parts.push((source.clone(), updated));
        }
        Ok(())
    }

    /// That there is no such suite, where its Release file is missing and the name is none that is known.
    fn mistyped(&self, source: &Source, error: &ArchiveError) -> Option<Failure> {
        let ArchiveError::Missing { url, .. } = error else { return None };
        let is_release = url.ends_with("/Release") || url.ends_with("/InRelease");
        self.suite.mistyped(&source.uri).filter(|_| is_release)
    }

    /// The suite by its codename.
    pub(crate) fn suite(&self) -> &Suite {
        &self.suite
    }

    /// No list yet: what fetches packages whose hashes are known.
    pub(crate) fn open(
        with: (&Session, &Arc<Store>, &Cancel),
        suite: &Suite,
        (args, platform): (&ArchiveArgs, &Platform),
    ) -> Result<Self, Failure> {
        Self::opened(with, suite, (args, platform)).map(|(lists, _)| lists)
    }

    /// The same, and what this machine's apt is configured to.
    fn opened(
        (session, store, cancel): (&Session, &Arc<Store>, &Cancel),
        suite: &Suite,
        (args, platform): (&ArchiveArgs, &Platform),
    ) -> Result<(Self, Host), Failure> {
        if let Some(time) = args.snapshot.as_deref().filter(|_| args.mirror.is_none()) {
            is_time(time)?;
        }
        let native = architecture(platform)?.to_owned();
        let host = host(&native)?;
        let client = client(session, &host, args)?;
        let aborted = client.clone();
        let stopping = cancel.on_ask(move || aborted.abort());
        let now = u64::try_from(environment::now().seconds()).unwrap_or(0);
        let request = MountRequest {
            id: "packages of Debian archives",
            sharing: Sharing::Shared,
            prepare: &|_| Ok(()),
            give_up: &|| false,
        };
        let mount = store.cache_mount(&request, &|_| {})?;
        let cache =
            Cache::open(mount.dir().join("archives"), now).map_err(|error| failed(error, suite.of))?;
        let past = args.snapshot.is_some();
        let (parts, texts) = (Vec::new(), Vec::new());
        let mut logins = host.logins.clone();
        let carried = args.mirror.iter().chain(host.sources.iter().map(|source| &source.uri));
        carried.for_each(|url| logins.add_of(url));
        let (suite, cache) = (suite.clone(), (mount, cache));
        let lists = Self { suite, native, client, logins, cache, parts, texts, past, _stopping: stopping };
        Ok((lists, host))
    }

    fn archive<'a>(&'a self, watch: &'a (dyn Fn(u64, u64) + Sync + 'a)) -> Archive<'a> {
        let now = u64::try_from(environment::now().seconds()).unwrap_or(0);
        let (client, logins, past) = (&self.client, &self.logins, self.past);
        Archive { client, cache: &self.cache.1, logins, now, past, connections: CONNECTIONS, watch }
    }

    /// The architecture of the packages, as Debian calls it.
    pub(crate) fn architecture(&self) -> &str {
        &self.native
    }

    /// The sources that were asked.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.parts.iter().map(|(source, _)| source)
    }

    /// The suite of a list of the index, and whether it is one of security.
    pub(crate) fn suite_of_list(&self, list: usize) -> (String, bool) {
        let source =
            self.texts.get(list).and_then(|(part, ..)| self.parts.get(*part)).map(|(source, _)| source);
        let name = source.map_or("", |source| source.suite.as_str());
        (name.to_owned(), name.ends_with("-security") || name.ends_with("/updates"))
    }

    /// The time of the newest of them, in seconds since 1970.
    pub(crate) fn date(&self) -> u64 {
        self.parts.iter().filter_map(|(_, updated)| updated.release.date).max().unwrap_or(0)
    }

    /// What they are lists of.
    pub(crate) fn distribution(&self) -> ireko_pack::sbom::Distribution {
        let suite = &self.suite;
        let of = suite.of.origin();
        let release = self.parts.iter().map(|(_, updated)| &updated.release);
        let version = release.filter_map(|release| release.version.as_deref()).next().unwrap_or_default();
        // Of a point release the system itself says the number before the point; Ubuntu's have one that belongs to it.
        let version = match suite.of {
            Distribution::Debian => version.split('.').next().unwrap_or_default(),
            Distribution::Ubuntu => version,
        };
        ireko_pack::sbom::Distribution {
            id: of.to_ascii_lowercase(),
            version: version.to_owned(),
            codename: suite.name.clone(),
            title: of.to_owned(),
        }
    }

    /// All packages there are.
    pub(crate) fn index(&self) -> Result<Index<'_>, Failure> {
        self.index_beside("")
    }

    /// The same on a system with a status file of dpkg's.
    pub(crate) fn index_beside<'a>(&'a self, status: &'a str) -> Result<Index<'a>, Failure> {
        let lists = self.texts.iter().map(|(part, _, text)| (&self.parts[*part].1.release, text.as_str()));
        let lists = lists.map(|(release, text)| index::List {
            text,
            origin: index::Origin {
                suite: release.suite.as_deref().unwrap_or_default(),
                codename: release.codename.as_deref().unwrap_or_default(),
                version: release.version.as_deref().unwrap_or_default(),
                not_automatic: release.not_automatic,
                but_automatic_upgrades: release.but_automatic_upgrades,
                pin: None,
            },
        });
        let input = Input { native: &self.native, foreign: &[], lists: lists.collect(), status };
        Index::build(&input).map_err(|error| Failure::of(Blame::Environment, &error))
    }

    /// Fetches what was chosen.
    pub(crate) fn fetch(
        &self,
        session: &Session,
        index: &Index<'_>,
        chosen: &[VersionId],
    ) -> Result<Vec<Deb>, Failure> {
        let mut wanted = Vec::new();
        for version in chosen {
            let name = index.name(*version);
            let mut package = None;
            for found in index.found(*version) {
                let stanza = found.stanza;
                let listed = stanza.sha256().and_then(parse_hash).zip(stanza.size());
                let (Some(filename), Some((sha256, size))) = (stanza.filename(), listed) else { continue };
                let address = self.texts[found.list].1.address(filename);
                let address = address.map_err(|error| failed(error, self.suite.of))?;
                let listed = Listed { size, sha256 };
                let package = package.get_or_insert(Wanted { addresses: Vec::new(), listed });
                if package.listed == listed {
                    package.addresses.push(address);
                }
            }
            let absent =
                || Failure::environment(format!("the archive's lists do not say where package `{name}` is"));
            wanted.push(package.ok_or_else(absent)?);
        }
        let paths = self.fetch_these(session, &wanted)?;
        let deb = |((version, wanted), path): ((&VersionId, Wanted), PathBuf)| Deb {
            name: index.name(*version).to_owned(),
            architecture: index.architecture(*version).to_owned(),
            version: index.version(*version).to_owned(),
            stanza: index.describe(*version).text().to_owned(),
            path,
            address: wanted.addresses.into_iter().next().unwrap_or_default(),
            listed: wanted.listed,
        };
        Ok(chosen.iter().zip(wanted).zip(paths).map(deb).collect())
    }
}

/// What apt would choose.
pub(crate) fn solve(index: &Index<'_>, requests: &[Request], recommends: bool) -> Result<Solution, Failure> {
    let options = Options { recommends, ..Options::default() };
    resolve::resolve(index, requests, &options).map_err(|error| {
        let failure = Failure::user(&error);
        match &error {
            resolve::ResolveError::Thread => Failure::environment(&error),
            resolve::ResolveError::Unknown { nearest, .. } if nearest.is_empty() => failure
                .hint("is it in another suite or component? `--components` and `--mirror` say where to look"),
            _ => failure,
        }
    })
}

/// Which sources would be asked for a suite, and whose signature counts for each; no archive is asked for that.
pub(crate) fn trusted(
    suite: &Suite,
    (args, platform): (&ArchiveArgs, &Platform),
) -> Result<Vec<String>, Failure> {
    let native = architecture(platform)?;
    let host = host(native)?;
    let line = |source: &Source| {
        let keys = keys_of(&host, source, (suite, args))?;
        let mut signers = keys.keyring.fingerprints();
        signers.sort_unstable();
        let Source { uri, suite, components, trusted, .. } = source;
        let (components, only, signers) = (components.join(","), keys.only.join(","), signers.join(","));
        Ok(format!("{uri} {suite} {components} {trusted:?} {only} {signers}"))
    };
    chosen(&host, suite, (args, native)).0.iter().map(line).collect()
}

/// Refuses what is no time of an archive. A mirror of one's own may call them as it likes.
fn is_time(text: &str) -> Result<(), Failure> {
    let digits = |part: &str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = match text.split_once('T') {
        Some((date, time)) => digits(date, 8) && time.strip_suffix('Z').is_some_and(|time| digits(time, 6)),
        None => digits(text, 8),
    };
    match is_time {
        true => Ok(()),
        false => Err(Failure::user(format!("`--snapshot {text}` is no time of an archive"))
            .hint("the date, with or without the time: `20250520T000000Z`")),
    }
}

/// What this machine's apt is configured to.
fn host(native: &str) -> Result<Host, Failure> {
    Host::read(Path::new("/"), native)
        .map_err(|error| Failure::of(Blame::Environment, &error).hinted(error.hint()))
}

/// Why a source of this machine is not the distribution's.
fn foreign(source: &Source, release: &Release, (whose, of): (Whose, Distribution)) -> Option<String> {
    let origin = release.origin.as_deref().unwrap_or_default();
    let own = origin.strip_suffix(" Backports").unwrap_or(origin);
    (whose == Whose::Machine && own != of.origin()).then(|| {
        let (uri, suite, of) = (&source.uri, &source.suite, of.origin());
        format!("`{uri} {suite}` is left out: its Release file names `{origin}` as its origin, not `{of}`")
    })
}

/// The sources of a suite: of the flags, of this machine's apt, or the usual ones; and who says that they are.
fn chosen(host: &Host, suite: &Suite, (args, native): (&ArchiveArgs, &str)) -> (Vec<Source>, Whose) {
    let own = match args.mirror {
        Some(_) => Vec::new(),
        None => own(host, suite, native),
    };
    let whose = match (&args.mirror, own.is_empty()) {
        (Some(_), _) => Whose::Person,
        (None, true) => Whose::Distribution,
        (None, false) => Whose::Machine,
    };
    let mut chosen = if own.is_empty() { sources::defaults(suite.of, &suite.name, native) } else { own };
    for source in &mut chosen {
        if let Some(mirror) = &args.mirror {
            source.uri.clone_from(mirror);
        }
        if let Some(date) = &args.snapshot {
            // As snapshot.debian.org has them: the archive's name and the date.
            let name = source.uri.trim_end_matches('/').rsplit('/').next().unwrap_or("debian").to_owned();
            let base =
                args.mirror.as_deref().unwrap_or("http://snapshot.debian.org/archive").trim_end_matches('/');
            source.uri = if args.mirror.is_some() {
                format!("{base}/{date}")
            } else {
                format!("{base}/{name}/{date}")
            };
        }
        // It goes into labels, locks and files of the image: who one is there is no part of it.
        source.uri = without_login(&source.uri);
        if !args.components.is_empty() {
            source.components.clone_from(&args.components);
        }
    }
    if args.mirror.is_some() {
        // A mirror of one's own has the suite; its security and updates lie there only where it says so.
        chosen.retain(|source| !source.suite.ends_with("-security") && !source.suite.ends_with("/updates"));
    }
    (chosen, whose)
}

/// The sources of this machine's apt.
fn own(host: &Host, suite: &Suite, native: &str) -> Vec<Source> {
    let own = sources::serving(&host.sources, suite.of, &suite.name, native);
    match own.is_empty() && suite.is_role() {
        // Whatever suite a mirror is used for here, it knows who has the role.
        true => sources::mirror(&host.sources, suite.of, native)
            .map(|source| Source { suite: suite.name.clone(), ..source })
            .into_iter()
            .collect(),
        false => own,
    }
}

fn keys_of(host: &Host, source: &Source, (suite, args): (&Suite, &ArchiveArgs)) -> Result<Keys, Failure> {
    if args.signed_by.is_empty() {
        return host.keys(source, Some(suite.of)).map_err(|error| {
            let failure = Failure::of(Blame::Environment, &error).hinted(error.hint());
            if matches!(error, HostError::NoKeys { .. }) {
                failure.hint(keys_hint(suite.of))
            } else {
                failure
            }
        });
    }
    let mut keyring = Keyring::default();
    for path in &args.signed_by {
        let cannot = || Failure::user(format!("cannot use the keys of `{}`", path.display()));
        let text = std::fs::read(path).map_err(|error| cannot().cause(error))?;
        keyring.add(&text).map_err(|error| cannot().cause(error))?;
    }
    Ok(Keys { keyring, only: Vec::new() })
}

/// What sends the requests: with the proxies of this process, else of apt.
fn client(session: &Session, host: &Host, args: &ArchiveArgs) -> Result<Client, Failure> {
    let mut options = registries::options(&session.environment, &Default::default(), &[])?.http;
    if options.proxies.http.is_none() && options.proxies.https.is_none() {
        options.proxies = host.conf.proxies();
    }
    options.ca_files.extend(args.ca.iter().cloned());
    Ok(Client::new(options))
}

fn failed(error: ArchiveError, of: Distribution) -> Failure {
    let failure = Failure::of(error.blame(), &error).hinted(error.hint());
    match &error {
        ArchiveError::Signature { cause: Refused::Doubts(_), .. } => failure.hint(keys_hint(of)),
        _ => failure,
    }
}

/// What to do where the keys of a distribution are not there.
fn keys_hint(of: Distribution) -> String {
    format!(
        "install or update {}'s keys (`apt-get install {}`), or name a file of them with `--signed-by`",
        of.origin(),
        of.keyring_package()
    )
}

/// Tells of a transfer, not more often than it can be read. That it is done is told once: what is known of its size
/// grows as it goes on.
struct Transfer {
    sink: Arc<dyn Sink>,
    what: String,
    state: Mutex<(u64, Option<Instant>)>,
}

impl Transfer {
    fn new(session: &Session, what: String) -> Self {
        Self { sink: session.sink(), what, state: Mutex::default() }
    }

    fn goes_on(&self, done: u64, total: u64) {
        const PAUSE: Duration = Duration::from_millis(100);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.0 = done;
        if done < total && state.1.is_none_or(|last| now.duration_since(last) >= PAUSE) {
            state.1 = Some(now);
            self.emit(done, total);
        }
    }

    fn done(&self) {
        let (done, _) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if done > 0 {
            self.emit(done, done);
        }
    }

    fn emit(&self, done: u64, total: u64) {
        self.sink.emit(Event::Progress { node: None, what: self.what.clone(), done, total: Some(total) });
    }
}

/// A date as the labels of an image have it.
pub(crate) fn shown_date(seconds: u64) -> String {
    show_date(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_are_of_others() {
        let line = "deb [signed-by=/k.gpg] http://packages.example/debian/12 bookworm main\n\
                    deb http://deb.debian.org/debian-security bookworm-security main\n\
                    deb http://mirror.example/debian bookworm main\n";
        let sources = sources::from_list("s", line, "amd64").expect("well formed");
        let release = |origin: &str| Release { origin: Some(origin.to_owned()), ..Release::default() };
        let of = Distribution::Debian;
        let told = foreign(&sources[0], &release("example"), (Whose::Machine, of));
        assert_eq!(
            told.as_deref(),
            Some(
                "`http://packages.example/debian/12 bookworm` is left out: its Release file names `example` as its origin, not `Debian`"
            )
        );
        for (origin, whose) in
            [("Debian", Whose::Machine), ("Debian Backports", Whose::Machine), ("example", Whose::Person)]
        {
            assert_eq!(foreign(&sources[0], &release(origin), (whose, of)), None);
        }
        // Who has a role is asked of the mirror of another suite.
        let mut host = Host::default();
        host.sources = sources;
        let suite = Suite::parse("debian:stable").expect("a suite");
        let (chosen, whose) = chosen(&host, &suite, (&ArchiveArgs::default(), "amd64"));
        assert_eq!((chosen.len(), whose), (1, Whose::Machine));
        assert_eq!(chosen[0].directory(), "http://mirror.example/debian/dists/stable/");
    }

    #[test]
    fn times_of_archives() {
        for (text, expected) in [
            ("20250520T000000Z", true),
            ("20250520", true),
            ("2025-05-20", false),
            ("yesterday", false),
            ("20250520T0000Z", false),
            ("", false),
        ] {
            assert_eq!(is_time(text).is_ok(), expected, "{text}");
        }
    }
}
