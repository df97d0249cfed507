//! Marks packages to be kept, removed or installed, with what they need (`MarkKeep`, `MarkDelete`, `MarkInstall`).
//!
//! A package is installed with the first of each dependency's alternatives that can be. Where one that must hold cannot,
//! the package is not installed and the next alternative is tried. What was asked for is protected: its dependencies
//! with only one way to be met are protected with it, and what stands against them is given up.

use super::solutions::Of;
use super::state::{CANDIDATE, GROUP_NOW, INSTALL, Mode, States};
use crate::index::{MultiArch, NONE};

/// How deep one installation may lead to another; more is given up.
const DEPTH: u32 = 3000;

/// How a package is installed.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// With what it needs.
    pub(super) dependencies: bool,
    pub(super) depth: u32,
    /// A person asked for it.
    pub(super) by_user: bool,
}

impl How {
    fn deeper(self, dependencies: bool) -> Self {
        Self { dependencies, depth: self.depth + 1, by_user: false }
    }
}

/// What an installation has to do.
#[derive(Default)]
struct Work {
    install: Vec<u32>,
    remove: Vec<u32>,
    upgrade: Vec<u32>,
    /// What is removed last.
    late: Vec<u32>,
}

impl States<'_, '_> {
    /// Whether what is done with a package may be changed (`IsModeChangeOk`).
    fn may_change(&self, package: u32, mode: Mode, depth: u32, by_user: bool) -> bool {
        let state = self.of(package);
        let known = &self.index.packages[package as usize];
        if depth > DEPTH || known.versions == NONE {
            return false;
        }
        if by_user || state.mode == mode {
            return true;
        }
        let vital = mode == Mode::Delete && (known.essential || known.important);
        !(state.protected || vital || (state.hold && mode != Mode::Keep))
    }

    pub(super) fn keep(&mut self, package: u32, by_user: bool, depth: u32) -> bool {
        if !self.may_change(package, Mode::Keep, depth, by_user) {
            return false;
        }
        let current = self.current(package);
        let state = self.change(package);
        if !state.is_keep() {
            state.mode = Mode::Keep;
            state.install = current;
            self.update(package);
        }
        true
    }

    pub(super) fn delete(&mut self, package: u32, depth: u32, by_user: bool) -> bool {
        if !self.may_change(package, Mode::Delete, depth, by_user) {
            return false;
        }
        let current = self.current(package);
        let state = self.of(package);
        if state.is_delete() || state.install == NONE {
            return true;
        }
        if !self.may_delete(package, by_user) {
            return false;
        }
        let state = self.change(package);
        state.mode = if current == NONE { Mode::Keep } else { Mode::Delete };
        state.install = NONE;
        self.update(package);
        true
    }

    /// What a person asked for and is not there yet stays (`IsDeleteOkProtectInstallRequests`).
    fn may_delete(&self, package: u32, by_user: bool) -> bool {
        let state = self.of(package);
        let asked = state.install != NONE && state.status == 2 && !state.automatic;
        by_user || self.current(package) != NONE || !asked
    }

    pub(super) fn protect(&mut self, package: u32) {
        self.change(package).protected = true;
    }

