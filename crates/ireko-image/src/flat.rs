//! An image's root file system without its layers: as one tar, or as files of a directory.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ireko_layer::{Change, ChangeKind, Data, Entry, Kind, LayerWriter, Meta, TreePath, View};
use ireko_oci::Digest;
use ireko_report::{Blame, Diagnostic, Event, Sink};
use ireko_store::Store;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::error::{Error, Result};
use crate::export::{Exported, To};
use crate::output::Output;

/// The merged layers, and the directory that each one is unpacked in.
struct Root {
    view: View,
    dirs: Vec<PathBuf>,
}

/// One path of the merged layers.
struct Item<'a> {
    entry: &'a Entry,
    /// Where its bytes are, if it is a file.
    source: PathBuf,
    /// The earlier path that has the same bytes.
    first: Option<TreePath>,
}

impl Root {
    fn open(store: &Arc<Store>, layers: &[Digest]) -> Result<Self> {
        let mut dirs = Vec::new();
        for (at, diff) in layers.iter().enumerate() {
            if !store.presence(diff)? {
                return Err(Error::NoOrigin { diff: *diff });
            }
            dirs.push(store.ensure_snapshot(diff, &layers[..at])?);
        }
        Ok(Self { view: store.view(layers)?, dirs })
    }

    /// Everything that can be seen, parents first.
    fn items(&self) -> Vec<Item<'_>> {
        let mut firsts: BTreeMap<(usize, &TreePath), &TreePath> = BTreeMap::new();
        let found = self.view.walk(&TreePath::root());
        let item = |found: ireko_layer::Found<'_>| -> (usize, PathBuf) {
            (found.layer, self.dirs[found.layer].join(found.entry.path.as_path()))
        };
        let mut items = Vec::with_capacity(found.len());
        for found in found {
            let (layer, source) = item(found);
            let entry = &self.view.layers()[layer].get(&found.entry.path).expect("the view found it there");
            let bytes = match &entry.kind {
                Kind::File { .. } => Some(&entry.path),
                Kind::HardLink { target } => Some(target),
                _ => None,
            };
            let first = bytes.and_then(|bytes| {
                let first = *firsts.entry((layer, bytes)).or_insert(&entry.path);
                (first != &entry.path).then(|| first.clone())
            });
            items.push(Item { entry, source, first });
        }
        items
    }

    /// The size of a file's bytes, also where it is a hard link.
    fn size(&self, item: &Item<'_>) -> u64 {
        match self.view.owner_of_content(&item.entry.path).map(|found| &found.entry.kind) {
            Some(Kind::File { size, .. }) => *size,
            _ => 0,
        }
    }

    fn change(&self, item: &Item<'_>) -> Change {
        let kind = match (&item.entry.kind, &item.first) {
            (_, Some(first)) => ChangeKind::HardLink { target: first.clone() },
            (Kind::File { .. } | Kind::HardLink { .. }, None) => {
                let data = Data::host(&item.source, self.size(item));
                match self.view.owner_of_content(&item.entry.path).map(|found| &found.entry.kind) {
                    Some(Kind::File { hash, .. }) => ChangeKind::File(data.expecting(*hash)),
                    _ => ChangeKind::File(data),
                }
            }
            (Kind::Dir { .. }, None) => ChangeKind::Dir { opaque: false },
            (Kind::Symlink { target }, None) => ChangeKind::Symlink { target: target.clone() },
            (Kind::Char { major, minor }, None) => ChangeKind::Char { major: *major, minor: *minor },
            (Kind::Block { major, minor }, None) => ChangeKind::Block { major: *major, minor: *minor },
            (Kind::Fifo, None) => ChangeKind::Fifo,
            (Kind::Whiteout, None) => ChangeKind::Whiteout,
        };
        Change::new(item.entry.path.clone(), item.entry.meta.clone(), kind)
    }
}

