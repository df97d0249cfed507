//! Leaves out what was marked on the way and nothing needs any more (`pkgDepCache::MarkAndSweep`, `DoAutomaticRemove`).

use super::mark::How;
use super::state::{Mode, States};
use crate::index::{Kind, NONE, Priority};
use crate::version;
use std::collections::{BTreeMap, BTreeSet};

/// How deep dependencies are followed.
const DEPTH: u32 = 3000;

/// What is reached from the packages that somebody asked for.
struct Reached {
    marked: Vec<bool>,
    explored: Vec<bool>,
}

/// Removes what is new and not reached. Whether something is broken then is for the caller to look at.
pub(super) fn sweep(states: &mut States<'_, '_>) {
    let reached = Reached::of(states);
    let index = states.index;
    let mut garbage: Vec<u32> = (0..states.packages.len() as u32)
        .filter(|package| !reached.marked[*package as usize] && states.of(*package).is_install())
        .filter(|package| states.current(*package) == NONE)
        .collect();
    garbage.sort_by(|one, other| {
        let key = |package: u32| (index.package_name(package), package);
        key(*one).cmp(&key(*other))
    });
    for package in &garbage {
        states.delete(*package, 0, false);
    }
    let mut garbage: BTreeSet<u32> = garbage.into_iter().collect();
    while states.broken != 0 || states.policy_broken != 0 {
        let Some(package) = garbage.iter().copied().find(|package| is_missed(states, *package)) else {
            return;
        };
        states.install(package, How { dependencies: false, depth: 0, by_user: false });
        garbage.remove(&package);
    }
}

/// Whether something that is installed depends on a package that was left out, or on what it provides.
fn is_missed(states: &States<'_, '_>, package: u32) -> bool {
    let index = states.index;
    let candidate = states.of(package).candidate;
    if candidate == NONE {
        return false;
    }
    let provided = index.provides_of(candidate).map(|provide| index.provides[provide as usize].package);
    let names: BTreeSet<u32> = std::iter::once(package).chain(provided).collect();
    names.into_iter().flat_map(|name| index.reverse_of(name)).any(|dependency| {
        if states.kind(dependency).is_negative() || !states.is_important(dependency) {
            return false;
        }
        let parent = index.dependencies[dependency as usize].parent;
        let owner = states.package_of(parent);
        let state = states.of(owner);
        match states.current(owner) == parent {
            true => state.is_keep(),
            false => state.candidate == parent && (state.is_new() || state.is_upgrade()),
        }
    })
}

impl Reached {
    fn of(states: &States<'_, '_>) -> Self {
        let count = states.packages.len();
        let mut reached = Self { marked: vec![false; count], explored: vec![false; count] };
        for package in states.index.in_order_of_hash_if(|package| !boring(states, package)) {
            let (state, known) = (states.of(package), &states.index.packages[package as usize]);
            let current = known.current;
            let required =
                || current != NONE && states.index.versions[current as usize].priority == Priority::Required;
            // What is held or protected is not garbage either (`IsModeChangeOk`).
            let stuck = state.protected || state.hold;
            if !state.automatic || known.essential || known.important || required() || stuck {
                reached.mark(states, package, 0);
            }
        }
        reached
    }

    /// `MarkPackage`.
    fn mark(&mut self, states: &States<'_, '_>, package: u32, depth: u32) {
        let version = there(states, package);
        if version == NONE || self.marked[package as usize] || depth > DEPTH {
            return;
        }
        if boring(states, package) {
            self.explored[package as usize] = true;
            return;
        }
        self.marked[package as usize] = true;
        for dependency in states.index.depends_of(version) {
            let target = states.target(dependency);
            if self.explored[target as usize] || states.kind(dependency).is_negative() {
                continue;
            }
            let (sources, unsatisfied) = by_source(states, dependency);
            if !unsatisfied {
                self.explored[target as usize] = true;
            }
            for version in sources.into_values().flatten() {
                self.mark(states, states.package_of(version), depth + 1);
            }
            debug_assert!(states.kind(dependency) <= Kind::Suggests);
        }
    }
}

/// Nothing is to be there.
fn boring(states: &States<'_, '_>, package: u32) -> bool {
    let mode = states.of(package).mode;
    match states.current(package) {
        NONE => mode == Mode::Keep,
        _ => mode == Mode::Delete,
    }
}

/// The version that is there in the end.
fn there(states: &States<'_, '_>, package: u32) -> u32 {
    match states.of(package).is_install() {
        true => states.of(package).install,
        false => states.current(package),
    }
}

/// The installed versions that meet a dependency, of each source only those of its latest version; and whether there is
/// one that would but for its own version.
fn by_source<'s>(states: &'s States<'_, '_>, dependency: u32) -> (BTreeMap<&'s str, Vec<u32>>, bool) {
    let index = states.index;
    let target = states.target(dependency);
    let (mut met, mut unsatisfied) = (Vec::new(), false);
    if !boring(states, target) {
        let version = there(states, target);
        if version != NONE {
            match index.satisfied(dependency, version) {
                true => met.push(version),
                false => unsatisfied = true,
            }
        }
    }
    for provide in index.providers_of(target) {
        let owner = index.owner(provide);
        if boring(states, owner) || there(states, owner) != index.provides[provide as usize].version {
            continue;
        }
        match index.satisfied_by_provide(dependency, provide) {
            true => met.push(there(states, owner)),
            false => unsatisfied = true,
        }
    }
    if let [only] = met[..] {
        return (BTreeMap::from([("", vec![only])]), unsatisfied);
    }
    let mut sources: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for version in met {
        sources.entry(index.source(version).0).or_default().push(version);
    }
    for versions in sources.values_mut() {
        let order = |one: &u32, other: &u32| {
            version::compare(index.source(*one).1, index.source(*other).1).then(one.cmp(other))
        };
        let latest = versions.iter().copied().max_by(order).map(|version| index.source(version).1);
        versions.retain(|version| Some(index.source(*version).1) == latest);
    }
    (sources, unsatisfied)
}
