//! Archives, layouts and registries: who reads what we write, and whose writings we read.

use super::tree::{ALL, Telling, Tree, assert_same, tree};
use super::{build_odd, need_root, own_runtime, peer, said_by};
use crate::daemons::Registry;
use crate::support::{Place, have, is_root};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Every destination of the odd image.
const OUTPUTS: [&str; 20] = [
    "-o",
    "type=oci,dest=gzip.tar",
    "-o",
    "type=oci,compression=zstd,dest=zstd.tar",
    "-o",
    "type=oci,tar=false,dest=layout",
    "-o",
    "type=oci,tar=false,compression=zstd,dest=layout-zstd",
    "-o",
    "type=docker,dest=docker.tar",
    "-o",
    "type=docker,compression=gzip,dest=docker-gzip.tar",
    "-o",
    "type=docker,compression=zstd,dest=docker-zstd.tar",
    "-o",
    "type=docker,tar=false,dest=docker-dir",
    "-o",
    "type=tar,dest=root.tar",
    "-o",
    "type=local,dest=local",
];

/// What a rootless unpacking can show: everything but owners.
const UNOWNED: Telling = Telling { owners: false, times: true };

pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The reference: our tar as GNU tar unpacks it for root, our directory for others.
fn reference(place: &Place) -> Tree {
    if !is_root() {
        return tree(&place.path("local"), UNOWNED);
    }
    fs::create_dir(place.path("root")).expect("a directory");
    let flags = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", "root.tar", "-C", "root"];
    peer(place, "tar", &flags);
    let whole = tree(&place.path("root"), ALL);
    assert_same("tar and local", &tree(&place.path("root"), UNOWNED), &tree(&place.path("local"), UNOWNED));
    whole
}

#[test]
fn skopeo_and_umoci_read_every_form() {
    let Some(place) = Place::with_base() else { return };
    if !have(&["skopeo", "umoci", "tar"]) {
        return;
    }
    build_odd(&place, &OUTPUTS);
    let expected = reference(&place);
    let config = place.config("app");
    let layers = config["rootfs"]["diff_ids"].as_array().expect("layers").len();

    for source in [
        "oci-archive:gzip.tar",
        "oci-archive:zstd.tar",
        "oci:layout",
        "oci:layout-zstd",
        "docker-archive:docker.tar",
        "docker-archive:docker-gzip.tar",
        "docker-archive:docker-zstd.tar",
    ] {
        let seen = json(&peer(&place, "skopeo", &["inspect", source]));
        assert_eq!(seen["Layers"].as_array().map(Vec::len), Some(layers), "{source}");
        assert_eq!(seen["Labels"], config["config"]["Labels"], "{source}");
        assert_eq!(seen["Env"], config["config"]["Env"], "{source}");
        let raw = json(&peer(&place, "skopeo", &["inspect", "--config", "--raw", source]));
        assert_eq!(raw, config, "{source}");
        // Copying checks every digest; what comes out must be what went in.
        let out = format!("copy-of-{}", source.replace([':', '.'], "-"));
        peer(&place, "skopeo", &["copy", "--quiet", source, &format!("oci:{out}:app:1")]);
        let other = Place::new().expect("a second store");
        other.ireko(&["load", "-i", &place.path(&out).display().to_string()]).ok();
        assert_eq!(other.layers("app:1"), place.layers("app"), "{source}");
    }

    for layout in ["layout", "copy-of-oci-archive-gzip-tar", "copy-of-docker-archive-docker-tar"] {
        let image = format!("{layout}:{}", tag_in(&place.path(layout)));
        let bundle = format!("bundle-of-{layout}");
        let mut args = vec!["unpack", "--image", &image, &bundle];
        if !is_root() {
            args.insert(1, "--rootless");
        }
        peer(&place, "umoci", &args);
        let telling = if is_root() { ALL } else { UNOWNED };
        assert_same(layout, &expected, &tree(&place.path(&bundle).join("rootfs"), telling));
        check_runtime_config(&json(
            &fs::read_to_string(place.path(&bundle).join("config.json")).expect("a file"),
        ));
    }
}

/// The tag of a layout's only image.
fn tag_in(layout: &Path) -> String {
    let index = json(&fs::read_to_string(layout.join("index.json")).expect("an index"));
    let tag = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    tag.as_str().expect("a tag").to_owned()
}

