//! An engine that is a server of the tests', and addresses as people set them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use ireko_oci::Digest;
use ireko_testkit::{Answer, Received, Server};

use super::{Address, Engine, Kind, Surroundings, Transfers, named, usual};

fn connect(server: &Server) -> Engine {
    Engine::connect(&Address::Tcp { host: server.address(), certificates: None }, &Transfers::default(), None)
        .unwrap()
}

#[test]
fn an_image_is_looked_up() {
    let id = format!("sha256:{}", "1".repeat(64));
    let layer = format!("sha256:{}", "2".repeat(64));
    let body = format!(
        r#"{{"Id": "{id}", "Os": "linux", "Architecture": "arm", "Variant": "v7", "RootFS": {{"Layers": ["{layer}"]}}}}"#
    );
    let server = Server::start(move |request: &Received| match request.path.as_str() {
        "/_ping" => Answer::ok("OK").header("Libpod-API-Version", "4.3.1"),
        "/images/team/app:1/json" => Answer::ok(body.clone()),
        _ => Answer::status(404).body(r#"{"message": "no such image"}"#),
    });
    let engine = connect(&server);
    assert_eq!(engine.kind, Kind::Podman);
    let image = engine.image("team/app:1").unwrap().unwrap();
    assert_eq!((image.id.to_string(), image.platform.as_str()), (id, "linux/arm/v7"));
    assert_eq!(image.diff_ids, [layer.parse::<Digest>().unwrap()]);
    assert_eq!(engine.image("other").unwrap(), None);
}

#[test]
fn only_engines_that_may_keep_content_are_asked_about_themselves() {
    let check = |version: Option<&'static str>, expected: &[&str]| {
        let server = Server::start(move |request: &Received| match (request.path.as_str(), version) {
            ("/_ping", Some(version)) => Answer::ok("OK").header("Api-Version", version),
            ("/_ping", None) => Answer::ok("OK"),
            _ => Answer::ok(r#"{"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}"#),
        });
        let keeps = connect(&server).keeps_content().unwrap();
        let asked: Vec<String> = server.received().iter().map(|request| request.path.clone()).collect();
        assert_eq!(
            (keeps, asked),
            (expected.len() > 1, expected.iter().map(|path| (*path).to_owned()).collect())
        );
    };
    check(Some("1.41"), &["/_ping"]);
    check(Some("1.42"), &["/_ping", "/info"]);
    check(Some("odd"), &["/_ping", "/info"]);
    check(None, &["/_ping", "/info"]);
}

#[track_caller]
fn check_load(answer: Answer, expect: Expect) {
    let server = Server::start(move |request: &Received| match request.path.as_str() {
        "/_ping" => Answer::ok("OK"),
        _ => answer.clone(),
    });
    let result = connect(&server).load(&mut &b""[..]);
    let text = match result {
        Ok(lines) => lines.join("|"),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&text.replace(&server.address(), "HOST"));
}

#[test]
fn an_engine_that_fails_half_way_is_believed() {
    let told = "{\"stream\":\"Loaded image: a:1\\n\"}\r\n{\"stream\":\"Loaded image: b:1\\n\"}";
    check_load(Answer::ok(told), expect!["Loaded image: a:1|Loaded image: b:1"]);
    let failed = r#"{"stream":"x"}{"errorDetail":{"message":"no space left"},"error":"no space left"}"#;
    check_load(Answer::ok(failed), expect!["cannot load an image: Docker at HOST says: no space left"]);
    check_load(
        Answer::status(500).body(r#"{"message":"open layer.tar:\n no such file"}"#),
        expect!["cannot load an image: Docker at HOST says: open layer.tar: no such file"],
    );
    check_load(
        Answer::ok("{\"stream\":\"Loaded im"),
        expect!["cannot load an image: Docker at HOST says: it answered something that is no such document"],
    );
    check_load(
        Answer::status(502).body("<html>"),
        expect!["cannot load an image: Docker at HOST says: 502 Bad Gateway"],
    );
}

/// What `connect` says of a socket that somebody made, with the causes.
fn connect_to_socket(path: &Path, transfers: &Transfers) -> String {
    let error = Engine::connect(&Address::Socket(path.to_owned()), transfers, None).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    format!("{error}: {cause}").replace(&path.display().to_string(), "SOCKET")
}

#[test]
fn an_engine_that_never_answers_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    expect!["cannot reach the engine: the engine at SOCKET gave no answer: cannot connect to `SOCKET`: No such file or directory (os error 2)"]
        .assert_eq(&connect_to_socket(&path, &Transfers::default()));
    // Connections wait in the queue of the socket.
    let _listens = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let began = std::time::Instant::now();
    expect!["cannot reach the engine: the engine at SOCKET gave no answer: `SOCKET` did not send an answer within 5 s"]
        .assert_eq(&connect_to_socket(&path, &Transfers::default()));
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let transfers = Transfers::default();
    transfers.abort();
    let text = connect_to_socket(&path, &transfers);
    assert!(text.ends_with("interrupted"), "{text}");
    transfers.resume();
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| connect_to_socket(&path, &transfers));
        std::thread::sleep(std::time::Duration::from_millis(300));
        transfers.abort();
        let text = connecting.join().unwrap();
        assert!(text.ends_with("interrupted"), "{text}");
    });
}

