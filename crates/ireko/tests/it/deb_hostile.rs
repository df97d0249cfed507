//! Packages that an archive signed and that are bad nevertheless: nothing of them leaves the image or the store, and
//! what cannot be used is told by the package's name.

use std::fs;
use std::process::Command;

use ireko_testkit::{DebArchive, DebPackage, ar, raw_entry};

use crate::deb_archive;
use crate::support::{Place, Said, have, is_root, level};

const RELEASE: &str = "Origin: Debian\nSuite: stable\nCodename: trixie\n";

fn tool() -> DebPackage {
    DebPackage::new("tool", "1.0")
}

/// The package with these entries as its files.
fn holding(entries: &[Vec<u8>]) -> DebPackage {
    tool().data("data.tar", &[entries.concat(), vec![0; 1024]].concat())
}

fn file(name: &str) -> Vec<u8> {
    raw_entry(name, b'0', "", b"evil\n")
}

/// The same bytes by a program that compresses.
fn packed(place: &Place, program: &[&str], bytes: &[u8]) -> Vec<u8> {
    let plain = place.path("plain");
    fs::write(&plain, bytes).expect("written");
    let said = Command::new(program[0]).args(&program[1..]).arg("-c").arg(&plain).output().expect(program[0]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    said.stdout
}

/// What every distroless base has, and the package.
fn archive(place: &Place, packages: &[DebPackage]) -> Vec<String> {
    let basis = ["base-files", "ca-certificates", "libc6", "libssl3t64", "netbase", "tzdata"];
    let mut all: Vec<DebPackage> = basis.iter().map(|name| DebPackage::new(name, "1")).collect();
    all.extend(packages.iter().cloned());
    let root = place.path("archive");
    let _ = fs::remove_dir_all(&root);
    DebArchive::default().suite("trixie", RELEASE, &all).write(&root);
    fs::write(place.path("keys.gpg"), DebArchive::key()).expect("written");
    ["--mirror", &format!("file://{}", root.display()), "--signed-by", "keys.gpg"].map(str::to_owned).to_vec()
}

/// The three ways to use packages without dpkg.
const WAYS: [(&str, &[&str]); 3] = [
    ("laid out", &["pack", "--suite", "debian:trixie", "--deb", "tool"]),
    (
        "minimal",
        &["pack", "--suite", "debian:trixie", "--deb", "tool", "--minimal", "--include", "/usr/share"],
    ),
    ("distroless", &["base", "debian:trixie-distroless", "--include", "tool"]),
];

#[track_caller]
fn never_a_bug(said: &Said, name: &str) {
    for text in ["panicked", "Err(", "Os {", "internal", "\x1b]", "\nline"] {
        assert!(!said.stderr.contains(text), "{name}: `{text}` is in:\n{}", said.stderr);
    }
}

/// Uses the package in each way: refused by all, with these words.
#[track_caller]
fn refused(place: &Place, name: &str, packages: &[DebPackage], says: &[&str]) {
    let flags = archive(place, packages);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    for (way, args) in WAYS {
        let said = place.ireko(&[args, &flags[..], &["-t", "bad", "-o", "type=local,dest=out"]].concat());
        never_a_bug(&said, name);
        assert_eq!(said.code, 3, "{name}, {way}: {}", said.stderr);
        for words in says.iter().chain(&["package `tool`"]) {
            assert!(said.stderr.contains(words), "{name}, {way}: `{words}` is not in\n{}", said.stderr);
        }
    }
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, "", "{name}");
    assert!(!place.path("out").exists() && !place.path("evil").exists(), "{name}");
}

