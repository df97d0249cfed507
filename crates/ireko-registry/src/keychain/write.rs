//! Keeping and forgetting logins.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Content, KeychainError, Secret, helper, normal, parse, server_of};

/// Where a login was put, or taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, in which it can be read by who can read the file.
    File(PathBuf),
    /// A program that keeps it.
    Helper(String),
}

/// Keeps a login for a registry in an auth file, or in the program that the file names. What else the file says stays.
///
/// # Errors
/// The file cannot be read or written, or the program fails; the file is then as it was.
pub fn store(
    path: &Path,
    domain: &str,
    secret: &Secret,
    environment: &[(OsString, OsString)],
    stop: &dyn Fn() -> bool,
) -> Result<Place, KeychainError> {
    let mut file = Document::read(path)?;
    let server = server_of(domain);
    if let Some(name) = file.helper(domain) {
        let (user, password) = match secret {
            Secret::Password { user, password } => (user.as_str(), password.as_str()),
            Secret::Refresh(token) | Secret::Bearer(token) => ("<token>", token.as_str()),
        };
        let body = json!({"ServerURL": server, "Username": user, "Secret": password}).to_string();
        said(&name, "store", server, &body, (path, environment, stop))?;
        // As Docker does: who looks into the file sees which registries there are logins for.
        file.auths().insert(server.to_owned(), json!({}));
        file.write(path)?;
        return Ok(Place::Helper(helper::program(&name)));
    }
    let entry = match secret {
        Secret::Password { user, password } => {
            json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
        }
        Secret::Refresh(token) => json!({"auth": STANDARD.encode("<token>:"), "identitytoken": token}),
        Secret::Bearer(token) => json!({"registrytoken": token}),
    };
    file.forget(domain);
    file.auths().insert(server.to_owned(), entry);
    file.write(path)?;
    Ok(Place::File(path.to_owned()))
}

/// Forgets the login for a registry; says where it was, if there was one.
///
/// # Errors
/// As for [`store`].
pub fn erase(
    path: &Path,
    domain: &str,
    environment: &[(OsString, OsString)],
    stop: &dyn Fn() -> bool,
) -> Result<Option<Place>, KeychainError> {
    let mut file = Document::read(path)?;
    let mut place = None;
    if let Some(name) = file.helper(domain) {
        let server = server_of(domain);
        said(&name, "erase", server, server, (path, environment, stop))?;
        place = Some(Place::Helper(helper::program(&name)));
    }
    if file.forget(domain) {
        file.write(path)?;
        place.get_or_insert(Place::File(path.to_owned()));
    }
    Ok(place)
}

fn said(
    name: &str,
    verb: &str,
    server: &str,
    input: &str,
    (path, environment, stop): (&Path, &[(OsString, OsString)], &dyn Fn() -> bool),
) -> Result<(), KeychainError> {
    let (program, server) = (helper::program(name), server.to_owned());
    match helper::run(name, verb, input, environment, stop) {
        Ok(said) if said.success => Ok(()),
        Ok(said) => Err(KeychainError::Helper { program, server, problem: said.problem() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(KeychainError::NoHelper { program, file: path.display().to_string(), server })
        }
        Err(error) => Err(KeychainError::Helper { program, server, problem: error.to_string() }),
    }
}

/// An auth file with all that it says.
struct Document {
    value: Map<String, Value>,
    content: Content,
}

impl Document {
    fn read(path: &Path) -> Result<Self, KeychainError> {
        let file = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(KeychainError::File { file, cause }),
        };
        let content = parse(&file, &text)?;
        let value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { value, content })
    }

    /// The program that keeps a registry's login.
    fn helper(&self, domain: &str) -> Option<String> {
        let own = self.content.cred_helpers.iter().find(|(server, _)| normal(server) == domain);
        let name = own.map(|(_, name)| name).or(self.content.creds_store.as_ref());
        name.filter(|name| !name.is_empty()).cloned()
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.value.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("it was made an object")
    }

    /// Takes out all entries of a registry itself, not those of parts of it.
    fn forget(&mut self, domain: &str) -> bool {
        let auths = self.auths();
        let before = auths.len();
        auths.retain(|key, _| normal(key) != domain);
        auths.len() < before
    }

    /// Writes it whole or not at all, readable by its owner alone.
    fn write(&self, path: &Path) -> Result<(), KeychainError> {
        let failed = |cause| KeychainError::File { file: path.display().to_string(), cause };
        // A link to the file stays a link.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        let mut draft = path.clone().into_os_string();
        draft.push(format!(".{}.new", std::process::id()));
        let draft = PathBuf::from(draft);
        let written = || {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            if let Ok(meta) = fs::metadata(path) {
                file.set_permissions(fs::Permissions::from_mode(meta.permissions().mode() & 0o700 | 0o600))?;
            }
            file.write_all(&serde_json::to_vec_pretty(&self.value)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        written().map_err(|cause| {
            let _ = fs::remove_file(&draft);
            failed(cause)
        })
    }
}
