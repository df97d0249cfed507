//! What a build names by URL: what it means now, and its bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ireko_graph::op::{self, HttpSource};
use ireko_graph::{NodeId, Op};
use ireko_http::{Download, Downloaded, HttpError, Request, Validators};
use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};
use ireko_oci::{Algorithm, Digest, Fields, SelectionId};
use ireko_report::{Blame, Event};
use ireko_store::Scratch;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::Fault;
use crate::job::Job;
use crate::perform::{Done, Performer};
use crate::secrets::SecretValue;

/// What URLs were found to mean in this build, with the files that were fetched to learn it, until their steps want them.
#[derive(Default)]
pub(crate) struct Fetched(Mutex<BTreeMap<NodeId, Found>>);

struct Found {
    digest: Digest,
    file: Option<FetchedFile>,
}

/// A file of a URL on this disk.
struct FetchedFile {
    /// Goes when the layer is written.
    _scratch: Scratch,
    path: PathBuf,
    size: u64,
    digest: Digest,
    modified: Option<u64>,
}

/// What is remembered of a URL between builds.
#[derive(Serialize, Deserialize)]
struct Known {
    etag: String,
    digest: Digest,
}

impl Fetched {
    /// What stands for the file of a URL in a key: the digest of its bytes. A checksum says it without a request, and a
    /// server that knows the file by its `ETag` without sending it.
    pub(crate) fn resolve(
        &self,
        performer: &Performer<'_>,
        node: NodeId,
        op: &Op,
    ) -> Result<SelectionId, Fault> {
        let Op::Http(source) = op else {
            return Err(Fault::failed(Blame::Bug, "a source is asked of what is none"));
        };
        let found = match source.checksum {
            Some(digest) => Found { digest, file: None },
            None => current(performer, node, source)?,
        };
        let mut fields = Fields::new("ireko source/1");
        fields.add("digest", found.digest.to_string().as_bytes());
        self.lock().insert(node, found);
        Ok(SelectionId(fields.hash()))
    }

    /// Makes the layer of a source.
    pub(crate) fn perform(
        &self,
        performer: &Performer<'_>,
        job: &Job,
        began: Instant,
    ) -> Result<Done, Fault> {
        let Op::Http(source) = &performer.graph().node(job.node).op else {
            return Err(Fault::failed(Blame::Bug, "a source is asked of what is none"));
        };
        let (_file, change) = self.file(performer, job.node, source)?;
        performer.write(job, vec![change], Some(began))
    }

