//! `ireko base`: what it refuses, what it makes without running anything, and what is outdated. What dpkg makes:
//! `tests/examples.sh deb-base`.

use crate::support::Place;
use ireko_testkit::signing::TestKey;
use ireko_testkit::{DebArchive, DebPackage};
use std::fs;

#[test]
fn what_no_base_can_be_made_of_is_told() {
    let Some(place) = Place::new() else { return };
    let said = |args: &[&str], code: i32, says: &[&str]| {
        place.ireko(&[&["base"], args].concat()).fails(code, says);
    };
    said(&["fedora:40"], 2, &["`fedora` is no distribution that is known here", "debian:bookworm-slim"]);
    said(&["debian:"], 2, &["names no suite"]);
    said(&["debian:book worm"], 2, &["names no suite"]);
    said(&["debian:bookworm", "--platform", "linux/mips"], 2, &["no suite has packages for `linux/mips`"]);
    let empty = format!("file://{}", place.path("").display());
    said(&["debian:bookworm", "--mirror", &empty], 3, &["dists/bookworm/", "is missing"]);
    // A name that nobody knows is the person's mistake, a mirror without a suite that there is, is not.
    for (name, says) in [
        ("debian:bookwrm", "did you mean `debian:bookworm`?"),
        ("debian:bokworm-slim", "did you mean `debian:bookworm`?"),
        ("debian:sqeeze-slim", "Known here are `debian:14`"),
        ("ubuntu:nobel", "did you mean `ubuntu:noble`?"),
        ("debian:trixi-distroless", "did you mean `debian:trixie`?"),
    ] {
        said(&[name, "--mirror", &empty], 2, &["there is no suite `", says]);
    }
    place
        .ireko(&["pack", "--deb", "hello", "--suite", "debian:bokworm", "--mirror", &empty])
        .fails(2, &["there is no suite `bokworm`", "did you mean `debian:bookworm`?"]);
    let failing = ireko_testkit::Server::start(|_| ireko_testkit::Answer::status(500));
    let (closed, failing) = ("http://127.0.0.1:1/debian", failing.url("/debian"));
    for mirror in [closed, &failing] {
        said(&["debian:bookwrm", "--mirror", mirror], 3, &["cannot fetch"]);
    }
    let missing = ireko_testkit::Server::start(|_| ireko_testkit::Answer::status(404));
    said(&["debian:bookwrm", "--mirror", &missing.url("/debian")], 2, &["did you mean `debian:bookworm`?"]);
    said(&["debian:bookworm", "--signed-by", "none.gpg"], 2, &["cannot use the keys of `none.gpg`"]);
    place.file("../keys.gpg", "no keys\n");
    said(&["debian:bookworm", "--signed-by", "keys.gpg"], 2, &["cannot use the keys of `keys.gpg`"]);
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, "");
    place.sound();
}

/// The packages that every distroless base has, made small, and some more.
fn packages() -> Vec<DebPackage> {
    let deb = DebPackage::new;
    vec![
        deb("base-files", "12")
            .file("etc/debian_version", "13.1\n", 0o644)
            .control("postinst", "#!/bin/sh\nadduser x\n"),
        deb("ca-certificates", "1")
            .field("Depends", "openssl, debconf (>= 0.5) | debconf-2.0")
            .file("usr/share/ca-certificates/b.crt", "B", 0o644)
            .file("usr/share/ca-certificates/a.crt", "A\n", 0o644)
            .file("usr/sbin/update-ca-certificates", "#!/bin/sh\n", 0o755),
        deb("debconf", "1").control("postinst", "#!/bin/sh\nuseful\n"),
        deb("openssl", "1"),
        deb("libc6", "2.41").field("Depends", "libgcc-s1").file("lib/libc.so.6", "libc", 0o755),
        deb("libgcc-s1", "1").control("triggers", "activate-noawait ldconfig\n"),
        deb("libssl3t64", "3").field("Depends", "libc6"),
        deb("netbase", "1").file("etc/services", "http 80/tcp\n", 0o644),
        deb("tzdata", "2025").field("Depends", "debconf").file("usr/share/zoneinfo/Etc/UTC", "TZif", 0o644),
        deb("tool", "1.0")
            .field("Depends", "libc6, dpkg (>= 1.0)")
            .control("md5sums", "0123  usr/bin/tool\n")
            .control("postinst", "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n\tldconfig\nfi\n")
            .file("usr/bin/tool", "tool", 0o755)
            .file("usr/share/doc/tool/copyright", "free\n", 0o644)
            .file("usr/share/doc/tool/README", "read\n", 0o644),
        deb("dpkg", "1.22").file("usr/bin/dpkg", "dpkg", 0o755),
        deb("daemon", "1").control("preinst", "#!/bin/sh\nadduser --system daemon\n"),
    ]
}

const TRIXIE: &str = "Origin: Debian\nSuite: stable\nCodename: trixie\n";

fn archive(packages: &[DebPackage]) -> DebArchive {
    DebArchive::default().suite("trixie", TRIXIE, packages).suite("stable", TRIXIE, packages)
}