#[test]
fn entries_that_lead_out_of_the_tree_are_refused() {
    let Some(place) = Place::new() else { return };
    let refused =
        |name: &str, entries: &[Vec<u8>], says: &str| refused(&place, name, &[holding(entries)], &[says]);
    refused("up", &[file("../../evil")], "it leads out of the layer by `..`");
    refused("up below", &[file("./usr/../../evil")], "it leads out of the layer by `..`");
    let secret = place.path("keys.gpg").display().to_string();
    refused("a link out", &[raw_entry("./usr/evil", b'1', "../../etc/passwd", b"")], "`..`");
    refused("a link to here", &[raw_entry("./usr/evil", b'1', &secret, b"")], "a hard link to");
    refused("a link to a directory", &[raw_entry("./usr/x", b'1', "/", b"")], "a hard link to a directory");
    let round =
        [raw_entry("./usr/a", b'2', "b", b""), raw_entry("./usr/b", b'2', "a", b""), file("./usr/a/x")];
    refused("a circle", &round, "symbolic links that lead nowhere");
    refused("a deletion", &[file("./usr/share/.wh.x")], "mean deletions");
    refused("no type", &[raw_entry("./usr/x", b'~', "", b"")], "unknown type");
    refused("below a file", &[file("./usr/share"), file("./usr/share/x")], "not a directory");
    let mut device = raw_entry("./usr/share/x", b'3', "", b"");
    device.splice(329..345, *b"0000000\x000000000\x00");
    device.splice(148..156, *b"        ");
    let sum: u32 = device[..512].iter().map(|byte| u32::from(*byte)).sum();
    device.splice(148..156, format!("{sum:06o}\0 ").into_bytes());
    refused("a deletion by a device", &[device], "takes for a deletion");
    place.sound();
}

#[test]
fn entries_that_stay_in_the_tree_do_no_harm() {
    let Some(place) = Place::new() else { return };
    let outside = place.path("outside");
    fs::create_dir_all(&outside).expect("a directory");
    let above = format!("../../../../../../../../..{}", outside.display());
    let entries = [
        file("/usr/share/absolute"),
        raw_entry("./usr/share/abs", b'2', &outside.display().to_string(), b""),
        file("./usr/share/abs/evil"),
        raw_entry("./usr/share/up", b'2', &above, b""),
        file("./usr/share/up/evil2"),
        raw_entry("./usr/share/new\nline", b'0', "", b"x"),
        raw_entry("./usr/share/\x1b]0;title\x07", b'0', "", b"x"),
        raw_entry("./usr/share/null", b'3', "", b""),
        // A directory where a link is to be, and a link where a directory is: the first stays.
        raw_entry("./usr/lib64/", b'5', "", b""),
        file("./usr/lib64/data"),
        raw_entry("./lib64", b'2', &outside.display().to_string(), b""),
        file("./lib64/evil3"),
    ];
    let flags = archive(&place, &[holding(&entries)]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    for (way, args) in WAYS {
        let _ = fs::remove_dir_all(place.path("out"));
        let said = place.ireko(&[args, &flags[..], &["-t", "app", "-o", "type=local,dest=out"]].concat());
        never_a_bug(&said, way);
        assert_eq!(said.code, 0, "{way}: {}", said.stderr);
        assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0, "{way}");
        let inside = place.path("out").join(outside.strip_prefix("/").expect("absolute"));
        if way != "minimal" {
            assert!(inside.join("evil").exists() && inside.join("evil2").exists(), "{way}");
        }
        assert!(place.path("out/usr/share/absolute").exists(), "{way}");
    }
    place.sound();
}

