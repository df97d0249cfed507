//! The bytes that stand for selected files in a digest.

use std::collections::BTreeMap;

use ireko_dockerfile::chmod::{self, Chmod};
use ireko_graph::op::Copy;
use ireko_oci::{Fields, SelectionId};
use rayon::prelude::*;

use super::{Pick, Selected};
use crate::source::ItemKind;

/// What of modes and owners will be seen in the result.
pub(super) struct Rules {
    chmod: Option<Chmod>,
    keeps_owner: bool,
    /// The first directory's own mode and owner count.
    root_counts: bool,
}

impl Rules {
    /// The rules of a copy: a directory as a source is copied without itself.
    pub(super) fn of(copy: &Copy) -> Self {
        // A wrong mode was refused before; here it changes nothing.
        let chmod = copy.mode.as_deref().and_then(|mode| chmod::parse(mode).ok());
        Self { chmod, keeps_owner: copy.owner.is_none(), root_counts: false }
    }

    /// Everything is shown as it is.
    pub(super) fn as_is() -> Self {
        Self { chmod: None, keeps_owner: true, root_counts: true }
    }
}

/// The digest of all picks.
pub(super) fn of(picks: &[Pick], rules: &Rules) -> SelectionId {
    let mut fields = Fields::new("ireko selection/1");
    for pick in picks {
        fields.add("source", &pick.name);
        let firsts = Firsts::of(pick);
        let written = |(number, piece): (usize, &[Selected])| {
            let (mut out, mut bytes) = (Vec::with_capacity(piece.len() * 160), Vec::new());
            for (at, selected) in piece.iter().enumerate() {
                whole_entry(&mut bytes, number * PIECE + at, selected, rules, &firsts);
                Fields::write(&mut out, "entry", &bytes);
            }
            out
        };
        let pieces: Vec<Vec<u8>> = pick.entries.par_chunks(PIECE).enumerate().map(written).collect();
        pieces.iter().for_each(|piece| fields.add_written(piece));
    }
    SelectionId(fields.hash())
}

/// Entries that one thread puts into words at a time.
const PIECE: usize = 1024;

/// Where each file that has several names among the entries is named first.
struct Firsts(BTreeMap<(u64, u64), u64>);

impl Firsts {
    fn of(pick: &Pick) -> Self {
        let mut firsts = BTreeMap::new();
        for (at, selected) in pick.entries.iter().enumerate() {
            if let ItemKind::File { twin: Some(twin), .. } = &selected.item.kind {
                firsts.entry(*twin).or_insert(at as u64);
            }
        }
        Self(firsts)
    }
}

/// Calls `visit` with each entry and the bytes of all that counts of it.
pub(super) fn each<'p>(pick: &'p Pick, rules: &Rules, mut visit: impl FnMut(&'p Selected, &[u8])) {
    let firsts = Firsts::of(pick);
    let mut bytes = Vec::with_capacity(256);
    for (at, selected) in pick.entries.iter().enumerate() {
        whole_entry(&mut bytes, at, selected, rules, &firsts);
        visit(selected, &bytes);
    }
}

/// The bytes of all that counts of the entry at this position.
fn whole_entry(bytes: &mut Vec<u8>, at: usize, selected: &Selected, rules: &Rules, firsts: &Firsts) {
    bytes.clear();
    put(bytes, selected.below.as_bytes());
    if at == 0 && selected.item.is_dir() && !rules.root_counts {
        bytes.push(b'/');
    } else {
        entry(bytes, selected, rules);
    }
    if let ItemKind::File { twin: Some(twin), .. } = &selected.item.kind
        && let Some(first) = firsts.0.get(twin).filter(|first| **first != at as u64)
    {
        bytes.push(b'=');
        bytes.extend_from_slice(&first.to_le_bytes());
    }
}

fn entry(out: &mut Vec<u8>, selected: &Selected, rules: &Rules) {
    let item = &selected.item;
    out.push(match &item.kind {
        ItemKind::File { .. } => b'f',
        ItemKind::Dir if selected.asked => b'd',
        ItemKind::Dir => b'p',
        ItemKind::Symlink { .. } => b'l',
        ItemKind::Char { .. } => b'c',
        ItemKind::Block { .. } => b'b',
        ItemKind::Fifo => b'q',
    });
    match &item.kind {
        ItemKind::File { .. } => out.extend_from_slice(&selected.hash.map_or([0; 32], |hash| hash.0)),
        ItemKind::Symlink { target } => put(out, target),
        ItemKind::Char { major, minor } | ItemKind::Block { major, minor } => {
            out.extend_from_slice(&major.to_le_bytes());
            out.extend_from_slice(&minor.to_le_bytes());
        }
        ItemKind::Dir | ItemKind::Fifo => {}
    }
    if !matches!(item.kind, ItemKind::Symlink { .. }) {
        let mode = match &rules.chmod {
            Some(chmod) => chmod.apply(item.meta.mode, item.is_dir()),
            None => item.meta.mode,
        };
        out.extend_from_slice(&mode.to_le_bytes());
    }
    if rules.keeps_owner {
        out.extend_from_slice(&item.meta.uid.to_le_bytes());
        out.extend_from_slice(&item.meta.gid.to_le_bytes());
    }
    for (name, value) in &selected.xattrs {
        put(out, name);
        put(out, value);
    }
}

/// With its length before it, so that no two lists look alike.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}
