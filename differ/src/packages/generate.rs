//! Requests that a seed gives: packages by chance, and such as are likely to show a difference.

use super::apt::{ARCHITECTURES, StoredList};
use crate::random::Random;
use ireko_deb::control;
use ireko_deb::relation::relations;
use std::collections::{BTreeMap, BTreeSet};

/// What there is to ask for.
#[derive(Default)]
pub(super) struct Names {
    /// Native packages, and foreign ones.
    native: Vec<String>,
    foreign: Vec<String>,
    /// What is provided and is no package.
    virtuals: Vec<String>,
    /// Packages whose dependencies have alternatives.
    alternatives: Vec<String>,
    /// Packages and what they conflict with or break.
    conflicts: Vec<(String, String)>,
    /// Packages and what they depend on.
    depends: Vec<(String, String)>,
    /// Packages with several versions.
    versions: Vec<(String, Vec<String>)>,
    /// What backports have.
    backports: Vec<String>,
    /// Other names that lists speak of.
    strange: Vec<String>,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) kind: &'static str,
    pub(super) requests: Vec<String>,
    pub(super) recommends: bool,
    pub(super) status: &'static str,
}

impl Names {
    pub(super) fn of(lists: &[StoredList]) -> Self {
        let mut names = Self::default();
        let mut native = BTreeSet::new();
        let (mut provided, mut named) = (BTreeSet::new(), BTreeSet::new());
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut foreign = BTreeSet::new();
        for list in lists {
            for paragraph in control::paragraphs(list.text()).filter_map(Result::ok) {
                let get = |field: &str| paragraph.get(field).unwrap_or_default();
                let name = get("Package").to_owned();
                if get("Architecture") == ARCHITECTURES[1] {
                    foreign.insert(name);
                    continue;
                }
                versions.entry(name.clone()).or_default().insert(get("Version").to_owned());
                if list.suite == "bookworm-backports" {
                    names.backports.push(name.clone());
                }
                if get("Depends").contains('|') {
                    names.alternatives.push(name.clone());
                }
                let of = |field: &str| {
                    let all = relations(paragraph.get(field).unwrap_or_default()).filter_map(Result::ok);
                    all.map(|relation| relation.name.to_owned()).collect::<Vec<_>>()
                };
                names.conflicts.extend(
                    ["Conflicts", "Breaks"]
                        .iter()
                        .flat_map(|field| of(field))
                        .map(|other| (name.clone(), other)),
                );
                let depends = of("Depends");
                named.extend(depends.iter().cloned());
                names.depends.extend(depends.into_iter().map(|other| (name.clone(), other)));
                provided.extend(of("Provides"));
                native.insert(name);
            }
        }
        names.virtuals = provided.iter().filter(|name| !native.contains(*name)).cloned().collect();
        names.strange =
            named.into_iter().filter(|name| !native.contains(name) && !provided.contains(name)).collect();
        names.conflicts.retain(|(_, other)| native.contains(other) || provided.contains(other));
        names.depends.retain(|(_, other)| native.contains(other));
        let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
        names.versions = several.map(|(name, versions)| (name, versions.into_iter().collect())).collect();
        names.native = native.into_iter().collect();
        names.foreign = foreign.into_iter().collect();
        names
    }

    /// The request of a seed.
    pub(super) fn ask(&self, seed: u64) -> Asked {
        let random = &mut Random::new(seed);
        let (kind, requests) = match random.below(11) {
            0 => ("single", vec![one(random, &self.native)]),
            1 => ("group", some(random, &self.native, 2, 5)),
            2 => ("virtual", vec![one(random, &self.virtuals)]),
            3 => ("alternatives", some(random, &self.alternatives, 1, 3)),
            4 => {
                let mut requests = some(random, &self.foreign, 1, 3);
                requests.iter_mut().for_each(|name| *name += ":i386");
                if random.percent(50) {
                    requests.extend(some(random, &self.native, 1, 2));
                }
                ("foreign", requests)
            }
            5 => {
                let (name, versions) = &self.versions[random.below(self.versions.len())];
                ("version", vec![format!("{name}={}", one(random, versions))])
            }
            6 => {
                let mut requests = some(random, &self.backports, 1, 2);
                requests.iter_mut().for_each(|name| *name += "/bookworm-backports");
                ("suite", requests)
            }
            7 => {
                let (name, other) = &self.conflicts[random.below(self.conflicts.len())];
                ("conflict", vec![name.clone(), other.clone()])
            }
            8 => {
                let (name, other) = &self.depends[random.below(self.depends.len())];
                ("unwanted", vec![name.clone(), format!("{other}-")])
            }
            9 => ("crowd", some(random, &self.native, 6, 14)),
            _ => ("strange", self.strange(random)),
        };
        let (status, recommends) = match random.below(8) {
            0 => ("minbase", false),
            1 => ("old", false),
            2 => ("mixed", random.percent(50)),
            3 | 4 => ("empty", true),
            _ => ("empty", false),
        };
        Asked { kind, requests, recommends, status }
    }

    /// What is not there, or not so.
    fn strange(&self, random: &mut Random) -> Vec<String> {
        let name = one(random, &self.native);
        match random.below(6) {
            0 => vec![format!("{name}zzz")],
            1 => vec![format!("{name}=0~nothing")],
            2 => vec![format!("{name}/nowhere")],
            3 => vec![one(random, &self.strange)],
            4 => vec![format!("{name}:armhf")],
            _ => vec![name.clone(), format!("{name}:i386")],
        }
    }
}

fn one(random: &mut Random, of: &[String]) -> String {
    of[random.below(of.len())].clone()
}

fn some(random: &mut Random, of: &[String], least: usize, most: usize) -> Vec<String> {
    let count = least + random.below(most - least + 1);
    (0..count).map(|_| one(random, of)).collect()
}
