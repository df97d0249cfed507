//! Sources in both forms, and which of them serve a suite.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn show(sources: &[Source]) -> String {
    let mut out = String::new();
    for one in sources {
        let line = one.place.as_ref().map_or(0, |(_, line)| *line);
        out += &format!("{line}: {} {} [{}]", one.uri, one.suite, one.components.join(" "));
        if !one.architectures.is_empty() {
            out += &format!(" arch={}", one.architectures.join(","));
        }
        let SignedBy { files, fingerprints, key } = &one.signed_by;
        files.iter().for_each(|file| out += &format!(" by={}", file.display()));
        fingerprints.iter().for_each(|one| out += &format!(" by={one}"));
        if let Some(key) = key {
            out += &format!(" key={key:?}");
        }
        for (name, value) in
            [("trusted", one.trusted), ("valid-until", one.check_valid_until), ("by-hash", one.by_hash)]
        {
            if let Some(value) = value {
                out += &format!(" {name}={value}");
            }
        }
        out.push('\n');
    }
    out
}

#[track_caller]
fn check(read: Result<Vec<Source>, SourcesError>, expect: Expect) {
    expect.assert_eq(&match read {
        Ok(sources) => show(&sources),
        Err(error) => format!("error: {error}\n"),
    });
}

#[track_caller]
fn list(text: &str, expect: Expect) {
    check(from_list("a.list", text, "amd64"), expect);
}

#[track_caller]
fn deb822(text: &str, expect: Expect) {
    check(from_deb822("a.sources", text, "amd64"), expect);
}

