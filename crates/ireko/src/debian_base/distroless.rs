//! `ireko base NAME-distroless`: which packages, and the image of them.

use super::{Base, Known, Wanted, With};
use crate::debian::{self, Deb, Lists};
use crate::failure::Failure;
use crate::sbom;
use ireko_deb::index::{Index, VersionId};
use ireko_deb::relation;
use ireko_deb::resolve::{Reason, Request};
use ireko_layer::Time;
use ireko_oci::Timestamp;
use ireko_pack::sbom::Origins;
use ireko_pack::{Named, distroless};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the image, without running anything.
pub(super) fn made(
    wanted: &Wanted,
    (lists, index): (&Lists, &Index<'_>),
    (with, known): (&With<'_>, Known<'_>),
) -> Result<Base, Failure> {
    let versions = chosen(index, wanted)?;
    let made_of = super::hash_of(index, &versions, &[]);
    if let Some(image) = known(&made_of) {
        return Ok(Base { image, made_of, origins: Origins::default() });
    }
    let debs = lists.fetch(with.session, index, &versions)?;
    let origins = sbom::origins(&debs);
    let open = |deb: Deb| {
        let package = deb.open()?;
        Ok(Named { name: deb.name, package })
    };
    let packages = debs.into_iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
    let time = Time::new(i64::try_from(lists.date()).unwrap_or(0), 0);
    let diff = distroless::layer(with.store, &packages, time)?;
    let config = super::config(wanted, lists);
    let image = ireko_image::assemble(config, &[(diff, None)], Some(Timestamp::from_unix(time.secs, 0)));
    Ok(Base { image, made_of, origins })
}

/// The basis, what was asked for, and what these need when no script of theirs runs.
fn chosen(index: &Index<'_>, wanted: &Wanted) -> Result<Vec<VersionId>, Failure> {
    let known = index.candidates(|_, _| true);
    let known: BTreeSet<&str> = known.iter().map(|version| index.name(*version)).collect();
    let basis = distroless::BASIS.iter().map(|names| {
        let name = names.iter().find(|name| known.contains(**name));
        name.copied().ok_or_else(|| {
            Failure::user(format!("the suite has no package `{}`, which every distroless base has", names[0]))
                .hint("is it in another component? `--components` says where to look")
        })
    });
    let basis = basis.collect::<Result<Vec<_>, _>>()?;
    let asked = basis.into_iter().map(str::to_owned).chain(wanted.include.iter().cloned());
    let requests: Vec<Request> = asked.map(Request::Text).collect();
    let solution = debian::solve(index, &requests, wanted.recommends)?;
    let mut by_name: BTreeMap<&str, Vec<VersionId>> = BTreeMap::new();
    for chosen in &solution.install {
        by_name.entry(index.name(chosen.version)).or_default().push(chosen.version);
        let provides = index.describe(chosen.version).get("Provides").unwrap_or_default();
        for provided in relation::relations(provides).flatten() {
            by_name.entry(provided.name).or_default().push(chosen.version);
        }
    }
    let is_asked = |reason: &Reason| matches!(reason, Reason::Requested(_));
    let mut left: Vec<VersionId> = solution
        .install
        .iter()
        .filter(|chosen| is_asked(&chosen.reason))
        .map(|chosen| chosen.version)
        .collect();
    let mut all = BTreeSet::new();
    while let Some(version) = left.pop() {
        if !all.insert(version) || distroless::stands_alone(index.name(version)) {
            continue;
        }
        let fields = ["Pre-Depends", "Depends", "Recommends"];
        let fields = if wanted.recommends { &fields[..] } else { &fields[..2] };
        let stanza = index.describe(version);
        for field in fields.iter().filter_map(|field| stanza.get(field)) {
            left.extend(needed(field).into_iter().filter_map(|name| by_name.get(name)).flatten());
        }
    }
    let install = solution.install.iter().map(|chosen| chosen.version);
    Ok(install.filter(|version| all.contains(version)).collect())
}

/// The names in a field of relations, without alternatives that serve scripts alone.
fn needed(field: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut group = Vec::new();
    for relation in relation::relations(field).flatten() {
        group.push(relation.name);
        if !relation.or {
            if !group.iter().any(|name| ireko_pack::is_for_scripts(name)) {
                names.append(&mut group);
            }
            group.clear();
        }
    }
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_serves_scripts_is_not_needed() {
        let field = "libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0, libx | liby, dpkg (>= 1.15), zlib1g";
        assert_eq!(super::needed(field), ["libc6", "libx", "liby", "zlib1g"]);
    }
}
