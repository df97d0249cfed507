//! Small archives, one for each rule of the solver.

use super::*;
use crate::index::{Input, List, Origin, Priority};

/// A list in few words: `a 1 Depends: b; Provides: c`, one package a line, `a:i386` for another architecture.
fn list(lines: &str) -> String {
    let one = |line: &str| {
        let mut parts = line.trim().splitn(3, ' ');
        let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (name, architecture) = name.split_once(':').unwrap_or((name, "amd64"));
        let fields = parts.next().unwrap_or_default().replace("; ", "\n");
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nPriority: optional\n{fields}\n"
        )
    };
    lines.lines().filter(|line| !line.trim().is_empty()).map(one).collect::<Vec<_>>().join("\n")
}

struct Archive {
    stable: String,
    backports: String,
    status: String,
}

impl Archive {
    fn of(stable: &str) -> Self {
        Self { stable: list(stable), backports: String::new(), status: String::new() }
    }

    fn installed(stable: &str, status: &str) -> Self {
        let status =
            list(status).replace("Priority: optional", "Priority: optional\nStatus: install ok installed");
        Self { status, ..Self::of(stable) }
    }

    fn answer(&self, requests: &str, options: &Options<'_>) -> Result<String, ResolveError> {
        let backports = Origin {
            codename: "backports",
            not_automatic: true,
            but_automatic_upgrades: true,
            ..Origin::default()
        };
        let stable = Origin { codename: "stable", ..Origin::default() };
        let lists = vec![
            List { text: &self.stable, origin: stable },
            List { text: &self.backports, origin: backports },
        ];
        let input = Input { native: "amd64", foreign: &["i386"], lists, status: &self.status };
        let index = Index::build(&input).expect("well formed lists");
        let requests: Vec<Request> = requests.split(' ').map(|word| Request::Text(word.to_owned())).collect();
        let solution = resolve(&index, &requests, options)?;
        let show = |version: VersionId| {
            let architecture = match index.architecture(version) {
                "i386" => ":i386",
                _ => "",
            };
            format!("{}{architecture}={}", index.name(version), index.version(version))
        };
        let install = solution.install.iter().map(|chosen| show(chosen.version));
        let remove = solution.remove.iter().map(|version| format!("-{}", show(*version)));
        Ok(install.chain(remove).collect::<Vec<_>>().join(" "))
    }
}

#[track_caller]
fn check(archive: &Archive, requests: &str, expected: &str) {
    let told = match archive.answer(requests, &Options::default()) {
        Ok(answer) => answer,
        Err(error) => format!("! {error}"),
    };
    assert_eq!(told, expected, "{requests}");
}

#[test]
fn dependencies_and_their_versions() {
    let archive = Archive::of(
        "a 1 Depends: b (>= 2), c
         b 1
         b 2 Pre-Depends: d
         c 1 Recommends: e; Suggests: f
         d 1
         e 1
         f 1",
    );
    check(&archive, "a", "a=1 b=2 c=1 d=1");
    let answer = |recommends, suggests| {
        archive.answer("c", &Options { recommends, suggests, ..Options::default() }).expect("an answer")
    };
    assert_eq!((answer(true, false).as_str(), answer(true, true).as_str()), ("c=1 e=1", "c=1 e=1 f=1"));
    check(&archive, "b=1", "b=1");
    check(&archive, "b=1*", "b=1");
}

#[test]
fn the_first_alternative_that_can_be_is_taken() {
    let archive = Archive::of(
        "a 1 Depends: missing | broken | b | c
         broken 1 Depends: missing
         b 1
         c 1",
    );
    check(&archive, "a", "a=1 b=1");
    check(&archive, "a c", "a=1 c=1");
    check(&archive, "a b-", "a=1 c=1");
}

#[test]
fn providers() {
    let archive = Archive::of(
        "a 1 Depends: virtual
         v 1 Depends: versioned (>= 2)
         u 1 Depends: unversioned (>= 2)
         old 1 Provides: virtual, versioned (= 1)
         new 1 Provides: virtual, versioned (= 2), unversioned
         only 1 Provides: sole",
    );
    // The one that is known last.
    check(&archive, "a", "a=1 new=1");
    check(&archive, "a old", "a=1 old=1");
    check(&archive, "v", "new=1 v=1");
    check(&archive, "sole", "only=1");
    check(&archive, "virtual", "! `virtual` is a virtual package, ask for one that provides it: new, old");
    check(
        &archive,
        "u",
        "! cannot install `u` 1\n  u 1 depends on unversioned (>= 2)\n    unversioned is in no list",
    );
}

#[test]
fn conflicts_are_told_with_their_chain() {
    let archive = Archive::of(
        "a 1 Depends: b
         b 1
         c 1 Conflicts: b
         d 1 Breaks: b (<< 1)
         e 1 Provides: mail; Conflicts: mail
         f 1 Provides: mail; Conflicts: mail",
    );
    check(
        &archive,
        "a c",
        "! cannot install `c` 1\n  c 1 conflicts with b, but b 1 (for a) is to be installed",
    );
    check(&archive, "a d", "a=1 b=1 d=1");
    let told = archive.answer("e f", &Options::default()).expect_err("a conflict").to_string();
    assert!(told.contains("e 1 conflicts with mail, but f 1 is to be installed"), "{told}");
}

