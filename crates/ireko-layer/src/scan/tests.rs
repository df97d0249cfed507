//! Upper directories, made as overlayfs makes them, and what is found to be changed in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::testing::{changes, dir, entry, file, index, link, path, picture, show, write};
use crate::{Index, LayerWriter, scan, tar_of_snapshot};

fn as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped because only root may make devices");
    }
    root
}

fn options() -> ScanOptions {
    ScanOptions {
        started: Time::new(2_000_000_000, 0),
        attrs: OverlayAttrs::User,
        skip: Vec::new(),
        owners: Default::default(),
    }
}

/// An upper directory that holds these changes, untouched by any overlay.
fn upper(changes: Vec<Change>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LayerWriter::new().snapshot(dir.path(), OverlayAttrs::User).unwrap();
    writer.push_all(changes).unwrap();
    writer.finish().unwrap();
    dir
}

fn scanned(upper: &Path, below: &View) -> (Scan, Index) {
    let scan = scan_upper(upper, below, &options()).unwrap();
    let mut writer = LayerWriter::new();
    for change in scan.changes.clone() {
        writer.push(change).unwrap();
    }
    let index = writer.finish().unwrap().index;
    (scan, index)
}

#[track_caller]
fn check(below: Vec<Change>, above: Vec<Change>, expect: Expect) {
    if !as_root() {
        return;
    }
    let dir = upper(above);
    let (scan, index) = scanned(dir.path(), &View::new(vec![super::tests::index(below)]));
    let dropped: Vec<String> = scan.dropped.iter().map(TreePath::to_string).collect();
    expect.assert_eq(&format!("{}dropped: {}\n", show(&index), dropped.join(" ")));
}

fn at(mut change: Change, secs: i64, nanos: u32) -> Change {
    change.meta.mtime = Time::new(secs, nanos);
    change
}

