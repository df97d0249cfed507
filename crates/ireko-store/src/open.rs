//! Opening a store: a few system calls when it exists, making and probing the directory when it does not.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ireko_layer::{OverlayAttrs, Time};
use ireko_oci::{Fields, Key};

use crate::disk::{self, Hold};
use crate::error::{Error, Result};
use crate::layout::{DIRECTORIES, Layout};
use crate::lease::Lease;
use crate::seal::{self, Kind};
use crate::store::Store;

/// The version of the layout as a whole. Raised only where an older store could be misread.
const FORMAT: u32 = 1;

/// How unpacked files are written by this process: who reads them must write them alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenAs {
    /// Fingerprint of the user namespace's id map.
    pub id_map: String,
    /// Which extended attributes mark opaque directories.
    pub attrs: OverlayAttrs,
}

impl WrittenAs {
    /// A short name of it, part of file names.
    pub(crate) fn fingerprint(&self) -> String {
        let fields = Fields::new("ireko written/1");
        let fields = fields.bytes("ids", self.id_map.as_bytes()).bytes("attrs", self.attrs_name().as_bytes());
        Key(fields.hash()).hex()[..16].to_owned()
    }

    pub(crate) fn attrs_name(&self) -> &'static str {
        self.attrs.name()
    }
}

/// What a store has to be told, since it asks neither the clock nor the machine.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// How this process writes unpacked files.
    pub written_as: WrittenAs,
    /// The kernel's boot ID: what was not synced in another boot is not trusted.
    pub boot_id: String,
    /// The time now. Used for what was not used lately, never in a result.
    pub now: Time,
}

impl Store {
    /// Opens the store at `home`, made if there is none.
    pub fn open(home: &Path, options: OpenOptions) -> Result<Arc<Self>> {
        let layout = Layout::new(home);
        let version = match disk::read(&layout.version())? {
            Some(bytes) => Version::parse(home, &bytes)?,
            None => make(&layout)?,
        };
        let attrs = options.written_as.attrs_name();
        if !version.probed.iter().any(|probed| probed == attrs) && probe_attrs(&layout, &options.written_as)?
        {
            version.with(attrs).write(&layout)?;
        }
        Ok(Arc::new(Self {
            layout,
            options,
            lease: Mutex::new(None),
            scratched: AtomicU64::new(0),
            grew: Arc::new(AtomicBool::new(false)),
            warnings: Mutex::new(Vec::new()),
            indexes: Mutex::new(BTreeMap::new()),
            unpacked: Mutex::new(BTreeMap::new()),
            unsynced: Mutex::new(BTreeMap::new()),
        }))
    }

    /// The store's directory.
    pub fn home(&self) -> &Path {
        self.layout.home()
    }

    /// How this process writes unpacked files.
    pub fn written_as(&self) -> &WrittenAs {
        &self.options.written_as
    }

    /// The machine's present boot.
    pub fn boot_id(&self) -> &str {
        &self.options.boot_id
    }

    /// The time it was opened at.
    pub fn now(&self) -> Time {
        self.options.now
    }

    /// Whether this process put anything into the store: true as soon as it did, also when the store is dropped.
    pub fn growth(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.grew)
    }

    pub(crate) fn grows(&self) {
        self.grew.store(true, Ordering::Relaxed);
    }

    /// What was garbled and taken as absent since the last call, one line each.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn warn(&self, path: &Path, problem: &str) {
        let line = format!("`{}` is taken as absent: {problem}", path.display());
        let mut warnings = self.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !warnings.contains(&line) {
            warnings.push(line);
        }
    }

    /// The body of a sealed file; `None` with a warning where it cannot be trusted, silently where there is none.
    pub(crate) fn read_sealed(&self, kind: Kind, path: &Path) -> Option<Vec<u8>> {
        let bytes = match disk::read(path) {
            Ok(bytes) => bytes?,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                self.warn(path, &cause);
                return None;
            }
        };
        match seal::unseal(kind, bytes) {
            Ok(body) => Some(body),
            Err(problem) => {
                self.warn(path, problem);
                None
            }
        }
    }

    /// A sealed file's body as the JSON that it is.
    pub(crate) fn read_json<T: serde::de::DeserializeOwned>(&self, kind: Kind, path: &Path) -> Option<T> {
        let body = self.read_sealed(kind, path)?;
        match serde_json::from_slice(&body) {
            Ok(value) => Some(value),
            Err(error) => {
                self.warn(path, &error.to_string());
                None
            }
        }
    }

    /// Writes a sealed file beside and renames it onto `path`.
    pub(crate) fn write_sealed(&self, kind: Kind, path: &Path, body: &[u8]) -> Result<()> {
        let draft = self.scratch()?;
        fs::write(&draft, seal::seal(kind, body)).map_err(|cause| {
            let _ = fs::remove_file(&draft);
            Error::io("write", path, cause)
        })?;
        disk::publish(&draft, path).inspect_err(|_| {
            let _ = fs::remove_file(&draft);
        })
    }

    pub(crate) fn write_json<T: serde::Serialize>(&self, kind: Kind, path: &Path, value: &T) -> Result<()> {
        self.write_sealed(kind, path, &json(value))
    }
}

