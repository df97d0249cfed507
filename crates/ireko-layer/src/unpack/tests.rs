//! Tars of other programs, old, odd and hostile.

use std::fs;
use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::testing::{changes, dir, file, index, path, raw, sealed, show, write};
use crate::{Change, LayerWriter, ScanOptions, Time, scan_upper, tar_of_snapshot};

fn options<'a>() -> UnpackOptions<'a> {
    UnpackOptions { attrs: OverlayAttrs::User, below: None, lower: None }
}

fn as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped because only root may set owners and make devices");
    }
    root
}

/// Reads the tar with and without unpacking it; outside the directory nothing may appear.
#[track_caller]
fn check(entries: &[Vec<u8>], expect: Expect) {
    let tar = [entries.concat(), vec![0; 1024]].concat();
    let read = index_of(tar.as_slice());
    let shown = match &read {
        Ok(written) => show(&written.index),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
    if !as_root() {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let into = outer.path().join("in/side");
    fs::create_dir_all(&into).unwrap();
    fs::write(outer.path().join("in/victim"), "intact").unwrap();
    let unpacked = unpack(tar.as_slice(), &into, &options());
    match (&read, &unpacked) {
        (Ok(read), Ok(unpacked)) => {
            assert_eq!(read.index, unpacked.index);
            let mut sink = std::io::sink();
            tar_of_snapshot(&unpacked.index, &into, &mut sink).unwrap();
        }
        (Err(read), Err(unpacked)) => assert_eq!(read.to_string(), unpacked.to_string()),
        _ => panic!("{read:?} but {unpacked:?}"),
    }
    assert_eq!(fs::read_to_string(outer.path().join("in/victim")).unwrap(), "intact");
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(outer.path().join("in")).unwrap().count(), 2);
}

fn plain(name: &str) -> Vec<u8> {
    raw(name.as_bytes(), b'0', b"", b"data")
}

fn folder(name: &str) -> Vec<u8> {
    raw(name.as_bytes(), b'5', b"", b"")
}

fn symlink(name: &str, target: &str) -> Vec<u8> {
    raw(name.as_bytes(), b'2', target.as_bytes(), b"")
}

fn hard(name: &str, target: &str) -> Vec<u8> {
    raw(name.as_bytes(), b'1', target.as_bytes(), b"")
}

fn pax(records: &[(&str, &str)], kind: u8) -> Vec<u8> {
    let mut body = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
        body += &format!("{length} {key}={value}\n");
    }
    raw(b"pax", kind, b"", body.as_bytes())
}