#[test]
fn an_archive_that_cannot_be_read_is_not_taken_for_whole() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            if self.0 > 2 { Err(std::io::Error::other("gone")) } else { Ok(room.len()) }
        }
    }
    let server = Server::start(|request: &Received| match request.path.as_str() {
        "/_ping" => Answer::ok("OK"),
        _ => Answer::ok("{}"),
    });
    let error = connect(&server).load(&mut Broken(0)).unwrap_err();
    assert!(error.to_string().contains("gave no answer"), "{error}");
}

#[track_caller]
fn check(around: &Surroundings, expect: Expect) {
    let text = match named(around) {
        Ok(address) => format!("{:?}", address.as_slice()),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&text);
}

#[test]
fn what_is_said_wins() {
    let host = |text: &str| Surroundings { docker_host: Some(text.to_owned()), ..Surroundings::default() };
    check(&host("unix:///run/x.sock"), expect![[r#"[Socket("/run/x.sock")]"#]]);
    check(&host("tcp://h"), expect![[r#"[Tcp { host: "h:2375", certificates: None }]"#]]);
    let mut tls = host("tcp://h:1");
    (tls.docker_tls, tls.docker_cert_path) = (true, Some(PathBuf::from("/c")));
    check(&tls, expect![[r#"[Tcp { host: "h:1", certificates: Some("/c") }]"#]]);
    check(
        &host("npipe://x"),
        expect![
            "`npipe://x`, from DOCKER_HOST, is no address of an engine: only unix://, tcp:// and ssh:// are known"
        ],
    );
    check(&host("here"), expect!["`here`, from DOCKER_HOST, is no address of an engine: it has no `://`"]);
}

#[test]
fn no_password_is_shown() {
    for (text, shown) in [
        ("ssh://u:se/cret@host", "ssh://u:xxxxx@host"),
        ("ssh://u:se@cr:et@host/run/x", "ssh://u:xxxxx@host/run/x"),
        ("u:secret@host", "u:xxxxx@host"),
        ("u:se://cret@host", "u:xxxxx@host"),
        ("tcp://u:se/cret@h:1", "tcp://u:xxxxx@h:1"),
    ] {
        let around = Surroundings { docker_host: Some(text.to_owned()), ..Surroundings::default() };
        let told = named(&around).unwrap_err().to_string();
        assert!(told.starts_with(&format!("`{shown}`, from")), "{told}");
    }
    for plain in ["ssh://me@h:x", "ssh://[::1", "tcp://h:1/x", "here"] {
        let around = Surroundings { docker_host: Some(plain.to_owned()), ..Surroundings::default() };
        assert!(named(&around).unwrap_err().to_string().starts_with(&format!("`{plain}`")), "{plain}");
    }
}

#[test]
fn the_place_of_a_host_has_no_password() {
    let address = Address::Tcp { host: "u:secret@127.0.0.1:1".to_owned(), certificates: None };
    let error = Engine::connect(&address, &Transfers::default(), None).unwrap_err();
    let mut told = error.to_string();
    if let Some(cause) = std::error::Error::source(&error) {
        told += &format!(": {cause}");
    }
    assert!(told.contains("u:xxxxx@127.0.0.1:1") && !told.contains("secret"), "{told}");
}

#[test]
fn contexts_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let id = Digest::of(b"lab").to_string().replace("sha256:", "");
    let meta = dir.path().join("contexts/meta").join(id);
    fs::create_dir_all(&meta).unwrap();
    fs::write(meta.join("meta.json"), r#"{"Name":"lab","Endpoints":{"docker":{"Host":"unix:///lab.sock"}}}"#)
        .unwrap();
    fs::write(dir.path().join("config.json"), r#"{"currentContext": "lab"}"#).unwrap();
    let around = |context: Option<&str>| Surroundings {
        docker_context: context.map(str::to_owned),
        docker_config: Some(dir.path().to_owned()),
        ..Surroundings::default()
    };
    check(&around(None), expect![[r#"[Socket("/lab.sock")]"#]]);
    check(
        &around(Some("gone")),
        expect![
            "the Docker context `gone`, from DOCKER_CONTEXT or `--context`, cannot be used: there is none of this name"
        ],
    );
    check(&around(Some("default")), expect!["[]"]);
    let lab = Address::Socket(PathBuf::from("/lab.sock"));
    assert!(!usual(&around(None)).contains(&lab));
}

#[test]
fn connections_of_podman_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["podman-connections.json", "containers.conf"].map(|name| dir.path().join(name));
    fs::write(
        &files[0],
        r#"{"Connection":{"Default":"far","Connections":{"far":{"URI":"ssh://core@h:22/run/p.sock","Identity":"/id"}}}}"#,
    )
    .unwrap();
    let old = "[engine]\nactive_service = \"near\"\n[engine.service_destinations.near]\nuri = \"unix:///near.sock\"\n";
    fs::write(&files[1], old).unwrap();
    let around = |name: &str| Surroundings {
        container_connection: Some(name.to_owned()),
        connection_files: [&[dir.path().join("absent.json")][..], &files].concat(),
        ..Surroundings::default()
    };
    check(
        &around("far"),
        expect![[
            r#"[Ssh(Ssh { user: Some("core"), host: "h", port: Some(22), socket: Some("/run/p.sock"), key: Some("/id"), far: Podman })]"#
        ]],
    );
    check(&around("near"), expect![[r#"[Socket("/near.sock")]"#]]);
    check(
        &around("gone"),
        expect![
            "the connection of Podman `gone`, from CONTAINER_CONNECTION, cannot be used: there is none of this name: `podman system connection list`"
        ],
    );
    // What is named of Docker's comes first, and Podman's address before a name.
    let docker = |context: &str| Surroundings { docker_context: Some(context.to_owned()), ..around("near") };
    check(&docker("default"), expect!["[]"]);
    let host = Surroundings { container_host: Some("unix:///host.sock".to_owned()), ..around("near") };
    check(&host, expect![[r#"[Socket("/host.sock")]"#]]);
    fs::write(&files[0], r#"{"Connection": 1}"#).unwrap();
    let text =
        named(&around("far")).unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR");
    expect!["the connection of Podman `far`, from CONTAINER_CONNECTION, cannot be used: `DIR/podman-connections.json` is not as Podman writes it: invalid type: integer `1`, expected struct NamedConnections at line 1 column 16"].assert_eq(&text);
}
