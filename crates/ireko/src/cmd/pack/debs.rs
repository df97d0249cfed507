//! Packages of a Debian archive as the root that an image is packed of.

use super::lock::{Asked, Lock, Package as Locked, Suite};
use super::warn;
use crate::cli::{PackArgs, Scripts as When};
use crate::debian::{self, Deb, Lists};
use crate::debian_base::{self, Essentials, Part, With};
use crate::failure::Failure;
use crate::sbom;
use ireko_deb::archive::Package as Wanted;
use ireko_deb::index::{Index, VersionId};
use ireko_deb::package::Package;
use ireko_deb::resolve::Request as Ask;
use ireko_layer::Time;
use ireko_oci::{Platform, Timestamp};
use ireko_pack::sbom::{Distribution, Origins, os_release};
use ireko_pack::{FOR_SCRIPTS, Named, Packages, PathFilter, Scripts};
use std::collections::{BTreeMap, BTreeSet};

/// What was gathered.
pub(super) struct Gathered {
    pub(super) packages: Packages,
    /// Those that were asked for by name.
    pub(super) asked: Vec<String>,
    /// Where each came from.
    pub(super) origins: Origins,
    /// What can be written down of it.
    pub(super) lock: Lock,
}

impl Gathered {
    /// Whether a list of users or groups of the image has a name.
    pub(super) fn lists(&self, path: &str, name: &str, minimal: bool) -> Result<bool, Failure> {
        if minimal {
            return Ok(false);
        }
        let has = |text: String| text.lines().any(|line| line.split(':').next() == Some(name));
        Ok(self.packages.text(path)?.is_some_and(has))
    }
}

/// Where the packages come from.
pub(super) enum From<'a> {
    /// The archive, as it is now.
    Archive(Asked),
    /// What was written down.
    Lock(&'a Lock),
}

