//! Selected files as a plain directory, for a mount to show.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ireko_layer::{Change, ChangeKind, LayerWriter, OverlayAttrs, TreePath};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, utimensat};

use super::{Pick, PickSource, Picked, Selected};
use crate::context::LocalContext;
use crate::files_error::FilesError;
use crate::source::{ItemKind, Source};

impl Picked {
    /// Writes the selected files of a mount below `dir`, an empty directory: modes, owners and times are the source's
    /// own. Gives the path to mount: `dir` itself, or a file in it.
    pub fn lay_out(&self, dir: &Path, attrs: OverlayAttrs) -> Result<PathBuf, FilesError> {
        let Some(pick) = self.picks.first() else { return Ok(dir.to_owned()) };
        let PickSource::Files(source) = &pick.source else { return Ok(dir.to_owned()) };
        let Some(root) = pick.entries.first() else { return Ok(dir.to_owned()) };
        let top = match root.item.is_dir() {
            true => dir.to_owned(),
            false => {
                dir.join(std::ffi::OsStr::from_bytes(if pick.name.is_empty() { b"file" } else { &pick.name }))
            }
        };
        match source {
            Source::Context(context) => from_context(context, pick, &top, attrs)?,
            Source::Tree(_) => from_tree(source, pick, dir, attrs)?,
            Source::Empty => {}
        }
        if root.item.is_dir() {
            finish(root, &top, attrs).map_err(|cause| failed(root, cause))?;
        }
        Ok(top)
    }
}

fn failed(selected: &Selected, cause: io::Error) -> FilesError {
    FilesError::LayOut { path: selected.item.path.clone(), cause }
}

fn place(top: &Path, selected: &Selected) -> PathBuf {
    match selected.below.is_root() {
        true => top.to_owned(),
        false => top.join(selected.below.as_path()),
    }
}

/// Directories first, then all else by several threads, then the directories' own metadata.
fn from_context(
    context: &LocalContext,
    pick: &Pick,
    top: &Path,
    attrs: OverlayAttrs,
) -> Result<(), FilesError> {
    let mut others = Vec::new();
    let mut links = Vec::new();
    let mut firsts: BTreeMap<(u64, u64), &Selected> = BTreeMap::new();
    for selected in &pick.entries {
        match &selected.item.kind {
            ItemKind::Dir if selected.below.is_root() => {}
            ItemKind::Dir => fs::create_dir(place(top, selected)).map_err(|cause| failed(selected, cause))?,
            ItemKind::File { twin: Some(twin), .. } => match firsts.get(twin) {
                Some(first) => links.push((*first, selected)),
                None => {
                    firsts.insert(*twin, selected);
                    others.push(selected);
                }
            },
            _ => others.push(selected),
        }
    }
    others
        .par_iter()
        .with_min_len(32)
        .try_for_each(|selected| one(context, selected, &place(top, selected), attrs))?;
    for (first, selected) in links {
        fs::hard_link(place(top, first), place(top, selected)).map_err(|cause| failed(selected, cause))?;
    }
    let below =
        pick.entries.iter().rev().filter(|selected| selected.item.is_dir() && !selected.below.is_root());
    for selected in below {
        finish(selected, &place(top, selected), attrs).map_err(|cause| failed(selected, cause))?;
    }
    Ok(())
}

