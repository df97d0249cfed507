//! Each kind of damage is seen, what can be made again is dropped, and images are told.

use super::*;
use crate::image::NewImage;
use crate::testing::{self, Forms};
use expect_test::{Expect, expect};
use ireko_oci::Digest;
use std::os::unix::fs::PermissionsExt;

/// Builds a small store, damages it, and shows what is found, what repairing says and what is left.
#[track_caller]
fn check(damage: impl FnOnce(&Path, &Digest, &Digest), expect: Expect) {
    let home = testing::home();
    let store = testing::store(home.path());
    let diff = testing::put(&store, &[("etc/a", "text")], Forms::Both).1.diff;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#
    );
    let image =
        store.put_image(&["a:1".into()], &NewImage { config: config.as_bytes(), manifest: None }).unwrap();
    drop(store);
    damage(home.path(), &diff, &image.id);
    let mut text = String::new();
    for repair in [true, false] {
        let store = testing::store(home.path());
        for problem in store.fsck(repair).unwrap().problems {
            let Problem { subject, problem, fate } = problem;
            let owner =
                format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
            let problem = problem
                .replace(&format!("owner {owner}"), "owner OURS")
                .replace(&format!("and {owner}"), "and OURS");
            // Another digest than it should be; which one depends on who runs the test.
            let problem = match problem.split_once("has digest `sha256:") {
                Some((before, _)) => format!("{before}has digest ANOTHER"),
                None => problem,
            };
            let names = [
                (diff.hex(), "DIFF"),
                (diff.short(), "DIFF"),
                (image.id.hex(), "ID"),
                (image.id.short(), "ID"),
            ];
            let line = format!("{fate:?}: {subject}: {problem}\n");
            text += &names.iter().fold(line, |line, (from, to)| line.replace(from, to));
        }
        text += "--\n";
    }
    expect.assert_eq(&text);
}

fn snapshot(home: &Path) -> std::path::PathBuf {
    let name = disk::names(&home.join("snapshots")).unwrap().remove(0);
    home.join("snapshots").join(name)
}

