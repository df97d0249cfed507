//! Control groups: each command has one of its own where one can be made, and nothing is left of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ireko_sys::cgroup::{self, Group, Home, Limiter, Limits, Refusal};
use ireko_sys::sandbox::{Exit, Facts, Running, Sandbox, Security, Stdio, Stream, spawn, spawn_with};
use ireko_sys::userns::Level;

use crate::Case;
use crate::world::{World, drain, user_with_subordinate_ids};

pub(crate) const CASES: &[Case] = &[
    ("a_group_for_each_command", a_group_for_each_command),
    ("a_group_below_one_that_was_given", a_group_below_one_that_was_given),
    ("one_hierarchy_is_narrowed", one_hierarchy_is_narrowed),
    ("groups_inside_go_too", groups_inside_go_too),
    ("no_group_is_no_error", no_group_is_no_error),
    ("groups_of_the_dead_are_swept", groups_of_the_dead_are_swept),
    ("a_strict_mask_hides_nothing", a_strict_mask_hides_nothing),
    ("limits_are_held", limits_are_held),
    ("too_much_memory_is_known", too_much_memory_is_known),
    ("impossible_limits_are_refused", impossible_limits_are_refused),
];

/// Parts of other cases, run in processes of their own.
pub(crate) const PARTS: &[Case] = &[("has_a_group", has_a_group)];

/// Whether groups can be made here; prints one line if not.
fn can_be_made(world: &World) -> bool {
    let problem = cgroup::detect().problem;
    // Ordinary users need a group that was given to them: see `a_group_below_one_that_was_given`.
    if let Some(problem) = problem.as_ref().filter(|_| world.level == Level::Root) {
        println!("skipped because {problem}");
    }
    problem.is_none()
}

/// A script that goes on until it is given a line.
fn waiting(world: &World, script: &str) -> Sandbox {
    let mut sandbox = world.script("group", &format!("{script}; echo ready; read line"));
    sandbox.stdio = Stdio::Streams { stdin: Stream::Pipe, stdout: Stream::Pipe, stderr: Stream::Inherit };
    sandbox
}

/// Its lines until it waits.
fn said(running: &mut Running) -> Vec<String> {
    let lines = BufReader::new(running.stdout.as_mut().expect("a pipe")).lines();
    lines.map(|line| line.expect("a line")).take_while(|line| line != "ready").collect()
}

fn go_on(running: &mut Running) {
    running.stdin.take().expect("a pipe").write_all(b"\n").expect("writing");
    assert!(running.wait().expect("an end").success());
}

/// The group of version 2 that a process is in, as this process sees it.
fn group_of(process: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("a list of groups");
    text.lines().find_map(|line| line.strip_prefix("0::")).expect("a group").to_owned()
}

fn a_group_for_each_command(world: &World) {
    let made = cgroup::detect().problem.is_none();
    let mut running = spawn(&waiting(world, "grep ^0:: /proc/self/cgroup")).expect("a start");
    assert_eq!(said(&mut running), ["0::/"], "its own group, or this process's, is the root of all it sees");
    let group = running.group().map(Path::to_owned);
    assert_eq!(group.is_some(), made);
    let pid = running.pid().to_string();
    match &group {
        None => assert_eq!(group_of(&pid), group_of("self")),
        Some(group) => {
            let name = group.file_name().expect("a name").to_str().expect("text");
            assert_eq!(group_of(&pid), format!("{}/{name}", group_of("self").trim_end_matches('/')));
            assert_eq!(fs::read_to_string(group.join("cgroup.procs")).expect("a list"), format!("{pid}\n"));
            let mut other = spawn(&waiting(world, "true")).expect("a start");
            assert_ne!(other.group(), Some(group.as_path()));
            go_on(&mut other);
        }
    }
    go_on(&mut running);
    assert_eq!(running.group(), None);
    assert!(group.is_none_or(|group| !group.exists()), "it is gone with the command");
}

