//! What a registry challenges with, what its token server gives, and what is shown to whom.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use ireko_http::{Client, HttpError, Request};

use crate::keychain::{Login, Secret};

/// A token and what surrounds it is far smaller.
const ANSWER_MAX: u64 = 1 << 20;

/// How a registry wants to be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case: `bearer`, `basic`.
    pub(crate) scheme: String,
    /// With names in lower case.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header, which may hold several challenges.
    pub(crate) fn parse(header: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut rest = header;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let Some((word, after)) = token(rest) else { return found };
            let after = after.trim_start();
            match after.strip_prefix('=') {
                Some(after) => {
                    let Some((value, after)) = value(after.trim_start()) else { return found };
                    let Some(challenge) = found.last_mut() else { return found };
                    challenge.parameters.insert(word.to_ascii_lowercase(), value);
                    rest = after;
                }
                None => {
                    let scheme = word.to_ascii_lowercase();
                    found.push(Self { scheme, parameters: BTreeMap::new() });
                    rest = after;
                }
            }
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A quoted string or a plain word.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut content = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((content, &quoted[at + 1..])),
            '\\' => content.push(letters.next()?.1),
            other => content.push(other),
        }
    }
    None
}

/// What is to be done with a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope {
    /// The repository.
    pub(crate) repository: String,
    /// Content is put there, not only fetched.
    pub(crate) pushes: bool,
    /// Another repository of the registry, from which blobs are taken over.
    pub(crate) from: Option<String>,
}

impl Scope {
    /// To fetch from a repository.
    pub(crate) fn pull(repository: &str) -> Self {
        Self { repository: repository.to_owned(), pushes: false, from: None }
    }

    /// To put content into a repository.
    pub(crate) fn push(repository: &str) -> Self {
        Self { repository: repository.to_owned(), pushes: true, from: None }
    }

    /// The scopes of the token specification (distribution's `token/scope`).
    fn texts(&self) -> Vec<String> {
        let actions = if self.pushes { "pull,push" } else { "pull" };
        let own = format!("repository:{}:{actions}", self.repository);
        let other = self.from.iter().map(|from| format!("repository:{from}:pull"));
        let is_any = self.repository.is_empty();
        [own].into_iter().filter(|_| !is_any).chain(other).collect()
    }
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum NoToken {
    /// It is refused, with or without a login.
    Denied(String),
    /// The token server's answer is useless.
    Useless(String),
    /// The token server gave no answer.
    Http(HttpError),
}

/// Values of `Authorization` by registry and scope. Whether a token has expired only its registry says; so none is
/// checked.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<BTreeMap<(String, Scope), String>>);

impl Tokens {
    /// The last value for this.
    pub(crate) fn get(&self, host: &str, scope: &Scope) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&(host.to_owned(), scope.clone())).cloned()
    }

    /// Keeps a value.
    pub(crate) fn put(&self, host: &str, scope: &Scope, value: String) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert((host.to_owned(), scope.clone()), value);
    }
}

/// What is to be sent as `Authorization` after these challenges.
pub(crate) fn answer(
    client: &Client,
    challenges: &[Challenge],
    scope: &Scope,
    login: Option<&Login>,
    may_show: &dyn Fn(&Request) -> bool,
) -> Result<String, NoToken> {
    let secret = login.map(|login| &login.secret);
    if let Some(Secret::Bearer(token)) = secret {
        return Ok(format!("Bearer {token}"));
    }
    if let Some(challenge) = challenges.iter().find(|challenge| challenge.scheme == "bearer") {
        return fetch_token(client, challenge, scope, secret, may_show)
            .map(|token| format!("Bearer {token}"));
    }
    let takes_password = challenges.iter().any(|challenge| challenge.scheme == "basic");
    match secret {
        Some(Secret::Password { user, password }) if takes_password => Ok(basic(user, password)),
        Some(Secret::Refresh(_)) if takes_password => {
            Err(NoToken::Denied("it asks for a password, and there is a refresh token only".to_owned()))
        }
        _ if takes_password => Err(NoToken::Denied("it asks for a user name and a password".to_owned())),
        _ => Err(NoToken::Denied("it asks for a login in no way that is known".to_owned())),
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Asks a token server for a token (distribution's `token/oauth` with a refresh token, else `token/jwt`).
fn fetch_token(
    client: &Client,
    challenge: &Challenge,
    scope: &Scope,
    secret: Option<&Secret>,
    may_show: &dyn Fn(&Request) -> bool,
) -> Result<String, NoToken> {
    let Some(realm) = challenge.parameters.get("realm") else {
        return Err(NoToken::Useless("its challenge names no token server".to_owned()));
    };
    let mut scopes = scope.texts();
    // What the registry says it wants is wanted too; without a repository, such as for a login, only that.
    if let Some(said) = challenge.parameters.get("scope") {
        scopes.extend(
            said.split(' ').map(str::to_owned).filter(|said| !scopes.contains(said)).collect::<Vec<_>>(),
        );
    }
    let service = challenge.parameters.get("service");
    let request = match secret {
        Some(Secret::Refresh(token)) => {
            let mut form =
                format!("grant_type=refresh_token&client_id=ireko&refresh_token={}", escape(token));
            if let Some(service) = service {
                form += &format!("&service={}", escape(service));
            }
            form += &format!("&scope={}", escape(&scopes.join(" ")));
            let kind = "application/x-www-form-urlencoded";
            Request::post(realm).map(|request| request.content(kind, form))
        }
        _ => {
            let mut query: Vec<String> =
                scopes.iter().map(|scope| format!("scope={}", escape(scope))).collect();
            query.extend(service.map(|service| format!("service={}", escape(service))));
            if let Some(Secret::Password { user, .. }) = secret {
                query.push(format!("account={}", escape(user)));
            }
            let joint = if realm.contains('?') { '&' } else { '?' };
            Request::get(&format!("{realm}{joint}{}", query.join("&")))
        }
    };
    let mut request = request.map_err(NoToken::Http)?;
    if secret.is_some() && !may_show(&request) {
        let said = format!(
            "its token server `{}` is spoken to without encryption: no password is sent",
            request.host()
        );
        return Err(NoToken::Useless(said));
    }
    if let Some(Secret::Password { user, password }) = secret {
        request = request.header("authorization", &basic(user, password)).map_err(NoToken::Http)?;
    }
    let mut response = client.send(&request).map_err(NoToken::Http)?;
    let said =
        format!("token server `{}` answered {} {}", request.host(), response.status(), response.reason());
    match response.status() {
        200 => {}
        400..=499 if response.status() != 429 => return Err(NoToken::Denied(said)),
        _ => return Err(NoToken::Useless(said)),
    }
    let bytes = response.body.read_up_to(ANSWER_MAX).map_err(NoToken::Http)?;
    let useless = || NoToken::Useless(format!("token server `{}` sent no token", request.host()));
    let grant: Grant = serde_json::from_slice(&bytes.ok_or_else(useless)?).map_err(|_| useless())?;
    let tokens = grant.token.into_iter().chain(grant.access_token);
    tokens.into_iter().find(|token| !token.is_empty()).ok_or_else(useless)
}

#[derive(Deserialize)]
struct Grant {
    token: Option<String>,
    access_token: Option<String>,
}

/// Escapes a value for a query.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
