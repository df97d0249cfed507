//! `ireko run`.

use crate::support::{Place, Said};
use std::fs;
use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn exit_codes_arguments_and_variables_are_passed_on() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nENV A=1\nWORKDIR /w\nENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"exit 7\"]\n");
    assert_eq!(place.ireko(&["run", "app"]).code, 7);
    let said = place
        .ireko(&[
            "run",
            "-e",
            "B=2",
            "-w",
            "/tmp",
            "--name",
            "box",
            "--user",
            "app",
            "app",
            "echo $A$B $(pwd) $(hostname) $(id -u)",
        ])
        .ok();
    assert_eq!(said.stdout, "12 /tmp box 1000\n");
    assert_eq!(place.ireko(&["run", "--entrypoint", "/nowhere", "app"]).code, 127);
    // What stands after the image is the program's, whatever it looks like.
    let said = place.ireko(&["run", "--entrypoint", "/bin/echo", "app", "-c", "-m", "-t", "--cpus=2"]).ok();
    assert_eq!(said.stdout, "-c -m -t --cpus=2\n");
    assert_eq!(place.ireko(&["run", "--entrypoint", "/etc/passwd", "app"]).code, 126);
    place.ireko(&["run", "ap"]).fails(125, &["no image `ap`", "`app`"]);
    let said = place.ireko_fed(&["run", "-i", "app", "cat"], b"fed").ok();
    assert_eq!(said.stdout, "fed");
}

#[test]
fn host_paths_are_mounted() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\n");
    place.file("shared", "from outside");
    let volume = format!("{}:/in:ro", place.context().display());
    let said = place
        .ireko(&[
            "run",
            "-v",
            &volume,
            "app",
            "sh",
            "-c",
            "cat /in/shared; touch /in/x 2>/dev/null || echo ' refused'",
        ])
        .ok();
    assert_eq!(said.stdout, "from outside refused\n");
}

#[test]
fn a_volume_at_etc_shows_the_containers_own_files() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\n");
    let run = |name: &str, more: &str, script: &str| {
        fs::create_dir_all(place.path(name)).expect("a directory");
        fs::write(place.path(name).join("mine"), "mine ").expect("a file");
        let volume = format!("{}:/etc{more}", place.path(name).display());
        place.ireko(&["run", "--hostname", "box", "-v", &volume, "app", "sh", "-c", script]).ok().stdout
    };
    assert_eq!(run("etc", "", "cat /etc/mine /etc/hostname; grep -c box /etc/hosts"), "mine box\n1\n");
    // By now there are files to mount onto.
    assert_eq!(run("etc", ":ro", "cat /etc/mine /etc/hostname"), "mine box\n");
    assert_eq!(run("other", ":ro", "cat /etc/mine; ls /etc"), "mine mine\n");
    let said = place.ireko(&["run", "--hostname", "box", "--tmpfs", "/etc", "app", "cat", "/etc/hostname"]);
    assert_eq!(said.ok().stdout, "box\n");
    fs::write(place.path("hosts"), "mine\n").expect("a file");
    let volume = format!("{}:/etc/hosts", place.path("hosts").display());
    assert_eq!(place.ireko(&["run", "-v", &volume, "app", "cat", "/etc/hosts"]).ok().stdout, "mine\n");
    // No name is as good as none given.
    let unnamed = place.ireko(&["run", "app", "hostname"]).ok().stdout;
    assert_eq!(place.ireko(&["run", "--hostname", "", "app", "hostname"]).ok().stdout, unnamed);
}

