//! ADD of local archives.

use std::fs;
use std::process::Command;

use expect_test::{Expect, expect};

use super::*;

/// What ADD makes of an archive of `inside`, packed with `tar`'s `flag` under `name`.
#[track_caller]
fn check(base: &str, inside: &str, flag: &str, words: &str, expect: Expect) {
    let bench = Bench::new();
    let packed = bench.scratch().join("packed");
    fs::create_dir(&packed).unwrap();
    lay(inside, &packed);
    let mut tar = Command::new("tar");
    tar.args(["--owner=7", "--group=8", "--sort=name", flag]).arg(bench.path().join("a.tar"));
    assert!(tar.arg("-C").arg(&packed).arg(".").status().unwrap().success());
    let context = bench.context("");
    let (copy, view) = (copy_of(words), view_of(base));
    let scratch = bench.scratch();
    let picked = pick(&copy, &FileSource::Context(&context)).unwrap();
    let made =
        perform_copy(&copy, &picked, &view, Workplace { scratch: &scratch, cancel: &Cancel::default() }, NOW)
            .and_then(|changes| Ok(write(changes)?));
    let shown = match made {
        Ok(written) => show(&written.index, &texts(&[inside], &copy)),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn an_archive_is_unpacked_with_its_own_owners() {
    for flag in ["-cf", "-czf", "-cjf", "-cJf"] {
        check(
            "",
            "f 640 0:0 etc/a one\nl etc/l a",
            flag,
            "ADD a.tar /x",
            expect![[r#"
            d 755 0:0 x
            d 755 7:8 x/etc
            f 640 7:8 x/etc/a one
            l x/etc/l a
        "#]],
        );
    }
}

#[test]
fn an_archive_replaces_what_is_in_its_way() {
    let base = "d 755 0:0 dir/old\nl link dir\nf 644 0:0 file x";
    let inside = "f 644 0:0 dir now\nf 644 0:0 link/a one\nf 644 0:0 file/b two";
    check(
        base,
        inside,
        "-cf",
        "ADD a.tar /",
        expect![[r#"
        f 644 7:8 dir now
        d 755 7:8 file
        f 644 7:8 file/b two
        d 755 7:8 link
        f 644 7:8 link/a one
    "#]],
    );
}

#[test]
fn copy_takes_an_archive_as_a_file() {
    check(
        "",
        "f 644 0:0 a one",
        "-cf",
        "COPY a.tar /x",
        expect![[r#"
        f 644 0:0 x ?
    "#]],
    );
}

#[test]
fn what_only_looks_like_an_archive_is_a_file() {
    check(
        "",
        "",
        "-cf",
        "ADD a.ta? /x/",
        expect![[r#"
        d 755 0:0 x
    "#]],
    );
    super::check(
        "",
        "f 644 0:0 a.tar text",
        "ADD a.tar /x/",
        expect![[r#"
        d 755 0:0 x
        f 644 0:0 x/a.tar text
    "#]],
    );
}
