//! Images in the store, in archives, and gone.

use crate::support::Place;
use ireko_testkit::{TarStream, TestImage, TestRegistry};
use serde_json::Value;
use std::fs;

#[test]
fn names_come_and_go() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\n");
    place.ireko(&["tag", "app", "team/app:2"]).ok();
    let rows: Value =
        serde_json::from_str(&place.ireko(&["images", "--format", "json"]).ok().stdout).expect("JSON");
    let names: Vec<&str> = rows
        .as_array()
        .expect("rows")
        .iter()
        .flat_map(|row| row["names"].as_array().expect("names"))
        .filter_map(Value::as_str)
        .collect();
    assert!(
        names.contains(&"docker.io/team/app:2") && names.contains(&"docker.io/library/app:latest"),
        "{names:?}"
    );
    place.ireko(&["rmi", "app"]).ok();
    place.ireko(&["run", "team/app:2", "true"]).ok();
    place.ireko(&["rmi", "team/app:2"]).ok();
    place.ireko(&["run", "team/app:2", "true"]).fails(125, &["no image"]);
    place.ireko(&["rmi", "team/app:2"]).fails(2, &["no image"]);
    place.sound();
}

#[test]
fn archives_go_out_and_come_back() {
    let Some(place) = Place::with_base() else { return };
    place.file("a", "A\n");
    place.dockerfile("FROM base\nCOPY a /a\nRUN ln -s a /b\nCMD [\"cat\", \"/b\"]\n");
    let said = place
        .build(&[
            "-t",
            "second",
            "-o",
            "type=oci,dest=oci.tar",
            "-o",
            "type=docker,dest=docker.tar",
            "-o",
            "type=tar,dest=root.tar",
            "-o",
            "type=oci,dest=layout,tar=false",
            "--iidfile",
            "iid",
            "--metadata-file",
            "meta.json",
        ])
        .ok();
    let id = fs::read_to_string(place.path("iid")).expect("an id");
    let metadata: Value =
        serde_json::from_slice(&fs::read(place.path("meta.json")).expect("metadata")).expect("JSON");
    assert_eq!(metadata["containerimage.config.digest"], id.as_str());
    assert!(
        metadata["containerimage.digest"].as_str().expect("a digest").starts_with("sha256:"),
        "{}",
        said.stderr
    );
    for source in ["oci.tar", "docker.tar", "layout"] {
        let Some(other) = Place::new() else { return };
        let path = place.path(source);
        other.ireko(&["load", "-i", path.to_str().expect("a path")]).ok();
        assert_eq!(other.ireko(&["run", "app"]).ok().stdout, "A\n", "{source}");
        assert_eq!(other.inspect()["Id"], id.as_str(), "{source}");
        other.sound();
    }
    let saved = place.ireko(&["save", "-o", "saved.tar", "app", "second"]);
    saved.ok();
    assert!(fs::metadata(place.path("saved.tar")).expect("an archive").len() > 0);
}

#[test]
fn archives_for_a_stream_go_to_standard_output_but_to_no_terminal() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nCMD [\"echo\", \"here\"]\n");
    for kind in ["docker", "oci"] {
        let command = format!("type={kind},dest=-,name=piped");
        let output = place.command(&["build", "-q", "-o", &command, "context"]).output().expect("an end");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let Some(other) = Place::new() else { return };
        // Nothing but the archive: no image id beside it.
        other.ireko_fed(&["load"], &output.stdout).ok();
        assert_eq!(other.ireko(&["run", "piped"]).ok().stdout, "here\n", "{kind}");
        let words = place.command(&["build", "-o", &format!("type={kind},dest=-"), "context"]);
        let words: Vec<_> = [words.get_program()].into_iter().chain(words.get_args()).collect();
        let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("IREKO_HOME", place.store());
        let output = script.current_dir(place.path("")).output().expect("`script` of util-linux");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(shown.contains("an archive is not written to a terminal"), "{shown}");
        assert_eq!(shown.contains("hand it to an engine"), kind == "docker", "{shown}");
        assert!(!shown.contains("manifest.json"), "{shown}");
    }
}

#[test]
fn history_has_every_instruction() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nENV A=1\nRUN echo $A >/a\nCMD [\"true\"]\n");
    let rows: Value = serde_json::from_str(&place.ireko(&["history", "--format", "json", "app"]).ok().stdout)
        .expect("JSON");
    let texts: Vec<&str> =
        rows.as_array().expect("rows").iter().take(3).filter_map(|row| row["created_by"].as_str()).collect();
    assert_eq!(texts, ["CMD [\"true\"]", "RUN /bin/sh -c echo $A >/a # buildkit", "ENV A=1"]);
}

