//! Logins for archives, in the form of `auth.conf` (apt_auth.conf(5), which follows netrc).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

/// Who one is at which archive. What it holds is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Logins {
    entries: Vec<Entry>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Entry {
    /// `https` where nothing is said: a password is not to be sent in the clear by mistake.
    scheme: String,
    host: String,
    path: String,
    login: String,
    password: String,
}

impl fmt::Debug for Logins {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.entries.iter().map(|entry| entry.host.as_str()).collect();
        out.debug_tuple("Logins").field(&hosts).finish()
    }
}

impl Logins {
    /// Adds those of a file, behind those that are known. What is not understood is passed over, as by apt.
    pub fn add(&mut self, text: &str) {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let mut words = lines.flat_map(str::split_whitespace);
        while let Some(word) = words.next() {
            match (word, self.entries.last_mut()) {
                ("machine", _) => {
                    let place = words.next().unwrap_or_default();
                    let (scheme, place) = place.split_once("://").unwrap_or(("https", place));
                    let (host, path) = place.split_once('/').unwrap_or((place, ""));
                    self.entries.push(Entry {
                        scheme: scheme.to_owned(),
                        host: host.to_ascii_lowercase(),
                        path: path.to_owned(),
                        ..Entry::default()
                    });
                }
                ("login", Some(entry)) => entry.login = words.next().unwrap_or_default().to_owned(),
                ("password", Some(entry)) => entry.password = words.next().unwrap_or_default().to_owned(),
                _ => {}
            }
        }
    }

    /// Adds the login that an address carries, if it does: `http://me:secret@mirror.corp/debian`, percent-encoded.
    pub fn add_of(&mut self, url: &str) {
        let Some((scheme, rest)) = url.split_once("://") else { return };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let Some((login, host)) = host.rsplit_once('@') else { return };
        let (login, password) = login.split_once(':').unwrap_or((login, ""));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        self.entries.push(Entry {
            scheme: scheme.to_owned(),
            host: host.to_ascii_lowercase(),
            path: path.trim_end_matches('/').to_owned(),
            login: decoded(login),
            password: decoded(password),
        });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The header for an address: of the first entry that is meant for it.
    pub(crate) fn header(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        // An address with a login of its own says who one is.
        let host = Some(host).filter(|host| !host.contains('@'))?.to_ascii_lowercase();
        let name = ireko_http::split_port(&host).0;
        let is_meant = |entry: &&Entry| {
            let is_below = path.strip_prefix(entry.path.trim_end_matches('/'));
            let is_below = is_below
                .is_some_and(|rest| entry.path.is_empty() || rest.is_empty() || rest.starts_with('/'));
            entry.scheme == scheme && (entry.host == host || entry.host == name) && is_below
        };
        let entry = self.entries.iter().find(is_meant)?;
        Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", entry.login, entry.password))))
    }
}

/// An address without the login that it may carry, which is nobody else's business.
pub fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_that_is_meant() {
        let mut logins = Logins::default();
        logins.add(
            "# one\nmachine apt.corp/team login a password 1\nmachine apt.corp\nlogin b\npassword 2\n\
             machine http://plain.corp:8080 login c password 3 machine other.corp:444 login d password 4",
        );
        let check = |url: &str, wanted: Option<&str>| {
            let wanted = wanted.map(|login| format!("Basic {}", STANDARD.encode(login)));
            assert_eq!(logins.header(url), wanted, "{url}");
        };
        check("https://apt.corp/team/dists/x", Some("a:1"));
        check("https://APT.corp/team", Some("a:1"));
        check("https://apt.corp/teams/dists/x", Some("b:2"));
        check("https://apt.corp:8443/", Some("b:2"));
        check("http://apt.corp/", None);
        check("http://plain.corp:8080/x", Some("c:3"));
        check("http://plain.corp/x", None);
        check("https://other.corp:444/x", Some("d:4"));
        check("https://me:it@apt.corp/", None);
        check("https://evil.io/apt.corp/team", None);
        assert!(!format!("{logins:?}").contains('2'));
    }

    #[test]
    fn an_address_gives_its_login_away_to_nobody_else() {
        let url = "http://me:s%40cret@Mirror.corp:8080/debian/";
        assert_eq!(without_login(url), "http://Mirror.corp:8080/debian/");
        for plain in ["http://mirror.corp/a@b", "file:///a@b/c", "mirror", "https://mirror.corp"] {
            assert_eq!(without_login(plain), plain);
        }
        let mut logins = Logins::default();
        logins.add_of(url);
        logins.add_of("http://mirror.corp/debian");
        let wanted = Some(format!("Basic {}", STANDARD.encode("me:s@cret")));
        assert_eq!(logins.header("http://mirror.corp:8080/debian/dists/x"), wanted);
        for other in
            ["http://mirror.corp/debian/x", "https://mirror.corp:8080/debian/x", "http://mirror.corp:8080/x"]
        {
            assert_eq!(logins.header(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "(machine |login |password |a|/|:|\n){0,20}", url in "[a:/@.]{0,20}") {
            let mut logins = Logins::default();
            logins.add(&text);
            logins.add_of(&url);
            let _ = logins.header(&url);
            let plain = without_login(&url);
            let host = plain.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
            assert!(!host.is_some_and(|host| host.contains('@')), "{plain}");
        }
    }
}
