//! Control groups: a step and a container have one each where one can be made, and it is gone when they end.

use crate::support::Place;
use ireko_sys::cgroup::Home;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Places at each level that who runs the tests can have, and whether groups can be made there.
fn places() -> Vec<(Place, bool)> {
    let all = [Place::with_base(), Place::ordinary_with_base()];
    let with_answer = |place: Place| {
        let doctor = place.ireko(&["doctor"]).ok().stdout;
        let line = doctor.lines().find(|line| line.contains("a control group for each step"));
        let made = line.expect("doctor speaks of groups").starts_with("ok ");
        (place, made)
    };
    all.into_iter().flatten().map(with_answer).collect()
}

/// The groups that a process has made.
fn groups_of(process: &Child) -> Vec<PathBuf> {
    let Ok(home) = Home::find() else { return Vec::new() };
    let prefix = format!("ireko-{}-", process.id());
    let entries = fs::read_dir(home.dir()).expect("groups").flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

fn members(group: &Path) -> usize {
    fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines().count()
}

/// A command whose step or container is at work; it ends only if it is told to.
fn at_work(place: &Place, args: &[&str]) -> Child {
    let mut command = place.command(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let readers: [Box<dyn BufRead + Send>; 2] = [
        Box::new(BufReader::new(child.stdout.take().expect("a pipe"))),
        Box::new(BufReader::new(child.stderr.take().expect("a pipe"))),
    ];
    let (sender, receiver) = std::sync::mpsc::channel();
    for reader in readers {
        let sender = sender.clone();
        // Reads on to the end, so that nobody writes into a closed pipe.
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    drop(sender);
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| line.ends_with("started") && !line.contains("echo")) {
        seen.push(receiver.recv().unwrap_or_else(|_| panic!("it ended: {seen:#?}")));
    }
    child
}

const BUILD: [&str; 6] = ["build", "--progress=plain", "--no-cache", "-t", "app", "context"];
const DOCKERFILE: &str = "FROM base\nRUN echo started; sleep 1000\n";

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("a signal");
}

#[track_caller]
fn check_one(child: &Child, made: bool) {
    let groups = groups_of(child);
    assert_eq!(groups.len(), usize::from(made), "{groups:?}");
    for group in groups {
        assert!(members(&group) > 0, "{} is empty", group.display());
    }
}

#[test]
fn a_step_has_a_group_until_it_ends() {
    for (place, made) in places() {
        place.dockerfile(DOCKERFILE);
        for number in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
            let mut build = at_work(&place, &BUILD);
            check_one(&build, made);
            signal(&build, number);
            assert_eq!(build.wait().expect("an end").code(), Some(130));
            assert_eq!(groups_of(&build), Vec::<PathBuf>::new());
        }
        place.dockerfile("FROM base\nRUN grep ^0:: /proc/self/cgroup >/seen\nRUN false\n");
        let mut failing = place.command(&BUILD);
        let mut build = failing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
        assert_eq!(build.wait().expect("an end").code(), Some(1));
        assert_eq!(groups_of(&build), Vec::<PathBuf>::new());
        place.built("FROM base\nRUN grep ^0:: /proc/self/cgroup >/seen\n");
        assert_eq!(place.inside("cat /seen; grep ^0:: /proc/self/cgroup"), "0::/\n0::/\n");
    }
}

#[test]
fn a_container_has_a_group_until_it_ends() {
    for (place, made) in places() {
        let script = "trap 'exit 7' TERM; echo started; sleep 1000 & wait";
        let mut container = at_work(&place, &["run", "--rm", "base", "sh", "-c", script]);
        check_one(&container, made);
        signal(&container, rustix::process::Signal::TERM);
        assert_eq!(container.wait().expect("an end").code(), Some(7));
        assert_eq!(groups_of(&container), Vec::<PathBuf>::new());
    }
}

#[test]
fn what_a_killed_build_left_is_gone_after_the_next() {
    for (place, made) in places() {
        place.dockerfile(DOCKERFILE);
        let mut build = at_work(&place, &BUILD);
        check_one(&build, made);
        let left = groups_of(&build);
        build.kill().expect("a kill");
        build.wait().expect("an end");
        let deadline = Instant::now() + Duration::from_secs(10);
        while left.iter().any(|group| members(group) > 0) {
            assert!(Instant::now() < deadline, "the step goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
        place.built("FROM base\nRUN true\n");
        assert_eq!(groups_of(&build), Vec::<PathBuf>::new());
    }
}

#[test]
fn what_is_used_is_said() {
    for (place, made) in places() {
        place.dockerfile("FROM scratch\nLABEL a=b\n");
        let said = place.build(&["-v"]).ok().stderr;
        let line = said.lines().find(|line| line.starts_with("control groups: ")).expect("a line");
        assert_eq!(line == "control groups: one for each step", made, "{line}");
        let findings = place.ireko(&["doctor", "--format", "json"]).ok().stdout;
        let findings: serde_json::Value = serde_json::from_str(&findings).expect("JSON");
        let rows = findings["findings"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["what"] == "a control group for each step").expect("a row");
        assert_eq!((row["ok"] == true, row["problem"].is_null(), row["fix"].is_null()), (made, made, made));
    }
}
