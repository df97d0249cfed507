//! `ireko run`.

use crate::support::Place;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn free_port() -> u16 {
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
