//! Pushing: blobs that a registry lacks, then what refers to them.

mod early;

use std::io::Read;
use std::time::Duration;

use ireko_oci::{Algorithm, Descriptor, Digest, MediaType, Reference};

use crate::auth::Scope;
use crate::error::RegistryError;
use crate::pull::{blob_of, manifest_of};
use crate::registry::Registry;
use ireko_http::{HttpError, Request, Response};
use ireko_report::Blame;

pub use early::Begun;

/// Blobs up to this size are sent in one request with their digest.
const SMALL: u64 = 1 << 20;
/// What is sent at once where a registry, or something before it, refuses more for its size.
const CHUNKS: [u64; 4] = [32 << 20, 8 << 20, 1 << 20, 512 << 10];
/// How many other repositories are tried as the source of a blob.
const SOURCES_MAX: usize = 3;

/// Opens what is pushed, from a byte on.
pub type Content<'a> = &'a (dyn Fn(u64) -> std::io::Result<Box<dyn Read + Send>> + Sync);

/// A blob that is to be in a repository.
#[derive(Clone, Copy)]
pub struct Blob<'a> {
    /// Its digest, size and type.
    pub descriptor: &'a Descriptor,
    /// Its bytes.
    pub content: Content<'a>,
    /// Other repositories of the same registry that may have it.
    pub sources: &'a [Reference],
    /// An upload of it that was begun before its digest was known: see [`Registry::begin_blob`].
    pub begun: Option<&'a Begun>,
}

/// How a blob came to be in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Present,
    /// The registry took it over from this repository of its own.
    Mounted(String),
    /// It was sent.
    Sent,
}

/// An upload that was begun.
struct Upload {
    /// Where it goes on.
    url: String,
    /// How many bytes the registry has.
    offset: u64,
}

/// A repository that something is sent to.
struct Place<'a> {
    registry: &'a Registry,
    destination: &'a Reference,
    /// What is sent.
    what: String,
    scope: Scope,
}

/// A blob on its way into a repository.
struct Sending<'a> {
    place: Place<'a>,
    blob: &'a Descriptor,
    content: Content<'a>,
    /// The most that is sent in one request.
    chunk: u64,
}

impl Registry {
    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// The registry refuses to say, or stays out of reach.
    pub fn has_blob(&self, reference: &Reference, blob: &Descriptor) -> Result<bool, RegistryError> {
        let destination = self.hosts.destination(reference)?;
        Place::new(self, &destination, blob_of(reference, blob)).has(&blob.digest)
    }

    /// Brings a blob into a repository, unless it is there: from one of its sources, or else byte by byte. A transfer
    /// that breaks goes on where the registry says it stopped. One that was begun before is closed, or else given up.
    /// `progress` is told how many bytes have been sent so far.
    ///
    /// # Errors
    /// The registry refuses, or stays out of reach; the content cannot be read or is not what its digest says.
    pub fn push_blob(
        &self,
        reference: &Reference,
        blob: Blob<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Pushed, RegistryError> {
        let Blob { descriptor: blob, content, sources, begun } = blob;
        let destination = &self.hosts.destination(reference)?;
        let place = Place::new(self, destination, blob_of(reference, blob));
        let mut sending = Sending { place, blob, content, chunk: u64::MAX };
        if let Some(begun) = begun {
            let is_closed = sending.close_begun(begun);
            if !is_closed {
                sending.place.abandon(begun);
            }
            // The answer may have been lost, not the request.
            if is_closed || sending.place.has(&blob.digest)? {
                progress(blob.size);
                return Ok(Pushed::Sent);
            }
        } else if sending.place.has(&blob.digest)? {
            return Ok(Pushed::Present);
        }
        let is_other = |source: &Reference| {
            source.domain() == destination.domain() && source.path() != destination.path()
        };
        let moved = sources.iter().filter_map(|source| self.hosts.destination(source).ok());
        let mut begun = None;
        for source in moved.filter(is_other).take(SOURCES_MAX) {
            match sending.mount(&source)? {
                Mount::Done => return Ok(Pushed::Mounted(source.path().to_owned())),
                Mount::Begun(upload) => begun = Some(upload),
                Mount::Refused => {}
            }
        }
        sending.send(begun, progress)?;
        Ok(Pushed::Sent)
    }

    /// Puts a manifest or index into a repository, under the reference's tag, or else under its digest alone. The
    /// digest that comes back is the registry's word.
    ///
    /// # Errors
    /// The registry refuses it or is out of reach, or says another digest.
    pub fn push_manifest(
        &self,
        reference: &Reference,
        kind: &MediaType,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let destination = self.hosts.destination(reference)?;
        let what = manifest_of(reference);
        let digest = Digest::of(bytes);
        let name = destination.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let url = self.url(&destination, &format!("manifests/{name}"));
        let request = Request::put(&url).map_err(|cause| http(&what, cause))?;
        let request = request.content(kind.as_str(), bytes.to_owned());
        let scope = Scope::push(destination.path());
        let response =
            self.authorized((&destination, &scope), &what, &request, &mut |it| self.client().send(it))?;
        if !response.is_success() {
            return Err(self.refused(&destination, &what, true, response));
        }
        let said = response.header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        match said.filter(|said| said.algorithm() == Algorithm::Sha256 && *said != digest) {
            None => Ok(digest),
            Some(found) => Err(RegistryError::Mismatch {
                what,
                host: Self::host(&destination).to_owned(),
                expected: digest.to_string(),
                found: found.to_string(),
            }),
        }
    }
}

enum Mount {
    Done,
    Begun(Upload),
    Refused,
}

impl Sending<'_> {
    /// Asks the registry to take a blob over from another repository of its own.
    fn mount(&self, source: &Reference) -> Result<Mount, RegistryError> {
        let query = format!("blobs/uploads/?mount={}&from={}", self.blob.digest, source.path());
        let scope = Scope { from: Some(source.path().to_owned()), ..self.place.scope.clone() };
        let asked = self.place.ask(Request::post(&self.place.url(&query)), &scope);
        let response = match asked {
            Ok(response) => response,
            Err(error) if error.blame() == Blame::Interrupted => return Err(error),
            // Who may not read there, or gets no token for it, sends the bytes.
            Err(_) => return Ok(Mount::Refused),
        };
        Ok(match response.status() {
            201 => Mount::Done,
            202 => self.place.upload(&response).map_or(Mount::Refused, Mount::Begun),
            _ => Mount::Refused,
        })
    }

