//! Images found in the store, a registry, layouts and archives.

use super::*;
use crate::testing::{World, host, image, said, tar};
use ireko_oci::blob_path;
use ireko_testkit::{Fault, TestImage, TestRegistry};

fn reference(registry: &TestRegistry, name: &str) -> Reference {
    format!("{}/{name}", registry.address()).parse().unwrap()
}

fn source(registry: &TestRegistry, name: &str) -> Source {
    Source::Reference(reference(registry, name))
}

#[test]
fn resolving_reads_no_layer_and_bringing_reads_each_once() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let digest = registry.push("app", "1", &image());
    let images = world.images();
    let found = images.resolve(&source(&registry, "app:1"), &host()).unwrap();
    assert_eq!((found.digest, found.from), (digest, registry.address()));
    assert_eq!(registry.server().count("/blobs/"), 1, "the config alone");
    let diff = found.config.rootfs.diff_ids[1];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| images.bring(&found.config_digest, &diff).unwrap());
        }
    });
    assert_eq!(registry.server().count("/blobs/"), 2);
    assert!(world.store.presence(&diff).unwrap());
    assert!(!world.store.presence(&found.config.rootfs.diff_ids[0]).unwrap());
    let told = world.events.lock().unwrap();
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Progress { done, total, .. } if Some(*done) == *total))
    );
}

#[test]
fn another_process_brings_what_the_first_only_resolved() {
    let (world, registry) = (World::new(), TestRegistry::start());
    registry.push("app", "1", &image());
    let found = world.images().resolve(&source(&registry, "app:1"), &host()).unwrap();
    let made = crate::testing::unchanged(found.config.clone());
    let kept = crate::keep(&world.store, &made, &["derived".parse().unwrap()]).unwrap();
    assert_eq!(world.store.hold_image(&kept).unwrap().len(), 2);
    world.images().complete(&kept).unwrap();
    assert!(world.store.hold_image(&kept).unwrap().is_empty());
}

#[test]
fn pulled_images_are_found_in_the_store_and_not_fetched_again() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let digest = registry.push("app", "latest", &image());
    let name = reference(&registry, "app");
    let pulled = world.images().pull(&name, &host()).unwrap();
    assert_eq!((pulled.id, pulled.manifest), (Digest::of(&image().config.to_json()), Some(digest)));
    let before = registry.server().lines().len();
    let found = world.images().resolve(&Source::Reference(name.clone()), &host()).unwrap();
    assert_eq!((found.from.as_str(), found.digest), ("store", digest));
    let pinned = name.repository().with_digest(digest);
    assert_eq!(world.images().resolve(&Source::Reference(pinned), &host()).unwrap().from, "store");
    assert_eq!(registry.server().lines().len(), before, "the store's word is enough");
    world.images().pull(&name, &host()).unwrap();
    assert_eq!(registry.server().count("/blobs/"), 4, "3 blobs at first, then the config");
    let always = Images { pull: PullPolicy::Always, ..world.images() };
    assert_eq!(always.resolve(&Source::Reference(name), &host()).unwrap().from, registry.address());
}

#[test]
fn a_pull_reads_no_layer_and_a_lie_is_found_by_who_needs_it() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let lie = Digest::of(b"another layer");
    registry.push("app", "1", &image());
    registry.push("liar", "1", &image().with(|config| config.rootfs.diff_ids[0] = lie));
    let app = world.images().pull(&reference(&registry, "app:1"), &host()).unwrap();
    let liar = world.images().pull(&reference(&registry, "liar:1"), &host()).unwrap();
    assert!(!world.store.presence(&app.diff_ids[0]).unwrap());
    assert_eq!(world.store.hold_image(&liar).unwrap(), []);
    let fetched = registry.server().count("/blobs/");
    assert_eq!(fetched, 4, "two layers and two configs");
    // Another process; without what it noted of registries, too.
    std::fs::remove_dir_all(world.store.home().join("memo")).unwrap();
    std::fs::create_dir(world.store.home().join("memo")).unwrap();
    let offline = Images { pull: PullPolicy::Never, ..world.images() };
    let error = offline.complete(&liar).unwrap_err();
    let text = said(&error);
    assert!(matches!(error, Error::WrongDigest { .. }), "{text}");
    assert!(text.contains("liar") && text.contains(&lie.to_string()), "{text}");
    assert!(!world.store.presence(&lie).unwrap());
    offline.complete(&app).unwrap();
    assert!(app.diff_ids.iter().all(|diff| world.store.presence(diff).unwrap()));
    assert_eq!(registry.server().count("/blobs/"), fetched);
}

