//! Engines behind `ssh`: a real server where there is one, and a program in its place that says what it was asked.

use crate::daemons::{Engine, Podman};
use crate::engines::check;
use crate::support::{Place, Said};
use ireko_testkit::{Answer, Received, Server, SshServer};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Puts a program `ssh` into a directory of its own.
fn ssh(place: &Place, script: &str) -> PathBuf {
    let dir = place.path("bin");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("ssh"), format!("#!/bin/bash\n{script}\n")).expect("a file");
    fs::set_permissions(dir.join("ssh"), fs::Permissions::from_mode(0o755)).expect("a mode");
    dir
}

/// Sets the variable that names the engine, and lets the program of this directory be found first.
fn to<'a>(command: &'a mut Command, (variable, host): (&str, &str), dir: &Path) -> &'a mut Command {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.display());
    command.env(variable, host).env("PATH", path)
}

/// A real server, and the program with what it needs to get there.
fn server(place: &Place) -> Option<(SshServer, PathBuf)> {
    let Some(server) = SshServer::start(&place.path("ssh-server")) else {
        eprintln!("skipped because there is no ssh server (Debian: openssh-server)");
        return None;
    };
    let known = place.path("known_hosts");
    fs::write(&known, server.known_hosts()).expect("a file");
    let script = format!(
        "exec /usr/bin/ssh -F /dev/null -o UserKnownHostsFile={} -o IdentityAgent={} \"$@\"",
        known.display(),
        server.agent().display()
    );
    let dir = ssh(place, &script);
    Some((server, dir))
}

#[test]
fn docker_behind_ssh_takes_and_gives() {
    let (Some(place), Some(engine)) = (Place::with_base(), Engine::start()) else { return };
    let Some((server, dir)) = server(&place) else { return };
    let socket = engine.host();
    let host = server.url(Path::new(socket.trim_start_matches("unix://")));
    check(&place, &|command| to(command, ("DOCKER_HOST", &host), &dir), &|args| engine.docker(args));
}

#[test]
fn podman_behind_ssh_takes() {
    let (Some(place), Some(podman)) = (Place::with_base(), Podman::start()) else { return };
    let Some((server, dir)) = server(&place) else { return };
    place.dockerfile("FROM base\nCMD [\"true\"]\n");
    let socket = podman.host();
    let host = server.url(Path::new(socket.trim_start_matches("unix://")));
    let build = |host: &str| {
        let mut command = place.command(&["build", "-q", "--load", "-t", "behind:1", "context"]);
        Said::of(to(&mut command, ("CONTAINER_HOST", host), &dir).output().expect("it runs"))
    };
    build(&host).ok();
    podman.podman(&["image", "inspect", "localhost/behind:1"]).ok();
    let absent = server.url(Path::new("/does/not/exist.sock"));
    build(&absent).fails(3, &["Podman's socket", "/does/not/exist.sock", "podman.socket"]);
}

/// Carries standard input and output to a server.
fn carry(server: &Server) -> String {
    let address = server.address().replace(':', "/");
    format!("exec 3<>/dev/tcp/{address} 4<&0\ncat <&4 >&3 &\ncat <&3")
}