/// As systemd does for ordinary users: a group is made theirs, and they make further ones in it.
fn a_group_below_one_that_was_given(world: &World) {
    if world.level != Level::Root {
        return; // the case at level root plays both parts
    }
    let Some((uid, gid)) = user_with_subordinate_ids() else {
        println!("skipped because no user has subordinate ids");
        return;
    };
    if !can_be_made(world) {
        return;
    }
    let given = Home::find().expect("a place for groups").make().expect("a group");
    chown(given.path(), Some(uid), Some(gid)).expect("an owner");
    for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        chown(given.path().join(file), Some(uid), Some(gid)).expect("an owner");
    }
    // A group is inherited, so the shell joins it first.
    let script = "echo $$ >$0/cgroup.procs; exec setpriv --reuid=$1 --regid=$2 --clear-groups $3 --inside rootless has_a_group";
    let mut inner = Command::new("sh");
    inner.args(["-c", script]).arg(given.path()).args([uid.to_string(), gid.to_string()]);
    inner.arg(std::env::current_exe().expect("a program has a path"));
    assert!(inner.status().expect("a shell").success());
    let inside: Vec<_> = fs::read_dir(given.path())
        .expect("a group")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .collect();
    assert!(inside.is_empty(), "{inside:?}");
}

fn has_a_group(world: &World) {
    assert_eq!(cgroup::detect().problem, None);
    for (name, case) in CASES {
        println!("{name} at level {}", world.level);
        case(world);
    }
}

/// A machine whose /sys/fs/cgroup is of version 2, in this process's own mounts.
fn one_hierarchy() -> Option<(ireko_sys::mount::Mounted, Facts)> {
    let home = Home::find().ok()?;
    let own = group_of("self");
    let whole: PathBuf = home.dir().ancestors().nth(Path::new(&own).components().count() - 1)?.to_owned();
    let mounted = ireko_sys::mount::bind(&whole, Path::new("/sys/fs/cgroup"), false).ok()?;
    let facts = Facts::of_this_machine();
    assert!(facts.cgroup2);
    Some((mounted, facts))
}

fn one_hierarchy_is_narrowed(world: &World) {
    if !can_be_made(world) {
        return;
    }
    let (_mounted, facts) = one_hierarchy().expect("a mount");
    let script = "grep ' /sys/fs/cgroup ' /proc/mounts | tail -n 1; cat /sys/fs/cgroup/cgroup.procs; \
        find /sys/fs/cgroup -type d; mkdir /sys/fs/cgroup/x 2>&1; grep ^0:: /proc/self/cgroup";
    let mut running = spawn_with(&waiting(world, script), &facts).expect("a start");
    let said = said(&mut running);
    let [mount, shell, _cat, directory, refusal, own] = &said[..] else { panic!("{said:?}") };
    assert!(mount.ends_with(" /sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec,relatime 0 0"), "{mount}");
    assert_eq!([shell, directory, own], ["1", "/sys/fs/cgroup", "0::/"]);
    assert!(refusal.contains("Read-only"), "{refusal}");
    go_on(&mut running);
}

/// A command without confinement may make groups in its own, and leave them.
fn groups_inside_go_too(world: &World) {
    if !can_be_made(world) {
        return;
    }
    let (_mounted, facts) = one_hierarchy().expect("a mount");
    let script =
        "mkdir -p /sys/fs/cgroup/a/b /sys/fs/cgroup/c; sleep 600 & echo $! >/sys/fs/cgroup/a/b/cgroup.procs";
    let mut sandbox = waiting(world, script);
    sandbox.security = Security::Insecure;
    let mut running = spawn_with(&sandbox, &facts).expect("a start");
    assert_eq!(said(&mut running), Vec::<String>::new());
    let group = running.group().expect("a group").to_owned();
    let members = fs::read_to_string(group.join("a/b/cgroup.procs")).expect("a list");
    assert_eq!(members.lines().count(), 1);
    go_on(&mut running);
    assert!(!group.exists());
}

fn no_group_is_no_error(world: &World) {
    let facts = Facts { groups: None, ..Facts::of_this_machine() };
    let mut running =
        spawn_with(&world.script("none", "grep ^0:: /proc/self/cgroup"), &facts).expect("a start");
    assert_eq!(running.group(), None);
    assert_eq!(group_of(&running.pid().to_string()), group_of("self"));
    let outcome = drain(&mut running);
    assert_eq!(outcome.output, "0::/\n");
}

