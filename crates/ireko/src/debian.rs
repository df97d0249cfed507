//! Debian's archive as the command line asks it: which suite, from which mirror, believed by which keys, and packages.

use crate::cli::ArchiveArgs;
use crate::environment;
use crate::failure::Failure;
use crate::registries;
use crate::session::Session;
use crate::text::bytes;
use ireko_deb::archive::{
    Archive, ArchiveError, CONNECTIONS, Cache, Keys, List, Package as Wanted, Place, Updated,
};
use ireko_deb::control;
use ireko_deb::host::Host;
use ireko_deb::index::{self, Index, Input, VersionId};
use ireko_deb::logins::Logins;
use ireko_deb::openpgp::Keyring;
use ireko_deb::release::{Listed, parse_hash, show_date};
use ireko_deb::resolve::{self, Options, Request, Solution};
use ireko_deb::sources::{self, Distribution, Source};
use ireko_http::Client;
use ireko_oci::Platform;
use ireko_report::Blame;
use ireko_store::{CacheMount, MountRequest, Sharing, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A suite of a distribution, by any of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) of: Distribution,
    /// The codename: `bookworm`.
    pub(crate) name: String,
}

/// Versions that people say in place of codenames.
const VERSIONS: [(&str, &str); 9] = [
    ("11", "bullseye"),
    ("12", "bookworm"),
    ("13", "trixie"),
    ("14", "forky"),
    ("20.04", "focal"),
    ("22.04", "jammy"),
    ("24.04", "noble"),
    ("25.10", "questing"),
    ("26.04", "resolute"),
];

impl Suite {
    /// `debian:bookworm`, `ubuntu:24.04`, or a suite of Debian alone.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let (of, name) = match text.split_once(':') {
            Some(("debian", name)) => (Distribution::Debian, name),
            Some(("ubuntu", name)) => (Distribution::Ubuntu, name),
            Some((other, _)) => {
                return Err(Failure::user(format!(
                    "`{text}`: `{other}` is no distribution that is known here"
                ))
                .hint("there are debian and ubuntu: `debian:bookworm-slim`"));
            }
            None => (Distribution::Debian, text),
        };
        let wrong =
            || Failure::user(format!("`{text}` names no suite")).hint("`debian:bookworm`, `ubuntu:24.04`");
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        let name =
            VERSIONS.iter().find(|(version, _)| *version == name).map_or(name, |(_, codename)| codename);
        if is_name(name) { Ok(Self { of, name: name.to_owned() }) } else { Err(wrong()) }
    }

    /// Whether its codename is one that is known here. Others may be suites as well.
    pub(crate) fn is_known(&self) -> bool {
        let of = |version: &str| match version.contains('.') {
            true => Distribution::Ubuntu,
            false => Distribution::Debian,
        };
        VERSIONS.iter().any(|(version, name)| *name == self.name && of(version) == self.of)
    }
}

/// A package of the archive, in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Deb {
    pub(crate) name: String,
    pub(crate) architecture: String,
    pub(crate) version: String,
    pub(crate) path: PathBuf,
    /// Its paragraph of the list.
    pub(crate) stanza: String,
    /// Where it was taken from.
    pub(crate) address: String,
    /// Its size and its hash.
    pub(crate) listed: Listed,
}

impl Deb {
    /// The names in these fields of relations, of all alternatives.
    pub(crate) fn needs(&self, fields: &[&str]) -> Vec<String> {
        let paragraph = control::paragraphs(&self.stanza).next().and_then(Result::ok).unwrap_or_default();
        let texts = fields.iter().filter_map(|field| paragraph.get(field));
        let name =
            |relation: &str| relation.trim().split([' ', '(', ':']).next().unwrap_or_default().to_owned();
        texts.flat_map(|text| text.split([',', '|'])).map(name).filter(|name| !name.is_empty()).collect()
    }
}

