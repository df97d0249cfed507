//! A session with registries: hosts, tokens, and what a refusal means.

use std::net::IpAddr;

use ireko_oci::Reference;
use serde::Deserialize;

use crate::auth::{self, Challenge, NoToken, Tokens};
use crate::error::RegistryError;
use ireko_http::{self as http, Client, Request, Response};

/// What Docker calls `docker.io` is served here.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// Of a refusal's text, this much is read, and this much is shown.
const REFUSAL_MAX: u64 = 64 << 10;
const REFUSAL_SHOWN: usize = 200;

/// What a registry session is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections.
    pub http: http::Options,
    /// Hosts, with their ports, that are spoken to in plain HTTP. This machine always is, save on port 443.
    pub insecure: Vec<String>,
    /// The largest manifest or config accepted.
    pub document_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { http: http::Options::default(), insecure: Vec::new(), document_limit: 4 << 20 }
    }
}

/// A session with any number of registries. Several threads may use one at the same time.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    insecure: Vec<String>,
    pub(crate) document_limit: u64,
    tokens: Tokens,
}

impl Registry {
    /// A session; nothing is opened before the first request.
    pub fn new(options: Options) -> Self {
        let Options { http, insecure, document_limit } = options;
        Self { client: Client::new(http), insecure, document_limit, tokens: Tokens::default() }
    }

    /// The HTTP client below, which shares the connections.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The host that serves a reference, as in a URL.
    pub fn host(reference: &Reference) -> &str {
        match reference.domain() {
            DOCKER_HUB => DOCKER_HUB_HOST,
            other => other,
        }
    }

    /// The URL of something in a reference's repository.
    pub(crate) fn url(&self, reference: &Reference, rest: &str) -> String {
        let host = Self::host(reference);
        let scheme = if self.is_plain(host) { "http" } else { "https" };
        format!("{scheme}://{host}/v2/{}/{rest}", reference.path())
    }

    fn is_plain(&self, host: &str) -> bool {
        let (name, port) = split_port(host);
        if self.insecure.iter().any(|listed| listed == host || listed == name) {
            return true;
        }
        let is_here = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        };
        is_here && port != Some("443")
    }

    /// Sends a request about a repository, with a token where the registry wants one.
    pub(crate) fn send(
        &self,
        reference: &Reference,
        what: &str,
        request: &Request,
    ) -> Result<Response, RegistryError> {
        let (host, repository) = (Self::host(reference), reference.path());
        let failed = |cause| RegistryError::Http { what: what.to_owned(), cause };
        let with = |token: &str| request.clone().header("authorization", &format!("Bearer {token}"));
        let response = match self.tokens.get(host, repository) {
            Some(token) => self.client.send(&with(&token).map_err(failed)?).map_err(failed)?,
            None => self.client.send(request).map_err(failed)?,
        };
        // A redirect's target may ask for credentials of its own; those are nobody's to give.
        if response.status() != 401 || response.host() != request.host() {
            return Ok(response);
        }
        let challenges: Vec<_> = response.headers("www-authenticate").flat_map(Challenge::parse).collect();
        drop(response);
        let denied =
            |said| RegistryError::Denied { reference: reference.familiar(), host: host.to_owned(), said };
        let token =
            auth::fetch_token(&self.client, &challenges, repository).map_err(|problem| match problem {
                NoToken::Denied(said) => denied(said),
                NoToken::Useless(said) => {
                    RegistryError::Unavailable { what: what.to_owned(), host: host.to_owned(), said }
                }
                NoToken::Http(cause) => failed(cause),
            })?;
        let response = self.client.send(&with(&token).map_err(failed)?).map_err(failed)?;
        self.tokens.put(host, repository, token);
        Ok(response)
    }

    /// Turns an answer that is no success into an error.
    pub(crate) fn refusal(&self, reference: &Reference, what: &str, mut response: Response) -> RegistryError {
        let said = describe(&mut response);
        let (what, host) = (what.to_owned(), response.host());
        match response.status() {
            404 => {
                RegistryError::NotFound { reference: reference.familiar(), host, said, similar: Vec::new() }
            }
            401 | 403 => RegistryError::Denied { reference: reference.familiar(), host, said },
            408 | 429 | 500 | 502 | 503 | 504 => RegistryError::Unavailable { what, host, said },
            _ => RegistryError::Status { what, host, said },
        }
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

/// Status, and the registry's own words in one short line.
fn describe(response: &mut Response) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        errors: Vec<Complaint>,
    }
    #[derive(Deserialize)]
    struct Complaint {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let status = format!("{} {}", response.status(), response.reason());
    // If the text of a refusal cannot be had, the status says enough.
    let Ok(Some(bytes)) = response.body.read_up_to(REFUSAL_MAX) else { return status };
    let is_page = response.header("content-type").is_some_and(|kind| kind.contains("html"));
    let words = match serde_json::from_slice::<Refusal>(&bytes) {
        Ok(Refusal { errors }) => match errors.into_iter().next() {
            Some(Complaint { code, message }) if message.is_empty() => code,
            Some(Complaint { code, message }) => format!("{code}: {message}"),
            None => String::new(),
        },
        Err(_) if is_page => String::new(),
        Err(_) => String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned(),
    };
    let words: String = words.chars().filter(|letter| !letter.is_control()).take(REFUSAL_SHOWN).collect();
    if words.trim().is_empty() { status } else { format!("{status}, {}", words.trim()) }
}

#[cfg(test)]
mod tests;
