//! Builds that are killed or interrupted at any moment: the store stays sound, the next build is right.

use crate::support::Place;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const DOCKERFILE: &str = "FROM base AS one\nCOPY . /in/\nRUN cat /in/d/* | sha256sum >/sum\nRUN seq 20000 >/seq; mkdir /dir; ln -s seq /dir/link; rm /in/a\n\
    FROM base AS two\nARG N\nRUN --mount=type=cache,target=/m --mount=type=bind,target=/c echo $N >>/m/n; cp -r /c/d /d\nWORKDIR /w\n\
    FROM base\nCOPY --from=one /sum /seq /out/\nCOPY --from=two /d /d/\nRUN cat /out/seq >/last; rm -r /d/1\n";

fn context(place: &Place) {
    place.dockerfile(DOCKERFILE);
    place.file("a", "a");
    for at in 0..50 {
        place.file(&format!("d/{at}"), &"text\n".repeat(at + 1));
    }
}

/// A build that may not finish; `n` keeps one of its steps from being a hit.
fn start(place: &Place, n: u32) -> Child {
    let tag = format!("app{}", n % 3);
    let arg = format!("N={n}");
    let out = format!("type=oci,dest=out{}.tar", n % 3);
    let mut args = vec!["build", "-q", "-t", &tag, "--build-arg", &arg, "context"];
    if n.is_multiple_of(4) {
        args.extend(["-o", &out]);
    }
    if n.is_multiple_of(3) {
        args.push("--no-cache");
    }
    place.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process")
}

/// Repeatable moments that are spread evenly.
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// How long a whole build takes here, in microseconds.
fn length(place: &Place) -> u64 {
    let begin = Instant::now();
    assert!(start(place, 3).wait().expect("an end").success());
    u64::try_from(begin.elapsed().as_micros()).expect("a short build")
}

/// What a clean store gives.
fn expected(place: &Place) -> Vec<String> {
    place.build(&["--build-arg", "N=0", "--no-cache"]).ok();
    place.contents("app")
}

#[track_caller]
fn aftermath(place: &Place, expected: &[String]) {
    place.sound();
    place.nothing_mounted();
    place.build(&["--build-arg", "N=0"]).ok();
    assert_eq!(place.contents("app"), expected);
    assert_eq!(place.inside("wc -l </last"), "20000\n");
    place.sound();
    place.ireko(&["cache", "prune", "-f", "--unused-for", "0s"]).ok();
    for dir in ["tmp", "trash", "leases"] {
        let left: Vec<_> = fs::read_dir(place.store().join(dir)).expect("a directory").flatten().collect();
        assert!(left.is_empty(), "left in {dir}: {left:?}");
    }
    assert_eq!(alive(place), Vec::<String>::new());
}

/// Processes that have something to do with the place, once those that are dying had time to: a child whose parent was
/// killed is told so by the kernel a moment later.
pub(crate) fn alive(place: &Place) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let found = seen(place);
        if found.is_empty() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn seen(place: &Place) -> Vec<String> {
    let dir = place.path("").display().to_string();
    let dir = dir.trim_end_matches('/');
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("processes").flatten() {
        let mounts = fs::read_to_string(process.path().join("mounts")).unwrap_or_default();
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if mounts.contains(dir) || String::from_utf8_lossy(&environment).contains(dir) {
            found.push(fs::read_to_string(process.path().join("cmdline")).unwrap_or_default());
        }
    }
    found
}

#[test]
fn killed_builds_leave_a_sound_store() {
    let Some(place) = Place::with_base() else { return };
    context(&place);
    let expected = expected(&place);
    let length = length(&place);
    let mut moments = Moments(4);
    // How many are caught at work depends on how busy the machine is: it goes on until there are enough.
    let (mut killed, mut round) = (0, 0);
    while killed < 50 {
        assert!(round < 80, "only {killed} builds were still running when they were killed");
        let mut builds: Vec<Child> = (0..3).map(|at| start(&place, round * 3 + at)).collect();
        let begin = Instant::now();
        let mut ends: Vec<u64> = builds.iter().map(|_| moments.next(length)).collect();
        ends.sort_unstable();
        for (build, end) in builds.iter_mut().zip(ends) {
            std::thread::sleep(Duration::from_micros(end).saturating_sub(begin.elapsed()));
            killed += usize::from(build.try_wait().expect("a state").is_none());
            build.kill().expect("a signal");
        }
        for mut build in builds {
            build.wait().expect("an end");
        }
        round += 1;
    }
    aftermath(&place, &expected);
}

