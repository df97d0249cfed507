//! What a machine's apt is configured to: sources, keys, proxies. So ireko works where apt works.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::apt_conf::{AptConf, BadConf};
use crate::archive::Keys;
use crate::logins::Logins;
use crate::openpgp::{Keyring, KeyringError};
use crate::sources::{self, Distribution, Source, SourcesError};

/// The configuration of apt below a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
    /// The settings.
    pub conf: AptConf,
    /// Who one is at which archive.
    pub logins: Logins,
    /// All sources that are enabled, for binary packages.
    pub sources: Vec<Source>,
}

/// Why a machine's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file cannot be read.
    #[error("cannot read `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file of settings is wrong.
    #[error("`{path}` is no configuration of apt", path = path.display())]
    Conf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: BadConf,
    },
    /// A file of sources is wrong.
    #[error("cannot use the sources of apt")]
    Sources(#[from] SourcesError),
    /// A file of keys is wrong.
    #[error("cannot use the keys of `{path}`", path = path.display())]
    Keys {
        /// The file, or that of the source that the key stands in.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: KeyringError,
    },
    /// Nobody's signature would count.
    #[error("no key is trusted for `{uri}`: {looked}")]
    NoKeys {
        /// The source.
        uri: String,
        /// Where keys were looked for.
        looked: String,
    },
}

impl HostError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKeys { .. } => Some(
                "install the package with the archive's keys: debian-archive-keyring or ubuntu-keyring; or name a file of keys",
            ),
            Self::Read { .. } | Self::Conf { .. } | Self::Sources(_) | Self::Keys { .. } => None,
        }
    }
}

impl Host {
    /// Reads what is below `etc/apt` of a root; a machine without apt has no sources. Variables in sources stand for
    /// this architecture.
    ///
    /// # Errors
    /// A file that cannot be read, or that apt would not take either.
    pub fn read(root: &Path, architecture: &str) -> Result<Self, HostError> {
        let mut host = Self { root: root.to_owned(), ..Self::default() };
        let etc = root.join("etc/apt");
        let mut files = files_of(&etc.join("apt.conf.d"), &["", "conf"])?;
        files.push(etc.join("apt.conf"));
        for path in files {
            if let Some(text) = text_of(&path)? {
                host.conf.add(&text).map_err(|cause| HostError::Conf { path, cause })?;
            }
        }
        let mut files = vec![etc.join("auth.conf")];
        files.extend(files_of(&etc.join("auth.conf.d"), &["conf"])?);
        for path in files {
            // Often only root may read them, and the archives of an ordinary user need none.
            if let Ok(text) = fs::read_to_string(&path) {
                host.logins.add(&text);
            }
        }
        let mut files = vec![etc.join("sources.list")];
        files.extend(files_of(&etc.join("sources.list.d"), &["list", "sources"])?);
        for path in files {
            let Some(text) = text_of(&path)? else { continue };
            let name = path.display().to_string();
            let is_deb822 = path.extension().is_some_and(|it| it == "sources");
            let read = if is_deb822 { sources::from_deb822 } else { sources::from_list };
            host.sources.extend(read(&name, &text, architecture)?);
        }
        Ok(host)
    }

    /// Whose signature counts for a source: the keys that it names, or all that apt trusts; for a distribution's
    /// archive also those that its packages bring.
    ///
    /// # Errors
    /// Keys that a source names cannot be used, or there is no key at all.
    pub fn keys(&self, source: &Source, of: Option<Distribution>) -> Result<Keys, HostError> {
        let named = &source.signed_by;
        let mut keys = Keys { keyring: Keyring::default(), only: named.fingerprints.clone() };
        let place = || source.place.as_ref().map_or_else(PathBuf::new, |(file, _)| file.into());
        if let Some(key) = &named.key {
            let added = keys.keyring.add(key.as_bytes());
            added.map_err(|cause| HostError::Keys { path: place(), cause })?;
        }
        for file in &named.files {
            let path = self.below(file);
            let bytes = fs::read(&path).map_err(|cause| HostError::Read { path: path.clone(), cause })?;
            keys.keyring.add(&bytes).map_err(|cause| HostError::Keys { path, cause })?;
        }
        let mut looked = Vec::new();
        if named.key.is_none() && named.files.is_empty() {
            let etc = self.root.join("etc/apt");
            let mut files = vec![etc.join("trusted.gpg")];
            files.extend(files_of(&etc.join("trusted.gpg.d"), &["gpg", "asc"])?);
            looked.extend([etc.join("trusted.gpg"), etc.join("trusted.gpg.d")]);
            for file in of.map_or(&[][..], Distribution::keyrings) {
                files.push(self.below(Path::new(file)));
                looked.push(self.below(Path::new(file)));
            }
            // As in apt, one that cannot be used is passed over: it could only have trusted more.
            for bytes in files.iter().filter_map(|file| fs::read(file).ok()) {
                let _ = keys.keyring.add(&bytes);
            }
        }
        if keys.keyring.is_empty() && source.trusted != Some(true) {
            let looked: Vec<String> = looked.iter().map(|path| format!("`{}`", path.display())).collect();
            let looked = format!("there is none in {}", looked.join(", "));
            return Err(HostError::NoKeys { uri: source.uri.clone(), looked });
        }
        Ok(keys)
    }

    fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// The files of a directory with one of these endings, by name; none where there is no directory. Others are passed
/// over, as by apt.
fn files_of(directory: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, HostError> {
    let read = |cause| HostError::Read { path: directory.to_owned(), cause };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(read(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(read)?.path();
        let ending = path.extension().unwrap_or_default();
        let is_meant = endings.iter().any(|wanted| ending == *wanted);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
        let is_sound = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
        if is_meant && is_sound && !name.starts_with('.') && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn text_of(path: &Path) -> Result<Option<String>, HostError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(HostError::Read { path: path.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestKey;

    fn write(root: &Path, files: &[(&str, &[u8])]) {
        for (name, content) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, content).expect("written");
        }
    }

    #[test]
    fn what_apt_reads_is_read() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        assert_eq!(Host::read(root, "amd64").expect("nothing").sources, []);
        write(
            root,
            &[
                ("etc/apt/sources.list", b"deb http://a/debian bookworm main\n"),
                ("etc/apt/sources.list.d/z.list", b"deb http://z/$(ARCH) x main\n"),
                (
                    "etc/apt/sources.list.d/b.sources",
                    b"Types: deb\nURIs: http://b\nSuites: x\nComponents: y\n",
                ),
                ("etc/apt/sources.list.d/old.list.save", b"nonsense"),
                ("etc/apt/sources.list.d/a b.list", b"nonsense"),
                ("etc/apt/apt.conf.d/01proxy", b"Acquire::http::Proxy \"http://p:1\";"),
                ("etc/apt/auth.conf.d/corp.conf", b"machine a login b password c"),
                ("etc/apt/apt.conf", b"Acquire::http::Proxy \"http://p:2\";"),
            ],
        );
        let host = Host::read(root, "arm64").expect("well formed");
        let uris: Vec<&str> = host.sources.iter().map(|one| one.uri.as_str()).collect();
        assert_eq!(uris, ["http://a/debian", "http://b", "http://z/arm64"]);
        assert_eq!(host.conf.proxies().http.as_deref(), Some("http://p:2"));
        assert!(!host.logins.is_empty());
        write(root, &[("etc/apt/sources.list", b"deb\n")]);
        let error = Host::read(root, "arm64").expect_err("malformed");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(
            cause.ends_with(
                "sources.list`, line 1: a source is `deb URI SUITE COMPONENT…`; its URI or suite is missing"
            ),
            "{cause}"
        );
    }

    #[test]
    fn keys_are_those_a_source_names() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let (own, trusted, debian) = (TestKey::new(1), TestKey::new(2), TestKey::new(3));
        let host = Host { root: root.to_owned(), ..Host::default() };
        let source = |options: &str| {
            let line = format!("deb [{options}] http://a x main");
            sources::from_list("s", &line, "amd64").expect("well formed").remove(0)
        };
        let error = host.keys(&source("arch=amd64"), Some(Distribution::Debian)).expect_err("no keys");
        assert!(error.to_string().contains("debian-archive-keyring.gpg"), "{error}");
        assert!(host.keys(&source("trusted=yes"), None).expect("trusted").keyring.is_empty());
        write(
            root,
            &[
                ("k/own.gpg", &own.usual()),
                ("k/bad.gpg", b"nothing"),
                ("etc/apt/trusted.gpg.d/t.gpg", &trusted.usual()),
                ("etc/apt/trusted.gpg.d/bad.gpg", b"nothing"),
                ("usr/share/keyrings/debian-archive-keyring.gpg", &debian.usual()),
            ],
        );
        let count =
            |options: &str, of| host.keys(&source(options), of).expect("keys").keyring.fingerprints().len();
        assert_eq!(count("signed-by=/k/own.gpg", Some(Distribution::Debian)), 1);
        assert_eq!(count("arch=amd64", None), 1);
        assert_eq!(count("arch=amd64", Some(Distribution::Debian)), 2);
        assert_eq!(count("arch=amd64", Some(Distribution::Ubuntu)), 1);
        let keys = host.keys(&source("signed-by=0123"), None).expect("keys");
        assert_eq!((keys.only.len(), keys.keyring.fingerprints().len()), (1, 1));
        assert!(matches!(host.keys(&source("signed-by=/k/bad.gpg"), None), Err(HostError::Keys { .. })));
        assert!(matches!(host.keys(&source("signed-by=/k/none.gpg"), None), Err(HostError::Read { .. })));
    }
}
