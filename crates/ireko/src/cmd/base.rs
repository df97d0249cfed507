//! `ireko base`: a base image out of Debian's archive.

use crate::arguments;
use crate::cli::{BaseArgs, Global};
use crate::cmd::{build, distroless, outdated, pack};
use crate::debian::{self, Deb, Lists, Suite};
use crate::deliver;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::room;
use crate::session::Session;
use crate::settle;
use crate::wishes;
use ireko_deb::index::{Index, Priority, VersionId};
use ireko_deb::package::Package;
use ireko_deb::resolve::{Chosen, Reason, Request as Ask};
use ireko_deb::sources::Distribution;
use ireko_dockerfile::ignore::Patterns;
use ireko_exec::{BuildError, Cancel, LocalContext, Request, SandboxSettings, Secrets, Surroundings};
use ireko_graph::Policy;
use ireko_image::{Assembled, Images};
use ireko_layer::Time;
use ireko_oci::{ContainerConfig, Digest, History, ImageConfig, Platform, Timestamp};
use ireko_pack::PathFilter;
use ireko_pack::base::{self, Install};
use ireko_store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Runs the command.
pub(crate) fn run(args: &BaseArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    if args.outdated {
        return outdated::run(args, global, environment);
    }
    let (mut tags, outputs) = wishes::goals(&args.out.streamed(), false)?;
    let (suite, variant) = named(&args.name)?;
    if tags.is_empty() {
        tags.push(arguments::Tag { target: None, name: arguments::tag(&args.name)? });
    }
    let shares = deliver::shares(&[], &tags, &outputs)?;
    deliver::writable(&args.out, &outputs, &shares)?;
    let platform = settle::platform_named(args.platform.as_deref(), &environment)?;
    let platform = platform.map_or_else(Platform::host, |(platform, _)| platform);
    let progress = build::progress(&args.out, &environment)?;
    let session = Session::enter(global, environment, progress, false)?;
    let cancel = crate::signals::cancel_on_signals()?;
    let store = session.store()?;
    let images = pack::images(&args.out, &session, &store, &outputs)?;
    let aborted = Arc::clone(&images);
    let _stopping = cancel.on_ask(move || aborted.abort());
    let with = With { session: &session, store: &store, images: &images, cancel: &cancel };
    let delivered = room::once_more((&session, &store), || {
        let image = made(args, (&suite, variant, &platform), &with)?;
        deliver::deliver(&images, &[image], &shares, &cancel, &*session.sink())
    })?;
    session.screen.close();
    deliver::report(&args.out, &shares, &delivered, &[])?;
    pack::print_id(&args.out, &outputs, &delivered);
    Ok(())
}

/// How much of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Essential packages, required ones and apt.
    Minimal,
    /// The same without documentation and translations.
    Slim,
    /// A program's surroundings without shell, dpkg and apt.
    Distroless,
}

/// What a name of an image asks for.
fn named(name: &str) -> Result<(Suite, Variant), Failure> {
    let variants =
        [("-slim", Variant::Slim), ("-distroless", Variant::Distroless), ("-minbase", Variant::Minimal)];
    let found = variants.iter().find_map(|(suffix, variant)| Some((name.strip_suffix(suffix)?, *variant)));
    let (name, variant) = found.unwrap_or((name, Variant::Minimal));
    Ok((Suite::parse(name)?, variant))
}

/// What everything here works with.
pub(super) struct With<'a> {
    pub(super) session: &'a Session,
    pub(super) store: &'a Arc<Store>,
    images: &'a Arc<Images>,
    cancel: &'a Cancel,
}