#[test]
fn a_base_that_does_not_exist_is_said_to_be_nowhere() {
    let (world, registry) = (World::new(), TestRegistry::start());
    registry.push("app", "1.2", &image());
    world.images().pull(&reference(&registry, "app:1.2"), &host()).unwrap();
    let error = world.images().resolve(&source(&registry, "app:1.3"), &host()).unwrap_err();
    let text = said(&error).replace(&registry.address(), "HOST");
    assert_eq!(error.blame(), ireko_report::Blame::User);
    assert!(
        text.starts_with(
            "image `HOST/app:1.3` does not exist (looked in the store, `HOST`); near it: HOST/app:1.2"
        ),
        "{text}"
    );
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let (world, registry) = (World::new(), TestRegistry::start());
    registry.push("app", "1", &image());
    let images = world.images();
    let found = images.resolve(&source(&registry, "app:1"), &host()).unwrap();
    registry.fault("/blobs/", 100, Fault::Corrupt);
    let diff = found.config.rootfs.diff_ids[0];
    let error = images.bring(&found.config_digest, &diff).unwrap_err();
    assert!(said(&error).contains("is wrong: expected sha256:"), "{}", said(&error));
    assert!(!world.store.presence(&diff).unwrap());
    assert!(world.store.fsck(false).unwrap().is_clean());
}

#[test]
fn a_config_that_lies_about_a_layer_is_caught() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let lie = Digest::of(b"another layer");
    registry.push("app", "1", &image().with(|config| config.rootfs.diff_ids[0] = lie));
    let images = world.images();
    let found = images.resolve(&source(&registry, "app:1"), &host()).unwrap();
    let error = images.bring(&found.config_digest, &lie).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    assert_eq!(error.blame(), ireko_report::Blame::Environment);
}

#[test]
fn layouts_are_asked_by_tag_by_digest_or_not_at_all() {
    let world = World::new();
    let dir = world.path("layout");
    image().write_layout(&dir, "v1");
    let (_, manifest, _) = image().parts();
    let digest = Digest::of(&manifest);
    let layout = |image: Option<&str>| Source::Layout { dir: dir.clone(), image: image.map(str::to_owned) };
    let images = world.images();
    for wanted in [None, Some("v1"), Some(&*format!("@{digest}")), Some(&*format!("v1@{digest}"))] {
        let found = images.resolve(&layout(wanted), &host()).unwrap();
        assert_eq!(found.digest, digest);
    }
    let error = images.resolve(&layout(Some("v2")), &host()).unwrap_err();
    assert!(error.to_string().ends_with("near it: v1"), "{error}");
    let found = images.resolve(&layout(None), &host()).unwrap();
    for diff in &found.config.rootfs.diff_ids {
        images.bring(&found.config_digest, diff).unwrap();
    }
    let (manifest, _, _) = image().parts();
    std::fs::write(dir.join(blob_path(&manifest.config.digest)), "{}").unwrap();
    let error = images.resolve(&layout(None), &host()).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[test]
fn platforms_that_are_not_there_are_listed() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let (_, manifest, blobs) = TestImage::new().layer(tar().file("a", "1")).parts();
    for blob in &blobs {
        registry.put_blob(blob);
    }
    let kind = ireko_oci::MediaType::OCI_MANIFEST;
    registry.put_manifest("app", "one", kind.clone(), &manifest);
    let mut entry = ireko_oci::Descriptor::of(kind, &manifest);
    entry.platform = Some(Platform::new("linux", "s390x", ""));
    let index = ireko_oci::Index::new(ireko_oci::MediaType::OCI_INDEX, vec![entry]);
    registry.put_manifest("app", "many", ireko_oci::MediaType::OCI_INDEX, &index.to_json());
    let error = world.images().resolve(&source(&registry, "app:many"), &host()).unwrap_err();
    assert!(error.to_string().contains("it has linux/s390x"), "{error}");
}