#[test]
fn history_shows_what_a_run_did_and_not_its_arguments() {
    let Some(place) = Place::with_base() else { return };
    let long = "x".repeat(80);
    place.built(&format!("FROM base\nARG URL=http://{long}\nRUN set -e; \\\n    echo one >/a\n"));
    let shown = place.ireko(&["history", "app"]).ok().stdout;
    assert!(shown.contains("  RUN /bin/sh -c set -e; echo one >/a # buildkit "), "{shown}");
    let whole = place.ireko(&["history", "--no-trunc", "app"]).ok().stdout;
    assert!(
        whole.contains(&format!("RUN |1 URL=http://{long} /bin/sh -c set -e;     echo one >/a")),
        "{whole}"
    );
}

#[test]
fn pruned_stores_keep_images_and_need_no_root_to_remove() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN mkdir /own && touch /own/f && chown -R 1000:1000 /own && chmod 700 /own\n");
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    assert_eq!(place.inside("stat -c %u /own/f"), "1000\n");
    place.ireko(&["rmi", "-f", "app", "base"]).ok();
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    fs::remove_dir_all(place.store()).expect("removed by its owner alone");
}

#[test]
fn a_base_that_no_step_needs_is_fetched_only_to_be_shipped() {
    let Some(place) = Place::new() else { return };
    let registry = TestRegistry::start();
    let layer = TarStream::new().file("etc/motd", "hello\n");
    registry.push("base", "1", &TestImage::new().layer(layer));
    place.dockerfile(&format!("FROM {}/base:1\nLABEL a=b\n", registry.address()));
    place.build(&[]).ok();
    let blobs = || registry.server().count("/blobs/");
    let config_only = blobs();
    assert_eq!(config_only, 1, "manifest and config are enough for a label");
    place.build(&["-o", "root", "-o", "type=oci,dest=app.tar"]).ok();
    assert!(blobs() > config_only);
    assert_eq!(fs::read_to_string(place.path("root/etc/motd")).expect("a file"), "hello\n");
}

#[test]
fn names_of_one_image_are_listed_saved_and_removed_apart() {
    let Some(place) = Place::new() else { return };
    place.dockerfile("FROM scratch\nLABEL a=b\n");
    place.build(&["-t", "host:5000/team/app:1", "-t", "second"]).ok();
    let listed = place.ireko(&["images", "second"]).ok().stdout;
    assert!(listed.contains("second") && !listed.contains("team"), "{listed}");
    let id = place.ireko(&["images", "-q", "second"]).ok().stdout;
    place.ireko(&["save", "-o", "all.tar", "second", "host:5000/team/app:1", "second", id.trim()]).ok();
    let archive = fs::read(place.path("all.tar")).expect("an archive");
    let text = String::from_utf8_lossy(&archive);
    assert!(
        text.contains("\"RepoTags\":[\"second:latest\",\"host:5000/team/app:1\"]"),
        "one entry, two names"
    );
    assert_eq!(text.matches("\"RepoTags\"").count(), 1);
    place.ireko(&["rmi", "nothing", "second"]).fails(2, &["no image `nothing`"]);
    place.ireko(&["inspect", "second"]).fails(2, &["no image"]);
    place.ireko(&["inspect", "host:5000/team/app:1"]).ok();
}

/// The short names of the rows that a list has.
#[track_caller]
fn listed(place: &Place, args: &[&str]) -> Vec<String> {
    let mut all = vec!["images", "--format", "json"];
    all.extend(args);
    let rows: Value = serde_json::from_str(&place.ireko(&all).ok().stdout).expect("JSON");
    let names = |row: &Value| {
        let names = row["names"].as_array().expect("names").iter().filter_map(Value::as_str);
        let names: Vec<&str> = names.map(|name| name.trim_start_matches("docker.io/library/")).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(" ") }
    };
    let mut names: Vec<String> = rows.as_array().expect("rows").iter().map(names).collect();
    names.sort();
    names
}

