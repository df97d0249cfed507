//! Trees, contexts and copies from pictures, one line a path:
//! `d 755 0:0 dir`, `f 644 0:0 dir/file text`, `l dir/link target`, `h dir/other dir/file`, `p dir/pipe`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use ireko_dockerfile::ignore::Patterns;
use ireko_graph::op::{Copy, CopyItem, FilesFrom, Unpack};
use ireko_layer::{
    Change, ChangeKind, Data, Index, Kind, LayerWriter, Meta, OverlayAttrs, Time, TreePath, View, Written,
};
use ireko_oci::{FileHash, GuestPath};
use ireko_store::{NewForms, OpenOptions, Store, WrittenAs};

use crate::{Cancel, FileSource, FilesError, LocalContext, Picked, TreeFiles};

pub(crate) const NOW: Time = Time { secs: 1_700_000_000, nanos: 0 };

/// A store and a context directory, gone with it.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) store: Arc<Store>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["store", "context", "scratch"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let written_as = WrittenAs { id_map: "test".to_owned(), attrs: OverlayAttrs::User };
        // Long after anything here is written, so that the stat cache believes what it sees.
        let now = Time::new(4_000_000_000, 0);
        let options = OpenOptions { written_as, boot_id: "boot".to_owned(), now };
        let store = Store::open(&dir.path().join("store"), options).unwrap();
        Self { dir, store }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("context")
    }

    pub(crate) fn scratch(&self) -> std::path::PathBuf {
        self.dir.path().join("scratch")
    }

    pub(crate) fn context(&self, ignore: &str) -> LocalContext {
        let patterns = Patterns::parse(ignore.as_bytes()).unwrap();
        LocalContext::open(&self.path(), patterns, &self.store, &Cancel::default()).unwrap()
    }

    /// A tree of one layer, kept in the store as a tar.
    pub(crate) fn tree(&self, picture: &str) -> TreeFiles {
        let mut tar = self.store.tar_draft().unwrap();
        let mut writer = LayerWriter::new().sink(&mut tar);
        writer.push_all(changes_of(picture)).unwrap();
        let written = writer.finish().unwrap();
        let diff = written.diff_id;
        self.store.put_layer(&written, NewForms { tar: Some(tar), ..NewForms::default() }).unwrap();
        TreeFiles::new(self.store.view(&[diff]).unwrap(), vec![diff], Arc::clone(&self.store))
    }
}

/// The lines of a picture, in order.
fn lines(picture: &str) -> impl Iterator<Item = Vec<&str>> {
    picture.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.split(' ').collect())
}

