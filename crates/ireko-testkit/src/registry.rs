//! A registry in this process, with faults on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ireko_oci::{Digest, MediaType};
use serde_json::json;

use crate::image::TestImage;
use crate::server::{Answer, Received, Server};

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status instead of the content.
    Status(u16),
    /// This status, and a header `Retry-After` with these seconds.
    RetryAfter(u16, u32),
    /// The connection is closed after so many bytes of content.
    Cut(usize),
    /// The connection is closed at once.
    HangUp,
    /// The last byte of the content is another.
    Corrupt,
    /// `Range` is ignored.
    WholeAlways,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<(String, String), (MediaType, Vec<u8>)>,
    faults: Vec<(String, usize, Fault)>,
    token: Option<String>,
}

/// A registry on 127.0.0.1. Blobs belong to all repositories.
pub struct TestRegistry {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl TestRegistry {
    /// Starts an empty registry.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let theirs = Arc::clone(&state);
        let server = Server::start(move |request| answer(&mut theirs.lock().unwrap(), request));
        Self { server, state }
    }

    /// Host and port, as in a reference.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// The server below, which counts requests.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Adds a blob.
    pub fn put_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state.lock().unwrap().blobs.insert(digest.to_string(), bytes.to_owned());
        digest
    }

    /// Adds a manifest or index under its digest, and under a tag.
    pub fn put_manifest(&self, repository: &str, tag: &str, kind: MediaType, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut state = self.state.lock().unwrap();
        for name in [tag.to_owned(), digest.to_string()] {
            state.manifests.insert((repository.to_owned(), name), (kind.clone(), bytes.to_owned()));
        }
        digest
    }

    /// Adds a whole image; returns the digest of its manifest.
    pub fn push(&self, repository: &str, tag: &str, image: &TestImage) -> Digest {
        let (_, manifest, blobs) = image.parts();
        for blob in blobs {
            self.put_blob(&blob);
        }
        self.put_manifest(repository, tag, MediaType::OCI_MANIFEST, &manifest)
    }

    /// The next `times` requests whose path contains `part` go wrong like this.
    pub fn fault(&self, part: &str, times: usize, fault: Fault) {
        self.state.lock().unwrap().faults.push((part.to_owned(), times, fault));
    }

    /// From now on only requests with this token are served; `/token` gives it to everybody.
    pub fn require_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }
}

fn answer(state: &mut State, request: &Received) -> Answer {
    if request.path == "/token" {
        let token = state.token.clone().unwrap_or_default();
        return Answer::ok(json!({ "token": token }).to_string());
    }
    if let Some(token) = &state.token
        && request.header("authorization") != Some(&format!("Bearer {token}"))
    {
        let host = request.header("host").unwrap_or_default();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"test\"");
        return refuse(401, "UNAUTHORIZED").header("WWW-Authenticate", &challenge);
    }
    match take_fault(&mut state.faults, &request.path) {
        None => content(state, request),
        Some(Fault::Status(status)) => refuse(status, "FAULT"),
        Some(Fault::RetryAfter(status, seconds)) => {
            refuse(status, "FAULT").header("Retry-After", &seconds.to_string())
        }
        Some(Fault::HangUp) => Answer::hang_up(),
        Some(Fault::Cut(bytes)) => content(state, request).cut_after(bytes),
        Some(Fault::Corrupt) => content(state, request).corrupted(),
        Some(Fault::WholeAlways) => {
            let mut request = request.clone();
            request.headers.remove("range");
            content(state, &request)
        }
    }
}

fn take_fault(faults: &mut [(String, usize, Fault)], path: &str) -> Option<Fault> {
    let (_, times, fault) =
        faults.iter_mut().find(|(part, times, _)| *times > 0 && path.contains(part.as_str()))?;
    *times -= 1;
    Some(fault.clone())
}

fn refuse(status: u16, code: &str) -> Answer {
    let message = code.to_ascii_lowercase().replace('_', " ");
    Answer::status(status).body(json!({ "errors": [{ "code": code, "message": message }] }).to_string())
}

fn content(state: &State, request: &Received) -> Answer {
    let Some(path) = request.path.strip_prefix("/v2/") else { return refuse(404, "NOT_FOUND") };
    if let Some((repository, name)) = path.rsplit_once("/manifests/") {
        let key = (repository.to_owned(), name.to_owned());
        return match state.manifests.get(&key) {
            Some((kind, bytes)) => Answer::ok(bytes.clone())
                .header("Content-Type", kind.as_str())
                .header("Docker-Content-Digest", &Digest::of(bytes).to_string()),
            None => refuse(404, "MANIFEST_UNKNOWN"),
        };
    }
    if let Some((_, digest)) = path.rsplit_once("/blobs/") {
        return match state.blobs.get(digest) {
            Some(bytes) => blob(bytes, request),
            None => refuse(404, "BLOB_UNKNOWN"),
        };
    }
    if let Some(repository) = path.strip_suffix("/tags/list") {
        let names = state.manifests.keys().filter(|(owner, name)| owner == repository && !name.contains(':'));
        let tags: Vec<&String> = names.map(|(_, name)| name).collect();
        return Answer::ok(json!({ "name": repository, "tags": tags }).to_string());
    }
    if path.is_empty() { Answer::ok("{}") } else { refuse(404, "NOT_FOUND") }
}

fn blob(bytes: &[u8], request: &Received) -> Answer {
    let start = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let Some(start) = start.and_then(|start| start.parse::<usize>().ok()) else {
        return Answer::ok(bytes.to_owned());
    };
    let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) else {
        return refuse(416, "RANGE_INVALID");
    };
    let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
    Answer::status(206).body(rest).header("Content-Range", &range)
}