/// The arguments for an archive at an address, with its key.
fn from<'a>(place: &Place, address: &'a str) -> [&'a str; 4] {
    fs::write(place.path("keys.gpg"), DebArchive::key()).expect("written");
    ["--mirror", address, "--signed-by", "keys.gpg"]
}

fn local(place: &Place, name: &str, packages: &[DebPackage]) -> String {
    archive(packages).write(&place.path(name));
    format!("file://{}", place.path(name).display())
}

#[test]
fn a_base_without_a_shell() {
    let Some(place) = Place::new() else { return };
    let mirror = local(&place, "archive", &packages());
    let from = from(&place, &mirror);
    let base = |args: &[&str]| place.ireko(&[&["base"], args, &from[..]].concat());
    base(&["debian:stable-distroless", "-t", "stable"]).ok();
    assert_eq!(
        place.config("stable")["config"]["Labels"]["ireko.base.suite"],
        "debian:trixie",
        "whose role it is"
    );
    base(&["debian:trixie-distroless", "--include", "tool", "-t", "bare"]).ok();
    let again =
        base(&["debian:trixie-distroless", "--include", "tool", "-q", "-o", "type=local,dest=out"]).ok();
    assert_eq!(again.stdout.trim(), place.id("bare"));
    let config = &place.config("bare")["config"];
    assert_eq!(config["Env"][1], "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt");
    assert!(config["Cmd"].is_null());
    let read = |path: &str| fs::read_to_string(place.path("out").join(path)).unwrap_or_default();
    for (path, wanted) in [
        ("etc/ssl/certs/ca-certificates.crt", "A\nB\n"),
        ("etc/debian_version", "13.1\n"),
        ("usr/lib/libc.so.6", "libc"),
        ("usr/bin/tool", "tool"),
        ("usr/share/doc/tool/copyright", "free\n"),
        ("usr/share/doc/tool/README", ""),
        ("usr/sbin/update-ca-certificates", ""),
        ("usr/bin/dpkg", ""),
        ("etc/timezone", "Etc/UTC\n"),
        ("var/lib/dpkg/status.d/tool.md5sums", "0123  usr/bin/tool\n"),
        ("var/lib/dpkg/status", ""),
    ] {
        assert_eq!(read(path), wanted, "{path}");
    }
    assert!(read("etc/passwd").contains("nonroot:x:65532:65532:nonroot:/home/nonroot:"));
    assert!(read("var/lib/dpkg/status.d/tool").starts_with("Package: tool\nVersion: 1.0\n"));
    let told = fs::read_dir(place.path("out/var/lib/dpkg/status.d")).expect("a directory");
    let mut told: Vec<String> =
        told.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    told.sort();
    let wanted = [
        "base-files",
        "ca-certificates",
        "libc6",
        "libgcc-s1",
        "libssl3t64",
        "netbase",
        "tool",
        "tool.md5sums",
        "tzdata",
    ];
    assert_eq!(told, wanted);
    base(&["debian:trixie-distroless", "--include", "tool"])
        .fails(2, &["would take the name of the base without", "-t NAME"]);
    base(&["debian:trixie-distroless", "--include", "daemon", "-t", "no"]).fails(
        2,
        &[
            "package `daemon` needs its `preinst` to be run, which does `adduser --system daemon`",
            "-slim --include daemon",
        ],
    );
    place.sound();
}

#[test]
fn what_is_newer_in_the_archive() {
    let Some(place) = Place::new() else { return };
    let mirror = local(&place, "archive", &packages());
    place
        .ireko(
            &[
                &["base", "debian:trixie-distroless", "--include", "tool", "-t", "bare"],
                &from(&place, &mirror)[..],
            ]
            .concat(),
        )
        .ok();
    let mut newer = packages();
    newer.retain(|package| !package.paragraph().contains("Package: netbase\n"));
    newer.push(DebPackage::new("tool", "1.0+deb13u1"));
    let newer = local(&place, "newer", &newer);
    let outdated = |mirror: &str, args: &[&str]| {
        place.ireko(&[&["base", "--outdated", "bare"], args, &from(&place, mirror)[..]].concat())
    };
    let said = outdated(&mirror, &[]).ok();
    assert_eq!(said.stdout, "8 packages, none outdated (debian:trixie)\n");
    let said = outdated(&newer, &[]).fails(1, &[]);
    let wanted = "PACKAGE   INSTALLED   AVAILABLE     SUITE\ntool      1.0         1.0+deb13u1   trixie\n\
                  8 packages, 1 outdated, 0 of these for security (debian:trixie)\nnot in the archive: netbase\n";
    assert_eq!((said.stdout.as_str(), said.stderr.contains("error")), (wanted, false));
    let said = outdated(&newer, &["--format", "json"]).fails(1, &[]);
    let document: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(document["outdated"][0]["available"], "1.0+deb13u1");
    assert_eq!((&document["packages"], &document["unknown"][0]), (&8.into(), &"netbase".into()));
    outdated(&newer, &["--include", "tool"]).fails(2, &["--include"]);
    place.dockerfile("FROM scratch\nCOPY x /x\n");
    place.file("x", "x");
    place.build(&["-t", "bare"]).ok();
    outdated(&newer, &[]).fails(2, &["image `bare` has no Debian packages"]);
}

