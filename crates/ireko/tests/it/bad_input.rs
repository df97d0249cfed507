//! Wrong input: a clear error, the right exit code, and a sound store afterwards.

use crate::support::Place;
use ireko_testkit::{Fault, TarStream, TestImage, TestRegistry};

#[track_caller]
fn check(place: &Place, dockerfile: &str, code: i32, says: &[&str]) {
    place.dockerfile(dockerfile);
    place.build(&[]).fails(code, says);
    place.sound();
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
        &["circular", "Dockerfile:1"],
    );
    // Whether a registry of that name answers is the network's business; the hint is ours.
    place.dockerfile("FROM base AS build\nFROM base\nCOPY --from=bulid /x /x\n");
    let said = place.build(&[]);
    assert!(said.code != 0 && said.stderr.contains("did you mean the stage `build`?"), "{}", said.stderr);
    check(&place, "FROM base\nCOPY raedme.md /\n", 2, &["raedme.md", "readme.md"]);
    let inside = place.context().join("readme.md");
    let inside = format!("FROM base\nCOPY {} /\n", inside.display());
    check(&place, &inside, 2, &["write `readme.md`"]);
    check(&place, "FROM base\nCOPY /etc/passwd /\n", 2, &["nothing outside it", "--build-context"]);
    check(&place, "FROM base\nCOPY hidden /\n", 2, &["hidden", "line 1"]);
    check(&place, "FROM nowhere.invalid/base\n", 3, &["nowhere.invalid"]);
    check(&place, "FROM base\nRUN --mount=type=ssh true\n", 2, &["not supported yet", "Dockerfile:2"]);
    check(&place, "FROM base\nADD https://example.com/x /\n", 2, &["not supported yet", "Dockerfile:2"]);
}

#[test]
fn mistakes_on_the_command_line() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\n");
    place.ireko(&["build", "-t", "Not A Name", "context"]).fails(2, &["Not A Name"]);
    place.ireko(&["build", "context/Dockerfile"]).fails(2, &["is a file"]);
    place.ireko(&["build", "nowhere"]).fails(2, &["nowhere"]);
    place.ireko(&["build", "--target", "none", "context"]).fails(2, &["none"]);
    place.ireko(&["build", "--push", "context"]).fails(2, &["--push", "not supported yet", "type=oci"]);
    place.ireko(&["build", "--load", "context"]).fails(2, &["--load", "docker load"]);
    place
        .ireko(&["build", "https://example.com/x.git"])
        .fails(2, &["https://example.com/x.git", "git clone"]);
    place
        .ireko(&["build", "-o", "type=oci,dest=nowhere/app.tar", "context"])
        .fails(2, &["nowhere/app.tar", "no directory `nowhere`"]);
    place.ireko(&["build", "-o", "type=oci,dest=context", "context"]).fails(2, &["is a directory"]);
    place
        .ireko(&["build", "--platform", "linux/riscv64", "context"])
        .fails(2, &["linux/riscv64", "not supported yet"]);
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
