//! What is to become of each package, and which dependencies hold then (`pkgDepCache`).
//!
//! Whether a dependency holds is remembered, and looked at again only when a package changes that it is about. Choices
//! follow from what is remembered: a candidate that is given up leaves it as it is, for apt, too.

use crate::index::{Index, Kind, NONE};
use crate::version;

/// The dependency holds among what is installed now.
pub(super) const NOW: u8 = 1;
/// It holds among what is to be installed.
pub(super) const INSTALL: u8 = 2;
/// It holds with the candidates.
pub(super) const CANDIDATE: u8 = 4;
/// How far the same is shifted for a dependency or one of the alternatives before it.
const GROUP: u8 = 3;
pub(super) const GROUP_NOW: u8 = NOW << GROUP;
pub(super) const GROUP_INSTALL: u8 = INSTALL << GROUP;
pub(super) const GROUP_CANDIDATE: u8 = CANDIDATE << GROUP;

/// What is done with a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Keep,
    Install,
    Delete,
}

/// What is to become of one package.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Which version would be installed.
    pub(super) candidate: u32,
    /// Which version is there in the end.
    pub(super) install: u32,
    pub(super) mode: Mode,
    /// What was decided about it is not changed any more.
    pub(super) protected: bool,
    /// Nobody asked for it.
    pub(super) automatic: bool,
    pub(super) hold: bool,
    /// How the candidate compares with what is installed; 2 if either is missing.
    pub(super) status: i8,
    now_broken: bool,
    broken: bool,
    policy_broken: bool,
}

impl State {
    pub(super) fn is_install(&self) -> bool {
        self.mode == Mode::Install
    }

    pub(super) fn is_delete(&self) -> bool {
        self.mode == Mode::Delete
    }

    pub(super) fn is_keep(&self) -> bool {
        self.mode == Mode::Keep
    }

    pub(super) fn is_new(&self) -> bool {
        self.status == 2 && self.is_install()
    }

    pub(super) fn is_upgrade(&self) -> bool {
        self.status > 0 && self.is_install()
    }

    pub(super) fn is_upgradable(&self) -> bool {
        self.status >= 1 && self.candidate != NONE
    }

    pub(super) fn now_broken(&self) -> bool {
        self.now_broken
    }

    /// A dependency that must hold would not.
    pub(super) fn broken(&self) -> bool {
        self.broken
    }

    /// The same, or one that is wanted.
    pub(super) fn policy_broken(&self) -> bool {
        self.policy_broken
    }
}

/// Which dependencies are followed beside those that must hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Policy {
    pub(super) recommends: bool,
    pub(super) suggests: bool,
}

/// The state of all packages.
pub(super) struct States<'i, 'a> {
    pub(super) index: &'i Index<'a>,
    pub(super) policy: Policy,
    pub(super) packages: Vec<State>,
    /// The packages that are there now.
    pub(super) installed: Vec<u32>,
    /// What holds, by dependency, of the versions that were looked at.
    dependencies: Vec<u8>,
    looked_at: Vec<bool>,
    pub(super) broken: i64,
    pub(super) policy_broken: i64,
}

impl<'i, 'a> States<'i, 'a> {
    pub(super) fn new(index: &'i Index<'a>, policy: Policy) -> Self {
        let state = |package: &crate::index::Package| State {
            candidate: package.candidate,
            install: package.current,
            mode: Mode::Keep,
            protected: false,
            automatic: false,
            hold: package.hold,
            status: 0,
            now_broken: false,
            broken: false,
            policy_broken: false,
        };
        let mut states = Self {
            index,
            policy,
            packages: index.packages.iter().map(state).collect(),
            installed: Vec::new(),
            dependencies: vec![0; index.dependencies.len()],
            looked_at: vec![false; index.versions.len()],
            broken: 0,
            policy_broken: 0,
        };
        for package in 0..states.packages.len() as u32 {
            states.compare(package);
            if states.current(package) != NONE {
                states.installed.push(package);
                states.update_package(package);
            }
        }
        states
    }

    pub(super) fn of(&self, package: u32) -> &State {
        &self.packages[package as usize]
    }

    pub(super) fn change(&mut self, package: u32) -> &mut State {
        &mut self.packages[package as usize]
    }