#[test]
fn a_published_port_answers() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN mkdir /www && echo served >/www/index.html\nEXPOSE 8000\nCMD [\"httpd\", \"-f\", \"-p\", \"8000\", \"-h\", \"/www\"]\n");
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:8000");
    let mut child = place
        .command(&["run", "--rm", "-p", &publish, "app"])
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut answer = String::new();
    while Instant::now() < deadline && !answer.contains("served") {
        answer.clear();
        if let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)) {
            let _ = connection.write_all(b"GET / HTTP/1.0\r\n\r\n");
            let _ = connection.read_to_string(&mut answer);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    for _ in 0..5 {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.wait();
    assert!(answer.contains("served"), "{answer}");
    place.nothing_mounted();
}

#[test]
fn a_program_that_ends_at_once_may_have_ports() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\n");
    for _ in 0..3 {
        assert_eq!(place.ireko(&["run", "-p", "127.0.0.1:0:80", "app", "sh", "-c", "exit 6"]).code, 6);
    }
    place.ireko(&["run", "--no-such-flag", "app"]).fails(125, &["--no-such-flag"]);
    let flags = ["--snapshotter", "auto", "--level", "auto", "run", "--no-such-flag", "app"];
    place.ireko(&flags).fails(125, &["--no-such-flag"]);
}

#[test]
fn signals_reach_the_program() {
    let Some(place) = Place::with_base() else { return };
    place.built(
        "FROM base\nCMD [\"sh\", \"-c\", \"trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done\"]\n",
    );
    let mut child = place.command(&["run", "app"]).stdout(Stdio::piped()).spawn().expect("a process");
    let mut ready = [0; 5];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("the program speaks");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    assert_eq!(child.wait().expect("an end").code(), Some(9));
}

#[test]
fn a_reader_that_stands_still_keeps_nobody_from_ending() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\n");
    fs::create_dir(place.path("told")).expect("a directory");
    fs::set_permissions(place.path("told"), fs::Permissions::from_mode(0o777)).expect("a mode");
    let volume = format!("{}:/told", place.path("told").display());
    // More than a pipe holds, less than two do: the program, whose own is another, ends though nobody reads.
    let script = "head -c 100000 /dev/zero; mkdir /told/ended";
    let args = ["run", "-v", &volume, "-u", "app", "app", "sh", "-c", script];
    let mut child = place.command(&args).stdout(Stdio::piped()).spawn().expect("a process");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !place.path("told/ended").exists() {
        assert!(Instant::now() < deadline, "the program does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let ended = loop {
        match child.try_wait().expect("a state") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().expect("a signal");
                panic!("it waits for the reader: {:?}", child.wait());
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nCMD [\"echo\", \"x\"]\n");
    let full = fs::File::options().write(true).open("/dev/full").expect("a device");
    let said = Said::of(place.command(&["run", "app"]).stdout(full).output().expect("it runs"));
    said.fails(125, &["what the container said cannot all be written", "No space left"]);
    // Who wants no more is no failure of ours.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let said =
        Said::of(place.command(&["run", "-u", "app", "app"]).stdout(writer).output().expect("it runs"));
    assert!(!said.stderr.contains("cannot all be written"), "{}", said.stderr);
}

#[test]
fn only_the_wish_to_end_makes_impatient() {
    let Some(place) = Place::with_base() else { return };
    place.built(
        "FROM base\nCMD [\"sh\", \"-c\", \"trap 'echo heard' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done\"]\n",
    );
    let mut child = place.command(&["run", "app"]).stdout(Stdio::piped()).spawn().expect("a process");
    let mut said =
        std::io::BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert_eq!(said.next().as_deref(), Some("ready"));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    for _ in 0..6 {
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).expect("a signal");
        assert_eq!(said.next().as_deref(), Some("heard"));
    }
    // It ignores the wish, so the fourth is a kill.
    for _ in 0..4 {
        assert!(child.try_wait().expect("a state").is_none());
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(child.wait().expect("an end").code(), Some(137));
}

#[test]
fn streams_are_pipes_whatever_they_are_outside() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\n");
    let script = "echo one >/dev/stdout; echo two >/dev/stdout; echo three >/dev/stderr; cat; for n in 0 1 2; do test -t $n; echo $?; done";
    let expected = "one\ntwo\nfed\n1\n1\n1\n";
    fs::write(place.path("input"), "fed\n").expect("a file");
    for user in ["0", "1000"] {
        // To files, which are not emptied, and of whose owner the program knows nothing.
        let mut command = place.command(&["run", "-i", "--user", user, "app", "sh", "-c", script]);
        let file = |name: &str| fs::File::create(place.path(name)).expect("a file");
        command
            .stdin(fs::File::open(place.path("input")).expect("a file"))
            .stdout(file("out"))
            .stderr(file("err"));
        assert_eq!(command.status().expect("an end").code(), Some(0), "{user}");
        assert_eq!(fs::read_to_string(place.path("out")).expect("text"), expected, "{user}");
        assert_eq!(fs::read_to_string(place.path("err")).expect("text"), "three\n", "{user}");
        // To pipes.
        let said = place.ireko_fed(&["run", "-i", "--user", user, "app", "sh", "-c", script], b"fed\n").ok();
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), (expected, "three\n"), "{user}");
    }
    // A terminal outside is none inside, and a reader that goes away ends the writer.
    let store = place.store().display().to_string();
    let ireko = format!("{} --home {store} run app", env!("CARGO_BIN_EXE_ireko"));
    let under_terminal = |line: &str| {
        let output = std::process::Command::new("script").args(["-qec", line, "/dev/null"]).output();
        String::from_utf8_lossy(&output.expect("`script` of util-linux").stdout).into_owned()
    };
    assert_eq!(
        under_terminal(&format!("{ireko} sh -c 'test -t 1; echo $?; test -t 2; echo $?'")),
        "1\r\n1\r\n"
    );
    assert_eq!(under_terminal(&format!("timeout 20 {ireko} sh -c 'yes; true' | head -n 1")), "y\r\n");
}

