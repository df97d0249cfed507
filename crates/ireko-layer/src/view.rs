//! The root file system that a stack of layers makes, read from their indexes alone.

use std::sync::Arc;

use crate::{Entry, Error, Index, TreePath};

/// Whether the last name of a path is followed if it is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Follow it too.
    All,
    /// Follow links in parents only.
    Parents,
}

/// A stack of layers, bottom first, as one root file system.
#[derive(Clone, Debug, Default)]
pub struct View {
    layers: Vec<Arc<Index>>,
}

/// Where a path was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Number of the layer, 0 at the bottom.
    pub layer: usize,
    /// The entry: never a whiteout.
    pub entry: &'a Entry,
}

impl View {
    /// A stack, bottom first.
    pub fn new(layers: Vec<Arc<Index>>) -> Self {
        Self { layers }
    }

    /// The layers, bottom first.
    pub fn layers(&self) -> &[Arc<Index>] {
        &self.layers
    }

    /// What is at this path (no link is followed). The root has an entry only where a layer names it.
    pub fn entry(&self, path: &TreePath) -> Option<&Entry> {
        self.find(path).map(|found| found.entry)
    }

    /// What is at this path, and in which layer.
    pub fn find(&self, _path: &TreePath) -> Option<Found<'_>> {
        unimplemented!("being built")
    }

    /// The path that this one means when symbolic links are followed inside the root (absolute ones from the root,
    /// `..` stops there). Names that do not exist are kept.
    pub fn resolve(&self, _path: &TreePath, _follow: Follow) -> Result<TreePath, Error> {
        unimplemented!("being built")
    }

    /// The entries of a directory, by name.
    pub fn children(&self, _path: &TreePath) -> Vec<Found<'_>> {
        unimplemented!("being built")
    }

    /// Everything below a directory in order, without the directory itself.
    pub fn walk(&self, _path: &TreePath) -> Vec<Found<'_>> {
        unimplemented!("being built")
    }

    /// The layer and the `File` entry that has the bytes of this path; hard links are followed, symbolic links not.
    pub fn owner_of_content(&self, _path: &TreePath) -> Option<Found<'_>> {
        unimplemented!("being built")
    }

    /// The text of `/etc/passwd`.
    pub fn passwd(&self) -> Option<&[u8]> {
        unimplemented!("being built")
    }

    /// The text of `/etc/group`.
    pub fn group(&self) -> Option<&[u8]> {
        unimplemented!("being built")
    }
}
