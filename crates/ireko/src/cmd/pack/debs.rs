//! Packages of a Debian archive as the root that an image is packed of.

use super::warn;
use crate::cli::{PackArgs, Scripts as When};
use crate::debian::{self, Deb, Lists, Suite};
use crate::debian_base::{self, With};
use crate::failure::Failure;
use crate::sbom;
use ireko_deb::index::{Index, VersionId};
use ireko_deb::package::Package;
use ireko_deb::resolve::Request as Ask;
use ireko_layer::Time;
use ireko_pack::sbom::{Distribution, Origins};
use ireko_pack::{Named, Packages, PathFilter, Piece, Scripts};
use std::collections::BTreeSet;
use std::path::Path;

/// Packages that others need for their maintainer scripts alone, and what they provide. An image in which no script
/// runs has no use for them, unless they are asked for.
const FOR_SCRIPTS: [(&str, &str); 12] = [
    ("adduser", ""),
    ("debconf", "debconf-2.0"),
    ("dpkg", ""),
    ("init-system-helpers", ""),
    ("install-info", ""),
    ("lsb-base", ""),
    ("systemd-standalone-sysusers", "systemd-sysusers"),
    ("systemd-standalone-tmpfiles", "systemd-tmpfiles"),
    ("sysvinit-utils", ""),
    ("ucf", ""),
    ("update-inetd", ""),
    ("usr-is-merged", ""),
];

/// What was gathered.
pub(super) struct Gathered {
    pub(super) packages: Packages,
    /// What scripts made of them.
    pub(super) configured: Option<Piece>,
    /// Those that were asked for by name.
    pub(super) asked: Vec<String>,
    /// Where each came from.
    pub(super) origins: Origins,
    /// What they are packages of.
    pub(super) distribution: Option<Distribution>,
}

/// Asks the archive, fetches, and runs what scripts have to run.
pub(super) fn gather(args: &PackArgs, time: Time, with: &With<'_>) -> Result<Gathered, Failure> {
    let platform = super::platform_of(args, with.session)?;
    let suite = suite(args)?;
    let lists = Lists::update((with.session, with.store), &suite, (&args.archive, &platform))?;
    let status = status(args);
    let index = lists.index_beside(&status)?;
    let requests: Vec<Ask> = args.deb.iter().cloned().map(Ask::Text).collect();
    let solution = debian::solve(&index, &requests, args.recommends)?;
    let mut chosen: Vec<VersionId> = solution.install.iter().map(|chosen| chosen.version).collect();
    chosen.extend(data_alone(args, (&index, &chosen))?);
    let debs = lists.fetch(with.session, &index, &chosen)?;
    let named = named(&debs)?;
    let origins = sbom::origins(&debs);
    let left_out = left_out(&debs);
    let is_run = must_run(args, &named, with)?;
    let mut filter = if args.docs { PathFilter::default() } else { PathFilter::slim() };
    let slim = filter.clone();
    args.exclude.iter().for_each(|pattern| filter.exclude(pattern));
    let packages = Packages::read(with.store, named, filter, time)?;
    let mut configured = None;
    if is_run {
        let index = lists.index()?;
        let more = same(&debs);
        let (essential, all) = debian_base::chosen(&index, more, args.recommends)?;
        let debs = lists.fetch(with.session, &index, &all)?;
        let strangers = strangers(&debs, &packages)?;
        let debs: Vec<(Deb, bool)> =
            debs.into_iter().zip(&all).map(|(deb, version)| (deb, essential.contains(version))).collect();
        let layers = debian_base::configured(&debs, (slim, &platform, time), ("pack", with))?;
        let strangers: Vec<&Package> = strangers.iter().collect();
        configured = ireko_pack::configured(with.store, &layers, (&packages, &strangers))?;
    } else if !left_out.is_empty() {
        let names = left_out.join(", ");
        with.session.screen.note(&format!("left out, since scripts alone need it: {names}"));
    }
    let distribution = lists.distribution(&suite);
    Ok(Gathered { packages, configured, asked: asked(args), origins, distribution: Some(distribution) })
}

/// The suite that was asked for, or this machine's.
fn suite(args: &PackArgs) -> Result<Suite, Failure> {
    if let Some(text) = &args.suite {
        return Suite::parse(text);
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    match (field("ID").as_deref(), field("VERSION_CODENAME")) {
        (Some(id @ ("debian" | "ubuntu")), Some(name)) => Suite::parse(&format!("{id}:{name}")),
        _ => Err(Failure::user("it is not known of which suite packages are to be taken")
            .hint("this machine is neither Debian nor Ubuntu: say `--suite debian:bookworm`")),
    }
}

/// The names that were asked for, without versions.
fn asked(args: &PackArgs) -> Vec<String> {
    let name = |text: &String| text.split(['=', '/', ':']).next().unwrap_or_default().to_owned();
    args.deb.iter().map(name).collect()
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
fn left_out(debs: &[Deb]) -> Vec<&'static str> {
    let needs: BTreeSet<String> =
        debs.iter().flat_map(|deb| deb.needs(&["Depends", "Pre-Depends"])).collect();
    let is_there = |name: &str| debs.iter().any(|deb| deb.name == name);
    FOR_SCRIPTS
        .iter()
        .filter(|(name, provided)| !is_there(name) && (needs.contains(*name) || needs.contains(*provided)))
        .map(|(name, _)| *name)
        .collect()
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

fn open(path: &Path) -> Result<Package, Failure> {
    Ok(Package::open(path).map_err(ireko_pack::Error::from)?)
}

fn named(debs: &[Deb]) -> Result<Vec<Named>, Failure> {
    debs.iter().map(|deb| Ok(Named { name: deb.name.clone(), package: open(&deb.path)? })).collect()
}

/// Whether scripts have to run; says of which packages, and why.
fn must_run(args: &PackArgs, named: &[Named], with: &With<'_>) -> Result<bool, Failure> {
    let when = args.scripts.unwrap_or_default();
    if when == When::Always {
        return Ok(true);
    }
    let mut needed = Vec::new();
    let mut lost: BTreeSet<&str> = BTreeSet::new();
    for one in named {
        match ireko_pack::scripts(&one.name, &one.package) {
            Scripts::Idle => {}
            Scripts::LeftOut(what) => drop(lost.insert(what)),
            Scripts::Needed { script, line } => needed.push((&one.name, script, line)),
        }
    }
    let session = with.session;
    if args.minimal {
        // Of a package there are single files, whatever its scripts would do to the others.
        return Ok(false);
    }
    if !lost.is_empty() {
        let lost: Vec<&str> = lost.into_iter().collect();
        session.screen.note(&format!("scripts are left out that care for {}", lost.join(", ")));
    }
    let Some((name, script, line)) = needed.first() else { return Ok(false) };
    let more = match needed.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    if when == When::Never {
        warn(session, format!("the {script} of `{name}` is not run{more}: `{line}`"));
        return Ok(false);
    }
    session.screen.note(&format!("scripts run in a step of their own: {name} ({script}: {line}){more}"));
    Ok(true)
}

/// The same versions in a system that has nothing yet.
fn same(debs: &[Deb]) -> Vec<Ask> {
    debs.iter().map(|deb| Ask::Text(format!("{}={}", deb.name, deb.version))).collect()
}

/// What is installed for scripts and is no part of the image.
fn strangers(debs: &[Deb], packages: &Packages) -> Result<Vec<Package>, Failure> {
    let own: BTreeSet<&str> = packages.packages().iter().map(|named| named.name.as_str()).collect();
    debs.iter().filter(|deb| !own.contains(deb.name.as_str())).map(|deb| open(&deb.path)).collect()
}
