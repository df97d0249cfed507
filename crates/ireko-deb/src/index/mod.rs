//! What archives offer and what is installed: packages, their versions, and what these say about each other.
//!
//! The order in which packages come to be known decides some of apt's choices (the last one that is known wins among
//! equals), so they are numbered as apt numbers them: as lists name them, be it only in a relation.

mod build;
mod input;
mod siblings;
mod stanza;
#[cfg(test)]
mod tests;

pub use input::{IndexError, Input, List, Origin};
pub use stanza::{Priority, Stanza};

use crate::relation::Operator;
use crate::version;
use std::borrow::Cow;

/// No element of a chain: the chains below are of numbers, as they are built out of order.
pub(crate) const NONE: u32 = u32::MAX;

/// How many chains the names hash into: apt's number, as the order of its chains shows in its choices.
const CHAINS: u32 = 196_613;

/// How one version depends on another package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `Pre-Depends`
    PreDepends,
    /// `Depends`
    Depends,
    /// `Conflicts`
    Conflicts,
    /// `Breaks`
    Breaks,
    /// `Recommends`
    Recommends,
    /// `Suggests`
    Suggests,
}

impl Kind {
    /// The two may not be installed together.
    pub fn is_negative(self) -> bool {
        matches!(self, Self::Conflicts | Self::Breaks)
    }

    /// Without it nothing is installed.
    pub fn is_critical(self) -> bool {
        !matches!(self, Self::Recommends | Self::Suggests)
    }

    /// In words, to stand after a package.
    pub fn verb(self) -> &'static str {
        match self {
            Self::PreDepends => "pre-depends on",
            Self::Depends => "depends on",
            Self::Conflicts => "conflicts with",
            Self::Breaks => "breaks",
            Self::Recommends => "recommends",
            Self::Suggests => "suggests",
        }
    }
}

/// Of which other architectures a version may serve or be beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MultiArch {
    /// Its own only.
    #[default]
    No,
    /// Beside itself on others, in the same version.
    Same,
    /// It serves all.
    Foreign,
    /// It serves those that ask for `:any`.
    Allowed,
}

/// All packages of a name.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) name: Cow<'a, str>,
    /// The first package and the last.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// The next group with the same hash.
    chain: u32,
}

/// A name on an architecture.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) group: u32,
    pub(crate) architecture: u16,
    pub(crate) essential: bool,
    /// `Important` or `Protected`: not to be removed either.
    pub(crate) important: bool,
    pub(crate) hold: bool,
    /// The versions, the latest first.
    pub(crate) versions: u32,
    /// What provides it, the last one that is known first.
    pub(crate) provides: u32,
    /// The dependencies on it.
    pub(crate) reverse: u32,
    /// The next package of the group.
    pub(crate) next: u32,
    pub(crate) current: u32,
    /// What the priorities of the archives choose.
    pub(crate) candidate: u32,
}

/// A version of a package.
#[derive(Debug)]
pub(crate) struct Version<'a> {
    pub(crate) version: &'a str,
    pub(crate) package: u32,
    pub(crate) next: u32,
    pub(crate) depends: u32,
    last_depends: u32,
    /// What it provides.
    pub(crate) provides: u32,
    /// Where it is.
    pub(crate) places: u32,
    pub(crate) priority: Priority,
    pub(crate) multi: MultiArch,
    /// It is of no architecture (`all`).
    pub(crate) all: bool,
    size: u32,
}

/// A list that has a version, and where.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) list: u16,
    start: u32,
    length: u32,
    pub(crate) next: u32,
}

/// A dependency on one package; alternatives are several, all but the last with `or`.
#[derive(Debug)]
pub(crate) struct Dependency<'a> {
    bound: &'a str,
    pub(crate) parent: u32,
    pub(crate) target: u32,
    pub(crate) next: u32,
    pub(crate) next_reverse: u32,
    pub(crate) operator: Option<Operator>,
    pub(crate) kind: Kind,
    pub(crate) or: bool,
    /// It follows from siblings of other architectures.
    pub(crate) implicit: bool,
    /// It names an architecture.
    specific: bool,
}

/// A version that stands for a package.
#[derive(Debug)]
pub(crate) struct Provide<'a> {
    /// Empty if none is said: then no bound holds.
    bound: &'a str,
    pub(crate) version: u32,
    pub(crate) package: u32,
    pub(crate) next: u32,
    pub(crate) next_of_version: u32,
    pub(crate) implicit: bool,
    specific: bool,
}

