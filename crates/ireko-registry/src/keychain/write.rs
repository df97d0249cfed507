//! Keeping and forgetting logins.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ireko_oci::Reference;
use ireko_sys::fsx::{Lock, LockKind};
use serde_json::{Map, Value, json};

use super::helper::{Helper, PATIENCE, TICK};
use super::{Content, Entry, Keychain, KeychainError, Login, Secret, normal, parse, server_of};

/// As many links lead to a file at most.
const LINKS_MAX: usize = 40;

/// Where a login was put, or taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, in which it can be read by who can read the file.
    File(PathBuf),
    /// A program that keeps it.
    Helper(String),
}

impl Keychain {
    /// Keeps a login for a registry in an auth file, or in the program that the file names, and also wherever another
    /// would win over it. Says where it was put.
    ///
    /// # Errors
    /// As for [`store`]; or another login stays in use.
    pub fn keep(
        &self,
        path: &Path,
        named: &Reference,
        secret: &Secret,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Place>, KeychainError> {
        let domain = named.domain();
        let mut places = vec![store(path, domain, secret, &self.environment, stop)?];
        let mut done = vec![path.to_owned()];
        loop {
            let Some(found) = self.login(named, stop)? else {
                let (server, kept) = (domain.to_owned(), path.display().to_string());
                return Err(KeychainError::NotKept { server, kept });
            };
            let file = found.file.clone();
            if found.secret == *secret || file.as_ref().is_some_and(|file| done.contains(file)) {
                return Ok(places);
            }
            let other = |cause: Option<KeychainError>| KeychainError::Other {
                place: place_of(&found),
                server: domain.to_owned(),
                cause: cause.map(Box::new),
            };
            let Some(file) = file else { return Err(other(None)) };
            let place = store(&file, domain, secret, &self.environment, stop);
            places.push(place.map_err(|cause| match cause {
                KeychainError::Interrupted => cause,
                cause => other(Some(cause)),
            })?);
            done.push(file);
        }
    }

    /// Forgets the login for a registry, in an auth file and wherever else one is found. Says where one was.
    ///
    /// # Errors
    /// As for [`store`]; or a login stays.
    pub fn forget(
        &self,
        path: &Path,
        named: &Reference,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Place>, KeychainError> {
        let domain = named.domain();
        let mut places = Vec::from_iter(erase(path, domain, &self.environment, stop)?);
        let mut done = vec![path.to_owned()];
        loop {
            let found = match self.login(named, stop) {
                Ok(Some(found)) => found,
                // Nobody gets a login of a program that is not there.
                Ok(None) | Err(KeychainError::NoHelper { .. }) => return Ok(places),
                Err(error) => return Err(error),
            };
            let stays =
                |cause| KeychainError::Stays { place: place_of(&found), server: domain.to_owned(), cause };
            let file = found.file.clone().filter(|file| !done.contains(file));
            let Some(file) = file else { return Err(stays(None)) };
            let place = erase(&file, domain, &self.environment, stop);
            places.extend(place.map_err(|cause| match cause {
                KeychainError::Interrupted => cause,
                cause => stays(Some(Box::new(cause))),
            })?);
            done.push(file);
        }
    }
}

fn place_of(login: &Login) -> String {
    match &login.file {
        Some(file) => file.display().to_string(),
        None => login.from.clone(),
    }
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
    let server = server_of(domain);
    let file = path.display().to_string();
    let (entry, place) = match Document::read(path)?.helper(domain) {
        Some(name) => {
            let (user, password) = match secret {
                Secret::Password { user, password } => (user.as_str(), password.as_str()),
                Secret::Refresh(token) | Secret::Bearer(token) => ("<token>", token.as_str()),
            };
            let body = json!({"ServerURL": server, "Username": user, "Secret": password}).to_string();
            let helper = Helper { name: &name, file: &file, server, environment, stop };
            helper.store(&body)?;
            // As Docker does: who looks into the file sees which registries there are logins for.
            (json!({}), Place::Helper(helper.program()))
        }
        None => (entry_of(secret), Place::File(path.to_owned())),
    };
    change(path, stop, |document| {
        document.forget(domain);
        document.auths().insert(server.to_owned(), entry.clone());
    })?;
    Ok(place)
}

fn entry_of(secret: &Secret) -> Value {
    match secret {
        Secret::Password { user, password } => {
            json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
        }
        Secret::Refresh(token) => json!({"auth": STANDARD.encode("<token>:"), "identitytoken": token}),
        Secret::Bearer(token) => json!({"registrytoken": token}),
    }
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
    let document = Document::read(path)?;
    let mut place = None;
    if let Some(name) = document.helper(domain) {
        let file = path.display().to_string();
        let helper = Helper { name: &name, file: &file, server: server_of(domain), environment, stop };
        if helper.erase()? {
            place = Some(Place::Helper(helper.program()));
        }
    }
    let entries = || document.content.auths.iter().filter(|(key, _)| normal(key) == domain);
    if entries().any(|(_, entry)| entry.as_ref().is_some_and(|entry| !Entry::is_empty(entry))) {
        place.get_or_insert(Place::File(path.to_owned()));
    }
    if entries().next().is_some() {
        change(path, stop, |document| document.forget(domain))?;
    }
    Ok(place)
}

/// Changes a file that others may change at the same time.
fn change(
    path: &Path,
    stop: &dyn Fn() -> bool,
    deed: impl FnOnce(&mut Document),
) -> Result<(), KeychainError> {
    let failed = |cause| KeychainError::Write { file: path.display().to_string(), cause };
    let target = target(path);
    if let Some(dir) = target.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    let mut beside = target.clone().into_os_string();
    beside.push(".lock");
    let until = Instant::now() + PATIENCE;
    let _lock = loop {
        let lock = Lock::try_take(Path::new(&beside), LockKind::Exclusive);
        if let Some(lock) = lock.map_err(|error| failed(io::Error::other(error)))? {
            break lock;
        }
        if stop() {
            return Err(KeychainError::Interrupted);
        }
        if Instant::now() > until {
            let problem = format!("another process holds `{}`", Path::new(&beside).display());
            return Err(failed(io::Error::new(io::ErrorKind::TimedOut, problem)));
        }
        thread::sleep(TICK);
    };
    let mut document = Document::read(path)?;
    deed(&mut document);
    document.write(&target).map_err(failed)
}

/// The file that a path leads to, also if it is not there yet: a link stays a link.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(link) = fs::read_link(&path) else { break };
        path = path.parent().map_or(link.clone(), |dir| dir.join(&link));
    }
    path
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
    fn forget(&mut self, domain: &str) {
        self.auths().retain(|key, _| normal(key) != domain);
    }

    /// Writes it whole or not at all. A new file is readable by its owner alone; another keeps owner, group and mode.
    fn write(&self, path: &Path) -> io::Result<()> {
        let mut draft = path.as_os_str().to_owned();
        // Nobody can have put something there: the standard library seeds its hashers from the system.
        draft.push(format!(".{:016x}.new", RandomState::new().build_hasher().finish()));
        let draft = PathBuf::from(draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let mut written = || {
            file.write_all(&serde_json::to_vec_pretty(&self.value)?)?;
            file.write_all(b"\n")?;
            if let Ok(old) = fs::metadata(path) {
                alike(&file, &old)?;
            }
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        written().inspect_err(|_| {
            let _ = fs::remove_file(&draft);
        })
    }
}

/// Gives a file the owner, group and mode of another, as far as one may. Nobody gets to read it who could not before.
fn alike(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    // Only root may give a file away; a group of one's own may be set.
    if new.uid() != old.uid() {
        let _ = fchown(file, Some(old.uid()), None);
    }
    let is_of_group = new.gid() == old.gid() || fchown(file, None, Some(old.gid())).is_ok();
    let kept = if is_of_group { 0o777 } else { 0o700 };
    file.set_permissions(Permissions::from_mode(old.mode() & kept))
}
