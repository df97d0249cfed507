//! Release files, their dates, and what they are held against.

use proptest::prelude::*;

use super::*;

const BOOKWORM: &str = "Origin: Debian
Label: Debian
Suite: oldstable
Version: 12.15
Codename: bookworm
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64 arm64
Components: main contrib updates/non-free
Snapshots: https://snapshot.debian.org/archive/debian/@SNAPSHOTID@/
MD5Sum:
 0123 1 main/binary-amd64/Packages
SHA256:
 0e5bfc0cec33f20d86e54fa50bf3f5a4b866745ce8bb1b37fcb864e3b03f8040     2051 main/binary-amd64/Packages.xz
 c90d77ab3dd6c9ed6d7c78ad281cec1e4b5cf232f1299ec989a25c9bbf1d1874  2084  main/binary-amd64/Packages
";

fn bookworm() -> Release {
    Release::parse(BOOKWORM.as_bytes()).expect("well formed")
}

const MADE: u64 = 1_783_764_997;

fn expected(suite: &str) -> Expected<'_> {
    Expected { suite, now: MADE + 3600, known: None, past: false }
}

#[test]
fn fields_are_read() {
    let release = bookworm();
    assert_eq!(release.origin.as_deref(), Some("Debian"));
    assert_eq!(release.date, Some(MADE));
    assert_eq!(release.valid_until, Some(MADE + 7 * 86_400));
    assert!(release.by_hash && !release.all_is_apart && !release.not_automatic);
    assert_eq!(release.architectures, ["all", "amd64", "arm64"]);
    assert!(["main", "non-free"].iter().all(|one| release.has_component(one)) && !release.has_component("x"));
    assert_eq!(release.files.len(), 2);
    assert_eq!(release.files["main/binary-amd64/Packages.xz"].size, 2051);
    let hash = show_hash(&release.files["main/binary-amd64/Packages"].sha256);
    assert!(hash.starts_with("c90d77ab"));
    let snapshot = release.snapshot("20250520T000000Z");
    assert_eq!(snapshot.as_deref(), Some("https://snapshot.debian.org/archive/debian/20250520T000000Z/"));
    let apart = BOOKWORM.replace("No-Support-for-Architecture-all: Packages\n", "");
    assert!(Release::parse(apart.as_bytes()).expect("well formed").all_is_apart);
}

#[test]
fn what_cannot_be_used_is_told() {
    let check = |from: &str, to: &str, wanted: &str| {
        let error = Release::parse(BOOKWORM.replace(from, to).as_bytes()).expect_err(to);
        assert_eq!(error.to_string(), wanted);
    };
    check("SHA256:", "SHA1:", "it names no SHA-256 of its files, and nothing weaker is believed");
    check("Sat, 11 Jul", "11 Jul", "field `Date`: `11 Jul 2026 10:16:37 UTC` is no date");
    check("UTC\nAcq", "CEST\nAcq", "field `Valid-Until`: `Sat, 18 Jul 2026 10:16:37 CEST` is no date");
    check("Label: Debian\n", "\n", "it has 2 paragraphs instead of one");
    check("Label: Debian", "Label", "line 2 is neither a field nor the continuation of one: `Label`");
    check(
        "0e5bfc",
        "é5bfc",
        &format!(
            "field `SHA256`: `é5bfc{}` is no hash with size and path",
            "0cec33f20d86e54fa50bf3f5a4b866745ce8bb1b37fcb864e3b03f8040     2051 main/bi"
        ),
    );
    assert_eq!(Release::parse(b""), Err(ReleaseError::Paragraphs(0)));
    assert_eq!(Release::parse(b"\xff"), Err(ReleaseError::NotText));
}

#[test]
fn a_release_is_of_the_suite_that_was_asked_for() {
    let release = bookworm();
    for suite in ["bookworm", "oldstable", "bookworm/updates", "anything/", "./"] {
        assert_eq!(release.check(&expected(suite)), Ok(()), "{suite}");
    }
    let error = release.check(&expected("trixie")).expect_err("another");
    assert_eq!(error.to_string(), "it is of `oldstable`, `bookworm`, and `trixie` was asked for");
    let nameless = Release { suite: None, codename: None, ..release };
    assert_eq!(nameless.check(&expected("trixie")), Ok(()));
}

#[test]
fn times_are_held() {
    let release = bookworm();
    let at = |now: u64| Expected { now, ..expected("bookworm") };
    let check = |expected: Expected<'_>| release.check(&expected).map_err(|error| error.to_string());
    assert_eq!(check(at(MADE - 10)), Ok(()));
    let future = "it is valid from Sat, 11 Jul 2026 10:16:37 UTC on only; check the clock";
    assert_eq!(check(at(MADE - 11)), Err(future.to_owned()));
    assert_eq!(check(at(MADE + 7 * 86_400)), Ok(()));
    assert!(matches!(release.check(&at(MADE + 7 * 86_400 + 1)), Err(ReleaseError::Expired { .. })));
    assert_eq!(check(Expected { past: true, ..at(MADE * 2) }), Ok(()));
    assert_eq!(check(Expected { known: Some(MADE), ..at(MADE) }), Ok(()));
    let older = "it is of Sat, 11 Jul 2026 10:16:37 UTC, older than the one of Sat, 11 Jul 2026 10:16:38 UTC that \
                 has come before from this place";
    assert_eq!(check(Expected { known: Some(MADE + 1), ..at(MADE) }), Err(older.to_owned()));
}

#[test]
fn dates() {
    for (text, wanted) in [
        ("Thu, 01 Jan 1970 00:00:00 UTC", Some(0)),
        ("Thu, 1 Jan 1970 0:00:09 GMT", Some(9)),
        ("Mon, 29 Feb 2016 12:00:00 Z", Some(1_456_747_200)),
        ("Wed, 31 Dec 1969 23:59:59 UTC", None),
        ("Wed, 1 Jan 2025 00:00:00 +0200", None),
        ("Wed, 1 Foo 2025 00:00:00 UTC", None),
        ("Wed, 1 Jan 2025 24:00:00 UTC", None),
        ("Wed, +1 Jan 2025 00:00:00 UTC", None),
        ("", None),
    ] {
        assert_eq!(parse_date(text), wanted, "{text}");
    }
    assert!(show_date(u64::MAX).ends_with("UTC"));
}

proptest! {
    #[test]
    fn dates_are_read_back(seconds in 0_u64..250_000_000_000) {
        prop_assert_eq!(parse_date(&show_date(seconds)), Some(seconds));
    }

    #[test]
    fn any_text_ends(text in "\\PC{0,40}", lines in "(SHA256|Date|Suite): ?[0-9a-z, :\n]{0,30}") {
        let _ = Release::parse(text.as_bytes());
        let _ = Release::parse(lines.as_bytes());
        let _ = parse_date(&text);
        let _ = parse_hash(&text);
    }
}
