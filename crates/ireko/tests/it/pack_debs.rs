//! `ireko pack --deb`: packages of an archive, with their scripts left out or run, in a file of flags, locked.

use std::fs;
use std::process::Command;

use ireko_testkit::{DebArchive, DebPackage};

use crate::deb_archive;
use crate::support::Place;

const RELEASE: &str = "Origin: Debian\nSuite: stable\nCodename: bookworm\nVersion: 12.9\n";

/// A static program that says a word.
fn program(place: &Place, word: &str) -> Vec<u8> {
    let (source, out) = (place.path("source.c"), place.path("program"));
    let text = format!("#include <stdio.h>\nint main(void){{puts(\"{word}\");return 0;}}");
    fs::write(&source, text).expect("written");
    let said =
        Command::new("cc").args(["-static", "-o"]).arg(&out).arg(&source).output().expect("a compiler");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    fs::read(out).expect("a program")
}

/// An archive with a tool, its library of data and what only scripts need; the flags that name it.
fn archive(place: &Place, version: &str) -> Vec<String> {
    let program = program(place, &format!("tool {version}"));
    let service = "#!/bin/sh\nset -e\n# Automatically added by dh_installsystemd/13\nsystemctl start tool\n# End automatically added section\n";
    let tool = DebPackage::new("tool", version)
        .field("Depends", "tool-data (>= 1), adduser, debconf | debconf-2.0")
        .control("postinst", service)
        .control("md5sums", "d41d8cd98f00b204e9800998ecf8427e  usr/bin/tool\n")
        .file("usr/bin/tool", program, 0o755)
        .file("usr/share/doc/tool/README", "long", 0o644)
        .file("usr/share/doc/tool/copyright", "free", 0o644);
    let data = DebPackage::new("tool-data", "1").file("usr/share/tool/data", "data\n", 0o644);
    let other =
        DebPackage::new("other", "1").field("Depends", "tool-data").file("usr/share/other/x", "x", 0o644);
    let adduser =
        DebPackage::new("adduser", "3").field("Depends", "perl").file("usr/sbin/adduser", "a", 0o755);
    let debconf = DebPackage::new("debconf", "1").file("usr/sbin/debconf", "d", 0o755);
    let perl = DebPackage::new("perl", "5").file("usr/bin/perl", "p", 0o755);
    let root = place.path(&format!("archive-{version}"));
    DebArchive::default()
        .suite("bookworm", RELEASE, &[tool, data, other, adduser, debconf, perl])
        .write(&root);
    fs::write(place.path("keys.gpg"), DebArchive::key()).expect("written");
    let keys = place.path("keys.gpg").display().to_string();
    let mirror = format!("file://{}", root.display());
    let flags = ["--suite", "debian:bookworm", "--mirror", &mirror, "--signed-by", &keys];
    flags.map(str::to_owned).to_vec()
}

fn pack<'a>(flags: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    [&["pack"], &flags.iter().map(String::as_str).collect::<Vec<_>>()[..], more].concat()
}

/// The files that an image consists of.
fn files(place: &Place, flags: &[String], more: &[&str]) -> Vec<String> {
    let out = place.path("out");
    let _ = fs::remove_dir_all(&out);
    place.ireko(&pack(flags, &[&["-o", "type=local,dest=out"], more].concat())).ok();
    let said = Command::new("find").arg(&out).args(["!", "-type", "d", "-printf", "%P\n"]).output();
    let mut files: Vec<String> =
        String::from_utf8_lossy(&said.expect("find").stdout).lines().map(str::to_owned).collect();
    files.sort();
    files
}

