//! The identity of a layer's content: see `docs/format/layer.md`, "Content id".

use ireko_oci::{ContentId, Fields};

use crate::{Entry, Kind};

/// Hash of the entries in order.
pub(super) fn id_of(entries: &[Entry]) -> ContentId {
    let mut fields = Fields::new("ireko layer content/1");
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.clear();
        canonical(entry, &mut bytes);
        fields.add("entry", &bytes);
    }
    ContentId(fields.hash())
}

/// One entry's canonical bytes: every variable part carries its length.
///
/// Format break if changed: content ids, and with them every tree id and key, would differ.
fn canonical(entry: &Entry, out: &mut Vec<u8>) {
    let Entry { path, meta, kind, dated, implied } = entry;
    string(out, path.as_bytes());
    match kind {
        Kind::File { size, hash } => {
            out.push(b'f');
            out.extend_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&hash.0);
        }
        Kind::HardLink { target } => {
            out.push(b'h');
            string(out, target.as_bytes());
        }
        Kind::Dir { opaque } => out.extend_from_slice(&[b'd', u8::from(*opaque), u8::from(*implied)]),
        Kind::Symlink { target } => {
            out.push(b'l');
            string(out, target);
        }
        Kind::Char { major, minor } => device(out, b'c', *major, *minor),
        Kind::Block { major, minor } => device(out, b'b', *major, *minor),
        Kind::Fifo => out.push(b'p'),
        Kind::Whiteout => out.push(b'w'),
    }
    if *implied || matches!(kind, Kind::Whiteout) {
        return;
    }
    for number in [meta.mode, meta.uid, meta.gid, meta.xattrs.len() as u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for (name, value) in &meta.xattrs {
        string(out, name);
        string(out, value);
    }
    if *dated {
        out.push(1);
        out.extend_from_slice(&meta.mtime.secs.to_le_bytes());
        out.extend_from_slice(&meta.mtime.nanos.to_le_bytes());
    } else {
        out.push(0);
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn device(out: &mut Vec<u8>, kind: u8, major: u32, minor: u32) {
    out.push(kind);
    out.extend_from_slice(&major.to_le_bytes());
    out.extend_from_slice(&minor.to_le_bytes());
}
