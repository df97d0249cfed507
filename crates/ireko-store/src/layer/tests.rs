//! Layers in their forms, adoption, and what a reboot leaves.

use std::io::Read;

use super::*;
use crate::Elsewhere;
use crate::open::{OpenOptions, WrittenAs};
use crate::testing::{self, Forms};
use ireko_layer::OverlayAttrs;
use ireko_oci::TreeId;

fn tar_of(store: &Arc<Store>, diff: &Digest) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.open_tar(diff).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_same_tar_comes_from_every_form() {
    let home = testing::home();
    let store = testing::store(home.path());
    let files = [("etc/passwd", "root:x:0:0\n"), ("usr/bin/a", "program")];
    let (written, unpacked) = testing::put(&store, &files, Forms::Snapshot);
    assert!(unpacked.snapshot && !unpacked.tar && unpacked.present());
    let diff = written.diff_id;
    let bytes = tar_of(&store, &diff);
    assert_eq!(Digest::of(&bytes), diff);
    assert_eq!(bytes.len() as u64, written.tar_size);
    let mut copied = Vec::new();
    store.copy_tar(&diff, &mut copied).unwrap();
    assert_eq!(copied, bytes);
    let with_tar = testing::put(&store, &files, Forms::Tar).1;
    assert!(with_tar.tar && with_tar.snapshot);
    assert_eq!(tar_of(&store, &diff), bytes);
    assert_eq!(*store.index(&diff).unwrap(), written.index);
}

