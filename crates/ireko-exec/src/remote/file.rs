//! Fetching the file of a URL: its login, its digest, and what servers do wrong.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ireko_graph::op::{self, HttpSource};
use ireko_http::{Client, Download, Downloaded, HttpError, KnownFile, Request, Validators};
use ireko_oci::{Algorithm, Digest};
use ireko_report::Blame;
use sha2::{Digest as _, Sha256, Sha512};

use crate::secrets::{SecretError, SecretValue, Secrets};

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It did not come, or not whole.
    #[error("cannot fetch `{url}`")]
    Http {
        /// The URL, without its login.
        url: String,
        /// The host, for a hint.
        host: String,
        /// What happened.
        #[source]
        cause: HttpError,
    },
    /// It is another file.
    #[error("`{url}` is not what `--checksum` says: it should be {expected} and is {found}")]
    Checksum {
        /// The URL, without its login.
        url: String,
        /// The digest asked for.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A secret cannot be sent.
    #[error("secret `{id}` is no text that a header can hold")]
    NoText {
        /// Which.
        id: String,
    },
}

impl FetchError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Http { cause, .. } => cause.blame(),
            _ => Blame::User,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Http { cause: HttpError::Status { status: 401 | 403, .. }, host, .. } => Some(format!(
                "if it needs a token, give it as a secret: `--secret id={TOKEN}{host},env=NAME`"
            )),
            Self::Http { cause, .. } => cause.hint().map(str::to_owned),
            Self::Checksum { .. } => Some(
                "if the new file is the wanted one, write its checksum; otherwise somebody changed it on the way"
                    .to_owned(),
            ),
            Self::Secret(_) | Self::NoText { .. } => None,
        }
    }
}

/// Names of secrets that hold the whole header for a host, as BuildKit has them.
const HEADER: &str = "HTTP_AUTH_HEADER_";
/// Names of secrets that hold a token for a host.
const TOKEN: &str = "HTTP_AUTH_TOKEN_";

/// What fetches.
pub struct Fetcher<'a> {
    /// The connections.
    pub http: &'a Client,
    /// Logins, by the host they are for.
    pub secrets: &'a Secrets,
    /// Is told how many bytes have come, and of how many.
    pub tell: &'a dyn Fn(u64, Option<u64>),
}

/// A file that has come.
pub struct FileFetched {
    /// Its length in bytes.
    pub size: u64,
    /// Its digest, by the algorithm of the checksum where there is one.
    pub digest: Digest,
    /// How the server names its state.
    pub validators: Validators,
}

impl Fetcher<'_> {
    /// Fetches a file into `path`, which must not be there yet; nothing where it is still the known one.
    ///
    /// # Errors
    /// It did not come whole, or is another one than its checksum says.
    pub fn file(
        &self,
        source: &HttpSource,
        known: Option<&KnownFile>,
        path: &Path,
    ) -> Result<Option<FileFetched>, FetchError> {
        let url = op::shown(&source.url);
        let failed = |cause| FetchError::Http { url: url.clone(), host: host(source), cause };
        let request = self.request(source)?.may_leave_tls(source.checksum.is_some());
        let file = File::create_new(path).map_err(|cause| failed(HttpError::Write { cause }))?;
        let algorithm = source.checksum.map_or(Algorithm::Sha256, |checksum| checksum.algorithm());
        let mut taken = Taken::new(file, algorithm, self.tell);
        let validators = match self.http.download(&request, known, &mut taken).map_err(failed)? {
            Downloaded::Unchanged => return Ok(None),
            Downloaded::Whole(validators) => validators,
        };
        taken.file.flush().map_err(|cause| failed(HttpError::Write { cause }))?;
        let (size, digest) = (taken.size, taken.hash.finish());
        match source.checksum {
            Some(expected) if expected != digest => {
                let (expected, found) = (expected.to_string(), digest.to_string());
                Err(FetchError::Checksum { url: url.clone(), expected, found })
            }
            _ => Ok(Some(FileFetched { size, digest, validators })),
        }
    }

    /// The request, with the login that a secret holds for its host.
    fn request(&self, source: &HttpSource) -> Result<Request, FetchError> {
        let host = host(source);
        let request = Request::get(&source.url);
        let request = request.map_err(|cause| FetchError::Http {
            url: op::shown(&source.url),
            host: host.clone(),
            cause,
        })?;
        for (prefix, scheme) in [(HEADER, ""), (TOKEN, "Bearer ")] {
            let id = format!("{prefix}{host}");
            if let Some(SecretValue(value)) = self.secrets.value(&id)? {
                let value = format!("{scheme}{}", String::from_utf8_lossy(&value).trim());
                return request.header("authorization", &value).map_err(|_| FetchError::NoText { id });
            }
        }
        Ok(request)
    }
}

/// The name of a source's host.
fn host(source: &HttpSource) -> String {
    Request::get(&source.url).map(|request| request.host_name().to_owned()).unwrap_or_default()
}

enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Sha256(hash) => *hash = Sha256::new(),
            Self::Sha512(hash) => *hash = Sha512::new(),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest::from_sha256(hash.finalize().into()),
            Self::Sha512(hash) => Digest::from_sha512(hash.finalize().into()),
        }
    }
}

/// Writes and hashes a file as it arrives.
struct Taken<'a> {
    file: BufWriter<File>,
    size: u64,
    length: Option<u64>,
    hash: Hash,
    told: u64,
    tell: &'a dyn Fn(u64, Option<u64>),
}

impl<'a> Taken<'a> {
    fn new(file: File, algorithm: Algorithm, tell: &'a dyn Fn(u64, Option<u64>)) -> Self {
        let file = BufWriter::new(file);
        Self { file, size: 0, length: None, hash: Hash::new(algorithm), told: 0, tell }
    }
}

/// Progress is told once for so many bytes.
const TOLD_EVERY: u64 = 4 << 20;

impl Download for Taken<'_> {
    fn begin(&mut self, length: Option<u64>) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().set_len(0)?;
        io::Seek::rewind(&mut self.file)?;
        self.hash.restart();
        (self.size, self.told, self.length) = (0, 0, length);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        if self.size - self.told >= TOLD_EVERY {
            self.told = self.size;
            (self.tell)(self.size, self.length);
        }
        Ok(())
    }
}