    fn send(
        &mut self,
        mut begun: Option<Upload>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let patience = self.place.registry.client().patience();
        let (mut tried, mut pause, mut furthest, mut lost) = (0, patience.pause, 0, false);
        loop {
            let mut upload = match begun.take() {
                Some(upload) => upload,
                None => self.begin()?,
            };
            let failure = match self.rest(&mut upload, progress) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let smaller = CHUNKS.into_iter().find(|chunk| *chunk < self.chunk.min(self.blob.size));
            if let Some(smaller) = smaller.filter(|_| failure.status == 413) {
                self.chunk = smaller;
                continue;
            }
            if failure.status == 416 && !lost {
                // The registry has more or less than was thought.
                lost = true;
                begun = self.resume(upload);
                continue;
            }
            tried += 1;
            if !failure.error.retryable() || tried >= patience.attempts.min(failure.error.attempts()) {
                return Err(*failure.error);
            }
            self.place
                .registry
                .client()
                .wait(failure.pause.unwrap_or(pause))
                .map_err(|cause| http(&self.place.what, cause))?;
            // The last answer may have been lost, not the last request.
            if self.place.has(&self.blob.digest)? {
                return Ok(());
            }
            begun = self.resume(upload);
            let reached = begun.as_ref().map_or(0, |upload| upload.offset);
            if reached > furthest {
                // It gets on; only attempts without any progress count.
                (tried, pause, furthest) = (0, patience.pause, reached);
            } else {
                pause *= 2;
            }
        }
    }

    fn begin(&self) -> Result<Upload, RegistryError> {
        let place = &self.place;
        let response = place.ask(Request::post(&place.url("blobs/uploads/")), &place.scope)?;
        if !response.is_success() {
            return Err(place.registry.refused(place.destination, &place.what, true, response));
        }
        place.upload(&response).ok_or_else(|| place.strange("an upload without a place"))
    }

    /// Sends what the registry has not got, and closes the upload.
    fn rest(&self, upload: &mut Upload, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        let size = self.blob.size;
        let is_small = size <= SMALL.min(self.chunk) && upload.offset == 0;
        while upload.offset < size && !is_small {
            let end = upload.offset.saturating_add(self.chunk).min(size);
            let mut request = self.place.part(Request::patch(&upload.url))?;
            if upload.offset > 0 || end < size {
                let range = format!("{}-{}", upload.offset, end - 1);
                request =
                    request.header("content-range", &range).map_err(|cause| self.place.failed(cause))?;
            }
            let part = (upload.offset, Some(end - upload.offset));
            let response = self.place.put(&request, self.content, part, progress)?;
            // What the registry says it has counts.
            let has = response.header("range").and_then(last_byte).and_then(|last| last.checked_add(1));
            let offset = has.filter(|has| *has > upload.offset && *has < end).unwrap_or(end);
            *upload =
                Upload { url: self.place.upload(&response).map_or(upload.url.clone(), |it| it.url), offset };
        }
        self.close(&upload.url, if is_small { 0 } else { size }, progress)
    }