#[test]
fn a_whole_store_is_clean() {
    check(
        |_, _, _| {},
        expect![[r#"
        --
        --
    "#]],
    );
}

#[test]
fn a_layer_that_was_away_when_all_were_listed_is_whole() {
    let home = testing::home();
    let store = testing::store(home.path());
    let diff = testing::put(&store, &[("etc/a", "text")], Forms::Both).1.diff;
    let (place, away) = (store.layout.layer(&diff), home.path().join("away"));
    fs::rename(&place, &away).unwrap();
    let item = store.layer_item(diff).unwrap();
    fs::rename(&away, &place).unwrap();
    let mut check = Check { store: &store, repair: true, report: FsckReport::default() };
    let item = check.as_it_is(item).unwrap();
    assert!(check.layer_index(&item).unwrap().is_some());
    assert!(check.report.problems.is_empty());
}

#[test]
fn a_changed_unpacked_file_is_seen() {
    check(
        |home, _, _| fs::write(snapshot(home).join("fs/etc/a"), "tex2").unwrap(),
        expect![[r#"
            Dropped: layer sha256:DIFF: unpacked: `etc/a` has other bytes
            --
            --
        "#]],
    );
}

#[test]
fn a_stranger_and_a_mode_are_seen() {
    check(
        |home, _, _| {
            fs::write(snapshot(home).join("fs/stranger"), "").unwrap();
            fs::set_permissions(snapshot(home).join("fs/etc/a"), fs::Permissions::from_mode(0o600)).unwrap();
        },
        expect![[r#"
            Dropped: layer sha256:DIFF: unpacked: `etc/a` has mode 600 and owner OURS, expected 644 and OURS; `stranger` is not in its index
            --
            --
        "#]],
    );
}

#[test]
fn a_damaged_tar_is_dropped() {
    check(
        |home, diff, _| {
            let path = home.join("tars").join(diff.hex());
            let mut bytes = fs::read(&path).unwrap();
            bytes[1024 + 3] ^= 1;
            fs::write(&path, bytes).unwrap();
        },
        expect![[r#"
            Dropped: layer sha256:DIFF: its tar has digest ANOTHER
            --
            --
        "#]],
    );
}

#[test]
fn an_image_without_its_layer_is_told_and_stays() {
    check(
        |home, diff, _| {
            fs::remove_file(home.join("tars").join(diff.hex())).unwrap();
            fs::write(home.join("layers").join(diff.hex()).join("info"), "").unwrap();
        },
        expect![[r#"
            Dropped: layer sha256:DIFF: its info does not read back
            Left: image ID: its layer DIFF is not in the store
            --
            Left: image ID: its layer DIFF is not in the store
            --
        "#]],
    );
}

#[test]
fn an_image_without_its_config_is_told_and_stays() {
    check(
        |home, _, id| {
            let hex = id.hex();
            fs::write(home.join("blobs/sha256").join(&hex[..2]).join(&hex), "{}").unwrap();
        },
        expect![[r#"
            Dropped: blob sha256:ID: its bytes have digest `sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a`
            Left: image ID: its config is not in the store
            --
            Left: image ID: its config is not in the store
            --
        "#]],
    );
}

#[test]
fn a_name_without_an_image_is_told() {
    check(
        |home, _, id| fs::remove_file(home.join("images/ids").join(id.hex())).unwrap(),
        expect![[r#"
            Dropped: name `a:1`: it names image ID, which is not there
            --
            --
        "#]],
    );
}

/// What a power cut leaves of an image that was just built.
#[test]
fn torn_images_and_names_go() {
    check(
        |home, _, id| fs::write(home.join("images/ids").join(id.hex()), "").unwrap(),
        expect![[r#"
        Dropped: image ID: it does not read back
        Dropped: name `a:1`: it names image ID, which is not there
        --
        --
    "#]],
    );
    check(
        |home, _, _| {
            let names = home.join("images/names");
            fs::write(names.join(disk::names(&names).unwrap().remove(0)), "").unwrap();
        },
        expect![[r#"
            Dropped: name `a:1`: it does not read back
            --
            --
        "#]],
    );
}

#[test]
fn a_damaged_image_that_nobody_can_ask_for_goes() {
    check(
        |home, diff, _| {
            let names = home.join("images/names");
            fs::remove_file(names.join(disk::names(&names).unwrap().remove(0))).unwrap();
            fs::remove_dir_all(home.join("layers").join(diff.hex())).unwrap();
        },
        expect![[r#"
            Dropped: image ID: its layer DIFF is not in the store
            --
            --
        "#]],
    );
}

#[test]
fn an_index_is_read_again_from_the_tar() {
    check(
        |home, diff, _| fs::write(home.join("layers").join(diff.hex()).join("index"), "\0\0").unwrap(),
        expect![[r#"
        Remade: layer sha256:DIFF: its index: its first line is not of this kind and version
        --
        --
    "#]],
    );
}

/// A layer that a running build made again while it was being looked at is not what was looked at.
#[test]
fn what_came_in_the_place_of_something_damaged_stays() {
    let home = testing::home();
    let store = testing::store(home.path());
    let diff = testing::put(&store, &[("a", "1")], Forms::Both).1.diff;
    drop(store);
    let store = testing::store(home.path());
    store.lease().unwrap();
    let mut check = Check { store: &store, repair: true, report: FsckReport::default() };
    let place = store.layout.layer(&diff);
    let seen = Witness::of(&[&place]);
    fs::remove_dir_all(&place).unwrap();
    let builder = testing::store(home.path());
    testing::put(&builder, &[("a", "1")], Forms::Both);
    let object = Some(Object::Layer(diff));
    check.drop_damaged("it".to_owned(), "damaged".to_owned(), object, &seen).unwrap();
    assert!(check.report.problems.is_empty() && place.exists());
    // What somebody came to use meanwhile stays as well.
    check.drop_damaged("it".to_owned(), "damaged".to_owned(), object, &Witness::of(&[&place])).unwrap();
    assert!(check.report.problems.remove(0).fate == Fate::InUse && place.exists());
    drop(builder);
    check.drop_damaged("it".to_owned(), "damaged".to_owned(), object, &Witness::of(&[&place])).unwrap();
    assert!(check.report.problems.remove(0).fate == Fate::Dropped && !place.exists());
}
