//! Downloads from servers that break off, change their mind or say no.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ireko_testkit::{Answer, Received, Server};

use super::{Download, Downloaded};
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
    client().download(&Request::get(&server.url("/file")).unwrap(), known, taken)
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