/// The same with prunes, pulls and loads among them, and all looked at after each round. `ireko-bench-crowd` does ten
/// thousand rounds.
#[test]
fn a_crowd_that_is_killed_leaves_a_sound_store() {
    let Some(place) = Place::new() else { return };
    let dir = place.path("crowd");
    fs::create_dir(&dir).expect("a directory");
    let crowd =
        ireko_testkit::Crowd::new(env!("CARGO_BIN_EXE_ireko").as_ref(), &dir, 7).expect("a clean store");
    let Some(mut crowd) = crowd else {
        eprintln!("skipped because there is no static busybox (Debian: busybox-static)");
        return;
    };
    let begin = Instant::now();
    while crowd.tally.rounds < 200 && begin.elapsed() < Duration::from_secs(40) {
        if let Err(problem) = crowd.round() {
            panic!("{:?}: {problem}", crowd.tally);
        }
    }
    let tally = crowd.tally;
    crowd.remove().expect("an empty store");
    assert!(tally.killed > tally.rounds, "{tally:?}");
}

#[test]
fn interrupted_builds_end_with_130_and_leave_nothing() {
    let Some(place) = Place::with_base() else { return };
    context(&place);
    let expected = expected(&place);
    let length = length(&place);
    let mut moments = Moments(5);
    // As above: how many are caught at work depends on the machine.
    let (mut interrupted, mut round) = (0, 0);
    while interrupted < 8 || round < 24 {
        assert!(round < 120, "only {interrupted} builds were interrupted");
        let mut build = start(&place, round);
        std::thread::sleep(Duration::from_micros(moments.next(length)));
        let signal =
            if round % 2 == 0 { rustix::process::Signal::TERM } else { rustix::process::Signal::INT };
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&build), signal);
        let status = build.wait().expect("an end");
        // Before the first instruction of the program there is no handler yet.
        match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
            (Some(130), _) => interrupted += 1,
            (Some(0), _) | (None, Some(_)) => {}
            other => panic!("round {round}: ended with {other:?}"),
        }
        assert_eq!(alive(&place), Vec::<String>::new(), "round {round}");
        place.nothing_mounted();
        round += 1;
    }
    aftermath(&place, &expected);
}

#[test]
fn a_long_step_ends_at_once() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN trap '' TERM INT; echo started; (sleep 1000 &); sleep 1000\n");
    let mut build = place
        .command(&["build", "--progress=plain", "-t", "app", "context"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(build.stderr.take().expect("a pipe")));
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("| ") && line.contains("started")));
    let begin = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&build), rustix::process::Signal::TERM)
        .expect("a signal");
    drop(lines);
    assert_eq!(build.wait().expect("an end").code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(10), "it took {:?}", begin.elapsed());
    assert_eq!(alive(&place), Vec::<String>::new());
    place.nothing_mounted();
    place.sound();
}

#[test]
fn a_closed_terminal_ends_a_build_but_for_nohup() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN echo started; sleep 1\n");
    for (starter, code) in [("env", 130), ("nohup", 0)] {
        let build = ["build", "--progress=plain", "--no-cache", "-t", "app", "context"];
        let mut command = place.command_by(&[starter], &build);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut build = command.spawn().expect("a process");
        let lines = std::io::BufRead::lines(std::io::BufReader::new(build.stderr.take().expect("a pipe")));
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.contains("| ") && line.contains("started")), "{starter}");
        rustix::process::kill_process(rustix::process::Pid::from_child(&build), rustix::process::Signal::HUP)
            .expect("a signal");
        let rest: Vec<String> = lines.collect();
        assert_eq!(build.wait().expect("an end").code(), Some(code), "{starter}: {rest:#?}");
    }
}

#[test]
fn hashing_a_large_file_ends_at_once() {
    let Some(place) = Place::with_base() else { return };
    fs::File::create(place.file("big", "")).expect("a file").set_len(1 << 40).expect("a length");
    place.dockerfile("FROM base\nCOPY big /big\n");
    let mut build =
        place.command(&["build", "-q", "context"]).stderr(Stdio::null()).spawn().expect("a process");
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&build), rustix::process::Signal::TERM)
        .expect("a signal");
    assert_eq!(build.wait().expect("an end").code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(10), "it took {:?}", begin.elapsed());
    place.nothing_mounted();
    place.sound();
}

