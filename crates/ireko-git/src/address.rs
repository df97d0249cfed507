//! Addresses of repositories, without the credentials that may be written in them.

use std::fmt;

/// Where a repository is. Never has a password, and no user name but that of ssh.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    /// Takes an address apart: itself, and `user:password` of an `http` URL, decoded.
    pub(crate) fn parse(url: &str) -> (Self, Option<String>) {
        let Some((scheme, rest)) = url.split_once("://") else { return (Self(url.to_owned()), None) };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let Some((user, host)) = authority.rsplit_once('@') else { return (Self(url.to_owned()), None) };
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        if scheme.eq_ignore_ascii_case("ssh") {
            return (Self(format!("{scheme}://{name}@{host}{path}")), None);
        }
        let credentials = format!("{}:{}", decoded(name), decoded(password));
        (Self(format!("{scheme}://{host}{path}")), Some(credentials))
    }

    /// The address in a URL.
    pub fn of(url: &str) -> Self {
        Self::parse(url).0
    }

    /// The host, with its port.
    pub fn host(&self) -> &str {
        let authority = match self.0.split_once("://") {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
            None => self.0.split(':').next().unwrap_or_default(),
        };
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// The address as git is given it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_http(&self) -> bool {
        self.0.starts_with("http://") || self.0.starts_with("https://")
    }

    /// The address of a submodule as `.gitmodules` has it: `./` and `../` begin at this repository.
    pub(crate) fn join(&self, url: &str) -> String {
        if !url.starts_with("./") && !url.starts_with("../") {
            return url.to_owned();
        }
        let mut base = self.0.trim_end_matches('/').to_owned();
        let mut separator = '/';
        let mut rest = url;
        loop {
            if let Some(shorter) = rest.strip_prefix("../") {
                rest = shorter;
                let at = base.rfind('/').or_else(|| base.rfind(':'));
                separator = at.and_then(|at| base[at..].chars().next()).unwrap_or('/');
                base.truncate(at.unwrap_or(0));
            } else if let Some(shorter) = rest.strip_prefix("./") {
                rest = shorter;
            } else {
                return format!("{base}{separator}{}", rest.trim_end_matches('/'));
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Percent-escapes resolved; what is none stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out() {
        let cases = [
            ("https://u:p%40ss@h:1/r.git", "https://h:1/r.git", Some("u:p@ss"), "h:1"),
            ("https://token@h/r.git", "https://h/r.git", Some("token:"), "h"),
            ("https://h/a@b.git", "https://h/a@b.git", None, "h"),
            ("ssh://git:word@h/r", "ssh://git@h/r", None, "h"),
            ("git@h:r@x.git", "git@h:r@x.git", None, "h"),
            ("git://u:p@h/r", "git://h/r", Some("u:p"), "h"),
        ];
        for (url, bare, credentials, host) in cases {
            let (address, found) = Address::parse(url);
            assert_eq!(
                (address.as_str(), found.as_deref(), address.host()),
                (bare, credentials, host),
                "{url}"
            );
        }
    }

    #[test]
    fn submodules_beside_the_repository() {
        let cases = [
            ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
            ("https://h/a/b.git/", "../../c.git/", "https://h/c.git"),
            ("https://h/a/b.git", "./c.git", "https://h/a/b.git/c.git"),
            ("git@h:a/b.git", "../c.git", "git@h:a/c.git"),
            ("git@h:b.git", "../c.git", "git@h:c.git"),
            ("https://h/a", "https://x/y", "https://x/y"),
            ("https://h/a", "git@x:y", "git@x:y"),
        ];
        for (base, url, joined) in cases {
            assert_eq!(Address::parse(base).0.join(url), joined, "{base} {url}");
        }
    }
}
