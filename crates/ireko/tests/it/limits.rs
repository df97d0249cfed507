//! Limits of steps and containers: what was asked for holds, is refused before anything runs, and leaves no group behind.

use crate::support::{Place, Said};
use ireko_sys::cgroup::{Limiter, Limits};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A place whose user can limit, or `None` with one line why.
fn limiting() -> Option<Place> {
    let place = Place::with_base()?;
    match Limiter::prepare(Limits { memory: Some(64 << 20), ..Limits::default() }) {
        Ok(_) => Some(place),
        Err(refusal) => {
            // An ordinary user is refused, which is a test of its own.
            if rustix::process::geteuid().is_root() {
                eprintln!("skipped because {refusal}");
            }
            None
        }
    }
}

/// All groups with names of ours that are anywhere below /sys/fs/cgroup, made by this process's child of that number.
fn groups_of(process: u32) -> Vec<PathBuf> {
    fn walk(dir: &Path, prefix: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    found.push(entry.path());
                }
                walk(&entry.path(), prefix, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &format!("ireko-{process}-"), &mut found);
    found
}

fn build(place: &Place, flags: &[&str], dockerfile: &str) -> Said {
    place.dockerfile(dockerfile);
    place.build(&[&["--progress=plain", "-t", "app"], flags].concat())
}

/// A step that holds 64 MB at once.
const GREEDY: &str = "dd if=/dev/zero of=/dev/null bs=64M count=1";

#[test]
fn a_step_that_wants_more_memory_is_killed_and_told_so() {
    let Some(place) = limiting() else { return };
    let alone = format!("FROM base\nRUN exec {GREEDY}\n");
    build(&place, &["--memory", "32m"], &alone)
        .fails(1, &["the step was killed for using more than --memory 32m", "hint: give it more"]);
    let inside = format!("FROM base\nRUN {GREEDY}; echo went on with $?; exit 3\n");
    let told =
        "the step failed with exit code 3: a process in it was killed for using more than --memory 16m";
    build(&place, &["-m=16m"], &inside).fails(1, &[told, "went on with 137"]);
    // With enough, and with more swap than memory, the same step is done; what it left is remembered for any limit.
    let plenty = build(&place, &["-m", "512m", "--memory-swap", "-1"], &alone).ok();
    assert_eq!(plenty.ran().len(), 1, "{}", plenty.stderr);
    assert_eq!(build(&place, &["-m", "8m"], &alone).ok().ran(), Vec::<String>::new());
}

#[test]
fn limits_are_seen_by_a_step() {
    let Some(place) = limiting() else { return };
    let dockerfile = "FROM base\nRUN grep Cpus_allowed_list /proc/self/status >/seen; sleep 0.2\n";
    let flags =
        ["--cpuset-cpus", "0", "--cpuset-mems=0", "-c", "512", "--cpu-period=50000", "--cpu-quota=25000"];
    build(&place, &flags, dockerfile).ok();
    assert_eq!(place.inside("cat /seen"), "Cpus_allowed_list:\t0\n");
}

#[test]
fn a_container_is_limited_too() {
    let Some(place) = limiting() else { return };
    let run = |flags: &[&str], script: &str| {
        place.ireko(&[&["run", "--rm"], flags, &["base", "sh", "-c", script]].concat())
    };
    let said = run(&["-m", "32m"], &format!("exec {GREEDY}"));
    assert_eq!(said.code, 137);
    assert!(said.stderr.contains("more than --memory"), "{}", said.stderr);
    let said = run(&["--cpuset-cpus=0", "--cpus=0.5"], "grep Cpus_allowed_list /proc/self/status").ok();
    assert_eq!(said.stdout, "Cpus_allowed_list:\t0\n");
    let forks = "for n in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait";
    assert_ne!(run(&["--pids-limit", "4"], forks).code, 0);
    run(&["--pids-limit", "64"], forks).ok();
}

#[test]
fn impossible_limits_are_refused_before_anything_runs() {
    let Some(place) = limiting() else { return };
    let dockerfile = "FROM base\nRUN echo never\n";
    let said = build(&place, &["--cpuset-cpus", "4000"], dockerfile)
        .fails(3, &["`--cpuset-cpus` cannot be held", "`4000`", "(there are 0"]);
    assert!(!said.stderr.contains("never"), "{}", said.stderr);
    build(&place, &["--cgroup-parent", "/no/such/group", "-m", "1g"], dockerfile)
        .fails(3, &["`--cgroup-parent /no/such/group` is no control group", "hint: make it first"]);
    build(&place, &["-m", "lots"], dockerfile).fails(2, &["`--memory lots` is no size"]);
}

