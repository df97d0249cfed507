//! Pulling: a reference to a digest, a digest to bytes that are what they should be.

use std::io::Write;

use ireko_oci::{Algorithm, Descriptor, Digest, Document, Hasher, ImageConfig, Index, Manifest};
use ireko_oci::{MediaType, OciError, Platform, Reference};
use serde::Deserialize;

use crate::error::RegistryError;
use crate::registry::Registry;
use ireko_http::{HttpError, Request, Response};

/// An index within an index within an index is already one more than anybody uses.
const NESTING_MAX: usize = 3;
/// Tags shown when one is not found, and how many of the list are looked at.
const SIMILAR_SHOWN: usize = 3;
const TAGS_MAX: u64 = 1 << 20;

const ACCEPTED: [MediaType; 4] =
    [MediaType::OCI_INDEX, MediaType::DOCKER_INDEX, MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST];

/// A document and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The digest of the bytes.
    pub digest: Digest,
    /// What the server says they are.
    pub media_type: MediaType,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The host that gave them: a mirror, perhaps.
    pub host: String,
}

/// An image whose layers have not been fetched.
#[derive(Clone, Debug)]
pub struct RemoteImage {
    /// The reference it was found by.
    pub reference: Reference,
    /// What the reference itself names: the index, or the manifest where there is none.
    pub top: Fetched,
    /// The digest of the manifest.
    pub manifest_digest: Digest,
    /// The bytes of the manifest.
    pub manifest_bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
    /// The bytes of the config; their digest is in the manifest.
    pub config_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
}

impl Registry {
    /// The digest a reference has now, without fetching anything; nothing if the registry does not say.
    pub fn digest(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        self.at_each(reference, |place| self.digest_at(place))
    }

    fn digest_at(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let what = manifest_of(reference);
        let request = self.manifest_request(reference, &what, Request::head)?;
        let response = self.send(reference, &what, &request)?;
        // Some small registries know no HEAD.
        if matches!(response.status(), 405 | 501) {
            return Ok(None);
        }
        if !response.is_success() {
            return Err(self.not_found(reference, self.refusal(reference, &what, response)));
        }
        Ok(response.header("docker-content-digest").and_then(|digest| digest.parse().ok()))
    }

    /// The manifest or index a reference names. If the reference has a digest, it is that one.
    pub fn resolve(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        self.at_each(reference, |place| {
            let found = self.resolve_at(place)?;
            // A mirror that gives a page in place of a document is passed over.
            if Self::host(place) != Self::host(reference) {
                Document::parse(&found.bytes).map_err(|cause| unusable(place, "manifest", cause))?;
            }
            Ok(found)
        })
    }

    fn resolve_at(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        let what = manifest_of(reference);
        let request = self.manifest_request(reference, &what, Request::get)?;
        let response = self.send(reference, &what, &request)?;
        if !response.is_success() {
            return Err(self.not_found(reference, self.refusal(reference, &what, response)));
        }
        let media_type = MediaType::new(response.header("content-type").unwrap_or_default());
        // The header is a courtesy: what cannot be checked says nothing.
        let named = response.header("docker-content-digest").and_then(|digest| digest.parse().ok());
        let named = named.filter(|digest: &Digest| digest.algorithm() == Algorithm::Sha256);
        let host = response.host();
        let bytes = self.document(&what, response)?;
        let digest = match reference.digest().or(named) {
            Some(wanted) => verify(&what, &host, &wanted, &bytes)?,
            None => Digest::of(&bytes),
        };
        Ok(Fetched { digest, media_type, bytes, host })
    }

    /// The manifest with this digest in a reference's repository.
    pub fn manifest(&self, reference: &Reference, digest: &Digest) -> Result<Fetched, RegistryError> {
        self.resolve(&reference.repository().with_digest(*digest))
    }

    /// The image a reference names for a platform: manifest and config, but no layers.
    pub fn image(&self, reference: &Reference, platform: &Platform) -> Result<RemoteImage, RegistryError> {
        let reference = reference.or_latest();
        let top = self.resolve(&reference)?;
        let mut found = top.clone();
        for _ in 0..NESTING_MAX {
            let document = Document::parse(&found.bytes);
            match document.map_err(|cause| unusable(&reference, "manifest", cause))? {
                Document::Manifest(manifest) => return self.complete(reference, top, found, manifest),
                Document::Index(index) => {
                    let chosen = select(&reference, &index, platform)?;
                    found = self.manifest(&reference, &chosen.digest)?;
                }
            }
        }
        let problem = format!("indexes are nested more than {NESTING_MAX} deep");
        Err(unusable(&reference, "index", OciError::Document { document: "image index", problem }))
    }

