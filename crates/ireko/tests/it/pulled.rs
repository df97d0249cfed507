//! What a pull leaves: whole blobs that nobody read yet, and what becomes of them.

use crate::support::Place;
use ireko_oci::Digest;
use ireko_testkit::{Fault, TarStream, TestImage, TestRegistry};
use std::fs;
use std::path::Path;

/// How many layers of a store have a file whose name begins so.
fn layers_with(place: &Place, file: &str) -> usize {
    let names =
        |dir: &Path| fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let has = |dir: &std::path::PathBuf| {
        names(dir).any(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(file)))
    };
    names(&place.store().join("layers")).filter(has).count()
}

fn unread(place: &Place) -> (usize, usize) {
    (layers_with(place, "unread-"), layers_with(place, "info"))
}

/// A registry that has the base image, its name there, and how many layers it has.
fn registry() -> Option<(Place, TestRegistry, String, usize)> {
    let (place, registry) = (Place::with_base()?, TestRegistry::start());
    let name = format!("{}/app:1", registry.address());
    place.ireko(&["tag", "base", &name]).ok();
    place.ireko(&["push", "-q", &name]).ok();
    let layers = place.layers("base").len();
    Some((place, registry, name, layers))
}

/// A store that has just pulled the image.
fn pulled(name: &str, layers: usize) -> Option<Place> {
    let place = Place::new()?;
    place.ireko(&["pull", "-q", name]).ok();
    assert_eq!(unread(&place), (layers, 0));
    place.sound();
    Some(place)
}

#[test]
fn whoever_needs_a_layer_reads_it() {
    let Some((first, registry, name, layers)) = registry() else { return };
    let Some(place) = pulled(&name, layers) else { return };
    let asked = registry.server().lines().len();
    // Collecting leaves it as it is.
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    assert_eq!(unread(&place), (layers, 0));
    assert!(place.ireko(&["images"]).ok().stdout.contains("/app"));
    place.ireko(&["inspect", "--format", "{{.Id}}", &name]).ok();
    assert_eq!(unread(&place), (layers, 0), "neither name nor id takes a layer");
    assert_eq!(place.ireko(&["run", &name, "echo", "here"]).ok().stdout, "here\n");
    assert_eq!(unread(&place), (0, layers));
    assert_eq!(place.contents(&name), first.contents("base"));
    place.sound();

    let Some(place) = pulled(&name, layers) else { return };
    let size =
        |place: &Place, name: &str| place.ireko(&["inspect", "--format", "{{.Size}}", name]).ok().stdout;
    assert_eq!(size(&place, &name), size(&first, "base"));
    assert_eq!(unread(&place), (0, layers));

    let Some(place) = pulled(&name, layers) else { return };
    place.dockerfile(&format!("FROM {name}\nRUN echo more >/more\n"));
    place.build(&["--offline"]).ok();
    assert_eq!(place.inside("cat /more"), "more\n");
    assert_eq!(unread(&place), (0, layers + 1));
    place.sound();
    place.ireko(&["rmi", "-f", "app", &name]).ok();
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    assert_eq!(unread(&place), (0, 0));
    // Three pulls read each blob once, and nothing else asked for any.
    let blobs = registry.server().lines()[asked..]
        .iter()
        .filter(|line| line.starts_with("GET") && line.contains("/blobs/"))
        .count();
    assert_eq!(blobs, 2 * (layers + 1), "{:?}", registry.server().lines());
}

#[test]
fn blobs_are_shipped_as_they_came() {
    let Some((_, registry, name, layers)) = registry() else { return };
    let Some(place) = pulled(&name, layers) else { return };
    let other = format!("{}/other:2", registry.address());
    place.ireko(&["tag", &name, &other]).ok();
    place.ireko(&["push", "-q", &other]).ok();
    let manifest = |repository, tag| registry.manifest(repository, tag).expect("a manifest").1;
    assert_eq!(manifest("other", "2"), manifest("app", "1"));
    place.ireko(&["save", "--type=oci", "-o", "oci.tar", &name]).ok();
    // A label on top takes no layer, nor does a compression that they have already.
    place.dockerfile(&format!("FROM {name}\nLABEL a=b\n"));
    let third = format!("{}/third:3", registry.address());
    place.ireko(&["build", "-q", "--push", "-t", &third, "context"]).ok();
    place.ireko(&["push", "-q", "--compression=gzip", &name]).ok();
    assert_eq!(unread(&place), (layers, 0));
    place.sound();
    let Some(last) = Place::new() else { return };
    for archive in ["oci.tar", "docker.tar"] {
        if archive == "docker.tar" {
            place.ireko(&["save", "-o", archive, &name]).ok();
            assert_eq!(unread(&place), (0, layers), "plain tars take it");
        }
        last.ireko(&["load", "-q", "-i", place.path(archive).to_str().expect("a path")]).ok();
        assert_eq!(last.ireko(&["run", &name, "echo", archive]).ok().stdout, format!("{archive}\n"));
        last.ireko(&["rmi", "-f", &name]).ok();
    }
    last.ireko(&["pull", "-q", &third]).ok();
    assert_eq!(last.ireko(&["run", &third, "echo", "third"]).ok().stdout, "third\n");
}