#[test]
fn an_image_without_a_name_is_found_by_its_id() {
    let world = World::new();
    let dir = world.path("layout");
    image().write_layout(&dir, "1");
    let id = world.images().load(crate::LoadFrom::Path(&dir)).unwrap()[0].image.id;
    for name in [id.to_string(), format!("sha256:{}", id.short()), id.short().to_owned()] {
        let found = world.images().resolve(&Source::Reference(name.parse().unwrap()), &host()).unwrap();
        assert_eq!((found.config_digest, found.from.as_str()), (id, "store"), "{name}");
    }
}

#[test]
fn an_image_of_another_platform_is_said_to_be_one() {
    let world = World::new();
    let dir = world.path("layout");
    let mut other = image();
    other.config.architecture = "s390x".to_owned();
    other.write_layout(&dir, "localhost:1/app:1");
    world.images().load(crate::LoadFrom::Path(&dir)).unwrap();
    let name = Source::Reference("localhost:1/app:1".parse().unwrap());
    let error = world.images().resolve(&name, &host()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`localhost:1/app:1` has no image for {}; it has linux/s390x", host())
    );
}

#[test]
fn a_registrys_image_of_another_platform_is_no_base_but_can_be_pulled() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let other = image().with(|config| config.architecture = "s390x".to_owned());
    let digest = registry.push("app", "1", &other);
    let error = world.images().resolve(&source(&registry, "app:1"), &host()).unwrap_err();
    assert!(
        error.to_string().ends_with(&format!("has no image for {}; it has linux/s390x", host())),
        "{error}"
    );
    // A digest says which image is meant, and so does whoever fetches one.
    let pinned = source(&registry, &format!("app@{digest}"));
    assert_eq!(world.images().resolve(&pinned, &host()).unwrap().digest, digest);
    world.images().pull(&reference(&registry, "app:1"), &host()).unwrap();
    let events = world.events.lock().unwrap();
    let warned = format!("is for linux/s390x, not for {}", host());
    assert!(events.iter().any(
        |event| matches!(event, Event::Warning { diagnostic } if diagnostic.message.ends_with(&warned))
    ));
    drop(events);
    // Now the store has it, for another platform, which is said whether a registry may be asked or not.
    let offline = Images { pull: PullPolicy::Never, ..world.images() };
    for images in [world.images(), offline] {
        let error = images.resolve(&source(&registry, "app:1"), &host()).unwrap_err();
        assert!(error.to_string().ends_with("it has linux/s390x"), "{error}");
    }
}

#[test]
fn a_push_is_remembered_by_its_digest_and_compresses_what_an_archive_had_plain() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let plain = TestImage { compress: false, ..image() };
    let dir = world.path("layout");
    plain.write_layout(&dir, "localhost:1/app:1");
    let stored = world.images().load(crate::LoadFrom::Path(&dir)).unwrap()[0].image.clone();
    let one = reference(&registry, "one/app:1");
    let names = [one.to_string()];
    // It came with a manifest, which nobody has pushed yet.
    let digest = |name: &String| crate::repo_digest(&world.store, &stored, Some(name));
    assert_eq!(digest(&names[0]), stored.manifest);
    let images = world.images();
    let pushed = images.push_stored(&stored, &[one], crate::PushAs::default(), 1).unwrap();
    let is_gzip = |name: &str| {
        let found = images.registry().image(&reference(&registry, name), &host()).unwrap();
        let kinds = found.manifest.layers.iter().map(|layer| layer.media_type.layer().unwrap().compression);
        kinds.map(|kind| kind == ireko_oci::Compression::Gzip).collect::<Vec<_>>()
    };
    assert_eq!(is_gzip("one/app:1"), [true, true]);
    assert_eq!(digest(&names[0]), Some(pushed.top.digest));
    let known = crate::repo_digests(&world.store, &stored, &names);
    assert_eq!(known, [reference(&registry, "one/app").with_digest(pushed.top.digest)]);
    // What a registry has plain goes on as it is.
    let (other, elsewhere) = (World::new(), TestRegistry::start());
    let digest = elsewhere.push("two/app", "1", &plain);
    let pulled = other.images().pull(&reference(&elsewhere, "two/app:1"), &host()).unwrap();
    let name = reference(&elsewhere, "three/app:1");
    let pushed = other.images().push_stored(&pulled, &[name], crate::PushAs::default(), 1).unwrap();
    assert_eq!(pushed.top.digest, digest);
}
