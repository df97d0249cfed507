//! `layers.toml`: who may use whom, read and held against the manifests.
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::workspace::Package;

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layers {
    crates: BTreeMap<String, Member>,
    quarantine: BTreeMap<String, Quarantine>,
    /// Path → why it may be longer than the budget.
    #[serde(rename = "long-files", default)]
    pub(crate) long_files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    level: Option<u32>,
    #[serde(default)]
    beside: bool,
    uses: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quarantine {
    only: BTreeSet<String>,
    why: String,
}

/// Holds `packages` against `layers`; each line of the answer is one fault.
pub(crate) fn check(layers: &Layers, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        match layers.crates.get(&package.name) {
            Some(member) => edges(layers, package, member, &mut faults),
            None => faults.push(format!("layers.toml: crate `{}` is not listed", package.name)),
        }
        quarantine(layers, package, &mut faults);
    }
    let present: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for name in layers.crates.keys().filter(|name| !present.contains(name.as_str())) {
        faults.push(format!("layers.toml: crate `{name}` is listed but does not exist"));
    }
    faults
}

fn edges(layers: &Layers, package: &Package, member: &Member, faults: &mut Vec<String>) {
    let name = &package.name;
    let inside = |kind: Option<&str>| -> BTreeSet<&str> {
        package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() == kind)
            .map(|dependency| dependency.name.as_str())
            .filter(|used| layers.crates.contains_key(*used))
            .collect()
    };
    let used = inside(None);
    for edge in used.iter().filter(|edge| !member.uses.contains(**edge)) {
        faults.push(format!("layers.toml: `{name}` uses `{edge}`, which is not listed"));
    }
    for edge in member.uses.iter().filter(|edge| !used.contains(edge.as_str())) {
        faults.push(format!("layers.toml: `{name}` is listed to use `{edge}`, but its manifest does not"));
    }
    for edge in used {
        let below = &layers.crates[edge];
        match (member.level, below.level) {
            (Some(own), Some(other)) if other >= own => {
                faults.push(format!(
                    "layers.toml: `{name}` (level {own}) may not use `{edge}` (level {other})"
                ));
            }
            _ if below.beside && !member.beside => {
                faults.push(format!("layers.toml: `{name}` may use `{edge}` in tests only"));
            }
            _ => {}
        }
    }
}

fn quarantine(layers: &Layers, package: &Package, faults: &mut Vec<String>) {
    let names: BTreeSet<&str> =
        package.dependencies.iter().map(|dependency| dependency.name.as_str()).collect();
    for (outside, rule) in &layers.quarantine {
        if names.contains(outside.as_str()) && !rule.only.contains(&package.name) {
            faults.push(format!("layers.toml: `{}` may not name `{outside}`: {}", package.name, rule.why));
        }
    }
}

/// Mean number of crates used per crate, the command line and the crates beside left out.
pub(crate) fn mean_edges(layers: &Layers) -> f64 {
    let top = layers.crates.values().filter_map(|member| member.level).max().unwrap_or(0);
    let counted: Vec<usize> = layers
        .crates
        .values()
        .filter(|member| !member.beside && member.level < Some(top))
        .map(|member| member.uses.len())
        .collect();
    counted.iter().sum::<usize>() as f64 / counted.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::workspace::Dependency;

    /// `name: normal normal, dev-only` per line.
    #[track_caller]
    fn check(layers: &str, manifests: &str, expect: Expect) {
        let layers: Layers = toml::from_str(layers).unwrap();
        let dependency = |kind: Option<&str>, name: &str| Dependency {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
        };
        let packages: Vec<Package> = manifests
            .lines()
            .map(|line| {
                let (name, rest) = line.split_once(':').unwrap();
                let (normal, dev) = rest.split_once(',').unwrap_or((rest, ""));
                let mut dependencies: Vec<Dependency> =
                    normal.split_whitespace().map(|name| dependency(None, name)).collect();
                dependencies.extend(dev.split_whitespace().map(|name| dependency(Some("dev"), name)));
                Package { name: name.trim().to_owned(), dependencies }
            })
            .collect();
        expect.assert_eq(&super::check(&layers, &packages).join("\n"));
    }

    const LAYERS: &str = r#"
        [crates]
        low = { level = 0, uses = [] }
        mid = { level = 1, uses = ["low"] }
        kit = { beside = true, uses = ["low"] }
        [quarantine]
        libc = { only = ["low"], why = "raw calls live in one crate" }
    "#;

    #[test]
    fn exact_lists_pass() {
        check(LAYERS, "low: libc serde\nmid: low serde, kit\nkit: low", expect![""]);
    }

    #[test]
    fn an_unlisted_edge_and_a_stale_one_are_faults() {
        check(
            LAYERS,
            "low: mid\nmid: serde\nkit: low",
            expect![[r#"
                layers.toml: `low` uses `mid`, which is not listed
                layers.toml: `low` (level 0) may not use `mid` (level 1)
                layers.toml: `mid` is listed to use `low`, but its manifest does not"#]],
        );
    }

    #[test]
    fn quarantine_holds_for_tests_too() {
        check(
            LAYERS,
            "low:\nmid: low, libc\nkit: low",
            expect!["layers.toml: `mid` may not name `libc`: raw calls live in one crate"],
        );
    }

    #[test]
    fn crates_must_be_listed_and_exist() {
        check(
            LAYERS,
            "low:\nmid: low kit\nnew:",
            expect![[r#"
                layers.toml: `mid` uses `kit`, which is not listed
                layers.toml: `mid` may use `kit` in tests only
                layers.toml: crate `new` is not listed
                layers.toml: crate `kit` is listed but does not exist"#]],
        );
    }
}