/// The JSON of one of our own types.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("types with string keys always have a JSON form")
}

/// The `version` file: `ireko store 1`, then one line for each kind of overlay attributes that was found to work.
#[derive(Debug)]
struct Version {
    probed: Vec<String>,
}

impl Version {
    fn parse(home: &Path, bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        match first.strip_prefix("ireko store ").and_then(|number| number.parse::<u32>().ok()) {
            Some(FORMAT) => Ok(Self { probed: lines.map(str::to_owned).collect() }),
            _ => Err(Error::Format { home: home.to_owned(), found: first.to_owned(), known: FORMAT }),
        }
    }

    fn with(mut self, attrs: &str) -> Self {
        self.probed.push(attrs.to_owned());
        self
    }

    /// Not through a draft in `tmp`: those need a lease, and a lease needs a store.
    fn write(&self, layout: &Layout) -> Result<()> {
        let mut text = format!("ireko store {FORMAT}\n");
        for attrs in &self.probed {
            text.push_str(attrs);
            text.push('\n');
        }
        let beside = layout.home().join(format!("version.{}", unique_name()?));
        fs::write(&beside, text).map_err(|cause| Error::io("write", &beside, cause))?;
        disk::publish(&beside, &layout.version())
    }
}

fn make(layout: &Layout) -> Result<Version> {
    let private = |dir: &Path| {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|cause| Error::io("create directory", dir, cause))
    };
    private(layout.home())?;
    for name in DIRECTORIES {
        private(&layout.dir(name))?;
    }
    probe(layout)?;
    let version = Version { probed: Vec::new() };
    version.write(layout)?;
    Ok(version)
}

/// Tries what the store relies on, so that a file system that lacks it is named now and not in the middle of a build.
fn probe(layout: &Layout) -> Result<()> {
    let unsuitable = |problem: String| Error::Unsuitable { home: layout.home().to_owned(), problem };
    let dir = layout.dir("tmp").join(format!("probe-{}", unique_name()?));
    fs::create_dir(&dir).map_err(|cause| Error::io("create directory", &dir, cause))?;
    let tried = try_file_system(&dir);
    disk::remove(&dir);
    tried.map_err(|(what, error)| unsuitable(format!("its file system has no {what} ({error})")))
}

fn try_file_system(dir: &Path) -> std::result::Result<(), (&'static str, io::Error)> {
    let [lock, link, moved] = ["lock", "link", "moved"].map(|name| dir.join(name));
    disk::lock(&lock, Hold::Exclusive).map_err(|error| ("file locks", cause_of(error)))?;
    std::os::unix::fs::symlink("nowhere", &link).map_err(|error| ("symbolic links", error))?;
    match disk::publish_new(&lock, &moved).map_err(|error| ("renaming without replacing", cause_of(error)))? {
        true => Ok(()),
        false => Err(("renaming without replacing", io::ErrorKind::AlreadyExists.into())),
    }
}

fn cause_of(error: Error) -> io::Error {
    match error {
        Error::Io { cause, .. } => cause,
        other => io::Error::other(other.to_string()),
    }
}

/// Whether overlay marks can be kept here by this process. Where they cannot, no overlay can stand, and unpacked layers
/// are what trees are copied from.
fn probe_attrs(layout: &Layout, written_as: &WrittenAs) -> Result<bool> {
    let path = layout.dir("tmp").join(format!("probe-{}", unique_name()?));
    disk::create_new(&path)?;
    let kind = if written_as.attrs.is_user() { "user" } else { "trusted" };
    let name = format!("{kind}.ireko.probe");
    let tried = rustix::fs::setxattr(&path, &*name, b"y", rustix::fs::XattrFlags::empty());
    let _ = fs::remove_file(&path);
    match tried {
        Ok(()) => Ok(true),
        // Attributes of the kernel's own need a privilege that only steps need: they will say so themselves.
        Err(rustix::io::Errno::PERM) => Ok(true),
        Err(rustix::io::Errno::NOTSUP) => Ok(false),
        Err(error) => Err(Error::Unsuitable {
            home: layout.home().to_owned(),
            problem: format!("its extended attributes of kind `{kind}` fail ({error})"),
        }),
    }
}

/// Sixteen digits that nobody else has.
pub(crate) fn unique_name() -> Result<String> {
    let mut bytes = [0u8; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    filled.map_err(|error| Error::io("read", Path::new("/dev/urandom"), error))?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

impl Store {
    /// This process's lease, taken the first time.
    pub(crate) fn lease(&self) -> Result<Arc<Lease>> {
        let mut lease = self.lease.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(lease) = &*lease {
            return Ok(Arc::clone(lease));
        }
        let taken = Arc::new(Lease::take(&self.layout)?);
        *lease = Some(Arc::clone(&taken));
        Ok(taken)
    }

    /// A path in this process's part of `tmp` that nothing lies at yet.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        let lease = self.lease()?;
        let number = self.scratched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(lease.dir().join(number.to_string()))
    }
}

#[cfg(test)]
mod tests;