/// All packages of some lists.
#[derive(Debug)]
pub struct Index<'a> {
    pub(crate) architectures: Vec<&'a str>,
    /// How many of the architectures may be installed; the first is the native one.
    pub(crate) configured: usize,
    pub(crate) texts: Vec<&'a str>,
    pub(crate) origins: Vec<Origin<'a>>,
    chains: Vec<u32>,
    pub(crate) groups: Vec<Group<'a>>,
    pub(crate) packages: Vec<Package>,
    pub(crate) versions: Vec<Version<'a>>,
    pub(crate) places: Vec<Place>,
    pub(crate) dependencies: Vec<Dependency<'a>>,
    pub(crate) provides: Vec<Provide<'a>>,
}

/// A version of a package, as a number that is good for one [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(pub(crate) u32);

/// A file of an archive that holds a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Which list of the input.
    pub list: usize,
    /// All that the list says about it.
    pub stanza: Stanza<'a>,
}

impl<'a> Index<'a> {
    /// How many names, versions and dependencies there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.packages.len(), self.versions.len(), self.dependencies.len())
    }

    /// The lists that have a version, in the order of the input. What is installed and in no list any more has none.
    pub fn found(&self, version: VersionId) -> Vec<Found<'a>> {
        let places = self.places_of(version.0);
        let listed = places.filter(|place| usize::from(place.list) + 1 < self.texts.len());
        listed.map(|place| Found { list: usize::from(place.list), stanza: self.stanza(place) }).collect()
    }

    /// What is said about a version where it is known first: an archive if there is one, or else the status file.
    pub fn describe(&self, version: VersionId) -> Stanza<'a> {
        self.places_of(version.0).next().map(|place| self.stanza(place)).unwrap_or_default()
    }

    /// The package of a version, without architecture.
    pub fn name(&self, version: VersionId) -> &str {
        self.package_name(self.versions[version.0 as usize].package)
    }

    /// The architecture of a version, which may be `all`.
    pub fn architecture(&self, version: VersionId) -> &'a str {
        match &self.versions[version.0 as usize] {
            Version { all: true, .. } => "all",
            version => self.architectures[usize::from(self.packages[version.package as usize].architecture)],
        }
    }

    /// The version as it is written.
    pub fn version(&self, version: VersionId) -> &'a str {
        self.versions[version.0 as usize].version
    }

    /// Versions that would be taken, of native packages that `wanted` says yes to: by whether they are essential and
    /// by their priority. These are the sets that a base is made of; in the order of names.
    pub fn candidates(&self, wanted: impl Fn(bool, Priority) -> bool) -> Vec<VersionId> {
        let fits = |package: &&Package| {
            package.architecture == 0
                && package.candidate != NONE
                && wanted(package.essential, self.versions[package.candidate as usize].priority)
        };
        let mut all: Vec<_> =
            self.packages.iter().filter(fits).map(|package| VersionId(package.candidate)).collect();
        all.sort_by(|one, other| self.name(*one).cmp(self.name(*other)));
        all
    }

    /// The names that are most like one that is not known, the nearest first.
    pub fn nearest(&self, name: &str) -> Vec<String> {
        let limit = (name.len() / 4).clamp(1, 3);
        let real = |package: &&Package| package.versions != NONE && package.architecture == 0;
        let distance = |package: &Package| {
            let known = &*self.groups[package.group as usize].name;
            let far = known.len().abs_diff(name.len()) > limit;
            (!far).then(|| (edits(known, name), known)).filter(|(edits, _)| *edits <= limit)
        };
        let mut near: Vec<_> = self.packages.iter().filter(real).filter_map(distance).collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
    }

    pub(crate) fn package_name(&self, package: u32) -> &str {
        &self.groups[self.packages[package as usize].group as usize].name
    }

    /// The name, with the architecture if it is not the native one.
    pub(crate) fn full_name(&self, package: u32) -> String {
        let name = self.package_name(package);
        match self.architectures[usize::from(self.packages[package as usize].architecture)] {
            "any" => name.to_owned(),
            native if native == self.architectures[0] => name.to_owned(),
            foreign => format!("{name}:{foreign}"),
        }
    }

    fn stanza(&self, place: &Place) -> Stanza<'a> {
        let (start, length) = (place.start as usize, place.length as usize);
        Stanza::new(self.texts[usize::from(place.list)].get(start..start + length).unwrap_or_default())
    }

    pub(crate) fn places_of(&self, version: u32) -> impl Iterator<Item = &Place> {
        chain(self.versions[version as usize].places, |at| self.places[at as usize].next)
            .map(|at| &self.places[at as usize])
    }

    /// A list has it; it can be fetched.
    pub(crate) fn downloadable(&self, version: u32) -> bool {
        self.places_of(version).any(|place| usize::from(place.list) + 1 < self.texts.len())
    }

    pub(crate) fn versions_of(&self, package: u32) -> impl Iterator<Item = u32> + '_ {
        chain(self.packages[package as usize].versions, |at| self.versions[at as usize].next)
    }

    pub(crate) fn depends_of(&self, version: u32) -> impl Iterator<Item = u32> + '_ {
        let first = match version {
            NONE => NONE,
            version => self.versions[version as usize].depends,
        };
        chain(first, |at| self.dependencies[at as usize].next)
    }

    pub(crate) fn reverse_of(&self, package: u32) -> impl Iterator<Item = u32> + '_ {
        chain(self.packages[package as usize].reverse, |at| self.dependencies[at as usize].next_reverse)
    }

    pub(crate) fn providers_of(&self, package: u32) -> impl Iterator<Item = u32> + '_ {
        chain(self.packages[package as usize].provides, |at| self.provides[at as usize].next)
    }

    pub(crate) fn provides_of(&self, version: u32) -> impl Iterator<Item = u32> + '_ {
        chain(self.versions[version as usize].provides, |at| self.provides[at as usize].next_of_version)
    }

    pub(crate) fn siblings(&self, group: u32) -> impl Iterator<Item = u32> + '_ {
        chain(self.groups[group as usize].first, |at| self.packages[at as usize].next)
    }

    pub(crate) fn find_group(&self, name: &str) -> Option<u32> {
        let first = self.chains[hash(name) as usize];
        chain(first, |at| self.groups[at as usize].chain).find(|at| self.groups[*at as usize].name == name)
    }

    pub(crate) fn find_package(&self, group: u32, architecture: u16) -> Option<u32> {
        self.siblings(group).find(|at| self.packages[*at as usize].architecture == architecture)
    }

    /// The package that a bare name means: the native one, or else the first foreign one.
    pub(crate) fn preferred(&self, group: u32) -> Option<u32> {
        (0..self.configured).find_map(|architecture| self.find_package(group, architecture as u16))
    }

    pub(crate) fn is_configured(&self, architecture: u16) -> bool {
        usize::from(architecture) < self.configured
    }

    /// Whether a version is what a dependency asks for, whatever its package.
    pub(crate) fn satisfied(&self, dependency: u32, version: u32) -> bool {
        self.holds(dependency, self.versions[version as usize].version)
    }

    /// Whether what a version provides is what a dependency asks for.
    pub(crate) fn satisfied_by_provide(&self, dependency: u32, provide: u32) -> bool {
        self.holds(dependency, self.provides[provide as usize].bound)
    }

    fn holds(&self, dependency: u32, version: &str) -> bool {
        let dependency = &self.dependencies[dependency as usize];
        match dependency.operator {
            None => true,
            Some(operator) => !version.is_empty() && operator.holds(version, dependency.bound),
        }
    }

    /// A conflict does not hold against the package that says it, nor against siblings that are made to be beside it
    /// (`DepIterator::IsIgnorable`).
    pub(crate) fn ignorable(&self, dependency: u32, package: u32) -> bool {
        let dependency = &self.dependencies[dependency as usize];
        if !dependency.kind.is_negative() {
            return false;
        }
        let parent = &self.versions[dependency.parent as usize];
        let group = |package: u32| self.packages[package as usize].group;
        group(parent.package) == group(package)
            && (parent.package == package || (parent.multi == MultiArch::Same && !dependency.implicit))
    }

    /// As [`Index::ignorable`], against a provider: packages conflict with what they provide themselves to be the only
    /// one, and conflicts between siblings are not with those that stand for them.
    pub(crate) fn ignorable_provide(&self, dependency: u32, provide: u32) -> bool {
        let dependency = &self.dependencies[dependency as usize];
        let group = |version: u32| self.packages[self.versions[version as usize].package as usize].group;
        let same = group(dependency.parent) == group(self.provides[provide as usize].version);
        dependency.kind.is_negative() && (same || dependency.implicit)
    }

    pub(crate) fn owner(&self, provide: u32) -> u32 {
        self.versions[self.provides[provide as usize].version as usize].package
    }

    /// The version of a provision.
    pub(crate) fn provided_version(&self, provide: u32) -> &'a str {
        self.provides[provide as usize].bound
    }

    /// The alternatives from `first` on: all dependencies up to the one without `or`.
    pub(crate) fn alternatives(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        chain(first, |at| match &self.dependencies[at as usize] {
            dependency if dependency.or => dependency.next,
            _ => NONE,
        })
    }

    /// Name and version of the source, which are the package's own if it does not say otherwise.
    pub(crate) fn source(&self, version: u32) -> (&str, &str) {
        let own = (self.name(VersionId(version)), self.version(VersionId(version)));
        match self.describe(VersionId(version)).get("Source") {
            None => own,
            Some(source) => match source.split_once(' ') {
                None => (source, own.1),
                Some((name, version)) => (name, version.trim().trim_start_matches('(').trim_end_matches(')')),
            },
        }
    }

    /// `(>= 1.0)` with the package before it, as it would be written in a field.
    pub(crate) fn show_dependency(&self, dependency: u32) -> String {
        let dependency = &self.dependencies[dependency as usize];
        let name = self.full_name(dependency.target);
        match dependency.operator {
            None => name,
            Some(operator) => format!("{name} ({} {})", operator.as_str(), dependency.bound),
        }
    }

    /// All versions of a package of the native architecture, the latest first.
    pub fn versions_named(&self, name: &str) -> Vec<VersionId> {
        let package = self.find_group(name).and_then(|group| self.find_package(group, 0));
        package.map_or_else(Vec::new, |package| self.versions_of(package).map(VersionId).collect())
    }

    /// Versions in the order in which apt walks over their packages, which its files of state have.
    pub fn in_order_of_apt(&self, versions: &[VersionId]) -> Vec<VersionId> {
        let mut by_package: std::collections::BTreeMap<u32, VersionId> =
            versions.iter().map(|version| (self.versions[version.0 as usize].package, *version)).collect();
        let packages = self.in_order_of_hash_if(|package| by_package.contains_key(&package));
        packages.into_iter().filter_map(|package| by_package.remove(&package)).collect()
    }

    /// All packages in the order in which apt walks over them.
    pub(crate) fn in_order_of_hash(&self) -> Vec<u32> {
        self.in_order_of_hash_if(|_| true)
    }

    /// Some packages in that order: by hash, by length of the name, by name, by age.
    pub(crate) fn in_order_of_hash_if(&self, wanted: impl Fn(u32) -> bool) -> Vec<u32> {
        let all = (0..self.packages.len() as u32).filter(|package| wanted(*package));
        let mut all: Vec<(u32, u32)> =
            all.map(|package| (hash(self.package_name(package)), package)).collect();
        all.sort_unstable_by(|one, other| {
            let key = |package: u32| {
                let name = self.package_name(package);
                (name.len(), name, package)
            };
            one.0.cmp(&other.0).then_with(|| key(one.1).cmp(&key(other.1)))
        });
        all.into_iter().map(|(_, package)| package).collect()
    }

    /// The lists of a version say that it is of a suite.
    pub(crate) fn is_of_release(&self, version: u32, release: &str) -> bool {
        self.origins_of(version).any(|origin| origin.is_named(release))
    }

    /// The latest version of a package that is of a suite.
    pub(crate) fn find_release(&self, package: u32, release: &str) -> Option<u32> {
        self.versions_of(package).find(|version| self.is_of_release(*version, release))
    }

    pub(crate) fn origins_of(&self, version: u32) -> impl Iterator<Item = &Origin<'a>> {
        self.places_of(version).filter_map(|place| self.origins.get(usize::from(place.list)))
    }

    /// What the priorities choose (`pkgPolicy::GetCandidateVer`): of equals the first, which is the latest; nothing
    /// older than what is installed, unless a priority of 1000 says so.
    pub(crate) fn choose_candidate(&self, package: u32) -> u32 {
        let current = self.packages[package as usize].current;
        let (mut candidate, mut best) = (NONE, -1);
        for at in self.versions_of(package) {
            let priority = self.priority(at);
            if priority == 0 || priority <= best {
                continue;
            }
            let older = || {
                let (one, other) = (&self.versions[at as usize], &self.versions[current as usize]);
                version::compare(one.version, other.version).is_lt()
            };
            if current != NONE && priority < 1000 && older() {
                continue;
            }
            (candidate, best) = (at, priority);
        }
        candidate
    }

    fn priority(&self, version: u32) -> i32 {
        let status = self.texts.len() - 1;
        let current = self.packages[self.versions[version as usize].package as usize].current == version;
        let of_place = |place: &Place| match usize::from(place.list) {
            list if list != status => i32::from(self.origins[list].priority()),
            _ if current => 100,
            _ => -1,
        };
        self.places_of(version).map(of_place).max().unwrap_or(0)
    }
}

/// Numbers that follow one another.
pub(crate) fn chain(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    std::iter::successors((first != NONE).then_some(first), move |at| {
        Some(next(*at)).filter(|next| *next != NONE)
    })
}

/// The hash of a name (`pkgCache::sHash`).
fn hash(name: &str) -> u32 {
    let step = |hash: u32, byte: u8| hash.wrapping_mul(33).wrapping_add(u32::from(byte | 0x20));
    name.bytes().fold(5381, step) % CHAINS
}

/// How many letters are to be changed, added or left out to make one name of another.
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in other.bytes().enumerate() {
            let change = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
