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

fn files<'a>(layers: &'a [Digest], dir: Option<&str>) -> Files<'a> {
    Files { layers, platform: "linux/amd64".to_owned(), dir: dir.map(str::to_owned) }
}

fn listed(path: &Path) -> String {
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
    text
}

#[test]
fn a_tar_shows_what_a_container_would() {
    let world = World::new();
    let path = world.path("root.tar");
    tar(&world.store, &[files(&layers(&world), None)], &To::Path(path.clone())).unwrap();
    expect![[r#"
        etc/ ""
        etc/motd "hello again\n"
        etc/motd2 -> etc/motd ""
        motd -> etc/motd ""
        opt/ ""
        opt/y "y"
    "#]]
    .assert_eq(&listed(&path));
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
        let done = local(&world.store, &[files(&layers, None)], &To::Path(into.clone()), &Null).unwrap();
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

#[test]
fn several_platforms_have_directories_of_their_own() {
    let world = World::new();
    let layers = layers(&world);
    let (tar_path, into) = (world.path("roots.tar"), world.path("roots"));
    let both = || [files(&layers[..1], Some("linux_arm64")), files(&layers, Some("linux_amd64"))];
    tar(&world.store, &both(), &To::Path(tar_path.clone())).unwrap();
    expect![[r#"
        linux_amd64/ ""
        linux_amd64/etc/ ""
        linux_amd64/etc/motd "hello again\n"
        linux_amd64/etc/motd2 -> linux_amd64/etc/motd ""
        linux_amd64/motd -> etc/motd ""
        linux_amd64/opt/ ""
        linux_amd64/opt/y "y"
        linux_arm64/ ""
        linux_arm64/etc/ ""
        linux_arm64/etc/motd "hello\n"
        linux_arm64/etc/old "old"
        linux_arm64/opt/ ""
        linux_arm64/opt/x "x"
    "#]]
    .assert_eq(&listed(&tar_path));
    local(&world.store, &both(), &To::Path(into.clone()), &Null).unwrap();
    assert_eq!(fs::read_to_string(into.join("linux_arm64/etc/motd")).unwrap(), "hello\n");
    assert_eq!(fs::read_to_string(into.join("linux_amd64/etc/motd")).unwrap(), "hello again\n");
}

#[test]
fn platforms_in_one_directory_must_not_overwrite_each_other() {
    let world = World::new();
    let layers = layers(&world);
    let merged = [files(&layers[..1], None), files(&layers, None)];
    for error in [
        tar(&world.store, &merged, &To::Path(world.path("m.tar"))).unwrap_err(),
        local(&world.store, &merged, &To::Path(world.path("m")), &Null).unwrap_err(),
    ] {
        let text = crate::testing::said(&error);
        assert!(text.contains("`etc/motd`: linux/amd64 and linux/amd64 both have it"), "{text}");
        assert_eq!(error.blame(), Blame::User);
        assert!(error.hint().unwrap().contains("platform-split=false"));
    }
    assert!(!world.path("m.tar").exists() && !world.path("m").exists(), "nothing is written");
    local(&world.store, &[files(&layers, None), files(&[], None)], &To::Path(world.path("m")), &Null)
        .unwrap();
}
