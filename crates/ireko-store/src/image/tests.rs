//! Images by name and id, and what removing them takes along.

use super::*;
use crate::prune::PrunePlan;
use crate::testing::{self, Forms};
use ireko_layer::Time;
use ireko_oci::{Fields, Key};
use proptest::prelude::*;

fn config(diffs: &[Digest], label: &str) -> Vec<u8> {
    let diffs: Vec<String> = diffs.iter().map(|diff| format!("\"{diff}\"")).collect();
    format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{"l":"{label}"}}}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diffs.join(",")
    )
    .into_bytes()
}

fn put(store: &Store, names: &[&str], diffs: &[Digest], label: &str) -> Image {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    store.put_image(&names, &NewImage { config: &config(diffs, label), manifest: None }).unwrap()
}

const APP: &str = "docker.io/library/app:latest";

#[test]
fn names_move_and_ids_are_found_by_their_first_digits() {
    let home = testing::home();
    let store = testing::store(home.path());
    let one = put(&store, &[APP, "docker.io/library/app:1"], &[], "one");
    assert_eq!(store.image(APP).unwrap().as_ref(), Some(&one));
    assert_eq!(one.labels["l"], "one");
    let two = put(&store, &[APP], &[], "two");
    assert_eq!(store.image(APP).unwrap().as_ref(), Some(&two));
    assert_eq!(store.find_image(&one.id.short()).unwrap().as_ref(), Some(&one));
    assert_eq!(store.find_image(&two.id.to_string()).unwrap().as_ref(), Some(&two));
    assert_eq!(store.find_image("zz").unwrap(), None);
    assert_eq!(store.find_image("").unwrap(), None);
    let names: Vec<_> = store.images().unwrap().into_iter().map(|row| row.names).collect();
    assert_eq!(names, [vec!["docker.io/library/app:1".to_owned()], vec![APP.to_owned()]]);
    store.tag(&two.id, "docker.io/library/app:1").unwrap();
    assert_eq!(store.untag(APP).unwrap(), Some(two.id));
    assert_eq!(store.untag(APP).unwrap(), None);
    assert!(store.tag(&Digest::of(b"none"), APP).is_err());
    let long = format!("docker.io/{}:1", "n".repeat(300));
    store.tag(&two.id, &long).unwrap();
    assert_eq!(store.image(&long).unwrap().map(|image| image.id), Some(two.id));
}

#[test]
fn an_image_with_several_names_goes_with_its_last_or_by_force() {
    let home = testing::home();
    let store = testing::store(home.path());
    let image = put(&store, &["a:1", "b:1"], &[], "x");
    assert!(matches!(store.remove_image(&image.id, false), Err(Error::ManyNames { .. })));
    let removed = store.remove_named("a:1").unwrap();
    assert_eq!((removed.untagged, removed.deleted), (vec!["a:1".to_owned()], vec![]));
    // In another process nothing is held any more.
    drop(store);
    let store = testing::store(home.path());
    let removed = store.remove_named("b:1").unwrap();
    assert_eq!((removed.untagged, removed.deleted), (vec!["b:1".to_owned()], vec![image.id]));
    assert!(!store.has_blob(&image.id));
    assert!(matches!(store.remove_named("b:1"), Err(Error::NoImage { .. })));
}

#[test]
fn layers_go_with_the_last_image_unless_the_cache_has_them() {
    let home = testing::home();
    let store = testing::store(home.path());
    let lone = testing::put(&store, &[("lone", "1")], Forms::Tar).1.diff;
    let shared = testing::put(&store, &[("shared", "2")], Forms::Both).1.diff;
    let cached = testing::put(&store, &[("cached", "3")], Forms::Both).1;
    let record = crate::Record {
        content: cached.content,
        diff: cached.diff,
        at: Time::new(1, 0),
        took_ms: 1,
        name: "RUN".to_owned(),
        origin: crate::Origin::default(),
    };
    let key = Key(Fields::new("test").hash());
    store.put_record(key, &record, &crate::Inputs::default(), b"slot").unwrap();
    put(&store, &["a:1"], &[lone, shared, cached.diff], "a");
    put(&store, &["b:1"], &[shared], "b");
    drop(store);
    let store = testing::store(home.path());
    let removed = store.remove_named("a:1").unwrap();
    assert!(removed.deleted.contains(&lone));
    assert!(removed.freed > 0);
    assert_eq!(store.layer(&lone).unwrap(), None);
    assert!(store.presence(&shared).unwrap());
    assert!(store.presence(&cached.diff).unwrap());
    assert!(store.fsck(false).unwrap().is_clean());
}

