//! What meets a dependency, the best first.

use super::sort::sort_by;
use super::state::{CANDIDATE, States};
use crate::index::{MultiArch, NONE};

/// Of which versions solutions are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Candidates,
    Installed,
    Both,
}

impl States<'_, '_> {
    /// What meets the alternatives from a dependency on, the best first (`getAllPossibleSolutions`).
    pub(super) fn solutions(&mut self, first: u32, of: Of) -> Vec<u32> {
        let index = self.index;
        let (mut installed, mut others) = (Vec::new(), Vec::new());
        let negative = self.kind(first).is_negative();
        let alternatives: Vec<u32> = match negative {
            true => vec![first],
            false => index.alternatives(first).collect(),
        };
        let candidate = |states: &Self, package: u32| states.of(package).candidate;
        let current = |states: &Self, package: u32| states.current(package);
        for dependency in alternatives {
            let mut versions = Vec::new();
            if of != Of::Installed && (self.is_satisfied(dependency, CANDIDATE) != negative) {
                versions = self.targets(dependency, candidate);
            }
            if of != Of::Candidates {
                versions.extend(self.targets(dependency, current));
            }
            if of == Of::Both {
                others.extend(versions);
                continue;
            }
            let target = self.target(dependency);
            sort_by(&mut versions, &|one, other| self.is_better(target, one, other));
            for version in versions {
                match self.current(self.package_of(version)) {
                    NONE => others.push(version),
                    _ => installed.push(version),
                }
            }
        }
        installed.append(&mut others);
        if of == Of::Both {
            installed.sort_unstable();
        }
        installed.dedup();
        if !negative {
            installed.retain(|version| {
                let package = self.package_of(*version);
                let state = self.of(package);
                let gone = state.is_delete() || (state.is_keep() && self.current(package) == NONE);
                !(state.protected && gone)
            });
        }
        installed
    }

    /// Which of two that would do is taken (`CompareProviders`).
    fn is_better(&self, target: u32, one: u32, other: u32) -> bool {
        let index = self.index;
        let (a, b) = (self.package_of(one), self.package_of(other));
        let package = |at: u32| &index.packages[at as usize];
        let version = |at: u32| &index.versions[at as usize];
        if self.of(a).protected != self.of(b).protected {
            return self.of(a).protected;
        }
        let beside = |at: u32| {
            let group = package(self.package_of(at)).group;
            version(at).multi == MultiArch::Same
                && index.siblings(group).any(|other| self.current(other) != NONE)
        };
        if beside(one) != beside(other) {
            return beside(one);
        }
        let there = |at: u32| self.current(at) != NONE;
        if there(a) != there(b) {
            return there(a);
        }
        let group = package(target).group;
        let named = |at: u32| package(at).group == group;
        if package(a).group != package(b).group && named(a) != named(b) {
            return named(a);
        }
        if package(a).essential != package(b).essential {
            return package(a).essential;
        }
        if package(a).important != package(b).important {
            return package(a).important;
        }
        if package(a).architecture != package(b).architecture {
            // The architectures are numbered as they are preferred; others come last.
            return package(a).architecture < package(b).architecture;
        }
        if version(one).priority != version(other).priority {
            return version(one).priority < version(other).priority;
        }
        a > b
    }
}