#[test]
fn lines() {
    list(
        "# a comment\n\ndeb http://deb.debian.org/debian bookworm main contrib # more\n\
         deb-src http://deb.debian.org/debian bookworm main\n\
         deb [ arch=amd64,arm64 signed-by=/k/a.gpg,/k/b.asc trusted=yes ] https://x.io/$(ARCH) stable main\n\
         deb [check-valid-until=no by-hash=force arch+=i386] file:/srv/repo ./\n\
         deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main\n\
         deb [signed-by=0123456789ABCDEF0123456789ABCDEF01234567!] http://x.io/ y z\n",
        expect![[r#"
            3: http://deb.debian.org/debian bookworm [main contrib]
            5: https://x.io/amd64 stable [main] arch=amd64,arm64 by=/k/a.gpg by=/k/b.asc trusted=true
            6: file:/srv/repo ./ [] arch=i386 valid-until=false by-hash=true
            8: http://x.io/ y [z] by=0123456789ABCDEF0123456789ABCDEF01234567!
        "#]],
    );
    list(
        "dep http://x y z",
        expect![[r#"
        error: `a.list`, line 1: a line begins with `deb` or `deb-src`, not with `dep`
    "#]],
    );
    list(
        "\ndeb http://x",
        expect![[r#"
        error: `a.list`, line 2: a source is `deb URI SUITE COMPONENT…`; its URI or suite is missing
    "#]],
    );
    list(
        "deb [arch=amd64 http://x y z",
        expect![[r#"
        error: `a.list`, line 1: a `[` is not closed
    "#]],
    );
    list(
        "deb [trusted] http://x y z",
        expect![[r#"
        error: `a.list`, line 1: option `trusted` has no value; write `trusted=…`
    "#]],
    );
    list(
        "deb http://x bookworm",
        expect![[r#"
        error: `a.list`, line 1: suite `bookworm` has no components; `main` is one of most archives
    "#]],
    );
    list(
        "deb http://x ./ main",
        expect![[r#"
        error: `a.list`, line 1: `./` ends with `/`, so the archive is flat and has no components
    "#]],
    );
    list(
        "deb deb.debian.org bookworm main",
        expect![[r#"
        error: `a.list`, line 1: `deb.debian.org` is no URI; write for example `http://deb.debian.org`
    "#]],
    );
}

#[test]
fn paragraphs() {
    deb822(
        "Types: deb deb-src\n# http://snapshot.debian.org/x\nURIs: http://a/debian http://b/debian\n\
         Suites: bookworm\n bookworm-updates\nComponents: main\nArchitectures: amd64\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
         Types: deb\nURIs: http://c\nSuites: x\nComponents: y\nEnabled: no\n\n\
         Types: deb-src\nURIs: http://d\nSuites: x\nComponents: y\n\n\
         types: deb\nuris: http://e\nsuites: flat/\ntrusted: yes\nsigned-by:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xyz=\n -----END PGP PUBLIC KEY BLOCK-----\n",
        expect![[r#"
            1: http://a/debian bookworm [main] arch=amd64 by=/usr/share/keyrings/debian-archive-keyring.gpg
            1: http://a/debian bookworm-updates [main] arch=amd64 by=/usr/share/keyrings/debian-archive-keyring.gpg
            1: http://b/debian bookworm [main] arch=amd64 by=/usr/share/keyrings/debian-archive-keyring.gpg
            1: http://b/debian bookworm-updates [main] arch=amd64 by=/usr/share/keyrings/debian-archive-keyring.gpg
            21: http://e flat/ [] key="-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxyz=\n-----END PGP PUBLIC KEY BLOCK-----\n" trusted=true
        "#]],
    );
    deb822(
        "Types: deb\nURIs: http://c\nComponents: y\n",
        expect![[r#"
        error: `a.sources`, line 1: a source needs the field `Suites`
    "#]],
    );
    deb822(
        "\nTypes: deb\nURIs\n",
        expect![[r#"
        error: `a.sources`, line 3: `URIs` is neither a field nor the continuation of one
    "#]],
    );
    deb822(
        "Types: deb\nURIs: http://c\nSuites: a b/\n",
        expect![[r#"
        error: `a.sources`, line 1: suite `a` has no components; `main` is one of most archives
    "#]],
    );
}

#[test]
fn where_release_files_are() {
    let at = |uri: &str, suite: &str| {
        Source { uri: uri.to_owned(), suite: suite.to_owned(), ..Source::default() }.directory()
    };
    assert_eq!(at("http://a/debian/", "bookworm"), "http://a/debian/dists/bookworm/");
    assert_eq!(at("http://a", "buster/updates"), "http://a/dists/buster/updates/");
    assert_eq!(at("file:/srv", "./"), "file:/srv/");
    assert_eq!(at("file:/srv", "/"), "file:/srv/");
    assert_eq!(at("http://a/x", "y/z/"), "http://a/x/y/z/");
}

const HOST: &str = "deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
deb http://deb.debian.org/debian bookworm-backports main
deb http://deb.debian.org/debian trixie main
deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main
deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian bookworm stable
deb [signed-by=/usr/share/keyrings/microsoft.gpg] https://packages.microsoft.com/debian/12/prod bookworm main
deb [signed-by=/etc/apt/keyrings/corp.gpg] http://mirror.corp/apt noble main universe
deb [arch=arm64] http://ports.ubuntu.com/ubuntu-ports jammy main
";

#[test]
fn those_of_a_suite() {
    use Distribution::{Debian, Ubuntu};
    let host = from_list("h", HOST, "amd64").expect("well formed");
    let lines = |of, suite: &str, architecture: &str| -> Vec<usize> {
        let chosen = serving(&host, of, suite, architecture);
        chosen.iter().filter_map(|one| one.place.as_ref().map(|(_, line)| *line)).collect()
    };
    assert_eq!(lines(Debian, "bookworm", "amd64"), [1, 2, 3]);
    assert_eq!(lines(Debian, "bookworm-backports", "amd64"), [1, 2, 3, 4]);
    assert_eq!(lines(Debian, "trixie", "amd64"), [5]);
    let extra = serving(&host, Debian, "trixie-backports", "amd64");
    assert_eq!(
        (extra[1].uri.as_str(), extra[1].suite.as_str()),
        ("http://deb.debian.org/debian", "trixie-backports")
    );
    assert_eq!(lines(Debian, "sid", "amd64"), [0; 0]);
    assert_eq!(lines(Ubuntu, "noble", "amd64"), [9]);
    assert_eq!(lines(Ubuntu, "jammy", "arm64"), [10]);
    assert_eq!(lines(Ubuntu, "jammy", "amd64"), [0; 0]);
    let own =
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.corp/x bookworm main\n";
    let both =
        from_list("h", &format!("{own}{HOST}").replace("deb.debian.org", "d.io"), "amd64").expect("both");
    assert_eq!(serving(&both, Debian, "bookworm", "amd64").len(), 4);
    let snapshot = "deb http://snapshot.debian.org/archive/debian/20250520T000000Z bookworm main";
    let snapshot = from_list("h", snapshot, "amd64").expect("one");
    assert_eq!(serving(&snapshot, Debian, "bookworm", "amd64").len(), 1);
}

#[test]
fn usual_ones() {
    let check = |of, asked: &str, expect: Expect| {
        let (suite, architecture) = asked.split_once(' ').expect("both");
        expect.assert_eq(&show(&defaults(of, suite, architecture)));
    };
    let (debian, ubuntu) = (Distribution::Debian, Distribution::Ubuntu);
    check(
        debian,
        "bookworm amd64",
        expect![[r#"
        0: http://deb.debian.org/debian bookworm [main]
        0: http://deb.debian.org/debian bookworm-updates [main]
        0: http://deb.debian.org/debian-security bookworm-security [main]
    "#]],
    );
    check(
        debian,
        "trixie-backports arm64",
        expect![[r#"
        0: http://deb.debian.org/debian trixie [main]
        0: http://deb.debian.org/debian trixie-updates [main]
        0: http://deb.debian.org/debian-security trixie-security [main]
        0: http://deb.debian.org/debian trixie-backports [main]
    "#]],
    );
    check(
        debian,
        "buster amd64",
        expect![[r#"
        0: http://deb.debian.org/debian buster [main]
        0: http://deb.debian.org/debian buster-updates [main]
        0: http://deb.debian.org/debian-security buster/updates [main]
    "#]],
    );
    check(
        debian,
        "unstable amd64",
        expect![[r#"
        0: http://deb.debian.org/debian sid [main]
    "#]],
    );
    check(
        debian,
        "experimental amd64",
        expect![[r#"
        0: http://deb.debian.org/debian sid [main]
        0: http://deb.debian.org/debian experimental [main]
    "#]],
    );
    check(
        ubuntu,
        "noble amd64",
        expect![[r#"
        0: http://archive.ubuntu.com/ubuntu noble [main universe]
        0: http://archive.ubuntu.com/ubuntu noble-updates [main universe]
        0: http://security.ubuntu.com/ubuntu noble-security [main universe]
    "#]],
    );
    check(
        ubuntu,
        "noble arm64",
        expect![[r#"
        0: http://ports.ubuntu.com/ubuntu-ports noble [main universe]
        0: http://ports.ubuntu.com/ubuntu-ports noble-updates [main universe]
        0: http://ports.ubuntu.com/ubuntu-ports noble-security [main universe]
    "#]],
    );
}

proptest! {
    #[test]
    fn any_text_ends(text in "(deb|#|\\[|\\]|=|/|:|a|Types|URIs|Suites|Components|\n| ){0,40}") {
        for read in [from_list("f", &text, "amd64"), from_deb822("f", &text, "amd64")] {
            for source in read.unwrap_or_default() {
                prop_assert_eq!(source.is_flat(), source.components.is_empty());
                prop_assert!(source.directory().ends_with('/'));
                let _ = serving(std::slice::from_ref(&source), Distribution::Debian, "a", "amd64");
            }
        }
    }
}
