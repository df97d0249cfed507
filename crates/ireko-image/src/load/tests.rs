//! Archives and layouts come in, whoever wrote them.

use super::*;
use crate::testing::{World, image, said};
use ireko_oci::{ArchiveImage, Descriptor, blob_path};
use ireko_testkit::TarStream;

fn load(world: &World, bytes: &[u8]) -> Result<Vec<Loaded>> {
    world.images().load(LoadFrom::Stream(&mut &*bytes))
}

/// As old engines wrote it: layers in folders, the second one a link, the config named by its digest.
fn legacy(corrupt: bool) -> TarStream {
    let image = image();
    let config = image.config.to_json();
    let name = format!("{}.json", Digest::of(&config).hex());
    let list = ArchiveImage {
        config: name.clone(),
        repo_tags: vec!["app:1".to_owned(), "example.org/b:2".to_owned()],
        layers: vec!["aa/layer.tar".to_owned(), "bb/layer.tar".to_owned()],
        ..ArchiveImage::default()
    };
    let mut second = image.layers[1].clone();
    if corrupt {
        second[600] ^= 1;
    }
    TarStream::new()
        .dir("aa")
        .file("aa/VERSION", "1.0")
        .file("aa/layer.tar", &image.layers[0])
        .symlink("bb/layer.tar", "../cc/layer.tar")
        .file("cc/layer.tar", second)
        .file("../../evil", "out")
        .file(&name, config)
        .file("manifest.json", ArchiveImage::list_to_json(&[list]))
}

#[test]
fn legacy_docker_archives_load_plain_compressed_and_piped() {
    let id = Digest::of(&image().config.to_json());
    for bytes in [legacy(false).bytes(), legacy(false).gzip()] {
        let world = World::new();
        let loaded = load(&world, &bytes).unwrap();
        assert_eq!(loaded[0].names, ["docker.io/library/app:1", "example.org/b:2"]);
        assert_eq!(loaded[0].image.id, id);
        assert!(world.store.hold_image(&loaded[0].image).unwrap().is_empty());
        let path = world.path("app.tar");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(world.images().load(LoadFrom::Path(&path)).unwrap(), loaded);
        let found = world.images().resolve(&crate::Source::Archive(path), &Platform::host()).unwrap();
        assert_eq!(found.config_digest, id);
        assert!(world.store.fsck(false).unwrap().is_clean());
    }
}

#[test]
fn a_layer_of_another_digest_is_refused() {
    let world = World::new();
    let error = load(&world, &legacy(true).bytes()).unwrap_err();
    // Whether the change broke the tar or only its digest, nothing came in.
    assert!(matches!(error, Error::WrongDigest { .. } | Error::Store(_)), "{}", said(&error));
    assert!(world.store.images().unwrap().is_empty());
}

#[test]
fn what_is_missing_is_named() {
    let world = World::new();
    let dir = world.path("layout");
    image().write_layout(&dir, "docker.io/library/app:1");
    let loaded = world.images().load(LoadFrom::Path(&dir)).unwrap();
    assert_eq!(loaded[0].names, ["docker.io/library/app:1"]);
    let (manifest, _, _) = image().parts();
    let layer = blob_path(&manifest.layers[0].digest);
    std::fs::remove_file(dir.join(&layer)).unwrap();
    let other = World::new();
    let error = other.images().load(LoadFrom::Path(&dir)).unwrap_err();
    assert!(error.to_string().ends_with(&format!("its layer `{layer}` is missing")), "{error}");
    assert_eq!(error.blame(), ireko_report::Blame::User);
    world.images().load(LoadFrom::Path(&dir)).unwrap();
}

#[test]
fn what_is_no_archive_is_refused() {
    let world = World::new();
    for (bytes, problem) in [
        (b"no tar at all".to_vec(), "it is no tar"),
        (TarStream::new().file("readme", "x").bytes(), "it has neither `index.json` nor `manifest.json`"),
        (TarStream::new().file("manifest.json", vec![b' '; 9 << 20]).bytes(), "larger than"),
        (TarStream::new().file("manifest.json", "[]").bytes(), "lists no image"),
        (legacy(false).bytes()[..4000].to_vec(), "it ends in the middle"),
    ] {
        let error = load(&world, &bytes).unwrap_err();
        assert!(error.to_string().contains(problem), "{}", said(&error));
        assert_eq!(error.blame(), ireko_report::Blame::User);
    }
    assert!(world.images().load(LoadFrom::Path(Path::new("/nowhere"))).is_err());
}