#[test]
fn volumes_are_there_and_writable() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nRUN mkdir -p /kept && echo kept >/kept/f && chown -R app /kept && chmod 770 /kept\nVOLUME /kept /made/of/nothing / /sys/fs/cgroup /dev/shm\n");
    let script = "cat /kept/f; stat -c '%n %a %U' /kept /made/of/nothing; for d in / /kept /made/of/nothing; do echo x 2>/dev/null >$d/x; echo $?; done";
    for (flags, codes) in [(&[][..], "0\n0\n0\n"), (&["--read-only"], "1\n0\n0\n")] {
        let words = [&["run"], flags, &["app", "sh", "-c", script]].concat();
        let said = place.ireko(&words).ok().stdout;
        assert_eq!(said, format!("kept\n/kept 770 app\n/made/of/nothing 755 root\n{codes}"), "{flags:?}");
    }
    place.nothing_mounted();
}

#[test]
fn variables_come_from_flags_files_and_outside() {
    let Some(place) = Place::with_base() else { return };
    place.built("FROM base\nENV A=image B=image C=image HOME=\nCMD [\"env\"]\n");
    place.file("list", "# none\nB=file\n  D= spaced\nOUTSIDE\nNOWHERE\n");
    let mut command = place.command(&[
        "run",
        "--hostname=box",
        "--env-file",
        "context/list",
        "-e",
        "B=flag",
        "-e",
        "C",
        "-e",
        "OUTSIDE2",
        "app",
    ]);
    command.env("OUTSIDE", "1").env("OUTSIDE2", "2").env_remove("NOWHERE").env_remove("C");
    let output = command.output().expect("an end");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "PATH=/usr/bin:/usr/sbin\nHOSTNAME=box\nB=flag\nD= spaced\nOUTSIDE=1\nOUTSIDE2=2\nA=image\nHOME=/root\n"
    );
}

