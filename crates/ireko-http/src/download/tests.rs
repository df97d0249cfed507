//! Downloads from servers that break off, change their mind or say no.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ireko_testkit::{Answer, Received, Server};

use super::{Download, Downloaded, KnownFile};
use crate::{Client, HttpError, Options, Patience, Request};

/// What came, and how often it began.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    begun: usize,
    /// Stops asking for more after so many bytes.
    full: Option<usize>,
}

impl Download for Taken {
    fn begin(&mut self, _length: Option<u64>) -> io::Result<()> {
        self.begun += 1;
        self.bytes.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        match self.full {
            Some(full) if self.bytes.len() > full => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

fn client() -> Client {
    let patience = Patience { pause: Duration::from_millis(1), attempts: 3, ..Patience::default() };
    Client::new(Options { patience, ..Options::default() })
}

fn download(server: &Server, known: Option<&str>, taken: &mut Taken) -> Result<Downloaded, HttpError> {
    let url = server.url("/file");
    let known = known.map(|etag| KnownFile { url: url.clone(), etag: etag.to_owned() });
    client().download(&Request::get(&url).unwrap(), known.as_ref(), taken)
}

const TEXT: &[u8] = b"0123456789";

/// Answers a range request as a server does that knows ranges.
fn ranged(request: &Received, etag: &str) -> Answer {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let start: Option<usize> = range.and_then(|range| range.parse().ok());
    match start.filter(|_| request.header("if-range") == Some(etag)) {
        Some(start) => {
            let said = format!("bytes {start}-{}/{}", TEXT.len() - 1, TEXT.len());
            Answer::status(206).body(&TEXT[start..]).header("Content-Range", &said).header("ETag", etag)
        }
        None => Answer::ok(TEXT).header("ETag", etag),
    }
}

#[test]
fn a_cut_connection_is_gone_on_from() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request: &Received| {
        let answer = ranged(request, "\"a\"");
        if asked.fetch_add(1, Ordering::SeqCst) < 4 { answer.cut_after(2) } else { answer }
    });
    let mut taken = Taken::default();
    let Downloaded::Whole(validators) = download(&server, None, &mut taken).unwrap() else { panic!() };
    assert_eq!((taken.bytes.as_slice(), taken.begun), (TEXT, 1));
    assert_eq!(validators.etag.as_deref(), Some("\"a\""));
}

#[test]
fn a_file_that_changed_meanwhile_begins_again() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request: &Received| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::ok("old content").header("ETag", "\"old\"").cut_after(3),
        _ => ranged(request, "\"new\""),
    });
    let mut taken = Taken::default();
    download(&server, None, &mut taken).unwrap();
    assert_eq!((taken.bytes.as_slice(), taken.begun), (TEXT, 2));
}

#[test]
fn without_a_strong_validator_it_begins_again_and_gives_up_in_the_end() {
    let server = Server::start(|_: &Received| Answer::ok(TEXT).header("ETag", "W/\"weak\"").cut_after(5));
    let mut taken = Taken::default();
    let error = download(&server, None, &mut taken).unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error}");
    assert_eq!(taken.begun, 3);
    assert!(server.received().iter().all(|request| request.header("range").is_none()));
}

#[test]
fn what_is_known_is_not_sent_again() {
    let server = Server::start(|request: &Received| match request.header("if-none-match") {
        Some("\"a\"") => Answer::status(304),
        _ => Answer::ok(TEXT).header("ETag", "\"a\"").header("Last-Modified", "then"),
    });
    let mut taken = Taken::default();
    assert_eq!(download(&server, Some("\"a\""), &mut taken).unwrap(), Downloaded::Unchanged);
    assert_eq!(taken.begun, 0);
    let Downloaded::Whole(validators) = download(&server, Some("\"b\""), &mut taken).unwrap() else {
        panic!()
    };
    assert_eq!(validators.last_modified.as_deref(), Some("then"));
}

#[test]
fn a_redirect_to_another_file_is_not_taken_for_the_known_one() {
    let server = Server::start(|request: &Received| match request.path.as_str() {
        "/file" => Answer::status(302).header("Location", "/new"),
        _ if request.header("if-none-match").is_some() => Answer::status(304),
        _ => Answer::ok(request.path.as_bytes()).header("ETag", "\"1\""),
    });
    let known = |path: &str| KnownFile { url: server.url(path), etag: "\"1\"".to_owned() };
    let request = Request::get(&server.url("/file")).unwrap();
    for other in ["/old", "/file"] {
        let mut taken = Taken::default();
        let Downloaded::Whole(validators) =
            client().download(&request, Some(&known(other)), &mut taken).unwrap()
        else {
            panic!("{other}")
        };
        assert_eq!((taken.bytes.as_slice(), validators.known()), (&b"/new"[..], Some(known("/new"))));
    }
    let unchanged = client().download(&request, Some(&known("/new")), &mut Taken::default()).unwrap();
    assert_eq!(unchanged, Downloaded::Unchanged);
}

