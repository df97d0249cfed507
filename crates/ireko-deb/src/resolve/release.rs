//! When a version of another suite is asked for, what it needs in a version that only that suite has becomes a candidate,
//! too (`pkgDepCache::SetCandidateRelease`).

use super::state::{INSTALL, States};
use crate::index::{Kind, NONE};

/// Versions that became candidates.
pub(super) struct Releases {
    changed: Vec<u32>,
}

/// Takes all versions, then what they need.
pub(super) fn follow(states: &mut States<'_, '_>, by_release: &[(u32, String)]) {
    for (version, _) in by_release {
        states.set_candidate(*version);
    }
    let mut releases = Releases { changed: Vec::new() };
    for (version, release) in by_release {
        releases.changed.push(*version);
        releases.take(states, *version, release);
    }
}

impl Releases {
    fn take(&mut self, states: &mut States<'_, '_>, version: u32, release: &str) -> bool {
        let index = states.index;
        states.set_candidate(version);
        let before = self.changed.len();
        let mut first = NONE;
        for dependency in index.depends_of(version) {
            if first == NONE {
                first = dependency;
            }
            if index.dependencies[dependency as usize].or {
                continue;
            }
            let first = std::mem::replace(&mut first, NONE);
            let kind = states.kind(first);
            if kind.is_negative() || !states.is_important(first) {
                continue;
            }
            let alternatives: Vec<u32> = index.alternatives(first).collect();
            if alternatives.iter().any(|dependency| is_fine(states, *dependency)) {
                continue;
            }
            let fine = alternatives.iter().any(|dependency| {
                let last = *dependency == alternatives[alternatives.len() - 1];
                self.switch(states, *dependency, release, last)
            });
            if !fine && matches!(kind, Kind::Depends | Kind::PreDepends) {
                // apt means to undo them, and takes them again.
                for version in self.changed.split_off(before.min(self.changed.len())) {
                    states.set_candidate(version);
                }
                return false;
            }
        }
        true
    }

    /// Makes the release's version of a package the candidate, if that meets the dependency.
    fn switch(&mut self, states: &mut States<'_, '_>, dependency: u32, release: &str, last: bool) -> bool {
        let index = states.index;
        if index.dependencies[dependency as usize].operator.is_none() {
            return false;
        }
        let target = states.target(dependency);
        let found = match release {
            "newest" => index.versions_of(target).next(),
            release => index.find_release(target, release),
        };
        let Some(version) = found.filter(|version| index.satisfied(dependency, *version)) else {
            return false;
        };
        let old = states.of(target).candidate;
        if version == old && self.changed.iter().any(|changed| states.package_of(*changed) == target) {
            return true;
        }
        self.changed.push(version);
        if self.take(states, version, release) {
            return true;
        }
        if !last {
            if old != NONE {
                states.set_candidate(old);
            }
            self.changed.pop();
        }
        false
    }
}

/// Whether a dependency is met by what is installed, or by a candidate that itself has what it needs.
fn is_fine(states: &mut States<'_, '_>, dependency: u32) -> bool {
    let index = states.index;
    let target = states.target(dependency);
    let known = &index.packages[target as usize];
    if known.provides == NONE && known.versions == NONE {
        return false;
    }
    if known.current != NONE && index.satisfied(dependency, known.current) {
        return true;
    }
    let candidate = states.of(target).candidate;
    let installable = |states: &mut States<'_, '_>, version: u32| {
        version != NONE && states.version_holds(version, INSTALL).0
    };
    if index.dependencies[dependency as usize].operator.is_some() {
        return candidate != NONE && index.satisfied(dependency, candidate) && installable(states, candidate);
    }
    if known.provides == NONE {
        return installable(states, candidate);
    }
    let provides: Vec<u32> = index.providers_of(target).collect();
    provides.into_iter().any(|provide| {
        let version = index.provides[provide as usize].version;
        states.of(index.owner(provide)).candidate == version && installable(states, version)
    })
}