#[test]
fn after_pruning_all_a_tagged_image_is_packed_and_whole() {
    let home = testing::home();
    let store = testing::store(home.path());
    let unpacked = testing::put(&store, &[("etc/a", "1")], Forms::Snapshot).1.diff;
    let other = testing::put(&store, &[("etc/b", "1")], Forms::Snapshot).1.diff;
    let image = put(&store, &["a:1"], &[unpacked], "a");
    drop(store);
    let store = testing::store(home.path());
    let pruned = store.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert!(pruned.problems.is_empty(), "{:?}", pruned.problems);
    let info = store.layer(&unpacked).unwrap().unwrap();
    assert!(info.tar && !info.snapshot);
    assert_eq!(store.layer(&other).unwrap(), None);
    assert_eq!(store.hold_image(&image).unwrap(), []);
    assert_eq!(std::fs::read_dir(home.path().join("snapshots")).unwrap().count(), 0);
    let dir = store.ensure_snapshot(&unpacked, &[]).unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("etc/a")).unwrap(), "1");
    assert!(store.fsck(false).unwrap().is_clean());
}

/// An image for a platform with one layer.
fn put_for(store: &Store, platform: &str, names: &[&str], diff: Digest) -> Image {
    let mut config = ImageConfig::for_platform(&platform.parse().unwrap());
    config.rootfs.diff_ids = vec![diff];
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    store.put_image(&names, &NewImage { config: &config.to_json(), manifest: None }).unwrap()
}

#[test]
fn an_image_for_several_platforms_is_one_with_its_members() {
    let home = testing::home();
    let store = testing::store(home.path());
    let layers: Vec<Digest> = ["1", "2", "3"]
        .iter()
        .map(|text| testing::put(&store, &[("f", text)], Forms::Snapshot).1.diff)
        .collect();
    let intel = put_for(&store, "linux/amd64", &[], layers[0]);
    let arm = put_for(&store, "linux/arm64", &["arm:1"], layers[1]);
    let whole = store.put_index(&[APP.to_owned()], &[intel.clone(), arm.clone()], None).unwrap();
    assert_eq!(store.put_index(&[], &[intel.clone(), arm.clone()], None).unwrap(), whole, "the same again");
    assert_eq!(store.image(APP).unwrap().as_ref(), Some(&whole));
    assert_eq!(whole.diff_ids, layers[..2]);
    let platforms: Vec<String> = whole.platforms().iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let member = |platform: &str| store.member(&whole, &platform.parse().unwrap()).unwrap();
    assert_eq!(member("linux/arm64/v8").as_ref(), Some(&arm));
    assert_eq!(member("linux/amd64/v3").as_ref(), Some(&intel));
    assert_eq!(member("linux/s390x"), None);
    assert_eq!(store.member(&arm, &"linux/s390x".parse().unwrap()).unwrap().as_ref(), Some(&arm));

    // A member stays with the whole, whatever is pruned or removed.
    drop(store);
    let store = testing::store(home.path());
    store.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    store.remove_image(&intel.id, true).unwrap();
    assert_eq!(member_ids(&store), [intel.id, arm.id].into());
    assert!(store.fsck(false).unwrap().is_clean());
    assert_eq!(store.layer(&layers[2]).unwrap(), None);
    assert!(store.presence(&layers[0]).unwrap() && store.presence(&layers[1]).unwrap());

    drop(store);
    let store = testing::store(home.path());
    let removed = store.remove_named(APP).unwrap();
    assert_eq!(removed.untagged, [APP]);
    assert!(removed.deleted.contains(&whole.id) && removed.deleted.contains(&intel.id), "{removed:?}");
    assert!(!removed.deleted.contains(&arm.id), "it has a name of its own");
    assert!(!store.has_blob(&whole.id) && !store.has_blob(&intel.id));
    assert_eq!(store.layer(&layers[0]).unwrap(), None);
    assert_eq!(store.image("arm:1").unwrap(), Some(arm));
    assert!(store.fsck(false).unwrap().is_clean());
}

fn member_ids(store: &Store) -> BTreeSet<Digest> {
    store.images().unwrap().iter().filter(|row| row.is_member).map(|row| row.image.id).collect()
}

#[test]
fn a_whole_without_a_name_ages_with_its_members() {
    let home = testing::home();
    let store = testing::store(home.path());
    let layer = testing::put(&store, &[("f", "1")], Forms::Tar).1.diff;
    let intel = put_for(&store, "linux/amd64", &[], layer);
    let whole = store.put_index(&[], std::slice::from_ref(&intel), None).unwrap();
    std::fs::remove_file(store.layout.image_id(&intel.id)).unwrap();
    assert_eq!(store.fsck(false).unwrap().problems.len(), 1);
    assert!(store.member(&whole, &Platform::host()).is_err());
    put_for(&store, "linux/amd64", &[], layer);
    drop(store);
    let store = testing::store(home.path());
    store.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert_eq!(store.images().unwrap(), []);
    assert!(store.put_index(&[], &[], None).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_no_image(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = serde_json::from_slice::<Image>(&bytes);
        let _ = serde_json::from_slice::<NameFile>(&bytes);
    }
}