    fn complete(
        &self,
        reference: Reference,
        top: Fetched,
        found: Fetched,
        manifest: Manifest,
    ) -> Result<RemoteImage, RegistryError> {
        let media_type = &manifest.config.media_type;
        if !media_type.is_config() && !media_type.is_empty() {
            let problem = format!("its config is of type `{media_type}`, so it is no container image");
            return Err(unusable(
                &reference,
                "manifest",
                OciError::Document { document: "manifest", problem },
            ));
        }
        let config_bytes = self.blob_bytes(&reference, &manifest.config)?;
        let config =
            ImageConfig::parse(&config_bytes).map_err(|cause| unusable(&reference, "config", cause))?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            let (layers, ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
            let problem = format!("the manifest has {layers} layers, the config {ids} diff IDs");
            return Err(unusable(
                &reference,
                "config",
                OciError::Document { document: "image config", problem },
            ));
        }
        let (manifest_digest, manifest_bytes) = (found.digest, found.bytes);
        Ok(RemoteImage { reference, top, manifest_digest, manifest_bytes, manifest, config_bytes, config })
    }

    /// A small blob, such as a config, as bytes.
    pub fn blob_bytes(&self, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        if blob.size > self.document_limit {
            let (what, host) = (blob_of(reference, blob), Self::host(reference).to_owned());
            return Err(RegistryError::TooLarge { what, host, limit: self.document_limit });
        }
        let mut bytes = Vec::new();
        match self.blob(reference, blob, &mut bytes, &mut |_| {}) {
            Err(error) if Self::may_ask_again(reference, &error) => {
                bytes.clear();
                self.blob(reference, blob, &mut bytes, &mut |_| {})?;
            }
            done => done?,
        }
        Ok(bytes)
    }

