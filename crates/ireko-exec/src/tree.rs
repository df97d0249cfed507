//! The files of a tree as a source: what there is comes from the layers' indexes, bytes from their unpacked
//! directories.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use ireko_layer::{Data, Entry, Found, Kind, Meta, TreePath, View};
use ireko_oci::{Digest, FileHash};
use ireko_store::Store;
use rustix::fs::{Mode, OFlags};

use crate::files_error::FilesError;
use crate::source::{Bytes, Item, ItemKind};

/// Files of a tree.
#[derive(Clone)]
pub struct TreeFiles {
    view: View,
    layers: Arc<[Digest]>,
    store: Arc<Store>,
}

const PLACE: &str = "the stage or image it is copied from";

impl TreeFiles {
    /// The files of a tree whose merged view and layers (both bottom first) are these.
    pub fn new(view: View, layers: Vec<Digest>, store: Arc<Store>) -> Self {
        Self { view, layers: layers.into(), store }
    }

    /// The merged view.
    pub fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn item(&self, path: &TreePath) -> Option<Item> {
        match self.view.find(path) {
            Some(found) => self.item_of(found),
            None if path.is_root() => Some(Item {
                path: TreePath::root(),
                meta: Meta { mode: 0o755, ..Meta::default() },
                kind: ItemKind::Dir,
            }),
            None => None,
        }
    }

    pub(crate) fn children(&self, path: &TreePath) -> Vec<Item> {
        self.view.children(path).into_iter().filter_map(|found| self.item_of(found)).collect()
    }

    pub(crate) fn below(&self, path: &TreePath) -> Vec<Item> {
        let mut items: Vec<Item> =
            self.view.walk(path).into_iter().filter_map(|found| self.item_of(found)).collect();
        alone_again(&mut items);
        items
    }

    fn item_of(&self, found: Found<'_>) -> Option<Item> {
        let entry = found.entry;
        let kind = match &entry.kind {
            Kind::File { size, hash } => {
                ItemKind::File { size: *size, twin: self.twin(found.layer, entry), bytes: Bytes::Hash(*hash) }
            }
            Kind::HardLink { .. } => {
                let owner = self.view.owner_of_content(&entry.path)?;
                let Kind::File { size, hash } = &owner.entry.kind else { return None };
                ItemKind::File {
                    size: *size,
                    twin: self.twin(owner.layer, owner.entry),
                    bytes: Bytes::Hash(*hash),
                }
            }
            Kind::Dir { .. } => ItemKind::Dir,
            Kind::Symlink { target } => ItemKind::Symlink { target: target.clone() },
            Kind::Char { major, minor } => ItemKind::Char { major: *major, minor: *minor },
            Kind::Block { major, minor } => ItemKind::Block { major: *major, minor: *minor },
            Kind::Fifo => ItemKind::Fifo,
            Kind::Whiteout => return None,
        };
        Some(Item { path: entry.path.clone(), meta: entry.meta.clone(), kind })
    }

    /// Files of one layer that share a hash might be names of one file: which are is settled by [`alone_again`].
    fn twin(&self, layer: usize, entry: &Entry) -> Option<(u64, u64)> {
        let index = self.view.layers().get(layer)?;
        let at = index.entries().binary_search_by(|other| other.path.cmp(&entry.path)).ok()?;
        Some((layer as u64, at as u64))
    }

    /// Where the bytes of each file are, in the order asked.
    pub(crate) fn data(&self, paths: &[TreePath]) -> Result<Vec<Data>, FilesError> {
        let mut by_layer: BTreeMap<usize, Vec<(usize, TreePath, u64, FileHash)>> = BTreeMap::new();
        for (at, path) in paths.iter().enumerate() {
            let missing = || FilesError::Changed { path: path.clone() };
            let owner = self.view.owner_of_content(path).ok_or_else(missing)?;
            let Kind::File { size, hash } = &owner.entry.kind else { return Err(missing()) };
            by_layer.entry(owner.layer).or_default().push((at, owner.entry.path.clone(), *size, *hash));
        }
        let mut all: Vec<Option<Data>> = vec![None; paths.len()];
        for (layer, wanted) in by_layer {
            let diff = self.layers[layer];
            let dir = self.store.ensure_snapshot(&diff, &self.layers[..layer])?;
            let dir = Arc::new(open_dir(&dir)?);
            for (at, path, size, hash) in wanted {
                all[at] = Some(Data::at(Arc::clone(&dir), path.as_path(), size).expecting(hash));
            }
        }
        let missing = |at: usize| FilesError::Changed { path: paths[at].clone() };
        all.into_iter().enumerate().map(|(at, data)| data.ok_or_else(|| missing(at))).collect()
    }

    /// Opens one file.
    pub(crate) fn open_file(&self, path: &TreePath) -> Result<File, FilesError> {
        let missing = || FilesError::Changed { path: path.clone() };
        let owner = self.view.owner_of_content(path).ok_or_else(missing)?;
        let dir = self.store.ensure_snapshot(&self.layers[owner.layer], &self.layers[..owner.layer])?;
        let path = dir.join(owner.entry.path.as_path());
        File::open(&path).map_err(|cause| FilesError::Read {
            path: owner.entry.path.clone(),
            place: PLACE,
            cause,
        })
    }
}

/// Takes the mark of several names from files that have only one among `items`.
fn alone_again(items: &mut [Item]) {
    let mut names: BTreeMap<(u64, u64), u32> = BTreeMap::new();
    for item in items.iter() {
        if let ItemKind::File { twin: Some(twin), .. } = &item.kind {
            *names.entry(*twin).or_default() += 1;
        }
    }
    for item in items {
        if let ItemKind::File { twin, .. } = &mut item.kind {
            *twin = twin.filter(|twin| names[twin] > 1);
        }
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd, FilesError> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| ireko_layer::Error::Dir { path: path.to_owned(), cause: errno.into() }.into())
}
