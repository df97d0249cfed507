//! Indexes: who reads ours, whose we read, and the same build for another platform here and there.

use super::formats::{json, with_store};
use super::tree::{Telling, assert_same, tree};
use super::{peer, said_by};
use crate::daemons::Registry;
use crate::support::{Place, have, is_root};
use std::path::Path;

const BOTH: &str = "linux/amd64,linux/arm64";

/// Steps whose results differ between platforms, and some that do not.
const DOCKERFILE: &str = "ARG BASE\nFROM --platform=$BUILDPLATFORM $BASE AS build\nARG TARGETPLATFORM\nARG TARGETARCH\n\
    ARG TARGETVARIANT\nARG BUILDPLATFORM\nRUN echo $BUILDPLATFORM $TARGETPLATFORM $TARGETARCH $TARGETVARIANT >/args && uname -m >>/args\n\
    FROM $BASE\nCOPY --from=build /args /args\nRUN uname -m >/machine && mkdir -m 750 /dir && ln -s machine /link\nENV A=b\nCMD [\"cat\", \"/args\"]\n";

#[test]
fn an_index_is_read_by_others_and_theirs_by_us() {
    if !have(&["skopeo"]) {
        return;
    }
    let (Some(place), Some(registry)) = (Place::with_bases(), Registry::start()) else { return };
    place.ireko(&["save", "--type=oci", "-o", "base.tar", "base"]).ok();
    let raw = json(&peer(&place, "skopeo", &["inspect", "--raw", "oci-archive:base.tar"]));
    assert_eq!(raw["mediaType"], "application/vnd.oci.image.index.v1+json");
    let ids = json(&place.ireko(&["inspect", "base"]).ok().stdout)[0]["Index"]["Images"].clone();
    for (at, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        assert_eq!(raw["manifests"][at]["platform"]["architecture"], architecture);
        let arch = format!("--override-arch={architecture}");
        let out = format!("dir:copy-{architecture}");
        // Copying checks every digest.
        peer(&place, "skopeo", &[&arch, "copy", "--quiet", "oci-archive:base.tar", &out]);
        let config = json(&peer(&place, "skopeo", &["inspect", "--config", "--raw", &out]));
        assert_eq!(config["architecture"], architecture);
        let manifest = json(&peer(&place, "skopeo", &["inspect", "--raw", &out]));
        assert_eq!(manifest["config"]["digest"], ids[at]["Id"]);
    }

    // Through a registry and back into another store, each platform by itself and both at once.
    let name = format!("{}/base", registry.address());
    let pushed = ["copy", "--quiet", "--all", "--dest-tls-verify=false", "oci-archive:base.tar"];
    peer(&place, "skopeo", &[&pushed[..], &[&format!("docker://{name}")]].concat());
    let Some(other) = Place::new() else { return };
    other.dockerfile(DOCKERFILE);
    let arg = format!("BASE={name}");
    let own = "linux/amd64 linux/amd64 amd64\nx86_64\n";
    let foreign = "linux/amd64 linux/arm64 arm64\nx86_64\n";
    other.build(&["--build-arg", &arg, "--platform=linux/arm64"]).ok();
    assert_eq!(other.ireko(&["run", "app"]).ok().stdout, foreign);
    let said = other.build(&["--build-arg", &arg, "--platform", BOTH]).ok();
    assert!(said.stderr.contains("[linux/arm64 stage-1 3/3] RUN uname -m >/machine && mkdir -m 750 /dir && ln -s machine /link: hit"), "{}", said.stderr);
    assert_eq!(other.ireko(&["run", "app"]).ok().stdout, own);
    assert_eq!(
        other.ireko(&["run", "--platform=linux/arm64", "app", "cat", "/machine"]).ok().stdout,
        "aarch64\n"
    );
    other.ireko(&["pull", "-q", "--platform=linux/arm64", &name]).ok();
    assert_eq!(other.ireko(&["run", &name, "uname", "-m"]).ok().stdout, "aarch64\n");
    other.sound();
}

#[test]
fn buildah_builds_the_same_for_another_platform() {
    if !is_root() {
        eprintln!("skipped because only root has these peers run");
        return;
    }
    if !have(&["skopeo", "podman", "buildah"]) {
        return;
    }
    let (Some(place), Some(registry)) = (Place::with_bases(), Registry::start()) else { return };
    place.ireko(&["save", "--type=oci", "-o", "base.tar", "base"]).ok();
    let name = format!("{}/base", registry.address());
    let pushed = ["copy", "--quiet", "--all", "--dest-tls-verify=false", "oci-archive:base.tar"];
    peer(&place, "skopeo", &[&pushed[..], &[&format!("docker://{name}")]].concat());
    // Debian's buildah takes the base for the target, whatever `--platform=$BUILDPLATFORM` says.
    place.dockerfile(&DOCKERFILE.replace(" && uname -m >>/args", ""));
    let arg = format!("BASE={name}");
    let outputs = ["-o", "ours", "-o", "type=oci,dest=app.tar"];
    place.build(&[&["--build-arg", &arg, "--platform", BOTH], &outputs[..]].concat()).ok();

    let peer_run = |program: &str, args: &[&str]| said_by(&mut with_store(&place, program, args));
    let telling = Telling { owners: false, times: false };
    for (platform, dir) in [("linux/arm64", "ours/linux_arm64"), ("linux/amd64", "ours/linux_amd64")] {
        let tag = platform.replace('/', "-");
        let flags = ["bud", "--quiet", "--tls-verify=false", "--platform", platform, "--build-arg", &arg];
        peer_run("buildah", &[&flags[..], &["-t", &tag, "context"]].concat());
        let image = &json(&peer_run("podman", &["image", "inspect", &tag]))[0];
        assert_eq!(image["Architecture"], platform.rsplit('/').next().expect("an architecture"));
        let mounted = peer_run("podman", &["image", "mount", &tag]);
        let mut theirs = tree(Path::new(mounted.trim()), telling);
        let mut ours = tree(&place.path(dir), telling);
        // What no layer says, and what buildah leaves of its own mounts.
        let left = ["", "etc", "dev", "proc", "sys", "run"];
        theirs.retain(|name, _| !left.contains(&name.as_str()) && !name.starts_with("etc/"));
        ours.retain(|name, _| !left.contains(&name.as_str()));
        assert_same(platform, &ours, &theirs);
        peer_run("podman", &["image", "umount", &tag]);
    }
    peer_run("podman", &["load", "--quiet", "-i", "app.tar"]);
    let image = &json(&peer_run("podman", &["image", "inspect", "docker.io/library/app"]))[0];
    assert_eq!(
        format!("sha256:{}", image["Id"].as_str().expect("an id")),
        place.id("app"),
        "podman takes its own"
    );
}