/// What umoci makes of the image's config for a runtime.
fn check_runtime_config(spec: &Value) {
    let process = &spec["process"];
    assert_eq!(process["args"], json(r#"["probe","first","second","third word"]"#));
    assert_eq!(process["cwd"], "/work/deep");
    assert_eq!((&process["user"]["uid"], &process["user"]["gid"]), (&json("1000"), &json("1001")));
    let env: Vec<&str> =
        process["env"].as_array().expect("variables").iter().filter_map(Value::as_str).collect();
    for variable in ["ONE=1", "SPACED=two words", "EMPTY=", "UMLAUT=ä", "PATH=/usr/bin:/usr/sbin"] {
        assert!(env.contains(&variable), "{env:?}");
    }
}

/// Podman or buildah with a store of its own.
pub(super) fn with_store(place: &Place, program: &str, args: &[&str]) -> Command {
    // What hangs is to fail, and conmon finds no directory that is not given whole.
    let mut command = Command::new("timeout");
    command.args(["60", program, "--root"]).arg(place.path("peer/root"));
    command.arg("--runroot").arg(place.path("peer/run")).args(["--storage-driver", "vfs"]);
    command.args(args).current_dir(place.path(""));
    own_runtime(place, &mut command);
    command
}

#[test]
fn podman_reads_unpacks_and_runs() {
    if !need_root() || !have(&["podman", "buildah"]) {
        return;
    }
    let Some(place) = Place::with_base() else { return };
    build_odd(&place, &OUTPUTS);
    let expected = reference(&place);
    let id = place.id("app");
    let podman = |args: &[&str]| said_by(&mut with_store(&place, "podman", args));
    for archive in ["gzip.tar", "zstd.tar", "docker.tar"] {
        podman(&["load", "--quiet", "-i", archive]);
        let image = &json(&podman(&["image", "inspect", "docker.io/library/app"]))[0];
        assert_eq!(format!("sha256:{}", image["Id"].as_str().expect("an id")), id, "{archive}");
        // OCI's config has no health check, and podman reads none where it is not Docker's; zstd it takes for OCI's.
        if archive == "docker.tar" {
            assert_eq!(image["Healthcheck"], place.config("app")["config"]["Healthcheck"], "{archive}");
        }
        let mounted = podman(&["image", "mount", &id]);
        let mut theirs = tree(Path::new(mounted.trim()), ALL);
        // No layer says what the root directory is like; podman makes it 0555, Docker and we 0755.
        theirs.insert(String::new(), expected[""].clone());
        assert_same(archive, &expected, &theirs);
        podman(&["image", "umount", &id]);
        if archive == "docker.tar" {
            runs_alike(&place, &podman);
        }
        podman(&["rmi", "-f", &id]);
    }
}

fn runs_alike(place: &Place, podman: &dyn Fn(&[&str]) -> String) {
    let ours = place.ireko(&["run", "--network=none", "--hostname=box", "app", "more"]).ok();
    // Its own limits are above what a container without CAP_SYS_RESOURCE around it may set.
    let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
    let mut args = vec!["run", "--rm", "--network=none", "--hostname=box", "--cap-add=all"];
    args.extend(limits);
    args.extend(["app", "more"]);
    let theirs = podman(&args);
    // Podman's capabilities are others than Docker's, and it says so in a variable.
    let shared = |text: &str| {
        let own = |line: &&str| {
            !line.starts_with("container=") && !line.starts_with("Cap") && !line.starts_with("TERM=")
        };
        text.lines().filter(own).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(shared(&ours.stdout), shared(&theirs));
}

/// What other programs write of the same image comes in, runs, and is built upon.
#[test]
fn what_skopeo_podman_and_buildah_write_is_read() {
    let Some(place) = Place::with_base() else { return };
    if !have(&["skopeo"]) {
        return;
    }
    build_odd(&place, &["-o", "type=docker,dest=docker.tar"]);
    let mut written = vec![];
    for (target, file) in [
        ("oci-archive:skopeo-oci.tar:app:1", "skopeo-oci.tar"),
        ("docker-archive:skopeo-docker.tar:app:1", "skopeo-docker.tar"),
        ("oci:skopeo-layout:app:1", "skopeo-layout"),
    ] {
        peer(&place, "skopeo", &["copy", "--quiet", "docker-archive:docker.tar", target]);
        written.push(file);
    }
    if is_root() && have(&["podman", "buildah"]) {
        let run = |program: &str, args: &[&str]| said_by(&mut with_store(&place, program, args));
        run("podman", &["load", "--quiet", "-i", "docker.tar"]);
        run("podman", &["save", "--quiet", "-o", "podman-docker.tar", "app"]);
        run("podman", &["save", "--quiet", "--format=oci-archive", "-o", "podman-oci.tar", "app"]);
        run("podman", &["save", "--quiet", "--format=oci-dir", "-o", "podman-dir", "app"]);
        run("buildah", &["push", "--quiet", "app", "oci-archive:buildah-oci.tar:app:1"]);
        run("podman", &["rmi", "-f", "-a"]);
        written.extend(["podman-docker.tar", "podman-oci.tar", "podman-dir", "buildah-oci.tar"]);
    }
    let said = place.ireko(&["run", "app"]).ok().stdout;
    for source in written {
        let Some(other) = Place::new() else { return };
        let path = place.path(source).display().to_string();
        let loaded = other.ireko(&["load", "-q", "-i", &path]).ok().stdout;
        let id = loaded.trim();
        other.ireko(&["tag", id, "loaded"]).ok();
        assert_eq!(other.layers("loaded"), place.layers("app"), "{source}");
        // The host name is the image's id where nothing else is said.
        let host = format!("--hostname={}", place.id("app").get(7..19).expect("an id"));
        assert_eq!(other.ireko(&["run", &host, id]).ok().stdout, said, "{source}");
        other.dockerfile("FROM loaded\nUSER root\nRUN cat /tree/replaced/new >/tree/again\nENTRYPOINT [\"cat\", \"/tree/again\"]\nCMD []\n");
        other.build(&[]).ok();
        assert_eq!(other.ireko(&["run", "app"]).ok().stdout, "new\n", "{source}");
        if fs::metadata(&path).expect("a file").is_dir() {
            other.dockerfile("FROM base\nUSER 0\nRUN cat /tree/replaced/new >/tree/other\nENTRYPOINT [\"cat\", \"/tree/other\"]\nCMD []\n");
            other.build(&["--build-context", &format!("base=oci-layout://{path}")]).ok();
            assert_eq!(other.ireko(&["run", "app"]).ok().stdout, "new\n", "{source}");
        }
        other.sound();
    }
}

#[test]
fn a_registry_that_skopeo_pushed_to_is_pulled_from() {
    let Some(place) = Place::with_base() else { return };
    if !have(&["skopeo"]) {
        return;
    }
    let Some(registry) = Registry::start() else { return };
    build_odd(
        &place,
        &["-o", "type=docker,dest=docker.tar", "-o", "type=oci,compression=zstd,dest=zstd.tar"],
    );
    let address = registry.address();
    for (source, tag) in [("docker-archive:docker.tar", "docker"), ("oci-archive:zstd.tar", "zstd")] {
        let name = format!("{address}/team/app:{tag}");
        let target = format!("docker://{name}");
        peer(&place, "skopeo", &["copy", "--quiet", "--dest-tls-verify=false", source, &target]);
        let Some(other) = Place::new() else { return };
        let id = other.ireko(&["pull", "-q", &name]).ok().stdout;
        assert_eq!(id.trim(), place.id("app"), "{tag}");
        assert_eq!(other.layers(&name), place.layers("app"), "{tag}");
        assert!(other.ireko(&["run", &name]).ok().stdout.starts_with("3 arguments\n[first]\n"), "{tag}");
        let Some(third) = Place::new() else { return };
        third.dockerfile(&format!("FROM {name}\nUSER 0\nRUN cat /tree/replaced/new >/tree/other\nENTRYPOINT [\"cat\", \"/tree/other\"]\nCMD []\n"));
        let said = third.build(&[]).ok();
        assert!(said.stderr.contains(&address), "where the base came from is said:\n{}", said.stderr);
        assert_eq!(third.ireko(&["run", "app"]).ok().stdout, "new\n", "{tag}");
        third.sound();
    }
}
