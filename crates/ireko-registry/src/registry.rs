//! A session with registries: hosts, tokens, and what a refusal means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ireko_oci::Reference;
use ireko_report::Blame;
use serde::Deserialize;

use crate::auth::{self, Challenge, NoToken, Scope, Tokens};
use crate::error::RegistryError;
use crate::hosts::{self, Hosts};
use crate::keychain::{Keychain, KeychainError, Login, Secret};
use ireko_http::{self as http, Client, HttpError, Request, Response};

/// Of a refusal's text, this much is read, and this much is shown.
const REFUSAL_MAX: u64 = 64 << 10;
const REFUSAL_SHOWN: usize = 200;

/// What a registry session is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections.
    pub http: http::Options,
    /// Mirrors, other places, insecure hosts.
    pub hosts: Hosts,
    /// Logins.
    pub keychain: Keychain,
    /// The largest manifest or config accepted.
    pub document_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        let (http, hosts, keychain) = (http::Options::default(), Hosts::default(), Keychain::default());
        Self { http, hosts, keychain, document_limit: 4 << 20 }
    }
}

/// What a look-up of a login came to.
type Found = Result<Option<Login>, Arc<KeychainError>>;

/// A session with any number of registries. Several threads may use one at the same time.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    pub(crate) hosts: Hosts,
    keychain: Keychain,
    pub(crate) document_limit: u64,
    tokens: Tokens,
    /// Logins that were looked for, by reference without tag and digest.
    logins: Mutex<BTreeMap<String, Arc<Mutex<Option<Found>>>>>,
    /// Insecure hosts, and whether they speak plain HTTP.
    plain: Mutex<BTreeMap<String, bool>>,
    /// Mirrors that could not be reached.
    given_up: Mutex<BTreeSet<String>>,
    notes: Mutex<Vec<String>>,
    /// Why a login that may be somewhere could not be had.
    absent: Mutex<Option<String>>,
}

impl Registry {
    /// A session; nothing is opened before the first request.
    pub fn new(options: Options) -> Self {
        let Options { mut http, hosts, keychain, document_limit } = options;
        http.unverified.clone_from(hosts.insecure_hosts());
        Self {
            client: Client::new(http),
            hosts,
            keychain,
            document_limit,
            tokens: Tokens::default(),
            logins: Mutex::default(),
            plain: Mutex::default(),
            given_up: Mutex::default(),
            notes: Mutex::default(),
            absent: Mutex::default(),
        }
    }

    /// The HTTP client below, which shares the connections.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The host that serves a reference, as in a URL.
    pub fn host(reference: &Reference) -> &str {
        hosts::serving(reference.domain())
    }

