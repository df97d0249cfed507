//! A layer of a stranger: nothing may appear outside its root, and indexing it must agree with unpacking it.
//!
//! The bytes are a recipe of entries, so that most inputs are tars with right checksums; every eighth is taken raw.
#![no_main]

use std::fs;

use ireko_layer::{OverlayAttrs, UnpackOptions, index_of, unpack};
use libfuzzer_sys::fuzz_target;
use tar::{EntryType, Header};

/// What names are made of: enough to meet, to climb, to link and to white out.
const PIECES: [&[u8]; 16] = [
    b"a", b"b", b"c", b"d", b"/", b"/", b"/", b"..", b".", b".wh.a", b".wh.b", b".wh..wh..opq", b".wh..wh.plnk", b"\xff", b"a/b", b"../../outside",
];
const KINDS: [EntryType; 8] = [
    EntryType::Regular,
    EntryType::Directory,
    EntryType::Symlink,
    EntryType::Link,
    EntryType::Regular,
    EntryType::Directory,
    EntryType::Fifo,
    EntryType::Char,
];

fuzz_target!(|bytes: &[u8]| {
    let made;
    let stream = match bytes.split_first() {
        Some((first, rest)) if first % 8 != 0 => {
            made = stream(rest);
            made.as_slice()
        }
        _ => bytes,
    };
    let scratch = tempfile::tempdir().expect("a scratch folder can be made");
    let root = scratch.path().join("root");
    fs::create_dir(&root).expect("a folder can be made in the scratch folder");
    let options = UnpackOptions { attrs: OverlayAttrs::User, below: None, lower: None };
    let unpacked = unpack(stream, &root, &options);
    let beside = fs::read_dir(scratch.path()).expect("the scratch folder can be listed").count();
    assert_eq!(beside, 1, "something appeared outside the root");
    // Devices and foreign owners need privileges that indexing does not need.
    if let (Ok(unpacked), Ok(indexed)) = (unpacked, index_of(stream)) {
        assert_eq!(unpacked.index.content_id(), indexed.index.content_id());
    }
});

/// Four bytes an entry: kind and mode, two of the name, one of the target or the content.
fn stream(recipe: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in recipe.chunks_exact(4).take(40) {
        let kind = KINDS[usize::from(entry[0] & 7)];
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if entry[0] & 8 == 0 { 0o755 } else { 0o1777 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000 + u64::from(entry[0] >> 4));
        let content = [entry[3]; 3];
        let size = if kind == EntryType::Regular { content.len() } else { 0 };
        header.set_size(size as u64);
        let name = [piece(entry[1]), piece(entry[1] >> 4), piece(entry[2]), piece(entry[2] >> 4)].concat();
        let target = [piece(entry[3]), piece(entry[3] >> 4)].concat();
        header.as_mut_bytes()[..name.len()].copy_from_slice(&name);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(&target);
        }
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&content[..size]);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn piece(nibble: u8) -> &'static [u8] {
    PIECES[usize::from(nibble & 15)]
}