    /// The file, and what it is as the only entry of a layer: with BuildKit's mode, and the time that the server gave.
    fn file(
        &self,
        performer: &Performer<'_>,
        node: NodeId,
        source: &HttpSource,
    ) -> Result<(FetchedFile, Change), Fault> {
        let found = self.lock().remove(&node);
        let expected = found.as_ref().map(|found| found.digest);
        let file = match found.and_then(|found| found.file) {
            Some(file) => file,
            None => match fetch(performer, node, source, None)? {
                Some((file, _)) => file,
                None => return Err(Fault::failed(Blame::Bug, "a whole file was asked for, and none came")),
            },
        };
        if expected != Some(file.digest) {
            return Err(Fault::Stale(format!("`{}` changed while being fetched", op::shown(&source.url))));
        }
        let secs = i64::try_from(file.modified.unwrap_or_default()).unwrap_or_default();
        let meta = Meta { mode: 0o600, mtime: Time::new(secs, 0), ..Meta::default() };
        let path = TreePath::new(&source.name).map_err(|error| Fault::of(Blame::User, &error))?;
        let data = Data::host(&file.path, file.size);
        Ok((file, Change::new(path, meta, ChangeKind::File(data))))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the URL gives now.
fn current(performer: &Performer<'_>, node: NodeId, source: &HttpSource) -> Result<Found, Fault> {
    let store = performer.store();
    let memo = memo(source);
    let known = store.memo(&memo).and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
    let fetched = fetch(performer, node, source, known.as_ref().map(|known| known.etag.as_str()))?;
    let Some((file, validators)) = fetched else {
        let known = known.ok_or_else(|| Fault::failed(Blame::Bug, "an unknown file did not change"))?;
        return Ok(Found { digest: known.digest, file: None });
    };
    let digest = file.digest;
    if let Some(etag) = validators.etag {
        let known = serde_json::to_vec(&Known { etag, digest }).unwrap_or_default();
        store.put_memo(&memo, &known)?;
    }
    Ok(Found { digest, file: Some(file) })
}

/// The name of what is remembered of a URL. A server that shows another login another file gives it another `ETag`.
fn memo(source: &HttpSource) -> [u8; 32] {
    Fields::new("ireko http memo/1").bytes("url", op::shown(&source.url).as_bytes()).hash()
}

/// Fetches a file; nothing where it is still the one of `known`.
fn fetch(
    performer: &Performer<'_>,
    node: NodeId,
    source: &HttpSource,
    known: Option<&str>,
) -> Result<Option<(FetchedFile, Validators)>, Fault> {
    let shown = op::shown(&source.url);
    let failed = |error: HttpError| fault(performer, source, &error).named(format!("cannot fetch `{shown}`"));
    let request = request(performer, source)?.may_leave_tls(source.checksum.is_some());
    let scratch = performer.scratch()?;
    let path = scratch.path().join("file");
    let file = File::create_new(&path).map_err(|cause| failed(HttpError::Write { cause }))?;
    let algorithm = source.checksum.map_or(Algorithm::Sha256, |checksum| checksum.algorithm());
    let tell = |done, total| {
        performer.emit(Event::Progress {
            node: Some(node.0),
            what: format!("fetching {shown}"),
            done,
            total,
        });
    };
    let mut taken = Taken::new(file, algorithm, &tell);
    let validators =
        match performer.surroundings().http.download(&request, known, &mut taken).map_err(failed)? {
            Downloaded::Unchanged => return Ok(None),
            Downloaded::Whole(validators) => validators,
        };
    taken.file.flush().map_err(|cause| failed(HttpError::Write { cause }))?;
    let (size, digest) = (taken.size, taken.hash.finish());
    if let Some(checksum) = source.checksum.filter(|checksum| *checksum != digest) {
        let message =
            format!("`{shown}` is not what `--checksum` says: it should be {checksum} and is {digest}");
        let hint =
            "if the new file is the wanted one, write its checksum; otherwise somebody changed it on the way";
        return Err(Fault::failed(Blame::User, message).hint(hint));
    }
    let modified = validators.modified();
    Ok(Some((FetchedFile { _scratch: scratch, path, size, digest, modified }, validators)))
}

/// The request, with the login that a secret holds for its host.
fn request(performer: &Performer<'_>, source: &HttpSource) -> Result<Request, Fault> {
    let unusable = |error: HttpError| fault(performer, source, &error);
    let request = Request::get(&source.url).map_err(unusable)?;
    let host = request.host();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    for (prefix, scheme) in [("HTTP_AUTH_HEADER_", ""), ("HTTP_AUTH_TOKEN_", "Bearer ")] {
        let id = format!("{prefix}{host}");
        let secret = performer.surroundings().secrets.value(&id).map_err(|(path, error)| {
            let message = format!("cannot read secret `{id}` from `{}`", path.display());
            Fault::of(Blame::User, &error).named(message)
        })?;
        if let Some(SecretValue(value)) = secret {
            let value = String::from_utf8_lossy(&value);
            let wrong =
                |_| Fault::failed(Blame::User, format!("secret `{id}` is no text that a header can hold"));
            return request.header("authorization", &format!("{scheme}{}", value.trim())).map_err(wrong);
        }
    }
    Ok(request)
}

fn fault(performer: &Performer<'_>, source: &HttpSource, error: &HttpError) -> Fault {
    if performer.cancel().is_asked() {
        return Fault::Cancelled;
    }
    let fault = Fault::of(error.blame(), error);
    let host = Request::get(&source.url).map(|request| request.host()).unwrap_or_default();
    match error {
        HttpError::Status { status: 401 | 403, .. } => fault.hint(format!(
            "if it needs a token, give it as a secret: `--secret id=HTTP_AUTH_TOKEN_{},env=NAME`",
            host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name)
        )),
        error => match error.hint() {
            Some(hint) => fault.hint(hint),
            None => fault,
        },
    }
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
