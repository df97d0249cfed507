//! Anonymous tokens: what a registry challenges with, and what its token server gives.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use ireko_http::{Client, HttpError, Request};

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

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum NoToken {
    /// Nobody without a name gets one.
    Denied(String),
    /// The token server's answer is useless.
    Useless(String),
    /// The token server gave no answer.
    Http(HttpError),
}

/// Tokens by registry and repository. Whether one has expired only its registry says; so none is checked.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<BTreeMap<(String, String), String>>);

impl Tokens {
    /// The last token for this repository.
    pub(crate) fn get(&self, host: &str, repository: &str) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&(host.to_owned(), repository.to_owned())).cloned()
    }

    /// Keeps a token.
    pub(crate) fn put(&self, host: &str, repository: &str, token: String) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert((host.to_owned(), repository.to_owned()), token);
    }
}

/// Asks for a token that may pull from this repository.
pub(crate) fn fetch_token(
    client: &Client,
    challenges: &[Challenge],
    repository: &str,
) -> Result<String, NoToken> {
    let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
    let Some(challenge) = bearer else {
        return Err(NoToken::Denied("it asks for a user name and a password".to_owned()));
    };
    let Some(realm) = challenge.parameters.get("realm") else {
        return Err(NoToken::Useless("its challenge names no token server".to_owned()));
    };
    let usual = format!("repository:{repository}:pull");
    let scope = challenge.parameters.get("scope").unwrap_or(&usual);
    let mut url = format!("{realm}{}scope={}", if realm.contains('?') { '&' } else { '?' }, escape(scope));
    if let Some(service) = challenge.parameters.get("service") {
        url += &format!("&service={}", escape(service));
    }
    let request = Request::get(&url).map_err(NoToken::Http)?;
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
