//! Wrong input: a clear error, the right exit code, and a sound store afterwards.

use crate::support::{Place, Said};
use ireko_testkit::{Fault, TarStream, TestImage, TestRegistry};

#[track_caller]
fn check(place: &Place, dockerfile: &str, code: i32, says: &[&str]) {
    place.dockerfile(dockerfile);
    place.build(&[]).fails(code, says);
    place.sound();
}

#[test]
fn a_working_directory_that_is_a_file_is_the_images_fault() {
    let Some(place) = Place::with_base() else { return };
    place.file("Dockerfile", "FROM base\nWORKDIR /d/e\nRUN rm -r /d && touch /d\nRUN true\n");
    let path = place.context();
    let said = place.ireko(&["build", path.to_str().expect("a path")]);
    said.fails(1, &["enter working directory `/d/e`", "Dockerfile:4", "WORKDIR"]);
}

#[test]
fn mistakes_in_the_dockerfile() {
    let Some(place) = Place::with_base() else { return };
    place.file(".dockerignore", "hidden\n");
    place.file("hidden", "x");
    place.file("readme.md", "x");
    check(&place, "FROM base\nRNU true\n", 2, &["Dockerfile:2", "RUN"]);
    check(&place, "FROM base\nRUN <<EOF\ntrue\n", 2, &["EOF"]);
    check(
        &place,
        "FROM base AS a\nCOPY --from=b /x /x\nFROM base AS b\nCOPY --from=a /x /x\n",
        2,
        &["circular", "Dockerfile:2:13", "4 | COPY --from=a /x /x"],
    );
    check(&place, "FROM base\nCOPY raedme.md /\n", 2, &["raedme.md", "readme.md"]);
    let inside = place.context().join("readme.md");
    let inside = format!("FROM base\nCOPY {} /\n", inside.display());
    check(&place, &inside, 2, &["write `readme.md`"]);
    check(&place, "FROM base\nCOPY /etc/passwd /\n", 2, &["nothing outside it", "--build-context"]);
    check(&place, "FROM base\nCOPY hidden /\n", 2, &["hidden", "line 1"]);
    check(&place, "FROM nowhere.invalid/base\n", 3, &["nowhere.invalid"]);
}

#[test]
fn long_lines_and_bytes_that_are_no_text_are_clipped() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(&format!("FROM base\nENV A={}\n", "b".repeat(100_000)));
    let said =
        place.build(&[]).fails(2, &["line greater than max allowed size", "Dockerfile:2:1", "bbb…", "^"]);
    assert!(said.stderr.len() < 1000, "{} bytes", said.stderr.len());
    let long = "b".repeat(30_000);
    let mut bytes = format!("FROM base\nENV A={long}").into_bytes();
    bytes.extend([0xff, 0xfe]);
    bytes.extend(long.bytes());
    std::fs::write(place.context().join("Dockerfile"), bytes).expect("a file");
    let said = place.build(&[]).ok();
    assert!(
        said.stderr.contains("not UTF-8") && said.stderr.contains("Dockerfile:2:30007"),
        "{}",
        said.stderr
    );
    place.dockerfile(&format!("FROM base\nENV A={long} {long}\n"));
    let said = place.build(&[]).fails(2, &["can't find = in", "Dockerfile:2:30008", "…bbb", "^"]);
    assert!(said.stderr.len() < 6000, "{} bytes", said.stderr.len());
    let long = "b".repeat(60_000);
    for (line, code) in [
        (format!("RNU {long}"), 2),
        (format!("{long} x"), 2),
        (format!("FROM {long}"), 2),
        (format!("COPY {long} /"), 2),
        (format!("RUN [\"/nothing\", \"{long}\"]"), 1),
        (format!("RUN --mount=type=cache,target=/{long},x=1 true"), 2),
    ] {
        place.dockerfile(&format!("FROM base\n{line}\n"));
        let said = place.ireko(&["build", "-q", "context"]).fails(code, &["Dockerfile:2", "…"]);
        assert!(said.stderr.len() < 6000, "{} bytes for {}", said.stderr.len(), &line[..20]);
    }
}

