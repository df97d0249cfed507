//! Other and several platforms, with arm64 as the second one: its programs run by QEMU through `binfmt_misc`.

use crate::support::{Place, Said};
use serde_json::Value;
use std::fs;

/// A tool that is compiled on this machine for the target, and a stage that runs there.
const CROSS: &str = "FROM --platform=$BUILDPLATFORM base AS shared\nRUN uname -m >/shared\n\
    FROM shared AS cross\nARG TARGETARCH\nRUN echo \"$(uname -m) for $TARGETARCH\" >/cross\n\
    FROM base\nCOPY --from=shared /shared /shared\nCOPY --from=cross /cross /cross\nRUN uname -m >/own\n\
    CMD [\"cat\", \"/shared\", \"/cross\", \"/own\"]\n";

const BOTH: &str = "linux/amd64,linux/arm64";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// How many steps that show this text were carried out.
fn ran(said: &Said, text: &str) -> usize {
    said.ran().iter().filter(|line| line.contains(text)).count()
}

fn check_one(place: &Place) {
    place.dockerfile(CROSS);
    let said = place.build(&["--platform", "linux/arm64/v8"]).ok();
    assert_eq!(ran(&said, "RUN"), 3, "{}", said.stderr);
    assert!(!said.stderr.contains("[linux/"), "one platform is not told at every step: {}", said.stderr);
    let config = place.config("app");
    assert_eq!((config["architecture"].as_str(), config.get("variant")), (Some("arm64"), None));
    assert_eq!(place.ireko(&["run", "--rm", "app"]).ok().stdout, "x86_64\nx86_64 for arm64\naarch64\n");
    assert_eq!(place.build(&["--platform", "arm64"]).ok().ran(), Vec::<String>::new());
    let mut command = place.command(&["build", "--progress=plain", "-t", "app", "context"]);
    let said =
        Said::of(command.env("DOCKER_DEFAULT_PLATFORM", "linux/arm64").output().expect("it starts")).ok();
    assert_eq!(said.ran(), Vec::<String>::new());
    place.build(&[]).ok();
    assert_eq!(place.ireko(&["run", "--rm", "app"]).ok().stdout, "x86_64\nx86_64 for amd64\nx86_64\n");
    place.sound();
}

#[test]
fn a_second_platform_is_built_and_run() {
    if let Some(place) = Place::with_bases() {
        check_one(&place);
    }
    if let Some(place) = Place::ordinary_with_bases() {
        check_one(&place);
    }
}

