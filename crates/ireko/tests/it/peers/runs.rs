//! A container in the Docker engine and here: the same image, the same words, and the same seen from inside and
//! outside.

use super::build_odd;
use super::tree::{ALL, Tree, assert_same, tree};
use crate::daemons::Engine;
use crate::support::{Place, Said};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Both are told the same; without a network of the host's, so that both have their own host name and files.
const SHARED: [&str; 3] = ["run", "--network=none", "--hostname=box"];

/// An engine and a store that have the odd image as `app`.
struct Both {
    place: Place,
    engine: Engine,
}

impl Both {
    fn new() -> Option<Self> {
        let engine = Engine::start()?;
        let place = Place::with_base()?;
        build_odd(
            &place,
            &["-o", "type=docker,dest=docker.tar", "-o", "type=docker,compression=gzip,dest=gzip.tar"],
        );
        for archive in ["gzip.tar", "docker.tar"] {
            let said = engine.docker(&["load", "-i", &place.path(archive).display().to_string()]).ok();
            assert!(said.stdout.contains("Loaded image: app:latest"), "{}", said.stdout);
            let id = engine.docker(&["inspect", "-f", "{{.Id}}", "app"]).ok().stdout;
            assert_eq!(id.trim(), place.id("app"), "{archive}");
        }
        Some(Self { place, engine })
    }

    /// The two commands, Docker's first. Docker keeps a container until it is told not to.
    fn commands(&self, words: &[&str]) -> [Command; 2] {
        let mut all = SHARED.to_vec();
        all.extend(["--rm"]);
        all.extend(words);
        [self.engine.command(&all), self.place.command(&all)]
    }

    /// What both say and how they end.
    fn say(&self, words: &[&str], input: Option<&[u8]>) -> [Said; 2] {
        self.commands(words).map(|mut command| {
            command.env("FROM_OUTSIDE", "passed").env_remove("NOWHERE_SET");
            let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
            let mut child = command
                .stdin(stdin)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("a process");
            if let Some(input) = input {
                child.stdin.take().expect("a pipe").write_all(input).expect("a reader");
            }
            Said::of(child.wait_with_output().expect("an end"))
        })
    }

    /// Both must say the same on both streams, and end the same.
    #[track_caller]
    fn same(&self, words: &[&str]) -> Said {
        self.same_fed(words, None)
    }

    #[track_caller]
    fn same_fed(&self, words: &[&str], input: Option<&[u8]>) -> Said {
        let [docker, ours] = self.say(words, input);
        assert_eq!(
            (docker.code, docker.stdout.as_str(), docker.stderr.as_str()),
            (ours.code, ours.stdout.as_str(), ours.stderr.as_str()),
            "docker, then ireko: {words:?}"
        );
        ours
    }

    /// The same for a script that root runs in the shell of the image.
    #[track_caller]
    fn same_script(&self, flags: &[&str], script: &str) {
        self.same(&[flags, &["--user", "0", "--entrypoint", "sh", "app", "-c", script]].concat());
    }