#[test]
fn names_that_were_meant_for_a_stage_or_a_context() {
    let Some(place) = Place::with_base() else { return };
    // Whatever a registry of that name answers, or whether there is one: the name is the mistake.
    let none = |name: &str| format!("error: no stage, build context or image is called `{name}`");
    let vendor = ["--build-context", "vendor=context"];
    for (dockerfile, args, name, says) in [
        (
            "FROM base AS build\nFROM base\nCOPY --from=bulid /x /x\n",
            &[] as &[&str],
            "bulid",
            ["Dockerfile:3:13", "did you mean the stage `build`?", "--build-context bulid=DIR"],
        ),
        (
            "FROM base\nRUN --mount=from=vendr,target=/v true\n",
            &vendor,
            "vendr",
            ["Dockerfile:2:", "did you mean the build context `vendor`?", "caused by: image `vendr"],
        ),
        (
            "FROM base AS vendors\nFROM vendr\n",
            &vendor,
            "vendr",
            [
                "Dockerfile:2:6",
                "did you mean the build context `vendor` or the stage `vendors`?",
                "--build-context",
            ],
        ),
    ] {
        place.dockerfile(dockerfile);
        let said = place.build(args).fails(2, &says);
        assert!(said.stderr.contains(&none(name)), "{}", said.stderr);
    }
    // FROM cannot mean its own stage, nor one below it.
    place.dockerfile("FROM nowher AS nowhere\n");
    let said = place.build(&[]);
    assert!(said.code != 0 && !said.stderr.contains("the stage"), "{}", said.stderr);
    place.dockerfile("FROM late\nFROM base AS late\nCOPY --from=0 /x /x\n");
    let said = place.build(&[]);
    assert!(said.code != 0 && said.stderr.contains("`late` begins in line 2"), "{}", said.stderr);
    // A name with a host is an image's.
    let text = "FROM base AS build\nFROM nowhere.invalid/bulid\n";
    check(&place, text, 3, &["error: image `nowhere.invalid/bulid"]);
    check(&place, "FROM Vendor\n", 2, &["no image can have this name"]);
}

#[test]
fn mistakes_on_the_command_line() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\n");
    place.ireko(&["build", "-t", "Not A Name", "context"]).fails(2, &["Not A Name"]);
    place.ireko(&["build", "context/Dockerfile"]).fails(2, &["is a file"]);
    place.ireko(&["build", "nowhere"]).fails(2, &["nowhere"]);
    place.ireko(&["build", "--target", "none", "context"]).fails(2, &["none"]);
    place.ireko(&["build", "--push", "context"]).fails(2, &["needs a name", "-t host/repository:tag"]);
    place.ireko(&["build", "--squash", "context"]).fails(2, &["`--squash` is not supported", "one layer"]);
    place
        .ireko(&["build", "http://me:word@127.0.0.1:1/x.git"])
        .fails(3, &["cannot fetch context `http://xxxxx:xxxxx@127.0.0.1:1/x.git`", "cannot reach"]);
    place
        .ireko(&["build", "-o", "type=oci,dest=nowhere/app.tar", "context"])
        .fails(2, &["nowhere/app.tar", "no directory `nowhere`"]);
    place.ireko(&["build", "-o", "type=oci,dest=context", "context"]).fails(2, &["is a directory"]);
    place
        .ireko(&["build", "--platform", "linux/riscv64", "context"])
        .fails(2, &["`base:latest` has no image for linux/riscv64", "asked for here", "--platform"]);
    place.ireko(&["build", "-f", "none", "context"]).fails(2, &["none"]);
    place.ireko(&["cache", "prune"]).fails(2, &["-f"]);
    place.ireko(&["build", "--home", "/proc/store", "context"]).fails(3, &["/proc"]);
    place.sound();
}

#[test]
fn a_failed_step_shows_its_log_even_when_quiet() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN echo before the end; exit 4\n");
    let said = place
        .ireko(&["build", "-q", "context"])
        .fails(1, &["exit code 4", "before the end", "Dockerfile:2", "the whole log"]);
    assert_eq!(said.stdout, "");
    place.sound();
    place.nothing_mounted();
}

#[test]
fn a_layer_with_the_wrong_digest_is_refused() {
    let Some(place) = Place::with_base() else { return };
    let registry = TestRegistry::start();
    registry.push("bad", "1", &TestImage::new().layer(TarStream::new().file("a", "A")));
    registry.fault("blobs", 1000, Fault::Corrupt);
    let text = format!("FROM {}/bad:1\nCOPY --from=base /bin/sh /sh\n", registry.address());
    check(&place, &text, 3, &["bad:1"]);
    place.dockerfile(&format!("FROM {}/none:1\n", registry.address()));
    place.build(&[]).fails(2, &["none"]);
}