    /// Installs a package. If it cannot be, it is not, unless it is protected or a person asked for it.
    pub(super) fn install(&mut self, package: u32, how: How) -> bool {
        let current = self.current(package);
        let state = *self.of(package);
        // A protected package that stays as it is passes its protection on.
        let stays =
            state.protected && state.is_keep() && state.candidate != NONE && state.candidate == current;
        if !stays && !self.may_change(package, Mode::Install, how.depth, how.by_user) {
            return false;
        }
        if state.candidate == NONE {
            return false;
        }
        if !state.protected && !state.policy_broken() && !state.broken() {
            if state.candidate == current {
                return state.install != NONE || self.keep(package, how.by_user, how.depth + 1);
            }
            if state.is_install() {
                return true;
            }
        }
        if !self.in_step(package, how) || !self.can_be_satisfied(package, how) {
            return false;
        }
        if how.by_user {
            self.take(package, true);
        }
        let protected = self.of(package).protected;
        let early = !protected && !how.by_user;
        let mut failed = false;
        let mut work = Work::default();
        let candidate = self.of(package).candidate;
        if how.dependencies {
            self.collect(candidate, protected, &mut work);
            if !self.clear_conflicts(&mut work, how, protected) {
                if early {
                    return false;
                }
                failed = true;
            }
            self.collect_reverse(candidate, &mut work);
        }
        if !how.by_user {
            self.take(package, false);
        }
        if !how.dependencies {
            return !failed;
        }
        // Whatever follows from it does not undo it.
        self.change(package).protected = true;
        let done = self.follow(package, work, how, protected);
        if !protected {
            self.change(package).protected = false;
        }
        if !done && early {
            return false;
        }
        done && !failed
    }

    /// What follows from the installation of a package.
    fn follow(&mut self, package: u32, work: Work, how: How, protected: bool) -> bool {
        let early = !protected && !how.by_user;
        let mut failed = false;
        self.upgrade_source(package, how);
        let steps: [&dyn Fn(&mut Self) -> bool; 3] = [
            &|states| states.upgrade_or_remove(&work.upgrade, how, protected),
            &|states| states.install_dependencies(package, &work.install, how, protected),
            &|states| {
                let stay = |other: &&u32| !states.delete(**other, how.depth, false);
                work.late.iter().filter(stay).count() == 0
            },
        ];
        for step in steps {
            if !step(self) {
                if early {
                    self.discard_install(package);
                    return false;
                }
                failed = true;
            }
        }
        !failed
    }

    /// Takes the candidate (`MarkInstall_StateChange`).
    fn take(&mut self, package: u32, by_user: bool) {
        let current = self.current(package);
        let state = self.change(package);
        if state.protected && state.install == state.candidate {
            return;
        }
        state.mode = Mode::Install;
        state.install = state.candidate;
        match by_user {
            true => state.automatic &= state.status != 2 && current == NONE,
            false => state.automatic |= state.status == 2,
        }
        if state.candidate == current {
            state.mode = Mode::Keep;
        }
        self.update(package);
    }

    /// What was taken is given back, and the candidate with it (`MarkInstall_DiscardInstall`).
    fn discard_install(&mut self, package: u32) {
        let current = self.current(package);
        let state = self.change(package);
        if state.is_keep() && state.install == state.candidate && state.candidate == current {
            return;
        }
        state.install = current;
        state.mode = Mode::Keep;
        self.update(package);
        self.discard_candidate(package);
    }

    /// Siblings that are beside one another must have the same version
    /// (`IsInstallOkMultiArchSameVersionSynced`).
    fn in_step(&self, package: u32, how: How) -> bool {
        let index = self.index;
        let state = self.of(package);
        let version = |at: u32| &index.versions[at as usize];
        if how.by_user || (state.is_install() && state.install == state.candidate) {
            return true;
        }
        let candidate = state.candidate;
        if candidate == NONE
            || candidate == self.current(package)
            || version(candidate).multi != MultiArch::Same
        {
            return true;
        }
        let group = index.packages[package as usize].group;
        index.siblings(group).filter(|other| *other != package && self.current(*other) != NONE).all(|other| {
            let other = self.of(other).candidate;
            other == NONE
                || version(other).version == version(candidate).version
                || version(other).multi != MultiArch::Same
                || !index.downloadable(other)
        })
    }