#[test]
fn packages_without_what_only_scripts_need() {
    let Some(place) = Place::new() else { return };
    let flags = archive(&place, "1");
    let said = place.ireko(&pack(&flags, &["--deb", "tool", "-t", "app"])).ok();
    for says in ["scripts are left out that care for services", "scripts alone need it: adduser, debconf"] {
        assert!(said.stderr.contains(says), "{}", said.stderr);
    }
    assert_eq!(place.ireko(&["run", "--rm", "app"]).ok().stdout, "tool 1\n");
    assert_eq!(place.config("app")["config"]["Cmd"], serde_json::json!(["/usr/bin/tool"]));
    let record = |name: &str| format!("var/lib/dpkg/status.d/{name}");
    let links = ["bin", "lib", "lib64", "sbin"].map(str::to_owned).to_vec();
    let all = |more: &[&str]| {
        let mut all = [links.clone(), more.iter().map(|text| (*text).to_owned()).collect()].concat();
        all.extend([record("tool"), record("tool.md5sums"), record("tool-data")]);
        all.sort();
        all
    };
    let usual = ["usr/bin/tool", "usr/share/doc/tool/copyright", "usr/share/tool/data"];
    assert_eq!(files(&place, &flags, &["--deb", "tool"]), all(&usual));
    let docs = [&usual[..], &["usr/share/doc/tool/README"]].concat();
    assert_eq!(files(&place, &flags, &["--deb", "tool", "--docs"]), all(&docs));
    let without =
        files(&place, &flags, &["--deb", "tool", "--exclude", "/usr/share/doc/*,/usr/share/tool/*"]);
    assert_eq!(without, all(&usual[..1]));
    // Of the package a scanner reads what dpkg would have noted.
    let text = fs::read_to_string(place.path("out").join(record("tool"))).expect("a record");
    assert!(text.starts_with("Package: tool\nVersion: 1\n"), "{text}");

    let minimal = files(&place, &flags, &["--deb", "tool", "--minimal", "--cmd", "/usr/bin/tool"]);
    assert_eq!(minimal, ["usr/bin/tool".to_owned(), record("tool")]);
    // Packages that two images share are the same layers.
    place.ireko(&pack(&flags, &["--deb", "other", "-t", "other"])).ok();
    let (one, other) = (place.layers("app"), place.layers("other"));
    assert_eq!(one.iter().filter(|layer| other.contains(layer)).count(), 2, "{one:?} {other:?}");
    place.sound();
}

#[test]
fn an_image_is_declared_and_locked() {
    let Some(place) = Place::new() else { return };
    let flags = archive(&place, "1");
    place.file(
        "../image.toml",
        "tags = [\"app\"]\ndeb = [\"tool\"]\npaths = [\"own:/own\"]\nuser = \"7\"\n[labels]\na = \"b\"\n",
    );
    place.file("../own", "own\n");
    place.ireko(&pack(&flags, &["-f", "image.toml", "--lock"])).ok();
    let lock = fs::read_to_string(place.path("image.lock")).expect("a lock");
    assert!(lock.contains("deb = [\"tool\"]") && lock.contains("codename = \"bookworm\""), "{lock}");
    assert_eq!(lock.matches("[[package]]").count(), 2, "{lock}");
    let first = place.id("app");
    assert_eq!(place.config("app")["config"]["Labels"]["a"], "b");
    assert_eq!(place.config("app")["config"]["User"], "7");

    // A newer state of the archive is taken, but not where the lock is kept to.
    let newer = archive(&place, "2");
    place.ireko(&pack(&newer, &["-f", "image.toml", "-t", "newer"])).ok();
    assert_ne!(place.id("newer"), first);
    place.ireko(&["pack", "-f", "image.toml", "--locked", "-t", "again"]).ok();
    assert_eq!(place.id("again"), first);
    place.ireko(&["pack", "-f", "image.toml", "--locked", "--deb", "other"]).fails(
        2,
        &[
            "the lock `image.lock` is for another image",
            "the lock has tool, and other, tool is asked for",
            "--lock",
        ],
    );
    place
        .ireko(&["pack", "-f", "image.toml", "--locked=none.lock"])
        .fails(2, &["cannot use the lock `none.lock`"]);
    // What is no longer there by its hash is not replaced by anything else.
    fs::remove_dir_all(place.path("archive-1")).expect("gone");
    let hash = lock.lines().rfind(|line| line.starts_with("sha256")).expect("a hash");
    let changed = lock.replace(hash, &format!("sha256 = \"{}\"", "0".repeat(64)));
    place.file("../image.lock", &changed);
    let said = place.ireko(&["pack", "-f", "image.toml", "--locked"]);
    said.fails(3, &["pool/"]);
    place.file("../image.toml", "debs = [\"tool\"]\n");
    place.ireko(&["pack", "-f", "image.toml"]).fails(2, &["image.toml:1:1: unknown field `debs`"]);
    place.sound();
}

