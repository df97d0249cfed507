//! The cache: whole files by their SHA-256, and the newest Release file of each place.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use ring::digest::{Context, SHA256, digest};

use super::ArchiveError;
use crate::release::show_hash;

/// What is left of a process that was killed is swept after this time.
const STALE: Duration = Duration::from_secs(86_400);
/// The first line of a kept Release file.
const FORM: &str = "ireko release 1";

/// A directory of files. A file is absent or whole: each is written beside its place and renamed. Nothing in it is
/// believed without being hashed or verified again, so it needs no lock and survives any crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens or makes a cache, and sweeps out what killed processes left half written.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(root: impl Into<PathBuf>, now: u64) -> Result<Self, ArchiveError> {
        let cache = Self { root: root.into() };
        for name in ["blobs", "releases", "new"] {
            let path = cache.root.join(name);
            fs::create_dir_all(&path).map_err(|cause| ArchiveError::Keep { path, cause })?;
        }
        let is_stale = |entry: &fs::DirEntry| {
            let modified = entry.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(modified + STALE < Duration::from_secs(now))
        };
        for entry in fs::read_dir(cache.root.join("new")).into_iter().flatten().flatten() {
            if is_stale(&entry) == Some(true) {
                // Another process may sweep at the same time.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(cache)
    }

    fn place(&self, sha256: &[u8; 32]) -> PathBuf {
        self.root.join("blobs").join(show_hash(sha256))
    }

    /// A file, if it is there and still has this hash.
    pub fn find(&self, sha256: &[u8; 32], size: u64) -> Option<PathBuf> {
        let path = self.place(sha256);
        let mut file = File::open(&path).ok()?;
        if file.metadata().ok()?.len() == size && hash_of(&mut file).ok()? == *sha256 {
            return Some(path);
        }
        // A damaged file is a miss; the next one who writes it replaces it.
        None
    }

    /// A file that is being written.
    pub(super) fn draft(&self) -> Result<Draft, ArchiveError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join("new").join(format!("{}-{count}", std::process::id()));
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Draft { file, path, is_kept: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(ArchiveError::Keep { path, cause }),
            }
        }
    }

    /// Makes a draft the file of this hash, which the caller has seen that it has.
    pub(super) fn keep(&self, draft: Draft, sha256: &[u8; 32]) -> Result<PathBuf, ArchiveError> {
        let path = self.place(sha256);
        draft.publish(&path)?;
        Ok(path)
    }

    fn release_place(&self, directory: &str) -> PathBuf {
        let name = digest(&SHA256, directory.as_bytes());
        self.root
            .join("releases")
            .join(name.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// The Release file that came last from a directory.
    pub(super) fn release(&self, directory: &str) -> Option<Kept> {
        Kept::parse(&fs::read(self.release_place(directory)).ok()?)
    }

    pub(super) fn keep_release(&self, directory: &str, kept: &Kept) -> Result<(), ArchiveError> {
        let mut draft = self.draft()?;
        let written = draft.file.write_all(&kept.to_bytes());
        written.map_err(|cause| ArchiveError::Keep { path: draft.path.clone(), cause })?;
        draft.publish(&self.release_place(directory))
    }
}

/// The hash of what follows in a file.
pub(super) fn hash_of(from: &mut impl Read) -> io::Result<[u8; 32]> {
    let (mut context, mut room) = (Context::new(&SHA256), vec![0; 128 << 10]);
    loop {
        match from.read(&mut room)? {
            0 => return Ok(sum(context)),
            count => context.update(&room[..count]),
        }
    }
}

pub(super) fn sum(context: Context) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A file that does not exist yet for others; dropped, it never did.
pub(super) struct Draft {
    pub(super) file: File,
    pub(super) path: PathBuf,
    is_kept: bool,
}

impl Draft {
    fn publish(mut self, path: &Path) -> Result<(), ArchiveError> {
        fs::rename(&self.path, path).map_err(|cause| ArchiveError::Keep { path: path.to_owned(), cause })?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // Where it cannot be removed, it is swept later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A Release file as it came, with what its server calls its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    /// `InRelease`, or `Release`.
    pub(super) file: Vec<u8>,
    /// `Release.gpg`, where it is apart.
    pub(super) signature: Option<Vec<u8>>,
}

impl Kept {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
        let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]);
        let lines: Vec<&str> = head.split('\n').collect();
        let [FORM, etag, last_modified, length] = lines[..] else { return None };
        let text = |line: &str| Some(line.to_owned()).filter(|line| !line.is_empty());
        let (etag, last_modified) = (text(etag.strip_prefix('=')?), text(last_modified.strip_prefix('=')?));
        let (file, signature) = body.split_at_checked(length.parse().ok()?)?;
        let signature = (!signature.is_empty()).then(|| signature.to_vec());
        Some(Self { etag, last_modified, file: file.to_vec(), signature })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default().replace('\n', "");
        let (etag, last_modified) = (text(&self.etag), text(&self.last_modified));
        let head = format!("{FORM}\n={etag}\n={last_modified}\n{}\n\n", self.file.len());
        [head.as_bytes(), &self.file, self.signature.as_deref().unwrap_or_default()].concat()
    }
}