#[test]
fn names_that_lead_out() {
    check(
        &[plain("../victim")],
        expect!["the tar archive is damaged at entry 0 (`../victim`): it leads out of the layer by `..`"],
    );
    check(
        &[plain("a/../../victim")],
        expect![
            "the tar archive is damaged at entry 0 (`a/../../victim`): it leads out of the layer by `..`"
        ],
    );
    check(
        &[plain("/abs"), plain("./a//b/../c")],
        expect![[r#"
        a dir 755 0:0 @0 implied
        a/c file 4 28a2 644 0:0 @10
        abs file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[symlink("out", "../.."), plain("out/victim")],
        expect![[r#"
        out -> ../.. 777 0:0 @10
        victim file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[symlink("out", "/"), plain("out/in/victim")],
        expect![[r#"
        in dir 755 0:0 @0 implied
        in/victim file 4 28a2 644 0:0 @10
        out -> / 777 0:0 @10
    "#]],
    );
    check(
        &[symlink("one", "two"), symlink("two", "one"), plain("one/x")],
        expect![
            "the tar archive is damaged at entry 2 (`one/x`): its parents are symbolic links that lead nowhere"
        ],
    );
    check(
        &[hard("h", "../victim")],
        expect!["the tar archive is damaged at entry 0 (`h`): it leads out of the layer by `..`"],
    );
    check(
        &[symlink("l", "../victim"), hard("h", "l"), plain("l")],
        expect![[r#"
        h -> ../victim 777 0:0 @10
        l file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[symlink("d", ".."), folder("d"), plain("d/f")],
        expect![[r#"
        d dir opaque 644 0:0 @10
        d/f file 4 28a2 644 0:0 @10
    "#]],
    );
}

#[test]
fn names_that_are_none() {
    check(
        &[plain(".wh..")],
        expect!["the tar archive is damaged at entry 0 (`.wh..`): a deletion of nothing"],
    );
    check(
        &[plain(".wh..."), plain("x")],
        expect!["the tar archive is damaged at entry 0 (`.wh...`): a deletion of nothing"],
    );
    check(
        &[plain(".wh.a/b")],
        expect!["the tar archive is damaged at entry 0 (`.wh.a/b`): it lies below a deletion"],
    );
    check(
        &[raw(b"zero", b'3', b"", b"")],
        expect![
            "the tar archive is damaged at entry 0 (`zero`): a device that overlayfs takes for a deletion"
        ],
    );
    check(
        &[pax(&[("path", "../victim")], b'x'), plain("x")],
        expect!["the tar archive is damaged at entry 0 (`../victim`): it leads out of the layer by `..`"],
    );
    check(
        &[pax(&[("linkpath", "../victim")], b'x'), hard("x", "y")],
        expect!["the tar archive is damaged at entry 0 (`x`): it leads out of the layer by `..`"],
    );
}

#[test]
fn repeated_and_replaced_names() {
    check(
        &[plain("a"), raw(b"a", b'0', b"", b"last")],
        expect![[r#"
        a file 4 7f45 644 0:0 @10
    "#]],
    );
    check(
        &[folder("a"), plain("a/b"), plain("a")],
        expect![[r#"
        a file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[plain("a"), folder("a"), plain("a/b")],
        expect![[r#"
        a dir opaque 644 0:0 @10
        a/b file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[plain("a"), plain("a/b")],
        expect!["the tar archive is damaged at entry 1 (`a/b`): its parent is not a directory"],
    );
    check(
        &[plain("a"), hard("b", "a"), raw(b"a", b'0', b"", b"new")],
        expect![[r#"
        a file 3 b20a 644 0:0 @10
        b file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[plain("z"), hard("b", "z"), hard("c", "b")],
        expect![[r#"
        b file 4 28a2 644 0:0 @10
        c link to b 644 0:0 @10
        z link to b 644 0:0 @10
    "#]],
    );
    check(
        &[plain("x/y/z"), folder("x/")],
        expect![[r#"
        x dir 644 0:0 @10
        x/y dir 755 0:0 @0 implied
        x/y/z file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[folder("d"), hard("h", "d")],
        expect!["the tar archive is damaged at entry 1 (`h`): a hard link to a directory"],
    );
    check(&[hard("h", "h")], expect!["the tar archive is damaged at entry 0 (`h`): a hard link to itself"]);
}

#[test]
fn deletions_wherever_they_stand() {
    check(
        &[plain(".wh.a"), plain("d/.wh.b"), plain("d/.wh..wh..opq")],
        expect![[r#"
        a whiteout
        d dir opaque 755 0:0 @0 implied
        d/b whiteout
    "#]],
    );
    check(
        &[plain(".wh.a"), plain("a"), plain("b"), plain(".wh.b")],
        expect![[r#"
        a file 4 28a2 644 0:0 @10
        b file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[plain(".wh.d"), plain("d/f"), folder("e"), plain(".wh.e")],
        expect![[r#"
        d dir opaque 755 0:0 @0
        d/f file 4 28a2 644 0:0 @10
        e dir opaque 644 0:0 @10
    "#]],
    );
    check(&[plain(".wh..wh.plnk/7.1"), plain(".wh..wh.aufs")], expect![""]);
    check(
        &[plain(".wh..wh..opq"), plain("a")],
        expect![[r#"
        / dir opaque 755 0:0 @0 implied
        a file 4 28a2 644 0:0 @10
    "#]],
    );
}

#[test]
fn dialects() {
    let mut v7 = [0u8; 512];
    v7[..4].copy_from_slice(b"dir/");
    v7[100..107].copy_from_slice(b"  755 \0");
    v7[124..136].copy_from_slice(b"          0 ");
    v7[136..148].copy_from_slice(b"7777777777  ");
    check(
        &[sealed(v7, b"")],
        expect![[r#"
        dir dir 755 0:0 @1073741823
    "#]],
    );
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(150));
    let gnu = [raw(b"././@LongLink", b'L', b"", format!("{long}\0").as_bytes()), plain("short")];
    check(
        &gnu,
        expect![[r#"
        dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd dir 755 0:0 @0 implied
        dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff file 4 28a2 644 0:0 @10
    "#]],
    );
    let gnu = [raw(b"././@LongLink", b'K', b"", format!("{long}\0").as_bytes()), symlink("l", "short")];
    check(
        &gnu,
        expect![[r#"
        l -> dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd/ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff 777 0:0 @10
    "#]],
    );
    let global =
        pax(&[("uid", "7"), ("comment", "x"), ("SCHILY.xattr.user.a", "b"), ("mtime", "-1.25")], b'g');
    check(
        &[global, plain("a"), pax(&[("uid", ""), ("mtime", "3.5")], b'x'), plain("b")],
        expect![[r#"
        a file 4 28a2 644 7:0 @-2.750000000 user.a=b
        b file 4 28a2 644 0:0 @3.500000000 user.a=b
    "#]],
    );
    let mut big = [0u8; 512];
    big[0] = b'b';
    big[100..108].copy_from_slice(b"0000644\0");
    big[108..116].copy_from_slice(&[0x80, 0, 0, 0, 0, 0x10, 0, 0]);
    big[136..148].copy_from_slice(&[0xff; 12]);
    check(
        &[sealed(big, b"")],
        expect![[r#"
        b file 0 af13 644 1048576:0 @-1
    "#]],
    );
    check(
        &[raw(b"label", b'V', b"", b""), plain("a")],
        expect![[r#"
        a file 4 28a2 644 0:0 @10
    "#]],
    );
    check(
        &[raw(b"odd", b'?', b"", b"")],
        expect!["the tar archive is damaged at entry 0 (`odd`): unknown type '?'"],
    );
}

#[test]
fn sparse_files() {
    // PAX 1.0: the map stands before the data.
    let map = [b"2\n1000\n4\n3000\n2\n".to_vec(), vec![0; 512 - 16]].concat();
    let body = [map, b"datama".to_vec()].concat();
    let records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "real"),
        ("GNU.sparse.realsize", "4000"),
    ];
    let entries = [pax(&records, b'x'), raw(b"GNUSparseFile.0/real", b'0', b"", &body), plain("next")];
    check(
        &entries,
        expect![[r#"
        next file 4 28a2 644 0:0 @10
        real file 4000 44b4 644 0:0 @10
    "#]],
    );
    let mut expected = vec![0; 4000];
    expected[1000..1004].copy_from_slice(b"data");
    expected[3000..3002].copy_from_slice(b"ma");
    let mut got = Vec::new();
    assert!(read_file_from_tar(entries.concat().as_slice(), &path("real"), &mut got).unwrap());
    assert!(got == expected);
    let records =
        [("GNU.sparse.map", "1000,4,3000,2"), ("GNU.sparse.size", "4000"), ("GNU.sparse.name", "real")];
    check(
        &[pax(&records, b'x'), raw(b"x", b'0', b"", b"datama")],
        expect![[r#"
        real file 4000 44b4 644 0:0 @10
    "#]],
    );
    let mut old = [0u8; 512];
    old[..4].copy_from_slice(b"real");
    old[100..108].copy_from_slice(b"0000644\0");
    old[124..136].copy_from_slice(b"00000000006\0");
    old[156] = b'S';
    old[386..410].copy_from_slice(b"00000001750\x0000000000004\0");
    old[410..434].copy_from_slice(b"00000005670\x0000000000002\0");
    old[483..495].copy_from_slice(b"00000007640\0");
    check(
        &[sealed(old, b"datama"), plain("next")],
        expect![[r#"
        next file 4 28a2 644 0:0 @10
        real file 4000 44b4 644 0:0 @0
    "#]],
    );
    let wrong = [("GNU.sparse.map", "1000,4,1002,2"), ("GNU.sparse.size", "4000")];
    check(
        &[pax(&wrong, b'x'), raw(b"x", b'0', b"", b"datama")],
        expect!["the tar archive is damaged at entry 0 (`x`): a sparse map out of order"],
    );
    let huge = [("GNU.sparse.map", "0,6"), ("GNU.sparse.size", "9000000000000000000")];
    check(
        &[pax(&huge, b'x'), raw(b"x", b'0', b"", b"datama")],
        expect!["the tar archive is damaged at entry 0 (`x`): a sparse map that does not fit its file"],
    );
}

#[test]
fn ends() {
    let whole = [plain("a"), plain("b")].concat();
    let shown = |tar: &[u8]| match index_of(tar) {
        Ok(written) => format!("{} entries, {} bytes", written.index.entries().len(), written.tar_size),
        Err(error) => error.to_string(),
    };
    let pad = |count| [whole.clone(), vec![0; count]].concat();
    expect!["2 entries, 2048 bytes"].assert_eq(&shown(&whole));
    expect!["2 entries, 2560 bytes"].assert_eq(&shown(&pad(512)));
    expect!["2 entries, 12288 bytes"].assert_eq(&shown(&pad(10_240)));
    let garbage = [pad(1024), b"trailing garbage".to_vec()].concat();
    expect!["2 entries, 3088 bytes"].assert_eq(&shown(&garbage));
    assert_eq!(index_of(garbage.as_slice()).unwrap().diff_id, ireko_oci::Digest::of(&garbage));
    expect!["0 entries, 0 bytes"].assert_eq(&shown(b""));
    // Written by a tool that never ends its archive, not even with the last padding: the layer is whole.
    expect!["2 entries, 2000 bytes"].assert_eq(&shown(&whole[..2000]));
    expect!["the tar archive is damaged at entry 2 (``): cut short"].assert_eq(&shown(&whole[..1536]));
    expect!["the tar archive is damaged at entry 1 (``): cut short"].assert_eq(&shown(&whole[..1030]));
    expect!["the tar archive is damaged at entry 1 (``): cut short"].assert_eq(&shown(&whole[..1100]));
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    expect!["the tar archive is damaged at entry 0 (`a`): its header's checksum is wrong"]
        .assert_eq(&shown(&damaged));
}

#[test]
fn links_to_files_below() {
    if !as_root() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let [below, into] = ["below", "into"].map(|name| here.path().join(name));
    fs::create_dir(&below).unwrap();
    fs::create_dir(&into).unwrap();
    let mut usr = dir("usr");
    usr.meta.mode = 0o1777;
    let mut tool = file("usr/tool", b"bytes");
    tool.meta.mode = 0o4755;
    let mut writer = LayerWriter::new().snapshot(&below, OverlayAttrs::User).unwrap();
    writer.push_all(vec![usr, tool]).unwrap();
    let view = View::new(vec![Arc::new(writer.finish().unwrap().index)]);
    let tar = [hard("usr/other", "usr/tool"), vec![0; 1024]].concat();
    expect![
        "the tar archive is damaged at entry 0 (`usr/other`): a hard link to `usr/tool`, which is not there"
    ]
    .assert_eq(&index_of(tar.as_slice()).unwrap_err().to_string());
    let lower = SnapshotStack { view: view.clone(), dirs: vec![below] };
    let options = UnpackOptions { below: Some(&view), lower: Some(&lower), ..options() };
    let written = unpack(tar.as_slice(), &into, &options).unwrap();
    expect![[r#"
        usr dir 755 0:0 @0 implied
        usr/other file 5 df19 4755 0:0 @1000000000
    "#]]
    .assert_eq(&show(&written.index));
    assert_eq!(fs::read(into.join("usr/other")).unwrap(), b"bytes");
    let mode = std::os::unix::fs::MetadataExt::mode(&into.join("usr").metadata().unwrap());
    assert_eq!(mode & 0o7777, 0o1777);
    let stack = View::new(vec![Arc::clone(&view.layers()[0]), Arc::new(written.index)]);
    assert_eq!(stack.entry(&path("usr")).unwrap().meta.mode, 0o1777);
}

fn raw_tar() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("a"),
        Just("b/"),
        Just("a/b"),
        Just("./a/c"),
        Just("a/../b/x"),
        Just(".wh.a"),
        Just("a/.wh..wh..opq"),
        Just("b/.wh.x"),
        Just("../a"),
        Just("a/b/c"),
        Just(".")
    ];
    let kind = prop_oneof![
        Just(b'0'),
        Just(b'0'),
        Just(b'1'),
        Just(b'2'),
        Just(b'5'),
        Just(b'5'),
        Just(b'6'),
        Just(b'x')
    ];
    let link = prop_oneof![Just("a"), Just("b"), Just("a/b"), Just(".."), Just("/b"), Just("")];
    let entry = (name, kind, link, 0..700usize).prop_map(|(name, kind, link, size)| {
        let size = if kind == b'0' || kind == b'x' { size } else { 0 };
        raw(name.as_bytes(), kind, link.as_bytes(), &vec![b'd'; size])
    });
    prop::collection::vec(entry, 0..10).prop_map(|entries| entries.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>, at: prop::sample::Index, tar in raw_tar()) {
        let _ = index_of(bytes.as_slice());
        let mut tar = tar;
        let _ = index_of(&tar[..at.index(tar.len() + 1)]);
        if !tar.is_empty() {
            let at = at.index(tar.len());
            tar[at] ^= 1;
            let _ = index_of(tar.as_slice());
        }
    }

    /// Unpacked or not, the same index or the same error, and nothing outside.
    #[test]
    fn unpacking_agrees_with_indexing(tar in raw_tar()) {
        if !as_root() {
            return Ok(());
        }
        let outer = tempfile::tempdir().unwrap();
        let into = outer.path().join("in");
        fs::create_dir(&into).unwrap();
        let read = index_of(tar.as_slice());
        let unpacked = unpack(tar.as_slice(), &into, &options());
        prop_assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
        match (read, unpacked) {
            (Ok(read), Ok(unpacked)) => {
                prop_assert_eq!(&read.index, &unpacked.index);
                let mut first = Vec::new();
                tar_of_snapshot(&read.index, &into, &mut first).unwrap();
                prop_assert_eq!(index_of(first.as_slice()).unwrap().index, read.index);
            }
            (Err(read), Err(unpacked)) => prop_assert_eq!(read.to_string(), unpacked.to_string()),
            (read, unpacked) => prop_assert!(false, "{:?} but {:?}", read, unpacked),
        }
    }

    /// Unpack, scan, write: the first tar again.
    #[test]
    fn unpacked_scanned_and_written_is_the_same_tar(all in changes(false)) {
        if !as_root() {
            return Ok(());
        }
        let all: Vec<Change> = all.into_iter().filter(|change| !change.path.is_root()).collect();
        let tar = write(all).1;
        let into = tempfile::tempdir().unwrap();
        unpack(tar.as_slice(), into.path(), &options()).unwrap();
        let scan = ScanOptions { started: Time::new(9_000_000_000, 0), attrs: OverlayAttrs::User, skip: Vec::new(), owners: Default::default() };
        let scan = scan_upper(into.path(), &View::default(), &scan).unwrap();
        prop_assert_eq!(write(scan.changes).1, tar);
    }
}

#[test]
fn a_directory_nobody_named_keeps_its_own_metadata() {
    let mut tmp = dir("tmp");
    tmp.meta.mode = 0o1777;
    let above = index_of([plain("tmp/f"), vec![0; 1024]].concat().as_slice()).unwrap().index;
    let view = View::new(vec![index(vec![tmp, file("tmp/g", b"")]), Arc::new(above)]);
    assert_eq!(view.entry(&path("tmp")).unwrap().meta.mode, 0o1777);
    let walked = view.walk(&TreePath::root());
    let shown: Vec<String> =
        walked.iter().map(|f| format!("{}:{:o}", f.entry.path, f.entry.meta.mode)).collect();
    assert_eq!(shown, ["tmp:1777", "tmp/f:644", "tmp/g:644"]);
    assert_eq!(view.children(&TreePath::root())[0].entry.meta.mode, 0o1777);
}