    pub(super) fn current(&self, package: u32) -> u32 {
        self.index.packages[package as usize].current
    }

    pub(super) fn package_of(&self, version: u32) -> u32 {
        self.index.versions[version as usize].package
    }

    pub(super) fn kind(&self, dependency: u32) -> Kind {
        self.index.dependencies[dependency as usize].kind
    }

    pub(super) fn target(&self, dependency: u32) -> u32 {
        self.index.dependencies[dependency as usize].target
    }

    /// Whether a dependency counts (`Policy::IsImportantDep`).
    pub(super) fn is_important(&self, dependency: u32) -> bool {
        match self.kind(dependency) {
            Kind::Recommends => self.policy.recommends,
            Kind::Suggests => self.policy.suggests,
            _ => true,
        }
    }

    /// What holds for a dependency: bits of this module. For conflicts a bit says that there is none.
    pub(super) fn holds(&mut self, dependency: u32) -> u8 {
        self.look_at(self.index.dependencies[dependency as usize].parent);
        self.dependencies[dependency as usize]
    }

    pub(super) fn is_satisfied(&mut self, dependency: u32, bits: u8) -> bool {
        self.holds(dependency) & bits == bits
    }

    /// Compares the candidate with what is installed (`StateCache::Update`).
    pub(super) fn compare(&mut self, package: u32) {
        let (current, candidate) = (self.current(package), self.of(package).candidate);
        let status = match (current, candidate) {
            (NONE, _) | (_, NONE) => 2,
            (current, candidate) => {
                let text = |version: u32| self.index.versions[version as usize].version;
                version::compare(text(candidate), text(current)) as i8
            }
        };
        self.change(package).status = status;
    }

    /// What holds for the dependencies of a version, which nobody asked for before. apt knows all from the beginning
    /// (`PerformDependencyPass`); it is the same as long as nobody changes a candidate unseen.
    fn look_at(&mut self, version: u32) {
        if std::mem::replace(&mut self.looked_at[version as usize], true) {
            return;
        }
        for dependency in self.index.depends_of(version) {
            self.look_at_one(dependency);
        }
        self.group(version);
    }

    fn look_at_one(&mut self, dependency: u32) {
        let mut state = 0;
        if self.check(dependency, |package| self.current(package)) {
            state |= NOW;
        }
        if self.check(dependency, |package| self.of(package).install) {
            state |= INSTALL;
        }
        if self.check(dependency, |package| self.of(package).candidate) {
            state |= CANDIDATE;
        }
        let negative = self.kind(dependency).is_negative();
        self.dependencies[dependency as usize] = if negative { !state } else { state };
    }

    /// Whether a dependency is met (for conflicts: hit) by the versions that `chosen` says (`pkgDepCache::CheckDep`).
    fn check(&self, dependency: u32, chosen: impl Fn(u32) -> u32) -> bool {
        let index = self.index;
        let target = self.target(dependency);
        let version = chosen(target);
        if version != NONE && !index.ignorable(dependency, target) && index.satisfied(dependency, version) {
            return true;
        }
        index.providers_of(target).any(|provide| {
            chosen(index.owner(provide)) == index.provides[provide as usize].version
                && !index.ignorable_provide(dependency, provide)
                && index.satisfied_by_provide(dependency, provide)
        })
    }

    /// The alternatives of a version are taken together anew (`BuildGroupOrs`).
    fn group(&mut self, version: u32) {
        let index = self.index;
        let mut group = 0;
        for dependency in index.depends_of(version) {
            let negative = self.kind(dependency).is_negative();
            let state = &mut self.dependencies[dependency as usize];
            let mut bits = if negative { !*state } else { *state };
            bits &= NOW | INSTALL | CANDIDATE;
            group |= bits;
            bits |= group << GROUP;
            if !index.dependencies[dependency as usize].or {
                group = 0;
            }
            *state = if negative { !bits } else { bits };
        }
    }

    /// Whether all that must hold does, and all that should (`VersionState`).
    pub(super) fn version_holds(&mut self, version: u32, bit: u8) -> (bool, bool) {
        let index = self.index;
        if version == NONE {
            return (true, true);
        }
        self.look_at(version);
        let (mut policy, mut first) = (true, NONE);
        for dependency in index.depends_of(version) {
            if first == NONE {
                first = dependency;
            }
            if index.dependencies[dependency as usize].or {
                continue;
            }
            let state = self.dependencies[dependency as usize];
            let holds = (state | (state >> GROUP)) & bit != 0;
            if !holds && self.kind(first).is_critical() {
                return (false, false);
            }
            policy &= holds || !self.is_important(first);
            first = NONE;
        }
        (true, policy)
    }

