//! `--build-context NAME=deb:SUITE`: a build whose base is made of an archive's packages.

use crate::bad_input::in_small_world;
use crate::deb_archive::DebArchive;
use crate::support::{Place, Said};

/// A Dockerfile that uses the base in every way there is.
const EVERY_WAY: &str = "FROM debian:bookworm AS one\nRUN cat /usr/share/tool >/one\n\
    FROM debian:bookworm\nCOPY --from=one /one /one\nCOPY --from=debian:bookworm /usr/share/tool /two\n\
    RUN --mount=from=debian:bookworm,target=/m cat /m/usr/share/tool >/three\n";

fn place() -> Option<(Place, DebArchive)> {
    let place = Place::new()?;
    let archive = DebArchive::new(&place)?;
    Some((place, archive))
}

/// The flag, and more options of the base before those of the archive.
fn context(archive: &DebArchive, options: &str) -> String {
    format!("debian:bookworm=deb:bookworm?{options}&{}", archive.options())
}

/// How often dpkg was started.
fn installs(said: &Said) -> usize {
    said.ran().iter().filter(|line| line.contains("dpkg --install")).count()
}

fn makes_and_remembers((place, mut archive): (Place, DebArchive)) {
    archive.publish(&[("tool", "1")]);
    place.dockerfile(EVERY_WAY);
    let flag = context(&archive, "include=tool");
    let build = |more: &[&str]| place.build(&[&["--build-context", &flag], more].concat());
    let all = || place.inside("cat /one /two /three");

    let first = build(&[]).ok();
    assert_eq!(installs(&first), 2, "the core and the tool: {}", first.stderr);
    assert_eq!(all(), "1\n1\n1\n");
    let base = place.layers("app")[0].clone();

    // Neither dpkg nor the archive is needed again.
    archive.hide(true);
    for more in [&[][..], &["--offline"], &["--pull=never"]] {
        let again = build(more).ok();
        assert_eq!(again.ran(), [""; 0], "{}", again.stderr);
        assert!(!again.stderr.contains("dpkg"), "{}", again.stderr);
    }
    archive.hide(false);

    // What is new in the archive counts from `--pull` on.
    archive.publish(&[("tool", "2")]);
    assert_eq!(build(&[]).ok().ran(), [""; 0]);
    assert_eq!(all(), "1\n1\n1\n");
    let pulled = build(&["--pull"]).ok();
    assert_eq!(installs(&pulled), 1, "{}", pulled.stderr);
    assert_eq!(all(), "2\n2\n2\n");
    let newer = place.layers("app")[0].clone();
    assert_ne!(newer, base);
    assert_eq!(build(&[]).ok().ran(), [""; 0]);
    assert_eq!(all(), "2\n2\n2\n");

    // A state of the archive that is newer, and has nothing new for the base, changes nothing.
    archive.publish(&[("tool", "2"), ("other", "1")]);
    let pulled = build(&["--pull"]).ok();
    assert_eq!(pulled.ran(), [""; 0], "{}", pulled.stderr);
    assert_eq!(place.layers("app")[0], newer);

    // Another request is another base.
    let flag = context(&archive, "include=tool,other");
    place.dockerfile("FROM debian:bookworm\nRUN cat /usr/share/other >/other\n");
    assert_eq!(installs(&place.build(&["--build-context", &flag]).ok()), 1);
    assert_eq!(place.inside("cat /other"), "1\n");
    // So is the same from elsewhere.
    let flag = flag.replace("mirror=file://", "mirror=file:///.");
    assert_ne!(place.build(&["--build-context", &flag, "--offline"]).code, 0);

    // A base that was thrown away is made again.
    place.ireko(&["rmi", "app"]).ok();
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.dockerfile(EVERY_WAY);
    let made = build(&[]).ok();
    assert_eq!(installs(&made), 2, "{}", made.stderr);
    assert_eq!(all(), "2\n2\n2\n");
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout.lines().count(), 1, "the base has no name");
    place.sound();
    place.nothing_mounted();
}

#[test]
fn a_base_is_made_once_and_again_when_asked() {
    if let Some(ready) = place() {
        makes_and_remembers(ready);
    }
}

#[test]
fn an_ordinary_user_makes_bases_too() {
    let Some(place) = Place::ordinary() else { return };
    let Some(archive) = DebArchive::new(&place) else { return };
    makes_and_remembers((place, archive));
}

