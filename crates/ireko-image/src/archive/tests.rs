//! Archives of strangers.

use super::*;
use expect_test::{Expect, expect};
use ireko_testkit::TarStream;
use proptest::prelude::*;

fn check(bytes: &[u8], expect: Expect) {
    let mut members = Members::new(Passing(bytes));
    let mut text = String::new();
    loop {
        match members.next() {
            Ok(None) => break,
            Ok(Some(member)) => {
                let mut content = String::new();
                members.read_to_string(&mut content).unwrap();
                text += &format!("{:?} {:?} {} {content:?}\n", member.name, member.role, member.size);
            }
            Err(error) => {
                text += &format!("error: {error}\n");
                break;
            }
        }
    }
    expect.assert_eq(&text);
}

#[test]
fn names_and_links_stay_inside() {
    let tar = TarStream::new()
        .dir("a")
        .file("./a/b", "1")
        .file("../out", "2")
        .file("/abs", "3")
        .symlink("a/layer.tar", "../c/layer.tar")
        .symlink("a/away", "../../etc/passwd")
        .hardlink("d", "a/b")
        .fifo("pipe");
    check(
        &tar.bytes(),
        expect![[r#"
        "a" Other 0 ""
        "a/b" File 1 "1"
        "" File 1 "2"
        "abs" File 1 "3"
        "a/layer.tar" Link("c/layer.tar") 0 ""
        "a/away" Other 0 ""
        "d" Link("a/b") 0 ""
        "pipe" Other 0 ""
    "#]],
    );
}

#[test]
fn pax_names_count() {
    let long = "x/".repeat(100) + "layer";
    let tar = TarStream::new().pax(&[("path", long.as_bytes())]).file("short", "1").bytes();
    let member = Members::new(Passing(tar.as_slice())).next().unwrap().unwrap();
    assert_eq!(member.name, long);
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    check(
        b"this is some text, not a tar",
        expect![[r#"
        error: unexpected end of file
    "#]],
    );
    check(
        &[b'x'; 1024],
        expect![[r#"
        error: a header's checksum is wrong
    "#]],
    );
    let whole = TarStream::new().file("a", [1; 600]).file("b", "2").bytes();
    let mut members = Members::new(Passing(&whole[..700]));
    members.next().unwrap();
    assert_eq!(members.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let mut members = Members::new(Passing(bytes.as_slice()));
        while let Ok(Some(_)) = members.next() {}
    }

    #[test]
    fn damaged_archives_are_read_to_an_end(at in 0_usize..2048, byte in any::<u8>()) {
        let mut bytes = TarStream::new().file("a", "1").symlink("b", "a").file("c", [2; 300]).bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let mut members = Members::new(Passing(bytes.as_slice()));
        while let Ok(Some(_)) = members.next() {}
    }
}