/// All that can be seen of a stack of layers, as the changes of one layer.
///
/// # Errors
/// A layer is gone, or cannot be unpacked.
pub fn merged(store: &Arc<Store>, layers: &[Digest]) -> Result<Vec<Change>> {
    let root = Root::open(store, layers)?;
    let items = root.items();
    Ok(items.iter().map(|item| root.change(item)).collect())
}

/// The files of one platform's image, and where among the others they go.
pub(crate) struct Files<'a> {
    /// The layers, bottom first.
    pub(crate) layers: &'a [Digest],
    /// What they are for.
    pub(crate) platform: String,
    /// Their directory; none where they go straight to the destination.
    pub(crate) dir: Option<String>,
}

/// Opens the root file systems, and makes sure that no two of them have one path to fill.
fn open(store: &Arc<Store>, files: &[Files<'_>]) -> Result<Vec<Root>> {
    let roots: Vec<Root> =
        files.iter().map(|files| Root::open(store, files.layers)).collect::<Result<_>>()?;
    let mut seen: BTreeMap<TreePath, (&str, bool)> = BTreeMap::new();
    for (files, root) in files.iter().zip(&roots).filter(|(files, _)| files.dir.is_none()) {
        for found in root.view.walk(&TreePath::root()) {
            let (path, is_dir) = (&found.entry.path, found.entry.kind.is_dir());
            let Some((other, was_dir)) = seen.insert(path.clone(), (&files.platform, is_dir)) else {
                continue;
            };
            if !is_dir || !was_dir {
                let both = format!("{other} and {} both have it", files.platform);
                let both = io::Error::new(io::ErrorKind::AlreadyExists, both);
                return Err(Error::io(
                    "write the files of several platforms into one:",
                    path.as_path(),
                    both,
                ));
            }
        }
    }
    Ok(roots)
}

/// Writes root file systems as one tar.
pub(crate) fn tar(store: &Arc<Store>, files: &[Files<'_>], to: &To) -> Result<Exported> {
    let mut output = Output::open(to)?;
    let roots = open(store, files)?;
    let diff = files.iter().rev().find_map(|files| files.layers.last().copied());
    let diff = diff.unwrap_or_else(|| Digest::of(b""));
    let failed = |cause| Error::Layer { deed: "write", diff, cause: Box::new(cause) };
    let mut changes = BTreeMap::new();
    for (files, root) in files.iter().zip(&roots) {
        let inside = |path: &TreePath| match &files.dir {
            Some(dir) => TreePath::new(dir)?.join(path.as_bytes()),
            None => Ok(path.clone()),
        };
        if let Some(dir) = &files.dir {
            let path = TreePath::new(dir).map_err(failed)?;
            let meta = Meta { mode: 0o755, ..Meta::default() };
            changes.insert(path.clone(), Change::new(path, meta, ChangeKind::Dir { opaque: false }));
        }
        for item in root.items() {
            let mut change = root.change(&item);
            change.path = inside(&change.path).map_err(failed)?;
            if let ChangeKind::HardLink { target } = &mut change.kind {
                *target = inside(target).map_err(failed)?;
            }
            changes.insert(change.path.clone(), change);
        }
    }
    let mut writer = LayerWriter::new().sink(&mut output);
    writer.push_all(changes.into_values().collect()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(Exported { manifest: None, descriptor: None, index: None, bytes: output.finish()? })
}

/// Writes root file systems into a directory, over what is there. Files belong to the caller, as with other builders:
/// who may not give files away could not do it otherwise.
pub(crate) fn local(store: &Arc<Store>, files: &[Files<'_>], to: &To, sink: &dyn Sink) -> Result<Exported> {
    let To::Path(into) = to else {
        return Err(Error::io("create directory", Path::new("-"), io::ErrorKind::InvalidInput));
    };
    let mut bytes = 0;
    for (files, root) in files.iter().zip(open(store, files)?) {
        let into = files.dir.as_ref().map_or_else(|| into.clone(), |dir| into.join(dir));
        fs::create_dir_all(&into).map_err(|cause| Error::io("create directory", &into, cause))?;
        bytes += lay(&root, &into, sink)?;
    }
    Ok(Exported { manifest: None, descriptor: None, index: None, bytes })
}

/// Makes the files of one root; tells how many bytes they have.
fn lay(root: &Root, into: &Path, sink: &dyn Sink) -> Result<u64> {
    let items = root.items();
    let mut bytes = 0;
    for item in &items {
        let path = into.join(item.entry.path.as_path());
        let placed = place(into, &path, item).map_err(|cause| Error::io("write", &path, cause))?;
        match placed {
            Some(size) => bytes += size,
            None => warn_skipped(&path, sink),
        }
    }
    // From the inside out: what is put into a directory changes its time, and a directory may forbid it.
    for item in items.iter().rev().filter(|item| item.entry.kind.is_dir()) {
        let path = into.join(item.entry.path.as_path());
        dress(&path, &item.entry.meta).map_err(|cause| Error::io("write", &path, cause))?;
    }
    Ok(bytes)
}

fn warn_skipped(path: &Path, sink: &dyn Sink) {
    let message =
        format!("`{}` is a device and was left out: this user may not make devices", path.display());
    let diagnostic = Diagnostic::warning("device-left-out", message).with_blame(Blame::Environment);
    sink.emit(Event::Warning { diagnostic });
}

/// Makes one path; tells how many bytes it has, or nothing where it may not be made.
fn place(into: &Path, path: &Path, item: &Item<'_>) -> io::Result<Option<u64>> {
    let entry = item.entry;
    let there = fs::symlink_metadata(path).ok();
    if entry.kind.is_dir() {
        if there.as_ref().is_some_and(|meta| !meta.is_dir()) {
            fs::remove_file(path)?;
        }
        if there.is_none_or(|meta| !meta.is_dir()) {
            DirBuilder::new().mode(0o700).create(path)?;
        }
        return Ok(Some(0));
    }
    match there {
        Some(meta) if meta.is_dir() => fs::remove_dir_all(path)?,
        Some(_) => fs::remove_file(path)?,
        None => {}
    }
    if let Some(first) = &item.first {
        fs::hard_link(into.join(first.as_path()), path)?;
        return Ok(Some(0));
    }
    let node = |kind, device| match rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device) {
        Ok(()) => Ok(Some(0)),
        Err(rustix::io::Errno::PERM) if kind != FileType::Fifo => Ok(None),
        Err(error) => Err(io::Error::from(error)),
    };
    let placed = match &entry.kind {
        Kind::Symlink { target } => {
            std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path)?;
            times(path, &entry.meta)?;
            return Ok(Some(0));
        }
        Kind::File { .. } | Kind::HardLink { .. } => {
            let mut from = File::open(&item.source)?;
            let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            Some(io::copy(&mut from, &mut to)?)
        }
        Kind::Fifo => node(FileType::Fifo, 0)?,
        Kind::Char { major, minor } => node(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor))?,
        Kind::Block { major, minor } => node(FileType::BlockDevice, rustix::fs::makedev(*major, *minor))?,
        Kind::Dir { .. } | Kind::Whiteout => None,
    };
    if placed.is_some() {
        dress(path, &entry.meta)?;
    }
    Ok(placed)
}

/// Mode, attributes and time. Attributes that may not be set here are left out.
fn dress(path: &Path, meta: &Meta) -> io::Result<()> {
    for (name, value) in &meta.xattrs {
        let _ = rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty());
    }
    fs::set_permissions(path, Permissions::from_mode(meta.mode))?;
    times(path, meta)
}

fn times(path: &Path, meta: &Meta) -> io::Result<()> {
    let time = Timespec { tv_sec: meta.mtime.secs, tv_nsec: meta.mtime.nanos.into() };
    let both = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &both, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests;
