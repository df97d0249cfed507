//! URLs as Go's `net/url` reads and writes them, as far as a repository's address needs it.

use std::collections::BTreeMap;

/// The parts of a URL, decoded, and the text of it without query and fragment.
#[derive(Debug)]
pub(super) struct Url {
    /// Lower case; empty where there is none.
    pub(super) scheme: String,
    pub(super) path: String,
    /// `scheme://user@host/path`, written as Go would.
    pub(super) base: String,
    pub(super) query: String,
    pub(super) fragment: String,
}

/// What is allowed unescaped depends on the place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    User,
    Fragment,
    Query,
}

/// Reads an absolute URL with an authority, or a bare path. The error says what is wrong.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let fragment = unescape(fragment, Part::Fragment)?;
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("it has a control character".to_owned());
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, _)) => (scheme.to_ascii_lowercase(), &text[scheme.len() + 1..]),
        None => (String::new(), text),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, written) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None if rest.split('/').next().is_some_and(|first| first.contains(':')) => {
            return Err("its first part has a colon".to_owned());
        }
        None => ("", rest),
    };
    let path = unescape(written, Part::Path)?;
    let mut base = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    base.push_str(&authority_of(authority)?);
    base.push_str(&if is_valid_path(written) { written.to_owned() } else { escape(&path, Part::Path) });
    Ok(Url { scheme, path, base, query: query.to_owned(), fragment })
}

/// The pairs of a query. A pair that cannot be read is left out, and told by the second value.
pub(super) fn pairs(query: &str) -> (BTreeMap<String, Vec<String>>, bool) {
    let mut pairs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut whole = true;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (unescape(name, Part::Query), unescape(value, Part::Query)) {
            (Ok(name), Ok(value)) if !pair.contains(';') => pairs.entry(name).or_default().push(value),
            _ => whole = false,
        }
    }
    (pairs, whole)
}

fn authority_of(authority: &str) -> Result<String, String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let host = host_of(host)?;
    let Some(user) = user else { return Ok(host) };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(allowed) {
        return Err("its user name or password has a character that must be percent-encoded".to_owned());
    }
    let part = |text: &str| Ok::<_, String>(escape(&unescape(text, Part::User)?, Part::User));
    Ok(match user.split_once(':') {
        Some((name, password)) => format!("{}:{}@{host}", part(name)?, part(password)?),
        None => format!("{}@{host}", part(user)?),
    })
}

fn host_of(host: &str) -> Result<String, String> {
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("its host lacks a `]`")?;
        &host[end + 1..]
    } else {
        &host[host.rfind(':').unwrap_or(host.len())..]
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if (!port.is_empty() && !port.starts_with(':')) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{digits}` is no port"));
    }
    let decoded = unescape(host, Part::Host)?;
    Ok(escape(&decoded, Part::Host))
}

fn unescape(text: &str, part: Part) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'%' => {
                let digits = bytes.get(at..at + 2).and_then(|two| std::str::from_utf8(two).ok());
                let value = digits
                    .filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))
                    .and_then(|two| u8::from_str_radix(two, 16).ok())
                    .filter(|value| part != Part::Host || *value >= 0x80 || *value == b'%');
                out.push(value.ok_or("`%` in it begins no valid escape")?);
                at += 2;
            }
            b'+' if part == Part::Query => out.push(b' '),
            _ if part == Part::Host && byte < 0x80 && is_escaped(byte, part) => {
                return Err(format!("its host has the character `{}`", char::from(byte)));
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| "it is not UTF-8".to_owned())
}

fn escape(text: &str, part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match is_escaped(byte, part) {
            true => out.push_str(&format!("%{byte:02X}")),
            false => out.push(char::from(byte)),
        }
    }
    out
}

fn is_escaped(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return false;
    }
    let allowed: &[u8] = match part {
        Part::Host => b"!$&'()*+,;=:[]<>\"",
        Part::Path => b"$&+,/:;=@",
        Part::User => b"$&+,;=",
        Part::Fragment => b"$&+,/:;=?@!()*",
        Part::Query => b"",
    };
    !allowed.contains(&byte)
}

/// Whether a path may stay as it was written.
fn is_valid_path(path: &str) -> bool {
    path.bytes().all(|byte| b"!'()*[]%".contains(&byte) || !is_escaped(byte, Part::Path))
}
