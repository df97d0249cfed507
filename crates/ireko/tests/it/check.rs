//! `build --check` and `--call`, and the warnings of a build.

use crate::support::{Place, Said};
use serde_json::Value;

#[track_caller]
fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", said.stdout))
}

/// Rules and first lines of a JSON answer.
#[track_caller]
fn rules(said: &Said) -> Vec<(String, u64)> {
    let document = json(said);
    let warnings = document["warnings"].as_array().expect("warnings");
    let line = |warning: &Value| warning["location"]["ranges"][0]["start"]["line"].as_u64().expect("a line");
    warnings.iter().map(|one| (one["ruleName"].as_str().expect("a name").to_owned(), line(one))).collect()
}

#[track_caller]
fn check(place: &Place, dockerfile: &str, args: &[&str]) -> Said {
    place.dockerfile(dockerfile);
    place.ireko(&[&["build"], args, &["context"]].concat())
}

/// The text with the context called as it was typed.
fn named(place: &Place, text: &str) -> String {
    text.replace(&place.context().canonicalize().expect("a context").display().to_string(), "context")
}

#[test]
fn a_check_says_what_it_finds_and_builds_nothing() {
    let Some(place) = Place::with_base() else { return };
    place.file(".dockerignore", "hidden\n");
    let said = check(
        &place,
        "FROM base\nRUN touch /ran\nCMD echo hi\nCOPY hidden $PATCH /\nENV A=$PATH\n",
        &["--check", "-t", "app", "-o", "type=oci,dest=out.tar"],
    );
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert_eq!(
        named(&place, &said.stdout),
        "Check complete, 3 warnings have been found!\n\n\
         warning: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n \
         --> context/Dockerfile:3:5\n3 | CMD echo hi\n  |     ^^^^^^^\nhint: write `CMD [\"echo\", \"hi\"]`\n\
         more: https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n\n\
         warning: CopyIgnoredFile: Attempting to Copy file \"hidden\" that is excluded by .dockerignore\n \
         --> context/Dockerfile:4:6\n4 | COPY hidden $PATCH /\n  |      ^^^^^^\n\
         hint: change line 1 of the ignore file, `hidden`, or let the file in below it by `!hidden`\n\
         more: https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/\n\n\
         warning: UndefinedVar: Usage of undefined variable '$PATCH' (did you mean $PATH?)\n \
         --> context/Dockerfile:4:13\n4 | COPY hidden $PATCH /\n  |             ^^^^^^\n\
         hint: write `$PATH`, or declare `ARG PATCH` in this stage\n\
         more: https://docs.docker.com/go/dockerfile/rule/undefined-var/\n"
    );
    assert!(said.stderr.is_empty(), "{}", said.stderr);
    assert!(!place.ireko(&["images"]).ok().stdout.contains("app"));
    assert!(!place.path("out.tar").exists());
    let clean = check(&place, "FROM base\nCMD [\"x\"]\n", &["--call=lint"]).ok();
    assert_eq!(clean.stdout, "Check complete, no warnings found.\n");
    // All stages, or those of the target.
    let stages = "FROM base AS a\nUSER $a\nFROM base AS b\nUSER $b\n";
    let all = [("UndefinedVar".to_owned(), 2), ("UndefinedVar".to_owned(), 4)];
    assert_eq!(rules(&check(&place, stages, &["--call=check,format=json"])), all);
    assert_eq!(
        rules(&check(&place, stages, &["--check", "--call=check,format=json", "--target=a"])),
        all[..1]
    );
}

#[test]
fn several_platforms_give_each_warning_once() {
    let Some(place) = Place::new() else { return };
    let both = "--platform=linux/amd64,linux/arm64";
    let said = check(
        &place,
        "FROM scratch\nARG TARGETARCH\nUSER $x$TARGETARCH\nCMD x\n",
        &["--call=check,format=json", both],
    );
    assert_eq!(rules(&said), [("UndefinedVar".to_owned(), 3), ("JSONArgsRecommended".to_owned(), 4)]);
    let said =
        check(&place, "FROM --platform=$TARGETPLATFORM scratch\n", &["--call=check,format=json", both]);
    assert_eq!(rules(&said), [("RedundantTargetPlatform".to_owned(), 1)]);
}