#[test]
fn scripts_run_where_they_are_missed() {
    let Some(place) = Place::new() else { return };
    let Some(mut archive) = deb_archive::DebArchive::new(&place) else { return };
    let script = "#!/bin/sh\nset -e\necho \"app:x:77:77::/:/bin/sh\" >>/etc/passwd\nmkdir -p /var/lib/app\nchown 77 /var/lib/app\nprintf made >/etc/app.conf\necho 'app:!:99999::::::' >/etc/shadow\nln -s /usr/bin/none /usr/bin/dangling\n";
    archive.script("app", script);
    archive.publish(&[("app", "1"), ("left", "1")]);
    let flags = archive.flags();
    let flags: Vec<String> = [vec!["--suite".to_owned(), "debian:bookworm".to_owned()], flags].concat();
    let said = place.ireko(&pack(&flags, &["--deb", "app", "-t", "app"])).ok();
    assert!(
        said.stderr.contains("scripts run in a step of their own: app (postinst: `echo"),
        "{}",
        said.stderr
    );
    let files = |more: &[&str]| self::files(&place, &flags, &[&["--deb", "app"], more].concat());
    let with = files(&[]);
    let out = |path: &str| fs::read_to_string(place.path("out").join(path)).expect(path);
    assert_eq!((out("etc/app.conf"), out("usr/share/app")), ("made".to_owned(), "1\n".to_owned()));
    assert!(out("etc/passwd").contains("app:x:77"), "the list with the user it made");
    assert_eq!(out("etc/shadow"), "app:!:::::::\n", "the day of the making is in no image");
    assert!(
        !with
            .iter()
            .any(|path| path.contains("dangling") || path.ends_with("busybox") || path.contains("dpkg/info")),
        "{with:?}"
    );
    let said = place.ireko(&pack(&flags, &["--deb", "app", "--scripts", "never"])).ok();
    assert!(said.stderr.contains("the postinst of `app` is not run: `echo"), "{}", said.stderr);
    let without = files(&["--scripts", "never"]);
    assert!(!without.contains(&"etc/app.conf".to_owned()) && without.contains(&"usr/share/app".to_owned()));
    // The lock has what scripts ran with, and gives the same image where nothing else is there.
    place.ireko(&pack(&flags, &["--deb", "app", "--lock"])).ok();
    place.ireko(&["pack", "--deb", "app", "--locked", "-t", "again"]).ok();
    assert_eq!(place.id("again"), place.id("app"));

    archive.script("app", "#!/bin/sh\necho this failed\nexit 7\n");
    archive.publish(&[("app", "2")]);
    place
        .ireko(&pack(&flags, &["--deb", "app", "--scripts=always", "-t", "bad"]))
        .fails(3, &["this failed", "the packages could not be installed"]);
    place.ireko(&["inspect", "bad"]).fails(2, &["bad"]);
    place.sound();
}

#[test]
fn what_cannot_be_packed_of_packages_is_told() {
    let Some(place) = Place::new() else { return };
    let flags = archive(&place, "1");
    let fails = |args: &[&str], says: &[&str]| drop(place.ireko(&pack(&flags, args)).fails(2, says));
    fails(&["--deb", "tol"], &["no package is called `tol`", "tool"]);
    fails(&["--deb", "tool=9"], &["has no version `9`", "1"]);
    fails(&["--deb", "tool-data", "--minimal"], &["it is not known which", "--cmd"]);
    fails(&["--deb", "tool", "--minimal", "--cmd", "/usr/bin/absent"], &["`/usr/bin/absent` is not there"]);
    fails(&["--deb", "tool", "--minimal", "--scripts", "always"], &["leave out one of the two"]);
    fails(&["--docs", "x"], &["`--docs` says how packages are packed, and none is named"]);
    fails(&["--deb", "tool", "--from", "x"], &["--from"]);
    fails(&["--deb", "tool", "--lock", "--locked"], &["--locked"]);
    place.ireko(&["pack", "--deb", "tool", "--suite", "fedora:40"]).fails(2, &["is no distribution"]);
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, "");
}

#[test]
fn a_lock_is_not_believed_beyond_what_it_says() {
    let Some(place) = Place::new() else { return };
    let flags = archive(&place, "1");
    let suite = &flags[..2];
    place.ireko(&pack(&flags, &["--deb", "tool", "--lock"])).ok();
    let lock = fs::read_to_string(place.path("image.lock")).expect("a lock");
    let refused = |text: String, code: i32, says: &[&str]| {
        place.file("../image.lock", &text);
        place.ireko(&pack(suite, &["--deb", "tool", "--locked", "-t", "bad"])).fails(code, says);
    };
    // A name is a name, wherever it comes from: nothing is written outside of the store.
    let evil = lock
        .replace("name = \"tool\"", "name = \"../../evil\"")
        .replace("image = true", "image = true\nscripts = true");
    refused(evil, 2, &["the lock does not have it"]);
    let other = lock.replace("version = \"1\"\narchitecture", "version = \"../9\"\narchitecture");
    refused(other, 2, &["the file of that hash is another package"]);
    refused(lock.replace("image = true", "image = false"), 2, &["the lock does not have it"]);
    refused(lock.replace("size = ", "size = 9"), 3, &["pool/"]);
    refused(format!("{lock}junk"), 2, &["cannot use the lock `image.lock`"]);
    place.file("../image.lock", &lock);
    for (args, says) in [
        (&["--suite", "debian:trixie"][..], "--suite: the lock has debian:bookworm, and debian:trixie"),
        (&["--suite", "debian:bookworm", "--scripts", "always"], "--scripts: the lock has none, and always"),
    ] {
        place.ireko(&[&["pack", "--deb", "tool", "--locked"], args].concat()).fails(2, &[says]);
    }
    place.file("../image.toml", "deb = [\"tool\"]\nfrom = \"other\"\n");
    place.ireko(&["pack", "-f", "image.toml"]).fails(2, &["`--deb` and `--from` both say"]);
    place
        .ireko(&pack(&flags, &["--deb", "tool", "--user", "nobodyx"]))
        .fails(2, &["the image has no user `nobodyx`", "--scripts always"]);
    place.ireko(&["inspect", "bad"]).fails(2, &["bad"]);
    place.sound();
}