#[test]
fn lists_are_filtered_as_docker_filters_them() {
    let Some(place) = Place::new() else { return };
    // An epoch is an image's time: one, two, three.
    for (epoch, tag, label) in
        [("1", "app:1", "kind=old"), ("2", "host:5000/team/app:2", "kind=new"), ("3", "last", "other")]
    {
        place.dockerfile(&format!(
            "FROM scratch\nLABEL {}\n",
            if label.contains('=') { label } else { "other=" }
        ));
        let mut command = place.command(&["build", "-q", "-t", tag, "context"]);
        let done = command.env("SOURCE_DATE_EPOCH", epoch).output().expect("a process");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    // The name goes to another image: what had it has none any more.
    place.ireko(&["tag", "app:1", "last"]).ok();
    let both = "app:1 last:latest";
    let far = "host:5000/team/app:2";
    for (args, expect) in [
        (&[] as &[&str], &["-", both, far] as &[&str]),
        (&["-a"], &["-", both, far]),
        (&["app"], &["app:1"]),
        (&["app:2"], &[]),
        (&["a*"], &["app:1"]),
        (&["l?st:latest"], &["last:latest"]),
        (&["host:5000/*/app"], &[far]),
        (&["*:1"], &["app:1"]),
        (&["--filter", "reference=app", "--filter=reference=last"], &[both]),
        (&["-f", "label=kind"], &[both, far]),
        (&["-f", "label=kind=new"], &[far]),
        (&["-f", "label=kind", "-f", "label=other"], &[]),
        (&["--filter", "dangling=true"], &["-"]),
        (&["--filter", "dangling=false"], &[both, far]),
        (&["--filter", "before=host:5000/team/app:2"], &[both]),
        (&["--filter", "since=app:1"], &["-", far]),
        (&["--filter", "since=app:1", "host:5000/*/*"], &[far]),
    ] {
        assert_eq!(listed(&place, args), expect, "{args:?}");
    }
    let table = place.ireko(&["images", "--digests", "--no-trunc", "app"]).ok().stdout;
    let id = place.id("app:1");
    assert!(table.starts_with("REPOSITORY   TAG   DIGEST   IMAGE ID"), "{table}");
    assert!(table.contains(&id) && table.contains("<none>"), "{table}");
    assert_eq!(place.ireko(&["images", "-q", "--no-trunc", "app"]).ok().stdout, format!("{id}\n"));
    place.ireko(&["images", "--filter", "colour=red"]).fails(2, &["colour=red", "dangling"]);
    place.ireko(&["images", "--filter", "since=nothing"]).fails(2, &["no image `nothing`"]);
    place.ireko(&["images", "--filter", "dangling=x"]).fails(2, &["neither true nor false"]);
    place.ireko(&["images", "a["]).fails(2, &["`a[`"]);
}

#[test]
fn what_was_done_is_told_as_json_where_asked() {
    let Some(place) = Place::new() else { return };
    place.file("a", "A\n");
    place.dockerfile("FROM scratch\nCOPY a /a\n");
    place.build(&[]).ok();
    let id = place.id("app");
    let json = |args: &[&str]| -> Value {
        let mut all = args.to_vec();
        all.extend(["--format", "json"]);
        serde_json::from_str(&place.ireko(&all).ok().stdout).expect("JSON and nothing else")
    };
    let name = |name: &str| format!("docker.io/library/{name}:latest");
    assert_eq!(json(&["tag", "app", "two"]), serde_json::json!({"id": id, "name": name("two")}));
    let saved = json(&["save", "-o", "saved.tar", "app", "two"]);
    assert_eq!(saved["images"], serde_json::json!([{"id": id, "names": [name("app"), name("two")]}]));
    let size = fs::metadata(place.path("saved.tar")).expect("an archive").len();
    assert_eq!((&saved["dest"], &saved["bytes"]), (&"saved.tar".into(), &size.into()));
    place.ireko(&["save", "--format", "json", "app"]).fails(2, &["-o FILE"]);
    let removed = json(&["rmi", "-f", "app", "two", "nothing"]);
    assert_eq!(removed["untagged"], serde_json::json!([name("app"), name("two")]));
    assert_eq!(removed["deleted"][0], id.as_str());
    let loaded = json(&["load", "-i", "saved.tar"]);
    assert_eq!(loaded, serde_json::json!([{"id": id, "names": [name("app"), name("two")]}]));
    let pruned = json(&["cache", "prune", "--all", "-f"]);
    assert!(pruned["items"].as_array().is_some_and(|items| !items.is_empty()), "{pruned}");
    assert!(pruned["freed"].is_u64() && pruned["problems"] == serde_json::json!([]), "{pruned}");
}

#[test]
fn an_output_of_the_store_may_name_the_image() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN echo x >/x\n");
    place.ireko(&["build", "-q", "-t", "one", "-o", "type=image,name=two", "context"]).ok();
    assert_eq!(place.id("one"), place.id("two"));
}
