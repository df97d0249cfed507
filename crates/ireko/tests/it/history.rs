//! Looking back at builds: `history`, `logs`, `why`.

use crate::support::Place;
use serde_json::Value;

/// The same whenever it was asked for.
fn undated(text: &str) -> String {
    let (head, rest) = text.split_once(", ").expect("a build and its age");
    let (_, rest) = rest.split_once(": ").expect("how it ended");
    format!("{head}: {rest}")
}

#[test]
fn builds_are_remembered() {
    let Some(place) = Place::with_base() else { return };
    // Not the build of the base.
    let before =
        serde_json::from_str::<Value>(&place.ireko(&["history", "--format=json"]).ok().stdout).expect("JSON");
    let before = before.as_array().expect("builds").len();
    place.file("f", "one");
    place.dockerfile("FROM base\nRUN echo first said this\nCOPY f /f\nRUN echo second said that && cat /f\n");
    place.build(&[]).ok();
    place.file("f", "two");
    place.build(&[]).ok();
    place.dockerfile("FROM base\nRUN echo it broke; exit 4\n");
    place.build(&[]).fails(1, &["it broke"]);
    let table = place.ireko(&["history"]).ok().stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 3 + before, "{table}");
    assert!(lines[1].contains("failed") && lines[2].contains("done"), "{table}");
    assert!(lines[2].contains("context") && lines[2].contains("app:latest"), "{table}");
    let id = |line: &str| line.split_whitespace().next().expect("a name").to_owned();
    let (failed, second) = (id(lines[1]), id(lines[2]));

    let steps = place.ireko(&["history", "--build", &second]).ok().stdout;
    assert!(steps.contains("hit") && steps.contains("`f` changed"), "{steps}");
    let document: Value =
        serde_json::from_str(&place.ireko(&["history", "--build", &second, "--format=json"]).ok().stdout)
            .expect("JSON");
    assert_eq!(
        (document["success"].as_bool(), document["steps"].as_array().map(Vec::len)),
        (Some(true), Some(3))
    );
    // The image's own history is another thing.
    assert!(place.ireko(&["history", "app"]).ok().stdout.contains("CREATED BY"));

    assert_eq!(place.ireko(&["logs"]).ok().stdout, "it broke\n");
    assert_eq!(place.ireko(&["logs", &second, "4"]).ok().stdout, "second said that\ntwo");
    let quiet = place.ireko(&["logs", &second, "COPY"]).ok();
    assert!(quiet.stderr.contains("wrote nothing"), "{}", quiet.stderr);
    place
        .ireko(&["logs", "nosuch"])
        .fails(2, &["there is no build `nosuch`", "no such step", "ireko history"]);
    place.ireko(&["logs", &second, "17"]).fails(2, &["has no step `17`"]);

    let why = place.ireko(&["why", "--build", &second]).ok().stdout;
    assert!(why.contains("COPY f /f") && why.contains("`f` changed") && !why.contains("first said"), "{why}");
    let why = place.ireko(&["why", "first", "--build", &second]).ok().stdout;
    assert!(why.contains("was remembered"), "{why}");
    let why = place.ireko(&["why", "--build", &failed]).ok().stdout;
    assert!(why.contains("failed"), "{why}");

    // What is typed is taken for what it can be: a build, else a step of the last build.
    let said = place.ireko(&["logs", "2/2"]).ok();
    assert_eq!(said.stdout, "it broke\n");
    assert!(said.stderr.contains(&format!("build {failed} of ")), "{}", said.stderr);
    assert!(place.ireko(&["why", &second]).ok().stdout.contains("`f` changed"));
    assert_eq!(undated(&place.ireko(&["history", &second]).ok().stdout), undated(&steps));
    place.ireko(&["history", "abcdef01"]).fails(2, &["there is no image `abcdef01`"]);
    let name = document["name"].as_str().expect("a name");
    assert!(name.len() > second.len() && name.ends_with(&second), "{name}");
    assert_eq!(undated(&place.ireko(&["history", "--build", name]).ok().stdout), undated(&steps));
    // A step that was remembered says where it ran.
    let first = id(lines[3]);
    let note = place.ireko(&["logs", &second, "first said"]).ok().stderr;
    assert!(
        note.contains("was remembered") && note.contains(&format!("it ran in build `{first}`")),
        "{note}"
    );
    place.dockerfile("FROM base\nRUN echo first said this\n");
    place.build(&[]).ok();
    let note = place.ireko(&["logs"]).ok().stderr;
    assert!(note.contains("nothing was written; 1 of 1 steps were remembered"), "{note}");
    place.sound();
}

#[test]
fn no_secret_is_remembered() {
    let Some(place) = Place::with_base() else { return };
    std::fs::write(place.path("token"), "hunter2-hunter2").expect("a file");
    place.dockerfile("FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token\n");
    place.build(&["--secret=id=token,src=token"]).ok();
    assert_eq!(place.ireko(&["logs"]).ok().stdout, "***");
    assert!(!place.ireko(&["history", "--format=json"]).ok().stdout.contains("hunter2"));
}

#[test]
fn a_job_folds_what_steps_wrote() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(
        "FROM base AS a\nRUN echo one; sleep 0.3; echo ::warning::two\nFROM base AS b\nRUN echo three; sleep 0.3; echo four\n\
         FROM base\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n",
    );
    let mut command = place.command(&["build", "-t", "app", "context"]);
    let said = crate::support::Said::of(command.env("GITHUB_ACTIONS", "true").output().expect("it runs"))
        .ok()
        .stderr;
    let count = |text: &str| said.lines().filter(|line| line.starts_with(text)).count();
    assert!(count("::group::") >= 2 && count("::group::") == count("::endgroup::"), "{said}");
    // What a step writes is no command to the service.
    assert!(count("::warning") == 0 && said.contains("| ::warning::two"), "{said}");
    let open = |word: &str| {
        let at = said.find(word).expect("a line");
        said[..at].matches("::group::").count() - said[..at].matches("::endgroup::").count()
    };
    for word in ["| one", "| four"] {
        assert_eq!(open(word), 1, "{said}");
    }
}

#[test]
fn nothing_is_remembered_yet() {
    let Some(place) = Place::new() else { return };
    let said = place.ireko(&["history"]).ok();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", "note: no build is remembered\n"));
    assert_eq!(place.ireko(&["history", "--format=json"]).ok().stdout, "[]\n");
    place.ireko(&["logs"]).fails(2, &["no build is remembered"]);
    place.ireko(&["why", "make"]).fails(2, &["no build is remembered"]);
}