#[test]
fn a_foreign_layer_is_imported_indexed_and_unpacked_once() {
    let home = testing::home();
    let store = testing::store(home.path());
    let elsewhere = testing::home();
    let other = testing::store(elsewhere.path());
    let (written, _) = testing::put(&other, &[("bin/sh", "shell")], Forms::Tar);
    let tar = tar_of(&other, &written.diff_id);
    let digest = store.put_blob(&tar).unwrap();
    let blob = BlobForm {
        digest,
        media_type: "application/vnd.oci.image.layer.v1.tar".into(),
        size: tar.len() as u64,
        made: false,
    };
    let wrong = Digest::of(b"another");
    assert!(matches!(store.import_blob(&blob, Some(&wrong)), Err(Error::WrongDigest { .. })));
    let info = store.import_blob(&blob, Some(&written.diff_id)).unwrap();
    assert!(!info.canonical && !info.snapshot && info.present());
    assert_eq!(store.diff_of_blob(&digest), Some(written.diff_id));
    let dirs: Vec<PathBuf> = std::thread::scope(|scope| {
        let ensure = || store.ensure_snapshot(&written.diff_id, &[]).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ensure)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(dirs.iter().all(|dir| *dir == dirs[0]));
    assert_eq!(disk::names(&home.path().join("snapshots")).unwrap().len(), 1);
    assert_eq!(fs::read_to_string(dirs[0].join("bin/sh")).unwrap(), "shell");
    let again = store.import_and_unpack(&blob, None, &[]).unwrap();
    assert!(again.snapshot);
}

#[test]
fn a_snapshot_of_another_id_map_is_made_again() {
    let home = testing::home();
    let store = testing::store(home.path());
    let diff = testing::put(&store, &[("a", "1")], Forms::Both).1.diff;
    let written_as = WrittenAs { id_map: "other".to_owned(), attrs: OverlayAttrs::User };
    let other = Store::open(home.path(), OpenOptions { written_as, ..testing::options() }).unwrap();
    assert_eq!(other.snapshot(&diff, &[]).unwrap(), None);
    let theirs = other.ensure_snapshot(&diff, &[]).unwrap();
    let ours = store.snapshot(&diff, &[]).unwrap().unwrap();
    assert_ne!(ours, theirs);
    let only = testing::put(&store, &[("b", "1")], Forms::Snapshot).1.diff;
    assert!(!other.presence(&only).unwrap());
    assert!(matches!(other.ensure_snapshot(&only, &[]), Err(Error::LayerGone { .. })));
    // Whose it is can be told, where it is of no use.
    let by = testing::options().written_as;
    assert_eq!(other.unpacked_elsewhere(&only).unwrap(), Some(Elsewhere { by, other_user: None }));
    assert_eq!(store.unpacked_elsewhere(&only).unwrap(), None);
    assert_eq!(other.unpacked_elsewhere(&Digest::of(b"nothing")).unwrap(), None);
    let user = |map: &str, attrs| {
        let written_as = WrittenAs { id_map: map.to_owned(), attrs };
        Store::open(home.path(), OpenOptions { written_as, ..testing::options() }).unwrap()
    };
    let [one, two] =
        [1000, 1001].map(|id| user(&format!("u0:{id}:1,1:100000:9/g0:{id}:1"), OverlayAttrs::User));
    let of_one = testing::put(&one, &[("c", "1")], Forms::Snapshot).1.diff;
    assert_eq!(two.unpacked_elsewhere(&of_one).unwrap().unwrap().other_user, Some(1000));
    let single = user("u0:1000:1/g0:1000:1", OverlayAttrs::Noted);
    assert_eq!(single.unpacked_elsewhere(&of_one).unwrap().unwrap().other_user, None);
}

#[test]
fn the_first_layer_of_a_tree_wins_while_it_is_there() {
    let home = testing::home();
    let store = testing::store(home.path());
    let [first, second] = ["1", "2"].map(|text| testing::put(&store, &[("a", text)], Forms::Tar).1.diff);
    let tree = TreeId::empty();
    assert_eq!(store.settle(tree, &[], first).unwrap(), first);
    assert_eq!(store.settle(tree, &[], second).unwrap(), first);
    assert_eq!(store.tree(tree), Some(vec![first]));
    fs::remove_file(store.layout.tar(&first)).unwrap();
    assert_eq!(store.settle(tree, &[], second).unwrap(), second);
    assert_eq!(store.settle(tree, &[], second).unwrap(), second);
}

#[test]
fn one_layer_wins_among_many_that_settle_at_once() {
    let home = testing::home();
    let store = testing::store(home.path());
    let layers: Vec<Digest> =
        (0..6).map(|at| testing::put(&store, &[("a", &at.to_string())], Forms::Tar).1.diff).collect();
    let winners: Vec<Digest> = std::thread::scope(|scope| {
        let threads: Vec<_> = layers
            .iter()
            .map(|diff| {
                let home = home.path();
                scope.spawn(move || testing::store(home).settle(TreeId::empty(), &[], *diff).unwrap())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(winners.iter().all(|winner| *winner == winners[0]));
}

fn reboot(home: &Path) -> Arc<Store> {
    let options = OpenOptions { boot_id: "boot-2".to_owned(), ..testing::options() };
    Store::open(home, options).unwrap()
}

#[test]
fn after_a_reboot_what_was_not_synced_is_verified_or_dropped() {
    let home = testing::home();
    let store = testing::store(home.path());
    let whole = testing::put(&store, &[("a", "whole")], Forms::Both).1.diff;
    let torn = testing::put(&store, &[("a", "torn")], Forms::Both).1.diff;
    let dir = store.snapshot(&torn, &[]).unwrap().unwrap();
    drop(store);
    fs::write(dir.join("a"), "\0\0\0\0").unwrap();
    let tar = home.path().join(format!("tars/{}", torn.hex()));
    let size = fs::metadata(&tar).unwrap().len();
    fs::write(&tar, vec![0; size as usize]).unwrap();
    let store = reboot(home.path());
    assert!(store.presence(&whole).unwrap());
    assert!(store.snapshot(&whole, &[]).unwrap().is_some());
    assert!(!store.presence(&torn).unwrap());
    assert_eq!(store.warnings().len(), 2);
    assert!(store.fsck(false).unwrap().is_clean());
}

#[test]
fn what_was_synced_is_believed_after_a_reboot() {
    let home = testing::home();
    let store = testing::store(home.path());
    let diff = testing::put(&store, &[("a", "1")], Forms::Both).1.diff;
    store.sync().unwrap();
    let dir = store.snapshot(&diff, &[]).unwrap().unwrap();
    drop(store);
    // Nothing looks: it would see this.
    fs::write(dir.join("a"), "2").unwrap();
    assert_eq!(reboot(home.path()).snapshot(&diff, &[]).unwrap(), Some(dir));
}
