//! Docker and Podman by their API: what they hold, images into them and out of them.
//!
//! Podman answers Docker's API, so there is one client; where the two differ, [`Kind`] says which it is. Everything
//! blocks. This crate knows no environment: what people set is given in [`Surroundings`], and [`named`] and [`usual`]
//! make addresses of it.
//!
//! An engine is asked for what it has ([`Engine::image`]), given an archive ([`Engine::load`]), and gives one
//! ([`Engine::save`]). What is in an archive is for `ireko-image` to know.
//!
//! Read first [`Engine`].
#![forbid(unsafe_code)]

mod address;
mod error;
mod ssh;
mod transfers;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ireko_http::{self as http, Body, Client, Request, Response};
use ireko_oci::Digest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use ssh::Tunnel;

pub use address::{Address, AddressError, Surroundings, context_of, named, usual};
pub use error::{EngineError, SshTrouble};
pub use ssh::{Far, Life, Program, Programs, Ssh};
pub use transfers::Transfers;

/// No answer but an archive is longer.
const ANSWER_MAX: u64 = 64 << 20;
/// Who takes longer to say that it is there hangs. One that its socket starts is there in a second.
const GREETING: Duration = Duration::from_secs(5);
/// Unpacking a large image may take so long.
const WORK: Duration = Duration::from_secs(600);
/// Of an engine's words, so many are shown.
const WORDS_MAX: usize = 300;
/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/').remove(b':');

/// Which engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that has not answered yet.
    Unknown,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "the engine",
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        }
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    client: Client,
    base: String,
    /// What carries the connections, where `ssh` does.
    tunnel: Option<(Arc<Tunnel>, Far)>,
    /// Which it is; what is not known yet is called an engine.
    pub kind: Kind,
    /// Where it is, for people.
    pub place: String,
    /// It is older than images in containerd's store.
    before_content: bool,
}

/// The first version of Docker's API (engine 23) that has images in containerd's store.
const CONTENT_SINCE: (u32, u32) = (1, 42);

/// An image that an engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineImage {
    /// What the engine knows it by: the config's digest, or that of a manifest or index where the engine keeps those.
    pub id: Digest,
    /// Its layers, bottom first.
    pub diff_ids: Vec<Digest>,
    /// `os/architecture` or `os/architecture/variant`.
    pub platform: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: String,
    #[serde(default, rename = "RootFS")]
    root_fs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    #[serde(default)]
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default)]
    driver_status: Option<Vec<Vec<String>>>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    message: String,
}

impl Engine {
    /// Connects to an engine. Its transfers are among `transfers` from the first on; `programs` start `ssh`.
    ///
    /// # Errors
    /// Nobody answers there within a few seconds, or who answers is no engine.
    pub fn connect(
        address: &Address,
        transfers: &Transfers,
        programs: Option<&Arc<dyn Programs>>,
    ) -> Result<Self, EngineError> {
        let mut options = http::Options::default();
        let (mut greeting, mut tunnel) = (GREETING, None);
        let (base, place) = match address {
            Address::Socket(path) => {
                options.socket = Some(path.clone());
                ("http://engine".to_owned(), path.display().to_string())
            }
            Address::Tcp { host, certificates } => {
                let scheme = if certificates.is_some() { "https" } else { "http" };
                if let Some(dir) = certificates {
                    options.http_certificates(dir);
                }
                (format!("{scheme}://{host}"), address::without_password(host))
            }
            Address::Ssh(ssh) => {
                greeting = ssh::GREETING;
                let carries = Arc::new(Tunnel::new(ssh.clone(), programs.cloned()));
                options.dial = Some(Arc::clone(&carries) as Arc<dyn http::Dial>);
                tunnel = Some((carries, ssh.far));
                ("http://engine".to_owned(), ssh.to_string())
            }
        };
        // One that is gone refuses at once.
        options.patience.attempts = 1;
        options.patience.connect = greeting;
        let client = Client::new(options);
        transfers.add(&client);
        let (client_now, kind) = (client.with_answer_within(greeting), Kind::Unknown);
        let mut engine = Self { client: client_now, base, tunnel, kind, place, before_content: false };
        let response = engine.ask("reach the engine", engine.request(Request::get, "/_ping")?)?;
        if !response.is_success() {
            return Err(engine.refused("reach the engine", response));
        }
        // Podman answers Docker's API, and says so in a header of its own.
        let is_podman = response.header("libpod-api-version").is_some()
            || response.header("server").is_some_and(|server| server.starts_with("Libpod"));
        let version = response.header("api-version").and_then(|version| version.split_once('.'));
        let version = version.and_then(|(one, two)| Some((one.parse().ok()?, two.parse().ok()?)));
        engine.before_content = version.is_some_and(|version: (u32, u32)| version < CONTENT_SINCE);
        engine.kind = if is_podman { Kind::Podman } else { Kind::Docker };
        engine.client = client.with_answer_within(WORK);
        Ok(engine)
    }

