//! What is written is read back as it was.

use super::*;
use crate::load::LoadFrom;
use crate::testing::{World, image, said};
use ireko_report::Null;

fn assembled(world: &World) -> Assembled {
    let dir = world.path("base");
    image().write_layout(&dir, "v1");
    let loaded = world.images().load(LoadFrom::Path(&dir)).unwrap();
    let config = world.store.image_config(&loaded[0].image).unwrap();
    crate::testing::unchanged(config)
}

fn one(made: &Assembled) -> &[Assembled] {
    std::slice::from_ref(made)
}

fn names() -> Vec<Reference> {
    vec!["app:1".parse().unwrap(), "example.org/app".parse().unwrap()]
}

fn to(world: &World, form: Form, name: &str, compression: Option<Compression>) -> Destination {
    Destination { form, to: To::Path(world.path(name)), compression, split: None }
}

#[test]
fn every_form_loads_again() {
    let world = World::new();
    let made = assembled(&world);
    let gzip = Compression::Gzip { level: 6 };
    let zstd = Compression::Zstd { level: 3 };
    for form in [Form::OciTar, Form::OciDir, Form::DockerTar, Form::DockerDir] {
        for how in [None, Some(gzip), Some(zstd), Some(Compression::None)] {
            let name = format!("{form:?}-{how:?}");
            let destination = to(&world, form, &name, how);
            let first = export(&world.store, one(&made), &names(), &destination, 2, &Null).unwrap();
            let bytes = std::fs::read(world.path(&name)).unwrap_or_default();
            let again = export(&world.store, one(&made), &names(), &destination, 1, &Null).unwrap();
            assert_eq!(first.manifest, again.manifest, "{name}");
            assert_eq!(bytes, std::fs::read(world.path(&name)).unwrap_or_default(), "{name}");
            if !bytes.is_empty() {
                assert_eq!(first.bytes, bytes.len() as u64);
            }
            let other = World::new();
            let loaded = other.images().load(LoadFrom::Path(&world.path(&name))).unwrap();
            assert_eq!(loaded.len(), 1, "{name}");
            assert_eq!(loaded[0].names, ["docker.io/library/app:1", "example.org/app:latest"], "{name}");
            assert_eq!((loaded[0].image.id, loaded[0].image.manifest), (made.id, first.manifest), "{name}");
        }
    }
}

#[test]
fn compressed_layers_are_reused_and_made_once() {
    let world = World::new();
    let made = assembled(&world);
    let (base, _, _) = image().parts();
    let destination = to(&world, Form::OciDir, "as-they-came", None);
    export(&world.store, one(&made), &names(), &destination, 2, &Null).unwrap();
    for layer in &base.layers {
        assert!(world.path("as-they-came").join(blob_path(&layer.digest)).exists(), "the base's own blob");
    }
    let compressed = |events: &std::sync::Mutex<Vec<ireko_report::Event>>| events.lock().unwrap().len();
    let seen = std::sync::Mutex::new(Vec::new());
    let zstd = to(&world, Form::OciTar, "z.tar", Some(Compression::Zstd { level: 3 }));
    export(&world.store, one(&made), &[], &zstd, 2, &seen).unwrap();
    assert_eq!(compressed(&seen), 2);
    export(&world.store, one(&made), &[], &zstd, 2, &seen).unwrap();
    assert_eq!(compressed(&seen), 2, "nothing is compressed twice");
    assert!(world.store.fsck(false).unwrap().is_clean());
}

#[test]
fn several_images_are_saved_together() {
    let world = World::new();
    let made = assembled(&world);
    let first = crate::keep(&world.store, &made, &names()).unwrap();
    let second = world.images().load(LoadFrom::Path(&world.path("base"))).unwrap().remove(0).image;
    let images = [(first.clone(), names()), (second.clone(), vec!["base:v1".parse().unwrap()])];
    for form in [Form::DockerTar, Form::OciTar] {
        let name = format!("{form:?}");
        save(&world.store, &images, &to(&world, form, &name, None), 2, &Null).unwrap();
        let other = World::new();
        let mut loaded: Vec<_> = other
            .images()
            .load(LoadFrom::Path(&world.path(&name)))
            .unwrap()
            .into_iter()
            .map(|it| it.image.id)
            .collect();
        loaded.sort();
        let mut expected = [first.id, second.id];
        expected.sort();
        assert_eq!(loaded, expected);
    }
}

