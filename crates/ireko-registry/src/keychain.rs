//! Names and passwords: the auth files of Docker and Podman, and the programs they name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ireko_oci::Reference;
use ireko_report::Blame;
use serde::Deserialize;

mod helper;
pub mod write;

use helper::Helper;

/// What Docker's files call Docker's own registry.
const HUB_KEY: &str = "https://index.docker.io/v1/";
const HUB: &str = "docker.io";
const HUB_NAMES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Larger than any auth file.
const FILE_MAX: u64 = 16 << 20;
/// The user name by which a credential helper says that the secret is a refresh token.
const TOKEN_USER: &str = "<token>";

/// How one proves who one is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token (`identitytoken`), which the token server exchanges.
    Refresh(String),
    /// A token that the registry takes as it is (`registrytoken`).
    Bearer(String),
}

/// Shows no secret.
impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(out, "password of {user:?}"),
            Self::Refresh(_) => write!(out, "refresh token"),
            Self::Bearer(_) => write!(out, "token"),
        }
    }
}

/// A secret and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The secret.
    pub secret: Secret,
    /// The file, variable or program it is from.
    pub from: String,
    /// The file that has it, or that names the program.
    pub file: Option<PathBuf>,
}

/// Where logins are looked for, one place after the other.
#[derive(Clone, Debug, Default)]
pub struct Keychain {
    /// The text of a file that was given as it is, and what gave it: `DOCKER_AUTH_CONFIG`.
    pub inline: Option<(String, String)>,
    /// Auth files, the first that has an entry wins; those that are missing are left out.
    pub files: Vec<AuthFile>,
    /// A login for one registry, from the command line: it wins.
    pub given: Option<(String, Secret)>,
    /// The environment of credential helpers, `PATH` among it.
    pub environment: Vec<(OsString, OsString)>,
}

/// A file with logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFile {
    /// Where it is.
    pub path: PathBuf,
    /// Somebody asked for this one: then it must be readable. Of the usual places, one that belongs to somebody else
    /// says nothing.
    pub asked: bool,
}

/// Why logins cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeychainError {
    /// A file cannot be read.
    #[error("cannot read the logins in `{file}`")]
    File {
        /// Which.
        file: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file is not what it should be.
    #[error("cannot use the logins in `{file}`: {problem}")]
    Content {
        /// Which.
        file: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// A program that keeps logins is not there.
    #[error("`{program}`, which `{file}` names as the keeper of logins for `{server}`, is not installed")]
    NoHelper {
        /// The program.
        program: String,
        /// The file that names it.
        file: String,
        /// The registry.
        server: String,
    },
    /// A program that keeps logins failed.
    #[error("`{program}`, which keeps the login for `{server}`, failed: {problem}")]
    Helper {
        /// The program.
        program: String,
        /// The registry.
        server: String,
        /// What happened.
        problem: String,
    },
    /// A file cannot be written.
    #[error("cannot write the logins in `{file}`")]
    Write {
        /// Which.
        file: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// What was kept is not found again.
    #[error("the login for `{server}` was given to what `{kept}` names, and is not there")]
    NotKept {
        /// The registry.
        server: String,
        /// The file.
        kept: String,
    },
    /// The new login is kept, and not used.
    #[error("`{place}` has another login for `{server}`, which stays in use")]
    Other {
        /// The file, variable or program.
        place: String,
        /// The registry.
        server: String,
        /// Why that cannot be changed.
        #[source]
        cause: Option<Box<KeychainError>>,
    },
    /// A login cannot be forgotten.
    #[error("`{place}` still has a login for `{server}`")]
    Stays {
        /// The file, variable or program.
        place: String,
        /// The registry.
        server: String,
        /// Why that cannot be changed.
        #[source]
        cause: Option<Box<KeychainError>>,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl KeychainError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Interrupted => Blame::Interrupted,
            _ => Blame::User,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Interrupted => return None,
            Self::File { .. } => "check the file's owner and mode",
            Self::Write { .. } => "check owner and mode of the file and of its directory",
            Self::NotKept { .. } => {
                "check the program that `credsStore` or `credHelpers` names there, or take its name out of the file"
            }
            Self::Other { .. } | Self::Stays { .. } => {
                "take its entry out of the file's `auths`, or remove the file; unset it if it is a variable"
            }
            Self::Content { .. } => {
                "mend the file, or move it away and log in again; REGISTRY_AUTH_FILE names another"
            }
            Self::NoHelper { .. } => {
                "install the program, or take its name (`credsStore`, `credHelpers`) out of the file"
            }
            Self::Helper { .. } => {
                "run the program by hand: it reads the registry's name from standard input"
            }
        })
    }
}