fn groups_of_the_dead_are_swept(world: &World) {
    if !can_be_made(world) {
        return;
    }
    let home = Home::find().expect("a place for groups");
    let dead = home.dir().join(format!("ireko-1-{}-0", u64::MAX));
    let others = home.dir().join("ireko-of-another-kind");
    fs::create_dir(&dead).expect("a group");
    fs::create_dir(&others).expect("a group");
    let alive: Group = home.make().expect("a group");
    home.sweep();
    let found = [dead.exists(), others.exists(), alive.path().exists()];
    fs::remove_dir(&others).expect("a group");
    assert_eq!(found, [false, true, true]);
}

fn a_strict_mask_hides_nothing(world: &World) {
    if !can_be_made(world) {
        return;
    }
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let group = Home::find().expect("a place for groups").make().expect("a group");
    rustix::process::umask(mask);
    let mode = fs::metadata(group.path()).expect("a directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

/// A place that holds these limits; prints one line if there is none.
fn held(world: &World, limits: Limits) -> Option<Arc<Limiter>> {
    match Limiter::prepare(limits) {
        Ok(limiter) => Some(Arc::new(limiter)),
        Err(refusal) => {
            // Ordinary users need a group that was given to them.
            if world.level == Level::Root {
                println!("skipped because {refusal}");
            }
            assert!(refusal.hint().is_some(), "{refusal}");
            None
        }
    }
}

/// Where a process is in the hierarchy of a controller, as this machine mounts them.
fn directory_of(process: &str, controller: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("a list of groups");
    let line = text.lines().find(|line| line.split(':').nth(1) == Some(controller));
    match line {
        Some(line) => {
            Path::new("/sys/fs/cgroup").join(controller).join(&line.rsplit(':').next().expect("a path")[1..])
        }
        None => Path::new("/sys/fs/cgroup").join(&group_of(process)[1..]),
    }
}

fn limits_are_held(world: &World) {
    let limits = Limits {
        memory: Some(64 << 20),
        cpu_shares: Some(2048),
        cpuset_cpus: Some("0".to_owned()),
        processes: Some(20),
        ..Limits::default()
    };
    let Some(limiter) = held(world, limits) else { return };
    let mut sandbox = waiting(world, "grep Cpus_allowed_list /proc/self/status");
    sandbox.limits = Some(limiter);
    let mut running = spawn(&sandbox).expect("a start");
    assert_eq!(said(&mut running), ["Cpus_allowed_list:\t0"]);
    let pid = running.pid().to_string();
    let files = [
        ("memory", ["memory.limit_in_bytes", "memory.max"], "67108864"),
        ("pids", ["pids.max", "pids.max"], "20"),
        ("cpuset", ["cpuset.cpus", "cpuset.cpus"], "0"),
    ];
    let mut dirs = Vec::new();
    for (controller, names, value) in files {
        let dir = directory_of(&pid, controller);
        assert_ne!(dir, directory_of("self", controller));
        let text = names.iter().find_map(|name| fs::read_to_string(dir.join(name)).ok());
        assert_eq!(text.as_deref().map(str::trim), Some(value), "{}", dir.display());
        dirs.push(dir);
    }
    go_on(&mut running);
    assert!(!running.out_of_memory());
    assert!(dirs.iter().all(|dir| !dir.exists()), "{dirs:?}");
}

fn too_much_memory_is_known(world: &World) {
    let Some(limiter) = held(world, Limits { memory: Some(16 << 20), ..Limits::default() }) else { return };
    let mut sandbox = world.script("greedy", "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    sandbox.limits = Some(limiter);
    let mut running = spawn(&sandbox).expect("a start");
    assert_eq!(running.wait().expect("an end"), Exit::Signal(9));
    assert!(running.out_of_memory());
}

fn impossible_limits_are_refused(world: &World) {
    let limits = Limits { cpuset_cpus: Some("4000".to_owned()), ..Limits::default() };
    let refusal = Limiter::prepare(limits).expect_err("no machine has them");
    if world.level == Level::Root && !matches!(refusal, Refusal::NoController { .. }) {
        assert!(refusal.to_string().contains("`4000`"), "{refusal}");
    }
    let limits = Limits { parent: Some("/no/such/group".to_owned()), ..Limits::default() };
    let refusal = Limiter::prepare(limits).expect_err("it is not there");
    assert!(refusal.to_string().starts_with("`--cgroup-parent /no/such/group`"), "{refusal}");
}