/// Fetches, and runs what scripts have to run. What it came to can be written down.
pub(super) fn gather(
    args: &PackArgs,
    (from, time): (&From<'_>, Time),
    with: &With<'_>,
) -> Result<Gathered, Failure> {
    let platform = super::platform_of(args, with.session)?;
    let (chosen, lock) = match from {
        From::Archive(asked) => Chosen::new(args, (asked, &platform), with)?,
        From::Lock(lock) => (Chosen::locked(args, (lock, &platform), with)?, (*lock).clone()),
    };
    let origins = sbom::origins(&chosen.debs);
    let mut filter = if args.docs { PathFilter::default() } else { PathFilter::slim() };
    let slim = filter.clone();
    args.exclude.iter().for_each(|pattern| filter.exclude(pattern));
    let mut packages = Packages::read(with.store, chosen.opened, filter, time)?;
    if let Some(installed) = &chosen.installed {
        let strangers = strangers(installed, &packages)?;
        let root = debian_base::configured(installed, (slim, &platform), ("pack", with))?;
        let strangers: Vec<&Package> = strangers.iter().collect();
        let root = (&root.layers[..], root.newest);
        let configured = ireko_pack::configured(with.store, root, (&packages, &strangers))?;
        packages.configure(configured);
    } else {
        let left_out = left_out(&chosen.debs);
        if !left_out.is_empty() {
            let names = left_out.into_iter().collect::<Vec<_>>().join(", ");
            with.session.screen.note(&format!("left out, since scripts alone need it: {names}"));
        }
    }
    Ok(Gathered { packages, asked: asked(args), origins, lock })
}

/// The packages of an image.
struct Chosen {
    debs: Vec<Deb>,
    /// The same, open.
    opened: Vec<Named>,
    /// All that is installed where scripts run.
    installed: Option<Vec<(Deb, Part)>>,
}

impl Chosen {
    /// As the archive has them now.
    fn new(
        args: &PackArgs,
        (asked, platform): (&Asked, &Platform),
        with: &With<'_>,
    ) -> Result<(Self, Lock), Failure> {
        let suite = suite(args)?;
        let lists =
            Lists::update((with.session, with.store, with.cancel), &suite, (&args.archive, platform))?;
        let status = status(args);
        let index = lists.index_beside(&status)?;
        let requests: Vec<Ask> = args.deb.iter().cloned().map(Ask::Text).collect();
        let solution = debian::solve(&index, &requests, args.recommends)?;
        let mut chosen: Vec<VersionId> = solution.install.iter().map(|chosen| chosen.version).collect();
        chosen.extend(data_alone(args, (&index, &chosen))?);
        let debs = lists.fetch(with.session, &index, &chosen)?;
        let opened = named(&debs)?;
        let mut installed = None;
        if must_run(args, &opened, with)? {
            let index = lists.index()?;
            let choice = debian_base::chosen(&index, (Essentials::Small, same(&debs)), args.recommends)?;
            let fetched = lists.fetch(with.session, &index, &choice.all)?;
            let marked = fetched.into_iter().zip(&choice.all);
            installed = Some(marked.map(|(deb, version)| (deb, choice.part(*version))).collect());
        }
        let date = Timestamp::from_unix(i64::try_from(lists.date()).unwrap_or(0), 0).to_string();
        let suite = Suite::new(&lists.distribution(), &date.replace(['-', ':'], ""));
        let chosen = Self { debs, opened, installed };
        let lock = Lock::new(asked.clone(), Some(suite), chosen.written());
        Ok((chosen, lock))
    }

    /// As they were written down: no list is asked.
    fn locked(
        args: &PackArgs,
        (lock, platform): (&Lock, &Platform),
        with: &With<'_>,
    ) -> Result<Self, Failure> {
        let lists = Lists::open(
            (with.session, with.store, with.cancel),
            &suite(args).or_else(|_| debian::Suite::parse("debian:stable"))?,
            (&args.archive, platform),
        )?;
        let suite = lock.suite.clone().unwrap_or_default();
        let mut wanted = Vec::new();
        for package in &lock.packages {
            let listed = package.listed().ok_or_else(|| Failure::user("a hash of the lock is none"))?;
            wanted.push(Wanted { addresses: package.addresses(&suite), listed });
        }
        let paths = lists.fetch_these(with.session, &wanted)?;
        let (mut debs, mut opened, mut installed) = (Vec::new(), Vec::new(), Vec::new());
        for ((package, wanted), path) in lock.packages.iter().zip(wanted).zip(paths) {
            let file = Package::open(&path).map_err(ireko_pack::Error::from)?;
            let deb = Deb {
                name: package.name.clone(),
                architecture: package.architecture.clone(),
                version: package.version.clone(),
                stanza: file.control().into_owned(),
                path,
                address: wanted.addresses.into_iter().next().unwrap_or_default(),
                listed: wanted.listed,
            };
            if deb.another(&file).is_some() {
                return Err(Failure::user(format!(
                    "the lock names `{}` {} ({}), and the file of that hash is another package",
                    deb.name, deb.version, deb.architecture
                ))
                .hint("`--lock` in place of `--locked` writes it anew"));
            }
            if package.scripts {
                let part = match (package.essential, package.core || !lock.has_parts()) {
                    (true, _) => Part::Essential,
                    (false, true) => Part::Core,
                    (false, false) => Part::Other,
                };
                installed.push((deb.clone(), part));
            }
            if package.image {
                opened.push(Named { name: deb.name.clone(), package: file });
                debs.push(deb);
            }
        }
        Ok(Self { debs, opened, installed: Some(installed).filter(|installed| !installed.is_empty()) })
    }

    /// What a lock says of them.
    fn written(&self) -> Vec<Locked> {
        let mut packages: BTreeMap<(String, String), Locked> = BTreeMap::new();
        let key = |deb: &Deb| (deb.name.clone(), deb.architecture.clone());
        for deb in &self.debs {
            packages.entry(key(deb)).or_insert_with(|| Locked::new(deb)).image = true;
        }
        for (deb, part) in self.installed.iter().flatten() {
            let package = packages.entry(key(deb)).or_insert_with(|| Locked::new(deb));
            package.scripts = true;
            package.essential = *part == Part::Essential;
            package.core = *part == Part::Core;
        }
        packages.into_values().collect()
    }
}

/// The suite that was asked for, or this machine's.
fn suite(args: &PackArgs) -> Result<debian::Suite, Failure> {
    if let Some(text) = &args.suite {
        return debian::Suite::parse(text);
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    match os_release(&release) {
        Some(Distribution { id, codename, .. })
            if ["debian", "ubuntu"].contains(&&*id) && !codename.is_empty() =>
        {
            debian::Suite::parse(&format!("{id}:{codename}"))
        }
        _ => Err(Failure::user("it is not known of which suite packages are to be taken")
            .hint("this machine is neither Debian nor Ubuntu: say `--suite debian:bookworm`")),
    }
}

/// The name in `name`, `name:arch`, `name=version` and `name/suite`.
pub(super) fn name_of(asked: &str) -> &str {
    asked.split(['=', '/', ':']).next().unwrap_or_default()
}

/// The names that were asked for, without versions.
fn asked(args: &PackArgs) -> Vec<String> {
    args.deb.iter().map(|text| name_of(text).to_owned()).collect()
}

/// A system that has what scripts alone need, so that nothing brings it along.
fn status(args: &PackArgs) -> String {
    if args.scripts == Some(When::Always) {
        return String::new();
    }
    let asked = asked(args);
    let mut status = String::new();
    for (name, provided) in FOR_SCRIPTS.iter().filter(|(name, _)| !asked.iter().any(|one| one == name)) {
        status += &format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: all\nMulti-Arch: foreign\nVersion: 9999:1\n"
        );
        if !provided.is_empty() {
            status += &format!("Provides: {provided}\n");
        }
        status.push('\n');
    }
    status
}

/// Which of those are missed by nobody but scripts, and were left out.
fn left_out(debs: &[Deb]) -> BTreeSet<&'static str> {
    let needs = debs.iter().flat_map(|deb| deb.needs(&["Depends", "Pre-Depends"]));
    let named = needs.filter_map(|need| {
        let known = FOR_SCRIPTS.iter().find(|(name, provided)| [*name, *provided].contains(&need.as_str()));
        known.map(|(name, _)| *name)
    });
    named.filter(|name| debs.iter().all(|deb| deb.name != *name)).collect()
}