#[test]
fn the_layers_of_steps_come_back_with_their_image() {
    let (Some(place), registry) = (Place::with_base(), TestRegistry::start()) else { return };
    let name = format!("{}/built:1", registry.address());
    place.dockerfile("FROM base\nRUN date +%N >/once\n");
    place.build(&[]).ok();
    place.ireko(&["tag", "app", &name]).ok();
    place.ireko(&["push", "-q", &name]).ok();
    let once = place.inside("cat /once");
    let layers = place.layers("app");
    place.ireko(&["rmi", "-f", "app", &name]).ok();
    let last = layers.last().expect("a layer");
    fs::remove_dir_all(place.store().join("layers").join(last)).expect("removed");
    place.ireko(&["pull", "-q", &name]).ok();
    assert_eq!(layers_with(&place, "unread-"), 1);
    place.build(&[]).ok();
    assert_eq!(place.inside("cat /once"), once, "the step is remembered, and its layer is read");
}

#[test]
fn a_layer_that_is_not_the_config_s_is_told_before_anything_of_it_is_used() {
    let Some(place) = Place::with_base() else { return };
    let registry = TestRegistry::start();
    let lie = Digest::of(b"another layer");
    let image = TestImage::new().layer(TarStream::new().file("etc/motd", "hello\n"));
    registry.push("liar", "1", &image.with(|config| config.rootfs.diff_ids[0] = lie));
    let name = format!("{}/liar:1", registry.address());
    let before = layers_with(&place, "info");
    place.ireko(&["pull", "-q", &name]).ok();
    let says = ["liar", &lie.to_string()];
    place.ireko(&["run", &name, "true"]).fails(125, &says);
    place.ireko(&["inspect", &name]).fails(3, &says);
    place.ireko(&["save", "-o", "liar.tar", &name]).fails(3, &says);
    assert!(!place.path("liar.tar").exists());
    place.dockerfile(&format!("FROM {name}\nCOPY --from=base /bin/sh /sh\n"));
    place.build(&[]).fails(3, &says);
    place.dockerfile(&format!("FROM {name} AS liar\nFROM base\nCOPY --from=liar /etc/motd /motd\n"));
    place.build(&[]).fails(3, &says);
    assert_eq!(unread(&place), (1, before));
    let said = place.ireko(&["cache", "fsck"]).fails(3, &[]).stdout;
    assert!(said.contains("was to be it, and is layer"), "{said}");
    place.ireko(&["rmi", &name]).ok();
    place.sound();
}

#[test]
fn a_pull_that_was_cut_goes_on_with_the_layers_it_lacks() {
    let Some(place) = Place::new() else { return };
    let registry = TestRegistry::start();
    let layer = |name: &str| TarStream::new().file(name, name);
    let image = TestImage::new().layer(layer("one")).layer(layer("two"));
    registry.push("app", "1", &image);
    let layers = image.parts().0.layers;
    let (one, two) = (layers[0].digest.to_string(), layers[1].digest.to_string());
    let name = format!("{}/app:1", registry.address());
    registry.fault(&two, 1, Fault::Status(404));
    place.ireko(&["pull", "-q", &name]).fails(2, &["404"]);
    place.ireko(&["cache", "prune", "-f"]).ok();
    place.sound();
    place.ireko(&["pull", "-q", &name]).ok();
    assert_eq!(registry.server().count(&one), 1, "{:?}", registry.server().lines());
    assert_eq!(unread(&place), (2, 0));
    place.ireko(&["inspect", &name]).ok();
    assert_eq!(unread(&place), (0, 2));
    place.sound();
}
