//! Images into Docker and Podman by their API, and bases out of them.

use crate::bad_input::in_small_world;
use crate::daemons::{Engine, Podman};
use crate::support::{Place, Said};
use ireko_testkit::{Answer, Received, Server};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Tells a command where the engine is.
type To<'a> = &'a dyn Fn(&mut Command) -> &mut Command;

/// Builds the context and loads it into this engine; how many bytes that took.
#[track_caller]
fn load(place: &Place, to: To<'_>, tag: &str) -> u64 {
    let flags = ["build", "--progress=json", "--load", "-t", tag, "context"];
    let said = Said::of(to(&mut place.command(&flags)).output().expect("it runs")).ok();
    // An image that was refused without the layers that are there is sent once more.
    assert!(!said.stderr.contains("all were sent"), "{}", said.stderr);
    // A push could follow: where the name is now is said.
    assert!(said.stderr.contains(&format!("{tag} to the store")), "{}", said.stderr);
    let exported = said.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut sizes = exported.filter(|event| {
        event["event"] == "exported" && event["destination"].as_str().is_some_and(|to| to.contains(" at "))
    });
    let event = sizes.next().unwrap_or_else(|| panic!("nothing was exported:\n{}", said.stderr));
    event["bytes"].as_u64().expect("a number")
}

/// What any engine must do; `say` asks its program.
pub(crate) fn check(place: &Place, to: To<'_>, say: &dyn Fn(&[&str]) -> Said) {
    place.file("f", "one");
    place.dockerfile("FROM base\nRUN head -c 2000000 /dev/urandom >/big\nCOPY f /f\nCMD [\"cat\", \"/f\"]\n");
    let whole = load(place, to, "app:1");
    assert!(whole > 2_000_000, "{whole}");
    let id = say(&["image", "inspect", "--format", "{{.Id}}", "app:1"]).ok().stdout;
    assert!(id.contains(place.id("app:1").trim_start_matches("sha256:")), "{id}");
    // Of a file that changed, only its layer is sent.
    place.file("f", "two");
    let again = load(place, to, "app:1");
    assert!(again < 20_000, "{again} bytes for one small layer");
    let nothing = load(place, to, "other:2");
    assert!(nothing < 20_000, "{nothing} bytes for a second name");
    let id = say(&["image", "inspect", "--format", "{{.Id}}", "other:2"]).ok().stdout;
    assert!(id.contains(place.id("app:1").trim_start_matches("sha256:")), "{id}");

    // One layer several times, of which the engine has the first.
    let head = "FROM base\nRUN head -c 1000000 /dev/urandom >/big\n";
    for copies in [1, 3] {
        place.dockerfile(&format!("{head}{}", "COPY f /f\n".repeat(copies)));
        load(place, to, "copies:1");
        let id = say(&["image", "inspect", "--format", "{{.Id}}", "copies:1"]).ok().stdout;
        assert!(id.contains(place.id("copies:1").trim_start_matches("sha256:")), "{id}");
    }
    place.dockerfile("FROM base\nRUN head -c 2000000 /dev/urandom >/big\nCOPY f /f\nCMD [\"cat\", \"/f\"]\n");

    // A base that only the engine has.
    say(&["tag", "app:1", "only-there:1"]).ok();
    let Some(other) = Place::new() else { return };
    other.dockerfile("FROM only-there:1\nRUN cat /f /f >/g\nCMD [\"cat\", \"/g\"]\n");
    let build = |flags: &[&str]| {
        let all = [&["build", "--progress=plain", "-t", "app"][..], flags, &["context"]].concat();
        Said::of(to(&mut other.command(&all)).output().expect("it runs"))
    };
    let said = build(&["--offline"]).ok();
    assert!(said.stderr.contains(" at "), "where the base came from is said:\n{}", said.stderr);
    assert_eq!(other.ireko(&["run", "app"]).ok().stdout, "twotwo");
    assert_eq!(build(&[]).ok().ran(), Vec::<String>::new());
    // The name is the engine's: it is asked again, and a new image counts.
    place.file("f", "three");
    load(place, to, "only-there:1");
    build(&[]).ok();
    assert_eq!(other.ireko(&["run", "app"]).ok().stdout, "threethree");
    assert!(!other.ireko(&["images"]).ok().stdout.contains("only-there"));
    other.dockerfile("FROM nowhere:1\nRUN true\n");
    build(&["--offline"]).fails(2, &["`nowhere:1` is not on this machine", "Dockerfile:1:6"]);
    other.sound();
    place.sound();
}