#[test]
fn what_is_equal_below_is_no_change() {
    let below = || vec![dir("d"), file("d/f", b"x"), link("d/l", "f"), file("g", b"g")];
    check(
        below(),
        below(),
        expect![[r#"
        dropped: d d/f d/l g
    "#]],
    );
    // A directory's own time is no change, a file's is.
    check(
        below(),
        vec![at(dir("d"), 5, 0), at(file("d/f", b"x"), 5, 0)],
        expect![[r#"
        d dir 755 0:0 @5
        d/f file 1 3ae7 644 0:0 @5 dated
        dropped: 
    "#]],
    );
    // Bytes of the same length and time.
    check(
        below(),
        vec![dir("d"), file("d/f", b"y")],
        expect![[r#"
        d dir 755 0:0 @1000000000
        d/f file 1 0811 644 0:0 @1000000000
        dropped: 
    "#]],
    );
    // A tar rounds times down, and a snapshot made of it has them so.
    check(
        vec![at(file("f", b"x"), 7, 5)],
        vec![at(file("f", b"x"), 7, 0)],
        expect![[r#"
        dropped: f
    "#]],
    );
}

#[test]
fn parents_of_changes_are_kept() {
    let mut tmp = dir("tmp");
    tmp.meta.mode = 0o1777;
    let below = vec![tmp.clone(), dir("tmp/sub"), dir("usr")];
    check(
        below,
        vec![tmp, dir("tmp/sub"), file("tmp/sub/new", b""), dir("usr")],
        expect![[r#"
        tmp dir 1777 0:0 @1000000000
        tmp/sub dir 755 0:0 @1000000000
        tmp/sub/new file 0 af13 644 0:0 @1000000000 dated
        dropped: usr
    "#]],
    );
}

#[test]
fn times_that_somebody_set() {
    let below = vec![dir("d"), at(file("d/made", b"1"), 1_900_000_000, 77), file("d/base", b"2")];
    let above = vec![
        dir("d"),
        // Written by the step: later than its start.
        at(file("d/new", b""), 2_000_000_001, 0),
        // `touch -d`.
        at(file("d/old", b""), 1_000, 0),
        // `mv` of a file whose time was nobody's deed, and a copy of it through a tar.
        at(file("d/moved", b"1"), 1_900_000_000, 77),
        at(file("d/moved-later", b"1"), 1_900_000_000, 0),
    ];
    check(
        below,
        above,
        expect![[r#"
        d dir 755 0:0 @1000000000
        d/moved file 1 d63b 644 0:0 @1900000000.000000077
        d/moved-later file 1 d63b 644 0:0 @1900000000
        d/new file 0 af13 644 0:0 @2000000001
        d/old file 0 af13 644 0:0 @1000 dated
        dropped: 
    "#]],
    );
    let mut made = at(file("made", b"1"), 1_900_000_000, 77);
    let below = vec![made.clone()];
    made.meta.mode = 0o755;
    check(
        below,
        vec![made],
        expect![[r#"
        made file 1 d63b 755 0:0 @1900000000.000000077
        dropped: 
    "#]],
    );
}

#[test]
fn deletions_and_replacements() {
    let whiteout = |at| entry(at, ChangeKind::Whiteout);
    let opaque = |at| entry(at, ChangeKind::Dir { opaque: true });
    let below = || vec![dir("d"), file("d/f", b"x"), dir("empty"), file("f", b"f")];
    check(
        below(),
        vec![whiteout("d"), whiteout("none"), whiteout("f")],
        expect![[r#"
        d whiteout
        f whiteout
        dropped: none
    "#]],
    );
    check(
        below(),
        vec![opaque("d"), file("d/f", b"x"), whiteout("d/g")],
        expect![[r#"
        d dir opaque 755 0:0 @1000000000
        d/f file 1 3ae7 644 0:0 @1000000000 dated
        dropped: d/g
    "#]],
    );
    // Overlayfs marks new directories too, though they hide nothing.
    check(
        below(),
        vec![opaque("new"), file("new/f", b""), opaque("empty")],
        expect![[r#"
        new dir 755 0:0 @1000000000 dated
        new/f file 0 af13 644 0:0 @1000000000 dated
        dropped: empty
    "#]],
    );
    check(
        below(),
        vec![opaque("f"), file("f/f", b""), file("d", b"now a file")],
        expect![[r#"
        d file 10 32f8 644 0:0 @1000000000
        f dir 755 0:0 @1000000000
        f/f file 0 af13 644 0:0 @1000000000 dated
        dropped: 
    "#]],
    );
}

#[test]
fn hard_links_within_the_upper() {
    let hard = |at: &str, to: &str| entry(at, ChangeKind::HardLink { target: path(to) });
    let below = vec![file("a", b"x")];
    check(
        below.clone(),
        vec![file("a", b"x"), hard("b", "a")],
        expect![[r#"
        a file 1 3ae7 644 0:0 @1000000000
        b link to a 644 0:0 @1000000000
        dropped: 
    "#]],
    );
    check(
        vec![file("a", b"x"), hard("b", "a")],
        vec![file("b", b"x")],
        expect![[r#"
        dropped: b
    "#]],
    );
}

#[test]
fn names_that_would_be_deletions_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".wh.x"), "").unwrap();
    let error = scan_upper(dir.path(), &View::default(), &options()).unwrap_err();
    expect!["`.wh.x` cannot be in a layer: names that begin with `.wh.` mean deletions there"]
        .assert_eq(&error.to_string());
}

#[test]
fn sockets_are_left_out_and_skipped_paths_too() {
    if !as_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("proc/x")).unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let _one = std::os::unix::net::UnixListener::bind(dir.path().join("run/sock")).unwrap();
    let _two = std::os::unix::net::UnixListener::bind(dir.path().join("over")).unwrap();
    let below = View::new(vec![index(vec![file("over", b"x"), crate::testing::dir("run")])]);
    let options = ScanOptions { skip: vec![path("proc")], ..options() };
    let scan = scan_upper(dir.path(), &below, &options).unwrap();
    assert_eq!(scan.sockets, [path("over"), path("run/sock")]);
    assert_eq!(scan.changes.len(), 1);
    assert!(matches!(scan.changes[0].kind, ChangeKind::Whiteout));
    prune_upper(dir.path(), &scan).unwrap();
    assert!(!dir.path().join("run").exists());
    let again = scan_upper(dir.path(), &below, &options).unwrap();
    assert!(again.sockets.is_empty() && again.dropped.is_empty());
    assert!(matches!(again.changes[0].kind, ChangeKind::Whiteout));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// What is found in an upper directory, laid over the same layers, is the same tree; and an upper directory that
    /// was pruned is the snapshot of what was found.
    #[test]
    fn the_difference_applied_is_the_tree(base in changes(false), more in changes(true), change in changes(true)) {
        if !as_root() {
            return Ok(());
        }
        let below = View::new(vec![index(base), index(more)]);
        let stack = |top: Index| View::new([below.layers(), &[Arc::new(top)]].concat());
        let dir = upper(change.clone());
        let (scan, found) = scanned(dir.path(), &below);
        prop_assert_eq!(picture(&stack(found.clone())), picture(&stack(write(change).0.index)));
        prune_upper(dir.path(), &scan).unwrap();
        let (again, same) = scanned(dir.path(), &below);
        prop_assert_eq!(show(&same), show(&found));
        prop_assert_eq!(again.dropped.len(), 0);
        let mut first = Vec::new();
        let mut writer = LayerWriter::new().sink(&mut first);
        writer.push_all(scan.changes).unwrap();
        let written = writer.finish().unwrap();
        let mut second = Vec::new();
        tar_of_snapshot(&written.index, dir.path(), &mut second).unwrap();
        prop_assert!(first == second);
    }
}

fn owned(mut change: Change, uid: u32, gid: u32) -> Change {
    (change.meta.uid, change.meta.gid) = (uid, gid);
    change
}

/// Whether files can bear notes here.
fn notes() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let noted = OverlayAttrs::Noted.give(dir.path(), 7, 8).is_ok();
    if !noted {
        eprintln!("skipped because the file system of temporary files has no attributes");
    }
    noted
}

#[test]
fn owners_that_are_noted_are_owners() {
    if !notes() {
        return;
    }
    let own = rustix::process::geteuid().as_raw();
    let below =
        || vec![owned(dir("d"), 7, 8), owned(file("d/f", b"x"), 7, 9), owned(link("d/l", "f"), 7, 10)];
    let view = View::new(vec![super::tests::index(below())]);
    let root = tempfile::tempdir().unwrap();
    let mut writer = LayerWriter::new().snapshot(root.path(), OverlayAttrs::Noted).unwrap();
    writer.push_all(below()).unwrap();
    writer.finish().unwrap();
    let real = fs::symlink_metadata(root.path().join("d/f")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&real), own, "nobody else owns anything");

    let scan = |owners: OwnerTable, attrs| {
        scan_upper(root.path(), &view, &ScanOptions { attrs, owners, ..options() }).unwrap()
    };
    assert!(scan(OwnerTable::new(), OverlayAttrs::Noted).changes.is_empty(), "all as below, the link too");
    let id = identity(scan::open(&root.path().join("d")).unwrap().as_fd(), OsStr::new("l")).unwrap();
    let born = id.born.map_or((0, 0), |born| (born.secs, born.nanos));
    let given = OwnerTable::from([(FileId { inode: id.inode, born }, Owner::new(1, 2))]);
    let changes = scan(given, OverlayAttrs::Noted).changes;
    let owners: Vec<_> = changes.iter().map(|it| (it.path.to_string(), it.meta.uid, it.meta.gid)).collect();
    assert_eq!(owners, [("d".to_owned(), 7, 8), ("d/l".to_owned(), 1, 2)]);
    // Read in another way, a note means nothing, and it is no attribute of the image's either.
    let others = scan(OwnerTable::new(), OverlayAttrs::User).changes;
    assert!(others.iter().all(|it| it.meta.uid == own && it.meta.xattrs.is_empty()), "{others:?}");
    OverlayAttrs::Noted.give(&root.path().join("d/f"), 0, 0).unwrap();
    assert_eq!(OverlayAttrs::Noted.owner_of(&root.path().join("d/f"), (3, 4)), (0, 0), "no note is left");
}
