//! A base image out of Debian's archive: which packages it has, what dpkg makes of them, and its config.

mod distroless;

use crate::cli::ArchiveArgs;
use crate::cmd::build;
use crate::debian::{self, Deb, Lists, Suite};
use crate::failure::Failure;
use crate::sbom;
use crate::session::Session;
use ireko_deb::index::{Index, Priority, VersionId};
use ireko_deb::package::Package;
use ireko_deb::resolve::{Chosen, Reason, Request as Ask};
use ireko_deb::sources::Distribution;
use ireko_dockerfile::ignore::Patterns;
use ireko_exec::{BuildError, Cancel, LocalContext, Request, SandboxSettings, Secrets, Surroundings};
use ireko_graph::{NodeId, Policy};
use ireko_image::{Assembled, Images};
use ireko_layer::Time;
use ireko_oci::{ContainerConfig, Digest, History, ImageConfig, Platform, Timestamp};
use ireko_pack::PathFilter;
use ireko_pack::base::{self, Dates, Extra, Install};
use ireko_pack::sbom::Origins;
use ireko_report::{Event, Sink};
use ireko_store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The base that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// As it was named.
    pub(crate) name: String,
    pub(crate) suite: Suite,
    pub(crate) variant: Variant,
    /// Packages beside: `name`, `name=version`, `name/suite`.
    pub(crate) include: Vec<String>,
    /// Also what packages recommend.
    pub(crate) recommends: bool,
    /// Where packages come from.
    pub(crate) archive: ArchiveArgs,
    pub(crate) platform: Platform,
    /// Labels beside those that say how it was made.
    pub(crate) labels: Vec<(String, String)>,
}

/// How much of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Essential packages, required ones and apt.
    Minimal,
    /// The same without documentation and translations.
    Slim,
    /// A program's surroundings without shell, dpkg and apt.
    Distroless,
}

/// What a name of an image asks for.
pub(crate) fn named(name: &str) -> Result<(Suite, Variant), Failure> {
    let variants =
        [("-slim", Variant::Slim), ("-distroless", Variant::Distroless), ("-minbase", Variant::Minimal)];
    let found = variants.iter().find_map(|(suffix, variant)| Some((name.strip_suffix(suffix)?, *variant)));
    let (name, variant) = found.unwrap_or((name, Variant::Minimal));
    Ok((Suite::parse(name)?, variant))
}

/// The name of a base with its distribution and codename: `debian:bookworm-slim`.
pub(crate) fn full_name(suite: &Suite, variant: Variant) -> String {
    let slim = if variant == Variant::Slim { "-slim" } else { "" };
    format!("{}:{}{slim}", suite.of.origin().to_ascii_lowercase(), suite.name)
}

/// What everything here works with.
pub(crate) struct With<'a> {
    pub(crate) session: &'a Session,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) images: &'a Arc<Images>,
    pub(crate) cancel: &'a Cancel,
    /// The number of the first step: other steps of this process have others.
    pub(crate) steps: u32,
}

/// A base that is known already, by the hash of what it would be made of.
pub(crate) type Known<'a> = &'a dyn Fn(&str) -> Option<Assembled>;

/// A base that was made.
pub(crate) struct Base {
    /// Its layer is in the store, under no name.
    pub(crate) image: Assembled,
    /// The hash of what it is made of.
    pub(crate) made_of: String,
    /// Where its packages came from; nothing where it was known already.
    pub(crate) origins: Origins,
}

