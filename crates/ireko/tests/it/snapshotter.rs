//! The same with overlayfs and without: what is built, what is run, and what is said of it.

use crate::support::Place;

/// A build with deletions, replacements, links, mounts of a stage and times that steps set.
const DOCKERFILE: &str = "FROM base AS tools
RUN mkdir -p /opt/tools/bin && echo tool > /opt/tools/bin/t && ln -s t /opt/tools/bin/u
FROM base
WORKDIR /w
COPY src/ /w/src/
RUN mkdir a b c && echo 1 > a/1 && echo 2 > b/2 && echo 3 > c/3 && ln a/1 a/hard && touch -d @1000 c/3
RUN rm -rf b && mkdir b && echo new > b/new && rm a/1 && echo 33 > c/3 && touch -d @2000 c/3 && chmod 700 src
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/mnt/tools cat /mnt/tools/bin/u > got
RUN --mount=type=bind,from=tools,source=/opt/tools/bin,target=/mnt/bin,rw echo x > /mnt/bin/x && ls /mnt/bin > listed
RUN --mount=type=cache,target=/cache echo kept >> /cache/f && mkfifo pipe && rm -r c && ln -s a c
RUN chown -R app:app a && : > /tmp/scratch && rm /tmp/scratch
";

/// Builds, and gives what a container of the image says of its own files; and the image's layers.
fn build_as(place: &Place, how: &str) -> (String, serde_json::Value) {
    place.ireko(&["--snapshotter", how, "build", "--no-cache", "-q", "-t", "app", "context"]).ok();
    let listing = "cd / && find etc root tmp var w | sort | while read -r f; do stat -c '%n %a %u:%g %F' \"$f\"; done; \
        find w -type f | sort | xargs cat; find w -type f | sort | xargs stat -c '%n %Y %h'; readlink w/c";
    let shown =
        place.ireko(&["--snapshotter", how, "run", "--entrypoint", "/bin/sh", "app", "-c", listing]).ok();
    (shown.stdout, place.inspect()["RootFS"]["Layers"].clone())
}

/// A step that ran again and gave the same content keeps its earlier layer: so equal layers are equal content.
#[test]
fn trees_are_the_same_with_overlayfs_and_without() {
    let Some(place) = Place::with_base() else { return };
    if !place.ireko(&["doctor"]).ok().stdout.contains("ok    overlayfs") {
        eprintln!("skipped because overlayfs does not work in the store");
        return;
    }
    place.file("src/one", "1");
    place.file("src/two", "2");
    place.dockerfile(DOCKERFILE);
    let (copied, layers) = build_as(&place, "copy");
    let (shown, same_layers) = build_as(&place, "overlay");
    assert_eq!(copied, shown);
    assert_eq!(layers, same_layers);
    place.sound();
    place.nothing_mounted();
}

/// Content is what steps are known by, so the second build finds every result of the first.
#[test]
fn a_step_that_ran_one_way_is_a_hit_the_other_way() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN rm -r /var && mkdir /var && echo 1 > /var/1\nRUN echo 2 > /2\n");
    place.ireko(&["--snapshotter", "copy", "build", "--progress=plain", "-t", "app", "context"]).ok();
    let id = place.inspect()["Id"].clone();
    place.ireko(&["build", "--progress=plain", "-t", "app", "context"]).ok();
    assert_eq!(place.inspect()["Id"], id);
}

#[test]
fn what_is_used_is_said() {
    let Some(place) = Place::new() else { return };
    place.dockerfile("FROM scratch\nLABEL a=b\n");
    let said = place.ireko(&["--verbose", "--snapshotter", "copy", "build", "-t", "app", "context"]).ok();
    assert!(said.stderr.contains("snapshotter: copy (as asked)"), "{}", said.stderr);
    place
        .ireko(&["--snapshotter", "btrfs", "build", "context"])
        .fails(2, &["`--snapshotter btrfs`", "overlay or copy"]);
    assert!(place.ireko(&["doctor"]).ok().stdout.contains("overlayfs in"));
}

#[test]
fn doctor_names_the_level_that_steps_run_at() {
    for place in [Place::new(), Place::ordinary()].into_iter().flatten() {
        let said = place.ireko(&["doctor"]).ok().stdout;
        let last = said.lines().last().expect("a line");
        let ok = |level: &str| said.contains(&format!("ok    sandbox level `{level}`"));
        let best = crate::support::level().map(|level| vec![level]);
        let best = best.unwrap_or_else(|| vec!["root", "rootless", "single-id"]);
        let best = best.into_iter().find(|level| ok(level)).expect("a level");
        assert!(last.ends_with(&format!("`{best}`")), "{said}");
    }
}