    /// Says the digest of what was sent, and sends the rest.
    fn close(&self, url: &str, from: u64, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        let joint = if url.contains('?') { '&' } else { '?' };
        let digest = self.blob.digest.to_string().replace(':', "%3A");
        let request = self.place.part(Request::put(&format!("{url}{joint}digest={digest}")))?;
        let part = (from, Some(self.blob.size - from));
        let response = self.place.put(&request, self.content, part, progress)?;
        if !matches!(response.status(), 200 | 201 | 204) {
            let said = format!("{} {} at the end of an upload", response.status(), response.reason());
            return Err(self.place.strange(&said).into());
        }
        let said = response.header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        match said
            .filter(|said| said.algorithm() == self.blob.digest.algorithm() && *said != self.blob.digest)
        {
            None => Ok(()),
            Some(found) => Err(RegistryError::Mismatch {
                what: self.place.what.clone(),
                host: Registry::host(self.place.destination).to_owned(),
                expected: self.blob.digest.to_string(),
                found: found.to_string(),
            }
            .into()),
        }
    }

    /// How far a broken upload got; nothing where it must begin again.
    fn resume(&self, upload: Upload) -> Option<Upload> {
        let response = self.place.ask(Request::get(&upload.url), &self.place.scope).ok()?;
        if !response.is_success() {
            return None;
        }
        let last = last_byte(response.header("range")?)?;
        // `0-0` is said of one byte and of none.
        let offset = if last == 0 { return None } else { last.checked_add(1)? };
        let url = self.place.upload(&response).map_or(upload.url, |it| it.url);
        (offset <= self.blob.size).then_some(Upload { url, offset })
    }
}

impl<'a> Place<'a> {
    fn new(registry: &'a Registry, destination: &'a Reference, what: String) -> Self {
        Self { registry, destination, what, scope: Scope::push(destination.path()) }
    }

    fn url(&self, rest: &str) -> String {
        self.registry.url(self.destination, rest)
    }

    fn has(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let response = self.ask(Request::head(&self.url(&format!("blobs/{digest}"))), &self.scope)?;
        match response.status() {
            200..=299 => Ok(true),
            // Some answer a question about a repository that is not there yet with a refusal of its name; whether one
            // may push there, the push itself says.
            400 | 404 | 405 => Ok(false),
            _ => Err(self.registry.refused(self.destination, &self.what, true, response)),
        }
    }

    /// Where an answer says that an upload goes on.
    fn upload(&self, response: &Response) -> Option<Upload> {
        let url = own_place(self.registry, Registry::host(self.destination), response.location()?);
        Some(Upload { url, offset: 0 })
    }

    /// A request that carries a part of a blob.
    fn part(&self, request: Result<Request, HttpError>) -> Result<Request, Failure> {
        request
            .and_then(|request| request.header("content-type", "application/octet-stream"))
            .map_err(|cause| self.failed(cause))
    }

    /// Sends so many bytes of the content from one on, or all of them, without trying again.
    fn put(
        &self,
        request: &Request,
        content: Content<'_>,
        (start, length): (u64, Option<u64>),
        progress: &mut dyn FnMut(u64),
    ) -> Result<Response, Failure> {
        let mut attempt = |request: &Request| {
            let mut content = content(start).map_err(|cause| HttpError::Read { cause })?;
            let client = self.registry.client();
            client.upload(request, &mut content, length, &mut |sent| progress(start + sent))
        };
        let sent =
            self.registry.authorized((self.destination, &self.scope), &self.what, request, &mut attempt);
        let response = sent.map_err(Failure::from)?;
        if response.is_success() {
            return Ok(response);
        }
        let status = response.status();
        let pause = response.pause(Duration::ZERO).filter(|pause| !pause.is_zero());
        let error = self.registry.refused(self.destination, &self.what, true, response);
        Err(Failure { error: Box::new(error), pause, status })
    }

    fn ask(&self, request: Result<Request, HttpError>, scope: &Scope) -> Result<Response, RegistryError> {
        let request = request.map_err(|cause| http(&self.what, cause))?;
        let client = self.registry.client();
        self.registry.authorized((self.destination, scope), &self.what, &request, &mut |it| client.send(it))
    }

    fn failed(&self, cause: HttpError) -> Failure {
        Failure::from(http(&self.what, cause))
    }

    fn strange(&self, said: &str) -> RegistryError {
        let host = Registry::host(self.destination).to_owned();
        RegistryError::Status { what: self.what.clone(), host, said: said.to_owned() }
    }
}

/// Where a registry means: one behind something that adds TLS may not know of it.
fn own_place(registry: &Registry, host: &str, url: String) -> String {
    match Request::get(&url) {
        Ok(place) if place.is_to(host) && !place.is_encrypted() => {
            format!("{}{}", registry.base(host), place.path())
        }
        _ => url,
    }
}

/// Why a part was not taken.
struct Failure {
    error: Box<RegistryError>,
    /// How long the registry wants to be left alone.
    pause: Option<Duration>,
    /// The answer's status; 0 where there was none.
    status: u16,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self { error: Box::new(error), pause: None, status: 0 }
    }
}

/// The last byte that a range names.
fn last_byte(range: &str) -> Option<u64> {
    range.rsplit('-').next()?.parse().ok()
}

fn http(what: &str, cause: HttpError) -> RegistryError {
    RegistryError::Http { deed: "push", what: what.to_owned(), cause }
}

#[cfg(test)]
mod tests;