/// Asks the archive and makes the base. `known` is given the hash of what it would be made of, and may have it already.
pub(crate) fn made(wanted: &Wanted, with: &With<'_>, known: Known<'_>) -> Result<Base, Failure> {
    let Wanted { suite, variant, platform, .. } = wanted;
    let lists = Lists::update((with.session, with.store, with.cancel), suite, (&wanted.archive, platform))?;
    let index = lists.index()?;
    if *variant == Variant::Distroless {
        return distroless::made(wanted, (&lists, &index), (with, known));
    }
    let requests = wanted.include.iter().cloned().map(Ask::Text).collect();
    let essentials = if *variant == Variant::Slim { Essentials::Small } else { Essentials::AsWritten };
    let choice = chosen(&index, (essentials, requests), wanted.recommends)?;
    let all = &choice.all;
    let files = files(&lists, extended_states(&index, &choice.along, lists.architecture()));
    let made_of = hash_of(&index, all, &files);
    if let Some(image) = known(&made_of) {
        return Ok(Base { image, made_of, origins: Origins::default() });
    }
    let debs = lists.fetch(with.session, &index, all)?;
    let origins = sbom::origins(&debs);
    let time = Time::new(i64::try_from(lists.date()).unwrap_or(0), 0);
    let filter = if *variant == Variant::Slim { PathFilter::slim() } else { PathFilter::default() };
    let debs: Vec<(Deb, Part)> =
        debs.into_iter().zip(all).map(|(deb, version)| (deb, choice.part(*version))).collect();
    let Configured { layers, newest } = configured(&debs, (filter, platform), (&wanted.name, with))?;
    let dates = Dates { packages: newest, image: time };
    let diff = base::squashed(with.store, &layers, (&files, dates))?;
    let config = config(wanted, &lists);
    let image = ireko_image::assemble(config, &[(diff, None)], Some(Timestamp::from_unix(time.secs, 0)));
    Ok(Base { image, made_of, origins })
}

/// A hash of these packages, by what the archive says of their bytes, and of further files.
fn hash_of(index: &Index<'_>, packages: &[VersionId], files: &[Extra]) -> String {
    let mut lines: Vec<String> = packages
        .iter()
        .map(|version| {
            let sha256 = index.found(*version).iter().find_map(|found| found.stanza.sha256());
            let (name, architecture) = (index.name(*version), index.architecture(*version));
            format!("{name} {architecture} {} {}", index.version(*version), sha256.unwrap_or_default())
        })
        .collect();
    lines.sort_unstable();
    for Extra { path, bytes, .. } in files {
        lines.push(format!("{path} {}", Digest::of(bytes)));
    }
    Digest::of(lines.join("\n").as_bytes()).to_string()
}

/// When a package is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// First of all: dpkg needs it to run.
    Essential,
    /// With these, as in every base of the suite.
    Core,
    /// In a step of its own on top of that, which is remembered then.
    Other,
}

/// A root in which dpkg installed packages.
pub(crate) struct Configured {
    pub(crate) layers: Vec<Digest>,
    /// When the newest of the packages was built.
    pub(crate) newest: Time,
}

/// Lets dpkg install packages in a root of their own. `name` is who needs it.
pub(crate) fn configured(
    debs: &[(Deb, Part)],
    (filter, platform): (PathFilter, &Platform),
    (name, with): (&str, &With<'_>),
) -> Result<Configured, Failure> {
    let scratch = with.store.scratch_dir()?;
    let LaidOut { install, essential, newest } = laid_out(debs, (scratch.path(), filter, platform))?;
    let first = base::unpacked(with.store, &essential, &install.filter)?;
    let layers = installed(first, &install, (name, scratch.path(), with))?;
    Ok(Configured { layers, newest })
}

/// The packages of a root in which dpkg runs.
pub(crate) struct Choice {
    /// Those that dpkg needs to run.
    essential: BTreeSet<VersionId>,
    /// Those of a base that has nothing else; empty where one of them is missing here.
    core: BTreeSet<VersionId>,
    pub(crate) all: Vec<VersionId>,
    /// Those that are there for the sake of others alone.
    along: Vec<VersionId>,
}

impl Choice {
    /// When a package of it is installed.
    pub(crate) fn part(&self, version: VersionId) -> Part {
        match (self.essential.contains(&version), self.core.contains(&version) || self.core.is_empty()) {
            (true, _) => Part::Essential,
            (false, true) => Part::Core,
            (false, false) => Part::Other,
        }
    }
}

/// How essential packages are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Essentials {
    /// By the first of each alternative, as mmdebstrap does.
    AsWritten,
    /// Without [`MERGES`] and the perl that it needs, where a package says that there is nothing to do for it.
    Small,
}

