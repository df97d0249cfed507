//! Hashes of a context's files, from the stat cache or from their bytes.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use ireko_layer::{TreePath, Xattrs};
use ireko_oci::FileHash;
use ireko_store::FileStat;
use rayon::prelude::*;
use rustix::fs::{AtFlags, OFlags, StatxFlags};

use super::{LocalContext, dirs};
use crate::cancel::Cancel;
use crate::files_error::FilesError;
use crate::source::{Bytes, Item, ItemKind};

/// What a look into a file tells.
#[derive(Clone, Debug)]
pub(crate) struct Print {
    /// BLAKE3 of its bytes.
    pub(crate) hash: FileHash,
    /// Its attributes.
    pub(crate) xattrs: Xattrs,
}

/// Files of at least this size are hashed by several threads.
const BIG: u64 = 8 << 20;

/// Bytes read at a time.
const PIECE: usize = 128 << 10;

/// Files looked up by one thread at a time.
const BATCH: usize = 128;

impl LocalContext {
    /// The prints of these items, in order; what is no regular file has none.
    pub(crate) fn prints(&self, items: &[Arc<Item>]) -> Result<Vec<Option<Print>>, FilesError> {
        items.par_iter().with_min_len(BATCH).map(|item| self.print(item)).collect()
    }

    fn print(&self, item: &Item) -> Result<Option<Print>, FilesError> {
        let ItemKind::File { bytes, .. } = &item.kind else { return Ok(None) };
        let stat = match bytes {
            Bytes::Stat(stat) => stat,
            Bytes::Hash(hash) => return Ok(Some(Print { hash: *hash, xattrs: item.meta.xattrs.clone() })),
        };
        let stats = &self.place.stats;
        // A file is known by its path alone if it was seen to have no attributes.
        if let Some(hash) = stats.get(item.path.as_bytes(), stat) {
            return Ok(Some(Print { hash, xattrs: Xattrs::new() }));
        }
        self.look_into(&item.path, stat).map(Some)
    }

    fn look_into(&self, path: &TreePath, stat: &FileStat) -> Result<Print, FilesError> {
        let stats = &self.place.stats;
        let failed = |cause| unreadable(path, cause);
        let mut file = self.open_same(path, stat)?;
        let xattrs = dirs::xattrs(&file).map_err(failed)?;
        let mut key = path.as_bytes().to_vec();
        if !xattrs.is_empty() {
            key.push(0);
            if let Some(hash) = stats.get(&key, stat) {
                return Ok(Print { hash, xattrs });
            }
        }
        let cancel = &self.place.cancel;
        let interrupted = |cause| if cancel.is_asked() { FilesError::Interrupted } else { failed(cause) };
        let hash = hash_of(&mut file, stat.size, cancel).map_err(interrupted)?;
        if !is_same(&file, stat).map_err(failed)? {
            return Err(FilesError::Changed { path: path.clone() });
        }
        stats.put(&key, stat, hash);
        Ok(Print { hash, xattrs })
    }

    /// Opens a file that must still be what the item says.
    pub(crate) fn open_file(&self, item: &Item) -> Result<File, FilesError> {
        match &item.kind {
            ItemKind::File { bytes: Bytes::Stat(stat), .. } => self.open_same(&item.path, stat),
            _ => Err(FilesError::Changed { path: item.path.clone() }),
        }
    }

    fn open_same(&self, path: &TreePath, stat: &FileStat) -> Result<File, FilesError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = dirs::open_beneath(&self.place.root, path.as_path(), flags)
            .map_err(|cause| unreadable(path, cause))?;
        let file = File::from(fd);
        match is_same(&file, stat).map_err(|cause| unreadable(path, cause))? {
            true => Ok(file),
            false => Err(FilesError::Changed { path: path.clone() }),
        }
    }
}

fn is_same(file: &File, stat: &FileStat) -> io::Result<bool> {
    let statx = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    Ok(dirs::file_stat(&statx) == *stat)
}

fn unreadable(path: &TreePath, cause: io::Error) -> FilesError {
    match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FilesError::Changed { path: path.clone() },
        _ => FilesError::Read { path: path.clone(), place: "the context", cause },
    }
}

fn hash_of(file: &mut File, size: u64, cancel: &Cancel) -> io::Result<FileHash> {
    let mut hasher = blake3::Hasher::new();
    let big = size >= BIG;
    let room = if big { BIG as usize } else { PIECE.min(size as usize + 1) };
    let mut buffer = vec![0; room];
    loop {
        if cancel.is_asked() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            return Ok(FileHash(*hasher.finalize().as_bytes()));
        }
        if big {
            hasher.update_rayon(&buffer[..filled])
        } else {
            hasher.update(&buffer[..filled])
        };
    }
}