#[test]
fn files_that_are_no_packages_are_refused() {
    let Some(place) = Place::new() else { return };
    let refused = |name: &str, package: DebPackage, says: &[&str]| refused(&place, name, &[package], says);
    let whole = tool().file("usr/share/x", "x", 0o644).bytes();
    refused("cut short", tool().whole(whole[..whole.len() - 700].to_vec()), &["inside `data.tar`"]);
    refused("text", tool().whole(b"<html>not here</html>".to_vec()), &["it is no `ar` archive"]);
    let control = tool().control_part();
    let two: &[u8] = b"2.0\n";
    let of = |members: &[(&str, &[u8])]| tool().whole(ar(members));
    refused("no data", of(&[("debian-binary", two), ("control.tar", &control)]), &["it has no `data.tar`"]);
    let many: Vec<(&str, &[u8])> = [("debian-binary", two)].into_iter().chain([("_x", two); 100]).collect();
    refused("many", of(&many), &["more than 64 members"]);
    let other = |name: &str, version: &str| {
        let text = DebPackage::new(name, version).paragraph();
        let control = [raw_entry("./control", b'0', "", text.as_bytes()), vec![0; 1024]].concat();
        of(&[("debian-binary", two), ("control.tar", &control), ("data.tar", &[0; 1024])])
    };
    refused("another name", other("libc6", "1.0"), &["says that it is `libc6` 1.0 (all)"]);
    refused("another version", other("tool", "9"), &["says that it is `tool` 9 (all)"]);
    refused("no name", other("../x", "1.0"), &["says that it is `../x` 1.0"]);
    let architecture = tool().paragraph().replace("Architecture: all", "Architecture: s390x");
    let odd = [raw_entry("./control", b'0', "", architecture.as_bytes()), vec![0; 1024]].concat();
    let odd = of(&[("debian-binary", two), ("control.tar", &odd), ("data.tar", &[0; 1024])]);
    refused("another architecture", odd, &["says that it is `tool` 1.0 (s390x)"]);
    let mut huge = raw_entry("./usr/share/x", b'0', "", b"");
    huge.splice(124..136, [&b"\x80\0\0\0"[..], &(1_u64 << 61).to_be_bytes()].concat());
    huge.splice(148..156, *b"        ");
    let sum: u32 = huge[..512].iter().map(|byte| u32::from(*byte)).sum();
    huge.splice(148..156, format!("{sum:06o}\0 ").into_bytes());
    refused("a huge file", holding(&[huge]), &["it holds more than"]);
    place.sound();
}

#[test]
fn little_that_becomes_much_is_refused() {
    let Some(place) = Place::new() else { return };
    if !have(&["xz", "zstd"]) {
        return;
    }
    let mut much = raw_entry("./usr/share/x", b'0', "", &vec![0; 90 << 20]);
    much.extend([0; 1024]);
    let refused = |name: &str, package: DebPackage, says: &[&str]| refused(&place, name, &[package], says);
    let bomb = |member: &str, program: &[&str]| tool().data(member, &packed(&place, program, &much));
    refused("xz", bomb("data.tar.xz", &["xz", "-0"]), &["it holds more than"]);
    refused("zstd", bomb("data.tar.zst", &["zstd", "-q"]), &["it holds more than"]);
    let small = [file("./usr/share/x"), vec![0; 1024]].concat();
    let memory = packed(&place, &["xz", "--lzma2=dict=768MiB"], &small);
    refused("memory", tool().data("data.tar.xz", &memory), &["emory"]);
    let long = raw_entry("./md5sums", b'0', "", &vec![b'a'; 70 << 20]);
    let control =
        [raw_entry("./control", b'0', "", tool().paragraph().as_bytes()), long, vec![0; 1024]].concat();
    let control = packed(&place, &["xz", "-0"], &control);
    let control =
        tool().whole(ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &control), ("data.tar", b"")]));
    refused("control", control, &["its control part"]);
    place.sound();
}

