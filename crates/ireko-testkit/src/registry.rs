//! A registry in this process, with faults on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
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
    /// Of what is uploaded, so many bytes are taken; then the connection is closed.
    Take(usize),
    /// A page for people in place of the content.
    Page,
    /// No answer comes for a while.
    Silent,
    /// The answer says this `Range`.
    Range(&'static str),
    /// What is uploaded is taken, and the connection is closed without an answer.
    Forget,
    /// Nothing: the request is served.
    Accept,
}

/// Who may come in.
#[derive(Clone, Debug)]
struct Door {
    user: String,
    password: String,
    /// By a token of `/token`, or by the password itself.
    by_token: bool,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<(String, String), (MediaType, Vec<u8>)>,
    faults: Vec<(String, usize, Fault)>,
    token: Option<String>,
    door: Option<Door>,
    uploads: BTreeMap<String, Vec<u8>>,
    /// How many uploads were begun.
    begun: usize,
    /// Where blobs were uploaded to or mounted into.
    owners: BTreeSet<(String, String)>,
    tokens: usize,
}

/// A registry on 127.0.0.1. Blobs that are put there by hand belong to all repositories, uploaded ones to theirs.
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

    /// From now on only who knows this name and password is let in: by a token that `/token` gives them, or by the
    /// password itself. The name `refresh` means that the password is a refresh token.
    pub fn require_login(&self, user: &str, password: &str, by_token: bool) {
        let (user, password) = (user.to_owned(), password.to_owned());
        self.state.lock().unwrap().door = Some(Door { user, password, by_token });
    }

    /// Tokens given so far are good no more.
    pub fn forget_tokens(&self) {
        self.state.lock().unwrap().tokens += 1;
    }

    /// A blob, if the registry has it.
    pub fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.state.lock().unwrap().blobs.get(&digest.to_string()).cloned()
    }

    /// How many uploads were begun, and neither closed nor cancelled.
    pub fn uploads(&self) -> usize {
        self.state.lock().unwrap().uploads.len()
    }

    /// What a name means: type and bytes.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<(MediaType, Vec<u8>)> {
        self.state.lock().unwrap().manifests.get(&(repository.to_owned(), name.to_owned())).cloned()
    }
}

/// Lets in who may come, and gives tokens.
fn guard(state: &State, door: &Door, request: &Received) -> Option<Answer> {
    let host = request.header("host").unwrap_or_default();
    let known = format!("Basic {}", BASE64.encode(format!("{}:{}", door.user, door.password)));
    let token = format!("token{}", state.tokens);
    if request.path == "/token" {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let refreshed = form.contains(&format!("refresh_token={}", door.password));
        let may = match door.user.as_str() {
            "refresh" => request.method == "POST" && refreshed,
            _ => request.header("authorization") == Some(&known),
        };
        let name = if door.user == "refresh" { "access_token" } else { "token" };
        return Some(if may {
            Answer::ok(json!({ name: token }).to_string())
        } else {
            refuse(401, "DENIED")
        });
    }
    let (wanted, challenge) = match door.by_token {
        true => (format!("Bearer {token}"), format!("Bearer realm=\"http://{host}/token\",service=\"test\"")),
        false => (known, "Basic realm=\"test\"".to_owned()),
    };
    let is_in = request.header("authorization") == Some(&wanted);
    (!is_in).then(|| refuse(401, "UNAUTHORIZED").header("WWW-Authenticate", &challenge))
}