fn one(
    context: &LocalContext,
    selected: &Selected,
    at: &Path,
    attrs: OverlayAttrs,
) -> Result<(), FilesError> {
    let make = || -> io::Result<()> {
        let node = |kind, major, minor| {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(CWD, at, kind, Mode::from_raw_mode(0o600), device)
        };
        match &selected.item.kind {
            ItemKind::Symlink { target } => symlink(std::ffi::OsStr::from_bytes(target), at)?,
            ItemKind::Fifo => node(FileType::Fifo, 0, 0)?,
            ItemKind::Char { major, minor } => node(FileType::CharacterDevice, *major, *minor)?,
            ItemKind::Block { major, minor } => node(FileType::BlockDevice, *major, *minor)?,
            ItemKind::File { .. } | ItemKind::Dir => {}
        }
        Ok(())
    };
    match &selected.item.kind {
        ItemKind::File { .. } => {
            let mut from = context.open_file(&selected.item)?;
            let mut copy = || -> io::Result<()> {
                let to = rustix::fs::open(
                    at,
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
                    Mode::from_raw_mode(0o600),
                )?;
                let mut to = File::from(to);
                if rustix::fs::ioctl_ficlone(&to, &from).is_err() {
                    // The standard library uses what the kernel offers to copy between files.
                    io::copy(&mut from, &mut to)?;
                }
                Ok(())
            };
            copy().map_err(|cause| failed(selected, cause))?;
        }
        _ => make().map_err(|cause| failed(selected, cause))?,
    }
    finish(selected, at, attrs).map_err(|cause| failed(selected, cause))
}

/// Owner, mode, attributes and time.
fn finish(selected: &Selected, at: &Path, attrs: OverlayAttrs) -> io::Result<()> {
    let meta = &selected.item.meta;
    let is_link = matches!(selected.item.kind, ItemKind::Symlink { .. });
    attrs.give(at, meta.uid, meta.gid)?;
    if !is_link {
        fs::set_permissions(at, Permissions::from_mode(meta.mode))?;
        for (name, value) in &selected.xattrs {
            match rustix::fs::lsetxattr(at, name.as_slice(), value, rustix::fs::XattrFlags::empty()) {
                // The place cannot hold attributes: the step sees the file without.
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    let time = Timespec { tv_sec: meta.mtime.secs, tv_nsec: meta.mtime.nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Files of a tree are written as a layer would be.
fn from_tree(source: &Source, pick: &Pick, dir: &Path, attrs: OverlayAttrs) -> Result<(), FilesError> {
    let Source::Tree(tree) = source else { return Ok(()) };
    let path_of = |selected: &Selected| -> Result<TreePath, FilesError> {
        Ok(if selected.below.is_root() { TreePath::new(&pick.name)? } else { selected.below.clone() })
    };
    let taken: Vec<&Selected> = pick
        .entries
        .iter()
        .filter(|selected| !(selected.below.is_root() && selected.item.is_dir()))
        .collect();
    let files: Vec<&&Selected> = taken.iter().filter(|selected| selected.item.is_file()).collect();
    let paths: Vec<TreePath> = files.iter().map(|selected| selected.item.path.clone()).collect();
    let mut data = tree.data(&paths, dir)?.into_iter();
    let mut firsts: BTreeMap<(u64, u64), TreePath> = BTreeMap::new();
    let mut changes = Vec::with_capacity(taken.len());
    for selected in taken {
        let path = path_of(selected)?;
        let kind = match &selected.item.kind {
            ItemKind::File { twin, .. } => {
                let data = data.next().expect("one for each file");
                match twin.and_then(|twin| firsts.get(&twin)) {
                    Some(first) => ChangeKind::HardLink { target: first.clone() },
                    None => {
                        firsts.extend(twin.map(|twin| (twin, path.clone())));
                        ChangeKind::File(data)
                    }
                }
            }
            ItemKind::Dir => ChangeKind::Dir { opaque: false },
            ItemKind::Symlink { target } => ChangeKind::Symlink { target: target.clone() },
            ItemKind::Char { major, minor } => ChangeKind::Char { major: *major, minor: *minor },
            ItemKind::Block { major, minor } => ChangeKind::Block { major: *major, minor: *minor },
            ItemKind::Fifo => ChangeKind::Fifo,
        };
        changes.push(Change::new(path, selected.item.meta.clone(), kind));
    }
    let mut writer = LayerWriter::new().snapshot(dir, attrs)?;
    writer.push_all(changes)?;
    writer.finish()?;
    Ok(())
}