#[test]
fn exit_codes_of_checks() {
    let Some(place) = Place::with_base() else { return };
    let warned = "FROM base\nCMD x\n";
    assert_eq!(check(&place, warned, &["--check"]).code, 1);
    assert_eq!(check(&place, warned, &["--call=check,ignorestatus=true"]).code, 0);
    assert_eq!(check(&place, &format!("# check=skip=JSONArgsRecommended\n{warned}"), &["--check"]).code, 0);
    assert_eq!(check(&place, "FROM base\n# check=skip=all // a shell it is\nCMD x\n", &["--check"]).code, 0);
    let violation = "lint violation found for rules: JSONArgsRecommended";
    check(&place, &format!("# check=error=true\n{warned}"), &["--check"]).fails(2, &[violation]);
    check(&place, warned, &["--check", "--build-arg=BUILDKIT_DOCKERFILE_CHECK=what"])
        .fails(2, &["failed to parse BUILDKIT_DOCKERFILE_CHECK: invalid check option \"what\""]);
    check(&place, &format!("# check=spik=all\n{warned}"), &["--check"])
        .fails(2, &["invalid check option \"spik\"", "Dockerfile:1:9"]);
    check(&place, warned, &["--call=chekc"])
        .fails(2, &["there is no such method", "use check, outline, targets or subrequests.describe"]);
    check(&place, warned, &["--check", "--call=targets"]).fails(2, &["two things"]);
    check(&place, warned, &["--check", "--target=b"]).fails(2, &["target stage `b` could not be found"]);
    check(&place, warned, &["--call=outline", "--target=b"])
        .fails(2, &["target stage `b` could not be found"]);
}

#[test]
fn errors_of_a_checked_dockerfile() {
    let Some(place) = Place::with_base() else { return };
    // What could be read before the mistake is looked at.
    let said = check(&place, "FROM base AS Bad\nRNU x\nCMD x\n", &["--check"])
        .fails(2, &["unknown instruction: RNU", "Dockerfile:2"]);
    assert!(said.stdout.contains("StageNameCasing") && !said.stdout.contains("JSONArgs"), "{}", said.stdout);
    let said = check(&place, "FROM base AS Bad\nRNU x\n", &["--call=check,format=json"]);
    let error = &json(&said)["buildError"];
    assert_eq!(error["message"], "dockerfile parse error on line 2: unknown instruction: RNU");
    assert_eq!(error["location"]["ranges"][0]["start"]["line"], 2);
    // What a build would refuse.
    check(&place, "FROM base\nCOPY --from=b /x /\nFROM base AS b\nCOPY --from=0 /x /\n", &["--check"])
        .fails(2, &["circular dependency"]);
    // A base that cannot be had leaves the other stages alone, and its own rules silent.
    let lost = "FROM nowhere.invalid/x AS a\nUSER $a\nCMD x\nFROM base\nUSER $b\n";
    let said = check(&place, lost, &["--call=check,format=json"]).fails(3, &["nowhere.invalid"]);
    assert_eq!(rules(&said), [("UndefinedVar".to_owned(), 5)]);
    assert!(
        json(&said)["buildError"]["message"].as_str().is_some_and(|text| text.contains("nowhere.invalid"))
    );
}

