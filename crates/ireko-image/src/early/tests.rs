//! Pushes of a layer that is not compressed yet.

use super::*;
use crate::PushAs;
use crate::assemble::Assembled;
use crate::testing::{World, unchanged};
use ireko_layer::{Change, ChangeKind, Compression, Data, LayerWriter, Meta, Time, TreePath};
use ireko_oci::ImageConfig;
use ireko_report::Event;
use ireko_store::NewForms;
use ireko_testkit::{Fault, TestRegistry};
use std::io::Write;

const HOW: PushAs = PushAs { compression: Some(Compression::Zstd { level: 1 }), docker_types: false };
const SIZE: usize = 20 << 20;

/// An image of one layer that is large, and stays so when it is compressed.
fn image(world: &World) -> Assembled {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let bytes: Vec<u8> = (0..SIZE).map(|_| next()).collect();
    let mut tar = world.store.tar_draft().unwrap();
    let mut writer = LayerWriter::new().sink(&mut tar);
    let kind = ChangeKind::File(Data::memory(bytes));
    let meta = Meta::new(0o644, Time::new(1_000_000, 0));
    writer.push_all(vec![Change::new(TreePath::new("big").unwrap(), meta, kind)]).unwrap();
    let written = writer.finish().unwrap();
    let layer = world.store.put_layer(&written, NewForms { tar: Some(tar), ..NewForms::default() }).unwrap();
    let mut config = ImageConfig::default();
    config.rootfs.diff_ids = vec![layer.diff];
    unchanged(config)
}

fn names(registry: &TestRegistry, names: &[&str]) -> Vec<Reference> {
    names.iter().map(|name| format!("{}/{name}", registry.address()).parse().unwrap()).collect()
}

/// The requests that carried most of the layer.
fn large(registry: &TestRegistry) -> Vec<String> {
    let received = registry.server().received();
    let large = received.iter().filter(|request| request.body.len() > SIZE / 2);
    large.map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// What was told to be done.
fn told(world: &World) -> Vec<String> {
    let told = world.events.lock().unwrap();
    let whole = told.iter().filter_map(|event| match event {
        Event::Progress { what, done, total, .. } if Some(*done) == *total => what.split(' ').next(),
        _ => None,
    });
    whole.map(str::to_owned).collect()
}

#[test]
fn a_layer_is_sent_while_it_is_compressed_and_once() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let image = image(&world);
    let names = names(&registry, &["a:1", "a:2", "b:1"]);
    let pushed = world.images().push(&[image], &names, HOW, 2).unwrap();
    assert!(pushed.sent > SIZE as u64 && pushed.sent < SIZE as u64 * 11 / 10, "{pushed:?}");
    assert_eq!(large(&registry), ["PATCH /v2/a/blobs/uploads/upload0"]);
    assert_eq!(registry.server().lines()[0], "POST /v2/a/blobs/uploads/", "before anything is known");
    assert!(registry.server().received().iter().any(|request| request.query.contains("mount=sha256")));
    assert_eq!(registry.uploads(), 0);
    let (_, manifest) = registry.manifest("b", "1").unwrap();
    let manifest = ireko_oci::Manifest::parse(&manifest).unwrap();
    let layer = &manifest.layers[0];
    assert_eq!(registry.blob(&layer.digest).unwrap().len() as u64, layer.size);
    assert_eq!(told(&world), ["compressing", "pushing", "pushing"], "the layer and the config, each once");
}

#[test]
fn a_registry_that_takes_nothing_early_gets_it_later() {
    let faults = [
        Fault::Status(401),
        Fault::Status(405),
        Fault::Status(413),
        Fault::RetryAfter(429, 0),
        Fault::HangUp,
        Fault::Take(1 << 20),
        Fault::Status(307),
    ];
    let world = World::new();
    let image = image(&world);
    for (at, fault) in faults.iter().enumerate() {
        let registry = TestRegistry::start();
        registry.fault("/blobs/uploads/upload0", 1, fault.clone());
        // Each another form, which is not there yet.
        let compression = Some(Compression::Zstd { level: 1 + u8::try_from(at).unwrap() });
        let how = PushAs { compression, ..HOW };
        world.events.lock().unwrap().clear();
        world.images().push(std::slice::from_ref(&image), &names(&registry, &["a:1"]), how, 2).unwrap();
        assert_eq!(registry.server().lines()[0], "POST /v2/a/blobs/uploads/", "{fault:?}");
        assert_eq!(registry.uploads(), 0, "{fault:?}");
        assert_eq!(told(&world), ["compressing", "pushing", "pushing"], "{fault:?}");
        assert!(registry.manifest("a", "1").is_some());
    }
}

#[test]
fn a_refusal_is_told_as_ever() {
    let (world, registry) = (World::new(), TestRegistry::start());
    registry.fault("/blobs/uploads/", 9, Fault::Status(403));
    let error = world.images().push(&[image(&world)], &names(&registry, &["a:1"]), HOW, 2).unwrap_err();
    let said = crate::testing::said(&error);
    assert!(said.contains("does not let everybody push"), "{said}");
}

#[test]
fn what_the_registry_turns_out_to_have_is_given_up() {
    let (world, other, registry) = (World::new(), World::new(), TestRegistry::start());
    let names = names(&registry, &["a:1"]);
    world.images().push(&[image(&world)], &names, HOW, 2).unwrap();
    let pushed = other.images().push(&[image(&other)], &names, HOW, 2).unwrap();
    assert_eq!((pushed.sent, pushed.spared), (0, 2));
    assert_eq!(registry.uploads(), 0);
    // What is known to be there already is asked for first.
    let before = registry.server().received().len();
    world.images().push(&[image(&world)], &names, HOW, 2).unwrap();
    let after: Vec<String> = registry.server().received().into_iter().map(|it| it.method).collect();
    assert_eq!(after[before..], ["HEAD", "HEAD", "PUT"]);
}

#[test]
fn a_layer_that_cannot_be_compressed_is_cancelled() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let images = world.images();
    let early = Early::new(&images.registry, names(&registry, &["a"]).first());
    let mut draft = world.store.blob_draft().unwrap();
    draft.write_all(&vec![1; 4 << 20]).unwrap();
    assert!(early.has_room());
    early.begin(&Digest::of(b"layer"), draft.follow().unwrap());
    while early.streams.lock().unwrap().values().all(|stream| stream.sent.load(Ordering::Relaxed) == 0) {
        std::thread::yield_now();
    }
    drop(draft);
    drop(early);
    assert_eq!(registry.uploads(), 0);
    assert_eq!(registry.server().lines().last().unwrap(), "DELETE /v2/a/blobs/uploads/upload0");
}

#[test]
fn an_interruption_ends_it() {
    let (world, registry) = (World::new(), TestRegistry::start());
    let images = world.images();
    let early = Early::new(&images.registry, names(&registry, &["a"]).first());
    let mut draft = world.store.blob_draft().unwrap();
    draft.write_all(&vec![1; 4 << 20]).unwrap();
    early.begin(&Digest::of(b"layer"), draft.follow().unwrap());
    images.abort();
    draft.write_all(&vec![1; 4 << 20]).unwrap();
    draft.publish(None).unwrap();
    let stream = early.take(&Digest::of(b"layer"), early.repository.as_ref().unwrap()).unwrap();
    assert!(stream.finish(&mut |_| {}).is_none());
}