/// Packages of data that `--with` takes from: by themselves, without what their scripts need.
fn data_alone(
    args: &PackArgs,
    (index, chosen): (&Index<'_>, &[VersionId]),
) -> Result<Vec<VersionId>, Failure> {
    let mut more = Vec::new();
    for name in args.with.iter().filter(|with| ["ca-certificates", "tzdata"].contains(&with.as_str())) {
        if chosen.iter().any(|version| index.name(*version) == name) {
            continue;
        }
        let solution = debian::solve(index, &[Ask::Text(name.clone())], false)?;
        let own = solution.install.iter().map(|chosen| chosen.version);
        more.extend(own.filter(|version| index.name(*version) == name));
    }
    Ok(more)
}

fn named(debs: &[Deb]) -> Result<Vec<Named>, Failure> {
    debs.iter().map(|deb| Ok(Named { name: deb.name.clone(), package: deb.open()? })).collect()
}

/// Whether scripts have to run; says of which packages, and why.
fn must_run(args: &PackArgs, named: &[Named], with: &With<'_>) -> Result<bool, Failure> {
    let when = args.scripts.unwrap_or_default();
    if when == When::Always {
        return Ok(true);
    }
    if args.minimal {
        // Of a package there are single files, whatever its scripts would do to the others.
        return Ok(false);
    }
    let mut needed = Vec::new();
    let mut lost: BTreeSet<&str> = BTreeSet::new();
    for one in named {
        match ireko_pack::scripts(&one.name, &one.package) {
            Scripts::Idle => {}
            Scripts::LeftOut(what) => drop(lost.insert(what)),
            Scripts::Needed { script, needs } => needed.push((&one.name, script, needs)),
        }
    }
    let session = with.session;
    if !lost.is_empty() {
        let lost: Vec<&str> = lost.into_iter().collect();
        session.screen.note(&format!("scripts are left out that care for {}", lost.join(", ")));
    }
    let Some((name, script, needs)) = needed.first() else { return Ok(false) };
    let more = match needed.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    if when == When::Never {
        warn(session, format!("the {script} of `{name}` is not run{more}: {needs}"));
        return Ok(false);
    }
    session.screen.note(&format!("scripts run in a step of their own: {name} ({script}: {needs}){more}"));
    Ok(true)
}

/// The same versions in a system that has nothing yet.
fn same(debs: &[Deb]) -> Vec<Ask> {
    debs.iter().map(|deb| Ask::Text(format!("{}={}", deb.name, deb.version))).collect()
}

/// What is installed for scripts and is no part of the image.
fn strangers(installed: &[(Deb, Part)], packages: &Packages) -> Result<Vec<Package>, Failure> {
    let own: BTreeSet<&str> = packages.packages().iter().map(|named| named.name.as_str()).collect();
    let others = installed.iter().filter(|(deb, _)| !own.contains(deb.name.as_str()));
    others.map(|(deb, _)| deb.open()).collect()
}
