//! The sorted list of what one layer holds, kept for as long as the layer is known.

use std::collections::BTreeMap;

use ireko_oci::ContentId;

use crate::{Entry, Error, TreePath};

/// What one layer holds, sorted by path, closed under parents.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Index {
    entries: Vec<Entry>,
    inlined: BTreeMap<TreePath, Vec<u8>>,
}

impl Index {
    /// An index of these entries, in any order, and of the small files whose bytes are kept within it.
    pub fn new(entries: Vec<Entry>, inlined: BTreeMap<TreePath, Vec<u8>>) -> Result<Self, Error> {
        let mut entries = entries;
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Self { entries, inlined })
    }

    /// The entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at this path.
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok().map(|at| &self.entries[at])
    }

    /// The kept bytes of a small file that others ask for by content (`etc/passwd`, `etc/group`).
    pub fn inlined(&self, path: &TreePath) -> Option<&[u8]> {
        self.inlined.get(path).map(Vec::as_slice)
    }

    /// Every entry below a directory.
    pub fn below(&self, _path: &TreePath) -> &[Entry] {
        unimplemented!("being built")
    }

    /// The identity of the content: everything but times that nobody set.
    pub fn content_id(&self) -> ContentId {
        unimplemented!("being built")
    }

    /// The bytes of `docs/format/layer.md`.
    pub fn encode(&self) -> Vec<u8> {
        unimplemented!("being built")
    }

    /// Reads what [`Self::encode`] wrote; anything else is an error.
    pub fn decode(_bytes: &[u8]) -> Result<Self, Error> {
        unimplemented!("being built")
    }
}