    /// Counts a package anew (`UpdateVerState` between `RemoveStates` and `AddStates`).
    fn update_package(&mut self, package: u32) {
        let (now, _) = match self.current(package) {
            NONE => (true, true),
            current => self.version_holds(current, NOW),
        };
        let (holds, policy) = self.version_holds(self.of(package).install, INSTALL);
        let state = &mut self.packages[package as usize];
        self.broken += i64::from(!holds) - i64::from(state.broken);
        self.policy_broken += i64::from(!policy) - i64::from(state.policy_broken);
        state.now_broken = !now;
        state.broken = !holds;
        state.policy_broken = !policy;
    }

    /// Looks again at all that is about a package (`pkgDepCache::Update`).
    pub(super) fn update(&mut self, package: u32) {
        let index = self.index;
        self.update_package(package);
        self.update_reverse(package);
        let current = self.current(package);
        let candidate = Some(self.of(package).candidate).filter(|candidate| *candidate != current);
        for version in [Some(current), candidate].into_iter().flatten().filter(|version| *version != NONE) {
            for provide in index.provides_of(version) {
                self.update_reverse(index.provides[provide as usize].package);
            }
        }
    }

    fn update_reverse(&mut self, package: u32) {
        let index = self.index;
        for dependency in index.reverse_of(package) {
            let parent = index.dependencies[dependency as usize].parent;
            // What nobody asked for is looked at when somebody does. What is to be there always is.
            if !self.looked_at[parent as usize] {
                continue;
            }
            self.look_at_one(dependency);
            self.group(parent);
            let owner = self.package_of(parent);
            if self.of(owner).install == parent || self.current(owner) == parent {
                self.update_package(owner);
            }
        }
    }

    /// Takes another version as the candidate (`SetCandidateVersion`).
    pub(super) fn set_candidate(&mut self, version: u32) {
        let package = self.package_of(version);
        let state = self.change(package);
        if state.candidate == version {
            return;
        }
        if state.candidate == state.install && state.is_install() {
            state.install = version;
        }
        state.candidate = version;
        self.compare(package);
        self.update(package);
    }

    /// Takes another candidate, and nothing is looked at again: dependencies on the one before count as they did.
    pub(super) fn swap_candidate(&mut self, package: u32, candidate: u32) {
        let before = self.of(package).candidate;
        if before == candidate {
            return;
        }
        let index = self.index;
        let provided = |version: u32| {
            let provides = (version != NONE).then(|| index.provides_of(version));
            provides.into_iter().flatten().map(|provide| index.provides[provide as usize].package)
        };
        for name in std::iter::once(package).chain(provided(before)).chain(provided(candidate)) {
            for dependency in index.reverse_of(name) {
                self.look_at(index.dependencies[dependency as usize].parent);
            }
        }
        self.change(package).candidate = candidate;
    }

    /// The candidate is given up (`MarkInstall_DiscardCandidate`).
    pub(super) fn discard_candidate(&mut self, package: u32) {
        self.swap_candidate(package, self.of(package).install);
    }

    /// The versions that a dependency may be met by, when packages have the versions that `chosen` says: the package
    /// itself, then what provides it (`VersionContainerInterface::FromDependency`).
    pub(super) fn targets(&self, dependency: u32, chosen: impl Fn(&Self, u32) -> u32) -> Vec<u32> {
        let index = self.index;
        let target = self.target(dependency);
        let version = chosen(self, target);
        let own =
            version != NONE && !index.ignorable(dependency, target) && index.satisfied(dependency, version);
        let mut all: Vec<u32> = own.then_some(version).into_iter().collect();
        for provide in index.providers_of(target) {
            let version = index.provides[provide as usize].version;
            if !index.ignorable_provide(dependency, provide)
                && chosen(self, index.owner(provide)) == version
                && index.satisfied_by_provide(dependency, provide)
            {
                all.push(version);
            }
        }
        all
    }
}