/// Moves the directories of an old system below `/usr`. Here they are links from the start.
const MERGES: &str = "usrmerge";
/// Stands for it where that is so.
const MERGED: &str = "usr-is-merged";

/// Essential and required packages and apt, and more that is asked for.
pub(crate) fn chosen(
    index: &Index<'_>,
    (essentials, more): (Essentials, Vec<Ask>),
    recommends: bool,
) -> Result<Choice, Failure> {
    let choice = solved(index, (&[], more.clone()), recommends)?;
    let merges = choice.all.iter().any(|version| index.name(*version) == MERGES);
    if essentials == Essentials::AsWritten || !merges || index.versions_named(MERGED).is_empty() {
        return Ok(choice);
    }
    // Also where this does not help: who asked for the other one has both.
    Ok(solved(index, (&[Ask::Text(MERGED.to_owned())], more), recommends).unwrap_or(choice))
}

fn solved(index: &Index<'_>, (first, more): (&[Ask], Vec<Ask>), recommends: bool) -> Result<Choice, Failure> {
    let core = index.candidates(|is_essential, _| is_essential);
    let ask = |versions: &[VersionId]| {
        first.iter().cloned().chain(versions.iter().copied().map(Ask::Version)).collect::<Vec<_>>()
    };
    let essential = debian::solve(index, &ask(&core), false)?;
    let required = index.candidates(|is_essential, priority| is_essential || priority == Priority::Required);
    let mut requests = ask(&required);
    requests.push(Ask::Text("apt".to_owned()));
    let basis = debian::solve(index, &requests, false)?;
    requests.extend(more);
    let solution = debian::solve(index, &requests, recommends)?;
    // apt takes itself for essential, and to be there first is no request.
    let core: Vec<VersionId> = core.into_iter().filter(|version| index.name(*version) != "apt").collect();
    let core = debian::solve(index, &ask(&core), false)?;
    let core: BTreeSet<VersionId> = core.install.iter().map(|chosen| chosen.version).collect();
    let is_along =
        |chosen: &&Chosen| !matches!(chosen.reason, Reason::Requested(_)) && !core.contains(&chosen.version);
    let along = solution.install.iter().filter(is_along).map(|chosen| chosen.version).collect();
    let all: Vec<VersionId> = solution.install.iter().map(|chosen| chosen.version).collect();
    // By name: what was asked for may have brought another version.
    let same = |install: &[Chosen]| {
        let name = |version| (index.name(version), index.architecture(version));
        let names: BTreeSet<_> = install.iter().map(|chosen| name(chosen.version)).collect();
        let versions = all.iter().copied().filter(|version| names.contains(&name(*version)));
        (versions.collect::<BTreeSet<_>>(), names.len())
    };
    let (essential, _) = same(&essential.install);
    let (basis, wanted) = same(&basis.install);
    let core = if basis.len() == wanted { basis } else { BTreeSet::new() };
    Ok(Choice { essential, core, all, along })
}

