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

fn names() -> Vec<Reference> {
    vec!["app:1".parse().unwrap(), "example.org/app".parse().unwrap()]
}

fn to(world: &World, form: Form, name: &str, compression: Option<Compression>) -> Destination {
    Destination { form, to: To::Path(world.path(name)), compression }
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
            let first = export(&world.store, &made, &names(), &destination, 2, &Null).unwrap();
            let bytes = std::fs::read(world.path(&name)).unwrap_or_default();
            let again = export(&world.store, &made, &names(), &destination, 1, &Null).unwrap();
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
    export(&world.store, &made, &names(), &destination, 2, &Null).unwrap();
    for layer in &base.layers {
        assert!(world.path("as-they-came").join(blob_path(&layer.digest)).exists(), "the base's own blob");
    }
    let compressed = |events: &std::sync::Mutex<Vec<ireko_report::Event>>| events.lock().unwrap().len();
    let seen = std::sync::Mutex::new(Vec::new());
    let zstd = to(&world, Form::OciTar, "z.tar", Some(Compression::Zstd { level: 3 }));
    export(&world.store, &made, &[], &zstd, 2, &seen).unwrap();
    assert_eq!(compressed(&seen), 2);
    export(&world.store, &made, &[], &zstd, 2, &seen).unwrap();
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
        export(&world.store, &made, &[name.parse().unwrap()], &destination, 1, &Null).unwrap();
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
    let full = Destination { form: Form::OciTar, to: To::Path("/dev/full".into()), compression: None };
    let error = export(&world.store, &made, &[], &full, 1, &Null).unwrap_err();
    assert!(said(&error).starts_with("cannot write `/dev/full`: "), "{}", said(&error));
    assert_eq!(error.blame(), ireko_report::Blame::Environment);
    let other = World::new();
    let destination = to(&other, Form::OciTar, "app.tar", None);
    let error = export(&other.store, &made, &[], &destination, 1, &Null).unwrap_err();
    assert!(matches!(error, Error::NoOrigin { .. }), "{error}");
    assert!(!other.path("app.tar").exists());
}
