//! Which names of images read like one that is none.

use ireko_oci::Reference;
use ireko_report::nearest_names;

/// Most names that are suggested.
const SHOWN: usize = 3;

/// The names of `known` that `asked` was probably meant to be, nearest first, at most three, as people write them.
///
/// The last part of a repository's path counts most: a registry's host would make all its images look alike, and keep
/// `127.0.0.1:5000/alpne` away from `alpine`.
pub fn near_images(asked: &Reference, known: impl IntoIterator<Item = Reference>) -> Vec<String> {
    let known: Vec<Reference> =
        known.into_iter().filter(|name| name.or_latest() != asked.or_latest()).collect();
    let (own_space, own) = parts(asked);
    let near = nearest_names(own, known.iter().map(|name| parts(name).1));
    let near_tags = nearest_names(asked.tag().unwrap_or_default(), known.iter().filter_map(Reference::tag));
    let mut ranked: Vec<(usize, [bool; 2], usize, String)> = Vec::new();
    for name in &known {
        let (space, last) = parts(name);
        let Some(rank) = near.iter().position(|near| *near == last) else { continue };
        let alike = space == own_space || space.is_empty() || own_space.is_empty();
        if alike || !nearest_names(own_space, [space]).is_empty() {
            let apart = [name.domain() != asked.domain(), space != own_space];
            let tag = near_tags.iter().position(|near| name.tag() == Some(near)).unwrap_or(usize::MAX);
            let tag = if name.tag() == asked.tag() { 0 } else { tag.saturating_add(1) };
            ranked.push((rank, apart, tag, bare(&name.familiar()).to_owned()));
        }
    }
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().map(|(.., name)| name).take(SHOWN).collect()
}

/// Namespace and last part of a repository's path; Docker's `library` is no namespace that people write.
fn parts(name: &Reference) -> (&str, &str) {
    let path = name.path().strip_prefix("library/").unwrap_or(name.path());
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A name without the tag that stands for none.
fn bare(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: &str, known: &[&str], near: &[&str]) {
        let name = |text: &&str| text.parse::<Reference>().unwrap();
        assert_eq!(near_images(&name(&asked), known.iter().map(name)), near, "{asked}");
    }

    #[test]
    fn a_host_neither_hides_nor_makes_a_likeness() {
        let hosted = ["127.0.0.1:5000/redis", "127.0.0.1:5000/team/nginx:1"];
        check("127.0.0.1:5000/alpne", &["alpine:latest", hosted[0], hosted[1]], &["alpine"]);
        check("alpne", &["127.0.0.1:5000/library/alpine:3"], &["127.0.0.1:5000/library/alpine:3"]);
        check("localhst:5000/app:1", &["localhost:5000/app:1"], &["localhost:5000/app:1"]);
        check("127.0.0.1:5000/mysql", &hosted, &[]);
    }

    #[test]
    fn the_same_registry_namespace_and_tag_come_first() {
        check(
            "host:1/team/app:2",
            &["app:1", "host:1/team/app:1", "host:1/taem/app:2", "team/app:2", "other/app:2"],
            &["host:1/team/app:1", "host:1/taem/app:2", "team/app:2"],
        );
        check("app:1.3", &["app:1.2", "apq:1.3", "app:1.3"], &["app:1.2", "apq:1.3"]);
        let tags = ["debian:latest", "debian:bookworm-backports", "debian:bookworm-slim", "debian:trixie"];
        check(
            "debian:bookworm-slmi",
            &tags,
            &["debian:bookworm-slim", "debian", "debian:bookworm-backports"],
        );
        check("team/app", &["tema/app", "app", "mates/app"], &["app", "tema/app"]);
    }
}