#[test]
fn an_ordinary_user_is_told_how_to_limit() {
    let Some(place) = Place::ordinary_with_base() else { return };
    let dockerfile = "FROM base\nRUN echo reached; exit 9\n";
    let said = build(&place, &["-m", "64m"], dockerfile);
    // Where a group was given to the user, it holds; elsewhere it is refused before the step.
    if said.code != 1 {
        let said =
            said.fails(3, &["`--memory` cannot be held", "systemd-run --user --scope -p Delegate=yes"]);
        assert!(!said.stderr.contains("reached"), "{}", said.stderr);
        place.ireko(&["run", "--rm", "-m", "64m", "base", "true"]).fails(125, &["`--memory` cannot be held"]);
    }
}

#[test]
fn groups_can_be_put_below_another() {
    let Some(place) = limiting() else { return };
    let Some(own) = own_memory_group() else { return };
    let parent = own.join(format!("it-parent-{}", std::process::id()));
    fs::create_dir(&parent).expect("a group");
    let name = parent.file_name().expect("a name").to_str().expect("text").to_owned();
    place.dockerfile("FROM base\nRUN sleep 0.5\n");
    let args = ["build", "--no-cache", "--cgroup-parent", &name, "-m", "64m", "-t", "app", "context"];
    let mut child =
        place.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let inside = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&parent).expect("a group").flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let mut limits = Vec::new();
    let code = loop {
        let read = |group: &PathBuf| fs::read_to_string(group.join("memory.limit_in_bytes")).ok();
        limits.extend(inside().iter().filter_map(read));
        if let Some(end) = child.try_wait().expect("an answer") {
            break end.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let left = inside();
    fs::remove_dir(&parent).expect("it is empty");
    assert_eq!(code, Some(0));
    assert!(limits.contains(&"67108864\n".to_owned()), "{limits:?}");
    assert!(left.is_empty(), "{left:?}");
}

/// This process's own group in the hierarchy of the memory controller, where that is of version 1.
fn own_memory_group() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").expect("a list");
    let own = text.lines().find_map(|line| line.split_once(":memory:"))?.1;
    Some(Path::new("/sys/fs/cgroup/memory").join(own.trim_start_matches('/')))
}

#[test]
fn nothing_is_left_after_a_kill() {
    let Some(place) = limiting() else { return };
    place.dockerfile("FROM base\nRUN echo started; sleep 1000\n");
    let args =
        ["build", "--progress=plain", "--no-cache", "-m", "64m", "--cpuset-cpus=0", "-t", "app", "context"];
    let mut child =
        place.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let deadline = Instant::now() + Duration::from_secs(30);
    let members =
        |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines().count();
    let mut left = Vec::new();
    while left.is_empty() || left.iter().any(|group| members(group) == 0) {
        assert!(Instant::now() < deadline, "it does not start: {left:?}");
        std::thread::sleep(Duration::from_millis(5));
        left = groups_of(child.id());
    }
    child.kill().expect("a kill");
    child.wait().expect("an end");
    while left.iter().any(|group| members(group) > 0) {
        assert!(Instant::now() < deadline, "the step goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Also by a build that limits nothing.
    place.built("FROM base\nRUN true\n");
    assert_eq!(groups_of(child.id()), Vec::<PathBuf>::new());
}

#[test]
fn doctor_says_which_limits_hold() {
    for place in [Place::with_base(), Place::ordinary_with_base()].into_iter().flatten() {
        let doctor = place.ireko(&["doctor"]).ok().stdout;
        let line = doctor.lines().find(|line| line.contains("limits of steps and containers"));
        let line = line.expect("doctor speaks of limits");
        let ran = place.ireko(&["run", "--rm", "--memory", "64m", "base", "true"]);
        let says = line.starts_with("ok ") || line.contains(": memory");
        assert_eq!(ran.code == 0, says, "{line}\n{}", ran.stderr);
        if !says {
            assert!(line.contains("`--memory` cannot be held"), "{line}");
            assert!(doctor.contains("fix: none is needed without such flags"), "{doctor}");
        }
    }
}