#[test]
fn places_of_errors_in_json() {
    let Some(place) = Place::with_base() else { return };
    let error = |dockerfile: &str, args: &[&str], code: i32| {
        let said = check(&place, dockerfile, &[&["--call=check,format=json"], args].concat());
        assert_eq!(said.code, code, "{}", said.stderr);
        let error = json(&said)["buildError"].take();
        let ranges = error["location"]["ranges"].as_array().cloned().unwrap_or_default();
        let line = |range: &Value| range["start"]["line"].as_u64().expect("a line");
        (
            error["message"].as_str().expect("a message").to_owned(),
            ranges.iter().map(line).collect::<Vec<_>>(),
        )
    };
    // What is found only when it is planned.
    let circle = "FROM base AS a\nCOPY --from=b /x \\\n  /\nFROM base AS b\nRUN true\nRUN --mount=from=a,target=/a true\n";
    assert_eq!(
        error(circle, &[], 2),
        ("circular dependency detected on stage: `a`".to_owned(), vec![2, 3, 6])
    );
    let (message, lines) = error("FROM base\nUSER x\nCOPY \\\n  --from=7 /x /\n", &[], 2);
    assert!(message.contains("no stage number 7") && lines == [3, 4], "{message} {lines:?}");
    let (message, lines) = error("FROM base\nFROM nowhere.invalid/x\n", &[], 3);
    assert!(message.contains("nowhere.invalid") && lines == [2], "{message} {lines:?}");
    // Warnings that are errors, and options that are none, have no place.
    let violation = "lint violation found for rules: JSONArgsRecommended";
    assert_eq!(error("# check=error=true\nFROM base\nCMD x\n", &[], 2), (violation.to_owned(), vec![]));
    let option = "failed to parse check options: invalid check option \"spik\"";
    assert_eq!(error("# check=spik=all\nFROM base\nRNU x\n", &[], 2), (option.to_owned(), vec![]));
    // An argument is wrong before anything is looked at.
    let said = check(
        &place,
        "FROM base\n",
        &["--call=check,format=json", "--build-arg=BUILDKIT_DOCKERFILE_CHECK=what"],
    );
    let said = said.fails(2, &["failed to parse BUILDKIT_DOCKERFILE_CHECK"]);
    assert_eq!(said.stdout, "");
    // The text cannot be split, or an instruction cannot be read.
    let split = "ENV must have two arguments".to_owned();
    assert_eq!(error("FROM base AS Bad\nRNU x\nENV a\n", &[], 2), (split, vec![3]));
    let read = "dockerfile parse error on line 2: unknown flag: --form".to_owned();
    assert_eq!(error("FROM base\nCOPY \\\n  --form=a / /\n", &[], 2), (read, vec![2, 3]));
}

#[test]
fn what_a_step_may_do_is_not_asked_by_a_check() {
    let Some(place) = Place::with_base() else { return };
    let text = "FROM base\nRUN --security=insecure true\nRUN --network=host true\n\
        RUN --mount=type=secret,id=pass --device=vendor.com/gpu=all true\n";
    let clean = check(&place, text, &["--check"]).ok();
    assert_eq!(clean.stdout, "Check complete, no warnings found.\n");
    let outline = check(&place, text, &["--call=outline"]).ok();
    assert!(outline.stdout.contains("pass"), "{}", outline.stdout);
    check(&place, text, &["--call=targets"]).ok();
    place.build(&[]).fails(2, &["`RUN --security=insecure` was not allowed"]);
}

#[test]
fn what_can_be_asked_is_listed() {
    let Some(place) = Place::new() else { return };
    let said = check(&place, "FROM scratch\n", &["--call=subrequests.describe"]).ok();
    assert_eq!(
        said.stdout,
        "NAME                   VERSION   DESCRIPTION\n\
         outline                1.0.0     List all parameters current build target supports\n\
         targets                1.0.0     List all targets current build supports\n\
         subrequests.describe   1.0.0     List available subrequest types\n"
    );
    let document = json(&check(&place, "FROM scratch\n", &["--call=subrequests.describe,format=json"]).ok());
    let both = serde_json::json!([
        { "name": "result.json", "description": "" },
        { "name": "result.txt", "description": "" }
    ]);
    assert_eq!(
        document[0],
        serde_json::json!({
            "name": "frontend.outline",
            "version": "1.0.0",
            "type": "rpc",
            "description": "List all parameters current build target supports",
            "opts": [{ "name": "target", "description": "Target build stage" }],
            "inputs": null,
            "metadata": both,
            "refs": null,
        })
    );
    assert_eq!(
        (&document[1]["name"], &document[1]["opts"]),
        (&"frontend.targets".into(), &Value::Array(vec![]))
    );
    assert_eq!(
        (&document[2]["name"], &document[2]["opts"]),
        (&"frontend.subrequests.describe".into(), &Value::Null)
    );
}

