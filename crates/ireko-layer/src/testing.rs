//! What tests share: small layers by a line of text each, pictures of indexes, random changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use crate::{Change, ChangeKind, Data, Index, Kind, LayerWriter, Meta, Time, TreePath, View, Written};

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// A file with mode 0644.
pub(crate) fn file(at: &str, bytes: &[u8]) -> Change {
    let meta = Meta { mode: 0o644, mtime: Time::new(1_000_000_000, 0), ..Meta::default() };
    Change::new(path(at), meta, ChangeKind::File(Data::memory(bytes)))
}

pub(crate) fn dir(at: &str) -> Change {
    entry(at, ChangeKind::Dir { opaque: false })
}

pub(crate) fn entry(at: &str, kind: ChangeKind) -> Change {
    let mode = if matches!(kind, ChangeKind::Dir { .. }) { 0o755 } else { 0o644 };
    Change::new(path(at), Meta { mode, mtime: Time::new(1_000_000_000, 0), ..Meta::default() }, kind)
}

pub(crate) fn link(at: &str, target: &str) -> Change {
    entry(at, ChangeKind::Symlink { target: target.into() })
}

/// The layer of these changes, and its tar.
pub(crate) fn write(changes: Vec<Change>) -> (Written, Vec<u8>) {
    let mut tar = Vec::new();
    let mut writer = LayerWriter::new().sink(&mut tar);
    writer.push_all(changes).unwrap();
    let written = writer.finish().unwrap();
    (written, tar)
}

pub(crate) fn index(changes: Vec<Change>) -> Arc<Index> {
    Arc::new(write(changes).0.index)
}

/// One line an entry.
pub(crate) fn show(index: &Index) -> String {
    let mut out = String::new();
    for entry in index.entries() {
        let Meta { mode, uid, gid, mtime, xattrs } = &entry.meta;
        let kind = match &entry.kind {
            Kind::File { size, hash } => format!("file {size} {}", &hash.short()[..4]),
            Kind::HardLink { target } => format!("link to {target}"),
            Kind::Dir { opaque } => format!("dir{}", if *opaque { " opaque" } else { "" }),
            Kind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(target)),
            Kind::Char { major, minor } => format!("char {major}:{minor}"),
            Kind::Block { major, minor } => format!("block {major}:{minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Whiteout => "whiteout".to_owned(),
        };
        write!(out, "{} {kind}", entry.path).unwrap();
        if entry.kind != Kind::Whiteout {
            write!(out, " {mode:o} {uid}:{gid} @{}", mtime.secs).unwrap();
        }
        if mtime.nanos != 0 {
            write!(out, ".{:09}", mtime.nanos).unwrap();
        }
        for (name, value) in xattrs {
            write!(out, " {}={}", String::from_utf8_lossy(name), value.escape_ascii()).unwrap();
        }
        out.push_str(if entry.dated { " dated" } else { "" });
        out.push_str(if entry.implied { " implied\n" } else { "\n" });
    }
    out
}

/// What a stack shows, without what may differ between equal ones.
pub(crate) fn picture(view: &View) -> Vec<(TreePath, Meta, Kind)> {
    view.walk(&TreePath::root())
        .into_iter()
        .map(|found| {
            let entry = found.entry;
            let (mut meta, kind) = (entry.meta.clone(), entry.kind.clone());
            let kind = match kind {
                Kind::Dir { .. } => {
                    // Of an unchanged directory the time may be either layer's.
                    meta.mtime = Time::default();
                    Kind::Dir { opaque: false }
                }
                // Which name is the link may differ; the bytes may not.
                Kind::HardLink { .. } => view.owner_of_content(&entry.path).unwrap().entry.kind.clone(),
                kind => kind,
            };
            (entry.path.clone(), meta, kind)
        })
        .collect()
}

/// Random changes that fit together: every parent a directory, hard links to earlier files; whiteouts if wanted.
pub(crate) fn changes(whiteouts: bool) -> impl Strategy<Value = Vec<Change>> {
    let name = prop_oneof![Just("a"), Just("b"), Just("a-b"), Just("c.d")];
    let at = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let item = (at, 0..11u8, 0..3u8, any::<bool>());
    prop::collection::vec(item, 0..14).prop_map(move |items| fit(&items, whiteouts))
}

fn fit(items: &[(String, u8, u8, bool)], whiteouts: bool) -> Vec<Change> {
    let mut chosen: BTreeMap<TreePath, Change> = BTreeMap::new();
    for (at, kind, variant, dated) in items {
        let at = path(at);
        let free = at.ancestors().filter(|above| !above.is_root()).all(|above| {
            chosen.get(&above).is_none_or(|change| matches!(change.kind, ChangeKind::Dir { .. }))
        });
        if !free || chosen.contains_key(&at) {
            continue;
        }
        let earlier = chosen.values().find(|c| matches!(c.kind, ChangeKind::File(_)) && c.path < at);
        let kind = match kind {
            0..=2 => ChangeKind::Dir { opaque: whiteouts && *variant == 0 },
            3..=5 => ChangeKind::File(Data::memory(vec![b'x' + variant; usize::from(*variant) * 300])),
            6 => ChangeKind::Symlink { target: vec![b't' + variant] },
            7 => match earlier {
                Some(first) => ChangeKind::HardLink { target: first.path.clone() },
                None => ChangeKind::Fifo,
            },
            8 => ChangeKind::Fifo,
            _ if whiteouts => ChangeKind::Whiteout,
            _ => ChangeKind::Symlink { target: b"a/b".to_vec() },
        };
        for above in at.ancestors().filter(|above| !above.is_root()) {
            chosen.entry(above.clone()).or_insert_with(|| dir(&above.to_string()));
        }
        let xattrs = if *variant == 2 { [(b"user.v".to_vec(), b"\0v\n".to_vec())].into() } else { [].into() };
        let xattrs =
            if matches!(kind, ChangeKind::File(_) | ChangeKind::Dir { .. }) { xattrs } else { [].into() };
        let mode =
            if matches!(kind, ChangeKind::Symlink { .. }) { 0o777 } else { 0o700 + u32::from(*variant) };
        let mtime = Time::new(1_000_000_000 + i64::from(*variant), 0);
        let meta = Meta { mode, uid: 0, gid: 0, mtime, xattrs };
        chosen.insert(at.clone(), Change { path: at, meta, kind, dated: *dated });
    }
    chosen.into_values().collect()
}

/// A raw tar entry with any name, as a hostile or an old program may write it; the content follows.
pub(crate) fn raw(name: &[u8], kind: u8, link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    block[136..148].copy_from_slice(b"00000000012\0");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    sealed(block, content)
}

/// A header with its checksum, its content and padding.
pub(crate) fn sealed(mut block: [u8; 512], content: &[u8]) -> Vec<u8> {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = [&block, content].concat();
    out.resize(out.len().next_multiple_of(512), 0);
    out
}