/// An auth file as Docker and Podman write it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    auths: BTreeMap<String, Option<Entry>>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Keychain {
    /// The login for a repository, from the first place that has one. `stop` ends the wait for a program.
    ///
    /// # Errors
    /// A place that comes before any with a login cannot be used.
    pub fn login(
        &self,
        reference: &Reference,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Login>, KeychainError> {
        if let Some((server, secret)) = &self.given
            && normal(server) == reference.domain()
        {
            let from = "the command line".to_owned();
            return Ok(Some(Login { secret: secret.clone(), from, file: None }));
        }
        if let Some((from, text)) = &self.inline {
            let content = parse(from, text)?;
            if let Some(login) = self.in_content(&content, from, reference, stop)? {
                return Ok(Some(login));
            }
        }
        for file in &self.files {
            let from = file.path.display().to_string();
            let Some(content) = file.read()? else { continue };
            if let Some(login) = self.in_content(&content, &from, reference, stop)? {
                return Ok(Some(Login { file: Some(file.path.clone()), ..login }));
            }
        }
        Ok(None)
    }

    fn in_content(
        &self,
        content: &Content,
        from: &str,
        reference: &Reference,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Login>, KeychainError> {
        let domain = reference.domain();
        let ask = |name: &str| {
            let (server, environment) = (server_of(domain), self.environment.as_slice());
            Helper { name, file: from, server, environment, stop }.get()
        };
        let helper = content.cred_helpers.iter().find(|(server, _)| normal(server) == domain);
        if let Some((_, name)) = helper
            && !name.is_empty()
        {
            return ask(name);
        }
        // The longest entry that the name begins with: `ghcr.io/team/app`, `ghcr.io/team`, `ghcr.io`.
        let name = reference.name();
        let mut best: Option<(usize, &Entry, &str)> = None;
        for (key, entry) in &content.auths {
            let (Some(entry), wanted) = (entry, normal(key)) else { continue };
            let begins = name
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.starts_with('/') || rest.is_empty());
            if begins && !entry.is_empty() && best.is_none_or(|(length, ..)| length < wanted.len()) {
                best = Some((wanted.len(), entry, key));
            }
        }
        if let Some((_, entry, key)) = best {
            let secret = entry.secret().map_err(|problem| KeychainError::Content {
                file: from.to_owned(),
                problem: format!("the entry `{key}` {problem}"),
            })?;
            return Ok(Some(Login { secret, from: from.to_owned(), file: None }));
        }
        match &content.creds_store {
            // One that is named as nothing is the file itself.
            Some(name) if !name.is_empty() && helper.is_none() => ask(name),
            _ => Ok(None),
        }
    }
}

impl AuthFile {
    fn read(&self) -> Result<Option<Content>, KeychainError> {
        let file = self.path.display().to_string();
        let failed = |cause| KeychainError::File { file: file.clone(), cause };
        let size = match fs::metadata(&self.path) {
            Ok(meta) => meta.len(),
            // A file that was asked for may still come to be: `login` makes it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) if !self.asked => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if size > FILE_MAX {
            let problem = format!("it is larger than {FILE_MAX} bytes");
            return Err(KeychainError::Content { file, problem });
        }
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !self.asked => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        parse(&file, &text).map(Some)
    }
}

fn parse(file: &str, text: &str) -> Result<Content, KeychainError> {
    if text.trim().is_empty() {
        return Ok(Content::default());
    }
    // What reads objects would take a list for one, field after field.
    if text.trim_start().starts_with('[') {
        let problem = "it is a list, not an object with `auths` (line 1, column 1)".to_owned();
        return Err(KeychainError::Content { file: file.to_owned(), problem });
    }
    // The message of the parser names a place, and no values but of the wrong type; those might be secrets.
    serde_json::from_str(text).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "an entry is not of the form that Docker and Podman write",
            _ => "it is no JSON",
        };
        let problem = format!("{what} (line {}, column {})", error.line(), error.column());
        KeychainError::Content { file: file.to_owned(), problem }
    })
}

impl Entry {
    fn is_empty(&self) -> bool {
        let fields = [&self.auth, &self.username, &self.password, &self.identitytoken, &self.registrytoken];
        fields.into_iter().all(|field| field.as_deref().unwrap_or_default().is_empty())
    }

    fn secret(&self) -> Result<Secret, &'static str> {
        let set = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(token) = set(&self.identitytoken) {
            return Ok(Secret::Refresh(token));
        }
        if let Some(token) = set(&self.registrytoken) {
            return Ok(Secret::Bearer(token));
        }
        if let Some(auth) = set(&self.auth) {
            let text = STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or("has an `auth` that is no base64")?;
            let (user, password) = text.split_once(':').ok_or("has an `auth` without a colon")?;
            // Docker once padded with zero bytes.
            let password = password.trim_end_matches('\0');
            return Ok(secret_of(user, password));
        }
        let (user, password) = (set(&self.username), set(&self.password));
        match (user, password) {
            (Some(user), Some(password)) => Ok(secret_of(&user, &password)),
            _ => Err("has a name without a password, or a password without a name"),
        }
    }
}

/// What a name and a secret are together.
pub(crate) fn secret_of(user: &str, secret: &str) -> Secret {
    match user {
        TOKEN_USER => Secret::Refresh(secret.to_owned()),
        user => Secret::Password { user: user.to_owned(), password: secret.to_owned() },
    }
}

/// A key of an auth file as the beginning of a reference: of an address only its host counts.
pub(crate) fn normal(key: &str) -> String {
    let (is_address, rest) = match key.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, key),
    };
    let rest = rest.trim_end_matches('/');
    let mut rest = if is_address { rest.split('/').next().unwrap_or_default() } else { rest };
    for version in ["/v1", "/v2"] {
        rest = rest.strip_suffix(version).unwrap_or(rest);
    }
    let host = rest.split('/').next().unwrap_or_default();
    match rest.strip_prefix(host) {
        Some(path) if HUB_NAMES.contains(&host) => format!("{HUB}{path}"),
        _ => rest.to_owned(),
    }
}

/// How helpers and files call a registry.
pub(crate) fn server_of(domain: &str) -> &str {
    if domain == HUB { HUB_KEY } else { domain }
}

#[cfg(test)]
mod tests;