#[test]
fn contexts_that_are_none() {
    let Some(place) = Place::with_base() else { return };
    let file = place.file("Dockerfile", "FROM base\nCOPY --from=more a /\n");
    let said = place.ireko(&["build", file.to_str().expect("a path")]);
    said.fails(2, &["is a file"]);
    let context = |name: &str| {
        ["build".to_owned(), "--build-context".to_owned(), format!("more={name}"), "context".to_owned()]
    };
    for (name, says) in [
        ("context/Dockerfile", "context/Dockerfile"),
        ("nowhere", "nowhere"),
        ("oci-layout://nowhere", "nowhere"),
        ("oci-layout://context", "context"),
    ] {
        let args = context(name);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        place.ireko(&args).fails(2, &[says]);
    }
    // A tar that ends too early, and one that would write outside.
    let tar =
        TarStream::new().file("Dockerfile", "FROM base\nCOPY . /x/\n").file("big", "x".repeat(5000)).bytes();
    place.ireko_fed(&["build", "-q", "-"], &tar[..3000]).fails(2, &["standard input"]);
    let tar =
        TarStream::new().file("Dockerfile", "FROM base\nCOPY . /x/\n").file("../../escaped", "x").bytes();
    let said = place.ireko_fed(&["build", "-q", "-"], &tar);
    assert!(said.code == 0 || said.code == 2, "{}", said.stderr);
    assert!(!place.path("escaped").exists() && !place.store().join("escaped").exists());
    place.sound();
}

#[test]
fn steps_that_cannot_start() {
    let Some(place) = Place::with_base() else { return };
    check(&place, "FROM base\nRUN [\"/nothing\"]\n", 1, &["/nothing", "Dockerfile:2"]);
    check(&place, "FROM base\nRUN [\"/etc/passwd\"]\n", 1, &["/etc/passwd", "Dockerfile:2"]);
    check(&place, "FROM scratch\nRUN true\n", 1, &["/bin/sh", "Dockerfile:2"]);
    check(&place, "FROM base\nUSER nobody-here\nRUN true\n", 2, &["nobody-here"]);
    check(
        &place,
        "FROM scratch\nCOPY --chown=nobody-here Dockerfile /x\n",
        2,
        &["nobody-here", "Dockerfile:2"],
    );
    check(
        &place,
        "FROM base\nRUN --mount=type=bind,source=none,target=/x true\n",
        2,
        &["none", "Dockerfile:2"],
    );
    check(&place, "FROM base\nRUN --mount=type=secret,id=none,required true\n", 2, &["none", "Dockerfile:2"]);
    check(&place, "FROM base\nRUN sh -c 'kill -9 $$'; exit $?\n", 1, &["Dockerfile:2"]);
    check(&place, "FROM base\nCOPY --from=base /none /\n", 2, &["/none", "Dockerfile:2"]);
    check(&place, "FROM base\nCOPY Dockerfile /etc/passwd/\n", 2, &["etc/passwd", "Dockerfile:2"]);
    check(
        &place,
        "FROM base@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        3,
        &["sha256:0000"],
    );
    place.nothing_mounted();
}

#[test]
fn destinations_that_cannot_be_written() {
    let Some(place) = Place::with_base() else { return };
    place.file("file", "x");
    std::fs::create_dir(place.path("dir")).expect("a directory");
    place.dockerfile("FROM base\nRUN echo it ran\n");
    // A path that is none is a mistake, whichever flag names it, and told before anything runs.
    for path in ["nowhere/x", "dir", "context/file/x", "/proc/ireko"] {
        let file = format!("type=oci,dest={path}");
        for args in [
            ["build", "-o", &file, "context"],
            ["build", "--iidfile", path, "context"],
            ["build", "--metadata-file", path, "context"],
            ["save", "-o", path, "base"],
        ] {
            let said = place.ireko(&args).fails(2, &["cannot write", path, args[1]]);
            assert!(!said.stderr.contains("it ran"), "{}", said.stderr);
        }
    }
    for args in [
        ["build", "-o", "type=local,dest=context/file", "context"],
        ["build", "-o", "type=oci,tar=false,dest=context/file/x", "context"],
        ["build", "-o", "type=none,dest=x", "context"],
    ] {
        let said = place.ireko(&args).fails(2, &[]);
        assert!(!said.stderr.contains("it ran"), "{}", said.stderr);
    }
    // What can be written is not touched before.
    let out = place.file("out", "old");
    place.dockerfile("FROM base\nRUN false\n");
    for flag in ["--iidfile", "--metadata-file"] {
        place.ireko(&["build", flag, "context/out", "context"]).fails(1, &[]);
    }
    place.ireko(&["build", "-o", "type=tar,dest=context/out", "context"]).fails(1, &[]);
    place.ireko(&["build", "-o", "dir/new/deep", "context"]).fails(1, &[]);
    assert_eq!(std::fs::read_to_string(out).expect("a file"), "old");
    assert_eq!(std::fs::read_dir(place.path("dir")).expect("a directory").count(), 0);
    place.dockerfile("FROM base\nRUN seq 9 >/x\n");
    place.ireko(&["build", "--iidfile", "/dev/null", "-o", "type=tar,dest=/dev/null", "context"]).ok();
    place.sound();
}

