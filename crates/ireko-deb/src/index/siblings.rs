//! What follows from architectures when a package becomes known: its siblings, and what stands for it on one.

use super::build::Provision;
use super::{Dependency, Index, Kind, MultiArch, NONE, Provide, Version};
use crate::relation::Operator;
use std::borrow::Cow;

impl<'a> Index<'a> {
    /// Only one of the packages of a name may be installed, or all in the same version
    /// (`pkgCacheGenerator::AddImplicitDepends`).
    pub(super) fn relate_siblings(&mut self, package: u32, version: u32) {
        let group = self.packages[package as usize].group;
        let others: Vec<u32> = self.siblings(group).filter(|other| *other != package).collect();
        if self.versions_of(package).count() == 1 {
            for other in &others {
                let versions: Vec<u32> = self.versions_of(*other).collect();
                for version in versions {
                    self.exclude(version, package);
                }
            }
        }
        for other in others {
            if self.packages[other as usize].versions != NONE {
                self.exclude(version, other);
            }
        }
    }

    fn exclude(&mut self, version: u32, target: u32) {
        let Version { version: own, multi, .. } = self.versions[version as usize];
        let (operator, bound, kind) = match multi {
            MultiArch::Same => (Some(Operator::Unequal), own, Kind::Breaks),
            _ => (None, "", Kind::Conflicts),
        };
        self.new_dependency(Dependency {
            bound,
            parent: version,
            target,
            next: NONE,
            next_reverse: NONE,
            operator,
            kind,
            or: false,
            implicit: true,
            specific: false,
        });
    }

    /// What holds for the siblings of a package that becomes known holds for it, too: what provides them, and the
    /// conflicts with them.
    pub(super) fn join_siblings(&mut self, group: u32, number: u32) {
        let model = self.preferred(group);
        let provides: Vec<u32> = model.into_iter().flat_map(|model| self.providers_of(model)).collect();
        for at in provides {
            let Provide { bound, version, implicit, specific, .. } = self.provides[at as usize];
            let parent = &self.versions[version as usize];
            let configured = self.is_configured(self.packages[parent.package as usize].architecture);
            if !specific && !implicit && parent.multi == MultiArch::Foreign && configured {
                self.new_provide(version, number, Provision { bound, implicit, specific });
            }
        }
        let siblings: Vec<u32> = self.siblings(group).collect();
        for sibling in siblings {
            if !self.is_configured(self.packages[sibling as usize].architecture) {
                continue;
            }
            let versions: Vec<u32> = self.versions_of(sibling).collect();
            for version in versions {
                let Version { version: bound, multi, .. } = self.versions[version as usize];
                if multi == MultiArch::Foreign {
                    self.new_provide(version, number, Provision { bound, implicit: true, specific: false });
                }
            }
        }
        let dependencies: Vec<u32> = model.into_iter().flat_map(|model| self.reverse_of(model)).collect();
        for at in dependencies {
            let Dependency { bound, parent, operator, kind, or, implicit, specific, .. } =
                self.dependencies[at as usize];
            if kind.is_negative() && !implicit && !specific {
                let (next, next_reverse) = (NONE, NONE);
                let copy = Dependency {
                    bound,
                    parent,
                    target: number,
                    next,
                    next_reverse,
                    operator,
                    kind,
                    or,
                    implicit,
                    specific,
                };
                self.new_dependency(copy);
            }
        }
    }

    /// `a:amd64`, which a relation names, is provided by the versions of `a` on amd64 and by what provides it there.
    pub(super) fn provide_of_architecture(&mut self, group: u32, number: u32) {
        let full = self.groups[group as usize].name.clone();
        let Some((name, architecture)) = full.rsplit_once(':').filter(|(_, after)| *after != "any") else {
            return;
        };
        let Some(architecture) = self.architecture_of_name(architecture) else { return };
        let package = self.package(Cow::Owned(name.to_owned()), architecture);
        let own = |index: &Self, version: u32| {
            index.packages[index.versions[version as usize].package as usize].architecture == architecture
        };
        let provides: Vec<u32> = self.providers_of(package).collect();
        let provided = provides.into_iter().map(|at| &self.provides[at as usize]);
        let provided = provided.filter(|provide| !provide.implicit && own(self, provide.version));
        let all: Vec<u32> =
            provided.map(|provide| provide.version).chain(self.versions_of(package)).collect();
        for version in all {
            let bound = self.versions[version as usize].version;
            self.new_provide(version, number, Provision { bound, implicit: true, specific: true });
        }
    }

    /// An architecture by a name that is not of the texts; one that nothing is of has no packages.
    fn architecture_of_name(&self, name: &str) -> Option<u16> {
        match name {
            "all" | "native" => Some(0),
            name => self.architectures.iter().position(|known| *known == name).map(|known| known as u16),
        }
    }
}