fn made(
    args: &BaseArgs,
    (suite, variant, platform): (&Suite, Variant, &Platform),
    with: &With<'_>,
) -> Result<Assembled, Failure> {
    let lists = Lists::update((with.session, with.store, with.cancel), suite, (&args.archive, platform))?;
    let suite = lists.suite();
    if variant == Variant::Distroless {
        return distroless::made(args, (&lists, platform), with);
    }
    let index = lists.index()?;
    let Choice { essential, all, along } = chosen(&index, args)?;
    let states = extended_states(&index, &along, lists.architecture());
    let debs = lists.fetch(with.session, &index, &all)?;
    let time = Time::new(i64::try_from(lists.date()).unwrap_or(0), 0);
    let filter = if variant == Variant::Slim { PathFilter::slim() } else { PathFilter::default() };
    let scratch = with.store.scratch_dir()?;
    let debs: Vec<(Deb, bool)> =
        debs.into_iter().zip(&all).map(|(deb, version)| (deb, essential.contains(version))).collect();
    let (install, packages) = laid_out(&debs, (scratch.path(), filter, platform))?;
    let first = base::unpacked(with.store, &packages, &install.filter, time)?;
    let layers = installed(first, &install, (scratch.path(), with))?;
    let diff = base::squashed(with.store, &layers, (&files(suite, &lists, states), time))?;
    let config = config(args, (suite, &lists, platform));
    Ok(ireko_image::assemble(config, &[(diff, None)], Some(Timestamp::from_unix(time.secs, 0))))
}

/// The packages of a base.
struct Choice {
    /// Those that dpkg needs to run.
    essential: BTreeSet<VersionId>,
    all: Vec<VersionId>,
    /// Those that are there for the sake of others alone.
    along: Vec<VersionId>,
}

fn chosen(index: &Index<'_>, args: &BaseArgs) -> Result<Choice, Failure> {
    let core = index.candidates(|is_essential, _| is_essential);
    let ask = |versions: &[VersionId]| versions.iter().copied().map(Ask::Version).collect::<Vec<_>>();
    let essential = debian::solve(index, &ask(&core), false)?;
    let essential: BTreeSet<VersionId> = essential.install.iter().map(|chosen| chosen.version).collect();
    let required = index.candidates(|is_essential, priority| is_essential || priority == Priority::Required);
    let mut requests = ask(&required);
    requests.push(Ask::Text("apt".to_owned()));
    requests.extend(args.include.iter().cloned().map(Ask::Text));
    let solution = debian::solve(index, &requests, args.recommends)?;
    // apt takes itself for essential, and to be there first is no request.
    let core: Vec<VersionId> = core.into_iter().filter(|version| index.name(*version) != "apt").collect();
    let first = debian::solve(index, &ask(&core), false)?;
    let first: BTreeSet<VersionId> = first.install.iter().map(|chosen| chosen.version).collect();
    let is_along =
        |chosen: &&Chosen| !matches!(chosen.reason, Reason::Requested(_)) && !first.contains(&chosen.version);
    let along = solution.install.iter().filter(is_along).map(|chosen| chosen.version).collect();
    let all = solution.install.iter().map(|chosen| chosen.version).collect();
    Ok(Choice { essential, all, along })
}

