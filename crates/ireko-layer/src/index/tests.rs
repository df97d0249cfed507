//! Indexes as bytes, and what the content id sees.

use expect_test::expect;
use ireko_oci::FileHash;
use proptest::prelude::*;

use super::*;
use crate::testing::{changes, dir, entry, file, index, path, write};
use crate::{Change, ChangeKind, Meta, Time};

proptest! {
    #[test]
    fn decoding_gives_what_was_encoded(all in changes(true)) {
        let (written, _) = write(all);
        let bytes = written.index.encode();
        prop_assert_eq!(Index::decode(&bytes).unwrap(), written.index);
    }

    #[test]
    fn any_flipped_bit_is_noticed(all in changes(true), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = write(all).0.index.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Index::decode(&bytes).is_err());
    }

    /// Past the checksum too: whatever the bytes, an answer and no panic.
    #[test]
    fn any_bytes_are_read(mut bytes: Vec<u8>) {
        let _ = Index::decode(&bytes);
        bytes.splice(0..0, *b"ireko-i\x01");
        let check = *blake3::hash(&bytes).as_bytes();
        bytes.extend_from_slice(&check);
        let _ = Index::decode(&bytes);
    }
}

#[test]
fn times_are_content_only_if_set() {
    let at = |secs, dated| {
        let mut change = file("f", b"x");
        change.meta.mtime = Time::new(secs, 7);
        change.dated = dated;
        index(vec![change]).content_id()
    };
    assert_eq!(at(1, false), at(2, false));
    assert_ne!(at(1, true), at(2, true));
    assert_ne!(at(1, true), at(1, false));
}

#[test]
fn everything_else_is_content() {
    let base = || vec![dir("d"), file("d/f", b"x"), entry("d/w", ChangeKind::Whiteout)];
    let id = |change: &dyn Fn(&mut Vec<Change>)| {
        let mut all = base();
        change(&mut all);
        index(all).content_id()
    };
    let ids = [
        id(&|_| {}),
        id(&|all| all[1].meta.mode = 0o600),
        id(&|all| all[1].meta.uid = 1),
        id(&|all| all[1].meta.gid = 1),
        id(&|all| {
            all[1].meta.xattrs.insert(b"user.a".to_vec(), b"b".to_vec());
        }),
        id(&|all| all[1] = file("d/f", b"y")),
        id(&|all| all[1] = file("d/g", b"x")),
        id(&|all| all[0].kind = ChangeKind::Dir { opaque: true }),
        id(&|all| all[2].kind = ChangeKind::Fifo),
        id(&|all| all.push(file("d/x", b"x"))),
        id(&|all| all.push(entry("d/x", ChangeKind::HardLink { target: path("d/f") }))),
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn entries_that_do_not_fit_together_are_refused() {
    let entry =
        |at: &str, kind| Entry { path: path(at), meta: Meta::default(), kind, dated: false, implied: false };
    let refused = |entries| Index::new(entries, BTreeMap::new()).unwrap_err().to_string();
    let file = || Kind::File { size: 0, hash: FileHash([0; 32]) };
    expect!["`a` cannot be in a layer: named twice"]
        .assert_eq(&refused(vec![entry("a", Kind::Fifo), entry("a", Kind::Fifo)]));
    expect!["`a/b` cannot be in a layer: its directory is not in the layer"]
        .assert_eq(&refused(vec![entry("a", Kind::Fifo), entry("a/b", Kind::Fifo)]));
    expect!["`a` cannot be in a layer: a hard link to no earlier file of the layer"]
        .assert_eq(&refused(vec![entry("a", Kind::HardLink { target: path("b") }), entry("b", file())]));
}

#[test]
fn a_hundred_thousand_entries_are_small() {
    let meta = Meta { mode: 0o644, mtime: Time::new(1_700_000_000, 5), ..Meta::default() };
    let mut entries = Vec::new();
    for d in 0..100 {
        let dir = path(&format!("usr-{d:03}"));
        let kind = Kind::Dir { opaque: false };
        entries.push(Entry { path: dir.clone(), meta: meta.clone(), kind, dated: false, implied: false });
        for f in 0..1000 {
            let kind = Kind::File { size: f, hash: FileHash([f as u8; 32]) };
            let path = dir.join(format!("file-{f:04}")).unwrap();
            entries.push(Entry { path, meta: meta.clone(), kind, dated: false, implied: false });
        }
    }
    let index = Index::new(entries, BTreeMap::new()).unwrap();
    let bytes = index.encode();
    assert!(bytes.len() < 50 * 100_100, "{}", bytes.len());
    assert_eq!(Index::decode(&bytes).unwrap(), index);
}

#[test]
fn below_a_directory() {
    let index = index(vec![dir("a"), file("a/x", b""), file("a-b", b""), dir("b"), file("b/y", b"")]);
    let below =
        |at| index.below(&at).iter().map(|entry| entry.path.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(below(path("a")), "a/x");
    assert_eq!(below(path("aa")), "");
    assert_eq!(below(TreePath::root()), "a a/x a-b b b/y");
}