#[test]
fn several_platforms_are_one_image() {
    let Some(place) = Place::with_bases() else { return };
    place.dockerfile(CROSS);
    let flags = ["--platform", BOTH, "-t", "team/app:1", "--metadata-file", "meta.json", "--iidfile", "id"];
    let outputs = ["-o", "type=oci,dest=app.tar", "-o", "type=oci,tar=false,dest=layout"];
    let said = place.build(&[&flags[..], &outputs[..]].concat()).ok();
    assert_eq!(
        ran(&said, "[linux/amd64 shared 2/2] RUN uname"),
        1,
        "what both need is done once: {}",
        said.stderr
    );
    assert_eq!(ran(&said, "[linux/amd64->arm64 cross 1/1] RUN"), 1, "{}", said.stderr);
    assert_eq!(ran(&said, "[linux/arm64 stage-2 4/4] RUN uname"), 1, "{}", said.stderr);
    assert_eq!(ran(&said, "RUN"), 5, "{}", said.stderr);

    let meta = json(&fs::read_to_string(place.path("meta.json")).expect("a file"));
    let id = fs::read_to_string(place.path("id")).expect("a file");
    assert_eq!(meta["containerimage.digest"], id.as_str());
    assert_eq!(meta.get("containerimage.config.digest"), None);
    let top = json(&fs::read_to_string(place.path("layout/index.json")).expect("a file"));
    assert_eq!(top["manifests"].as_array().expect("images").len(), 2, "a name each: {top}");
    assert_eq!(top["manifests"][0]["digest"], id.as_str());
    let blob = place.path("layout/blobs/sha256").join(id.strip_prefix("sha256:").expect("a digest"));
    let index = json(&fs::read_to_string(blob).expect("the index"));
    let platforms: Vec<&str> = index["manifests"]
        .as_array()
        .expect("images")
        .iter()
        .filter_map(|entry| entry["platform"]["architecture"].as_str())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);

    for (name, platform, says) in [
        ("team/app:1", "linux/amd64", "x86_64\nx86_64 for amd64\nx86_64\n"),
        ("team/app:1", "linux/arm64", "x86_64\nx86_64 for arm64\naarch64\n"),
        (id.as_str(), "arm64", "x86_64\nx86_64 for arm64\naarch64\n"),
    ] {
        assert_eq!(
            place.ireko(&["run", "--platform", platform, name]).ok().stdout,
            says,
            "{name} {platform}"
        );
    }
    assert_eq!(place.ireko(&["run", "app"]).ok().stdout, "x86_64\nx86_64 for amd64\nx86_64\n");
    let mut command = place.command(&["run", "app", "cat", "/own"]);
    let said = Said::of(command.env("DOCKER_DEFAULT_PLATFORM", "linux/arm64").output().expect("it starts"));
    assert_eq!(said.ok().stdout, "aarch64\n");
    place.sound();
}

