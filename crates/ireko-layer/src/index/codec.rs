//! The index as bytes: see `docs/format/layer.md`, "Index".

use std::collections::BTreeMap;

use ireko_oci::FileHash;

use super::Index;
use crate::{Entry, Error, Kind, Meta, Time, TreePath, Xattrs};

/// Opens every index; the last byte is the version.
/// Format break if changed: older stores' indexes would have to be made again from their tars.
const MAGIC: &[u8; 8] = b"ireko-i\x01";
const CHECK: usize = 32;

const FILE: u8 = 0;
const LINK: u8 = 1;
const DIR: u8 = 2;
const OPAQUE: u8 = 3;
const SYMLINK: u8 = 4;
const CHAR: u8 = 5;
const BLOCK: u8 = 6;
const FIFO: u8 = 7;
const WHITEOUT: u8 = 8;
const KIND: u8 = 0x0f;
const DATED: u8 = 0x10;
const IMPLIED: u8 = 0x20;

type Owner<'a> = (u32, u32, u32, &'a Xattrs);

pub(super) fn encode(index: &Index) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let mut owners: BTreeMap<Owner<'_>, u64> = BTreeMap::new();
    let mut table: Vec<Owner<'_>> = Vec::new();
    for entry in &index.entries {
        let Meta { mode, uid, gid, mtime: _, xattrs } = &entry.meta;
        let owner = (*mode, *uid, *gid, xattrs);
        owners.entry(owner).or_insert_with(|| {
            table.push(owner);
            table.len() as u64 - 1
        });
    }
    number(&mut out, table.len() as u64);
    for (mode, uid, gid, xattrs) in table {
        for value in [mode, uid, gid, xattrs.len() as u32] {
            number(&mut out, value.into());
        }
        for (name, value) in xattrs {
            string(&mut out, name);
            string(&mut out, value);
        }
    }
    number(&mut out, index.entries.len() as u64);
    let mut before: (&[u8], i64) = (b"", 0);
    for entry in &index.entries {
        let Meta { mode, uid, gid, mtime, xattrs } = &entry.meta;
        let path = entry.path.as_bytes();
        let shared = path.iter().zip(before.0).take_while(|(left, right)| left == right).count();
        number(&mut out, shared as u64);
        string(&mut out, &path[shared..]);
        out.push(kind_byte(entry));
        number(&mut out, owners[&(*mode, *uid, *gid, xattrs)]);
        signed(&mut out, mtime.secs.wrapping_sub(before.1));
        number(&mut out, mtime.nanos.into());
        kind_fields(&mut out, &entry.kind);
        before = (path, mtime.secs);
    }
    number(&mut out, index.inlined.len() as u64);
    for (path, bytes) in &index.inlined {
        string(&mut out, path.as_bytes());
        string(&mut out, bytes);
    }
    let check = blake3::hash(&out);
    out.extend_from_slice(check.as_bytes());
    out
}

fn kind_byte(entry: &Entry) -> u8 {
    let kind = match entry.kind {
        Kind::File { .. } => FILE,
        Kind::HardLink { .. } => LINK,
        Kind::Dir { opaque: false } => DIR,
        Kind::Dir { opaque: true } => OPAQUE,
        Kind::Symlink { .. } => SYMLINK,
        Kind::Char { .. } => CHAR,
        Kind::Block { .. } => BLOCK,
        Kind::Fifo => FIFO,
        Kind::Whiteout => WHITEOUT,
    };
    kind | if entry.dated { DATED } else { 0 } | if entry.implied { IMPLIED } else { 0 }
}