/// What apt notes of packages that nobody asked for: `apt autoremove` takes them where nothing needs them any more.
fn extended_states(index: &Index<'_>, along: &[VersionId], architecture: &str) -> String {
    let names = index.in_order_of_apt(along).into_iter().map(|version| index.name(version));
    // Also packages for all architectures are noted by the machine's.
    names
        .map(|name| format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n"))
        .collect()
}

/// Package files in a directory.
struct LaidOut {
    install: Install,
    /// The essential ones, open.
    essential: Vec<Package>,
    /// When the newest of all was built.
    newest: Time,
}

/// Puts the package files into a directory under their own names, and says what is to be done with them.
fn laid_out(
    debs: &[(Deb, Part)],
    (dir, filter, platform): (&Path, PathFilter, &Platform),
) -> Result<LaidOut, Failure> {
    let mut install = Install { filter, platform: platform.to_string(), ..Install::default() };
    let mut essential = Vec::new();
    let mut newest = Time::default();
    for part in [base::CORE, base::OTHERS] {
        let place = dir.join(part);
        let failed = |error| Failure::environment(format!("cannot make `{}`", place.display())).cause(error);
        fs::create_dir(&place).map_err(failed)?;
    }
    for (deb, part) in debs {
        let name = file_name(deb)?;
        let place = dir.join(if *part == Part::Other { base::OTHERS } else { base::CORE }).join(&name);
        let laid = fs::hard_link(&deb.path, &place).or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Err(error),
            // Another file system, or one without further names.
            _ => fs::copy(&deb.path, &place).map(drop),
        });
        laid.map_err(|error| {
            Failure::environment(format!("cannot write `{}`", place.display())).cause(error)
        })?;
        // Also of those that dpkg alone reads: what they call themselves is what it installs.
        let package = deb.open_at(&place)?;
        newest = newest.max(Time::new(package.built(), 0));
        if *part == Part::Essential {
            essential.push(package);
            install.essential.push(name);
        }
    }
    // Whatever else was asked for, the step is the same.
    install.essential.sort_unstable();
    install.core = groups(debs, Part::Core)?;
    install.others = groups(debs, Part::Other)?;
    Ok(LaidOut { install, essential, newest })
}

/// As what dpkg knows a package's file.
fn file_name(deb: &Deb) -> Result<String, Failure> {
    if !deb.is_well_named() {
        return Err(Failure::user(format!(
            "`{}` {} ({}) is no name, version and architecture of a package",
            deb.name, deb.version, deb.architecture
        )));
    }
    Ok(format!("{}_{}_{}.deb", deb.name, deb.version.replace(':', "%3a"), deb.architecture))
}

/// The packages of one part, in groups: what some need before they are unpacked, with all that it needs, is in an earlier
/// one.
fn groups(debs: &[(Deb, Part)], part: Part) -> Result<Vec<Vec<String>>, Failure> {
    let others: BTreeMap<&str, &Deb> =
        debs.iter().filter(|(_, its)| *its == part).map(|(deb, _)| (deb.name.as_str(), deb)).collect();
    let mut groups = Groups { others: &others, done: BTreeSet::new(), groups: Vec::new() };
    groups.install(others.keys().copied().collect());
    let files = |group: Vec<&str>| group.into_iter().map(|name| file_name(others[name])).collect();
    groups.groups.into_iter().map(files).collect()
}

struct Groups<'a> {
    others: &'a BTreeMap<&'a str, &'a Deb>,
    done: BTreeSet<&'a str>,
    groups: Vec<Vec<&'a str>>,
}

impl<'a> Groups<'a> {
    fn install(&mut self, names: BTreeSet<&'a str>) {
        for name in &names {
            let before = self.closure(self.others[name].needs(&["Pre-Depends"]));
            // Where it needs itself before, dpkg has to say what it thinks of that.
            if !before.contains(name) && before.iter().any(|one| !self.done.contains(one)) {
                self.install(before);
            }
        }
        let left: Vec<&str> = names.into_iter().filter(|name| self.done.insert(name)).collect();
        if !left.is_empty() {
            self.groups.push(left);
        }
    }

    /// These, and all that they need to be configured.
    fn closure(&self, names: Vec<String>) -> BTreeSet<&'a str> {
        let mut all = BTreeSet::new();
        let mut left = names;
        while let Some(name) = left.pop() {
            let Some((known, deb)) = self.others.get_key_value(name.as_str()) else { continue };
            if !self.done.contains(known) && all.insert(*known) {
                left.extend(deb.needs(&["Pre-Depends", "Depends"]));
            }
        }
        all
    }
}