    /// What went wrong without being an error, each once: mirrors that did not help, logins that were not there.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.notes))
    }

    fn note(&self, text: String) {
        let mut notes = lock(&self.notes);
        if !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// Does something with a reference where it is: at its mirrors first, at its own place last.
    pub(crate) fn at_each<T>(
        &self,
        reference: &Reference,
        mut deed: impl FnMut(&Reference) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let places = self.hosts.endpoints(reference)?;
        let Some((own, mirrors)) = places.split_last() else { return deed(reference) };
        for mirror in mirrors {
            let host = Self::host(mirror);
            if lock(&self.given_up).contains(host) {
                continue;
            }
            match deed(mirror) {
                Ok(done) => return Ok(done),
                Err(error) if error.blame() == Blame::Interrupted => return Err(error),
                Err(RegistryError::NotFound { .. }) => {}
                Err(error) => {
                    if matches!(error, RegistryError::Http { .. } | RegistryError::Unavailable { .. }) {
                        lock(&self.given_up).insert(host.to_owned());
                    }
                    let why = error.in_one_line();
                    self.note(format!("mirror `{host}` is passed over: {why}"));
                }
            }
        }
        deed(own)
    }

    /// Asks a mirror no more, since what it gave was wrong.
    pub(crate) fn give_up(&self, host: &str, why: &str) {
        if lock(&self.given_up).insert(host.to_owned()) {
            self.note(format!("mirror `{host}` is passed over: {why}"));
        }
    }

    /// The URL of something in a reference's repository.
    pub(crate) fn url(&self, reference: &Reference, rest: &str) -> String {
        let host = Self::host(reference);
        format!("{}/v2/{}/{rest}", self.base(host), reference.path())
    }

    /// Scheme and host.
    pub(crate) fn base(&self, host: &str) -> String {
        let scheme = if self.is_plain(host) { "http" } else { "https" };
        format!("{scheme}://{host}")
    }

    fn is_plain(&self, host: &str) -> bool {
        if let Some(plain) = lock(&self.plain).get(host) {
            return *plain;
        }
        if is_here(host) {
            return true;
        }
        if !self.hosts.is_insecure(host) {
            return false;
        }
        // Listed hosts are asked over TLS first, as Docker does.
        let request = Request::get(&format!("https://{host}/v2/"));
        let plain = match request.and_then(|request| self.client.send(&request)) {
            Ok(_) => false,
            Err(error) => !matches!(error, HttpError::Aborted),
        };
        lock(&self.plain).insert(host.to_owned(), plain);
        plain
    }

    /// Whether an answer to a plain request says that this machine's registry speaks TLS: servers refuse such requests,
    /// or hang up. Asked once for a host.
    fn wants_tls(&self, host: &str, answer: &Result<Response, HttpError>) -> bool {
        let is_sign = match answer {
            Ok(response) => {
                response.status() == 400 && response.header("docker-distribution-api-version").is_none()
            }
            Err(error) => matches!(error, HttpError::Broken { .. }),
        };
        if !is_here(host) || !is_sign || lock(&self.plain).contains_key(host) {
            return false;
        }
        let speaks = Request::get(&format!("https://{host}/v2/"))
            .and_then(|request| self.client.send(&request))
            .is_ok();
        lock(&self.plain).insert(host.to_owned(), !speaks);
        speaks
    }

    /// Whether a secret may be sent with this request.
    fn may_show(&self, request: &Request) -> bool {
        request.is_encrypted() || is_here(&request.host()) || self.hosts.is_insecure(&request.host())
    }

    /// Sends a request about a repository, with a login where the registry wants one.
    pub(crate) fn send(
        &self,
        reference: &Reference,
        what: &str,
        request: &Request,
    ) -> Result<Response, RegistryError> {
        let scope = Scope::pull(reference.path());
        self.authorized((reference, &scope), what, request, &mut |request| self.client.send(request))
    }

    /// Makes a request, with what the registry wants to see of a login. `attempt` is called again after a refusal.
    pub(crate) fn authorized(
        &self,
        (reference, scope): (&Reference, &Scope),
        what: &str,
        request: &Request,
        attempt: &mut dyn FnMut(&Request) -> Result<Response, HttpError>,
    ) -> Result<Response, RegistryError> {
        let host = Self::host(reference);
        // Where a registry sends an upload is not always itself; strangers get no login.
        let is_own = request.is_to(host);
        let deed = if scope.pushes { "push" } else { "fetch" };
        let failed = |cause| RegistryError::Http { deed, what: what.to_owned(), cause };
        let with = |value: &str| request.clone().header("authorization", value).map_err(failed);
        let known = self.tokens.get(host, scope).filter(|_| is_own && self.may_show(request));
        let first = match &known {
            Some(value) => with(value)?,
            None => request.clone(),
        };
        let response = match attempt(&first) {
            // A registry of this machine that speaks TLS after all.
            answer if is_own && !request.is_encrypted() && self.wants_tls(host, &answer) => {
                let request = request.clone().encrypted();
                return self.authorized((reference, scope), what, &request, attempt);
            }
            answer => answer.map_err(failed)?,
        };
        // A redirect's target may ask for credentials of its own; those are nobody's to give.
        if response.status() != 401 || !response.is_from(host) || !is_own {
            return Ok(response);
        }
        let challenges: Vec<_> = response.headers("www-authenticate").flat_map(Challenge::parse).collect();
        drop(response);
        let login = self.login(reference)?;
        if login.is_some() && !self.may_show(request) {
            let said = "it is spoken to without encryption: no password is sent".to_owned();
            return Err(RegistryError::Unavailable { what: what.to_owned(), host: host.to_owned(), said });
        }
        let may_show = |request: &Request| self.may_show(request);
        let value = auth::answer(&self.client, &challenges, scope, login.as_ref(), &may_show);
        let value = value.map_err(|problem| match problem {
            NoToken::Denied(said) => self.denied(reference, scope.pushes, said),
            NoToken::Useless(said) => {
                RegistryError::Unavailable { what: what.to_owned(), host: host.to_owned(), said }
            }
            NoToken::Http(cause) => failed(cause),
        })?;
        let response = attempt(&with(&value)?).map_err(failed)?;
        self.tokens.put(host, scope, value);
        Ok(response)
    }

    /// The login for a reference, looked for once: a locked keyring asks no more often for its password.
    fn login(&self, reference: &Reference) -> Result<Option<Login>, RegistryError> {
        let slot = Arc::clone(lock(&self.logins).entry(reference.name()).or_default());
        let mut slot = lock(&slot);
        let found = match &*slot {
            Some(found) => found.clone(),
            None => {
                let found = match self.keychain.login(reference, &|| self.client.is_aborted()) {
                    // Much is public. If this is not, the note says what may be missing.
                    Err(error @ KeychainError::NoHelper { .. }) => {
                        self.note(error.to_string());
                        lock(&self.absent).get_or_insert(error.to_string());
                        Ok(None)
                    }
                    found => found.map_err(Arc::new),
                };
                // After an interruption it may be asked for again.
                if !matches!(found.as_ref().map_err(Arc::as_ref), Err(KeychainError::Interrupted)) {
                    *slot = Some(found.clone());
                }
                found
            }
        };
        found.map_err(|cause| RegistryError::Keychain { reference: reference.familiar(), cause })
    }

    /// That a registry refuses, and as whom it was asked.
    fn denied(&self, reference: &Reference, pushes: bool, said: String) -> RegistryError {
        let slot = lock(&self.logins).get(&reference.name()).cloned();
        let login = slot.and_then(|slot| lock(&slot).clone()?.ok().flatten());
        let login = login.map(|login| match login.secret {
            Secret::Password { user, .. } => format!("`{user}` (of {})", quoted(&login.from)),
            Secret::Refresh(_) | Secret::Bearer(_) => format!("the token in {}", quoted(&login.from)),
        });
        let said = match lock(&self.absent).as_ref().filter(|_| login.is_none()) {
            Some(why) => format!("{said}; {why}"),
            None => said,
        };
        let (reference, host) = (reference.familiar(), Self::host(reference).to_owned());
        RegistryError::Denied { reference, host, said, pushes, login }
    }

    /// Tries a login: whether a registry takes it.
    ///
    /// # Errors
    /// The registry does not take it, or is none.
    pub fn check_login(&self, domain: &str) -> Result<(), RegistryError> {
        let wrong = |said: &str| RegistryError::Status {
            what: "a login".to_owned(),
            host: domain.to_owned(),
            said: said.to_owned(),
        };
        // Any repository of it: only the host is asked.
        let reference: Reference =
            format!("{domain}/login").parse().map_err(|_| wrong("nothing: it is no host"))?;
        let host = Self::host(&reference);
        let what = format!("a login at `{host}`");
        let url = format!("{}/v2/", self.base(host));
        let request = Request::get(&url).map_err(|cause| RegistryError::Http {
            deed: "fetch",
            what: what.clone(),
            cause,
        })?;
        let scope = Scope::pull("");
        let asked = self.authorized((&reference, &scope), &what, &request, &mut |it| self.client.send(it));
        let asked = asked.and_then(|response| match response.status() {
            200 => Ok(()),
            _ => Err(self.refusal(&reference, &what, response)),
        });
        asked.map_err(|error| match error {
            RegistryError::Denied { host, said, login, .. } => {
                RegistryError::Login { host, said, user: login.unwrap_or_else(|| "nobody".to_owned()) }
            }
            other => other,
        })
    }

    /// Turns an answer that is no success into an error.
    pub(crate) fn refusal(&self, reference: &Reference, what: &str, response: Response) -> RegistryError {
        self.refused(reference, what, false, response)
    }

    /// The same for one who fetches, or one who puts content there.
    pub(crate) fn refused(
        &self,
        reference: &Reference,
        what: &str,
        pushes: bool,
        mut response: Response,
    ) -> RegistryError {
        let said = describe(&mut response);
        let (what, host) = (what.to_owned(), response.host());
        match response.status() {
            404 if pushes => RegistryError::NoPlace { reference: reference.familiar(), host, said },
            404 => {
                RegistryError::NotFound { reference: reference.familiar(), host, said, similar: Vec::new() }
            }
            401 | 403 => self.denied(reference, pushes, said),
            408 | 429 | 500 | 502 | 503 | 504 => RegistryError::Unavailable { what, host, said },
            _ => RegistryError::Status { what, host, said },
        }
    }
}

/// Whether a host is this machine on a port where no encryption is usual.
fn is_here(host: &str) -> bool {
    http::is_this_machine(host) && http::split_port(host).1 != Some("443")
}

fn quoted(from: &str) -> String {
    if from.contains(' ') { from.to_owned() } else { format!("`{from}`") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