/// The lists of a suite as they are now, and what fetches packages.
pub(crate) struct Lists {
    native: String,
    client: Client,
    logins: Logins,
    /// Held as long as its files are used.
    cache: (CacheMount, Cache),
    parts: Vec<(Source, Updated)>,
    texts: Vec<(usize, List, String)>,
    past: bool,
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
        let total: u64 = wanted.iter().map(|package| package.listed.size).sum();
        let count = match wanted.len() {
            1 => "1 package".to_owned(),
            count => format!("{count} packages"),
        };
        session.screen.note(&format!("{count}, {}", bytes(total)));
        self.archive(&|_, _| {}).fetch(wanted).map_err(failed)
    }

    /// Asks the archive.
    pub(crate) fn update(
        (session, store): (&Session, &Arc<Store>),
        suite: &Suite,
        (args, platform): (&ArchiveArgs, &Platform),
    ) -> Result<Self, Failure> {
        let mut lists = Self::open((session, store), (args, platform))?;
        let host = host(&lists.native)?;
        let sources = chosen(&host, suite, (args, &lists.native));
        let keys = sources
            .iter()
            .map(|source| keys_of(&host, source, (suite, args)))
            .collect::<Result<Vec<_>, _>>()?;
        let places: Vec<Place<'_>> =
            sources.iter().zip(&keys).map(|(source, keys)| Place { source, keys }).collect();
        let updated = lists.archive(&|_, _| {}).update_all(&places, &lists.native);
        for (source, updated) in sources.iter().zip(updated) {
            let updated = match updated {
                Ok(updated) => updated,
                // A suite may have no updates or security yet; without itself nothing can be made.
                Err(error) if matches!(error, ArchiveError::Missing { .. }) && source.suite != suite.name => {
                    session.screen.note(&format!("{}: {error}", source.suite));
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            let part = lists.parts.len();
            for list in &updated.lists {
                lists.texts.push((part, list.clone(), list.read().map_err(failed)?));
            }
            lists.parts.push((source.clone(), updated));
        }
        Ok(lists)
    }

    /// No list yet: what fetches packages whose hashes are known.
    pub(crate) fn open(
        (session, store): (&Session, &Arc<Store>),
        (args, platform): (&ArchiveArgs, &Platform),
    ) -> Result<Self, Failure> {
        let native = architecture(platform)?.to_owned();
        let host = host(&native)?;
        let client = client(session, &host, args)?;
        let now = u64::try_from(environment::now().seconds()).unwrap_or(0);
        let request = MountRequest {
            id: "packages of Debian archives",
            sharing: Sharing::Shared,
            prepare: &|_| Ok(()),
            give_up: &|| false,
        };
        let mount = store.cache_mount(&request, &|_| {})?;
        let cache = Cache::open(mount.dir().join("archives"), now).map_err(failed)?;
        let past = args.snapshot.is_some();
        let (parts, texts) = (Vec::new(), Vec::new());
        let logins = host.logins.clone();
        Ok(Self { native, client, logins, cache: (mount, cache), parts, texts, past })
    }

    fn archive<'a>(&'a self, watch: &'a (dyn Fn(u64, u64) + Sync + 'a)) -> Archive<'a> {
        let now = u64::try_from(environment::now().seconds()).unwrap_or(0);
        let (client, logins, past) = (&self.client, &self.logins, self.past);
        Archive { client, cache: &self.cache.1, logins, now, past, connections: CONNECTIONS, watch }
    }

    /// The sources that were asked.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.parts.iter().map(|(source, _)| source)
    }

    /// The time of the newest of them, in seconds since 1970.
    pub(crate) fn date(&self) -> u64 {
        self.parts.iter().filter_map(|(_, updated)| updated.release.date).max().unwrap_or(0)
    }

    /// What they are lists of.
    pub(crate) fn distribution(&self, suite: &Suite) -> ireko_pack::sbom::Distribution {
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
                let address = self.texts[found.list].1.address(filename).map_err(failed)?;
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
    chosen(&host, suite, (args, native)).iter().map(line).collect()
}

/// What this machine's apt is configured to.
fn host(native: &str) -> Result<Host, Failure> {
    Host::read(Path::new("/"), native)
        .map_err(|error| Failure::of(Blame::Environment, &error).hinted(error.hint()))
}

/// The sources of a suite: of the flags, of this machine's apt, or the usual ones.
fn chosen(host: &Host, suite: &Suite, (args, native): (&ArchiveArgs, &str)) -> Vec<Source> {
    let own = match args.mirror {
        Some(_) => Vec::new(),
        None => sources::serving(&host.sources, suite.of, &suite.name, native),
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
        if !args.components.is_empty() {
            source.components.clone_from(&args.components);
        }
    }
    if args.mirror.is_some() {
        // A mirror of one's own has the suite; its security and updates lie there only where it says so.
        chosen.retain(|source| !source.suite.ends_with("-security") && !source.suite.ends_with("/updates"));
    }
    chosen
}

fn keys_of(host: &Host, source: &Source, (suite, args): (&Suite, &ArchiveArgs)) -> Result<Keys, Failure> {
    if args.signed_by.is_empty() {
        return host
            .keys(source, Some(suite.of))
            .map_err(|error| Failure::of(Blame::Environment, &error).hinted(error.hint()));
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

fn failed(error: ArchiveError) -> Failure {
    Failure::of(error.blame(), &error).hinted(error.hint())
}

/// A date as the labels of an image have it.
pub(crate) fn shown_date(seconds: u64) -> String {
    show_date(seconds)
}