    /// Whether images lie in containerd's store, which takes no archive without all layers.
    pub fn keeps_content(&self) -> Result<bool, EngineError> {
        // What Docker says of itself takes it up to 30 ms.
        if self.kind == Kind::Podman || self.before_content {
            return Ok(false);
        }
        let info: Info = self.json("ask the engine about itself", "/info")?.unwrap_or_default();
        let rows = info.driver_status.unwrap_or_default();
        Ok(rows.iter().any(|row| row.iter().any(|text| text.contains("io.containerd.snapshotter"))))
    }

    /// The image of this name or id.
    pub fn image(&self, name: &str) -> Result<Option<EngineImage>, EngineError> {
        let deed = "look up an image";
        let path = format!("/images/{}/json", utf8_percent_encode(name, PLAIN));
        let Some(found) = self.json::<Inspected>(deed, &path)? else { return Ok(None) };
        let digest = |text: &str| {
            let text = if text.contains(':') { text.to_owned() } else { format!("sha256:{text}") };
            text.parse::<Digest>().map_err(|_| self.strange(deed, &format!("the id `{text}`")))
        };
        let layers = found.root_fs.layers.unwrap_or_default();
        let mut platform = format!("{}/{}", found.os, found.architecture);
        if !found.variant.is_empty() {
            platform += &format!("/{}", found.variant);
        }
        Ok(Some(EngineImage {
            id: digest(&found.id)?,
            diff_ids: layers.iter().map(|layer| digest(layer)).collect::<Result<_, _>>()?,
            platform,
        }))
    }