#[test]
fn a_full_destination_is_told_and_leaves_the_store_alone() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN seq 9 >/x\n");
    place.build(&[]).ok();
    // Nobody needs its layers now, so that a store without room would drop them.
    place.ireko(&["rmi", "app"]).ok();
    let to_full = |args: &[&str]| {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
        Said::of(place.command(args).stdout(full).output().expect("a process"))
    };
    let elsewhere = |said: Said| {
        let said = said.fails(3, &["free some space there, or write elsewhere"]);
        assert!(!said.stderr.contains("removed"), "{}", said.stderr);
    };
    for form in ["type=oci", "type=docker", "type=tar"] {
        elsewhere(place.build(&["-o", &format!("{form},dest=/dev/full")]));
        elsewhere(to_full(&["build", "-q", "-o", &format!("{form},dest=-"), "context"]));
    }
    for args in [&["images"][..], &["images", "--format", "json"], &["inspect", "base"], &["cache", "du"]] {
        elsewhere(to_full(args).fails(3, &["cannot write to standard output"]));
    }
    elsewhere(to_full(&["build", "-q", "context"]).fails(3, &["cannot write to standard output"]));
    assert_eq!(place.build(&[]).ok().ran(), [""; 0], "all is remembered still");
    place.sound();
}

#[test]
fn destinations_that_refuse_are_the_machines_fault() {
    let Some(place) = Place::ordinary_with_base() else { return };
    place.dockerfile("FROM base\nRUN echo it ran\n");
    // Root may write anywhere, so an ordinary user tries the root's directory.
    for (flag, dest) in [
        ("--iidfile", "/ireko"),
        ("--metadata-file", "/ireko"),
        ("-o", "type=oci,dest=/ireko"),
        ("-o", "/ireko/a"),
    ] {
        let said = place.ireko(&["build", flag, dest, "context"]).fails(3, &["cannot write `/ireko", flag]);
        assert!(!said.stderr.contains("it ran"), "{}", said.stderr);
    }
    place.ireko(&["save", "-o", "/ireko", "base"]).fails(3, &["cannot write `/ireko` for `-o`"]);
}

