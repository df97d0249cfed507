//! Pushing to a registry in this process that breaks off, forgets, refuses.

mod early;

use std::io::{Cursor, Read};
use std::time::Duration;

use expect_test::{Expect, expect};
use ireko_http as http;
use ireko_oci::{Descriptor, Digest, MediaType, Reference};
use ireko_testkit::{Answer, Fault, Received, Server, TestRegistry};

use crate::{Blob, Keychain, Options, Pushed, Registry, RegistryError, Secret};

fn session() -> Registry {
    with_login(None)
}

fn with_login(given: Option<(String, Secret)>) -> Registry {
    let patience = http::Patience { pause: Duration::from_millis(1), ..http::Patience::default() };
    let http = http::Options { patience, ..http::Options::default() };
    Registry::new(Options { http, keychain: Keychain { given, ..Keychain::default() }, ..Options::default() })
}

/// More than is sent in one request with its digest.
fn large() -> Vec<u8> {
    (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn push(
    registry: &Registry,
    name: &str,
    bytes: &[u8],
    sources: &[Reference],
) -> Result<Pushed, RegistryError> {
    let descriptor = Descriptor::of(MediaType::OCI_LAYER_GZIP, bytes);
    let content = |from: u64| {
        let from = usize::try_from(from).expect("a test's content fits");
        Ok(Box::new(Cursor::new(bytes[from..].to_vec())) as Box<dyn Read + Send>)
    };
    let blob = Blob { descriptor: &descriptor, content: &content, sources, begun: None };
    registry.push_blob(&name.parse().unwrap(), blob, &mut |_| {})
}

/// Pushes a large blob with faults, and says which requests that took and what came of it.
#[track_caller]
fn check(prepare: impl FnOnce(&TestRegistry), expect: Expect) {
    let server = TestRegistry::start();
    prepare(&server);
    let bytes = large();
    let done = push(&session(), &format!("{}/team/app", server.address()), &bytes, &[]);
    let mut text = String::new();
    for request in server.server().received() {
        let range = request.header("content-range").map(|range| format!(" [{range}]")).unwrap_or_default();
        let path = request.path.split("/team/app/").nth(1).unwrap_or(&request.path);
        let path = if path.starts_with("blobs/sha256") { "blobs/DIGEST" } else { path };
        text += &format!("{} {path}{range} {}\n", request.method, request.body.len());
    }
    match done {
        Ok(pushed) => {
            text += &format!("{pushed:?}\n");
            assert_eq!(server.blob(&Digest::of(&bytes)).as_deref(), Some(&bytes[..]));
        }
        Err(error) => text += &format!("{}\n", error.in_one_line()),
    }
    let text = text.replace(&server.address(), "HOST").replace(&Digest::of(&bytes).to_string(), "DIGEST");
    expect.assert_eq(&text);
}

#[test]
fn a_blob_is_sent_in_one_piece() {
    check(
        |_| {},
        expect![[r#"
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            PUT blobs/uploads/upload0 0
            Sent
        "#]],
    );
}

#[test]
fn a_broken_upload_goes_on_where_it_stopped() {
    check(
        |server| server.fault("/blobs/uploads/upload", 1, Fault::Take(1_000_000)),
        expect![[r#"
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            HEAD blobs/DIGEST 0
            GET blobs/uploads/upload0 0
            PATCH blobs/uploads/upload0 [1000000-2999999] 2000000
            PUT blobs/uploads/upload0 0
            Sent
        "#]],
    );
}

#[test]
fn an_upload_of_which_nothing_arrived_begins_again() {
    check(
        |server| server.fault("/blobs/uploads/upload", 1, Fault::HangUp),
        expect![[r#"
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            HEAD blobs/DIGEST 0
            GET blobs/uploads/upload0 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload1 3000000
            PUT blobs/uploads/upload1 0
            Sent
        "#]],
    );
}

#[test]
fn an_answer_that_was_lost_is_no_second_transfer() {
    check(
        |server| {
            // The PATCH passes, its successor is taken without an answer.
            server.fault("/blobs/uploads/upload", 1, Fault::Take(3_000_000));
            server.fault("/blobs/uploads/upload", 1, Fault::Forget);
        },
        expect![[r#"
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            HEAD blobs/DIGEST 0
            GET blobs/uploads/upload0 0
            GET blobs/uploads/upload0 0
            PUT blobs/uploads/upload0 0
            Sent
        "#]],
    );
}

#[test]
fn a_busy_registry_is_asked_again() {
    check(
        |server| {
            server.fault("/blobs/uploads/upload", 1, Fault::Status(503));
            server.fault("/blobs/uploads/upload", 1, Fault::RetryAfter(429, 0));
        },
        expect![[r#"
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            HEAD blobs/DIGEST 0
            GET blobs/uploads/upload0 0
            GET blobs/uploads/upload0 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload1 3000000
            PUT blobs/uploads/upload1 0
            Sent
        "#]],
    );
}

#[test]
fn a_refusal_is_no_reason_to_try_again() {
    check(
        |server| server.fault("/blobs/uploads/", 1, Fault::Status(403)),
        expect![[r#"
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            `HOST` does not let everybody push `HOST/team/app` (403 Forbidden, FAULT: fault)
        "#]],
    );
}

#[test]
fn what_is_too_large_goes_in_parts() {
    let server = TestRegistry::start();
    server.fault("/blobs/uploads/upload0", 1, Fault::Status(413));
    let bytes = vec![7; 40 << 20];
    push(&session(), &format!("{}/a", server.address()), &bytes, &[]).unwrap();
    let ranges: Vec<String> = server
        .server()
        .received()
        .iter()
        .filter_map(|request| request.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["0-33554431", "33554432-41943039"]);
    // What stands before a registry may take very little.
    server.fault("/blobs/uploads/upload", 2, Fault::Status(413));
    push(&session(), &format!("{}/b", server.address()), &[8; 3 << 20], &[]).unwrap();
    let parts = server.server().received().iter().filter(|request| request.body.len() == 512 << 10).count();
    assert_eq!(parts, 6);
}

#[test]
fn a_registry_that_has_more_or_less_is_believed() {
    check(
        |server| server.fault("/blobs/uploads/upload", 1, Fault::Status(416)),
        expect![[r#"
        HEAD blobs/DIGEST 0
        POST blobs/uploads/ 0
        PATCH blobs/uploads/upload0 3000000
        GET blobs/uploads/upload0 0
        POST blobs/uploads/ 0
        PATCH blobs/uploads/upload1 3000000
        PUT blobs/uploads/upload1 0
        Sent
    "#]],
    );
    // A position that is no position.
    check(
        |server| {
            server.fault("/blobs/uploads/upload", 1, Fault::Status(503));
            server.fault("/blobs/uploads/upload", 1, Fault::Range("0-18446744073709551615"));
        },
        expect![[r#"
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            HEAD blobs/DIGEST 0
            GET blobs/uploads/upload0 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload1 3000000
            PUT blobs/uploads/upload1 0
            Sent
        "#]],
    );
}

#[test]
fn a_lie_at_the_end_is_no_success() {
    let lie = |fault: Fault| {
        let server = TestRegistry::start();
        server.fault("/blobs/uploads/upload0", 1, fault);
        push(&session(), &format!("{}/a", server.address()), b"small", &[]).unwrap_err().in_one_line()
    };
    assert!(lie(Fault::Status(202)).contains("202 Accepted at the end of an upload"));
}

#[test]
fn a_silent_registry_is_not_waited_for_five_times() {
    let server = TestRegistry::start();
    server.fault("/blobs/uploads/upload", 9, Fault::Silent);
    let patience = http::Patience {
        pause: Duration::from_millis(1),
        answer: Duration::from_millis(200),
        ..http::Patience::default()
    };
    let http = http::Options { patience, ..http::Options::default() };
    let registry = Registry::new(Options { http, ..Options::default() });
    let error = push(&registry, &format!("{}/a", server.address()), &large(), &[]).unwrap_err();
    assert!(error.in_one_line().contains("did not send an answer"), "{}", error.in_one_line());
    assert!(server.server().lines().iter().filter(|line| line.starts_with("PATCH")).count() <= 2);
}

#[test]
fn a_place_that_is_not_there_is_no_misspelt_tag() {
    let server = TestRegistry::start();
    server.fault("/blobs/uploads/", 1, Fault::Status(404));
    let error = push(&session(), &format!("{}/a", server.address()), b"x", &[]).unwrap_err();
    let text = error.in_one_line().replace(&server.address(), "HOST");
    expect!["`HOST` has no place for `HOST/a` (404 Not Found, FAULT: fault)"].assert_eq(&text);
}

#[test]
fn a_small_blob_is_sent_with_its_digest_and_once() {
    let server = TestRegistry::start();
    let (registry, name) = (session(), format!("{}/a", server.address()));
    assert_eq!(push(&registry, &name, b"small", &[]).unwrap(), Pushed::Sent);
    assert_eq!(push(&registry, &name, b"small", &[]).unwrap(), Pushed::Present);
    let methods: Vec<String> = server.server().received().into_iter().map(|it| it.method).collect();
    assert_eq!(methods, ["HEAD", "POST", "PUT", "HEAD"]);
}

#[test]
fn a_blob_of_another_repository_is_taken_over() {
    let server = TestRegistry::start();
    let (registry, address) = (session(), server.address());
    let other: Reference = format!("{address}/one").parse().unwrap();
    push(&registry, &other.to_string(), b"bytes", &[]).unwrap();
    let before = server.server().received().len();
    let foreign: Reference = "elsewhere.example/one".parse().unwrap();
    let sources = [foreign, other];
    let done = push(&registry, &format!("{address}/two"), b"bytes", &sources).unwrap();
    assert_eq!(done, Pushed::Mounted("one".to_owned()));
    assert_eq!(server.server().received().len() - before, 2, "asked, and taken over");
}

#[test]
fn a_mount_that_is_declined_becomes_an_upload() {
    let server = TestRegistry::start();
    let (registry, address) = (session(), server.address());
    let sources = ["three", "four"].map(|name| format!("{address}/{name}").parse().unwrap());
    assert_eq!(push(&registry, &format!("{address}/two"), b"bytes", &sources).unwrap(), Pushed::Sent);
}

#[test]
fn a_token_that_is_too_old_is_renewed() {
    let server = TestRegistry::start();
    server.require_login("me", "pass", true);
    let secret = Secret::Password { user: "me".to_owned(), password: "pass".to_owned() };
    let registry = with_login(Some((server.address(), secret)));
    let name = format!("{}/a", server.address());
    push(&registry, &name, &large(), &[]).unwrap();
    server.forget_tokens();
    push(&registry, &name, b"other", &[]).unwrap();
    assert_eq!(server.server().count("/token"), 2);
    let scopes: Vec<String> = server.server().received().into_iter().map(|it| it.query).collect();
    assert!(scopes.iter().any(|query| query.contains("scope=repository:a:pull%2Cpush")), "{scopes:?}");
}

#[test]
fn a_refresh_token_is_exchanged() {
    let server = TestRegistry::start();
    server.require_login("refresh", "r-token", true);
    let registry = with_login(Some((server.address(), Secret::Refresh("r-token".to_owned()))));
    push(&registry, &format!("{}/a", server.address()), b"x", &[]).unwrap();
    let wrong = with_login(Some((server.address(), Secret::Refresh("other".to_owned()))));
    let error = push(&wrong, &format!("{}/a", server.address()), b"y", &[]).unwrap_err();
    let text = error.in_one_line().replace(&server.address(), "HOST");
    expect!["`HOST` does not let the token in the command line push `HOST/a` (token server `HOST` answered 401 Unauthorized)"].assert_eq(&text);
}

#[test]
fn a_password_is_shown_where_it_is_asked_for() {
    let server = TestRegistry::start();
    server.require_login("me", "pass", false);
    let secret = |password: &str| Secret::Password { user: "me".to_owned(), password: password.to_owned() };
    let registry = with_login(Some((server.address(), secret("pass"))));
    push(&registry, &format!("{}/a", server.address()), b"x", &[]).unwrap();
    registry.check_login(&server.address()).unwrap();
    let wrong = with_login(Some((server.address(), secret("w-r-o-n-g"))));
    let error = wrong.check_login(&server.address()).unwrap_err().in_one_line();
    assert!(
        error.contains("does not take the login of `me` (of the command line)")
            && !error.contains("w-r-o-n-g"),
        "{error}"
    );
    let nobody = session().check_login(&server.address()).unwrap_err().in_one_line();
    assert!(nobody.contains("asks for a user name and a password"), "{nobody}");
}

#[test]
fn a_manifest_says_its_digest() {
    let server = TestRegistry::start();
    let name: Reference = format!("{}/a:1", server.address()).parse().unwrap();
    let digest = session().push_manifest(&name, &MediaType::OCI_MANIFEST, b"{}").unwrap();
    assert_eq!(digest, Digest::of(b"{}"));
    assert_eq!(server.manifest("a", "1").unwrap(), (MediaType::OCI_MANIFEST, b"{}".to_vec()));
    let pinned = name.repository();
    session().push_manifest(&pinned, &MediaType::OCI_INDEX, b"[]").unwrap();
    assert!(server.manifest("a", &Digest::of(b"[]").to_string()).is_some());
}

#[test]
fn content_that_is_short_is_an_error() {
    let server = TestRegistry::start();
    let descriptor = Descriptor::of(MediaType::OCI_LAYER_GZIP, &large());
    let content = |_: u64| Ok(Box::new(Cursor::new(vec![1_u8, 2, 3])) as Box<dyn Read + Send>);
    let blob = Blob { descriptor: &descriptor, content: &content, sources: &[], begun: None };
    let name: Reference = format!("{}/a", server.address()).parse().unwrap();
    let error = session().push_blob(&name, blob, &mut |_| {}).unwrap_err();
    assert!(error.in_one_line().contains("cannot read what is to be sent"), "{}", error.in_one_line());
}

#[test]
fn an_upload_goes_on_at_the_registry_however_that_is_spelled() {
    let check = |said: &str, meant: &str| {
        assert_eq!(super::own_place(&session(), "reg.example", said.to_owned()), meant);
    };
    check("http://reg.example/u/1?a=b", "https://reg.example/u/1?a=b");
    check("HTTP://Reg.Example/u/1", "https://reg.example/u/1");
    check("http://reg.example:80/u/1", "https://reg.example/u/1");
    check("http://reg.example?a=b", "https://reg.example/?a=b");
    for other in ["http://reg.example:5000/u", "http://reg.example.org/u", "https://reg.example/u", "odd"] {
        check(other, other);
    }
}

#[test]
fn a_place_spelled_in_another_way_gets_the_login() {
    let server = Server::start(|request: &Received| {
        if request.header("authorization") != Some("Basic bWU6c2VjcmV0") {
            return Answer::status(401).header("WWW-Authenticate", "Basic realm=\"test\"");
        }
        let host = request.header("host").unwrap_or_default().to_ascii_uppercase();
        match request.method.as_str() {
            "POST" => Answer::status(202).header("Location", &format!("http://{host}/u?state=1")),
            "PUT" => Answer::status(201),
            _ => Answer::status(404),
        }
    });
    let host = server.address().replace("127.0.0.1", "localhost");
    let secret = Secret::Password { user: "me".to_owned(), password: "secret".to_owned() };
    let registry = with_login(Some((host.clone(), secret)));
    assert_eq!(push(&registry, &format!("{host}/app"), b"small", &[]).unwrap(), Pushed::Sent);
}