/// What apt notes of packages that nobody asked for: `apt autoremove` takes them where nothing needs them any more.
fn extended_states(index: &Index<'_>, along: &[VersionId], architecture: &str) -> String {
    let names = index.in_order_of_apt(along).into_iter().map(|version| index.name(version));
    // Also packages for all architectures are noted by the machine's.
    names
        .map(|name| format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n"))
        .collect()
}

/// Puts the package files into a directory under their own names, and says what is to be done with them.
fn laid_out(
    debs: &[(Deb, bool)],
    (dir, filter, platform): (&Path, PathFilter, &Platform),
) -> Result<(Install, Vec<Package>), Failure> {
    let mut install = Install { filter, platform: platform.to_string(), ..Install::default() };
    let mut packages = Vec::new();
    for (deb, is_essential) in debs {
        let name = file_name(deb);
        let place = dir.join(&name);
        let laid = fs::hard_link(&deb.path, &place).or_else(|_| fs::copy(&deb.path, &place).map(|_| ()));
        laid.map_err(|error| {
            Failure::environment(format!("cannot write `{}`", place.display())).cause(error)
        })?;
        if *is_essential {
            packages.push(Package::open(&place).map_err(ireko_pack::Error::from)?);
            install.essential.push(name);
        }
    }
    install.others = groups(debs);
    Ok((install, packages))
}

/// As what dpkg knows a package's file.
fn file_name(deb: &Deb) -> String {
    format!("{}_{}_{}.deb", deb.name, deb.version.replace(':', "%3a"), deb.architecture)
}

/// The packages that are not essential, in groups: what some need before they are unpacked, with all that it needs, is
/// in an earlier one.
fn groups(debs: &[(Deb, bool)]) -> Vec<Vec<String>> {
    let others: BTreeMap<&str, &Deb> = debs
        .iter()
        .filter(|(_, is_essential)| !is_essential)
        .map(|(deb, _)| (deb.name.as_str(), deb))
        .collect();
    let mut groups = Groups { others: &others, done: BTreeSet::new(), groups: Vec::new() };
    groups.install(others.keys().copied().collect());
    groups.groups
}

struct Groups<'a> {
    others: &'a BTreeMap<&'a str, &'a Deb>,
    done: BTreeSet<&'a str>,
    groups: Vec<Vec<String>>,
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
            self.groups.push(left.into_iter().map(|name| file_name(self.others[name])).collect());
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
    (dir, with): (&Path, &With<'_>),
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
        sink: session.sink(),
        cancel: with.cancel.clone(),
        project: "base".to_owned(),
        packing: None,
        on_failure: None,
    };
    let policy = Policy { jobs: 1, cutoff: true, class: session.level.class().to_owned() };
    let request = Request { graph, outputs: vec![last], policy, export: true };
    let built = ireko_exec::build(&request, &surroundings).map_err(|error| failure(error, session))?;
    let tree = built.get(&last).ok_or_else(|| Failure::environment("the packages were not installed"))?;
    Ok(tree.tree.layers.to_vec())
}

/// A maintainer script that failed, with the end of its log.
fn failure(error: BuildError, session: &Session) -> Failure {
    session.screen.close();
    let blame = error.blame();
    match error {
        BuildError::Step(step) => {
            let mut failure =
                Failure::environment("the packages could not be installed").cause(&step.message);
            failure.disk_full = step.disk_full;
            build::with_log(failure, (step.node, step.log.as_deref()), session)
        }
        other => Failure::of(blame, &other),
    }
}

/// Files that no package brings: where the image's apt looks.
fn files(suite: &Suite, lists: &Lists, states: String) -> Vec<(String, Vec<u8>)> {
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
    vec![
        (format!("/etc/apt/sources.list.d/{name}.sources"), format!("{}\n", text.trim_end()).into_bytes()),
        ("/var/lib/apt/extended_states".to_owned(), states.into_bytes()),
        // Both tools that make roots write it, though dpkg knows its own architecture.
        ("/var/lib/dpkg/arch".to_owned(), format!("{}\n", lists.architecture()).into_bytes()),
    ]
}

pub(super) fn config(args: &BaseArgs, (suite, lists, platform): (&Suite, &Lists, &Platform)) -> ImageConfig {
    let mut container = ContainerConfig { cmd: vec!["bash".to_owned()], ..ContainerConfig::default() };
    container.env.push(format!("PATH={}", ireko_exec::DEFAULT_PATH));
    let mirrors: BTreeSet<&str> = lists.sources().map(|source| source.uri.as_str()).collect();
    let mirrors: Vec<&str> = mirrors.into_iter().collect();
    let made = [
        ("ireko.base.suite", format!("{}:{}", suite.of.origin().to_ascii_lowercase(), suite.name)),
        ("ireko.base.date", debian::shown_date(lists.date())),
        ("ireko.base.mirror", mirrors.join(" ")),
        ("ireko.base.made", "locally".to_owned()),
    ];
    container.labels.extend(made.map(|(name, value)| (name.to_owned(), value)));
    container.labels.extend(args.out.label.iter().map(|text| arguments::label(text)));
    let Platform { os, architecture, variant, .. } = platform.clone();
    let mut config = ImageConfig { config: container, os, architecture, variant, ..ImageConfig::default() };
    let created_by = format!("ireko base {}", args.name);
    config.history.push(History { created_by, ..History::default() });
    config
}
