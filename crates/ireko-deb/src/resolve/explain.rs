//! Says why a version is installed, and in words why a request cannot be met.

use super::select::Selected;
use super::state::{INSTALL, States};
use crate::index::{Kind, NONE, VersionId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How deep causes are looked for.
const DEPTH: usize = 8;

/// Why a version is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for: the number of the request, counted from zero.
    Requested(usize),
    /// Another version that is installed wants it: the one that is the fewest steps away from a request.
    Needed {
        /// By which.
        by: VersionId,
        /// In which way.
        kind: Kind,
    },
    /// It is upgraded with something that is installed.
    Unknown,
}

/// A package that cannot be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name, with the architecture if it is not the native one.
    pub package: String,
    /// Which version.
    pub version: String,
    /// Why, from it to the cause.
    pub chain: Vec<String>,
}

/// Why each of the packages is installed.
pub(super) fn reasons(states: &States<'_, '_>, selected: &Selected) -> BTreeMap<u32, Reason> {
    let index = states.index;
    let mut reasons = BTreeMap::new();
    let mut queue = VecDeque::new();
    for (version, request) in &selected.install {
        let package = states.package_of(*version);
        reasons.entry(package).or_insert(Reason::Requested(*request));
        queue.push_back(package);
    }
    while let Some(package) = queue.pop_front() {
        let version = states.of(package).install;
        for dependency in index.depends_of(version) {
            let kind = states.kind(dependency);
            if kind.is_negative() || !states.is_important(dependency) {
                continue;
            }
            for met in states.targets(dependency, |states, package| states.of(package).install) {
                let package = states.package_of(met);
                if let std::collections::btree_map::Entry::Vacant(entry) = reasons.entry(package) {
                    entry.insert(Reason::Needed { by: VersionId(version), kind });
                    queue.push_back(package);
                }
            }
        }
    }
    reasons
}

/// Every package that is to be installed and cannot be, with the causes.
pub(super) fn broken(states: &mut States<'_, '_>, selected: &Selected) -> Vec<Broken> {
    let reasons = reasons(states, selected);
    let all: Vec<u32> = (0..states.packages.len() as u32)
        .filter(|package| states.of(*package).broken() && states.of(*package).install != NONE)
        .collect();
    let mut told = Vec::new();
    for package in all {
        let version = states.of(package).install;
        let mut causes = Causes { reasons: &reasons, seen: BTreeSet::new(), chain: Vec::new() };
        causes.of(states, version, 0);
        told.push(Broken {
            package: states.index.full_name(package),
            version: states.index.version(VersionId(version)).to_owned(),
            chain: causes.chain,
        });
    }
    told
}

/// Looks for what stands against a version.
struct Causes<'r> {
    reasons: &'r BTreeMap<u32, Reason>,
    seen: BTreeSet<u32>,
    chain: Vec<String>,
}