#[test]
fn a_login_of_a_mirror_stays_with_who_has_it() {
    let Some(place) = Place::new() else { return };
    let program = program(&place, "tool");
    let tool = DebPackage::new("tool", "1").file("usr/bin/tool", program, 0o755);
    let server = DebArchive::default().suite("bookworm", RELEASE, &[tool]).serve(|_| {});
    fs::write(place.path("keys.gpg"), DebArchive::key()).expect("written");
    let mirror = format!("http://me:s3cr3t@{}", server.url("/").trim_start_matches("http://"));
    let keys = place.path("keys.gpg").display().to_string();
    let flags = ["--suite", "debian:bookworm", "--mirror", &mirror, "--signed-by", &keys];
    let said = place
        .ireko(&[&["pack", "--deb", "tool", "-t", "app", "--lock", "--sbom", "a.json"], &flags[..]].concat())
        .ok();
    let sent = server.received().iter().filter(|one| one.header("authorization").is_some()).count();
    assert!(sent > 0, "the archive was asked with it");
    let mut texts = vec![said.stdout, said.stderr, place.inspect().to_string()];
    texts.extend(["image.lock", "a.json"].map(|name| fs::read_to_string(place.path(name)).expect(name)));
    for text in texts {
        assert!(!text.contains("s3cr3t") && !text.contains("me:"), "{text}");
    }
    place.ireko(&[&["pack", "--deb", "tool", "--locked"], &flags[..]].concat()).ok();
}

#[test]
fn of_which_suite_it_is_stays_known() {
    let Some(place) = Place::new() else { return };
    let flags = archive(&place, "1");
    place.ireko(&pack(&flags, &["--deb", "tool, other", "-t", "app", "--label", "a=b"])).ok();
    let labels = serde_json::json!({"ireko.base.suite": "debian:bookworm", "a": "b"});
    assert_eq!(place.config("app")["config"]["Labels"], labels);
    // An archive that has one of them newer.
    let newer = archive(&place, "2");
    let archive = &newer.iter().map(String::as_str).collect::<Vec<_>>()[2..];
    let said = place.ireko(&[&["base", "--outdated", "app"], archive].concat());
    assert_eq!(said.code, 1, "{}", said.stderr);
    let line = said.stdout.lines().find(|line| line.starts_with("tool ")).unwrap_or_default();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["tool", "1", "2", "bookworm"]);
    assert!(said.stdout.contains("3 packages, 1 outdated"), "{}", said.stdout);

    // With one file beside, it is still the packages that start.
    place.file("../tool.conf", "x\n");
    place
        .ireko(&pack(
            &flags,
            &["--deb", "tool", "tool.conf:/etc/", "--cmd", "tool /etc/tool.conf", "-t", "own"],
        ))
        .ok();
    assert_eq!(place.config("own")["config"]["Cmd"], serde_json::json!(["tool", "/etc/tool.conf"]));
    assert_eq!(place.ireko(&["run", "--rm", "own"]).ok().stdout, "tool 1\n");

    // Scanners ask a file.
    let release = "etc/os-release";
    assert!(!files(&place, &flags, &["--deb", "tool"]).contains(&release.to_owned()));
    assert!(files(&place, &flags, &["--deb", "tool", "--with", "os-release"]).contains(&release.to_owned()));
    let text = fs::read_to_string(place.path("out").join(release)).expect("a file");
    assert_eq!(
        text,
        "PRETTY_NAME=\"Debian 12 (bookworm)\"\nNAME=\"Debian\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n"
    );
    place.ireko(&pack(&flags, &["--deb", "tool", "--with", "os-release", "-t", "told"])).ok();
    let bill = place.ireko(&["sbom", "told"]).ok().stdout;
    assert!(bill.contains("pkg:deb/debian/tool@1?arch=") && bill.contains("distro=debian-12"), "{bill}");
}
