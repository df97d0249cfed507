//! What a build names by URL: what it means now, and its bytes.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ireko_graph::op::{self, HttpSource};
use ireko_graph::{NodeId, Op};
use ireko_http::{KnownFile, Validators};
use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};
use ireko_oci::{Digest, Fields, SelectionId};
use ireko_report::{Blame, Event};
use ireko_store::Scratch;
use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::job::Job;
use crate::perform::{Done, Performer};
use crate::repository::Meanings;
pub use file::{FetchError, Fetcher, FileFetched};

/// What URLs were found to mean in this build, with the files that were fetched to learn it, until their steps want them.
#[derive(Default)]
pub(crate) struct Fetched {
    files: Mutex<BTreeMap<NodeId, Found>>,
    repositories: Meanings,
}

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
    /// The address that answered, after redirects.
    url: String,
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
        let source = match op {
            Op::Http(source) => source,
            Op::Git(source) => return self.repositories.resolve(performer, node, source),
            _ => return Err(Fault::failed(Blame::Bug, "a source is asked of what is none")),
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
        let source = match &performer.graph().node(job.node).op {
            Op::Http(source) => source,
            Op::Git(source) => return self.repositories.perform(performer, (job, source), began),
            _ => return Err(Fault::failed(Blame::Bug, "a source is asked of what is none")),
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
                Some((file, validators)) => {
                    remember(performer, source, &validators, file.digest)?;
                    file
                }
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
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the URL gives now.
fn current(performer: &Performer<'_>, node: NodeId, source: &HttpSource) -> Result<Found, Fault> {
    let store = performer.store();
    let memo = memo(source);
    let known = store.memo(&memo).and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
    let sent =
        known.as_ref().map(|Known { url, etag, .. }| KnownFile { url: url.clone(), etag: etag.clone() });
    let fetched = fetch(performer, node, source, sent.as_ref())?;
    let Some((file, validators)) = fetched else {
        let known = known.ok_or_else(|| Fault::failed(Blame::Bug, "an unknown file did not change"))?;
        return Ok(Found { digest: known.digest, file: None });
    };
    let digest = file.digest;
    remember(performer, source, &validators, digest)?;
    Ok(Found { digest, file: Some(file) })
}

/// Remembers which file came; that nothing is known of it too, where the server does not name its state.
fn remember(
    performer: &Performer<'_>,
    source: &HttpSource,
    validators: &Validators,
    digest: Digest,
) -> Result<(), Fault> {
    let known = validators.known().map(|KnownFile { url, etag }| Known { url, etag, digest });
    let memo = memo(source);
    let store = performer.store();
    if known.is_none() && store.memo(&memo).is_none() {
        return Ok(());
    }
    let known = known.and_then(|known| serde_json::to_vec(&known).ok()).unwrap_or_default();
    Ok(store.put_memo(&memo, &known)?)
}

/// The name of what is remembered of a URL. A server that shows another login another file gives it another `ETag`.
fn memo(source: &HttpSource) -> [u8; 32] {
    Fields::new("ireko http memo/2").bytes("url", op::shown(&source.url).as_bytes()).hash()
}

/// Fetches a file; nothing where it is still the one of `known`.
fn fetch(
    performer: &Performer<'_>,
    node: NodeId,
    source: &HttpSource,
    known: Option<&KnownFile>,
) -> Result<Option<(FetchedFile, Validators)>, Fault> {
    let scratch = performer.scratch()?;
    let path = scratch.path().join("file");
    let tell = |done, total| {
        let what = format!("fetching {}", op::shown(&source.url));
        performer.emit(Event::Progress { node: Some(node.0), what, done, total });
    };
    let surroundings = performer.surroundings();
    let fetcher = Fetcher { http: &surroundings.http, secrets: &surroundings.secrets, tell: &tell };
    let fetched = fetcher.file(source, known, &path).map_err(|error| fault(performer, &error))?;
    Ok(fetched.map(|FileFetched { size, digest, validators }| {
        let modified = validators.modified();
        (FetchedFile { _scratch: scratch, path, size, digest, modified }, validators)
    }))
}

fn fault(performer: &Performer<'_>, error: &FetchError) -> Fault {
    if performer.cancel().is_asked() {
        return Fault::Cancelled;
    }
    Fault::of(error.blame(), error).hinted(error.hint())
}