    /// A candidate with a dependency that no candidate meets is given up
    /// (`IsInstallOkDependenciesSatisfiableByCandidates`).
    fn can_be_satisfied(&mut self, package: u32, how: How) -> bool {
        let index = self.index;
        let current = self.current(package);
        let candidate = self.of(package).candidate;
        if !how.dependencies || candidate == NONE || candidate == current {
            return true;
        }
        let (mut first, mut found) = (NONE, false);
        for dependency in index.depends_of(candidate) {
            if first == NONE {
                (first, found) = (dependency, false);
            }
            found |= self.holds(dependency) & (INSTALL | CANDIDATE) != 0;
            if index.dependencies[dependency as usize].or {
                continue;
            }
            let kind = self.kind(std::mem::replace(&mut first, NONE));
            if found || !kind.is_critical() || kind.is_negative() {
                continue;
            }
            if !self.of(package).protected {
                match current {
                    NONE => self.swap_candidate(package, NONE),
                    current => self.set_candidate(current),
                }
                if !self.of(package).is_delete() {
                    self.change(package).mode = Mode::Keep;
                    self.compare(package);
                }
            }
            return false;
        }
        true
    }

    /// What a version needs that is not there, and what it conflicts with (`MarkInstall_CollectDependencies`).
    fn collect(&mut self, version: u32, protected: bool, work: &mut Work) {
        let index = self.index;
        let (mut first, mut found) = (NONE, false);
        for dependency in index.depends_of(version) {
            if first == NONE {
                (first, found) = (dependency, false);
            }
            found |= self.is_satisfied(dependency, INSTALL);
            if index.dependencies[dependency as usize].or {
                continue;
            }
            let first = std::mem::replace(&mut first, NONE);
            if (found && !protected) || !self.is_important(first) {
                continue;
            }
            match self.kind(first).is_negative() {
                true => work.remove.push(first),
                false => work.install.push(first),
            }
        }
    }

    /// What conflicts is not installed, upgraded later, or removed (`MarkInstall_RemoveConflictsIfNotUpgradeable`).
    fn clear_conflicts(&mut self, work: &mut Work, how: How, protected: bool) -> bool {
        let mut failed = false;
        let mut bad = Vec::new();
        let give_up = |failed: bool| failed && !protected && !how.by_user;
        for dependency in std::mem::take(&mut work.remove) {
            for version in self.solutions(dependency, Of::Candidates) {
                let package = self.package_of(version);
                if self.of(package).candidate != version {
                    continue;
                }
                if self.current(package) == version {
                    failed |= !self.must_go(package, how, protected, work);
                } else if self.of(package).is_install() && !self.keep(package, false, how.depth) {
                    failed = true;
                } else if protected {
                    self.discard_candidate(package);
                    if self.current(package) == NONE {
                        self.protect(package);
                    }
                } else {
                    bad.push(package);
                }
                if give_up(failed) {
                    return false;
                }
            }
            for version in self.solutions(dependency, Of::Installed) {
                let package = self.package_of(version);
                let candidate = self.of(package).candidate;
                if candidate != version && candidate != NONE && !bad.contains(&package) {
                    work.upgrade.push(package);
                } else if candidate != self.current(package) {
                    failed |= !self.must_go(package, how, protected, work);
                }
                if give_up(failed) {
                    return false;
                }
            }
        }
        !failed
    }

    /// An installed package that no upgrade helps (`MarkInstall_MarkDeleteForNotUpgradeable`).
    fn must_go(&mut self, package: u32, how: How, protected: bool, work: &mut Work) -> bool {
        if !protected {
            if self.of(package).is_delete() {
                return true;
            }
            if !self.may_change(package, Mode::Delete, how.depth, false) || !self.may_delete(package, false) {
                return false;
            }
            work.late.push(package);
            return true;
        }
        if !self.of(package).is_delete() && !self.delete(package, how.depth + 1, false) {
            return false;
        }
        self.discard_candidate(package);
        self.protect(package);
        true
    }

    /// Installed packages that need the installed version of what is upgraded (`MarkInstall_CollectReverseDepends`).
    fn collect_reverse(&mut self, version: u32, work: &mut Work) {
        let index = self.index;
        let package = self.package_of(version);
        let current = self.current(package);
        if current == NONE {
            return;
        }
        for dependency in index.reverse_of(package) {
            let parent = index.dependencies[dependency as usize].parent;
            let owner = self.package_of(parent);
            if self.current(owner) == parent
                && !self.of(owner).is_install()
                && self.is_important(dependency)
                && !self.kind(dependency).is_negative()
                && index.satisfied(dependency, current)
                && !index.satisfied(dependency, version)
                && !work.upgrade.contains(&owner)
            {
                work.upgrade.push(owner);
            }
        }
    }