#[test]
fn the_store_knows_an_image_of_several_platforms_as_one() {
    let Some(place) = Place::with_bases() else { return };
    place.dockerfile("FROM base\nRUN uname -m >/m\n");
    place.build(&["--platform", BOTH]).ok();
    let rows = json(&place.ireko(&["images", "--format", "json"]).ok().stdout);
    let app =
        rows.as_array().expect("rows").iter().find(|row| row["names"][0] == "docker.io/library/app:latest");
    assert_eq!(app.expect("it is listed")["platforms"], json(r#"["linux/amd64","linux/arm64"]"#));
    let unnamed = rows
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["names"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(unnamed.count(), 1, "only the first `base` lost its name: {rows}");

    let inspect =
        |flags: &[&str]| json(&place.ireko(&[&["inspect"], flags, &["app"]].concat()).ok().stdout)[0].clone();
    let (own, other) = (inspect(&[]), inspect(&["--platform=linux/arm64"]));
    assert_eq!(
        (own["Architecture"].as_str(), other["Architecture"].as_str()),
        (Some("amd64"), Some("arm64"))
    );
    assert_eq!(own["Index"]["Images"][1]["Id"], other["Id"]);
    assert!(place.ireko(&["history", "--platform=arm64", "app"]).ok().stdout.contains("uname"));

    // Another build stands on it, each platform on its own.
    place.dockerfile("FROM app\nRUN cat /m && test \"$(cat /m)\" = \"$(uname -m)\"\n");
    place.ireko(&["build", "-q", "--platform", BOTH, "-t", "above", "context"]).ok();
    place.dockerfile("FROM --platform=linux/s390x app\nCOPY Dockerfile /\n");
    place.build(&[]).fails(
        2,
        &["`app:latest` has no image for linux/s390x; it has linux/amd64, linux/arm64", "Dockerfile:1:"],
    );
    place
        .ireko(&["run", "--platform=s390x", "app"])
        .fails(125, &["is not for linux/s390x, it is for linux/amd64, linux/arm64"]);

    place
        .ireko(&["save", "-o", "app.tar", "app"])
        .fails(2, &["a docker archive holds one platform", "--type oci"]);
    place.ireko(&["save", "--type=oci", "-o", "app.tar", "app"]).ok();
    place.ireko(&["save", "--platform=arm64", "-o", "arm.tar", "app"]).ok();
    let other_id = other["Id"].as_str().expect("an id").to_owned();
    place.ireko(&["rmi", &other_id]).fails(2, &["is the linux/arm64 image of `app:latest`"]);
    place.ireko(&["tag", "app", "twin"]).ok();
    place.ireko(&["rmi", "app", "above"]).ok();
    assert_eq!(place.ireko(&["run", "--platform=arm64", "twin", "cat", "/m"]).ok().stdout, "aarch64\n");
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.sound();
    assert_eq!(place.ireko(&["run", "--platform=arm64", "twin", "cat", "/m"]).ok().stdout, "aarch64\n");
    place.ireko(&["rmi", "twin"]).ok();
    place.ireko(&["inspect", &other_id]).fails(2, &["there is no image"]);
    place.ireko(&["load", "--platform=linux/arm64", "-i", "app.tar"]).ok();
    assert_eq!(place.ireko(&["run", "app", "cat", "/m"]).ok().stdout, "aarch64\n");
    place.ireko(&["load", "-i", "app.tar"]).ok();
    assert_eq!(place.ireko(&["run", "app", "cat", "/m"]).ok().stdout, "x86_64\n");
    let none = ["load", "--platform=s390x", "-i", "app.tar"];
    place
        .ireko(&none)
        .fails(2, &["has no image for linux/s390x", "linux/amd64, linux/arm64", "`--platform`"]);
    place.ireko(&["load", "-i", "arm.tar"]).ok();
    assert_eq!(place.ireko(&["run", "app", "cat", "/m"]).ok().stdout, "aarch64\n");
    place.sound();
}

#[test]
fn files_of_several_platforms_lie_apart() {
    let Some(place) = Place::with_bases() else { return };
    place.dockerfile("FROM --platform=$BUILDPLATFORM base AS make\nARG TARGETARCH\nRUN echo $TARGETARCH >/tool-$TARGETARCH\nRUN echo same >/same\nFROM scratch\nARG TARGETARCH\nCOPY --from=make /tool-$TARGETARCH /\nFROM scratch AS clash\nARG TARGETARCH\nCOPY --from=make /tool-$TARGETARCH /tool\n");
    let build = |target: &str, output: &str| {
        place.ireko(&["build", "-q", "--platform", BOTH, "--target", target, "-o", output, "context"])
    };
    let read = |path: &str| fs::read_to_string(place.path(path)).unwrap_or_default();
    build("clash", "out").ok();
    assert_eq!(
        (read("out/linux_amd64/tool"), read("out/linux_arm64/tool")),
        ("amd64\n".into(), "arm64\n".into())
    );
    build("clash", "type=tar,dest=out.tar").ok();
    let list = std::process::Command::new("tar").arg("-tf").arg(place.path("out.tar")).output().expect("tar");
    assert_eq!(
        String::from_utf8_lossy(&list.stdout),
        "linux_amd64/\nlinux_amd64/tool\nlinux_arm64/\nlinux_arm64/tool\n"
    );
    let says = ["`tool`", "linux/amd64 and linux/arm64 both have it", "platform-split=false"];
    build("clash", "type=local,dest=merged,platform-split=false").fails(2, &says);
    build("1", "type=local,dest=merged,platform-split=false").ok();
    assert_eq!((read("merged/tool-amd64"), read("merged/tool-arm64")), ("amd64\n".into(), "arm64\n".into()));
    let one = ["build", "-q", "--target=clash", "-o", "type=local,dest=one,platform-split=true", "context"];
    place.ireko(&one).ok();
    assert_eq!(read("one/linux_amd64/tool"), "amd64\n");
    // Refused before anything is built.
    place.file("Dockerfile", "FROM base\nRUN exit 9\n");
    place.build(&["--platform", BOTH, "-o", "type=docker,dest=x.tar"]).fails(
        2,
        &["`type=docker` in `-o` holds an image for one platform", "linux/amd64, linux/arm64", "type=oci"],
    );
    assert!(!place.path("x.tar").exists());
}

#[test]
fn each_of_several_targets_is_for_all_platforms() {
    let Some(place) = Place::with_bases() else { return };
    place.dockerfile("FROM base AS one\nRUN uname -m >/m\nFROM one AS two\nRUN echo two >>/m\n");
    let flags = [
        "--target=one",
        "--target=two",
        "--platform",
        BOTH,
        "-t",
        "one=first",
        "-o",
        "type=local,dest=out,target=one",
    ];
    place.ireko(&[&["build", "-q"], &flags[..], &["-t", "second", "context"]].concat()).ok();
    for (name, platform, says) in [
        ("first", "linux/amd64", "x86_64\n"),
        ("first", "linux/arm64", "aarch64\n"),
        ("second", "linux/amd64", "x86_64\ntwo\n"),
        ("second", "linux/arm64", "aarch64\ntwo\n"),
    ] {
        assert_eq!(
            place.ireko(&["run", "--platform", platform, name, "cat", "/m"]).ok().stdout,
            says,
            "{name}"
        );
    }
    let read = |path: &str| fs::read_to_string(place.path(path)).unwrap_or_default();
    assert_eq!(
        (read("out/linux_amd64/m"), read("out/linux_arm64/m")),
        ("x86_64\n".into(), "aarch64\n".into())
    );
    place.sound();
}

/// Commands of two platforms are two commands, though everything that is declared is equal.
#[test]
fn platforms_share_files_but_never_the_results_of_commands() {
    let Some(place) = Place::with_bases() else { return };
    // One tree for both: this machine's, under either name.
    place.dockerfile("FROM --platform=linux/amd64 base AS tree\nFROM scratch\nCOPY --from=tree / /\n");
    place.ireko(&["build", "-q", "--platform", BOTH, "-t", "alike", "context"]).ok();
    place.dockerfile("FROM alike\nCOPY Dockerfile /copied\nRUN echo once a platform\n");
    let said = place.build(&["--platform", BOTH]).ok();
    assert_eq!(ran(&said, "COPY"), 1, "{}", said.stderr);
    assert_eq!(
        (ran(&said, "[linux/amd64 3/3] RUN"), ran(&said, "[linux/arm64 3/3] RUN")),
        (1, 1),
        "{}",
        said.stderr
    );
    assert_eq!(place.build(&["--platform", BOTH]).ok().ran(), Vec::<String>::new());
    // Each finds its own earlier self.
    place.dockerfile("FROM alike\nCOPY Dockerfile /copied\nRUN echo twice a platform\n");
    let said = place.build(&["--platform", BOTH]).ok();
    let explained =
        said.ran().iter().filter(|line| line.contains("RUN") && !line.contains("never built")).count();
    assert_eq!(explained, 2, "{}", said.stderr);
}

/// Runs ireko where the kernel knows no emulator, or only those that `register` writes down. Needs Linux 6.7.
fn without_emulators(place: &Place, register: &str, args: &[&str]) -> Option<Said> {
    let script =
        format!("mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 77; {register} exec \"$@\"");
    let starter = ["unshare", "-Um", "--map-root-user", "--map-auto", "bash", "-c", &script, "bash"];
    let said = Said::of(place.command_by(&starter, args).output().expect("it starts"));
    if said.code == 77 {
        eprintln!("skipped because this kernel has one list of emulators for everybody (before Linux 6.7)");
        return None;
    }
    Some(said)
}

#[test]
fn without_an_emulator_only_commands_are_refused() {
    let Some(place) = Place::ordinary_with_bases() else { return };
    // Inside, ids are mapped otherwise: of what is unpacked here, there must be tars.
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.dockerfile("FROM --platform=$BUILDPLATFORM base AS make\nRUN uname -m >/made\nFROM base\nCOPY --from=make /made /made\nWORKDIR /dir\nENV A=b\n");
    let build = ["build", "--progress=plain", "--platform=linux/arm64", "-t", "app", "context"];
    let Some(said) = without_emulators(&place, "", &build) else { return };
    said.ok();

    place.dockerfile("FROM base\nRUN true\nRUN \\\n  false\n");
    let says = [
        "programs of linux/arm64 do not run on this machine (linux/amd64): no emulator is registered",
        "Dockerfile:2",
        "2 | RUN true",
        "apt-get install qemu-user-static binfmt-support",
        "tonistiigi/binfmt --install arm64",
        "FROM --platform=$BUILDPLATFORM",
    ];
    let said = without_emulators(&place, "", &build).expect("it can").fails(3, &says);
    assert!(!said.stderr.contains("[2/3]"), "nothing has begun: {}", said.stderr);
    place.dockerfile("FROM base AS first\nRUN true\nFROM --after=first scratch\nCOPY Dockerfile /\n");
    without_emulators(&place, "", &build).expect("it can").fails(3, &["linux/arm64", "Dockerfile:2"]);
    place.dockerfile("FROM base\nRUN true\nRUN \\\n  false\n");
    let two = ["build", "--platform=arm64,amd64,arm64", "-q", "context"];
    without_emulators(&place, "", &two).expect("it can").fails(3, &["linux/arm64", "Dockerfile:2"]);
    let run = ["run", "--platform=linux/arm64", "app", "true"];
    without_emulators(&place, "", &run).expect("it can").fails(125, &says[..1]);

    let qemu = r"printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:FLAGS' >/proc/sys/fs/binfmt_misc/register;";
    let loose = qemu.replace("FLAGS", "");
    let says = ["their emulator `qemu-aarch64` is registered without the flag F", "with the flag F, as root"];
    without_emulators(&place, &loose, &build).expect("it can").fails(3, &says);
    let fixed = qemu.replace("FLAGS", "F");
    let off = format!("{fixed} echo 0 >/proc/sys/fs/binfmt_misc/qemu-aarch64;");
    without_emulators(&place, &off, &build).expect("it can").fails(3, &["`qemu-aarch64` is switched off"]);
    // With one it is the step itself that fails.
    without_emulators(&place, &fixed, &build).expect("it can").fails(1, &["failed with exit code 1"]);
    place.dockerfile("FROM base\nRUN cmd\n");
    place.build(&["--platform=windows/amd64"]).fails(2, &["`base:latest` has no image for windows/amd64"]);
    place.dockerfile("FROM scratch\nCOPY Dockerfile C:\\\\here\nRUN cmd\n");
    place.build(&["--platform=windows/amd64"]).fails(
        2,
        &["programs of windows/amd64 do not run on this machine", "only those of Linux do", "Dockerfile:3"],
    );
}

#[test]
fn platforms_that_are_none_are_told() {
    let Some(place) = Place::new() else { return };
    place.dockerfile("FROM scratch\nCOPY Dockerfile /\n");
    place
        .build(&["--platform=linux/a/b/c"])
        .fails(2, &["`--platform linux/a/b/c` is no platform", "linux/amd64"]);
    place.build(&["--platform=linux/amd64,"]).ok();
    place.build(&["--platform=amigaos"]).fails(2, &["neither an operating system nor an architecture"]);
    place.build(&["--platform=local"]).ok();
    place.build(&["--platform=linux/arm/v6,linux/arm,plan9/386"]).ok();
    let rows = json(&place.ireko(&["images", "--format=json", "app"]).ok().stdout);
    assert_eq!(rows[0]["platforms"], json(r#"["linux/arm/v6","linux/arm/v7","plan9/386"]"#));
    place
        .ireko(&["run", "app", "x"])
        .fails(125, &["image `app` is not for linux/amd64, it is for linux/arm/v6"]);
    place.ireko(&["inspect", "app"]).ok();
}
