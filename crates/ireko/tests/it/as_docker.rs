//! What scripts for Docker ask of the store, in its words: digests, templates, lists, and the commands of clean-up.

use crate::daemons::Registry;
use crate::support::Place;

#[test]
fn a_push_is_remembered_and_told_by_its_digest() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    place.dockerfile("FROM base\nRUN echo 1 >/one\n");
    let name = format!("{}/team/app:1", registry.address());
    let said = place
        .ireko(&["build", "--progress=plain", "--push", "--metadata-file=m", "-t", &name, "context"])
        .ok();
    let pinned = |name: &str| place.ireko(&["inspect", "-f", "{{index .RepoDigests 0}}", name]);
    let text = pinned(&name).ok().stdout.trim().to_owned();
    let digest = text.strip_prefix(&format!("{}/team/app@", registry.address())).expect("a pinned name");
    let mut lines = said.stderr.lines().filter(|line| line.starts_with(&format!("exported {name} ")));
    assert!(lines.any(|line| line.ends_with(digest)), "{}", said.stderr);
    assert!(place.ireko(&["images", "--digests"]).ok().stdout.contains(digest));
    let text_of = std::fs::read_to_string(place.path("m")).expect("a file");
    let descriptor =
        &serde_json::from_str::<serde_json::Value>(&text_of).expect("JSON")["containerimage.descriptor"];
    assert_eq!(descriptor["digest"], digest);
    assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    // It can be pulled by that.
    let Some(other) = Place::new() else { return };
    other.ireko(&["pull", "-q", &text]).ok();
    // A name of another repository was not pushed.
    place.ireko(&["tag", &name, "elsewhere:1"]).ok();
    let format = "{{.Repository}} {{.Digest}}";
    let listed = place.ireko(&["images", "--format", format]).ok().stdout;
    assert!(
        listed.contains("elsewhere <none>") && listed.contains(&format!("/team/app {digest}")),
        "{listed}"
    );
    place.ireko(&["inspect", "-f", "{{index .RepoDigests 0}}", "base"]).fails(2, &["has no `0`"]);
    let said = place.ireko(&["push", &name]).ok();
    assert!(said.stdout.contains(digest) && said.stderr.contains(digest), "{}{}", said.stdout, said.stderr);
}

#[test]
fn templates_print_nothing_for_what_an_image_lacks() {
    let Some(place) = Place::with_base() else { return };
    let format =
        "{{.Config.User}}|{{.Config.Entrypoint}}|{{index .Config.Labels \"nope\"}}|{{json .Config.Labels}}";
    let said = place.ireko(&["inspect", "-f", format, "base"]).ok();
    assert_eq!(said.stdout, "|[]||null\n");
    place.ireko(&["inspect", "-f", "{{.Config.Nothing}}", "base"]).fails(2, &["there is no `Nothing`"]);
}

#[test]
fn lists_take_dockers_flags() {
    let Some(place) = Place::with_base() else { return };
    let ids = place.ireko(&["history", "-q", "--no-trunc", "base"]).ok().stdout;
    let mut lines = ids.lines();
    assert_eq!(lines.next(), Some(place.id("base").as_str()));
    assert!(lines.all(|line| line == "<missing>"), "{ids}");
    let by = place.ireko(&["history", "--format", "table {{.ID}}\t{{.CreatedBy}}", "base"]).ok().stdout;
    assert!(by.starts_with("IMAGE ") && by.contains("COPY <<GROUP"), "{by}");
    let types = place.ireko(&["system", "df", "--format", "{{.Type}}: {{.TotalCount}}"]).ok().stdout;
    assert!(types.contains("Images: 1\n") && types.contains("Local Volumes: 0\n"), "{types}");
    let builds = place.ireko(&["history", "--format", "{{.id}} {{.name}}"]).ok().stdout;
    assert_eq!(builds.lines().count(), 1, "{builds}");
    for clean_up in ["container prune -f", "volume prune -f", "network prune -f", "ps -a", "ps -aq"] {
        let words: Vec<&str> = clean_up.split(' ').collect();
        assert!(place.ireko(&words).ok().stderr.contains("ireko keeps no "), "{clean_up}");
    }
    place.ireko(&["container", "stop", "a"]).fails(2, &["no command `container stop`"]);
    place.ireko(&["context", "ls"]).fails(2, &["`context ls`", "DOCKER_HOST"]);
    place.ireko(&["biuld", "."]).fails(2, &["did you mean `ireko build`?"]);
    assert!(place.ireko(&["help", "build"]).ok().stdout.contains("--cache-max-size"));
    place.dockerfile("FROM base\n");
    place
        .ireko(&["build", "-f", "context/Dokerfile", "context"])
        .fails(2, &["did you mean `context/Dockerfile`?"]);
    place.ireko(&["build", "-o", "type=foo", "context"]).fails(2, &["image", "cacheonly"]);
}

#[test]
fn a_size_limits_a_prune_of_all() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN echo 1 >/one\n");
    place.ireko(&["builder", "prune", "-af", "--keep-storage", "10GB"]).ok();
    let said = place.build(&[]).ok();
    assert!(said.ran().is_empty(), "{}", said.stderr);
    let told = place.ireko(&["builder", "prune", "-a", "--dry-run"]).ok().stdout;
    assert!(told.starts_with("would remove ") && told.contains("KIND") && told.contains("record"), "{told}");
}
