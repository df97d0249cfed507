//! An image of the store as a root.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ireko_layer::{Follow, Kind, TreePath, View};
use ireko_oci::Digest;
use ireko_slim::{Node, Root};
use ireko_store::Store;

use crate::error::Error;
use crate::root::Base;

/// The unpacked layers of an image, read as one tree.
#[derive(Clone, Debug)]
pub struct ImageRoot {
    view: View,
    dirs: Vec<PathBuf>,
}

impl ImageRoot {
    /// Unpacks what is not unpacked yet.
    ///
    /// # Errors
    /// A layer is gone or damaged, or cannot be unpacked.
    pub fn new(store: &Arc<Store>, layers: &[Digest]) -> Result<Self, Error> {
        let mut dirs = Vec::new();
        for (at, diff) in layers.iter().enumerate() {
            dirs.push(store.ensure_snapshot(diff, &layers[..at])?);
        }
        Ok(Self { view: store.view(layers)?, dirs })
    }
}

fn path_of(path: &str) -> io::Result<TreePath> {
    TreePath::new(path.trim_start_matches('/')).map_err(io::Error::other)
}

impl Base for ImageRoot {}

impl Root for ImageRoot {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        let path = path_of(path)?;
        let Some(entry) = self.view.entry(&path) else { return Ok(path.is_root().then_some(Node::Dir)) };
        let mode = entry.meta.mode;
        Ok(Some(match &entry.kind {
            Kind::File { size, .. } => Node::File { size: *size, mode },
            Kind::HardLink { target } => match self.view.entry(target).map(|entry| &entry.kind) {
                Some(Kind::File { size, .. }) => Node::File { size: *size, mode },
                _ => Node::Other,
            },
            Kind::Dir { .. } => Node::Dir,
            Kind::Symlink { target } => {
                Node::Link(String::from_utf8(target.clone()).map_err(io::Error::other)?)
            }
            _ => Node::Other,
        }))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let children = self.view.children(&path_of(path)?);
        let name = |found: ireko_layer::Found<'_>| {
            let name = found.entry.path.as_path().file_name().unwrap_or_default();
            name.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("a name is no UTF-8"))
        };
        children.into_iter().map(name).collect()
    }

    fn real(&self, path: &str) -> PathBuf {
        let found = path_of(path).ok().and_then(|path| self.view.resolve(&path, Follow::Parents).ok());
        let owner = found.as_ref().and_then(|path| self.view.owner_of_content(path));
        match owner.and_then(|found| Some((self.dirs.get(found.layer)?, found))) {
            Some((dir, found)) => dir.join(found.entry.path.as_path()),
            None => PathBuf::from(path),
        }
    }
}