#[test]
fn a_user_with_a_single_id_makes_bases_too() {
    let Some(place) = Place::ordinary_at("single-id") else { return };
    let Some(archive) = DebArchive::new(&place) else { return };
    makes_and_remembers((place, archive));
}

#[test]
fn a_base_that_cannot_be_made_names_flag_and_line() {
    let Some((place, mut archive)) = place() else { return };
    archive.publish(&[("broken", "1\nDepends: nothing-such")]);
    place.dockerfile("# a base\nFROM debian:bookworm\nRUN true\n");
    let fails = |flag: &str, more: &[&str], code: i32, says: &[&str]| {
        place.build(&[&["--build-context", flag], more].concat()).fails(code, says);
    };
    let named = "`--build-context debian:bookworm=deb:bookworm?";
    let line = "Dockerfile:2:6";
    fails(&context(&archive, "include=nothing"), &[], 2, &[named, line, "nothing"]);
    fails(&context(&archive, "include=broken"), &[], 2, &[named, line, "nothing-such"]);
    let offline = ["no such base for linux/", "no archive is asked", "build once without `--offline`"];
    fails(&context(&archive, ""), &["--offline"], 2, &[&[named, line], &offline[..]].concat());
    let foreign = context(&archive, "");
    fails(
        &foreign,
        &["--platform", "linux/mips"],
        2,
        &[named, line, "no suite has packages for `linux/mips`"],
    );
    archive.hide(true);
    fails(&context(&archive, ""), &[], 3, &[named, line, "dists/bookworm/", "is missing"]);
    // Mistakes of the flag itself are told before anything is read.
    let flag = |text: &str, says: &[&str]| {
        let said = format!("`--build-context debian:bookworm={text}`");
        let flag = format!("debian:bookworm={text}");
        fails(&flag, &[], 2, &[&[said.as_str()], says].concat());
    };
    flag("deb:fedora:40", &["`fedora` is no distribution"]);
    flag("deb:", &["names no suite"]);
    flag("deb:bookworm?inclde=a", &["`inclde` is no option of a base", "did you mean `include`?"]);
    flag("deb:bookworm?include=", &["`include=` has no value"]);
    flag("deb:bookworm?recommends=maybe", &["`recommends=maybe`"]);
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, "");
    place.sound();
}

#[test]
fn a_small_base_has_no_package_for_what_was_done_from_the_start() {
    let Some((place, mut archive)) = place() else { return };
    archive.publish(&[
        ("init", "1\nEssential: yes\nDepends: usrmerge | usr-is-merged\n"),
        ("usrmerge", "1\nProvides: usr-is-merged\nDepends: perl\n"),
        ("usr-is-merged", "1"),
        ("perl", "1"),
    ]);
    place.dockerfile("FROM debian:bookworm\nRUN ls /usr/share >/list\n");
    let has = |base: &str, options: &str| {
        let flag = format!("debian:bookworm=deb:{base}?{options}{}", archive.options());
        place.build(&["--build-context", &flag]).ok();
        let list = place.inside("cat /list");
        let names = ["init", "perl", "usr-is-merged", "usrmerge"];
        names.iter().filter(|name| list.lines().any(|line| line == **name)).copied().collect::<Vec<_>>()
    };
    assert_eq!(has("bookworm", ""), ["init", "perl", "usrmerge"], "as mmdebstrap chooses");
    assert_eq!(has("bookworm-slim", ""), ["init", "usr-is-merged"]);
    assert_eq!(has("bookworm-slim", "include=perl&"), ["init", "perl", "usr-is-merged"]);
    let both = has("bookworm-slim", "include=usrmerge&");
    assert!(both.contains(&"usrmerge") && both.contains(&"perl"), "{both:?}");
    // Where nothing stands for it, it stays.
    archive.publish(&[
        ("init", "1\nEssential: yes\nDepends: usrmerge | usr-is-merged\n"),
        ("usrmerge", "1\nProvides: usr-is-merged\nDepends: perl\n"),
        ("perl", "1"),
    ]);
    let flag = format!("debian:bookworm=deb:bookworm-slim?{}", archive.options());
    place.build(&["--build-context", &flag, "--pull"]).ok();
    assert!(place.inside("cat /list").lines().any(|line| line == "usrmerge"));
}