    /// Installed packages of the same source are upgraded together (`MarkInstall_UpgradeOtherBinaries`).
    fn upgrade_source(&mut self, package: u32, how: How) {
        let index = self.index;
        let candidate = self.of(package).candidate;
        let source = index.source(candidate);
        let old = |states: &Self, other: u32| {
            let (current, state) = (states.current(other), states.of(other));
            other != package
                && current != NONE
                && state.candidate != NONE
                && current != state.candidate
                && !(state.is_install() && state.install == state.candidate)
                && index.source(state.candidate) == source
        };
        let others: Vec<u32> = self.installed.iter().copied().filter(|other| old(self, *other)).collect();
        for dependencies in [false, true] {
            for other in &others {
                self.install(*other, how.deeper(dependencies));
            }
        }
    }

    fn upgrade_or_remove(&mut self, upgrade: &[u32], how: How, protected: bool) -> bool {
        let mut failed = false;
        for package in upgrade {
            if self.of(*package).is_install() || self.install(*package, how.deeper(true)) {
                continue;
            }
            if !self.delete(*package, how.depth + 1, false) {
                failed = true;
                if !protected && !how.by_user {
                    break;
                }
            } else if protected {
                self.protect(*package);
            }
        }
        !failed
    }

    /// Installs what meets each of the dependencies (`MarkInstall_InstallDependencies`).
    fn install_dependencies(&mut self, package: u32, install: &[u32], how: How, protected: bool) -> bool {
        let mut failed = false;
        for first in install {
            let alternatives: Vec<u32> = self.index.alternatives(*first).collect();
            let found = alternatives.iter().any(|dependency| self.is_satisfied(*dependency, INSTALL));
            let critical = self.kind(*first).is_critical();
            if found {
                failed |= protected && critical && !self.protect_only_solution(*first, how);
                continue;
            }
            if self.current(package) != NONE && !critical && !self.is_new_wish(package, *first) {
                continue;
            }
            if !self.install_one(*first, critical, how, protected) && critical {
                failed = true;
                if !protected && !how.by_user {
                    break;
                }
            }
        }
        !failed
    }

    /// A dependency of a protected package that only one package meets protects it.
    fn protect_only_solution(&mut self, first: u32, how: How) -> bool {
        let solutions = self.solutions(first, Of::Both);
        let [only] = solutions[..] else { return true };
        let package = self.package_of(only);
        if self.of(package).protected {
            return true;
        }
        self.protect(package);
        self.install(package, how.deeper(true))
    }

    fn install_one(&mut self, first: u32, critical: bool, how: How, protected: bool) -> bool {
        let solutions = self.solutions(first, Of::Candidates);
        let only = protected && critical && solutions.len() == 1;
        for version in solutions {
            let package = self.package_of(version);
            if self.of(package).candidate != version {
                continue;
            }
            if only {
                if !self.install(package, how.deeper(false)) {
                    continue;
                }
                self.protect(package);
            }
            if self.install(package, how.deeper(true)) {
                return true;
            }
        }
        false
    }

    /// What an installed package recommends is installed if it is new, or was there.
    fn is_new_wish(&mut self, package: u32, first: u32) -> bool {
        let index = self.index;
        let target = self.target(first);
        let mut is_new = true;
        for dependency in index.depends_of(self.current(package)) {
            if self.kind(dependency).is_critical()
                || !self.is_important(dependency)
                || self.target(dependency) != target
            {
                continue;
            }
            is_new = false;
            let last = index.alternatives(dependency).last().unwrap_or(dependency);
            if self.is_satisfied(last, GROUP_NOW) {
                return true;
            }
        }
        is_new
    }
}
