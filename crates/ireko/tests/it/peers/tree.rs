//! What lies in a directory, told so that two can be compared.

use ireko_oci::Digest;
use rustix::fs::{AtFlags, StatxFlags};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What of a tree is told.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    /// Owners, and the attributes that only root may set.
    pub(super) owners: bool,
    /// Modification times of what is no directory.
    pub(super) times: bool,
}

/// Everything.
pub(super) const ALL: Telling = Telling { owners: true, times: true };

/// Each path of a tree with a line on it.
pub(super) type Tree = BTreeMap<String, String>;

/// Tells of a directory, without what is mounted in it: of that, only the place and its mode.
pub(super) fn tree(root: &Path, telling: Telling) -> Tree {
    let mount = mount_of(root);
    let mut teller =
        Teller { root: root.to_owned(), telling, mount, links: BTreeMap::new(), told: Tree::new() };
    teller.dir(root);
    teller.told
}

struct Teller {
    root: PathBuf,
    telling: Telling,
    /// The mount that is told of.
    mount: u64,
    /// The first name of each file with several.
    links: BTreeMap<u64, String>,
    told: Tree,
}

impl Teller {
    fn dir(&mut self, dir: &Path) {
        self.tell(dir);
        let read = fs::read_dir(dir).expect("a directory that can be read");
        let mut paths: Vec<PathBuf> = read.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            let meta = fs::symlink_metadata(&path).expect("an entry that stays");
            if meta.is_dir() && mount_of(&path) == self.mount { self.dir(&path) } else { self.tell(&path) }
        }
    }

    fn tell(&mut self, path: &Path) {
        let meta = fs::symlink_metadata(path).expect("an entry that stays");
        let name = path.strip_prefix(&self.root).expect("a path below the root");
        let name = name.as_os_str().as_bytes().escape_ascii().to_string();
        let kind = meta.file_type();
        let mut line = match kind.is_symlink() {
            true => format!(
                "link to {}",
                fs::read_link(path).expect("a link").as_os_str().as_bytes().escape_ascii()
            ),
            false => format!("{:o}", meta.mode()),
        };
        if self.telling.owners {
            line += &format!(" {}:{}", meta.uid(), meta.gid());
        }
        if mount_of(path) != self.mount {
            self.told.insert(name, line + " mounted");
            return;
        }
        if kind.is_char_device() || kind.is_block_device() {
            line += &format!(" device {:x}", meta.rdev());
        }
        if kind.is_file() {
            let bytes = bytes_of(path, &meta);
            line += &format!(" {} bytes {}", bytes.len(), Digest::of(&bytes).short());
        }
        if !kind.is_dir() && meta.nlink() > 1 {
            let first = self.links.entry(meta.ino()).or_insert_with(|| name.clone());
            line += &format!(" is {first}");
        }
        if self.telling.times && !kind.is_dir() {
            line += &format!(" at {}", meta.mtime());
        }
        line += &self.attributes(path);
        self.told.insert(name, line);
    }

    fn attributes(&self, path: &Path) -> String {
        let mut names = vec![0; 1 << 16];
        let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
        let mut shown: Vec<String> = Vec::new();
        for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = String::from_utf8_lossy(name).into_owned();
            let of_the_image = name.starts_with("user.") && name != "user.rootlesscontainers"
                || name == "security.capability" && self.telling.owners;
            if of_the_image {
                let mut value = vec![0; 1 << 16];
                let length =
                    rustix::fs::lgetxattr(path, name.as_str(), value.as_mut_slice()).expect("an attribute");
                shown.push(format!(" {name}={}", value[..length].escape_ascii()));
            }
        }
        shown.sort();
        shown.concat()
    }
}

/// The number of the mount that a path is on: one may be of the same file system as what is around it.
fn mount_of(path: &Path) -> u64 {
    let stat = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID);
    stat.expect("a path that stays").stx_mnt_id
}

/// The bytes of a file of ours, also where its mode keeps its owner out.
fn bytes_of(path: &Path, meta: &fs::Metadata) -> Vec<u8> {
    if let Ok(bytes) = fs::read(path) {
        return bytes;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
    let bytes = fs::read(path).expect("a file that can be read");
    fs::set_permissions(path, meta.permissions()).expect("a file of ours");
    bytes
}

/// Two trees must be the same.
#[track_caller]
pub(super) fn assert_same(what: &str, ours: &Tree, theirs: &Tree) {
    let mut differences = Vec::new();
    for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
        let (our, their) = (ours.get(name), theirs.get(name));
        if our != their {
            let nothing = "nothing".to_owned();
            differences.push(format!(
                "{name}\n  {}\n  {}",
                our.unwrap_or(&nothing),
                their.unwrap_or(&nothing)
            ));
        }
    }
    assert!(differences.is_empty(), "{what}: ours, then theirs:\n{}", differences.join("\n"));
    assert!(ours.len() > 10, "{what}: nearly nothing to compare");
}
