//! Directories for a step's passing needs: gone when they are dropped, or when the process that made them is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk;
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::store::Store;

/// A directory of one's own on the store's file system. Dropped, it is gone with all it holds.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// What lies below goes with the lease at the latest, so the lease has to live as long.
    _lease: Arc<Lease>,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes when a later process finds the lease dead.
        let _ = disk::remove(&self.path);
    }
}

impl Store {
    /// A new, empty directory. Every user of one store may have many.
    pub fn scratch_dir(&self) -> Result<Scratch> {
        let lease = self.lease()?;
        let path = self.scratch()?;
        fs::create_dir(&path).map_err(|error| Error::Io {
            deed: "make directory",
            path: path.clone(),
            cause: error,
        })?;
        Ok(Scratch { path, _lease: lease })
    }
}