    /// Writes a blob's bytes, going on where a broken connection left off. They are checked against size and
    /// digest: after an error the writer holds rubbish and must be thrown away. `progress` is told how many
    /// bytes have been written so far; a writer that fails stops the transfer.
    pub fn blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let what = blob_of(reference, blob);
        let mut transfer = Transfer {
            what: &what,
            host: String::new(),
            hosts: Vec::new(),
            blob,
            hasher: Hasher::new(),
            out,
            progress,
        };
        // What a mirror gave counts, wherever the rest comes from: all of it is checked together at the end.
        let done = self.at_each(reference, |place| self.fill(place, &mut transfer));
        let mirrors: Vec<String> =
            transfer.hosts.iter().filter(|host| *host != Self::host(reference)).cloned().collect();
        match done.and_then(|()| transfer.finish()) {
            Err(RegistryError::Mismatch { what, expected, found, .. }) if !mirrors.is_empty() => {
                for host in &mirrors {
                    self.give_up(host, &format!("{what} is not what it should be"));
                }
                let host = mirrors.join("`, `");
                Err(RegistryError::Mismatch { what, host, expected, found })
            }
            done => done,
        }
    }

    /// Whether what came was wrong because of a mirror, which is asked no more: it may be asked for again.
    pub fn may_ask_again(reference: &Reference, error: &RegistryError) -> bool {
        matches!(error, RegistryError::Mismatch { host, .. } if host != Self::host(reference))
    }

    /// Fetches what is missing of a blob from one place.
    fn fill(&self, reference: &Reference, transfer: &mut Transfer<'_>) -> Result<(), RegistryError> {
        Self::host(reference).clone_into(&mut transfer.host);
        transfer.hosts.push(transfer.host.clone());
        let mut patience = self.client().patience().attempts;
        loop {
            let before = transfer.hasher.size();
            let response = self.open_blob(reference, transfer)?;
            match transfer.copy(response) {
                Ok(()) => return Ok(()),
                Err(error) if error.retryable() && transfer.hasher.size() > before => {
                    // It gets on; only attempts without any progress count.
                    patience = self.client().patience().attempts;
                }
                Err(error) if error.retryable() && patience > 1 => patience -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn open_blob(&self, reference: &Reference, transfer: &Transfer<'_>) -> Result<Response, RegistryError> {
        let Transfer { what, blob, .. } = transfer;
        let from = transfer.hasher.size();
        let mut urls = vec![self.url(reference, &format!("blobs/{}", blob.digest))];
        // Only layers that registries may not serve name other places.
        let is_foreign = blob.media_type.layer().is_some_and(|layer| layer.foreign);
        urls.extend(blob.urls.iter().filter(|_| is_foreign).cloned());
        let mut last = None;
        for url in &urls {
            let failed = |cause| RegistryError::Http { deed: "fetch", what: (*what).to_owned(), cause };
            let mut request = Request::get(url).map_err(failed)?;
            if from > 0 {
                request = request.header("range", &format!("bytes={from}-")).map_err(failed)?;
            }
            let response = if url == &urls[0] {
                self.send(reference, what, &request)?
            } else {
                self.client().send(&request).map_err(failed)?
            };
            if response.is_success() {
                return Ok(response);
            }
            // Nothing follows what came: the blob itself is shorter than it should be.
            if response.status() == 416 && from > 0 {
                return Err(transfer.mismatch(format!("{} bytes", blob.size), format!("{from}")));
            }
            last = Some(self.refusal(reference, what, response));
        }
        Err(last.expect("there is at least the registry's own URL"))
    }

    fn manifest_request(
        &self,
        reference: &Reference,
        what: &str,
        make: fn(&str) -> Result<Request, HttpError>,
    ) -> Result<Request, RegistryError> {
        let name = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.or_latest().tag().unwrap_or_default().to_owned(),
        };
        let accepted = ACCEPTED.each_ref().map(MediaType::as_str).join(", ");
        make(&self.url(reference, &format!("manifests/{name}")))
            .and_then(|request| request.header("accept", &accepted))
            .map_err(|cause| RegistryError::Http { deed: "fetch", what: what.to_owned(), cause })
    }

    fn document(&self, what: &str, mut response: Response) -> Result<Vec<u8>, RegistryError> {
        let limit = self.document_limit;
        let bytes = response.body.read_up_to(limit);
        let bytes =
            bytes.map_err(|cause| RegistryError::Http { deed: "fetch", what: what.to_owned(), cause })?;
        bytes.ok_or_else(|| RegistryError::TooLarge { what: what.to_owned(), host: response.host(), limit })
    }

    /// Adds tags that read alike to an error that says a tag is not there.
    fn not_found(&self, reference: &Reference, error: RegistryError) -> RegistryError {
        let RegistryError::NotFound { reference: name, host, said, .. } = error else { return error };
        let reference = reference.or_latest();
        let similar = match (reference.tag(), reference.digest()) {
            (Some(tag), None) => nearest(tag, &self.tags(&reference).unwrap_or_default()),
            _ => Vec::new(),
        };
        RegistryError::NotFound { reference: name, host, said, similar }
    }

    /// The first tags of a repository, as the registry lists them.
    fn tags(&self, reference: &Reference) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let request = Request::get(&self.url(reference, "tags/list")).ok()?;
        let mut response = self.send(reference, "list of tags", &request).ok()?;
        let bytes = response.is_success().then(|| response.body.read_up_to(TAGS_MAX))?.ok()??;
        serde_json::from_slice::<Tags>(&bytes).ok()?.tags
    }
}

/// A blob on its way, perhaps over several connections.
struct Transfer<'a> {
    what: &'a str,
    /// Whom it is coming from, and who gave some of it before.
    host: String,
    hosts: Vec<String>,
    blob: &'a Descriptor,
    hasher: Hasher,
    out: &'a mut dyn Write,
    progress: &'a mut dyn FnMut(u64),
}