impl Causes<'_> {
    /// Adds what stands against a version, and says whether there is anything.
    fn of(&mut self, states: &mut States<'_, '_>, version: u32, depth: usize) -> bool {
        if depth > DEPTH || !self.seen.insert(version) {
            return false;
        }
        let index = states.index;
        let mut found = self.conflicts_of_others(states, version, depth);
        let mut first = NONE;
        for dependency in index.depends_of(version) {
            if first == NONE {
                first = dependency;
            }
            if states.kind(dependency).is_negative() {
                found |= self.conflict(states, dependency, depth);
            }
            if index.dependencies[dependency as usize].or {
                continue;
            }
            let first = std::mem::replace(&mut first, NONE);
            if !states.kind(first).is_negative() && states.kind(first).is_critical() {
                found |= self.unmet(states, first, depth);
            }
        }
        found
    }

    fn say(&mut self, depth: usize, words: &str) {
        self.chain.push(format!("{}{words}", "  ".repeat(depth)));
    }

    /// `name version`, and who wants it if it was not asked for.
    fn name(&self, states: &States<'_, '_>, version: u32) -> String {
        let index = states.index;
        let mut name =
            format!("{} {}", index.full_name(states.package_of(version)), index.version(VersionId(version)));
        if let Some(Reason::Needed { by, .. }) = self.reasons.get(&states.package_of(version)) {
            name += &format!(" (for {})", index.full_name(states.package_of(by.0)));
        }
        name
    }

    fn conflict(&mut self, states: &States<'_, '_>, dependency: u32, depth: usize) -> bool {
        let index = states.index;
        let parent = index.dependencies[dependency as usize].parent;
        let hit = states.targets(dependency, |states, package| states.of(package).install);
        for version in &hit {
            let words = format!(
                "{} {} {}, but {} is to be installed",
                self.name(states, parent),
                states.kind(dependency).verb(),
                index.show_dependency(dependency),
                self.name(states, *version),
            );
            self.say(depth, &words);
        }
        !hit.is_empty()
    }

    /// What is to be installed and does not suffer a version that is not.
    fn conflicts_of_others(&mut self, states: &States<'_, '_>, version: u32, depth: usize) -> bool {
        let index = states.index;
        let package = states.package_of(version);
        if states.of(package).install == version {
            return false;
        }
        let own = index.reverse_of(package).filter(|at| !index.ignorable(*at, package));
        let own = own.filter(|at| index.satisfied(*at, version));
        let provided = index.provides_of(version).flat_map(|provide| {
            let all = index.reverse_of(index.provides[provide as usize].package);
            let all = all.filter(move |at| !index.ignorable_provide(*at, provide));
            all.filter(move |at| index.satisfied_by_provide(*at, provide))
        });
        let against = |at: &u32| {
            let parent = index.dependencies[*at as usize].parent;
            states.kind(*at).is_negative() && states.of(states.package_of(parent)).install == parent
        };
        let all: Vec<u32> = own.chain(provided).filter(against).collect();
        for dependency in &all {
            let words = format!(
                "{} is to be installed and {} {}",
                self.name(states, index.dependencies[*dependency as usize].parent),
                states.kind(*dependency).verb(),
                index.show_dependency(*dependency),
            );
            self.say(depth, &words);
        }
        !all.is_empty()
    }

    /// Alternatives none of which is there.
    fn unmet(&mut self, states: &mut States<'_, '_>, first: u32, depth: usize) -> bool {
        let index = states.index;
        let alternatives: Vec<u32> = index.alternatives(first).collect();
        if alternatives.iter().any(|dependency| states.is_satisfied(*dependency, INSTALL)) {
            return false;
        }
        let shown: Vec<String> = alternatives.iter().map(|at| index.show_dependency(*at)).collect();
        let parent = self.name(states, index.dependencies[first as usize].parent);
        let words = format!("{parent} {} {}", states.kind(first).verb(), shown.join(" | "));
        let at = self.chain.len();
        let mut found = false;
        for dependency in alternatives {
            let targets = states.all_targets(dependency);
            if targets.is_empty() {
                let words = missing(states, dependency);
                self.say(depth + 1, &words);
                found = true;
            }
            for version in targets {
                let package = states.package_of(version);
                let state = *states.of(package);
                if state.hold && state.protected {
                    let words = format!("{} is not wanted", index.full_name(package));
                    self.say(depth + 1, &words);
                    found = true;
                } else {
                    found |= self.of(states, version, depth + 1);
                }
            }
        }
        if found || depth == 0 {
            let end = if found { "" } else { ", but it is not going to be installed" };
            self.chain.insert(at, format!("{}{words}{end}", "  ".repeat(depth)));
        }
        found
    }
}

/// Nothing can meet a dependency.
fn missing(states: &States<'_, '_>, dependency: u32) -> String {
    let index = states.index;
    let target = states.target(dependency);
    let name = index.full_name(target);
    let known: Vec<String> =
        index.versions_of(target).map(|version| index.version(VersionId(version)).to_owned()).collect();
    match known.is_empty() {
        true => format!("{name} is in no list"),
        false => format!("{name} is only there as {}", known.join(", ")),
    }
}

/// All packages with their causes.
pub(super) fn show(broken: &[Broken]) -> String {
    let one = |broken: &Broken| {
        let head = format!("cannot install `{}` {}", broken.package, broken.version);
        std::iter::once(head).chain(broken.chain.iter().map(|line| format!("  {line}"))).collect::<Vec<_>>()
    };
    match broken.is_empty() {
        true => "the request cannot be met".to_owned(),
        false => broken.iter().flat_map(one).collect::<Vec<_>>().join("\n"),
    }
}

pub(super) fn did_you_mean(nearest: &[String]) -> String {
    match nearest.is_empty() {
        true => String::new(),
        false => format!("; there is {}", nearest.join(", ")),
    }
}

pub(super) fn or_none(known: &[String]) -> String {
    match known.is_empty() {
        true => "none".to_owned(),
        false => known.join(", "),
    }
}