fn answer(state: &mut State, request: &Received) -> Answer {
    if let Some(door) = &state.door
        && let Some(answer) = guard(state, door, request)
    {
        return answer;
    }
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
        None | Some(Fault::Accept) => content(state, request),
        Some(Fault::Status(status)) => refuse(status, "FAULT"),
        Some(Fault::RetryAfter(status, seconds)) => {
            refuse(status, "FAULT").header("Retry-After", &seconds.to_string())
        }
        Some(Fault::HangUp) => Answer::hang_up(),
        Some(Fault::Take(bytes)) => {
            let mut request = request.clone();
            request.body.truncate(bytes);
            content(state, &request);
            Answer::hang_up()
        }
        Some(Fault::Page) => Answer::ok("<html>sign in</html>").header("Content-Type", "text/html"),
        Some(Fault::Silent) => {
            std::thread::sleep(std::time::Duration::from_secs(1));
            Answer::hang_up()
        }
        Some(Fault::Range(range)) => Answer::status(204).header("Range", range),
        Some(Fault::Forget) => {
            content(state, request);
            Answer::hang_up()
        }
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

fn content(state: &mut State, request: &Received) -> Answer {
    let Some(path) = request.path.strip_prefix("/v2/") else { return refuse(404, "NOT_FOUND") };
    if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
        return upload(state, request, repository, rest);
    }
    if let Some((repository, name)) = path.rsplit_once("/manifests/").filter(|_| request.method == "PUT") {
        let digest = Digest::of(&request.body);
        let kind = MediaType::new(request.header("content-type").unwrap_or_default());
        for name in [name.to_owned(), digest.to_string()] {
            state.manifests.insert((repository.to_owned(), name), (kind.clone(), request.body.clone()));
        }
        return Answer::status(201).header("Docker-Content-Digest", &digest.to_string());
    }
    if let Some((repository, name)) = path.rsplit_once("/manifests/") {
        let key = (repository.to_owned(), name.to_owned());
        return match state.manifests.get(&key) {
            Some((kind, bytes)) => Answer::ok(bytes.clone())
                .header("Content-Type", kind.as_str())
                .header("Docker-Content-Digest", &Digest::of(bytes).to_string()),
            None => refuse(404, "MANIFEST_UNKNOWN"),
        };
    }
    if let Some((repository, digest)) = path.rsplit_once("/blobs/") {
        let is_owned = state.owners.iter().any(|(_, owned)| owned == digest);
        let is_here = !is_owned || state.owners.contains(&(repository.to_owned(), digest.to_owned()));
        return match state.blobs.get(digest).filter(|_| is_here) {
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

/// The steps of an upload: POST, PATCH, GET, PUT, DELETE.
fn upload(state: &mut State, request: &Received, repository: &str, id: &str) -> Answer {
    let query: BTreeMap<&str, String> = request
        .query
        .split('&')
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name, value.replace("%3A", ":")))
        .collect();
    if request.method == "POST" {
        if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
            && state.owners.contains(&(from.clone(), digest.clone()))
        {
            state.owners.insert((repository.to_owned(), digest.clone()));
            return Answer::status(201).header("Docker-Content-Digest", digest);
        }
        let id = format!("upload{}", state.begun);
        state.begun += 1;
        state.uploads.insert(id.clone(), Vec::new());
        let location = format!("/v2/{repository}/blobs/uploads/{id}?state=0");
        return Answer::status(202).header("Location", &location);
    }
    let Some(held) = state.uploads.get_mut(id) else { return refuse(404, "BLOB_UPLOAD_UNKNOWN") };
    if request.method == "DELETE" {
        state.uploads.remove(id);
        return Answer::status(204);
    }
    let start = request.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
    if start.is_some_and(|start: usize| start != held.len()) {
        return refuse(416, "BLOB_UPLOAD_INVALID");
    }
    held.extend_from_slice(&request.body);
    if request.method == "PUT" {
        let Some(bytes) = state.uploads.remove(id) else { return refuse(404, "BLOB_UPLOAD_UNKNOWN") };
        let digest = Digest::of(&bytes).to_string();
        if query.get("digest") != Some(&digest) {
            return refuse(400, "DIGEST_INVALID");
        }
        state.owners.insert((repository.to_owned(), digest.clone()));
        state.blobs.insert(digest.clone(), bytes);
        return Answer::status(201).header("Docker-Content-Digest", &digest);
    }
    let range = format!("0-{}", held.len().saturating_sub(1));
    let location = format!("/v2/{repository}/blobs/uploads/{id}?state={}", held.len());
    let status = if request.method == "GET" { 204 } else { 202 };
    Answer::status(status).header("Location", &location).header("Range", &range)
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
