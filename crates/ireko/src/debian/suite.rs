//! The names of suites: codenames, versions, and roles that one suite after the other has.

use crate::failure::Failure;
use ireko_deb::release::Release;
use ireko_deb::sources::Distribution;
use ireko_report::nearest_names;

/// A suite of a distribution, by any of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) of: Distribution,
    /// The codename: `bookworm`; a role such as `stable` until the archive was asked who has it.
    pub(crate) name: String,
}

/// Versions that people say in place of codenames.
const VERSIONS: [(Distribution, &str, &str); 9] = [
    (Distribution::Debian, "11", "bullseye"),
    (Distribution::Debian, "12", "bookworm"),
    (Distribution::Debian, "13", "trixie"),
    (Distribution::Debian, "14", "forky"),
    (Distribution::Ubuntu, "20.04", "focal"),
    (Distribution::Ubuntu, "22.04", "jammy"),
    (Distribution::Ubuntu, "24.04", "noble"),
    (Distribution::Ubuntu, "25.10", "questing"),
    (Distribution::Ubuntu, "26.04", "resolute"),
];

/// What Debian's suites are to each other: the Release file says whose role it is today.
const ROLES: [&str; 4] = ["stable", "oldstable", "oldoldstable", "testing"];

/// Debian's suites that have neither a version nor a role.
const ENDLESS: [&str; 3] = ["unstable", "sid", "experimental"];

/// What Ubuntu's images are called, and what its archive has no name for.
const NO_ROLES: [&str; 4] = ["latest", "rolling", "devel", "lts"];

impl Suite {
    /// `debian:bookworm`, `debian:stable`, `ubuntu:24.04`, or a suite of Debian alone.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let (of, name) = match text.split_once(':') {
            Some(("debian", name)) => (Distribution::Debian, name),
            Some(("ubuntu", name)) => (Distribution::Ubuntu, name),
            Some((other, _)) => {
                return Err(Failure::user(format!(
                    "`{text}`: `{other}` is no distribution that is known here"
                ))
                .hint("there are debian and ubuntu: `debian:bookworm-slim`"));
            }
            None if text == "debian" => (Distribution::Debian, "latest"),
            None if text == "ubuntu" => (Distribution::Ubuntu, "latest"),
            None => (Distribution::Debian, text),
        };
        let is_sound = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_sound {
            return Err(Failure::user(format!("`{text}` names no suite"))
                .hint("`debian:bookworm`, `debian:stable`, `ubuntu:24.04`"));
        }
        let name = match (of, name) {
            (Distribution::Debian, "latest") => "stable",
            (Distribution::Ubuntu, role) if NO_ROLES.contains(&role) => {
                return Err(Failure::user(format!(
                    "`{text}` names no suite: Ubuntu's archive does not say which of its suites is that one"
                ))
                .hint(format!("name the release: {}", versions(of))));
            }
            (of, name) => {
                match VERSIONS.iter().find(|(whose, version, _)| *whose == of && *version == name) {
                    Some((_, _, codename)) => codename,
                    None if name.starts_with(|first: char| first.is_ascii_digit()) => {
                        return Err(no_such_version(text, of, name));
                    }
                    None => name,
                }
            }
        };
        let (base, date) = name.rsplit_once('-').unwrap_or((name, ""));
        if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Failure::user(format!("`{text}` names no suite: the archive has `{base}` as it is today"))
                .hint(format!("for that day: `{base}` with `--snapshot {date}T000000Z`, and with `--mirror` where the usual place of snapshots is not to be asked")));
        }
        Ok(Self { of, name: name.to_owned() })
    }

    /// Whether its codename is one that is known here. Others may be suites as well.
    pub(crate) fn is_known(&self) -> bool {
        VERSIONS.iter().any(|(of, _, name)| *of == self.of && *name == self.name)
    }

    /// That the archive has no such suite, where none is known here by that name either: it was mistyped. `place` is
    /// where it was looked for.
    pub(crate) fn mistyped(&self, place: &str) -> Option<Failure> {
        let known = known(self.of);
        if known.contains(&self.name) {
            return None;
        }
        let whose = self.of.origin().to_ascii_lowercase();
        let failure = Failure::user(format!("there is no suite `{}` at `{place}`", self.name));
        let near = nearest_names(&self.name, known.iter().map(String::as_str));
        let near: Vec<String> = near.iter().map(|name| format!("`{whose}:{name}`")).collect();
        Some(failure.hint(match near.is_empty() {
            true => format!("is it another distribution's? Known here are {}", versions(self.of)),
            false => format!("did you mean {}?", near.join(" or ")),
        }))
    }

    /// Whether only the archive knows which suite that is.
    pub(crate) fn is_role(&self) -> bool {
        self.of == Distribution::Debian && ROLES.contains(&self.name.as_str())
    }

    /// The suite that has a role, as its Release file says. Nothing where it does not say it.
    pub(crate) fn of_role(&self, release: &Release) -> Option<Self> {
        // One of another suite would have been signed by the same keys.
        let has_it = release.suite.as_ref() == Some(&self.name);
        let name = release.codename.clone().filter(|name| has_it && Self::parse(name).is_ok())?;
        Some(Self { of: self.of, name }).filter(|suite| !suite.is_role())
    }
}