#[test]
fn warnings_of_a_build_are_told_once() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base AS Bad\nRUN touch /a \\\n\n /b\nCMD x\n");
    let expected = "3 warnings found (`--check` or `-v` shows the lines):\n \
        - context/Dockerfile:1: StageNameCasing: Stage name 'Bad' should be lowercase\n \
        - context/Dockerfile:3: NoEmptyContinuation: Empty continuation line\n \
        - context/Dockerfile:5: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n";
    for _ in 0..2 {
        let said = place.build(&[]).ok();
        assert!(named(&place, &said.stderr).ends_with(expected), "{}", said.stderr);
        assert_eq!(said.stderr.to_lowercase().matches("empty continuation").count(), 1, "{}", said.stderr);
    }
    let verbose = place.build(&["-v"]).ok();
    assert!(verbose.stderr.contains("hint: call it `bad`"), "{}", verbose.stderr);
    let events = place.build(&["--progress=rawjson"]).ok().stderr;
    let codes = ["StageNameCasing", "NoEmptyContinuation", "JSONArgsRecommended"];
    for code in codes {
        assert_eq!(events.matches(&format!("\"code\":\"{code}\"")).count(), 1, "{events}");
    }
    assert_eq!(place.build(&["-q", "--progress=quiet"]).ok().stderr, "");
    place.dockerfile("FROM base\nCMD [\"x\"]\n");
    assert!(!place.build(&[]).ok().stderr.contains("warning"));
}

#[test]
fn warnings_that_are_errors_stop_a_build_before_anything_runs() {
    let Some(place) = Place::with_base() else { return };
    let text = "FROM base as b\nRUN touch /ran\nCMD x\n";
    place.dockerfile(&format!("# check=error=true\n{text}"));
    let said = place.build(&[]).fails(
        2,
        &[
            "lint violation found for rules: FromAsCasing, JSONArgsRecommended",
            "2 warnings found",
            "Dockerfile:4: JSON",
            "hint: ",
        ],
    );
    assert!(said.ran().is_empty(), "{}", said.stderr);
    place.dockerfile(text);
    let by_arg = "--build-arg=BUILDKIT_DOCKERFILE_CHECK";
    place
        .build(&[&format!("{by_arg}=error=true;skip=FromAsCasing")])
        .fails(2, &["for rules: JSONArgsRecommended\n"]);
    place.build(&[&format!("{by_arg}=what")]).fails(2, &["failed to parse BUILDKIT_DOCKERFILE_CHECK"]);
    let skipped = place.build(&[&format!("{by_arg}=error=true;skip=all")]).ok();
    assert!(!skipped.stderr.contains("warning"), "{}", skipped.stderr);
    // Stages that are not built do not stop one; what stands on a line alone does.
    place.dockerfile("# check=error=true\nFROM base AS other\nUSER $x\nFROM base\n");
    place.build(&[]).ok();
    place.sound();
}

#[test]
fn what_a_target_takes_and_which_there_are() {
    let Some(place) = Place::with_base() else { return };
    let text = "# tag of the base\nARG tag=latest\n# build compiles\nFROM base:$tag AS build\nARG mode=fast\n\
        RUN --mount=type=secret,id=pass,required=true --mount=type=cache,target=/c --mount=type=ssh true\nFROM build\n";
    let said = check(&place, text, &["--call=outline", "--build-arg=mode=slow"]).ok();
    assert_eq!(
        said.stdout,
        "BUILD ARG   VALUE    DESCRIPTION\ntag         latest   of the base\nmode        slow\n\n\
         SECRET   REQUIRED\npass     true\n\nSSH       REQUIRED\ndefault\n\nCACHE\n/c\n"
    );
    let document = json(&check(&place, text, &["--call=outline,format=json", "--target=build"]).ok());
    assert_eq!((&document["name"], &document["description"]), (&"build".into(), &"compiles".into()));
    assert_eq!(document["args"][0]["name"], "tag");
    assert_eq!(
        (&document["secrets"][0]["required"], &document["cache"][0]["ID"]),
        (&true.into(), &"/c".into())
    );
    let said = check(&place, text, &["--call=targets"]).ok();
    assert_eq!(said.stdout, "TARGET      DESCRIPTION\nbuild       compiles\n(default)\n");
    let document = json(&check(&place, text, &["--call=targets,format=json"]).ok());
    assert_eq!(document["targets"][0]["base"], "base:$tag");
    assert_eq!(document["targets"][1]["default"], true);
    assert_eq!(document["targets"][1]["location"]["ranges"][0]["start"]["line"], 7);
    check(&place, "FROM base\nRNU x\n", &["--call=targets"]).fails(2, &["unknown instruction: RNU"]);
}