/// Runs a script as root with the store on a file system that only it sees, mounted with these arguments.
pub(crate) fn in_small_world(place: &Place, mount: &str, script: &str) -> Option<crate::support::Said> {
    if !crate::support::is_root() {
        eprintln!("skipped because only root can mount a small file system");
        return None;
    }
    let store = place.path("small");
    std::fs::create_dir_all(&store).expect("a directory");
    let script = format!(
        "set -u\nmount {mount} none {0} || exit 99\nexport IREKO_HOME={0}/store\n{script}",
        store.display()
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    command.current_dir(place.path("")).env("IREKO", env!("CARGO_BIN_EXE_ireko"));
    Some(crate::support::Said::of(command.output().expect("unshare")))
}

#[test]
fn a_full_disk_is_told_and_the_store_stays_sound() {
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    place.file("big", &"0123456789abcde\n".repeat(1 << 20));
    place.file("Dockerfile.run", "FROM base\nRUN head -c 30000000 /dev/urandom >/big\n");
    place.file("Dockerfile.copy", "FROM base\nCOPY big /big\nCOPY big /big2\n");
    place.file("Dockerfile.small", "FROM base\nCOPY Dockerfile.run /x\nRUN cat /x >/y\n");
    // A step that meets the full disk fails itself, where its log can still be written.
    let script = "
        $IREKO load -i base.tar || exit 91
        $IREKO build -t app -f context/Dockerfile.run context; echo run: $?
        $IREKO cache fsck || exit 92
        $IREKO build -t app -f context/Dockerfile.copy context; echo copy: $?
        $IREKO cache fsck || exit 93
        $IREKO build -t app -f context/Dockerfile.small context || exit 94
        $IREKO run --rm app cat /y || exit 95
        $IREKO cache prune --all -f || exit 96
        $IREKO cache fsck || exit 97
        $IREKO run --rm app true || exit 98";
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=20m,mode=755", script) else { return };
    let said = said.ok();
    let run = said.stdout.contains("run: 1\n") || said.stdout.contains("run: 3\n");
    assert!(run, "{}\n{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("copy: 3\n"), "{}\n{}", said.stdout, said.stderr);
    assert!(
        said.stderr.contains("No space left on device") || said.stderr.contains("no space"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
}

#[test]
fn a_store_where_none_can_be() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM scratch\nCOPY Dockerfile /\n");
    place.ireko(&["build", "--home", "/proc/store", "context"]).fails(3, &["/proc"]);
    place.ireko(&["build", "--home", "context/Dockerfile", "context"]).fails(3, &["context/Dockerfile"]);
    let script = "$IREKO build -q -t app context; code=$?; ls -A $IREKO_HOME; exit $code";
    // Read only; no room at all; no extended attributes.
    for (mount, says) in
        [("-t tmpfs -o ro", "read-only"), ("-t tmpfs -o nr_inodes=2", "space"), ("-t proc", "store")]
    {
        let Some(said) = in_small_world(&place, mount, script) else { return };
        let said = said.fails(3, &[]);
        assert!(said.stderr.to_lowercase().contains(says), "{mount}: {}", said.stderr);
        assert!(said.stderr.starts_with("error: ") && said.stderr.contains("small/store"), "{}", said.stderr);
    }
}

#[test]
fn a_store_of_the_future_is_refused() {
    let Some(place) = Place::with_base() else { return };
    std::fs::write(place.store().join("version"), "ireko store 999\n").expect("a file");
    place.dockerfile("FROM base\n");
    place.build(&[]).fails(3, &["999"]);
    std::fs::write(place.store().join("version"), "ireko store 1\n").expect("a file");
    place.build(&[]).ok();
}

#[test]
fn a_packed_context_shows_no_file_of_this_machine() {
    let Some(place) = Place::new() else { return };
    std::fs::write(place.path("outside"), "FROM scratch\nPLANTED line\n").unwrap();
    let link = |name: &str| {
        let packed = place.path("packed");
        let _ = std::fs::remove_dir_all(&packed);
        std::fs::create_dir(&packed).unwrap();
        std::fs::write(packed.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
        let _ = std::fs::remove_file(packed.join(name));
        std::os::unix::fs::symlink(place.path("outside"), packed.join(name)).unwrap();
        let tar = std::process::Command::new("tar").arg("-C").arg(&packed).args(["-c", "."]).output();
        tar.ok().map(|tar| tar.stdout)
    };
    for name in ["Dockerfile", ".dockerignore"] {
        let Some(tar) = link(name) else { return };
        let said = place.ireko_fed(&["build", "-q", "-"], &tar);
        assert!(!said.stderr.contains("PLANTED") && !said.stdout.contains("PLANTED"), "{}", said.stderr);
    }
}

#[test]
fn a_pipe_in_the_context_is_no_dockerfile() {
    let Some(place) = Place::new() else { return };
    std::fs::create_dir_all(place.context()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(place.context().join("Dockerfile")).status();
    if made.is_ok_and(|status| status.success()) {
        place.build(&[]).fails(2, &["no regular file"]);
    }
}

#[test]
fn the_number_that_is_no_user_is_refused() {
    let Some(place) = Place::with_base() else { return };
    check(&place, "FROM base\nUSER 4294967295\nRUN true\n", 2, &["4294967295"]);
    check(&place, "FROM scratch\nCOPY --chown=4294967295:1 . /f\n", 2, &["4294967295"]);
    check(&place, "FROM base\nRUN --mount=type=cache,target=/c,uid=4294967295 true\n", 2, &["4294967295"]);
}