#[test]
fn packages_that_cannot_lie_in_one_tree_are_told() {
    let Some(place) = Place::new() else { return };
    let depends = |package: DebPackage| package.field("Depends", "zz");
    let other = |package: DebPackage| package.field("Multi-Arch", "foreign");
    let zz = || other(DebPackage::new("zz", "1"));
    let below = [file("./usr/share/x/y"), vec![0; 1024]].concat();
    let cases = [
        (
            depends(tool()).file("usr/share/x", "x", 0o644),
            zz().data("data.tar", &below),
            "and `tool` has a file at `/usr/share/x`",
        ),
        (
            depends(tool()).file("usr/share/x", "x", 0o644),
            zz().file("usr/share/x/y", "y", 0o644),
            "`/usr/share/x`, and `tool` has a file there",
        ),
        (
            depends(tool()).file("usr/share/x/y", "y", 0o644),
            zz().file("usr/share/x", "x", 0o644),
            "and `tool` has a directory there",
        ),
    ];
    for (one, other, says) in cases {
        let flags = archive(&place, &[one, other]);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        for (_, args) in WAYS {
            place.ireko(&[args, &flags[..], &["-t", "bad"]].concat()).fails(3, &["package `zz` has", says]);
        }
    }
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, "");
    place.sound();
}

/// Where dpkg installs: it sees the image alone.
#[test]
fn dpkg_is_given_what_the_list_names_and_harms_nothing() {
    let Some(place) = Place::new() else { return };
    let Some(mut archive) = deb_archive::DebArchive::new(&place) else { return };
    let outside = place.path("outside");
    fs::create_dir_all(&outside).expect("a directory");
    let packages = [("app", "1"), ("left", "1")];
    archive.script("app", "#!/bin/sh\nmkdir -p /var/lib/app\n");
    archive.publish(&packages);
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let control = |name: &str| {
        let text = format!(
            "Package: {name}\nVersion: 1\nArchitecture: {architecture}\nMaintainer: x <x@x>\nDescription: x\n"
        );
        let script = raw_entry("./postinst", b'0', "", b"#!/bin/sh\nmkdir -p /var/lib/app\n");
        [raw_entry("./control", b'0', "", text.as_bytes()), script, vec![0; 1024]].concat()
    };
    let deb = |name: &str, entries: &[Vec<u8>]| {
        let data = [entries.concat(), vec![0; 1024]].concat();
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control(name)), ("data.tar", &data)])
    };
    let mut check = |name: &str, bytes: &[u8], codes: &[i32], says: &[&str]| {
        archive.replace("app_1.deb", bytes, &packages);
        let flags = archive.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        for args in [
            &["base", "debian:bookworm", "--include", "app", "-t", "made"][..],
            &["pack", "--suite", "debian:bookworm", "--deb", "app", "-t", "made"],
        ] {
            let said = place.ireko(&[args, &flags[..]].concat());
            never_a_bug(&said, name);
            assert!(codes.contains(&said.code), "{name}: {}", said.stderr);
            for words in says.iter().filter(|_| said.code != 0) {
                assert!(said.stderr.contains(words), "{name}: `{words}` is not in\n{}", said.stderr);
            }
            assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0, "{name}");
            assert!(!place.path("evil").exists(), "{name}");
        }
    };
    check("another name", &deb("left", &[]), &[3], &["package `app` 1", "says that it is `left` 1"]);
    // What is above the root of a container is its root.
    check("up", &deb("app", &[file("../../../evil")]), &[0, 3], &["app"]);
    let mut cut = deb("app", &[file("./usr/x")]);
    cut.truncate(cut.len() - 700);
    check("cut short", &cut, &[3], &["package `app` 1", "inside `data.tar`"]);
    let dir = |name: &str| raw_entry(name, b'5', "", b"");
    let escaping = [
        dir("./"),
        dir("./usr/"),
        raw_entry("./usr/out", b'2', &outside.display().to_string(), b""),
        raw_entry("./usr/null", b'3', "", b""),
    ];
    // In a user namespace nobody makes devices, and dpkg says so.
    let codes = if is_root() && level().is_none() { &[0][..] } else { &[0, 3] };
    check("links and devices", &deb("app", &escaping), codes, &["creating device"]);
    let through = [&escaping[..], &[file("./usr/out/evil")]].concat();
    check("through a link", &deb("app", &through), &[0, 3], &["app"]);
    place.nothing_mounted();
    place.sound();
}
