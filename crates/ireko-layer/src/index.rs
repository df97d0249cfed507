//! The sorted list of what one layer holds, kept for as long as the layer is known.

mod codec;
mod content;

use std::collections::BTreeMap;

use ireko_oci::ContentId;

use crate::{Entry, Error, Kind, TreePath};

/// Files whose bytes are kept within the index, so that `--chown` by name never unpacks a layer.
pub(crate) const INLINED: [&[u8]; 2] = [b"etc/group", b"etc/passwd"];
/// Bigger ones are not kept.
pub(crate) const INLINED_MAX: u64 = 1 << 20;

/// What one layer holds, sorted by path. Every directory above an entry (but the root) has an entry too, and every
/// hard link's target is a file of the same index, earlier in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Index {
    entries: Vec<Entry>,
    inlined: BTreeMap<TreePath, Vec<u8>>,
}

impl Index {
    /// An index of these entries, in any order, and of the small files whose bytes are kept within it.
    pub fn new(mut entries: Vec<Entry>, inlined: BTreeMap<TreePath, Vec<u8>>) -> Result<Self, Error> {
        if !entries.is_sorted_by(|left, right| left.path < right.path) {
            entries.sort_by(|left, right| left.path.cmp(&right.path));
        }
        let index = Self { entries, inlined };
        match index.problem() {
            None => Ok(index),
            Some((path, problem)) => Err(Error::Change { path, problem }),
        }
    }

    /// The entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at this path.
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.position(path).ok().map(|at| &self.entries[at])
    }

    /// The kept bytes of a small file that others ask for by content (`etc/passwd`, `etc/group`).
    pub fn inlined(&self, path: &TreePath) -> Option<&[u8]> {
        self.inlined.get(path).map(Vec::as_slice)
    }

    /// Every entry below a directory, the directory itself left out.
    pub fn below(&self, path: &TreePath) -> &[Entry] {
        let start = match self.position(path) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        let rest = &self.entries[start..];
        &rest[..rest.partition_point(|entry| entry.path.is_within(path))]
    }

    /// The identity of the content: everything but times that nobody set.
    pub fn content_id(&self) -> ContentId {
        content::id_of(&self.entries)
    }

    /// The bytes of `docs/format/layer.md`.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] wrote; anything else is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        codec::decode(bytes)
    }

    fn position(&self, path: &TreePath) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.path.cmp(path))
    }

    /// The first entry that breaks what every index promises.
    fn problem(&self) -> Option<(TreePath, &'static str)> {
        let mut open: Vec<&TreePath> = Vec::new();
        let mut last: Option<&TreePath> = None;
        for entry in &self.entries {
            let wrong = |problem| Some((entry.path.clone(), problem));
            if last.is_some_and(|last| *last >= entry.path) {
                return wrong("named twice");
            }
            last = Some(&entry.path);
            while open.last().is_some_and(|dir| !entry.path.is_within(dir)) {
                open.pop();
            }
            let parent = entry.path.as_bytes().iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            if open.last().map_or(0, |dir| dir.as_bytes().len()) != parent {
                return wrong("its directory is not in the layer");
            }
            match &entry.kind {
                Kind::Dir { .. } => open.push(&entry.path),
                _ if entry.path.is_root() => return wrong("the root is a directory"),
                Kind::HardLink { target } => {
                    let found = self.get(target);
                    if *target >= entry.path || !matches!(found, Some(Entry { kind: Kind::File { .. }, .. }))
                    {
                        return wrong("a hard link to no earlier file of the layer");
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
