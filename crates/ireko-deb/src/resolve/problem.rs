//! Makes a set of marks that contradict one another one that does not (`pkgProblemResolver`).
//!
//! Packages have scores: what much depends on has a high one, what was asked for the highest. From the highest down, a
//! package with a broken dependency is put right by keeping or removing what has a lower score, or is given up itself.

use super::mark::How;
use super::sort::sort_by;
use super::state::{CANDIDATE, GROUP_CANDIDATE, GROUP_INSTALL, GROUP_NOW, NOW, States};
use crate::index::{Kind, NONE, Priority};

/// How often all packages are gone through.
const ROUNDS: usize = 20;

/// What is known of a package while problems are solved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) protected: bool,
    pub(super) to_remove: bool,
    pre_installed: bool,
    upgradable: bool,
}

/// Solves problems.
pub(super) struct Problems {
    pub(super) flags: Vec<Flags>,
    scores: Vec<i32>,
}

/// How a group of alternatives is ended that none of them put right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Remove,
    Keep,
}

/// The alternatives that are looked at.
struct Cursor {
    /// How often all packages were gone through before.
    round: usize,
    /// Something changed.
    changed: bool,
    /// The first dependency after the group.
    next: u32,
    start: u32,
    end: u32,
    in_or: bool,
    ending: Ending,
    /// How long the list was when the group began.
    killed: usize,
}

/// What to do after one alternative.
enum Step {
    /// Look at the next one.
    Next,
    /// The package is done with.
    Done,
}

/// To be kept or removed, and the dependency that says so.
type Kill = (u32, u32);

const ALONE: How = How { dependencies: false, depth: 0, by_user: false };

impl Problems {
    pub(super) fn new(states: &States<'_, '_>) -> Self {
        let count = states.packages.len();
        Self { flags: vec![Flags::default(); count], scores: vec![0; count] }
    }

    /// Solves all, or leaves what is broken (`ResolveInternal`).
    pub(super) fn solve(&mut self, states: &mut States<'_, '_>) {
        self.install_broken(states);
        let reinstates = (0..states.packages.len() as u32).any(|package| self.may_reinstate(states, package));
        if states.broken != 0 || reinstates {
            self.make_scores(states);
            let mut order = states.index.in_order_of_hash();
            let scores = &self.scores;
            sort_by(&mut order, &|one: u32, other: u32| scores[one as usize] > scores[other as usize]);
            for round in 0..ROUNDS {
                let mut changed = false;
                for package in &order {
                    changed |= self.consider(states, *package, round);
                }
                if !changed {
                    break;
                }
            }
        }
        for package in 0..states.packages.len() {
            if states.packages[package].is_new() && !self.flags[package].pre_installed {
                states.packages[package].automatic = true;
            }
        }
    }

    /// What is broken is to be upgraded first.
    fn install_broken(&mut self, states: &mut States<'_, '_>) {
        loop {
            let mut again = false;
            for package in 0..states.packages.len() as u32 {
                let state = states.of(package);
                let pre_installed = state.is_install();
                if !pre_installed && state.broken() {
                    states.install(package, ALONE);
                    again |= states.of(package).is_install();
                }
                let flags = &mut self.flags[package as usize];
                flags.pre_installed = pre_installed;
                flags.upgradable = true;
            }
            if !again {
                return;
            }
        }
    }

    fn may_reinstate(&self, states: &States<'_, '_>, package: u32) -> bool {
        let state = states.of(package);
        state.candidate != state.install
            && state.install != NONE
            && states.current(package) != NONE
            && self.flags[package as usize].pre_installed
            && !state.protected
    }