#[test]
fn docker_takes_and_gives() {
    let (Some(place), Some(engine)) = (Place::with_base(), Engine::start()) else { return };
    check(&place, &|command| command.env("DOCKER_HOST", engine.host()), &|args| engine.docker(args));
    // It runs what it was given.
    let said = engine.docker(&["run", "--rm", "--network=none", "app:1"]).ok();
    assert_eq!(said.stdout, "two");
    // A context of Docker's own names the engine.
    let meta = ".docker/contexts/meta/".to_owned()
        + ireko_oci::Digest::of(b"lab").to_string().trim_start_matches("sha256:");
    fs::create_dir_all(place.path(&meta)).expect("a directory");
    let text = format!(r#"{{"Name":"lab","Endpoints":{{"docker":{{"Host":"{}"}}}}}}"#, engine.host());
    fs::write(place.path(&meta).join("meta.json"), text).expect("a file");
    let mut command = place.command(&["build", "-q", "--load", "-t", "by-context", "context"]);
    Said::of(command.env("DOCKER_CONTEXT", "lab").output().expect("it runs")).ok();
    engine.docker(&["image", "inspect", "by-context"]).ok();
    // One that is named for this build wins over the variable, as Docker's own flag does.
    for (tag, flags) in [
        ("by-output", &["build", "-q", "-o", "type=docker,context=lab"][..]),
        ("by-flag", &["--context", "lab", "build", "-q", "--load"]),
    ] {
        let mut command = place.command(&[flags, &["-t", tag, "context"]].concat());
        Said::of(command.env("DOCKER_HOST", "unix:///nowhere.sock").output().expect("it runs")).ok();
        engine.docker(&["image", "inspect", tag]).ok();
    }
    let two = ["build", "-o", "type=docker,context=lab", "-o", "type=docker", "-t", "two", "context"];
    place.ireko(&two).fails(2, &["two engines", "the Docker context `lab`", "the engine in use"]);
    let gone = ["build", "-o", "type=docker,context=gone", "-t", "gone", "context"];
    place.ireko(&gone).fails(2, &["the Docker context `gone`", "there is none of this name"]);
}

#[test]
fn podman_takes_and_gives() {
    let (Some(place), Some(podman)) = (Place::with_base(), Podman::start()) else { return };
    check(&place, &|command| command.env("DOCKER_HOST", podman.host()), &|args| podman.podman(args));
    // A bare name that means two images is what it is to Podman itself.
    for (from, to) in [("app:1", "docker.io/library/both:1"), ("copies:1", "localhost/both:1")] {
        podman.podman(&["tag", from, to]).ok();
    }
    let id_of = |name: &str| podman.podman(&["image", "inspect", "--format", "{{.Id}}", name]).ok().stdout;
    let Some(other) = Place::new() else { return };
    other.dockerfile("FROM both:1\n");
    let mut command = other.command(&["build", "-q", "--offline", "-t", "app", "context"]);
    Said::of(command.env("DOCKER_HOST", podman.host()).output().expect("it runs")).ok();
    // A connection of Podman's own names the engine.
    let text = format!(r#"{{"Connection":{{"Connections":{{"near":{{"URI":"{}"}}}}}}}}"#, podman.host());
    fs::write(place.path("connections.json"), text).expect("a file");
    let mut command = place.command(&["build", "-q", "--load", "-t", "by-connection", "context"]);
    command
        .env("CONTAINER_CONNECTION", "near")
        .env("PODMAN_CONNECTIONS_CONF", place.path("connections.json"));
    Said::of(command.output().expect("it runs")).ok();
    podman.podman(&["image", "inspect", "localhost/by-connection"]).ok();
    let layers = |place: &Place, name: &str| {
        place.ireko(&["inspect", "--format", "{{json .RootFS.Layers}}", name]).ok().stdout
    };
    assert_eq!(id_of("both:1"), id_of("localhost/both:1"));
    assert_eq!(layers(&other, "app"), layers(&place, "copies:1"));
}

#[test]
fn an_engine_that_goes_away_is_told() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN echo hi >/f\n");
    let build = |host: &str| {
        let mut command = place.command(&["build", "--progress=plain", "--load", "-t", "app", "context"]);
        Said::of(command.env("DOCKER_HOST", host).output().expect("it runs"))
    };
    // Before anything is built.
    let said = build("unix:///does/not/exist.sock").fails(3, &["/does/not/exist.sock", "DOCKER_HOST"]);
    assert!(!said.stderr.contains("RUN echo hi"), "{}", said.stderr);
    build("npipe://x").fails(2, &["`npipe://x`, from DOCKER_HOST"]);
    for (answer, says) in [
        (Answer::hang_up(), "gave no answer"),
        (Answer::status(500).body(r#"{"message":"no space left on device"}"#), "no space left on device"),
        (Answer::ok(r#"{"error":"unexpected EOF"}"#), "unexpected EOF"),
        (Answer::ok(r#"{"stream":"Loa"#), "something that is no such document"),
        // It does not have the image afterwards.
        (Answer::ok(""), "cannot load an image: Docker at"),
    ] {
        let server = Server::start(move |request: &Received| match request.path.as_str() {
            "/_ping" => Answer::ok("OK"),
            "/info" => Answer::ok("{}"),
            "/images/json" => Answer::ok("[]"),
            "/images/load" => answer.clone(),
            _ => Answer::status(404),
        });
        build(&format!("tcp://{}", server.address())).fails(3, &[says]);
    }
    place.sound();
}

#[test]
fn an_engine_that_hangs_is_not_waited_for() {
    let Some(place) = Place::with_base() else { return };
    let socket = place.path("engine.sock");
    // Connections wait in its queue.
    let _listens = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let command = |flags: &[&str]| {
        let all = [&["build", "--progress=plain", "-t", "app"][..], flags, &["context"]].concat();
        let mut command = place.command(&all);
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        command
    };
    let slow = format!("`{}` did not send an answer within 5 s", socket.display());
    place.dockerfile("FROM base\nRUN true\n");
    Said::of(command(&["--load"]).output().expect("it runs")).fails(3, &[&slow]);
    place.dockerfile("FROM nowhere:1\nRUN true\n");
    let said = Said::of(command(&["--offline"]).output().expect("it runs"));
    said.fails(2, &["warning: an engine is passed over", &slow, "`nowhere:1` is not on this machine"]);
    for flags in [&["--load"][..], &["--offline"]] {
        let began = std::time::Instant::now();
        let mut command = command(flags);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let child = command.spawn().expect("it runs");
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
        Said::of(child.wait_with_output().expect("it ends")).fails(130, &["interrupted"]);
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
    place.sound();
}

#[test]
fn a_second_try_after_a_full_disk_reaches_the_engine() {
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    place.file("Dockerfile.old", "FROM base\nRUN head -c 8000000 /dev/urandom >/old\n");
    place.file("big", &"0123456789abcde\n".repeat(850_000));
    place.file("Dockerfile.new", "FROM base\nCOPY big /big\n");
    let server = Server::start(|request: &Received| match request.path.as_str() {
        "/_ping" => Answer::ok("OK"),
        _ => Answer::status(500).body(r#"{"message":"this far"}"#),
    });
    let script = format!(
        "
        export IREKO_SNAPSHOTTER=overlay
        $IREKO load -i base.tar || exit 91
        for name in one two three; do
            $IREKO build --no-cache -t $name -f context/Dockerfile.old context || exit 92; $IREKO rmi $name
        done
        DOCKER_HOST=tcp://{} $IREKO build --progress=plain --load -t new -f context/Dockerfile.new context",
        server.address()
    );
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=34m,mode=755", &script) else { return };
    said.fails(3, &["trying once more", "Docker at", "says: this far"]);
}