#[test]
fn what_stands_beside_an_image_in_a_layout_is_passed_over() {
    let world = World::new();
    let dir = world.path("layout");
    image().write_layout(&dir, "docker.io/library/app:1");
    let blob = |bytes: &[u8]| std::fs::write(dir.join(blob_path(&Digest::of(bytes))), bytes).unwrap();
    let of = |kind: &str, bytes: &[u8]| Descriptor::of(ireko_oci::MediaType::new(kind), bytes);
    let config = ireko_oci::ImageConfig::for_platform(&Platform::host()).to_json();
    let mut index = ireko_oci::Index::parse(&std::fs::read(dir.join("index.json")).unwrap()).unwrap();
    let (words, kinds) = (b"words".as_slice(), ireko_oci::MediaType::OCI_MANIFEST);
    let mut artifact =
        ireko_oci::Manifest::new(kinds.clone(), of("application/vnd.oci.empty.v1+json", b"{}"), vec![]);
    artifact.artifact_type = "application/x".to_owned();
    let signature = ireko_oci::Manifest::new(
        kinds.clone(),
        of(ireko_oci::MediaType::OCI_CONFIG.as_str(), &config),
        vec![of("application/vnd.dev.cosign.simplesigning.v1+json", words)],
    );
    for bytes in [b"{}".as_slice(), words, &config, &artifact.to_json(), &signature.to_json()] {
        blob(bytes);
    }
    for manifest in [artifact, signature] {
        index.manifests.push(Descriptor::of(kinds.clone(), &manifest.to_json()));
    }
    std::fs::write(dir.join("index.json"), index.to_json()).unwrap();
    let loaded = world.images().load(LoadFrom::Path(&dir)).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].names, ["docker.io/library/app:1"]);
}

/// Images that differ in their architecture, with names and platforms in a layout's index.
fn layout_of(dir: &Path, members: &[(&str, Option<&str>, &str)], nested: bool) {
    let mut index = ireko_oci::Index::new(ireko_oci::MediaType::OCI_INDEX, Vec::new());
    for (name, platform, architecture) in members {
        let mut image = image();
        (*architecture).clone_into(&mut image.config.architecture);
        image.write_layout(dir, name);
        let mut one = ireko_oci::Index::parse(&std::fs::read(dir.join("index.json")).unwrap()).unwrap();
        one.manifests[0].platform = platform.map(|platform| platform.parse().unwrap());
        index.manifests.append(&mut one.manifests);
    }
    if nested {
        let bytes = index.to_json();
        std::fs::write(dir.join(blob_path(&Digest::of(&bytes))), &bytes).unwrap();
        index.manifests = vec![Descriptor::of(ireko_oci::MediaType::OCI_INDEX, &bytes)];
    }
    std::fs::write(dir.join("index.json"), index.to_json()).unwrap();
}

#[test]
fn of_several_platforms_the_one_that_runs_here_is_loaded() {
    let host = Platform::host();
    let (here, own) = (host.to_string(), host.architecture.as_str());
    let here = Some(here.as_str());
    let (z, z_name, mips) = ("s390x", Some("linux/s390x"), Some("linux/mips64le"));
    for (members, nested, expected) in [
        // One image for several platforms, whether its name says so or not.
        (vec![("a:1", z_name, z), ("a:1", here, own)], false, vec![own]),
        (vec![("1", z_name, z), ("1", here, own)], false, vec![own]),
        (vec![("1", z_name, z), ("1", here, own)], true, vec![own]),
        // An image for one platform is what was asked for.
        (vec![("a:1", z_name, z)], false, vec![z]),
        (vec![("a:1", z_name, z)], true, vec![z]),
        (vec![("a:1", z_name, z), ("b:1", here, own)], false, vec![own, z]),
        (vec![("a:1", None, z), ("a:2", None, own)], false, vec![own, z]),
        (vec![("a:1", z_name, z), ("a:1", mips, "mips64le"), ("b:1", here, own)], false, vec![own]),
    ] {
        let world = World::new();
        let dir = world.path("layout");
        layout_of(&dir, &members, nested);
        let loaded = world.images().load(LoadFrom::Path(&dir)).unwrap();
        let mut architectures: Vec<&str> =
            loaded.iter().map(|loaded| loaded.image.platform.architecture.as_str()).collect();
        architectures.sort_by_key(|architecture| *architecture != own);
        assert_eq!(architectures, expected, "{members:?} {nested}");
    }
    for nested in [false, true] {
        let world = World::new();
        let dir = world.path("layout");
        layout_of(&dir, &[("a:1", z_name, z), ("a:1", mips, "mips64le")], nested);
        let error = world.images().load(LoadFrom::Path(&dir)).unwrap_err();
        assert!(error.to_string().ends_with("it has linux/s390x, linux/mips64le"), "{error}");
    }
}
