//! Addresses, and where an answer sends the client next.

use hyper::Uri;
use hyper::header::LOCATION;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};

use super::{HttpError, Response};

/// Reads an absolute `http` or `https` address.
pub(super) fn parse(text: &str) -> Result<Uri, HttpError> {
    let wrong = HttpError::url;
    if text
        .split_once("://")
        .is_some_and(|(scheme, _)| !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()))
    {
        return Err(wrong(text, "its scheme is neither http nor https"));
    }
    let url: Uri = sendable(text).parse().map_err(|_| wrong(text, "not a URL"))?;
    let Some(authority) = url.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(wrong(text, "it names no host"));
    };
    if let Some((_, host)) = authority.as_str().rsplit_once('@') {
        return Err(wrong(host, "it carries a user name, which no redirect may"));
    }
    let scheme = match url.scheme_str() {
        Some(scheme @ ("http" | "https")) => scheme,
        _ => return Err(wrong(text, "its scheme is neither http nor https")),
    };
    // What stands there may be the beginning of a password that holds a slash: it is not shown.
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if after_host.len() > 1 && authority.port_u16().is_none() {
        let place = format!("{scheme}://{}", authority.host());
        return Err(wrong(
            &place,
            "its port is no number up to 65535 (a `/` in a password is written `%2F`)",
        ));
    }
    Ok(url)
}

/// The address as it is sent: without its fragment, and with characters that a request cannot hold escaped (RFC 3986
/// section 2.1), as browsers and curl do.
fn sendable(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The address an answer sends to, if it does.
pub(super) fn target(response: &Response, downgrade: bool) -> Result<Option<Uri>, HttpError> {
    let from = &response.url;
    if !matches!(response.status(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers.get(LOCATION) else { return Ok(None) };
    let wrong = |problem: &str| HttpError::url(&from.to_string(), problem);
    let location = location.to_str().map_err(|_| wrong("it redirects to something that is no URL"))?;
    let target = join(from, location).ok_or_else(|| wrong("it redirects to something that is no URL"))?;
    let target = parse(&target)?;
    if !downgrade && from.scheme() == Some(&Scheme::HTTPS) && target.scheme() == Some(&Scheme::HTTP) {
        return Err(wrong(&format!("it redirects from https to plain http (`{}`)", super::host_of(&target))));
    }
    Ok(Some(target))
}

/// A reference resolved against the address it was found at (RFC 3986, the forms servers send).
pub(super) fn join(from: &Uri, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or_default();
    // A `://` further on belongs to a query.
    if location.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['/', '?'])) {
        return Some(location.to_owned());
    }
    let (scheme, authority) = (from.scheme_str()?, from.authority().map(Authority::as_str)?);
    if location.starts_with("//") {
        return Some(format!("{scheme}:{location}"));
    }
    let path = from.path_and_query().map_or("/", PathAndQuery::path);
    let path = if location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with('?') {
        format!("{path}{location}")
    } else {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    Some(format!("{scheme}://{authority}{path}"))
}

/// Whether credentials for the first address must not be shown to the second.
pub(super) fn changes_host(from: &Uri, to: &Uri) -> bool {
    let port =
        |url: &Uri| url.port_u16().unwrap_or(if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
    let host = |url: &Uri| url.host().unwrap_or_default().to_ascii_lowercase();
    from.scheme() != to.scheme() || host(from) != host(to) || port(from) != port(to)
}

#[cfg(test)]
mod tests;

/// Whether an address is at a host, which has its port where that is not the usual one of the address's scheme.
pub(super) fn is_at(url: &Uri, host: &str) -> bool {
    let scheme = url.scheme_str().unwrap_or_default();
    format!("{scheme}://{host}/").parse().is_ok_and(|place| !changes_host(url, &place))
}