/// Lets dpkg install them in a step of its own.
fn installed(
    first: Digest,
    install: &Install,
    (name, dir, with): (&str, &Path, &With<'_>),
) -> Result<Vec<Digest>, Failure> {
    let context = LocalContext::open(dir, Patterns::default(), with.store, with.cancel)
        .map_err(|error| Failure::of(error.blame(), &error))?;
    let unpacked = ireko_image::assemble(ImageConfig::default(), &[(first, None)], None);
    let (graph, last) = base::graph(first, unpacked.id, install);
    let session = with.session;
    let surroundings = Surroundings {
        store: Arc::clone(with.store),
        contexts: BTreeMap::from([(base::DEBS.to_owned(), context)]),
        bases: Arc::new(crate::bases::Bases(Arc::clone(with.images))),
        http: with.images.registry().client().clone(),
        git: crate::repositories::settings(&session.environment),
        secrets: Secrets::default(),
        agents: Default::default(),
        devices: Default::default(),
        sandbox: SandboxSettings {
            resolv_conf: crate::bases::resolv_conf(),
            authorities: None,
            limits: None,
            confinement: session.confinement()?,
        },
        snapshotter: session.snapshotter(with.store)?,
        sink: Arc::new(Steps { inner: session.sink(), first: with.steps, name: name.to_owned() }),
        cancel: with.cancel.clone(),
        // Each base has earlier selves of its own.
        project: name.to_owned(),
        packing: None,
        on_failure: None,
    };
    let policy = Policy { jobs: 1, cutoff: true, class: session.level.class().to_owned() };
    let request = Request { graph, outputs: vec![last], policy, export: true };
    let built = ireko_exec::build(&request, &surroundings).map_err(|error| failure(error, with))?;
    let tree = built.get(&last).ok_or_else(|| Failure::environment("the packages were not installed"))?;
    Ok(tree.tree.layers.to_vec())
}

/// Tells of the steps that make a base, under numbers and a name of their own.
struct Steps {
    inner: Arc<dyn Sink>,
    first: u32,
    name: String,
}

impl Sink for Steps {
    fn emit(&self, mut event: Event) {
        if let Event::StepQueued { display, .. } = &mut event {
            let text = display.split_once("] ").map_or(display.as_str(), |(_, text)| text);
            *display = format!("[{}] {text}", self.name);
        }
        match &mut event {
            // It counts the steps of the Dockerfile.
            Event::BuildStarted { .. } if self.first > 0 => return,
            Event::StepQueued { node, .. }
            | Event::StepStarted { node }
            | Event::StepLog { node, .. }
            | Event::StepLogFile { node, .. }
            | Event::Progress { node: Some(node), .. }
            | Event::StepFinished { node, .. }
            | Event::MissExplained { node, .. } => *node += self.first,
            _ => {}
        }
        self.inner.emit(event);
    }
}

/// So many lines at the end of dpkg's log are looked at for why it failed.
const TAIL: usize = 20;

/// A maintainer script that failed, with the end of its log.
fn failure(error: BuildError, with: &With<'_>) -> Failure {
    let session = with.session;
    session.screen.close();
    // It stopped all that went on; with more room on the disk it may be tried once more.
    if with.cancel.take_back() {
        with.images.resume();
    }
    let blame = error.blame();
    match error {
        BuildError::Step(step) => {
            let mut failure =
                Failure::environment("the packages could not be installed").cause(&step.message);
            let node = NodeId(step.node.0 + with.steps);
            // dpkg removes what it could not unpack, and the disk is not full any more.
            let said = session.screen.step(node.0).is_some_and(|step| {
                step.last_lines(TAIL).iter().any(|line| line.contains("No space left on device"))
            });
            failure.disk_full = step.disk_full || said;
            build::with_log(failure, (node, step.log.as_deref()), session)
        }
        other => Failure::of(blame, &other),
    }
}

/// What the official images configure, under the names that they have there, since Dockerfiles remove them by these:
/// apt keeps no packages, no index of its own and no translations, and no service is started by being installed.
const AS_OFFICIAL: [(&str, &str, u32); 3] = [
    (
        "/etc/apt/apt.conf.d/docker-clean",
        "DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true\"; };\n\
         APT::Update::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true\"; };\n\
         Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n",
        0o644,
    ),
    ("/etc/apt/apt.conf.d/docker-no-languages", "Acquire::Languages \"none\";\n", 0o644),
    ("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755),
];

/// Files that no package brings: where the image's apt looks, and how it works.
fn files(lists: &Lists, states: String) -> Vec<Extra> {
    let suite = lists.suite();
    let keyring = match suite.of {
        Distribution::Debian => "/usr/share/keyrings/debian-archive-keyring.gpg",
        Distribution::Ubuntu => "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    };
    let mut text = String::new();
    for source in lists.sources() {
        let (uri, suite, components) = (&source.uri, &source.suite, source.components.join(" "));
        text += &format!(
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}\nSigned-By: {keyring}\n\n"
        );
    }
    let name = suite.of.origin().to_ascii_lowercase();
    let extra = |path: &str, text: &str, mode| Extra { path: path.to_owned(), bytes: text.into(), mode };
    let mut files = vec![
        extra(&format!("/etc/apt/sources.list.d/{name}.sources"), &format!("{}\n", text.trim_end()), 0o644),
        extra("/var/lib/apt/extended_states", &states, 0o644),
        // Both tools that make roots write it, though dpkg knows its own architecture.
        extra("/var/lib/dpkg/arch", &format!("{}\n", lists.architecture()), 0o644),
    ];
    files.extend(AS_OFFICIAL.map(|(path, text, mode)| extra(path, text, mode)));
    files
}

/// The label that says of which suite the packages are: `debian:bookworm`.
pub(crate) const SUITE: &str = "ireko.base.suite";
/// The label that says when the archive was what the base was made of.
pub(crate) const DATE: &str = "ireko.base.date";
/// The label that says where the packages came from.
pub(crate) const MIRROR: &str = "ireko.base.mirror";

fn config(wanted: &Wanted, lists: &Lists) -> ImageConfig {
    let suite = lists.suite();
    let mut config = bare_config(wanted);
    let mirrors: BTreeSet<&str> = lists.sources().map(|source| source.uri.as_str()).collect();
    let mirrors: Vec<&str> = mirrors.into_iter().collect();
    let made = [
        (SUITE, format!("{}:{}", suite.of.origin().to_ascii_lowercase(), suite.name)),
        (DATE, debian::shown_date(lists.date())),
        (MIRROR, mirrors.join(" ")),
        ("ireko.base.made", "locally".to_owned()),
    ];
    config.config.labels.extend(made.map(|(name, value)| (name.to_owned(), value)));
    config.config.labels.extend(wanted.labels.iter().cloned());
    let created_by = format!("ireko base {}", wanted.name);
    config.history.push(History { created_by, ..History::default() });
    config
}

/// What is known of its config before the archive was asked.
pub(crate) fn bare_config(wanted: &Wanted) -> ImageConfig {
    let mut container = ContainerConfig::default();
    container.env.push(format!("PATH={}", ireko_exec::DEFAULT_PATH));
    if wanted.variant == Variant::Distroless {
        container.env.push(format!("SSL_CERT_FILE={}", ireko_pack::BUNDLE));
    } else {
        container.cmd.push("bash".to_owned());
    }
    let Platform { os, architecture, variant, .. } = wanted.platform.clone();
    ImageConfig { config: container, os, architecture, variant, ..ImageConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_file_is_named_by_a_name() {
        let deb = |name: &str, version: &str, architecture: &str| Deb {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: architecture.to_owned(),
            path: "x".into(),
            stanza: String::new(),
            address: String::new(),
            listed: ireko_deb::release::Listed { size: 0, sha256: [0; 32] },
        };
        let name = file_name(&deb("libc++1-16t64", "1:2.0~rc+1-3", "amd64")).expect("well named");
        assert_eq!(name, "libc++1-16t64_1%3a2.0~rc+1-3_amd64.deb");
        for (name, version, architecture) in [
            ("../a", "1", "all"),
            ("a", "1/../../b", "all"),
            ("a", "1", "all; rm"),
            ("", "1", "all"),
            ("a b", "1", "all"),
        ] {
            assert!(file_name(&deb(name, version, architecture)).is_err(), "{name} {version} {architecture}");
        }
    }
}
