//! Secrets are seen by a step and by nobody else.

use crate::support::Place;
use std::fs;
use std::path::Path;
use std::time::Duration;

const SECRET: &str = "correct-horse-battery-staple";

/// Files below `dir` whose bytes hold the secret.
fn leaks(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => leaks(&path, found),
            Ok(kind) if kind.is_file() => {
                let bytes = fs::read(&path).unwrap_or_default();
                if bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
                    found.push(path.display().to_string());
                }
            }
            _ => {}
        }
    }
}

#[track_caller]
fn sealed(place: &Place, said: &str) {
    let mut found = Vec::new();
    leaks(&place.store(), &mut found);
    assert_eq!(found, Vec::<String>::new());
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_secret_is_in_no_file_after_success_failure_and_interrupt() {
    let Some(place) = Place::with_base() else { return };
    fs::write(place.path("token"), format!("{SECRET}\n")).expect("a file");
    place.dockerfile("FROM base\nRUN --mount=type=secret,id=token --mount=type=secret,id=token,env=TOKEN cat /run/secrets/token && echo $TOKEN && wc -c </run/secrets/token >/n\n");
    let said = place.build(&["--secret", "id=token,src=token"]).ok();
    assert!(said.stderr.contains("***"), "{}", said.stderr);
    sealed(&place, &said.stderr);
    assert_eq!(place.inside("cat /n; ls /run 2>&1 | wc -l").lines().next(), Some("29"));

    place.dockerfile("FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token >&2; exit 3\n");
    let said = place.build(&["--secret", "id=token,src=token"]).fails(1, &["exit code 3"]);
    sealed(&place, &said.stderr);

    place.dockerfile("FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token; sleep 60\n");
    let mut child = place
        .command(&["build", "--progress=plain", "--secret", "id=token,src=token", "context"])
        .spawn()
        .expect("a process");
    std::thread::sleep(Duration::from_millis(700));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    sealed(&place, "");
    place.nothing_mounted();
    place.sound();
}

#[test]
fn a_missing_secret_is_empty_unless_required() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN --mount=type=secret,id=no test ! -e /run/secrets/no\n");
    place.dockerfile("FROM base\nRUN --mount=type=secret,id=no,required=true true\n");
    place.build(&[]).fails(2, &["secret `no`", "--secret id=no"]);
}