impl Transfer<'_> {
    fn copy(&mut self, mut response: Response) -> Result<(), RegistryError> {
        let mut skip = self.skip(&response)?;
        loop {
            let failed = |cause| RegistryError::Http { deed: "fetch", what: self.what.to_owned(), cause };
            let Some(mut piece) = response.body.next_piece().map_err(failed)? else { break };
            let known = skip.min(piece.len() as u64);
            skip -= known;
            let piece = piece.split_off(usize::try_from(known).expect("no more than the piece's length"));
            if self.hasher.size() + piece.len() as u64 > self.blob.size {
                return Err(self.mismatch(format!("{} bytes", self.blob.size), "more".to_owned()));
            }
            let unwritten = |cause| RegistryError::Write { what: self.what.to_owned(), cause };
            self.out.write_all(&piece).map_err(unwritten)?;
            self.hasher.update(&piece);
            (self.progress)(self.hasher.size());
        }
        let size = self.hasher.size();
        if size < self.blob.size {
            let problem = format!("it ended after {size} of {} bytes", self.blob.size);
            let cause = HttpError::Broken { host: self.host.clone(), problem };
            return Err(RegistryError::Http { deed: "fetch", what: self.what.to_owned(), cause });
        }
        Ok(())
    }

    /// How many bytes at the start of an answer are known already: a server may ignore that only the rest was
    /// asked for.
    fn skip(&self, response: &Response) -> Result<u64, RegistryError> {
        let have = self.hasher.size();
        if response.status() != 206 {
            return Ok(have);
        }
        let range = response.header("content-range").unwrap_or_default();
        let start =
            range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse::<u64>().ok());
        match start {
            Some(start) if start <= have => Ok(have - start),
            _ => Err(self.mismatch(format!("bytes from {have} on"), format!("range `{range}`"))),
        }
    }

    fn finish(self) -> Result<(), RegistryError> {
        let Self { what, host, blob, hasher, out, .. } = self;
        out.flush().map_err(|cause| RegistryError::Write { what: what.to_owned(), cause })?;
        let found = hasher.finish();
        if found != blob.digest {
            let (expected, found) = (blob.digest.to_string(), found.to_string());
            return Err(RegistryError::Mismatch { what: what.to_owned(), host, expected, found });
        }
        Ok(())
    }

    fn mismatch(&self, expected: String, found: String) -> RegistryError {
        RegistryError::Mismatch { what: self.what.to_owned(), host: self.host.clone(), expected, found }
    }
}

pub(crate) fn manifest_of(reference: &Reference) -> String {
    format!("manifest of `{}`", reference.familiar())
}

pub(crate) fn blob_of(reference: &Reference, blob: &Descriptor) -> String {
    format!("blob `{}` of `{}`", blob.digest, reference.familiar())
}

fn unusable(reference: &Reference, kind: &str, cause: OciError) -> RegistryError {
    let what = format!("{kind} of `{}`", reference.familiar());
    RegistryError::Document { what, host: Registry::host(reference).to_owned(), cause }
}

fn verify(what: &str, host: &str, wanted: &Digest, bytes: &[u8]) -> Result<Digest, RegistryError> {
    let found = Digest::of(bytes);
    if found == *wanted {
        return Ok(found);
    }
    let found = match wanted.algorithm() {
        Algorithm::Sha256 => found.to_string(),
        Algorithm::Sha512 => "a digest of a kind that cannot be checked".to_owned(),
    };
    let (what, host) = (what.to_owned(), host.to_owned());
    Err(RegistryError::Mismatch { what, host, expected: wanted.to_string(), found })
}

fn select<'a>(
    reference: &Reference,
    index: &'a Index,
    platform: &Platform,
) -> Result<&'a Descriptor, RegistryError> {
    index.select(platform).ok_or_else(|| {
        let mut available: Vec<String> = index.platforms().iter().map(ToString::to_string).collect();
        if available.is_empty() {
            available.push("none".to_owned());
        }
        RegistryError::Platform { reference: reference.familiar(), wanted: platform.to_string(), available }
    })
}

/// The tags that differ least from the one asked for, or the first ones if none is near.
fn nearest(tag: &str, tags: &[String]) -> Vec<String> {
    let mut scored: Vec<(usize, &String)> = tags
        .iter()
        .filter(|other| other.len() <= 2 * tag.len() + 8)
        .map(|other| (distance(tag, other), other))
        .filter(|(score, other)| *score <= tag.len().max(other.len()) / 2 || other.starts_with(tag))
        .collect();
    scored.sort();
    if scored.is_empty() {
        return tags.iter().take(SIMILAR_SHOWN).cloned().collect();
    }
    scored.into_iter().take(SIMILAR_SHOWN).map(|(_, other)| other.clone()).collect()
}

/// Edits that turn one text into the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, left) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in other.bytes().enumerate() {
            let swap = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
