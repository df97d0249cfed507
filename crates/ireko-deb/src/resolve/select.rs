//! Finds the versions that requests mean (`VersionContainerInterface::FromModifierCommandLine` and its helpers).

use super::state::States;
use super::{Request, ResolveError};
use crate::index::{Index, NONE, VersionId};

/// What the requests mean.
#[derive(Default)]
pub(super) struct Selected {
    /// The version, and which request it is of.
    pub(super) install: Vec<(u32, usize)>,
    pub(super) remove: Vec<u32>,
    /// Versions that a suite or a pattern names: what they need is looked for there, too.
    pub(super) by_release: Vec<(u32, String)>,
}

/// Which version of a package is meant.
enum Which<'r> {
    Candidate,
    Newest,
    Installed,
    Version(&'r str),
    Release(&'r str),
}

/// What became of a request.
enum Found {
    Version(u32),
    /// Nothing is to be done.
    Nothing,
}

/// All requests, in their order.
pub(super) fn select(states: &mut States<'_, '_>, requests: &[Request]) -> Result<Selected, ResolveError> {
    let mut selected = Selected::default();
    for (at, request) in requests.iter().enumerate() {
        match request {
            Request::Version(version) => selected.install.push((version.0, at)),
            Request::Text(text) => select_one(states, text, at, &mut selected)?,
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    selected.install.retain(|(version, _)| seen.insert(*version));
    Ok(selected)
}

fn select_one(
    states: &mut States<'_, '_>,
    text: &str,
    at: usize,
    selected: &mut Selected,
) -> Result<(), ResolveError> {
    // `g++` ends with a sign, too: names that are known come first.
    let sign = text.strip_suffix(['+', '-']).filter(|rest| !rest.is_empty());
    let (bare, remove) = match sign {
        Some(_) if is_known(states.index, text) => (text, false),
        Some(bare) => (bare, text.ends_with('-')),
        None => (text, false),
    };
    let (name, which) = match bare.rfind(['/', '=']) {
        None if remove => (bare, Which::Newest),
        None => (bare, Which::Candidate),
        Some(sign) => {
            let (name, version) = (&bare[..sign], &bare[sign + 1..]);
            let which = match version {
                "installed" => Which::Installed,
                "candidate" => Which::Candidate,
                "newest" => Which::Newest,
                version if bare[sign..].starts_with('/') => Which::Release(version),
                version => Which::Version(version),
            };
            (name, which)
        }
    };
    let package = find(states.index, name)?;
    let found = match &which {
        Which::Candidate => candidate(states, package)?,
        Which::Newest => newest(states, package),
        Which::Installed => match states.current(package) {
            NONE => return Err(ResolveError::NotInstalled { name: name.to_owned() }),
            current => Found::Version(current),
        },
        Which::Version(wanted) => Found::Version(with_version(states, package, wanted)?),
        Which::Release(wanted) => Found::Version(of_release(states, package, wanted)?),
    };
    let Found::Version(version) = found else { return Ok(()) };
    let index = states.index;
    match which {
        Which::Release(release) => selected.by_release.push((version, release.to_owned())),
        Which::Version(wanted) if index.version(VersionId(version)) != wanted => {
            selected.by_release.push((version, wanted.to_owned()));
        }
        _ => {}
    }
    match remove {
        true => selected.remove.push(version),
        false => selected.install.push((version, at)),
    }
    Ok(())
}

fn is_known(index: &Index<'_>, text: &str) -> bool {
    let name = text.split(['/', '=']).next().unwrap_or(text);
    find(index, name).is_ok()
}

/// The package of a name. What only relations name is found, too, and has no versions.
fn find(index: &Index<'_>, text: &str) -> Result<u32, ResolveError> {
    let (name, architecture) = match text.rsplit_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (text, None),
    };
    let unknown = || ResolveError::Unknown { name: text.to_owned(), nearest: index.nearest(name) };
    let found = index.find_group(name).and_then(|group| match architecture {
        None => index.preferred(group),
        Some("all" | "native") => index.find_package(group, 0),
        Some(architecture) => {
            let number = index.architectures.iter().position(|known| *known == architecture)?;
            index.find_package(group, number as u16)
        }
    });
    // What only relations with an architecture name is `name:architecture` on any.
    let of_architecture = |architecture: &str| {
        let group = index.find_group(&format!("{name}:{architecture}"))?;
        index.siblings(group).next()
    };
    let found = found.or_else(|| match architecture {
        Some(architecture) => of_architecture(architecture),
        None => index.architectures[..index.configured].iter().find_map(|known| of_architecture(known)),
    });
    found.ok_or_else(unknown)
}

fn candidate(states: &States<'_, '_>, package: u32) -> Result<Found, ResolveError> {
    let candidate = states.of(package).candidate;
    if candidate != NONE {
        return Ok(Found::Version(candidate));
    }
    let index = states.index;
    let provided: Vec<u32> = index
        .providers_of(package)
        .map(|provide| index.provides[provide as usize].version)
        .filter(|version| states.of(states.package_of(*version)).candidate == *version)
        .collect();
    match only_provider(states, package, &provided) {
        Some(version) => Ok(Found::Version(version)),
        None => Err(no_candidate(states, package, &provided)),
    }
}

fn newest(states: &States<'_, '_>, package: u32) -> Found {
    let index = states.index;
    match index.packages[package as usize].versions {
        NONE => {}
        version => return Found::Version(version),
    }
    let provided: Vec<u32> = index
        .providers_of(package)
        .map(|provide| index.provides[provide as usize].version)
        .filter(|version| states.of(states.package_of(*version)).candidate == *version)
        .collect();
    only_provider(states, package, &provided).map_or(Found::Nothing, Found::Version)
}

fn no_candidate(states: &States<'_, '_>, package: u32, provided: &[u32]) -> ResolveError {
    let index = states.index;
    let name = index.full_name(package);
    let mut providers: Vec<String> =
        provided.iter().map(|version| index.full_name(states.package_of(*version))).collect();
    providers.sort_unstable();
    providers.dedup();
    match providers.is_empty() {
        true => ResolveError::NoCandidate { nearest: index.nearest(index.package_name(package)), name },
        false => ResolveError::Virtual { name, providers },
    }
}

/// The provider, if all are of one name: on the architecture that was asked for, or on the best one
/// (`tryVirtualPackage`).
fn only_provider(states: &States<'_, '_>, package: u32, provided: &[u32]) -> Option<u32> {
    let index = states.index;
    let known = |version: u32| &index.packages[states.package_of(version) as usize];
    let wanted = index.packages[package as usize].architecture;
    let (first, others) = provided.split_first()?;
    let mut chosen = *first;
    for version in others {
        if known(*version).group != known(chosen).group {
            return None;
        }
        if known(chosen).architecture != wanted && known(*version).architecture < known(chosen).architecture {
            chosen = *version;
        }
    }
    Some(chosen)
}

/// `package=version`; a `*` at its end stands for anything.
fn with_version(states: &mut States<'_, '_>, package: u32, wanted: &str) -> Result<u32, ResolveError> {
    let index = states.index;
    let fits = |version: &str| match wanted.strip_suffix('*') {
        Some(beginning) => version.starts_with(beginning),
        None => version.eq_ignore_ascii_case(wanted),
    };
    let own = index.versions_of(package).find(|version| fits(index.version(VersionId(*version))));
    let itself = || {
        let provides = index.providers_of(package).filter(|provide| index.owner(*provide) == package);
        let mut provides = provides.filter(|provide| !index.provided_version(*provide).is_empty());
        let found = provides.find(|provide| fits(index.provided_version(*provide)));
        found.map(|provide| index.provides[provide as usize].version)
    };
    if let Some(version) = own.or_else(itself) {
        return Ok(version);
    }
    let provides = index.providers_of(package);
    let provided: Vec<u32> = provides
        .filter(|provide| index.provided_version(*provide) == wanted)
        .map(|provide| index.provides[provide as usize].version)
        .collect();
    choose_provided(states, &provided);
    only_provider(states, package, &provided).ok_or_else(|| ResolveError::NoVersion {
        name: index.full_name(package),
        wanted: wanted.to_owned(),
        known: index
            .versions_of(package)
            .map(|version| index.version(VersionId(version)).to_owned())
            .collect(),
    })
}

/// `package/suite`.
fn of_release(states: &mut States<'_, '_>, package: u32, wanted: &str) -> Result<u32, ResolveError> {
    let index = states.index;
    if let Some(version) = index.find_release(package, wanted) {
        return Ok(version);
    }
    let provides = index.providers_of(package).map(|provide| index.provides[provide as usize].version);
    let provided: Vec<u32> = provides.filter(|version| index.is_of_release(*version, wanted)).collect();
    choose_provided(states, &provided);
    only_provider(states, package, &provided).ok_or_else(|| {
        let origins: std::collections::BTreeSet<String> = index
            .versions_of(package)
            .flat_map(|version| index.origins_of(version))
            .map(|origin| origin.codename.to_owned())
            .collect();
        let known = origins.into_iter().collect();
        ResolveError::NoRelease { name: index.full_name(package), wanted: wanted.to_owned(), known }
    })
}

/// Providers that are named by version or suite become candidates, unless a package is named twice.
fn choose_provided(states: &mut States<'_, '_>, provided: &[u32]) {
    for version in provided {
        let package = states.package_of(*version);
        if provided.iter().filter(|other| states.package_of(**other) == package).count() == 1 {
            states.set_candidate(*version);
        }
    }
}