    /// `MakeScores`: points for being essential, for the priority, for what depends on it and for what it provides.
    fn make_scores(&mut self, states: &States<'_, '_>) {
        let index = states.index;
        let installed: Vec<u32> =
            (0..states.packages.len() as u32).filter(|package| states.of(*package).install != NONE).collect();
        self.scores.fill(0);
        for package in &installed {
            self.score_one(states, *package);
        }
        let before = self.scores.clone();
        for package in &installed {
            for dependency in index.reverse_of(*package) {
                let parent = index.dependencies[dependency as usize].parent;
                let owner = states.package_of(parent);
                let counts =
                    matches!(states.kind(dependency), Kind::Depends | Kind::PreDepends | Kind::Recommends);
                if counts && states.of(owner).install == parent && before[owner as usize] > 0 {
                    self.scores[*package as usize] += before[owner as usize];
                }
            }
        }
        for package in 0..states.packages.len() as u32 {
            let transfer = (self.scores[package as usize] - before[package as usize]).abs();
            if transfer == 0 {
                continue;
            }
            let real =
                index.providers_of(package).filter(|provide| !index.provides[*provide as usize].implicit);
            let owners = real.filter(|provide| {
                states.of(index.owner(*provide)).install == index.provides[*provide as usize].version
            });
            for owner in once_each(owners.map(|provide| index.owner(provide))) {
                self.scores[owner as usize] += transfer;
            }
        }
        for (at, package) in index.packages.iter().enumerate() {
            if self.flags[at].protected {
                self.scores[at] += 10_000;
            }
            if package.essential || package.important {
                self.scores[at] += 5_000;
            }
        }
    }

    fn score_one(&mut self, states: &States<'_, '_>, package: u32) {
        let index = states.index;
        let state = states.of(package);
        let known = &index.packages[package as usize];
        let mut score = if known.essential || known.important { 100 } else { 0 };
        score += match index.versions[state.install as usize].priority {
            _ if !index.downloadable(state.install) => -2,
            Priority::Required => 3,
            Priority::Important => 2,
            Priority::Standard => 1,
            Priority::Optional => -1,
            Priority::Extra => -2,
            Priority::Unknown => 0,
        };
        if states.current(package) != NONE && state.candidate != NONE && index.downloadable(state.candidate) {
            score += 1;
        }
        self.scores[package as usize] += score;
        for dependency in index.depends_of(state.install) {
            let points = match states.kind(dependency) {
                Kind::Depends | Kind::PreDepends | Kind::Recommends => 1,
                Kind::Conflicts | Kind::Breaks => -1,
                Kind::Suggests => continue,
            };
            let target = states.target(dependency);
            if !index.ignorable(dependency, target) {
                let version = states.of(target).install;
                let bounded = index.dependencies[dependency as usize].operator.is_some();
                if bounded && (version == NONE || !index.satisfied(dependency, version)) {
                    continue;
                }
                self.scores[target as usize] += points;
            }
            let providers = index.providers_of(target).filter(|provide| {
                !index.ignorable_provide(dependency, *provide)
                    && states.of(index.owner(*provide)).install == index.provides[*provide as usize].version
                    && index.satisfied_by_provide(dependency, *provide)
            });
            for owner in once_each(providers.map(|provide| index.owner(provide))) {
                self.scores[owner as usize] += points;
            }
        }
    }

    fn score(&self, package: u32) -> i32 {
        self.scores[package as usize]
    }

    /// Installs an upgrade with the upgrades that it needs (`DoUpgrade`).
    fn upgrade(&mut self, states: &mut States<'_, '_>, package: u32) -> bool {
        let flags = self.flags[package as usize];
        if !flags.upgradable || !states.of(package).is_upgradable() || flags.protected {
            return false;
        }
        self.flags[package as usize].upgradable = false;
        let kept = states.of(package).is_keep();
        if !states.install(package, ALONE) {
            return false;
        }
        let version = states.of(package).install;
        if version == NONE {
            return false;
        }
        let index = states.index;
        let mut first = NONE;
        for dependency in index.depends_of(version) {
            if first == NONE {
                first = dependency;
            }
            if index.dependencies[dependency as usize].or {
                continue;
            }
            let first = std::mem::replace(&mut first, NONE);
            if states.kind(dependency).is_critical() && !self.upgrade_for(states, first, dependency) {
                match kept {
                    true => states.keep(package, false, 0),
                    false => states.delete(package, 0, false),
                };
                return false;
            }
        }
        true
    }

