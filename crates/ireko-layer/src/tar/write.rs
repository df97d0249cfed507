//! Canonical headers: ustar, with a PAX header before it only where ustar cannot say it. See `docs/format/layer.md`.

use super::BLOCK;
use crate::{Entry, Kind, Meta};

/// What ends a tar.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Biggest numbers of ustar's octal fields of 8 and of 12 bytes.
const MAX_SMALL: u64 = 0o7_777_777;
const MAX_BIG: u64 = 0o77_777_777_777;

/// How many zero bytes follow a file of this size.
pub(crate) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The headers of one entry: everything of it but a file's bytes.
pub(crate) fn entry_bytes(entry: &Entry, out: &mut Vec<u8>) {
    let mut name = entry.path.as_bytes().to_vec();
    match &entry.kind {
        Kind::Whiteout => {
            let base = entry.path.file_name().unwrap_or_default().len();
            let at = name.len() - base;
            name.splice(at..at, *b".wh.");
            header(out, &name, &Meta::default(), b'0', Rest::default());
        }
        Kind::Dir { opaque } => {
            if name.is_empty() {
                name.push(b'.');
            }
            name.push(b'/');
            if !entry.implied {
                header(out, &name, &entry.meta, b'5', Rest::default());
            }
            if *opaque {
                name.extend_from_slice(b".wh..wh..opq");
                header(out, &name, &Meta::default(), b'0', Rest::default());
            }
        }
        Kind::File { size, .. } => {
            header(out, &name, &entry.meta, b'0', Rest { size: *size, ..Rest::default() })
        }
        Kind::HardLink { target } => {
            let bare = Meta { xattrs: Default::default(), ..entry.meta.clone() };
            header(out, &name, &bare, b'1', Rest { link: target.as_bytes(), ..Rest::default() });
        }
        Kind::Symlink { target } => {
            header(out, &name, &entry.meta, b'2', Rest { link: target, ..Rest::default() });
        }
        Kind::Char { major, minor } => {
            header(out, &name, &entry.meta, b'3', Rest { device: (*major, *minor), ..Rest::default() });
        }
        Kind::Block { major, minor } => {
            header(out, &name, &entry.meta, b'4', Rest { device: (*major, *minor), ..Rest::default() });
        }
        Kind::Fifo => header(out, &name, &entry.meta, b'6', Rest::default()),
    }
}

#[derive(Default)]
struct Rest<'a> {
    size: u64,
    link: &'a [u8],
    device: (u32, u32),
}

fn header(out: &mut Vec<u8>, name: &[u8], meta: &Meta, kind: u8, rest: Rest<'_>) {
    let mut pax: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut block = [0u8; BLOCK];
    match split_name(name) {
        Some((prefix, base)) => {
            block[..base.len()].copy_from_slice(base);
            block[345..345 + prefix.len()].copy_from_slice(prefix);
        }
        None => {
            // Readers take the PAX name; the rest of this one is what very old ones would make of it.
            block[..100].copy_from_slice(&name[..100]);
            pax.push((b"path".to_vec(), name.to_vec()));
        }
    }
    octal(&mut block[100..108], u64::from(meta.mode & 0o7777));
    for (field, key, id) in [(108..116, "uid", meta.uid), (116..124, "gid", meta.gid)] {
        if u64::from(id) <= MAX_SMALL {
            octal(&mut block[field], id.into());
        } else {
            octal(&mut block[field], 0);
            pax.push((key.into(), id.to_string().into()));
        }
    }
    let fits = rest.size <= MAX_BIG;
    octal(&mut block[124..136], if fits { rest.size } else { 0 });
    if !fits {
        pax.push((b"size".to_vec(), rest.size.to_string().into()));
    }
    let seconds = u64::try_from(meta.mtime.secs).ok().filter(|&seconds| seconds <= MAX_BIG);
    octal(&mut block[136..148], seconds.unwrap_or(0));
    if seconds.is_none() {
        pax.push((b"mtime".to_vec(), meta.mtime.secs.to_string().into()));
    }
    block[156] = kind;
    if rest.link.len() <= 100 {
        block[157..157 + rest.link.len()].copy_from_slice(rest.link);
    } else {
        block[157..257].copy_from_slice(&rest.link[..100]);
        pax.push((b"linkpath".to_vec(), rest.link.to_vec()));
    }
    octal(&mut block[329..337], rest.device.0.into());
    octal(&mut block[337..345], rest.device.1.into());
    for (name, value) in &meta.xattrs {
        pax.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
    }
    if !pax.is_empty() {
        pax.sort();
        pax_header(out, &pax);
    }
    seal(&mut block);
    out.extend_from_slice(&block);
}

/// A name as ustar's prefix and name: as much as possible in the name.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // A slash at the very end stays with the name.
    let first = name.len() - 101;
    let at = first + name[first..name.len() - 1].iter().position(|&byte| byte == b'/')?;
    (at > 0 && at <= 155).then(|| (&name[..at], &name[at + 1..]))
}

fn pax_header(out: &mut Vec<u8>, records: &[(Vec<u8>, Vec<u8>)]) {
    let mut body = Vec::new();
    for (key, value) in records {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length.to_string().len() + rest > length {
            length += 1;
        }
        body.extend_from_slice(length.to_string().as_bytes());
        body.push(b' ');
        body.extend_from_slice(key);
        body.push(b'=');
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    let mut block = [0u8; BLOCK];
    block[..11].copy_from_slice(b"PaxHeaders/");
    octal(&mut block[100..108], 0o644);
    for field in [108..116, 116..124, 329..337, 337..345] {
        octal(&mut block[field], 0);
    }
    octal(&mut block[124..136], body.len() as u64);
    octal(&mut block[136..148], 0);
    block[156] = b'x';
    block[11] = b'x';
    seal(&mut block);
    out.extend_from_slice(&block);
    let pad = padding(body.len() as u64);
    out.extend_from_slice(&body);
    out.resize(out.len() + pad, 0);
}

fn seal(block: &mut [u8; BLOCK]) {
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let text = format!("{sum:06o}\0 ");
    block[148..156].copy_from_slice(text.as_bytes());
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let mut value = value;
    for at in (0..digits).rev() {
        field[at] = b'0' + (value & 7) as u8;
        value >>= 3;
    }
    field[digits] = 0;
}