#[test]
fn a_weak_validator_is_not_remembered() {
    let server = Server::start(|_: &Received| Answer::ok(TEXT).header("ETag", "W/\"1\""));
    let Downloaded::Whole(validators) = download(&server, None, &mut Taken::default()).unwrap() else {
        panic!()
    };
    assert_eq!(validators.known(), None);
}

#[test]
fn a_part_nobody_asked_for_is_no_file() {
    let server = Server::start(|_: &Received| {
        Answer::status(206).body("abc").header("Content-Range", "bytes 0-2/9999")
    });
    let error = download(&server, None, &mut Taken::default()).unwrap_err();
    assert!(matches!(error, HttpError::Status { status: 206, .. }), "{error}");
}

/// A server whose first answer breaks after four bytes, and whose rest is of `etag` and a file of `whole` bytes.
fn spliced(etag: &'static str, whole: u32) -> Vec<u8> {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request: &Received| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::ok(TEXT).header("ETag", "\"x\"").cut_after(4),
        _ if request.header("range").is_some() => Answer::status(206)
            .body("efghij")
            .header("Content-Range", &format!("bytes 4-9/{whole}"))
            .header("ETag", etag),
        _ => Answer::ok("abcdefghij").header("ETag", "\"y\""),
    });
    let mut taken = Taken::default();
    download(&server, None, &mut taken).unwrap();
    taken.bytes
}

#[test]
fn halves_of_two_files_are_not_put_together() {
    assert_eq!(spliced("\"y\"", 10), b"abcdefghij");
    assert_eq!(spliced("\"x\"", 11), b"abcdefghij");
    assert_eq!(spliced("\"x\"", 10), b"0123efghij");
}

#[test]
fn a_pause_before_another_try_ends_when_asked_to_stop() {
    let server = Server::start(|_: &Received| Answer::status(503).header("Retry-After", "19"));
    let client = client();
    let (waiting, url) = (client.clone(), server.url("/file"));
    let began = std::time::Instant::now();
    let thread = std::thread::spawn(move || waiting.get(&url, &[]).map(drop));
    while server.received().is_empty() {
        std::thread::yield_now();
    }
    client.abort();
    assert!(matches!(thread.join().unwrap(), Err(HttpError::Aborted)));
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn refusals_and_full_disks_end_it() {
    let server = Server::start(|_: &Received| Answer::status(404).body("not here"));
    let error = download(&server, None, &mut Taken::default()).unwrap_err();
    assert!(matches!(error, HttpError::Status { status: 404, .. }), "{error}");
    let server = Server::start(|_: &Received| Answer::ok(TEXT));
    let mut taken = Taken { full: Some(3), ..Taken::default() };
    let error = download(&server, None, &mut taken).unwrap_err();
    assert!(matches!(error, HttpError::Write { .. }), "{error}");
}

#[test]
fn a_login_goes_with_the_request_and_not_into_messages() {
    let server = Server::start(|request: &Received| match request.header("authorization") {
        Some("Basic bWU6cGFzcw==") => Answer::status(404),
        _ => Answer::status(401),
    });
    let url = server.url("/a b").replace("http://", "http://me:pass@");
    let error = client().download(&Request::get(&url).unwrap(), None, &mut Taken::default()).unwrap_err();
    assert!(matches!(error, HttpError::Status { status: 404, .. }), "{error}");
    assert!(!error.to_string().contains("pass"));
    assert_eq!(server.received()[0].path, "/a%20b");
}

#[test]
fn a_stalled_server_is_left_when_asked_to_stop() {
    let server = Server::start(|_: &Received| {
        std::thread::sleep(Duration::from_secs(30));
        Answer::ok(TEXT)
    });
    let client = client();
    let waiting = client.clone();
    let url = server.url("/file");
    let began = std::time::Instant::now();
    let thread = std::thread::spawn(move || {
        waiting.download(&Request::get(&url).unwrap(), None, &mut Taken::default())
    });
    while server.received().is_empty() {
        std::thread::yield_now();
    }
    client.abort();
    assert!(matches!(thread.join().unwrap(), Err(HttpError::Aborted)));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(matches!(client.get(&server.url("/file"), &[]), Err(HttpError::Aborted)));
}