    /// Whether one of the alternatives is put right by an upgrade.
    fn upgrade_for(&mut self, states: &mut States<'_, '_>, first: u32, end: u32) -> bool {
        let mut failed = false;
        let alternatives: Vec<u32> = states.index.alternatives(first).collect();
        for dependency in alternatives {
            if states.is_satisfied(end, GROUP_INSTALL) {
                break;
            }
            let target = smart_target(states, dependency);
            if states.of(target).protected {
                failed = true;
            } else if states.is_satisfied(dependency, CANDIDATE) {
                if self.upgrade(states, target) {
                    failed = false;
                    break;
                }
                failed = true;
            } else {
                if states.kind(dependency).is_negative() {
                    break;
                }
                failed = true;
            }
        }
        !failed
    }

    /// Looks at one package, and says whether something changed.
    fn consider(&mut self, states: &mut States<'_, '_>, package: u32, round: usize) -> bool {
        if self.may_reinstate(states, package) {
            self.reinstate(states, package);
        }
        if states.of(package).install == NONE || !states.of(package).broken() {
            return false;
        }
        let mut kills = Vec::new();
        let mut changed = self.find_problem(states, package, round, &mut kills);
        if states.of(package).install != NONE {
            for kill in kills {
                changed |= self.kill(states, package, kill, round);
            }
        }
        changed
    }

    fn reinstate(&mut self, states: &mut States<'_, '_>, package: u32) {
        let before = states.broken;
        // apt means to note that this was tried, and forgets all else instead.
        self.flags[package as usize] = Flags::default();
        states.install(package, ALONE);
        if states.of(package).broken() || before < states.broken {
            states.keep(package, false, 0);
        }
    }

    /// Goes through the dependencies up to the first that is broken, or through all alternatives of it.
    fn find_problem(
        &mut self,
        states: &mut States<'_, '_>,
        package: u32,
        round: usize,
        kills: &mut Vec<Kill>,
    ) -> bool {
        let mut at = Cursor {
            round,
            changed: false,
            next: states.index.versions[states.of(package).install as usize].depends,
            start: NONE,
            end: NONE,
            in_or: false,
            ending: Ending::Remove,
            killed: 0,
        };
        while at.next != NONE || at.in_or {
            if at.start == at.end {
                at.changed |= end_alternatives(states, package, &at, kills);
                at.in_or = false;
                at.ending = Ending::Remove;
                if at.next == NONE {
                    break;
                }
                at.start = at.next;
                at.end = states.index.alternatives(at.start).last().unwrap_or(at.start);
                at.next = states.index.dependencies[at.end as usize].next;
                if !states.kind(at.end).is_critical() {
                    continue;
                }
                at.in_or = at.start != at.end;
                at.killed = kills.len();
            } else {
                at.start = states.index.dependencies[at.start as usize].next;
                if !states.kind(at.start).is_critical() {
                    continue;
                }
            }
            if states.is_satisfied(at.end, GROUP_INSTALL) {
                at.in_or = false;
                continue;
            }
            if let Step::Done = self.solve_one(states, package, &mut at, kills) {
                break;
            }
        }
        at.changed
    }

    /// Tries to put one broken alternative right.
    fn solve_one(
        &mut self,
        states: &mut States<'_, '_>,
        package: u32,
        at: &mut Cursor,
        kills: &mut Vec<Kill>,
    ) -> Step {
        let targets = states.all_targets(at.start);
        let negative = states.kind(at.start).is_negative();
        if targets.is_empty()
            && !states.of(package).protected
            && !negative
            && !states.of(package).now_broken()
        {
            if at.in_or {
                return Step::Next;
            }
            at.changed = true;
            states.keep(package, false, 0);
            return Step::Done;
        }
        let mut done = false;
        let none = targets.is_empty();
        for version in targets {
            let target = states.package_of(version);
            if states.of(target).install != version && negative {
                continue;
            }
            let new = states.holds(at.start) & NOW == 0 && !states.kind(at.end).is_negative();
            if self.score(package) <= self.score(target) || new {
                if states.of(package).protected {
                    if self.upgrade(states, target) {
                        let score = self.score(package).min(self.score(target));
                        self.scores[target as usize] = score;
                        break;
                    }
                    continue;
                }
                self.give_way(states, package, at, target);
                (at.changed, done) = (true, true);
                break;
            }
            if states.kind(at.start) == Kind::Breaks && states.holds(at.end) & GROUP_CANDIDATE != 0 {
                states.install(target, ALONE);
                continue;
            }
            if states.of(target).protected && !states.of(target).is_delete() {
                continue;
            }
            kills.push((target, at.end));
            if !negative {
                break;
            }
        }
        if none && !negative && !states.of(package).protected {
            self.give_up(states, package, at);
            (at.changed, done) = (true, true);
        }
        match !at.in_or && done {
            true => Step::Done,
            false => Step::Next,
        }
    }

