//! Trees laid out, steps played on them, and whether what is found to be changed is what an overlay would have told.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::testing::{changes, dir, entry, file, link, path, picture, show};
use crate::{
    Change, ChangeKind, Index, LaidOut, LayerWriter, ScanOptions, Time, View, Written, prune_upper,
    scan_tree, scan_upper,
};

fn as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped because only root may make devices");
    }
    root
}

/// A layer unpacked.
fn snapshot(changes: Vec<Change>) -> (tempfile::TempDir, Written) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LayerWriter::new().snapshot(dir.path(), OverlayAttrs::User).unwrap();
    writer.push_all(changes).unwrap();
    let written = writer.finish().unwrap();
    (dir, written)
}

fn written(changes: Vec<Change>) -> Index {
    let mut writer = LayerWriter::new();
    writer.push_all(changes).unwrap();
    writer.finish().unwrap().index
}

/// Layers, laid out.
struct Laid {
    view: View,
    tree: tempfile::TempDir,
    print: LaidOut,
    started: Time,
}

fn lay_out(layers: Vec<Vec<Change>>) -> Laid {
    let unpacked: Vec<_> = layers.into_iter().map(snapshot).collect();
    let dirs = unpacked.iter().map(|(dir, _)| dir.path().to_owned()).collect();
    let view = View::new(unpacked.iter().map(|(_, written)| Arc::new(written.index.clone())).collect());
    let tree = tempfile::tempdir().unwrap();
    SnapshotStack { view: view.clone(), dirs }.lay_out(tree.path(), OverlayAttrs::User).unwrap();
    let print = LaidOut::of(tree.path(), OverlayAttrs::User).unwrap();
    let started = loop {
        let clock = tempfile::tempfile().unwrap().metadata().unwrap();
        let now = Time::new(
            std::os::unix::fs::MetadataExt::mtime(&clock),
            std::os::unix::fs::MetadataExt::mtime_nsec(&clock) as u32,
        );
        if now > print.latest() {
            break now;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    Laid { view, tree, print, started }
}

impl Laid {
    fn scanned(&self) -> Index {
        let options = ScanOptions {
            started: self.started,
            attrs: OverlayAttrs::User,
            skip: vec![path("skipped")],
            owners: Default::default(),
        };
        written(scan_tree(self.tree.path(), &self.print, &self.view, &options).unwrap().changes)
    }

    /// Does what a step would that wants these changes.
    fn apply(&self, changes: &[Change]) {
        let root = self.tree.path();
        let mut place = Place::new(root, OverlayAttrs::User).unwrap();
        for Change { path, meta, kind, .. } in changes {
            let there = fs::symlink_metadata(root.join(path.as_path())).ok();
            let stays = matches!(kind, ChangeKind::Dir { opaque: false });
            if let Some(there) = there {
                if stays && there.is_dir() {
                    // Attributes are set below; here is one that may have to go.
                    let _ = rustix::fs::lremovexattr(root.join(path.as_path()), "user.v");
                    continue;
                }
                place.remove(path).unwrap();
            }
            let special = |kind: Kind| Entry {
                path: path.clone(),
                meta: meta.clone(),
                kind,
                dated: false,
                implied: false,
            };
            match kind {
                ChangeKind::File(data) => {
                    let mut draft = place.file(path, data.size()).unwrap();
                    let mut bytes = Vec::new();
                    io::Read::read_to_end(&mut source::open(path, data).unwrap(), &mut bytes).unwrap();
                    draft.write(&bytes).unwrap();
                    place.finish_file(path, meta, &draft).unwrap();
                }
                ChangeKind::Dir { .. } => place.dir(path).unwrap(),
                ChangeKind::HardLink { target } => place.link(target, path).unwrap(),
                ChangeKind::Symlink { target } => {
                    place.special(&special(Kind::Symlink { target: target.clone() })).unwrap();
                }
                ChangeKind::Fifo => place.special(&special(Kind::Fifo)).unwrap(),
                ChangeKind::Whiteout => {}
                other => panic!("{other:?} is not among random changes"),
            }
        }
        for change in changes.iter().rev().filter(|change| matches!(change.kind, ChangeKind::Dir { .. })) {
            place.settle(&change.path, &change.meta, false).unwrap();
        }
    }
}

fn hard(at: &str, to: &str) -> Change {
    entry(at, ChangeKind::HardLink { target: path(to) })
}

#[track_caller]
fn check(layers: Vec<Vec<Change>>, step: impl FnOnce(&Path), expect: Expect) {
    if !as_root() {
        return;
    }
    let laid = lay_out(layers);
    step(laid.tree.path());
    let mut found = show(&laid.scanned());
    // Times of now differ from run to run.
    for now in [" @17", " @18", " @19", " @2"] {
        while let Some(at) = found.find(now) {
            let end = found[at + 1..].find(['\n', ' ']).map_or(found.len(), |end| at + 1 + end);
            found.replace_range(at..end, " now");
        }
    }
    expect.assert_eq(&found);
}

fn small() -> Vec<Vec<Change>> {
    vec![
        vec![dir("d"), file("d/a", b"1"), hard("d/b", "d/a"), dir("e"), file("e/f", b"2"), link("l", "d/a")],
        vec![dir("e"), file("e/g", b"3"), dir("skipped")],
    ]
}

#[test]
fn a_tree_that_nobody_touched_has_no_change() {
    check(small(), |_| (), expect![""]);
    // Nor one whose files were read, or whose place for a mount came and went.
    check(
        small(),
        |root| {
            fs::read(root.join("d/a")).unwrap();
            fs::create_dir(root.join("e/mnt")).unwrap();
            fs::remove_dir(root.join("e/mnt")).unwrap();
            fs::remove_dir(root.join("skipped")).unwrap();
        },
        expect![""],
    );
}

#[test]
fn bytes_of_equal_length_and_time_are_told_apart() {
    let time = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    check(
        small(),
        |root| {
            fs::write(root.join("e/f"), "x").unwrap();
            fs::File::options().write(true).open(root.join("e/f")).unwrap().set_times(time).unwrap();
            // Written again as it was.
            fs::write(root.join("e/g"), "3").unwrap();
            fs::File::options().write(true).open(root.join("e/g")).unwrap().set_times(time).unwrap();
        },
        expect![[r#"
            e dir 755 0:0 @1000000000
            e/f file 1 3ae7 644 0:0 @1000000000
        "#]],
    );
}

#[test]
fn untouched_files_under_another_name_are_changes() {
    check(
        small(),
        |root| {
            fs::rename(root.join("d"), root.join("tmp")).unwrap();
            fs::rename(root.join("e"), root.join("d")).unwrap();
            fs::rename(root.join("tmp"), root.join("e")).unwrap();
        },
        expect![[r#"
            d dir opaque 755 0:0 @1000000000
            d/f file 1 813e 644 0:0 @1000000000 dated
            d/g file 1 58d6 644 0:0 @1000000000 dated
            e dir opaque 755 0:0 @1000000000
            e/a file 1 d63b 644 0:0 @1000000000 dated
            e/b link to e/a 644 0:0 @1000000000 dated
        "#]],
    );
}

#[test]
fn deletions_and_directories_made_anew() {
    check(
        small(),
        |root| {
            fs::remove_file(root.join("d/b")).unwrap();
            fs::remove_dir_all(root.join("e")).unwrap();
            fs::create_dir(root.join("e")).unwrap();
            fs::remove_file(root.join("l")).unwrap();
            fs::create_dir(root.join("l")).unwrap();
        },
        expect![[r#"
            d dir 755 0:0 now
            d/b whiteout
            e dir opaque 755 0:0 now
            l dir 755 0:0 now
        "#]],
    );
}

#[test]
fn names_of_one_file() {
    // A change by one name is one by all, and a new name brings the others along.
    check(
        small(),
        |root| fs::write(root.join("d/a"), "new").unwrap(),
        expect![[r#"
        d dir 755 0:0 @1000000000
        d/a file 3 b20a 644 0:0 now
        d/b link to d/a 644 0:0 now
    "#]],
    );
    check(
        small(),
        |root| fs::hard_link(root.join("e/f"), root.join("e/x")).unwrap(),
        expect![[r#"
        e dir 755 0:0 now
        e/f file 1 813e 644 0:0 @1000000000
        e/x link to e/f 644 0:0 @1000000000
    "#]],
    );
    check(
        small(),
        |root| {
            fs::remove_file(root.join("d/b")).unwrap();
            fs::hard_link(root.join("e/f"), root.join("d/b")).unwrap();
        },
        expect![[r#"
            d dir 755 0:0 now
            d/b file 1 813e 644 0:0 @1000000000
            e dir 755 0:0 @1000000000
            e/f link to d/b 644 0:0 @1000000000
        "#]],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The laid out tree is the merged one; and what a step changed in it is what the upper directory would have held.
    #[test]
    fn a_whole_tree_and_an_upper_directory_tell_the_same(
        base in changes(false), more in changes(true), change in changes(true),
    ) {
        if !as_root() {
            return Ok(());
        }
        let laid = lay_out(vec![base, more]);
        let options = ScanOptions { started: laid.started, attrs: OverlayAttrs::User, skip: Vec::new(), owners: Default::default() };
        let whole = scan_upper(laid.tree.path(), &View::default(), &options).unwrap();
        let whole = View::new(vec![Arc::new(written(whole.changes))]);
        prop_assert_eq!(picture(&whole), picture(&laid.view));
        prop_assert_eq!(show(&laid.scanned()), "");

        let (upper, _) = snapshot(change.clone());
        let by_overlay = scan_upper(upper.path(), &laid.view, &options).unwrap();
        prune_upper(upper.path(), &by_overlay).unwrap();
        let by_overlay = written(by_overlay.changes);
        laid.apply(&change);
        let by_tree = laid.scanned();
        let linked = |layer: &Arc<Index>| {
            layer.entries().iter().any(|entry| matches!(entry.kind, Kind::HardLink { .. }))
        };
        if !laid.view.layers().iter().any(linked) {
            prop_assert_eq!(show(&by_tree), show(&by_overlay));
        }
        let stack = |top: Index| View::new([laid.view.layers(), &[Arc::new(top)]].concat());
        prop_assert_eq!(picture(&stack(by_tree)), picture(&stack(by_overlay)));
    }
}