#[test]
fn what_is_not_there() {
    let archive = Archive::of("hello 1 Depends: named\n b 1");
    check(&archive, "helo", "! no package is called `helo`; there is hello");
    check(&archive, "named", "! package `named` is named by other packages, but no list has it");
    check(&archive, "hello=2", "! package `hello` has no version `2`, only 1");
    check(&archive, "hello/other", "! package `hello` is not in `other`, only in stable");
    check(&archive, "hello/installed", "! package `hello` is not installed");
}

#[test]
fn another_suite_brings_what_it_needs() {
    let mut archive = Archive::of("a 1 Depends: b\n b 1\n c 1");
    archive.backports = list("a 2 Depends: b (>= 2), c\n b 2\n c 2");
    check(&archive, "a", "a=1 b=1");
    check(&archive, "a/backports", "a=2 b=2 c=1");
    check(
        &archive,
        "a=2",
        "! cannot install `a` 2\n  a 2 depends on b (>= 2), but it is not going to be installed",
    );
}

#[test]
fn architectures() {
    let archive = Archive::of(
        "a:i386 1 Depends: lib, tool, perl:any
         b 1 Depends: lib
         lib 1 Multi-Arch: same
         lib:i386 1 Multi-Arch: same
         tool 1 Multi-Arch: foreign
         tool:i386 1 Multi-Arch: foreign
         perl 1 Multi-Arch: allowed
         single 1
         single:i386 1",
    );
    check(&archive, "a:i386 b", "a:i386=1 b=1 lib=1 lib:i386=1 perl=1 tool=1");
    let told = archive.answer("single single:i386", &Options::default()).expect_err("siblings").to_string();
    assert!(told.contains("conflicts with single"), "{told}");
}

#[test]
fn what_is_installed_counts() {
    let stable = "a 2 Depends: b (>= 2)\n b 2 Breaks: c (<< 2)\n c 2\n d 1 Conflicts: e\n x 1 Depends: y | z\n y 1\n z 1";
    let archive = Archive::installed(stable, "b 1\n c 1\n e 1\n z 1");
    check(&archive, "a", "a=2 b=2 c=2");
    check(&archive, "d", "d=1 -e=1");
    check(&archive, "x", "x=1");
    check(&archive, "c", "c=2");
}

#[test]
fn reasons_lead_to_the_request() {
    let stable = list("a 1 Depends: b\n b 1 Recommends: c\n c 1");
    let lists = vec![List { text: &stable, origin: Origin::default() }];
    let index =
        Index::build(&Input { native: "amd64", foreign: &[], lists, status: "" }).expect("well formed");
    let options = Options { recommends: true, ..Options::default() };
    let solution = resolve(&index, &[Request::Text("a".to_owned())], &options).expect("an answer");
    let shown: Vec<String> = solution
        .install
        .iter()
        .map(|chosen| match chosen.reason {
            Reason::Requested(at) => format!("{}: request {at}", index.name(chosen.version)),
            Reason::Needed { by, kind } => {
                format!("{}: {} {}", index.name(chosen.version), index.name(by), kind.verb())
            }
            Reason::Unknown => "unknown".to_owned(),
        })
        .collect();
    assert_eq!(shown, ["a: request 0", "b: a depends on", "c: b recommends"]);
}

#[test]
fn a_set_by_priority() {
    let stable = list("a 1 Depends: d\n b 1 Essential: yes\n c 1\n d 1").replace(
        "Package: c\nVersion: 1\nArchitecture: amd64\nPriority: optional",
        "Package: c\nVersion: 1\nArchitecture: amd64\nPriority: required",
    );
    let lists = vec![List { text: &stable, origin: Origin::default() }];
    let index =
        Index::build(&Input { native: "amd64", foreign: &[], lists, status: "" }).expect("well formed");
    let set = index.candidates(|essential, priority| essential || priority <= Priority::Required);
    let names: Vec<&str> = set.iter().map(|version| index.name(*version)).collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn names_that_are_not_wanted() {
    let archive = Archive::of("a 1 Depends: b | c\n b 1\n c 1\n g++ 1");
    let without = ["b".to_owned()];
    let options = Options { without: &without, ..Options::default() };
    assert_eq!(archive.answer("a", &options).expect("an answer"), "a=1 c=1");
    check(
        &archive,
        "a b- c-",
        "! cannot install `a` 1\n  a 1 depends on b | c\n    b is not wanted\n    c is not wanted",
    );
    check(&archive, "g++", "g++=1");
}

#[test]
fn lines_of_any_white_space_are_empty() {
    for text in ["\u{c}", " \u{c}\n", "\u{c}\nPackage: b\n", "Package: b\n\u{c}\n\r\n\u{c}"] {
        let lists = vec![List { text, origin: Origin::default() }];
        if let Ok(index) = Index::build(&Input { native: "amd64", foreign: &[], lists, status: "" }) {
            let asked = [Request::Text("a".to_owned())];
            assert!(resolve(&index, &asked, &Options::default()).is_err(), "{text:?}");
        }
    }
}