#[test]
fn sizes_that_no_machine_has_are_refused() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN df -k /dev/shm | tail -1 | awk '{print $2}' >/size\n");
    place.build(&["--shm-size", "3m"]).ok();
    assert_eq!(place.inside("cat /size"), "3072\n");
    let huge = "`--shm-size 999999999t` is more than any machine can hold";
    place.build(&["--shm-size", "999999999t"]).fails(2, &[huge]);
    place.ireko(&["run", "--shm-size", "999999999t", "app", "true"]).fails(125, &[huge]);
    place
        .ireko(&["run", "--shm-size", "much", "app", "true"])
        .fails(125, &["`--shm-size much` is no size", "64m"]);
    place
        .ireko(&["run", "--tmpfs", "/t:size=5000000g", "app", "true"])
        .fails(125, &["`--tmpfs /t:size=5000000g` is more than any machine can hold"]);
    let kib = "for d in /dev/shm /t; do df -k $d | tail -1 | awk '{print $2}'; done; stat -c %a /t";
    let said = place.ireko(&["run", "--shm-size=2m", "--tmpfs=/t:size=1m,mode=700", "app", "sh", "-c", kib]);
    assert_eq!(said.ok().stdout, "2048\n1024\n700\n");
    place.dockerfile("FROM base\nRUN --mount=type=tmpfs,target=/t,size=999999999t true\n");
    place.build(&[]).fails(2, &["Dockerfile:2", "size: 999999999t", "more than any machine can hold"]);
}

#[test]
fn what_containers_cannot_do_yet_is_said() {
    let Some(place) = Place::with_base() else { return };
    place
        .ireko(&["run", "-d", "base", "true"])
        .fails(125, &["`run -d` is not supported yet", "ireko run … &"]);
    place
        .ireko(&["run", "-v", "data:/var/lib/data", "base", "true"])
        .fails(125, &["named volume `data` is not supported yet", "-v ./data:/var/lib/data"]);
    assert!(!place.path("data").exists());
}

#[test]
fn two_streams_in_one_file_do_not_overwrite_each_other() {
    let Some(place) = Place::with_base() else { return };
    let path = place.path("log");
    let log = fs::File::create(&path).expect("a file");
    let program = "for i in 1 2 3 4 5; do echo out; sleep 0.02; echo err >&2; sleep 0.02; done";
    let mut command = place.command(&["run", "base", "sh", "-c", program]);
    command.stdout(log.try_clone().expect("a file")).stderr(log.try_clone().expect("a file"));
    let mut container = command.spawn().expect("a process");
    std::thread::sleep(Duration::from_millis(60));
    (&log).write_all(b"own\n").expect("a write");
    assert!(container.wait().expect("an end").success());
    let text = fs::read_to_string(&path).expect("a text");
    let count = |word| text.lines().filter(|line| *line == word).count();
    assert_eq!((count("out"), count("err"), count("own")), (5, 5, 1), "{text}");
}

#[test]
fn a_terminal_wants_a_terminal() {
    let Some(place) = Place::with_base() else { return };
    place.ireko_fed(&["run", "-it", "base", "cat"], b"fed").fails(125, &["`-it`", "leave out `-t`"]);
}

#[test]
fn what_only_docker_has_is_told_with_what_to_do() {
    let Some(place) = Place::new() else { return };
    place.ireko(&["push", "app"]).fails(2, &["there is no image `app`"]);
    assert!(place.ireko(&["ps"]).ok().stderr.contains("note: ireko keeps no containers"));
    place.ireko(&["run", "--mount", "type=bind", "app"]).fails(125, &["hint: use `-v"]);
    place.ireko(&["run", "--cap-add", "NET_ADMIN", "app"]).fails(125, &["hint: not supported yet"]);
}

#[test]
fn what_would_hide_or_break_another_thing_is_refused() {
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["run", "-v", ".:/x", "--tmpfs", "/x", "base", "true"]).fails(125, &["two mounts at `/x`"]);
    place.ireko(&["run", "--hostname", "a\nb", "base", "true"]).fails(125, &["is no host name"]);
    let long = "n".repeat(200);
    let said = place.ireko(&["run", "--name", &long, "base", "hostname"]).ok();
    assert_eq!(said.stdout.trim().len(), 12, "{}", said.stdout);
}
