//! Whether an unpacked directory holds exactly what its index says.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ireko_layer::{Entry, Index, Kind, OverlayAttrs};
use ireko_oci::FileHash;

/// How many problems are told before looking on is of no use.
const ENOUGH: usize = 5;

/// How an unpacked layer was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct As<'a> {
    /// Which form: where marks and owners are kept.
    pub(crate) attrs: &'a str,
    /// Whether owners, modes and marks could be set as the index has them.
    pub(crate) exact: bool,
}

/// What is wrong with an unpacked layer, a line each; nothing where it is whole. Reads every byte.
pub(crate) fn snapshot(index: &Index, dir: &Path, written: As<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    for entry in index.entries() {
        if entry.path.is_root() {
            continue;
        }
        if let Err(problem) = check(index, entry, dir, written) {
            problems.push(format!("`{}` {problem}", entry.path));
            if problems.len() == ENOUGH {
                return problems;
            }
        }
    }
    let known: BTreeSet<&[u8]> = index.entries().iter().map(|entry| entry.path.as_bytes()).collect();
    strangers(dir, dir, &known, &mut problems);
    problems
}

fn check(index: &Index, entry: &Entry, dir: &Path, written: As<'_>) -> Result<(), String> {
    if entry.kind == Kind::Whiteout && !written.exact {
        return Ok(());
    }
    let path = dir.join(entry.path.as_path());
    let meta = fs::symlink_metadata(&path).map_err(|error| format!("cannot be looked at: {error}"))?;
    let kind = meta.mode() & 0o170_000;
    match &entry.kind {
        Kind::File { size, hash } => {
            if kind != 0o100_000 || meta.len() != *size {
                return Err(format!("is not a file of {size} bytes"));
            }
            check_meta(entry, &path, &meta, written)?;
            match hash_of(&path) {
                Ok(found) if found == *hash => Ok(()),
                Ok(_) => Err("has other bytes".to_owned()),
                Err(error) => Err(format!("cannot be read: {error}")),
            }
        }
        Kind::HardLink { target } => match index.get(target) {
            // A link to a file of a lower layer was copied up: only its being there can be told.
            None => Ok(()),
            Some(_) => {
                let first =
                    fs::symlink_metadata(dir.join(target.as_path())).map_err(|error| error.to_string())?;
                let same = (first.dev(), first.ino()) == (meta.dev(), meta.ino());
                same.then_some(()).ok_or_else(|| format!("is not the same file as `{target}`"))
            }
        },
        Kind::Dir { .. } if kind != 0o040_000 => Err("is not a directory".to_owned()),
        Kind::Dir { opaque } if written.exact && is_opaque(&path, written.attrs) != *opaque => {
            Err(format!("is {}marked as opaque", if *opaque { "not " } else { "" }))
        }
        Kind::Dir { .. } => check_meta(entry, &path, &meta, written),
        Kind::Symlink { target } => match fs::read_link(&path) {
            Ok(found) if found.as_os_str().as_bytes() == target.as_slice() => Ok(()),
            _ => Err("is not the symbolic link it was".to_owned()),
        },
        Kind::Whiteout if kind != 0o020_000 || meta.rdev() != 0 => Err("is not a whiteout".to_owned()),
        // Devices may be stand-ins where the kernel allows none; their being there is what can be told.
        Kind::Char { .. } | Kind::Block { .. } | Kind::Fifo | Kind::Whiteout => Ok(()),
    }
}

fn is_opaque(path: &Path, attrs: &str) -> bool {
    let mut value = [0; 8];
    let Some(form) = OverlayAttrs::named(attrs) else { return false };
    let name = [form.prefix(), b"opaque"].concat();
    matches!(rustix::fs::lgetxattr(path, &*name, &mut value), Ok(length) if &value[..length] == b"y")
}

fn check_meta(entry: &Entry, path: &Path, meta: &fs::Metadata, written: As<'_>) -> Result<(), String> {
    if entry.implied || !written.exact {
        return Ok(());
    }
    let real = (meta.uid(), meta.gid());
    let form = OverlayAttrs::named(written.attrs);
    let (uid, gid) = form.map_or(real, |form| form.owner_of(path, real));
    let found = (meta.mode() & 0o7777, uid, gid);
    let expected = (entry.meta.mode, entry.meta.uid, entry.meta.gid);
    match found == expected {
        true => Ok(()),
        false => Err(format!(
            "has mode {:o} and owner {}:{}, expected {:o} and {}:{}",
            found.0, found.1, found.2, expected.0, expected.1, expected.2
        )),
    }
}

fn hash_of(path: &Path) -> std::io::Result<FileHash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(FileHash(*hasher.finalize().as_bytes())),
            read => hasher.update(&buffer[..read]),
        };
    }
}

/// Files that the index does not know.
fn strangers(top: &Path, dir: &Path, known: &BTreeSet<&[u8]>, problems: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(below) = path.strip_prefix(top) else { continue };
        if problems.len() >= ENOUGH {
            return;
        }
        if !known.contains(below.as_os_str().as_bytes()) {
            problems.push(format!("`{}` is not in its index", below.display()));
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            strangers(top, &path, known, problems);
        }
    }
}