/// Ctrl-C once, while the build waits or works: it must end soon with the usual words, and leave nothing behind.
#[track_caller]
fn ends_at_once(place: &Place, mut build: Child) {
    std::thread::sleep(Duration::from_millis(700));
    assert!(build.try_wait().expect("a state").is_none(), "it did not wait to be interrupted");
    let begin = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&build), rustix::process::Signal::INT)
        .expect("a signal");
    // Standard input stays open until the build has ended.
    let stdin = build.stdin.take();
    let said = crate::support::Said::of(build.wait_with_output().expect("an end"));
    let took = begin.elapsed();
    drop(stdin);
    said.fails(130, &["error: interrupted"]);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let left: Vec<_> = fs::read_dir(place.store().join("tmp")).expect("a directory").flatten().collect();
    assert!(left.is_empty(), "left in tmp: {left:?}");
    place.sound();
}

#[test]
fn waiting_for_input_ends_at_once() {
    let Some(place) = Place::new() else { return };
    place.dockerfile("FROM scratch\n");
    let fifo = place.path("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    for args in [&["-"][..], &["-f", "-", "context"], &["-f", "fifo", "context"]] {
        let mut command = place.command(&["build", "-q"]);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ends_at_once(&place, command.spawn().expect("a process"));
    }
}

#[test]
fn unpacking_a_context_ends_at_once() {
    let Some(place) = Place::new() else { return };
    // A hole of a tebibyte: little to read, and more to write than there is time.
    fs::File::create(place.file("big", "")).expect("a file").set_len(1 << 40).expect("a length");
    place.dockerfile("FROM scratch\nCOPY big /big\n");
    for flag in ["-cSf", "-czSf"] {
        let mut tar = std::process::Command::new("tar");
        tar.arg(flag).arg(place.path("packed")).arg("-C").arg(place.context()).arg(".");
        assert!(tar.status().expect("tar").success());
        let mut command = place.command(&["build", "-q", "-"]);
        command.stdin(fs::File::open(place.path("packed")).expect("a file"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        ends_at_once(&place, command.spawn().expect("a process"));
    }
}

/// Waits until something is so; false if it is not within the time.
fn soon(within: Duration, mut so: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !so() {
        if begin.elapsed() > within {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn git_ends_with_a_killed_build() {
    let Some(place) = Place::new() else { return };
    if !crate::support::have(&["git"]) {
        return;
    }
    let url = format!("http://127.0.0.1:{}/app.git", ireko_testkit::silent_port());
    place.dockerfile(&format!("FROM scratch\nADD {url} /app\n"));
    let mut build =
        place.command(&["build", "-q", "context"]).stderr(Stdio::null()).spawn().expect("a process");
    // `git` and the helper it started, which waits for the server.
    let asking = || {
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let asks = |dir: fs::DirEntry| fs::read(dir.path().join("cmdline")).unwrap_or_default();
        processes.map(asks).filter(|words| String::from_utf8_lossy(words).contains(&url)).count()
    };
    let ready = soon(Duration::from_secs(20), || asking() >= 2);
    build.kill().expect("a signal");
    build.wait().expect("an end");
    assert!(ready, "git does not ask");
    assert!(soon(Duration::from_secs(2), || asking() == 0), "git still asks");
    assert_eq!(alive(&place), Vec::<String>::new());
}

#[test]
fn an_agent_ends_with_a_killed_build() {
    let Some(place) = Place::with_base() else { return };
    if !crate::support::have(&["ssh-agent", "ssh-keygen"]) {
        return;
    }
    let key = place.path("key");
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-f"];
    let made = std::process::Command::new("ssh-keygen").args(arguments).arg(&key).status();
    assert!(made.expect("ssh-keygen runs").success());
    place.dockerfile("FROM base\nRUN sleep 1000\n");
    let ssh = format!("default={}", key.display());
    let mut command = place.command(&["build", "-q", "--ssh", &ssh, "context"]);
    let mut build = command.stderr(Stdio::null()).spawn().expect("a process");
    let listens = || {
        // The directory of a build, and in it those of its parts.
        let parts = |dir: &PathBuf| {
            let found = fs::read_dir(dir).into_iter().flatten().flatten();
            found.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let mut dirs = parts(&place.store().join("tmp")).into_iter().flat_map(|dir| parts(&dir));
        let connects = |dir: PathBuf| UnixStream::connect(dir.join("agent-0/socket")).is_ok();
        dirs.any(connects)
    };
    let ready = soon(Duration::from_secs(20), &listens);
    build.kill().expect("a signal");
    build.wait().expect("an end");
    assert!(ready, "no agent listens");
    assert!(soon(Duration::from_secs(2), || !listens()), "the agent still listens");
    assert_eq!(alive(&place), Vec::<String>::new());
}
