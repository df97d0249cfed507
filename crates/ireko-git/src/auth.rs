//! Who asks: tokens and headers for `http`, an agent and known hosts for ssh.

use std::fmt;
use std::path::PathBuf;

use crate::address::Address;

/// Whether a secret is a token or a whole header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// The password of the user `x-access-token`.
    Token,
    /// The value of the header `Authorization`.
    Header,
}

/// The secrets that are asked for a host, in order; the first that exists is used.
pub fn secret_ids(host: &str) -> [(String, SecretKind); 4] {
    [
        (format!("GIT_AUTH_HEADER.{host}"), SecretKind::Header),
        (format!("GIT_AUTH_TOKEN.{host}"), SecretKind::Token),
        ("GIT_AUTH_HEADER".to_owned(), SecretKind::Header),
        ("GIT_AUTH_TOKEN".to_owned(), SecretKind::Token),
    ]
}

/// What may be used to be let in. Its debug form shows nothing of it.
#[derive(Clone, Default)]
pub struct Auth {
    /// The value of `Authorization` for `http`.
    pub header: Option<String>,
    /// The pure secret inside `header`, so that it can be told from other text.
    pub secret: Option<String>,
    /// For ssh.
    pub ssh: SshAuth,
}

/// What ssh may use. No agent, no key: the person's own keys are not looked at.
#[derive(Debug, Clone, Default)]
pub struct SshAuth {
    /// The socket of an agent.
    pub agent_socket: Option<PathBuf>,
    /// Lines of a known-hosts file. A host that is not in it is trusted; one whose key is another is not.
    pub known_hosts: Option<Vec<u8>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("header", &self.header.is_some()).field("ssh", &self.ssh).finish()
    }
}

impl Auth {
    /// What the secrets give for a host. `look_up` answers the bytes of a secret by its id.
    pub fn from_secrets(host: &str, mut look_up: impl FnMut(&str) -> Option<Vec<u8>>) -> Self {
        for (id, kind) in secret_ids(host) {
            let Some(bytes) = look_up(&id) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            // Nobody means the line end that an editor or `echo` leaves in a file; in a header it would be an error.
            let text = text.trim_end_matches(['\r', '\n']);
            let header = match kind {
                SecretKind::Header => text.to_owned(),
                SecretKind::Token => format!("basic {}", base64(format!("x-access-token:{text}").as_bytes())),
            };
            let secret = text.rsplit(' ').next().unwrap_or(text).to_owned();
            return Self { header: Some(header), secret: Some(secret), ssh: SshAuth::default() };
        }
        Self::default()
    }
}

/// What is used for one repository: which header goes to which addresses, and what has to stay secret.
#[derive(Clone)]
pub(crate) struct Session {
    /// URL prefix and header line.
    header: Option<(String, String)>,
    secrets: Vec<String>,
    pub(crate) ssh: SshAuth,
}

impl Session {
    pub(crate) fn new(address: &Address, auth: Auth, credentials: Option<String>) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        let mut value = auth.header;
        if let Some(value) = &value {
            secrets.extend(value.split_once(' ').map(|(_, coded)| coded.to_owned()));
        }
        secrets.extend(auth.secret);
        if let Some(credentials) = credentials.filter(|_| address.is_http()) {
            let coded = base64(credentials.as_bytes());
            let (name, password) = credentials.split_once(':').unwrap_or((&credentials, ""));
            // A user name alone is a token.
            secrets.push(if password.is_empty() { name } else { password }.to_owned());
            value = value.or_else(|| Some(format!("Basic {coded}")));
            secrets.push(coded);
        }
        // Short words are no secrets, and hiding them would make messages unreadable.
        secrets.retain(|secret| secret.len() >= 3);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let header = value.filter(|_| address.is_http()).map(|value| (scope(address), value));
        Self { header, secrets, ssh: auth.ssh }
    }

    /// The same for a repository that this one names: it sees the header only where its address is in scope.
    pub(crate) fn for_submodule(&self, address: &Address, credentials: Option<String>) -> Self {
        let mut own = Self::new(address, Auth { ssh: self.ssh.clone(), ..Auth::default() }, credentials);
        if own.header.is_none() {
            own.header.clone_from(&self.header);
        }
        own.secrets.extend(self.secrets.iter().cloned());
        own
    }

    /// Whether there is something to be let in with.
    pub(crate) fn has_header(&self) -> bool {
        self.header.is_some()
    }

    /// The configuration for git.
    pub(crate) fn config(&self) -> Option<(String, String)> {
        let (scope, value) = self.header.as_ref()?;
        // A line end would begin another header.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        Some((format!("http.{scope}.extraheader"), format!("Authorization: {value}")))
    }

    /// The text without secrets.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "xxxxx"))
    }
}

/// A token is for one repository; one for GitHub is for all of GitHub, so that it serves submodules too.
fn scope(address: &Address) -> String {
    let known = ["https://github.com/", "https://www.github.com/"];
    let known = known.into_iter().find(|prefix| address.as_str().starts_with(prefix));
    known.unwrap_or(address.as_str()).to_owned()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            match at <= chunk.len() {
                true => out.push(char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63])),
                false => out.push('='),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_all_lengths() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("x-access-token:t", "eC1hY2Nlc3MtdG9rZW46dA=="),
        ];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn secrets_in_their_order() {
        let ask = |have: &'static [(&str, &str)]| {
            let look_up = |id: &str| {
                have.iter().find(|(name, _)| *name == id).map(|(_, value)| value.as_bytes().to_vec())
            };
            let (address, _) = Address::parse("https://h:8443/r.git");
            Session::new(&address, Auth::from_secrets(address.host(), look_up), None).config()
        };
        let key = "http.https://h:8443/r.git.extraheader".to_owned();
        assert_eq!(ask(&[]), None);
        let header = |value: &str| Some((key.clone(), format!("Authorization: {value}")));
        assert_eq!(ask(&[("GIT_AUTH_TOKEN", "t\n")]), header("basic eC1hY2Nlc3MtdG9rZW46dA=="));
        assert_eq!(
            ask(&[("GIT_AUTH_TOKEN", "t"), ("GIT_AUTH_HEADER.h:8443", "bearer x")]),
            header("bearer x")
        );
        assert_eq!(ask(&[("GIT_AUTH_TOKEN.other", "t")]), None);
    }

    #[test]
    fn nothing_secret_is_said() {
        let (address, credentials) = Address::parse("https://user:pass%40word@h/r.git");
        let session =
            Session::new(&address, Auth::from_secrets("h", |_| Some(b"bearer geheim".to_vec())), credentials);
        let said = "sent geheim and pass@word";
        assert_eq!(session.hide(said), "sent xxxxx and xxxxx");
        assert!(!format!("{:?}", Auth::from_secrets("h", |_| Some(b"geheim".to_vec()))).contains("geheim"));
    }

    #[test]
    fn a_header_stays_with_its_repository() {
        let auth = || Auth::from_secrets("h", |_| Some(b"bearer geheim".to_vec()));
        let (main, _) = Address::parse("https://github.com/a/b.git");
        let session = Session::new(&main, auth(), None);
        let (sub, _) = Address::parse("https://example.com/c.git");
        let key = session.for_submodule(&sub, None).config().map(|(key, _)| key);
        assert_eq!(key.as_deref(), Some("http.https://github.com/.extraheader"));
        assert!(Session::new(&Address::parse("git@h:r").0, auth(), None).config().is_none());
    }
}