#[test]
fn roles_and_keys_that_are_not_there() {
    let Some(place) = Place::new() else { return };
    DebArchive::default()
        .suite("stable", "Origin: Debian\nCodename: stable\n", &packages())
        .write(&place.path("odd"));
    let mirror = format!("file://{}", place.path("odd").display());
    let args = [&["base", "debian:latest-distroless"], &from(&place, &mirror)[..]].concat();
    place.ireko(&args).fails(3, &["does not say which suite is `stable`"]);
    fs::write(place.path("other.gpg"), TestKey::new(2).usual()).expect("written");
    let keys = ["--mirror", &mirror, "--signed-by", "other.gpg"];
    let said = |name: &str, package: &str| {
        place
            .ireko(&[&["base", name], &keys[..]].concat())
            .fails(3, &[&format!("apt-get install {package}`"), "--signed-by"]);
    };
    said("debian:stable", "debian-archive-keyring");
    DebArchive::default()
        .suite("noble", "Origin: Ubuntu\nCodename: noble\n", &packages())
        .write(&place.path("odd"));
    said("ubuntu:24.04", "ubuntu-keyring");
    place.ireko(&["base", "debian:12.11"]).fails(2, &["none of its point releases", "`debian:12`"]);
    place.ireko(&["base", "ubuntu:latest"]).fails(2, &["`ubuntu:latest` names no suite", "`ubuntu:24.04`"]);
}

/// Files of the cache of archives that are half written.
fn half_written(place: &Place) -> usize {
    let mounts = fs::read_dir(place.store().join("mounts")).into_iter().flatten().flatten();
    let slots = mounts.flat_map(|mount| fs::read_dir(mount.path()).into_iter().flatten().flatten());
    slots.map(|slot| fs::read_dir(slot.path().join("archives/new")).map_or(0, Iterator::count)).sum()
}

#[test]
fn transfers_are_shown_and_can_be_stopped() {
    let Some(place) = Place::new() else { return };
    let mut packages = packages();
    packages.push(DebPackage::new("big", "1").file("big", vec![7; 300_000], 0o644));
    let (begun, waiting) = std::sync::mpsc::channel();
    let begun = std::sync::Mutex::new(begun);
    let server = archive(&packages).serve(move |path| {
        if path.contains("/big") {
            let _ = begun.lock().map(|begun| begun.send(()));
            std::thread::sleep(std::time::Duration::from_millis(1500));
        }
    });
    let mirror = server.url("");
    let args =
        [&["base", "debian:trixie-distroless", "--include", "big", "-t", "big"], &from(&place, &mirror)[..]]
            .concat();
    let shown = [&args[..], &["--progress", "json"]].concat();
    let mut child = place.command(&shown);
    let child = child.stderr(std::process::Stdio::piped()).spawn().expect("started");
    waiting.recv_timeout(std::time::Duration::from_secs(60)).expect("the package is asked for");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let stopped = crate::support::Said::of(child.wait_with_output().expect("ended")).fails(130, &[]);
    assert!(stopped.stderr.contains("\"what\":\"fetching lists of trixie\""), "{}", stopped.stderr);
    assert_eq!((half_written(&place), place.ireko(&["images", "-q"]).ok().stdout.as_str()), (0, ""));
    // Two at once; one of them says what it does.
    let other = place.command(&[&args[..], &["-t", "other"]].concat()).spawn().expect("started");
    let said = place.ireko(&shown).ok();
    assert!(other.wait_with_output().expect("ended").status.success());
    assert!(said.stderr.contains("\"what\":\"fetching packages\""), "{}", said.stderr);
    assert_eq!((place.id("big"), half_written(&place)), (place.id("other"), 0));
    place.sound();
}

#[test]
fn a_full_disk_is_told() {
    let Some(place) = Place::new() else { return };
    let mut packages = packages();
    let mut seed: u32 = 1;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    packages.push(DebPackage::new("big", "1").file("big", noise.take(9_000_000).collect::<Vec<_>>(), 0o644));
    let mirror = local(&place, "archive", &packages);
    let _ = from(&place, &mirror);
    let script = format!(
        "base() {{ $IREKO base debian:trixie-distroless --mirror {mirror} --signed-by keys.gpg $*; echo code: $?; }}
        base --include big -t big
        $IREKO cache fsck || exit 92
        $IREKO images -q
        base -t small -q"
    );
    let Some(said) = crate::bad_input::in_small_world(&place, "-t tmpfs -o size=8m", &script) else { return };
    let said = said.fails(0, &["No space left on device", "hint: free space on that disk"]);
    let codes: Vec<&str> =
        said.stdout.lines().filter(|line| line.starts_with("code") || line.starts_with("sha256")).collect();
    assert_eq!((codes[0], codes.last()), ("code: 3", Some(&"code: 0")), "{}", said.stdout);
}