/// Names that suites have, with those beside them.
fn known(of: Distribution) -> Vec<String> {
    let (more, beside): (&[&[&str]], &[&str]) = match of {
        Distribution::Debian => {
            (&[&ROLES, &ENDLESS], &["", "-updates", "-security", "-backports", "-proposed-updates"])
        }
        Distribution::Ubuntu => (&[], &["", "-updates", "-security", "-backports", "-proposed"]),
    };
    let versions = VERSIONS.iter().filter(|(whose, ..)| *whose == of).map(|(.., name)| *name);
    let names: Vec<&str> = versions.chain(more.concat()).collect();
    beside.iter().flat_map(|beside| names.iter().map(move |name| format!("{name}{beside}"))).collect()
}

/// The versions that are known, as they are typed.
fn versions(of: Distribution) -> String {
    let name = of.origin().to_ascii_lowercase();
    let known = VERSIONS.iter().rev().filter(|(whose, ..)| *whose == of);
    known.map(|(_, version, _)| format!("`{name}:{version}`")).collect::<Vec<_>>().join(", ")
}

fn no_such_version(text: &str, of: Distribution, name: &str) -> Failure {
    let begins = |version: &str| name.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'));
    let point = VERSIONS.iter().find(|(whose, version, _)| *whose == of && begins(version));
    let Some((_, version, codename)) = point else {
        return Failure::user(format!("`{text}`: no suite is known here by that version")).hint(format!(
            "there are {}; a suite of another version is named by its codename",
            versions(of)
        ));
    };
    let whose = of.origin();
    Failure::user(format!("`{text}`: a mirror has {whose} {version} as it is today, and none of its point releases"))
        .hint(format!(
            "`{}:{version}` (or `{codename}`) is the newest; with `--snapshot 20250520T000000Z` it is as it was at a time, where a mirror keeps that",
            whose.to_ascii_lowercase()
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match Suite::parse(text) {
            Ok(suite) => format!(
                "{} {}{}",
                suite.of.origin(),
                suite.name,
                if suite.is_role() { ", a role" } else { "" }
            ),
            Err(failure) => format!("{}; {}", failure.message, failure.hint.unwrap_or_default()),
        }
    }

    #[test]
    fn names_of_suites() {
        for (text, wanted) in [
            ("debian:bookworm", "Debian bookworm"),
            ("trixie", "Debian trixie"),
            ("debian:12", "Debian bookworm"),
            ("ubuntu:24.04", "Ubuntu noble"),
            ("debian", "Debian stable, a role"),
            ("debian:latest", "Debian stable, a role"),
            ("debian:oldstable", "Debian oldstable, a role"),
            ("debian:testing", "Debian testing, a role"),
            ("debian:sid", "Debian sid"),
            ("debian:unstable", "Debian unstable"),
            ("debian:bookworm-backports", "Debian bookworm-backports"),
            ("ubuntu:stable", "Ubuntu stable"),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
        for (text, wanted) in [
            (
                "debian:12.11",
                "a mirror has Debian 12 as it is today, and none of its point releases; `debian:12` (or",
            ),
            ("ubuntu:24.04.3", "Ubuntu 24.04 as it is today, and none of its point releases; `ubuntu:24.04`"),
            ("debian:24.04", "no suite is known here by that version; there are `debian:14`, `debian:13`"),
            ("debian:1", "no suite is known here by that version"),
            ("ubuntu:latest", "which of its suites is that one; name the release: `ubuntu:26.04`"),
            ("ubuntu:rolling", "names no suite"),
            ("debian:bookworm-20250520", "with `--snapshot 20250520T000000Z`"),
            ("debian:", "names no suite"),
            ("fedora:40", "no distribution that is known here"),
        ] {
            assert!(told(text).contains(wanted), "{text}: {}", told(text));
        }
    }

    #[test]
    fn what_was_mistyped_is_told_with_what_was_meant() {
        let told = |text: &str| {
            let suite = Suite::parse(text).expect("a name");
            suite
                .mistyped("x")
                .map(|failure| format!("{}; {}", failure.message, failure.hint.unwrap_or_default()))
        };
        for (text, wanted) in [
            ("debian:bookwrm", "there is no suite `bookwrm` at `x`; did you mean `debian:bookworm`?"),
            ("debian:bokworm-backports", "did you mean `debian:bookworm-backports`"),
            ("debian:tixie", "did you mean `debian:trixie`"),
            ("debian:unstabel", "did you mean `debian:unstable`"),
            ("ubuntu:nobel", "did you mean `ubuntu:noble`?"),
            ("debian:noble", "is it another distribution's? Known here are `debian:14`"),
            ("debian:sqeeze", "Known here are `debian:14`"),
        ] {
            assert!(told(text).is_some_and(|told| told.contains(wanted)), "{text}: {:?}", told(text));
        }
        for text in ["debian:bookworm", "debian:stable", "trixie-backports", "ubuntu:24.04", "debian:sid"] {
            assert_eq!(told(text), None, "{text}");
        }
    }

    #[test]
    fn roles_are_what_release_files_say() {
        let suite = Suite::parse("debian:stable").expect("a suite");
        let release = |suite: &str, codename: &str| Release {
            suite: Some(suite.to_owned()),
            codename: Some(codename.to_owned()),
            ..Release::default()
        };
        let name = |release: &Release| suite.of_role(release).map(|suite| suite.name);
        assert_eq!(name(&release("stable", "trixie")), Some("trixie".to_owned()));
        for (has, codename) in [("oldstable", "bookworm"), ("stable", "stable"), ("stable", "../x")] {
            assert_eq!(name(&release(has, codename)), None, "{has} {codename}");
        }
    }
}