#[test]
fn a_layout_written_into_again_keeps_other_names() {
    let world = World::new();
    let made = assembled(&world);
    let destination = to(&world, Form::OciDir, "layout", None);
    for name in ["a:1", "b:1", "a:1"] {
        export(&world.store, one(&made), &[name.parse().unwrap()], &destination, 1, &Null).unwrap();
    }
    let index = Index::parse(&std::fs::read(world.path("layout/index.json")).unwrap()).unwrap();
    let names: Vec<_> =
        index.manifests.iter().map(|entry| &entry.annotations[annotation::CONTAINERD_IMAGE_NAME]).collect();
    assert_eq!(names, ["docker.io/library/b:1", "docker.io/library/a:1"]);
}

#[test]
fn a_missing_layer_and_a_full_disk_are_said() {
    let world = World::new();
    let made = assembled(&world);
    let place = To::Path("/dev/full".into());
    let full = Destination { form: Form::OciTar, to: place, compression: None, split: None };
    let error = export(&world.store, one(&made), &[], &full, 1, &Null).unwrap_err();
    assert!(said(&error).starts_with("cannot write `/dev/full`: "), "{}", said(&error));
    assert_eq!(error.blame(), ireko_report::Blame::Environment);
    let other = World::new();
    let destination = to(&other, Form::OciTar, "app.tar", None);
    let error = export(&other.store, one(&made), &[], &destination, 1, &Null).unwrap_err();
    assert!(matches!(error, Error::NoOrigin { .. }), "{error}");
    assert!(!other.path("app.tar").exists());
}

/// The same files for two platforms, each with a config of its own.
fn for_two(world: &World) -> Vec<Assembled> {
    let base = assembled(world).config;
    let of = |platform: &str| {
        let platform: ireko_oci::Platform = platform.parse().unwrap();
        let mut config = base.clone();
        (config.os, config.architecture, config.variant) =
            (platform.os, platform.architecture, platform.variant);
        crate::testing::unchanged(config)
    };
    vec![of("linux/arm/v6"), of("linux/amd64")]
}

#[test]
fn several_platforms_are_one_index() {
    let world = World::new();
    let both = for_two(&world);
    for form in [Form::OciTar, Form::OciDir] {
        let name = format!("{form:?}");
        let written =
            export(&world.store, &both, &names(), &to(&world, form, &name, None), 2, &Null).unwrap();
        let bytes = written.index.unwrap();
        assert_eq!(written.manifest, Some(Digest::of(&bytes)));
        let index = Index::parse(&bytes).unwrap();
        let platforms: Vec<String> = index.platforms().iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/arm/v6", "linux/amd64"]);
        let loaded = World::new().images().load(LoadFrom::Path(&world.path(&name))).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].names, ["docker.io/library/app:1", "example.org/app:latest"]);
        assert_eq!(loaded[0].image.id, both[1].id, "the one that runs here");
    }
    let top = Index::parse(&std::fs::read(world.path("OciDir/index.json")).unwrap()).unwrap();
    assert_eq!(top.manifests.len(), 2);
    assert!(top.manifests.iter().all(|entry| entry.media_type == MediaType::OCI_INDEX), "{top:?}");
}

#[test]
fn an_index_of_the_store_is_saved_as_it_was_exported() {
    let world = World::new();
    let both = for_two(&world);
    let exported = export(&world.store, &both, &names(), &to(&world, Form::OciTar, "a", None), 2, &Null);
    let exported = exported.unwrap();
    let members: Vec<Image> = both.iter().map(|one| crate::keep(&world.store, one, &[]).unwrap()).collect();
    let tags = ["docker.io/library/app:1".to_owned()];
    let whole = world.store.put_index(&tags, &members, exported.index.as_deref()).unwrap();
    assert_eq!(whole.manifest, exported.manifest);
    let saved =
        save(&world.store, &[(whole, names())], &to(&world, Form::OciTar, "b", None), 2, &Null).unwrap();
    assert_eq!(saved, exported);
    assert_eq!(std::fs::read(world.path("a")).unwrap(), std::fs::read(world.path("b")).unwrap());

    let find = |platform: &str| {
        let source = crate::Source::Reference("app:1".parse().unwrap());
        world.images().resolve(&source, &platform.parse().unwrap())
    };
    assert_eq!(find("linux/arm/v7").unwrap().config_digest, both[0].id);
    assert_eq!(find("linux/amd64").unwrap().config_digest, both[1].id);
    let error = said(&find("linux/s390x").unwrap_err());
    assert_eq!(error, "`app:1` has no image for linux/s390x; it has linux/arm/v6, linux/amd64");
}
