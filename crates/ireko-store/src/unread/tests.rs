//! Blobs that nobody read: kept with what needs them, trusted by nobody, read once.

use std::io::Read;
use std::sync::Arc;

use super::*;
use crate::image::NewImage;
use crate::prune::PrunePlan;
use crate::testing::{self, Forms};
use ireko_layer::Time;
use ireko_oci::{Descriptor, Manifest, MediaType};

/// The plain tar of a layer with one file.
fn tar(text: &str) -> (Digest, Vec<u8>) {
    let home = testing::home();
    let other = testing::store(home.path());
    let (written, _) = testing::put(&other, &[("a", text)], Forms::Tar);
    let mut bytes = Vec::new();
    other.open_tar(&written.diff_id).unwrap().read_to_end(&mut bytes).unwrap();
    (written.diff_id, bytes)
}

/// Puts an image of one layer with the blob that a manifest names for it.
fn pulled(store: &Arc<Store>, name: &str, diff: &Digest, blob: &[u8]) -> (Image, BlobForm) {
    let digest = store.put_blob(blob).unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","author":"{name}","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#
    );
    let layer = Descriptor::new(MediaType::OCI_LAYER, digest, blob.len() as u64);
    let config_blob = Descriptor::of(MediaType::OCI_CONFIG, config.as_bytes());
    let manifest = Manifest::new(MediaType::OCI_MANIFEST, config_blob, vec![layer]).to_json();
    let new = NewImage { config: config.as_bytes(), manifest: Some(&manifest) };
    let image = store.put_image(&[name.to_owned()], &new).unwrap();
    let media_type = MediaType::OCI_LAYER.to_string();
    (image, BlobForm { digest, media_type, size: blob.len() as u64, made: false })
}

fn later(home: &std::path::Path) -> Arc<Store> {
    let options = testing::options();
    let now = Time::new(options.now.secs + 30 * 24 * 3600, 0);
    Store::open(home, crate::OpenOptions { now, ..options }).unwrap()
}

#[test]
fn it_is_no_form_of_the_layer_until_it_was_read() {
    let home = testing::home();
    let store = testing::store(home.path());
    let (diff, bytes) = tar("text");
    let (image, blob) = pulled(&store, "a:1", &diff, &bytes);
    assert!(!store.presence(&diff).unwrap() && store.layer(&diff).unwrap().is_none());
    assert!(store.open_tar(&diff).is_err() && store.index(&diff).is_err());
    assert_eq!(store.hold_image(&image).unwrap(), [], "it can be had");
    assert_eq!(store.unread_of(&image).unwrap(), [diff]);
    assert_eq!(store.unread(&diff).unwrap(), std::slice::from_ref(&blob));
    let info = store.import_blob(&blob, Some(&diff)).unwrap();
    assert_eq!((info.blobs, info.tar_size), (vec![blob], bytes.len() as u64));
    assert!(store.unread(&diff).unwrap().is_empty() && store.presence(&diff).unwrap());
    assert!(store.fsck(false).unwrap().is_clean());
}

#[test]
fn prune_keeps_it_for_its_image_and_removes_it_with_that() {
    let home = testing::home();
    let store = testing::store(home.path());
    let (diff, bytes) = tar("text");
    let (image, blob) = pulled(&store, "a:1", &diff, &bytes);
    drop(store);
    for all in [false, true] {
        let store = later(home.path());
        let plan = PrunePlan { all, max_size: Some(1), ..PrunePlan::default() };
        store.prune(&plan).unwrap();
        assert!(store.has_blob(&blob.digest));
        let used = store.du().unwrap().into_iter().find(|row| row.name == blob.digest.short()).unwrap();
        assert!(used.tagged, "as part of a tagged image");
        assert_eq!(store.unread_of(&image).unwrap(), [diff]);
        let report = store.fsck(true).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    }
    let store = later(home.path());
    let removed = store.remove_image(&image.id, false).unwrap();
    assert!(removed.freed >= blob.size && removed.deleted.contains(&diff));
    assert!(!store.has_blob(&blob.digest) && !store.layout.layer(&diff).exists());
}

#[test]
fn without_an_image_it_goes_by_age() {
    let home = testing::home();
    let store = testing::store(home.path());
    let (diff, bytes) = tar("text");
    let (image, blob) = pulled(&store, "a:1", &diff, &bytes);
    // As a pull leaves it that was killed before the image was written.
    store.untag("a:1").unwrap();
    fs::remove_file(store.layout.image_id(&image.id)).unwrap();
    drop(store);
    let store = testing::store(home.path());
    store.prune(&PrunePlan::default()).unwrap();
    assert_eq!(store.unread(&diff).unwrap(), std::slice::from_ref(&blob), "the next pull need not fetch it");
    drop(store);
    later(home.path()).prune(&PrunePlan::default()).unwrap();
    assert!(!testing::store(home.path()).has_blob(&blob.digest));
}

#[test]
fn a_lie_of_one_image_spoils_nothing_for_another() {
    let home = testing::home();
    let store = testing::store(home.path());
    let (diff, bytes) = tar("text");
    let (_, other) = tar("something else");
    let (_, lie) = pulled(&store, "liar:1", &diff, &other);
    let (image, blob) = pulled(&store, "a:1", &diff, &bytes);
    assert_eq!(store.unread(&diff).unwrap().len(), 2);
    let wrong = store.import_blob(&lie, Some(&diff)).unwrap_err();
    assert!(matches!(wrong, Error::WrongDigest { .. }), "{wrong}");
    assert!(!store.presence(&diff).unwrap(), "nothing is left of it");
    let info = store.import_blob(&blob, Some(&diff)).unwrap();
    assert_eq!(info.blobs, [blob]);
    // Also where the layer is known already and the manifest comes later.
    pulled(&store, "liar:2", &diff, &other);
    assert_eq!(store.layer(&diff).unwrap().unwrap().blobs, info.blobs);
    drop(store);
    let store = testing::store(home.path());
    let problems = store.fsck(true).unwrap().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].problem.contains("was to be it, and is layer `sha256:"), "{problems:?}");
    assert!(store.fsck(false).unwrap().is_clean());
    assert!(store.presence(&diff).unwrap());
    assert_eq!(store.size_of(&image).unwrap(), bytes.len() as u64);
}

#[test]
fn fsck_tells_of_a_blob_that_is_another_layer() {
    let home = testing::home();
    let store = testing::store(home.path());
    let (_, bytes) = tar("text");
    let diff = Digest::of(b"another");
    let (image, _) = pulled(&store, "a:1", &diff, &bytes);
    assert_eq!(store.size_of(&image).unwrap(), bytes.len() as u64);
    drop(store);
    let store = testing::store(home.path());
    let told = |repair| -> Vec<String> {
        store
            .fsck(repair)
            .unwrap()
            .problems
            .into_iter()
            .map(|it| format!("{}: {}", it.subject, it.problem))
            .collect()
    };
    assert_eq!(told(false).len(), 1);
    assert!(told(true)[0].starts_with(&format!("layer {diff}: blob ")));
    let missing = format!("image {}: its layer {} is not in the store", image.id.short(), diff.short());
    assert_eq!(told(true), [missing]);
}
