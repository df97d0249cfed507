//! What the language has beyond its reference: several targets, an order without a file, names by variables.

use crate::support::Place;
use serde_json::Value;

#[test]
fn several_targets_are_built_together_and_each_has_its_names() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(
        "FROM base AS common\nRUN echo common >> /log\nFROM common AS test\nRUN echo test >> /log\n\
         FROM common AS tool\nRUN echo tool >> /log\nFROM common AS app\nRUN echo app >> /log\n",
    );
    let flags = [
        "--target",
        "test,Tool",
        "--target",
        "app",
        "-t",
        "tool=tool:1",
        "-t",
        "app:2",
        "-o",
        "type=local,dest=out,target=tool",
        "--metadata-file",
        "meta.json",
        "--iidfile",
        "iid",
    ];
    let said = place.build(&flags).ok();
    assert_eq!(said.ran().len(), 4, "what they share runs once: {}", said.stderr);
    let log = |image: &str| place.ireko(&["run", "--rm", image, "cat", "/log"]).ok().stdout;
    assert_eq!((log("tool:1"), log("app:2")), ("common\ntool\n".into(), "common\napp\n".into()));
    assert_eq!(place.inside("cat /log"), "common\napp\n", "names without a stage are the last one's");
    assert_eq!(std::fs::read_to_string(place.path("out/log")).expect("a file"), "common\ntool\n");
    let meta: Value =
        serde_json::from_slice(&std::fs::read(place.path("meta.json")).expect("a file")).expect("JSON");
    let names: Vec<&str> = meta["ireko.targets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["target"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(names, ["test", "Tool", "app"]);
    assert_eq!(meta["containerimage.config.digest"].as_str(), Some(place.id("app").as_str()));
    assert_eq!(std::fs::read_to_string(place.path("iid")).expect("a file"), place.id("app"));
    assert_eq!(
        place.ireko(&["images", "-q"]).ok().stdout.lines().count(),
        3,
        "a target without a name is not kept"
    );
    place
        .build(&["--target", "app", "-t", "tool=x"])
        .fails(2, &["`tool`", "no target of this build", "--target tool"]);
    place
        .ireko(&["build", "--target", "test,app", "-t", "test=one", "-t", "app=one", "context"])
        .fails(2, &["library/one", "of `test` and of `app`"]);
    place.build(&["-o", "type=docker,dest=x", "-o", "type=oci,dest=./x"]).fails(2, &["are the same place"]);
    for target in [",", "app,", ",app"] {
        place.build(&["--target", target]).fails(2, &["names a stage with no name"]);
    }
    place.build(&["--target", "app,App", "--target", "app"]).ok();
    place.build(&["--target", ""]).ok();
    place.build(&["--target", "app,nothing"]).fails(2, &["`nothing` could not be found"]);
    place.dockerfile("FROM base AS common\nFROM common AS test\nRUN false\nFROM common AS app\nRUN true\n");
    place.build(&["--target", "test,app"]).fails(1, &["Dockerfile:3"]);
}

#[test]
fn a_stage_waits_for_another_and_fails_with_it() {
    let Some(place) = Place::with_base() else { return };
    let text = |test: &str| {
        format!(
            "FROM base AS test\nRUN --mount=type=cache,target=/c {test}\n\
             FROM --after=test base\nRUN --mount=type=cache,target=/c cat /c/done > /seen\n"
        )
    };
    place.built(&text("sleep 0.4; echo yes > /c/done"));
    assert_eq!(place.inside("cat /seen; ls /c 2>&1 | head -1"), "yes\nls: /c: No such file or directory\n");
    let changed = place.built(&text("sleep 0.1; echo no > /c/done"));
    assert_eq!(changed.ran().len(), 1, "an order is no input: {}", changed.stderr);
    place.dockerfile(&text("exit 7"));
    let said = place.build(&[]).fails(1, &["exit code 7", "Dockerfile:2"]);
    assert!(!said.stderr.contains("2/2] RUN --mount=type=cache,target=/c cat"), "{}", said.stderr);
    // A stage that makes nothing of its own waits too.
    place.dockerfile("FROM base AS test\nRUN exit 8\nFROM --after=test base\nCMD [\"x\"]\n");
    place.build(&[]).fails(1, &["exit code 8"]);
    place.dockerfile("FROM base AS test\nRUN true\nFROM --after=tset base\n");
    place.build(&[]).fails(2, &["--after=tset", "did you mean `test`", "Dockerfile:3"]);
}

#[test]
fn a_copy_names_its_stage_by_an_argument() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(
        "ARG FLAVOUR=red\nFROM base AS red\nRUN echo red > /x\nFROM base AS blue\nRUN echo blue > /x\n\
         FROM base\nARG FLAVOUR\nCOPY --from=${FLAVOUR} /x /x\n",
    );
    let said = place.build(&[]).ok();
    assert!(said.stderr.contains("echo red") && !said.stderr.contains("echo blue"), "{}", said.stderr);
    assert_eq!(place.inside("cat /x"), "red\n");
    place.build(&["--build-arg", "FLAVOUR=blue"]).ok();
    assert_eq!(place.inside("cat /x"), "blue\n");
    place
        .build(&["--build-arg", "FLAVOUR=bleu"])
        .fails(2, &["did you mean the stage `blue`", "Dockerfile:8"]);
    place.dockerfile("FROM base\nCOPY --from=$NOWHERE /x /x\n");
    place.build(&[]).fails(2, &["`NOWHERE`, which is not set", "Dockerfile:2"]);
}