    /// The ids of all images, without those that others are made of.
    pub fn images(&self) -> Result<Vec<String>, EngineError> {
        let rows: Vec<Listed> = self.json("list images", "/images/json")?.unwrap_or_default();
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Hands it an archive of images. What the engine says of them comes back, a line each.
    ///
    /// # Errors
    /// The archive cannot be read to its end; the engine refuses it, goes away, or its answer is cut off.
    pub fn load(&self, archive: &mut dyn Read) -> Result<Vec<String>, EngineError> {
        let deed = "load an image";
        let request = self.request(Request::post, "/images/load?quiet=1")?;
        let request =
            request.header("content-type", "application/x-tar").map_err(|cause| self.http(deed, cause))?;
        let sent = self.client.upload(&request, archive, None, &mut |_| {});
        let mut response = sent.map_err(|cause| self.http(deed, cause))?;
        if !response.is_success() {
            return Err(self.refused(deed, response));
        }
        let bytes = response.body.read_up_to(ANSWER_MAX).map_err(|cause| self.http(deed, cause))?;
        let mut lines = Vec::new();
        let bytes = bytes.ok_or_else(|| self.strange(deed, "more than it may"))?;
        // One document after the other; an engine that fails half way says so in one of them, with status 200.
        for told in serde_json::Deserializer::from_slice(&bytes).into_iter::<Told>() {
            let told = told.map_err(|_| self.strange(deed, "something that is no such document"))?;
            if let Some(error) = told.error {
                return Err(EngineError::Refused { deed, place: self.name(), said: words(&error) });
            }
            let said = told.stream.unwrap_or_default();
            lines.extend(said.lines().map(str::to_owned).filter(|line| !line.is_empty()));
        }
        Ok(lines)
    }

    /// An image as an archive.
    ///
    /// # Errors
    /// It is not there, or the engine goes away.
    pub fn save(&self, name: &str) -> Result<Body, EngineError> {
        let deed = "fetch an image";
        let path = format!("/images/{}/get", utf8_percent_encode(name, PLAIN));
        let response = self.ask(deed, self.request(Request::get, &path)?)?;
        if response.is_success() { Ok(response.body) } else { Err(self.refused(deed, response)) }
    }

    /// Who it is and where, for people.
    pub fn name(&self) -> String {
        format!("{} at {}", self.kind.name(), self.place)
    }

    fn request(
        &self,
        make: fn(&str) -> Result<Request, http::HttpError>,
        path: &str,
    ) -> Result<Request, EngineError> {
        make(&format!("{}{path}", self.base)).map_err(|cause| self.http("ask the engine", cause))
    }

    fn ask(&self, deed: &'static str, request: Request) -> Result<Response, EngineError> {
        self.client.send(&request).map_err(|cause| self.http(deed, cause))
    }

    /// A document; nothing where the engine has no such thing.
    fn json<T: for<'a> Deserialize<'a>>(
        &self,
        deed: &'static str,
        path: &str,
    ) -> Result<Option<T>, EngineError> {
        let mut response = self.ask(deed, self.request(Request::get, path)?)?;
        if response.status() == 404 {
            return Ok(None);
        }
        if !response.is_success() {
            return Err(self.refused(deed, response));
        }
        let bytes = response.body.read_up_to(ANSWER_MAX).map_err(|cause| self.http(deed, cause))?;
        let bytes = bytes.ok_or_else(|| self.strange(deed, "more than it may"))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| self.strange(deed, "something that is no such document"))
    }

    fn refused(&self, deed: &'static str, mut response: Response) -> EngineError {
        let status = format!("{} {}", response.status(), response.reason());
        let bytes = response.body.read_up_to(64 << 10).ok().flatten().unwrap_or_default();
        let said = match serde_json::from_slice::<Complaint>(&bytes) {
            Ok(complaint) if !complaint.message.is_empty() => words(&complaint.message),
            _ => status,
        };
        EngineError::Refused { deed, place: self.name(), said }
    }

    fn strange(&self, deed: &'static str, said: &str) -> EngineError {
        EngineError::Refused { deed, place: self.name(), said: format!("it answered {said}") }
    }

    fn http(&self, deed: &'static str, mut cause: http::HttpError) -> EngineError {
        let end = self.tunnel.as_ref().and_then(|(tunnel, far)| Some((tunnel.end(&cause)?, far)));
        if let Some((end, far)) = end.as_ref().filter(|(end, _)| end.is_failure()) {
            let trouble = SshTrouble::of(end, **far);
            let said = match (trouble, end.code) {
                (SshTrouble::Missing, _) => "`ssh` is not installed".to_owned(),
                (_, Some(code)) if end.said.is_empty() => format!("`ssh` ended with exit code {code}"),
                _ => format!("`ssh` says: {}", end.said),
            };
            return EngineError::Ssh { deed, place: self.name(), said, trouble };
        }
        // Behind a socket a host's name says nothing.
        if let http::HttpError::Connect { host, .. }
        | http::HttpError::Timeout { host, .. }
        | http::HttpError::Broken { host, .. } = &mut cause
        {
            host.clone_from(&self.place);
        }
        let aside = end.map(|(end, _)| format!(" (`ssh` says: {})", end.said)).unwrap_or_default();
        EngineError::Http { deed, place: self.name(), aside: aside.into(), cause }
    }
}

/// An engine's words in one short line.
fn words(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect()
}

/// The files of a directory of certificates as `docker` lays it out.
trait Certificates {
    fn http_certificates(&mut self, dir: &Path);
}

impl Certificates for http::Options {
    fn http_certificates(&mut self, dir: &Path) {
        let file = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
        self.ca_files.extend(file("ca.pem"));
        self.identity = file("cert.pem").zip(file("key.pem"));
    }
}

#[cfg(test)]
mod tests;