fn meta_of(mode: &str, owner: &str) -> Meta {
    let (uid, gid) = owner.split_once(':').unwrap();
    let mode = u32::from_str_radix(mode, 8).unwrap();
    Meta {
        uid: uid.parse().unwrap(),
        gid: gid.parse().unwrap(),
        ..Meta::new(mode, Time::new(1_000_000_000, 0))
    }
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// The changes that make a picture; directories it does not name are 755 and root's.
pub(crate) fn changes_of(picture: &str) -> Vec<Change> {
    let mut changes: BTreeMap<TreePath, Change> = BTreeMap::new();
    for line in lines(picture) {
        let link = || meta_of("777", "0:0");
        let (name, meta, kind) = match line[0] {
            "d" => (line[3], meta_of(line[1], line[2]), ChangeKind::Dir { opaque: false }),
            "f" => {
                let text = line.get(4).copied().unwrap_or_default();
                (line[3], meta_of(line[1], line[2]), ChangeKind::File(Data::memory(text.as_bytes().to_vec())))
            }
            "l" => (line[1], link(), ChangeKind::Symlink { target: line[2].as_bytes().to_vec() }),
            "h" => (line[1], meta_of("644", "0:0"), ChangeKind::HardLink { target: path(line[2]) }),
            "p" => (line[1], meta_of("644", "0:0"), ChangeKind::Fifo),
            other => panic!("no kind `{other}`"),
        };
        for parent in path(name).ancestors().filter(|parent| !parent.is_root()) {
            let dir = Change::new(parent.clone(), meta_of("755", "0:0"), ChangeKind::Dir { opaque: false });
            changes.entry(parent).or_insert(dir);
        }
        changes.insert(path(name), Change::new(path(name), meta, kind));
    }
    changes.into_values().collect()
}

pub(crate) fn view_of(picture: &str) -> View {
    if picture.trim().is_empty() {
        return View::default();
    }
    View::new(vec![Arc::new(write(changes_of(picture)).unwrap().index)])
}

pub(crate) fn write(changes: Vec<Change>) -> Result<Written, ireko_layer::Error> {
    let mut writer = LayerWriter::new();
    writer.push_all(changes)?;
    writer.finish()
}

/// Writes a picture to this machine's disk; owners stay this process's own.
pub(crate) fn lay(picture: &str, dir: &Path) {
    let mut modes = Vec::new();
    for line in lines(picture) {
        let name = match line[0] {
            "d" | "f" => line[3],
            _ => line[1],
        };
        let at = dir.join(name);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match line[0] {
            "d" => fs::create_dir_all(&at).unwrap(),
            "f" => fs::write(&at, line.get(4).copied().unwrap_or_default()).unwrap(),
            "l" => symlink(line[2], &at).unwrap(),
            "h" => fs::hard_link(dir.join(line[2]), &at).unwrap(),
            "p" => rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, 0o644.into(), 0)
                .unwrap(),
            other => panic!("no kind `{other}`"),
        }
        if matches!(line[0], "d" | "f") {
            modes.push((at, u32::from_str_radix(line[1], 8).unwrap()));
        }
    }
    for (at, mode) in modes.into_iter().rev() {
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// A COPY or ADD from its words. `--from` alone makes the files a tree's; `<<NAME=text` is a here-document.
pub(crate) fn copy_of(words: &str) -> Copy {
    let mut copy = Copy {
        items: Vec::new(),
        dest: GuestPath::root(),
        dest_is_dir: false,
        owner: None,
        mode: None,
        link: false,
        parents: false,
        excludes: Vec::new(),
        unpack: Unpack::Never,
    };
    let mut from = FilesFrom::Context("context".to_owned());
    let mut words: Vec<&str> = words.split(' ').collect();
    match words.remove(0) {
        "ADD" => copy.unpack = Unpack::Local,
        other => assert_eq!(other, "COPY"),
    }
    while words[0].starts_with("--") {
        let flag = words.remove(0);
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("--from", _) => from = FilesFrom::Input(0),
            ("--chown", owner) => copy.owner = Some(owner.to_owned()),
            ("--chmod", mode) => copy.mode = Some(mode.to_owned()),
            ("--exclude", pattern) => copy.excludes.push(pattern.to_owned()),
            ("--link", _) => copy.link = true,
            ("--parents", _) => copy.parents = true,
            (other, _) => panic!("no flag `{other}`"),
        }
    }
    let dest = words.pop().unwrap();
    copy.dest_is_dir = dest.ends_with('/');
    copy.dest = GuestPath::new(dest).unwrap();
    copy.items = words
        .into_iter()
        .map(|word| match word.strip_prefix("<<").and_then(|word| word.split_once('=')) {
            Some((name, text)) => CopyItem::Inline { name: name.to_owned(), bytes: text.into() },
            None => CopyItem::Files { from: from.clone(), pattern: word.to_owned() },
        })
        .collect();
    copy
}

pub(crate) fn pick(copy: &Copy, source: &FileSource<'_>) -> Result<Picked, FilesError> {
    crate::pick_copy(copy, &|_| Ok(source.clone()))
}

/// An index as a picture; `texts` are the contents that may occur.
pub(crate) fn show(index: &Index, texts: &BTreeMap<FileHash, String>) -> String {
    let mut out = String::new();
    for entry in index.entries() {
        let Meta { mode, uid, gid, .. } = entry.meta;
        let line = match &entry.kind {
            Kind::Dir { opaque } => {
                format!("d {mode:o} {uid}:{gid} {}{}", entry.path, if *opaque { " opaque" } else { "" })
            }
            Kind::File { hash, .. } => {
                let text = texts.get(hash).map_or("?", String::as_str);
                format!("f {mode:o} {uid}:{gid} {} {text}", entry.path)
            }
            Kind::Symlink { target } => format!("l {} {}", entry.path, String::from_utf8_lossy(target)),
            Kind::HardLink { target } => format!("h {} {target}", entry.path),
            Kind::Fifo => format!("p {}", entry.path),
            other => format!("{other:?} {}", entry.path),
        };
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// All texts of pictures and here-documents, by hash.
pub(crate) fn texts(pictures: &[&str], copy: &Copy) -> BTreeMap<FileHash, String> {
    let mut texts = BTreeMap::new();
    let mut add =
        |text: &str| texts.insert(FileHash(*blake3::hash(text.as_bytes()).as_bytes()), text.to_owned());
    for line in pictures.iter().flat_map(|picture| lines(picture)) {
        if line[0] == "f" {
            add(line.get(4).copied().unwrap_or_default());
        }
    }
    for item in &copy.items {
        if let CopyItem::Inline { bytes, .. } = item {
            add(&String::from_utf8_lossy(bytes));
        }
    }
    texts
}