#[test]
fn ssh_is_asked_as_docker_asks_it_and_ends_with_the_connection() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nCMD [\"true\"]\n");
    let engine = Server::start(|request: &Received| match request.path.as_str() {
        "/_ping" => Answer::ok("OK").header("Api-Version", "1.41"),
        "/images/json" => Answer::ok("[]"),
        "/images/load" => {
            // Longer than anybody waits here.
            std::thread::sleep(Duration::from_secs(30));
            Answer::ok("{}")
        }
        _ => Answer::status(404),
    });
    let (said, open) = (place.path("said"), place.path("open"));
    let record = format!(
        "printf '%s\\n' \"$(id -u)\" \"$@\" >{}\necho $$ >>{}\n{}",
        said.display(),
        open.display(),
        carry(&engine)
    );
    let dir = ssh(&place, &record);
    let mut command = place.command(&["build", "--progress=plain", "--load", "-t", "app", "context"]);
    to(&mut command, ("DOCKER_HOST", "ssh://me@build-host:2222/run/engine.sock"), &dir);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    wait("the image is sent", || engine.received().iter().any(|request| request.path == "/images/load"));
    let pid = |id: &str| id.trim().parse().ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid(&child.id().to_string()), Signal::INT).expect("a signal");
    let began = Instant::now();
    Said::of(child.wait_with_output().expect("it ends")).fails(130, &["interrupted"]);
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    let opened = fs::read_to_string(&open).expect("it ran");
    for id in opened.lines() {
        wait("the program ends", || test_kill_process(pid(id)).is_err());
    }
    // One connection carries all requests.
    assert_eq!(opened.lines().count(), 1, "{opened}");
    let me = rustix::process::getuid().as_raw().to_string();
    let wanted = [
        me.as_str(),
        "-l",
        "me",
        "-p",
        "2222",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=30",
        "-T",
        "--",
        "build-host",
        "docker '--host=unix:///run/engine.sock' system dial-stdio",
    ];
    assert_eq!(fs::read_to_string(&said).expect("it ran").lines().collect::<Vec<_>>(), wanted);
    place.sound();
}

#[track_caller]
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_ssh_says_is_told() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN echo hi\n");
    let build = |host: &str, dir: &Path| {
        let mut command = place.command(&["build", "--progress=plain", "--load", "-t", "app", "context"]);
        Said::of(to(&mut command, ("DOCKER_HOST", host), dir).output().expect("it runs"))
    };
    for (script, says) in [
        (
            "echo 'ssh: Could not resolve hostname far: Name or service not known' >&2; exit 255",
            ["Could not resolve hostname far", "`ssh HOST docker version`"],
        ),
        (
            "cat >/dev/null & echo 'Host key verification failed.' >&2; exit 255",
            ["Host key verif", "log in once"],
        ),
        (
            "echo 'me@far: Permission denied (publickey).' >&2; exit 255",
            ["Permission denied (publickey)", "a password"],
        ),
        // Its words may come after the end of its output.
        (
            "exec <&- >&-; sleep 0.3; echo 'bash: docker: command not found' >&2; exit 127",
            ["command not found", "`docker` must be there"],
        ),
        (
            "echo 'Cannot connect to the Docker daemon' >&2; exit 1",
            ["Cannot connect to the", "engine runs there"],
        ),
        ("exit 9", ["exit code 9", "engine runs there"]),
    ] {
        let dir = ssh(&place, script);
        let said = build("ssh://me@far", &dir).fails(3, &["cannot reach the engine", "ssh://me@far"]);
        says.iter().for_each(|words| assert!(said.stderr.contains(words), "{words}:\n{}", said.stderr));
        assert!(!said.stderr.contains("RUN echo hi"), "{}", said.stderr);
    }
    // A place of bases that cannot be reached is passed over.
    let mut command = place.command(&["build", "--progress=plain", "--offline", "-t", "app", "context"]);
    place.dockerfile("FROM nowhere:1\n");
    let dir = ssh(&place, "echo 'no way' >&2; exit 255");
    let said = Said::of(to(&mut command, ("DOCKER_HOST", "ssh://far"), &dir).output().expect("it runs"));
    said.fails(2, &["warning: an engine is passed over", "no way", "`nowhere:1` is not on this machine"]);
    // Neither is anything started.
    let witness = place.path("witness");
    let dir = ssh(&place, &format!("touch {}", witness.display()));
    build("ssh://-oProxyCommand=touch", &dir).fails(2, &["`-`", "DOCKER_HOST"]);
    let said = build("ssh://me:word@far", &dir).fails(2, &["ssh://me:xxxxx@far", "password"]);
    assert!(!witness.exists() && !said.stderr.contains("word@"), "{}", said.stderr);
}

#[test]
fn a_machine_without_ssh_is_told() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\n");
    let mut command = place.command(&["build", "--load", "-t", "app", "context"]);
    command.env("DOCKER_HOST", "ssh://far").env("PATH", place.path("nothing"));
    Said::of(command.output().expect("it runs"))
        .fails(3, &["`ssh` is not installed", "install openssh-client"]);
}