    /// The package itself is kept, upgraded or removed rather than what it needs changed.
    fn give_way(&mut self, states: &mut States<'_, '_>, package: u32, at: &mut Cursor, other: u32) {
        let installed = states.of(package).is_install();
        states.keep(package, false, 0);
        if !states.of(package).broken() {
            at.ending = Ending::Keep;
            if at.in_or && installed {
                states.install(package, ALONE);
            }
            return;
        }
        if self.upgrade(states, package) {
            return;
        }
        let target = states.target(at.start);
        if !at.in_or {
            states.delete(package, 0, false);
            if at.round > 1 && self.score(other) > self.score(package) {
                self.scores[package as usize] = self.score(other);
            }
        } else if states.current(target) == NONE
            && !states.of(target).is_delete()
            && !self.flags[target as usize].to_remove
            && states.of(target).candidate != NONE
        {
            let before = states.broken;
            states.install(target, How { dependencies: true, depth: 1, by_user: false });
            if states.of(target).broken() || states.broken > before {
                states.delete(target, 1, false);
            }
        }
    }

    /// Nothing can ever meet the dependency.
    fn give_up(&mut self, states: &mut States<'_, '_>, package: u32, at: &mut Cursor) {
        let installed = states.of(package).is_install();
        states.keep(package, true, 0);
        if !states.of(package).broken() {
            at.ending = Ending::Keep;
            if at.in_or && installed {
                states.install(package, ALONE);
            }
        } else if !at.in_or {
            states.delete(package, 0, false);
        }
    }

    /// Puts a package right at the cost of another.
    fn kill(
        &mut self,
        states: &mut States<'_, '_>,
        package: u32,
        (victim, dependency): Kill,
        round: usize,
    ) -> bool {
        let done = match states.holds(dependency) & GROUP_NOW {
            0 => states.kind(dependency).is_negative() && states.delete(victim, 0, false),
            _ => states.keep(victim, false, 0),
        };
        let raise = (!done || round > 1) && self.score(package) > self.score(victim);
        if raise {
            self.scores[victim as usize] = self.score(package);
        }
        done || raise
    }
}

/// A group of alternatives ends, and none was put right.
fn end_alternatives(states: &mut States<'_, '_>, package: u32, at: &Cursor, kills: &[Kill]) -> bool {
    if !at.in_or || at.killed != kills.len() {
        return false;
    }
    match at.ending {
        Ending::Remove if states.of(package).protected => return false,
        Ending::Remove => states.delete(package, 0, false),
        Ending::Keep => states.keep(package, false, 0),
    };
    true
}

/// The only package that a name stands for, or the first (`DepIterator::SmartTargetPkg`).
fn smart_target(states: &States<'_, '_>, dependency: u32) -> u32 {
    let index = states.index;
    let target = states.target(dependency);
    if index.packages[target as usize].versions != NONE {
        return target;
    }
    let parent = states.package_of(index.dependencies[dependency as usize].parent);
    let mut owners = index.providers_of(target).map(|provide| index.owner(provide));
    owners.find(|owner| *owner != parent).unwrap_or(target)
}

fn once_each(all: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut all: Vec<u32> = all.collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl States<'_, '_> {
    /// All versions that would meet (or hit) a dependency, whatever is chosen (`DepIterator::AllTargets`).
    pub(super) fn all_targets(&self, dependency: u32) -> Vec<u32> {
        let index = self.index;
        let target = self.target(dependency);
        let own = index.versions_of(target).filter(|_| !index.ignorable(dependency, target));
        let own = own.filter(|version| index.satisfied(dependency, *version));
        let provides = index.providers_of(target).filter(|provide| {
            !index.ignorable_provide(dependency, *provide) && index.satisfied_by_provide(dependency, *provide)
        });
        own.chain(provides.map(|provide| index.provides[provide as usize].version)).collect()
    }
}