#[test]
fn a_script_that_fails_shows_its_log() {
    let Some((place, mut archive)) = place() else { return };
    archive.script("tool", "#!/bin/sh\necho out of order\nexit 7\n");
    archive.publish(&[("tool", "1")]);
    place.dockerfile("FROM debian:bookworm\n");
    let flag = context(&archive, "include=tool");
    let says =
        ["`--build-context debian:bookworm=deb:", "the packages could not be installed", "Dockerfile:1:6"];
    let log = ["| out of order", "returned error exit status 7", "the whole log: "];
    place.build(&["--build-context", &flag]).fails(3, &[&says[..], &log].concat());
    place.sound();
    place.nothing_mounted();
}

#[test]
fn a_package_with_other_bytes_is_refused() {
    let Some((place, mut archive)) = place() else { return };
    archive.publish(&[("tool", "1")]);
    place.dockerfile("FROM debian:bookworm\n");
    archive.spoil("tool_1.deb");
    let flag = context(&archive, "include=tool");
    place
        .build(&["--build-context", &flag])
        .fails(3, &["`--build-context debian:bookworm=deb:", "Dockerfile:1:6"]);
    place.sound();
}

#[test]
fn what_builds_nothing_makes_no_base() {
    let Some((place, archive)) = place() else { return };
    archive.hide(true);
    place.file("file", "");
    place.dockerfile("FROM debian:bookworm\nCOPY file /\nRUN true\n");
    let flag = context(&archive, "");
    let check = place.ireko(&["build", "--check", "--build-context", &flag, "context"]).ok();
    assert!(!check.stderr.contains("dpkg"), "{}", check.stderr);
    let context = place.ireko(&["context", "--build-context", &flag, "context"]).ok();
    assert!(context.stdout.contains("line 2"), "{}", context.stdout);
}

#[test]
fn an_image_that_is_nowhere_could_be_made() {
    let Some(place) = Place::new() else { return };
    let says = |name: &str, says: &[&str]| {
        place.dockerfile(&format!("FROM {name}\n"));
        place.build(&["--offline"]).fails(2, says);
    };
    says(
        "debian:bookworm",
        &["`--build-context debian:bookworm=deb:bookworm`", "`ireko base debian:bookworm`"],
    );
    says("debian:12-slim", &["`--build-context debian:12-slim=deb:12-slim`"]);
    says("ubuntu:24.04", &["`--build-context ubuntu:24.04=deb:ubuntu:24.04` makes it of Ubuntu's packages"]);
    for other in
        ["debian:bookworm-backports", "debian:noble", "python:3", "example.com/debian:bookworm", "debian"]
    {
        place.dockerfile(&format!("FROM {other}\n"));
        let said = place.build(&["--offline"]);
        assert!(said.code != 0 && !said.stderr.contains("deb:"), "{}", said.stderr);
    }
}

#[test]
fn on_a_full_disk_a_base_is_tried_once_more() {
    let Some(place) = Place::with_base() else { return };
    let Some(mut archive) = DebArchive::new(&place) else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    for name in ["one", "two"] {
        archive.script(name, "#!/bin/sh\nset -e\ndd if=/dev/zero of=/big bs=4096 count=25000\nrm /big\n");
    }
    archive.publish(&[("one", "1"), ("two", "1")]);
    place.file("Dockerfile.junk", "FROM base\nRUN head -c 45000000 /dev/urandom >/junk\n");
    place.dockerfile("FROM debian:bookworm\nRUN ls /\n");
    let junk =
        "$IREKO build -q --no-cache -t junk -f context/Dockerfile.junk context && $IREKO rmi junk || exit 92";
    let script = format!(
        "$IREKO load -i base.tar || exit 91
        {junk}
        $IREKO base debian:bookworm --include one {} -t made; echo base: $?
        $IREKO rmi made
        {junk}
        $IREKO build --build-context '{}' context; echo build: $?
        $IREKO cache fsck || exit 93",
        archive.flags().join(" "),
        context(&archive, "include=two"),
    );
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=165m,mode=755", &script) else { return };
    let said = said.ok();
    let full = said.stderr.matches("the disk is full: removed").count();
    assert_eq!(full, 2, "{}", said.stderr);
    assert!(
        said.stdout.contains("base: 0\n") && said.stdout.contains("build: 0\n"),
        "{}\n{}",
        said.stdout,
        said.stderr
    );
}