    /// Both must refuse with this code, each in its own words.
    #[track_caller]
    fn refuse(&self, code: i32, words: &[&str]) {
        let [docker, ours] = self.say(words, None);
        assert_eq!((docker.code, ours.code), (code, code), "{words:?}\n{}\n{}", docker.stderr, ours.stderr);
        assert!(!ours.stderr.is_empty() && ours.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn a_container_does_the_same_as_in_docker() {
    let Some(both) = Both::new() else { return };
    config_and_flags(&both);
    nothing_said(&both);
    users(&both);
    volumes(&both);
    ends(&both);
    streams(&both);
    terminals(&both);
    signals(&both);
    files(&both);
    both.place.nothing_mounted();
}

fn config_and_flags(both: &Both) {
    let said = both.same(&["app"]);
    assert!(
        said.stdout.starts_with("3 arguments\n[first]\n[second]\n[third word]\n/work/deep\nuid=1000(app)")
    );
    both.same(&["app", "", "other words", "--flag", "-e"]);
    both.same(&["--entrypoint", "/bin/echo", "app"]);
    both.same(&["--entrypoint", "sh", "app", "-c", "echo $0 $1 $ONE; exit 3", "x", "y"]);
    both.same(&["--entrypoint", "", "app", "probe", "only this"]);
    both.same(&["-w", "/tmp", "app"]);
    both.same(&[
        "-w",
        "/made/on/the/way",
        "--entrypoint",
        "sh",
        "app",
        "-c",
        "pwd; stat -c '%n %a %u:%g' . .. /made",
    ]);
    let list = both.place.file("list", "# a comment\nLISTED=1\nFROM_OUTSIDE\nNOWHERE_SET\nSPACED=  kept  \n");
    let list = list.display().to_string();
    let variables =
        ["-e", "ONE=other", "-e", "NEW=a=b", "-e", "EMPTY", "-e", "FROM_OUTSIDE", "-e", "NOWHERE_SET"];
    both.same(&[&variables[..], &["app"]].concat());
    both.same(&["--env-file", &list, "-e", "LISTED=2", "app"]);
    both.same(&[
        "-e",
        "HOME=/elsewhere",
        "-e",
        "PATH=/bin",
        "-e",
        "HOSTNAME=other",
        "--entrypoint",
        "env",
        "app",
    ]);
    both.same(&["-e", "HOME=", "--entrypoint", "sh", "app", "-c", "echo $HOME"]);
    both.same(&["--entrypoint", "cat", "app", "/etc/hostname", "/proc/sys/kernel/hostname"]);
}

/// What Docker takes for nothing said, and what it refuses.
fn nothing_said(both: &Both) {
    both.same(&["--user", "", "-w", "", "app"]);
    for variable in ["=x", ""] {
        both.refuse(125, &["-e", variable, "app"]);
    }
    both.refuse(125, &["-w", "relative", "app"]);
    both.refuse(125, &["-v", "/tmp:/", "app"]);
    both.refuse(125, &["--user", "-1", "app"]);
    both.refuse(127, &["--entrypoint", "", "app", ""]);
}

fn users(both: &Both) {
    for user in
        ["root", "0", "1000", "1000:1000", "app", "app:extra", "4242", "4242:4343", "0:1001", "1000:0"]
    {
        both.same(&["--user", user, "app"]);
    }
    both.same(&[
        "--user",
        "4242",
        "--entrypoint",
        "sh",
        "app",
        "-c",
        "echo x >/work/deep/f; echo $?; touch /tmp/f; stat -c %u:%g /tmp/f",
    ]);
    for user in ["nobody-here", "app:no-such-group"] {
        let [docker, ours] = both.say(&["--user", user, "app"], None);
        assert_eq!(
            (docker.code, ours.code),
            (docker.code, docker.code),
            "{user}: {} {}",
            docker.stderr,
            ours.stderr
        );
        assert_ne!(ours.code, 0);
    }
}

fn volumes(both: &Both) {
    both.place.file("shared/in", "from outside\n");
    let shared = both.place.path("context/shared").display().to_string();
    let script = "cat /in/in; echo back >/in/back; echo $?; rm -f /in/back; stat -c '%a %u:%g' /in";
    for options in ["", ":ro", ":rw"] {
        both.same_script(&["-v", &format!("{shared}:/in{options}")], script);
    }
    both.same_script(&["-v", &format!("{shared}:/data:ro")], "cat /data/in; echo x >/data/x; echo $?");
    both.same_script(&["-v", &format!("{shared}/in:/etc/passwd")], "cat /etc/passwd");
    let script = "stat -c '%n %a %u:%g' /data /tree/volume /of/its/own; ls /tree/volume; \
        for d in / /data /tree/volume /of/its/own /tmp /dev /dev/shm; do echo x 2>/dev/null >$d/x; echo $?; done; \
        for f in /etc/hosts /etc/hostname /etc/resolv.conf; do echo x 2>/dev/null >>$f; echo $?; done";
    both.same_script(&["-v", "/of/its/own"], script);
    both.same_script(&["-v", "/of/its/own", "--read-only"], script);
    both.place.file("etc/mine", "mine\n");
    let etc = format!("{}:/etc", both.place.path("context/etc").display());
    let script = "ls /etc; for f in hosts hostname resolv.conf; do test -s /etc/$f; echo $?; done";
    // The first has made the files that the read-only one needs.
    for mount in [["-v", &etc], ["-v", &format!("{etc}:ro")], ["--tmpfs", "/etc"]] {
        both.same_script(&mount, script);
    }
}

fn ends(both: &Both) {
    for script in ["exit 0", "exit 1", "exit 255", "sh -c 'kill -9 $$'", "sh -c 'kill -TERM $$'"] {
        // The shell stays, as the first process: whom it started is killed.
        let script = format!("{script}; exit $?");
        both.same(&["--entrypoint", "sh", "app", "-c", &script]);
    }
    for (code, program) in
        [(127, "/nowhere"), (127, "nowhere"), (126, "/etc/passwd"), (126, "/tmp"), (126, "/tree/lower")]
    {
        both.refuse(code, &["--entrypoint", program, "app"]);
    }
    both.refuse(127, &["--entrypoint", "", "app", "nowhere", "with", "words"]);
    both.refuse(125, &["no-such-image:ever"]);
    both.refuse(125, &["--no-such-flag", "app"]);
    both.refuse(125, &["--entrypoint", "", "app"]);
}

fn streams(both: &Both) {
    both.same_fed(&["-i", "--entrypoint", "cat", "app"], Some(b"fed\0raw \xff\n"));
    both.same_fed(&["-i", "--entrypoint", "cat", "app"], Some(b""));
    both.same_fed(&["-i", "--entrypoint", "sha256sum", "app"], Some(&vec![7; 3 << 20]));
    both.same_fed(&["--entrypoint", "cat", "app"], Some(b"not passed on"));
    both.same(&["--entrypoint", "sh", "app", "-c", "seq 200000; echo end >&2"]);
    both.same(&[
        "--entrypoint",
        "sh",
        "app",
        "-c",
        "test -t 0; echo $?; test -t 1; echo $?; echo x >/dev/stdout; echo y >/dev/stderr",
    ]);
}

/// Under `script`, which has a terminal of this size.
fn terminals(both: &Both) {
    // The engine sets the size a moment after the start.
    let inside = "i=0; while [ \"$(stty size 2>&1)\" != '33 99' ] && [ $i -lt 100 ]; do i=$((i+1)); sleep 0.05; done; stty size; tty; test -t 1; echo $?; echo $TERM; echo err >&2; exit 5";
    let said = both.commands(&["-t", "--entrypoint", "sh", "app", "-c", inside]).map(|command| {
        let words: Vec<String> = [command.get_program()]
            .into_iter()
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")))
            .collect();
        let mut script = Command::new("script");
        script.args(["-qec", &format!("stty rows 33 cols 99; {}", words.join(" ")), "/dev/null"]);
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.current_dir(both.place.path("")).stdin(Stdio::null());
        Said::of(script.output().expect("`script` of util-linux"))
    });
    assert_eq!(said[0].stdout, said[1].stdout);
    assert_eq!((said[0].code, said[1].code), (5, 5), "{}", said[1].stdout);
    // Both terminals, the inner and the outer one, end a line in their way.
    assert_eq!(said[1].stdout.replace('\r', ""), "33 99\n/dev/pts/0\n0\nxterm\nerr\n");
}

/// Starts both with something that says when it is ready, and sends each a signal.
fn signals(both: &Both) {
    let trap = |code: i32, signal: &str| {
        format!("trap 'echo heard; exit {code}' {signal}; echo ready; while :; do sleep 0.05; done")
    };
    for (name, number, script, code) in [
        ("TERM", 15, trap(143, "TERM"), 143),
        ("INT", 2, trap(9, "INT"), 9),
        ("HUP", 1, trap(8, "HUP"), 8),
        ("USR1", 10, trap(7, "USR1"), 7),
    ] {
        let ends = both.commands(&["--entrypoint", "sh", "app", "-c", &script]).map(|mut command| {
            let mut child = ready(&mut command);
            send(child.id(), number);
            let mut rest = String::new();
            child.stdout.take().expect("a pipe").read_to_string(&mut rest).expect("text");
            (rest, ended(&mut child))
        });
        assert_eq!(ends[0], ends[1], "docker, then ireko: SIG{name}");
        assert_eq!(ends[1], ("heard\n".to_owned(), code), "SIG{name}");
    }
    // A first process without a handler hears nothing but a kill.
    let script = "echo ready; exec sleep 100";
    let [mut docker, mut ours] = both
        .commands(&["--name=killed", "--entrypoint", "sh", "app", "-c", script])
        .map(|mut command| ready(&mut command));
    send(ours.id(), 15);
    let pid = first_process(ours.id());
    std::thread::sleep(Duration::from_millis(100));
    assert!(ours.try_wait().expect("a state").is_none(), "SIGTERM ended it");
    send(pid, 9);
    both.engine.docker(&["kill", "killed"]).ok();
    assert_eq!((ended(&mut docker), ended(&mut ours)), (137, 137));
}

/// A started command whose program has said `ready`.
fn ready(command: &mut Command) -> Child {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process");
    let mut word = [0; 6];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut word).expect("the program speaks");
    assert_eq!(&word, b"ready\n");
    child
}

fn send(pid: u32, signal: i32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
    rustix::process::kill_process(pid, signal).expect("a process of ours");
}

/// The exit code of what must end soon.
#[track_caller]
fn ended(child: &mut Child) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a state") {
            return status.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    panic!("it does not end");
}

/// The child of `ireko run`: the container's first process.
fn first_process(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("a process");
    children.trim().parse().expect("one child")
}

/// The whole of `/`, as it is while a program runs.
fn files(both: &Both) {
    let words = ["--name=seen", "--user=0", "--entrypoint", "sh", "app", "-c", "echo ready; exec sleep 100"];
    let [mut docker, mut ours] = both.commands(&words).map(|mut command| ready(&mut command));
    let pid = both.engine.docker(&["inspect", "-f", "{{.State.Pid}}", "seen"]).ok().stdout;
    let theirs = seen(pid.trim().parse().expect("a pid"));
    let pid = first_process(ours.id());
    let here = seen(pid);
    send(pid, 9);
    both.engine.docker(&["kill", "seen"]).ok();
    ended(&mut docker);
    ended(&mut ours);
    assert_same("ireko, docker", &here, &theirs);
}

/// The root of a process, without what Docker alone puts there.
fn seen(pid: u32) -> Tree {
    let mut all = tree(Path::new(&format!("/proc/{pid}/root/")), ALL);
    all.retain(|name, _| ![".dockerenv", "etc/mtab"].contains(&name.as_str()));
    all
}