fn kind_fields(out: &mut Vec<u8>, kind: &Kind) {
    match kind {
        Kind::File { size, hash } => {
            number(out, *size);
            out.extend_from_slice(&hash.0);
        }
        Kind::HardLink { target } => string(out, target.as_bytes()),
        Kind::Symlink { target } => string(out, target),
        Kind::Char { major, minor } | Kind::Block { major, minor } => {
            number(out, (*major).into());
            number(out, (*minor).into());
        }
        Kind::Dir { .. } | Kind::Fifo | Kind::Whiteout => {}
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn decode(bytes: &[u8]) -> Result<Index, Error> {
    let split = bytes.len().checked_sub(CHECK).ok_or(wrong("too short"))?;
    let (body, check) = bytes.split_at(split);
    let body = match body.strip_prefix(&MAGIC[..7]) {
        Some([version, rest @ ..]) if *version == MAGIC[7] => rest,
        Some(_) => return Err(wrong("of another version")),
        None => return Err(wrong("not an index")),
    };
    if blake3::hash(&bytes[..split]) != blake3::Hash::from_slice(check).map_err(|_| wrong("too short"))? {
        return Err(wrong("its checksum is wrong"));
    }
    let mut input = Input(body);
    let owners = input.owners()?;
    let entries = input.entries(&owners)?;
    let mut inlined = BTreeMap::new();
    for _ in 0..input.count()? {
        let path = input.path()?;
        inlined.insert(path, input.string()?.to_vec());
    }
    if !input.0.is_empty() {
        return Err(wrong("more bytes than entries"));
    }
    let index = Index { entries, inlined };
    if index.problem().is_some() {
        return Err(wrong("its entries do not fit together"));
    }
    Ok(index)
}

fn wrong(problem: &'static str) -> Error {
    Error::Index { problem }
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(wrong("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(wrong("a number too big"))
    }

    fn small(&mut self) -> Result<u32, Error> {
        u32::try_from(self.number()?).map_err(|_| wrong("a number too big"))
    }

    fn signed(&mut self) -> Result<i64, Error> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number of things that take at least a byte each, so that no wrong number reserves much memory.
    fn count(&mut self) -> Result<usize, Error> {
        let count = self.number()?;
        usize::try_from(count).ok().filter(|&count| count <= self.0.len()).ok_or(wrong("a count too big"))
    }

    fn string(&mut self) -> Result<&'a [u8], Error> {
        let length = self.count()?;
        self.take(length)
    }

    fn path(&mut self) -> Result<TreePath, Error> {
        TreePath::new(self.string()?).map_err(|_| wrong("a path that is none"))
    }

    fn owners(&mut self) -> Result<Vec<Meta>, Error> {
        let mut owners = Vec::new();
        for _ in 0..self.count()? {
            let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
            let mut xattrs = Xattrs::new();
            for _ in 0..self.count()? {
                let name = self.string()?.to_vec();
                xattrs.insert(name, self.string()?.to_vec());
            }
            owners.push(Meta { mode, uid, gid, mtime: Time::default(), xattrs });
        }
        Ok(owners)
    }

    fn entries(&mut self, owners: &[Meta]) -> Result<Vec<Entry>, Error> {
        let count = self.count()?;
        let mut entries = Vec::with_capacity(count.min(1 << 20));
        let mut path = Vec::new();
        let mut secs = 0i64;
        for _ in 0..count {
            let shared = self.number()?;
            path.truncate(
                usize::try_from(shared).ok().filter(|&n| n <= path.len()).ok_or(wrong("a bad prefix"))?,
            );
            path.extend_from_slice(self.string()?);
            let flags = self.byte()?;
            let owner = owners.get(self.small()? as usize).ok_or(wrong("an owner that is not there"))?;
            secs = secs.wrapping_add(self.signed()?);
            let mtime = Time { secs, nanos: self.small()? };
            entries.push(Entry {
                path: TreePath::new(&path).map_err(|_| wrong("a path that is none"))?,
                meta: Meta { mtime, ..owner.clone() },
                kind: self.kind(flags & KIND)?,
                dated: flags & DATED != 0,
                implied: flags & IMPLIED != 0,
            });
        }
        Ok(entries)
    }

    fn kind(&mut self, kind: u8) -> Result<Kind, Error> {
        Ok(match kind {
            FILE => {
                let size = self.number()?;
                let hash = self.take(32)?.try_into().expect("32 bytes were taken");
                Kind::File { size, hash: FileHash(hash) }
            }
            LINK => Kind::HardLink { target: self.path()? },
            DIR => Kind::Dir { opaque: false },
            OPAQUE => Kind::Dir { opaque: true },
            SYMLINK => Kind::Symlink { target: self.string()?.to_vec() },
            CHAR => Kind::Char { major: self.small()?, minor: self.small()? },
            BLOCK => Kind::Block { major: self.small()?, minor: self.small()? },
            FIFO => Kind::Fifo,
            WHITEOUT => Kind::Whiteout,
            _ => return Err(wrong("an unknown kind")),
        })
    }
}
