//! The merged file system.

use super::*;
use crate::load::LoadFrom;
use crate::testing::{World, image};
use expect_test::expect;
use ireko_report::Null;

fn layers(world: &World) -> Vec<Digest> {
    let dir = world.path("base");
    image().write_layout(&dir, "v1");
    world.images().load(LoadFrom::Path(&dir)).unwrap().remove(0).image.diff_ids
}

#[test]
fn a_tar_shows_what_a_container_would() {
    let world = World::new();
    let path = world.path("root.tar");
    tar(&world.store, &layers(&world), &To::Path(path.clone())).unwrap();
    let mut archive = ::tar::Archive::new(File::open(path).unwrap());
    let mut text = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        io::Read::read_to_string(&mut entry, &mut content).unwrap();
        let link =
            entry.link_name().unwrap().map(|link| format!(" -> {}", link.display())).unwrap_or_default();
        text += &format!("{}{link} {content:?}\n", entry.path().unwrap().display());
    }
    expect![[r#"
        etc/ ""
        etc/motd "hello again\n"
        etc/motd2 -> etc/motd ""
        motd -> etc/motd ""
        opt/ ""
        opt/y "y"
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_directory_gets_the_files_and_keeps_what_else_it_has() {
    let world = World::new();
    let into = world.path("root");
    fs::create_dir_all(into.join("etc")).unwrap();
    fs::write(into.join("etc/mine"), "mine").unwrap();
    std::os::unix::fs::symlink("/tmp", into.join("opt")).unwrap();
    let layers = layers(&world);
    for _ in 0..2 {
        let done = local(&world.store, &layers, &To::Path(into.clone()), &Null).unwrap();
        assert_eq!(done.bytes, 13);
    }
    let read = |name: &str| fs::read_to_string(into.join(name)).unwrap();
    assert_eq!(
        (read("etc/motd2"), read("opt/y"), read("etc/mine")),
        ("hello again\n".into(), "y".into(), "mine".into())
    );
    assert!(!into.join("etc/old").exists() && !into.join("opt").is_symlink());
    let time = fs::metadata(into.join("etc/motd")).unwrap().modified().unwrap();
    assert_eq!(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_500_000_000);
}
