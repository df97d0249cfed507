//! What WORKDIR changes.

use expect_test::{Expect, expect};
use ireko_oci::GuestPath;

use super::*;
use crate::testing::{NOW, copy_of, show, texts, view_of, write};

#[track_caller]
fn check(base: &str, path: &str, user: &str, expect: Expect) {
    let op = MakeDir { path: GuestPath::new(path).unwrap(), user: user.to_owned() };
    let shown = match make_dir(&op, &view_of(base), NOW) {
        Ok(changes) => show(&write(changes).unwrap().index, &texts(&[], &copy_of("COPY /"))),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn missing_directories_belong_to_the_user() {
    check(
        "d 700 5:5 a",
        "/a/b/c",
        "3:4",
        expect![[r#"
        d 700 5:5 a
        d 755 3:4 a/b
        d 755 3:4 a/b/c
    "#]],
    );
    check(
        "",
        "/x",
        "",
        expect![[r#"
        d 755 0:0 x
    "#]],
    );
    check("", "/x", "app", expect!["cannot use `app`: the image has no user of this name"]);
}

#[test]
fn a_set_group_id_directory_passes_bit_and_group_on() {
    check(
        "d 2775 5:6 a",
        "/a/b/c",
        "",
        expect![[r#"
        d 2775 5:6 a
        d 2755 0:6 a/b
        d 2755 0:6 a/b/c
    "#]],
    );
    check(
        "d 2775 5:6 a",
        "/a/b",
        "3:4",
        expect![[r#"
        d 2775 5:6 a
        d 2755 3:4 a/b
    "#]],
    );
}

#[test]
fn what_is_there_stays() {
    check("d 700 5:5 a/b\nl l a", "/l/b", "1", expect![""]);
    check("", "/", "1", expect![""]);
    check(
        "l l /new",
        "/l",
        "1",
        expect![[r#"
        d 755 1:1 new
    "#]],
    );
    check(
        "f 644 0:0 f x",
        "/f",
        "",
        expect!["cannot use `/f`: a directory is needed there, and what is there is none"],
    );
}
