//! The files of a tree as a source: what there is comes from the layers' indexes, bytes from their unpacked
//! directories or, where a layer is not unpacked, from its tar, read once from its beginning.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
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

    pub(crate) fn layers(&self) -> &[Digest] {
        &self.layers
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
    pub(crate) fn data(&self, paths: &[TreePath], scratch: &Path) -> Result<Vec<Data>, FilesError> {
        let mut by_layer: BTreeMap<usize, Vec<Wish>> = BTreeMap::new();
        for (at, path) in paths.iter().enumerate() {
            let missing = || FilesError::Changed { path: path.clone() };
            let owner = self.view.owner_of_content(path).ok_or_else(missing)?;
            let Kind::File { size, hash } = &owner.entry.kind else { return Err(missing()) };
            by_layer.entry(owner.layer).or_default().push((at, owner.entry.path.clone(), *size, *hash));
        }
        let mut all: Vec<Option<Data>> = vec![None; paths.len()];
        for (layer, wanted) in by_layer {
            let diff = self.layers[layer];
            match self.store.snapshot(&diff, &self.layers[..layer])? {
                Some(dir) => {
                    let dir = Arc::new(open_dir(&dir)?);
                    for (at, path, size, hash) in wanted {
                        all[at] = Some(Data::at(Arc::clone(&dir), path.as_path(), size).expecting(hash));
                    }
                }
                None => self.take_from_tar(&diff, wanted, scratch, &mut all)?,
            }
        }
        let missing = |at: usize| FilesError::Changed { path: paths[at].clone() };
        all.into_iter().enumerate().map(|(at, data)| data.ok_or_else(|| missing(at))).collect()
    }

    /// Opens one file.
    pub(crate) fn open_file(&self, path: &TreePath, scratch: &Path) -> Result<File, FilesError> {
        let missing = || FilesError::Changed { path: path.clone() };
        let owner = self.view.owner_of_content(path).ok_or_else(missing)?;
        let (layer, path) = (owner.layer, &owner.entry.path);
        let failed = |cause| FilesError::Read { path: path.clone(), place: PLACE, cause };
        if let Some(dir) = self.store.snapshot(&self.layers[layer], &self.layers[..layer])? {
            return File::open(dir.join(path.as_path())).map_err(failed);
        }
        let mut file = spill_file(scratch).map_err(failed)?;
        let tar = self.store.open_tar(&self.layers[layer])?;
        ireko_layer::read_file_from_tar(tar, path, &mut file)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(file)
    }

    /// Reads a layer's tar once and takes the wanted files out of it.
    fn take_from_tar(
        &self,
        diff: &Digest,
        wanted: Vec<Wish>,
        scratch: &Path,
        all: &mut [Option<Data>],
    ) -> Result<(), FilesError> {
        let mut uses: BTreeMap<TreePath, Vec<Wish>> = BTreeMap::new();
        for wish in wanted {
            uses.entry(wish.1.clone()).or_default().push(wish);
        }
        let mut spill: Option<(Arc<File>, u64)> = None;
        ireko_layer::read_files_from_tar(self.store.open_tar(diff)?, |path, content| {
            let Some(wishes) = uses.get(path) else { return Ok(true) };
            let size = wishes[0].2;
            let data = if size <= SMALL {
                let mut bytes = Vec::with_capacity(size as usize);
                content.read_to_end(&mut bytes)?;
                Data::memory(bytes)
            } else {
                let (file, end) = match &mut spill {
                    Some(spill) => spill,
                    none => none.insert((Arc::new(spill_file(scratch)?), 0)),
                };
                let start = *end;
                *end += std::io::copy(content, &mut &**file)?;
                Data::range(Arc::clone(file), start, size)
            };
            for (at, _, _, hash) in wishes {
                all[*at] = Some(data.clone().expecting(*hash));
            }
            // A name may come twice in a foreign tar, and the last one counts: then read to the end.
            Ok(true)
        })?;
        Ok(())
    }
}

/// A wanted file: its number among those asked for, its path in the layer, its length, its hash.
type Wish = (usize, TreePath, u64, FileHash);

/// Files up to this size that come from a tar are kept in memory until they are written.
const SMALL: u64 = 64 << 10;

/// A file without a name, gone when nobody reads it any more.
fn spill_file(scratch: &Path) -> std::io::Result<File> {
    for number in 0..u32::MAX {
        let path = scratch.join(format!("files-{number}"));
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            opened => {
                let file = opened?;
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
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
