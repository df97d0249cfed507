//! Reads entries of any usual tar: v7, ustar, GNU, PAX; bounded in memory whatever it says.

use std::io::{self, Read};

use super::pax::{self, Records};
use super::sparse::{self, LeadingMap, Piece};
use super::{BLOCK, fields};
use crate::{Error, Meta, Time, Xattrs};

/// Longest PAX header or long name that is read. Linux allows 64 KiB of attributes to a file.
const MAX_EXTENSION: u64 = 1 << 20;

/// So many bytes may entries have of global attributes in all. Each has a copy of its own, so that a small tar could ask
/// for any amount of memory.
const MAX_GLOBAL: usize = 64 << 20;

/// What a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    File,
    HardLink,
    Symlink,
    Char(u32, u32),
    Block(u32, u32),
    Dir,
    Fifo,
}

/// One entry's header; its bytes are read from the reader until the next is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Number in the tar, from 0.
    pub(crate) number: u64,
    /// As written.
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Type,
    pub(crate) meta: Meta,
    /// Length of the content, holes included.
    pub(crate) size: u64,
    /// Where the stored bytes start in the tar.
    pub(crate) offset: u64,
    /// The stored pieces of a sparse file.
    pub(crate) pieces: Option<Vec<Piece>>,
}

/// Reads a tar entry by entry; itself the reader of the present entry's content.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes taken from the input.
    position: u64,
    number: u64,
    /// Stored bytes of the present entry not read yet, and the padding after them.
    stored: u64,
    padding: u64,
    /// Where the present entry's content was read to.
    at: u64,
    size: u64,
    pieces: Option<Vec<Piece>>,
    globals: Records,
    /// Bytes that entries had of them.
    given: usize,
}

/// What went before an entry to extend it.
#[derive(Default)]
struct Extensions {
    records: Records,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(input: R) -> Self {
        let (globals, given) = (Records::new(), 0);
        Self {
            input,
            position: 0,
            number: 0,
            stored: 0,
            padding: 0,
            at: 0,
            size: 0,
            pieces: None,
            globals,
            given,
        }
    }

    /// The input, somewhere after the last entry read.
    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// The next entry, or nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Header>, Error> {
        self.skip(self.stored)?;
        // Writers that never end their archive leave the last padding out too; as with Go's reader, that is the end.
        self.pass(self.padding)?;
        (self.stored, self.padding) = (0, 0);
        let mut before = Extensions::default();
        loop {
            let Some(block) = self.header_block()? else { return Ok(None) };
            let kind = block[156];
            match kind {
                b'x' | b'X' => {
                    let body = self.extension(&block)?;
                    pax::read(&body, &mut before.records).map_err(|problem| self.wrong(b"", problem))?;
                }
                b'g' => {
                    let body = self.extension(&block)?;
                    let mut records = std::mem::take(&mut self.globals);
                    pax::read(&body, &mut records).map_err(|problem| self.wrong(b"", problem))?;
                    self.globals = records;
                }
                b'L' => before.long_name = Some(fields::name(&self.extension(&block)?).to_vec()),
                b'K' => before.long_link = Some(fields::name(&self.extension(&block)?).to_vec()),
                // A volume's label names no file.
                b'V' => {
                    self.extension(&block)?;
                }
                _ => return self.entry(&block, before).map(Some),
            }
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK], before: Extensions) -> Result<Header, Error> {
        self.given += self.globals.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if self.given > MAX_GLOBAL {
            return Err(self.wrong(b"", "its global headers are too long for so many entries"));
        }
        let mut records = self.globals.clone();
        records.extend(before.records);
        records.retain(|_, value| !value.is_empty());
        let mut name = before.long_name.unwrap_or_else(|| header_name(block));
        name = text(&records, b"GNU.sparse.name").or_else(|| text(&records, b"path")).unwrap_or(name);
        let link = before.long_link.unwrap_or_else(|| fields::name(&block[157..257]).to_vec());
        let link = text(&records, b"linkpath").unwrap_or(link);
        let fail = |problem| Error::Tar { entry: self.number, name: shown(&name), problem };
        let kind =
            kind_of(block, &name).ok_or_else(|| fail(format!("unknown type {:?}", block[156] as char)))?;
        let meta = meta_of(block, &records).map_err(|problem| fail(problem.to_owned()))?;
        let stored = match number(&records, b"size") {
            Some(size) => size.ok_or("a wrong PAX size"),
            None => unsigned(&block[124..136]).ok_or("a wrong size"),
        };
        let stored = match kind {
            // GNU's incremental archives list a directory's names in its body.
            _ if block[156] == b'D' => stored.map_err(|problem| fail(problem.to_owned()))?,
            Type::File => stored.map_err(|problem| fail(problem.to_owned()))?,
            // Some programs give directories and links a size, and none of them any bytes.
            _ => 0,
        };
        if i64::try_from(stored).is_err() {
            return Err(fail("a wrong size".to_owned()));
        }
        let sparse = kind == Type::File && (block[156] == b'S' || records.keys().any(|key| is_sparse(key)));
        (self.stored, self.padding) = (stored, super::padding(stored) as u64);
        (self.at, self.size, self.pieces) = (0, stored, None);
        if sparse {
            self.sparse_map(block, &records).map_err(|problem| match problem {
                Ok(problem) => {
                    Error::Tar { entry: self.number, name: shown(&name), problem: problem.to_owned() }
                }
                Err(error) => error,
            })?;
        }
        let header = Header {
            number: self.number,
            name,
            link,
            kind,
            meta,
            size: self.size,
            offset: self.position,
            pieces: self.pieces.clone(),
        };
        self.number += 1;
        Ok(header)
    }

    fn sparse_map(
        &mut self,
        block: &[u8; BLOCK],
        records: &Records,
    ) -> Result<(), Result<&'static str, Error>> {
        let mut pieces = Vec::new();
        let size;
        if block[156] == b'S' {
            sparse::old_pieces(&block[386..482], 4, &mut pieces).map_err(Ok)?;
            size = unsigned(&block[483..495]);
            let mut more = block[482] != 0;
            while more {
                let next = self.block().map_err(Err)?.ok_or(Ok("a sparse map cut short"))?;
                sparse::old_pieces(&next[..504], 21, &mut pieces).map_err(Ok)?;
                more = next[504] != 0;
                if pieces.len() > 1 << 20 {
                    return Err(Ok("a sparse map too long"));
                }
            }
        } else {
            size = number(records, b"GNU.sparse.realsize")
                .or_else(|| number(records, b"GNU.sparse.size"))
                .flatten();
            if let Some(list) = records.get(pax::SPARSE_LIST) {
                pieces = sparse::listed_pieces(list).map_err(Ok)?;
            } else {
                let mut map = LeadingMap::default();
                pieces = loop {
                    if self.stored < BLOCK as u64 {
                        return Err(Ok("a sparse map cut short"));
                    }
                    let next = self.block().map_err(Err)?.ok_or(Ok("a sparse map cut short"))?;
                    self.stored -= BLOCK as u64;
                    if let Some(pieces) = map.add(&next).map_err(Ok)? {
                        break pieces;
                    }
                };
            }
        }
        let size = size.ok_or(Ok("a sparse file without size"))?;
        sparse::check(&pieces, size, self.stored).map_err(Ok)?;
        self.size = size;
        self.pieces = Some(pieces);
        Ok(())
    }

    /// The next header; nothing at the end of the tar.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if !fields::checksum_holds(&block) {
            return Err(self.wrong(&header_name(&block), "its header's checksum is wrong"));
        }
        Ok(Some(block))
    }

    /// The body of an entry that extends the next one.
    fn extension(&mut self, block: &[u8; BLOCK]) -> Result<Vec<u8>, Error> {
        let size = unsigned(&block[124..136]).filter(|&size| size <= MAX_EXTENSION);
        let size = size.ok_or_else(|| self.wrong(b"", "an extension header of wrong size"))?;
        let mut body = vec![0; size as usize];
        self.fill(&mut body)?;
        self.skip(super::padding(size) as u64)?;
        Ok(body)
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.wrong(b"", "cut short")),
                Ok(count) => filled += count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(stream(cause)),
            }
        }
        self.position += BLOCK as u64;
        Ok(Some(block))
    }

    fn fill(&mut self, room: &mut [u8]) -> Result<(), Error> {
        self.input.read_exact(room).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => self.wrong(b"", "cut short"),
            _ => stream(cause),
        })?;
        self.position += room.len() as u64;
        Ok(())
    }

    fn skip(&mut self, count: u64) -> Result<(), Error> {
        let copied = self.pass(count)?;
        if copied < count { Err(self.wrong(b"", "cut short")) } else { Ok(()) }
    }

    fn pass(&mut self, count: u64) -> Result<u64, Error> {
        let copied = io::copy(&mut (&mut self.input).take(count), &mut io::sink()).map_err(stream)?;
        self.position += copied;
        Ok(copied)
    }

    /// Reads some of the present entry's content, holes as zeros; 0 at its end.
    pub(crate) fn content(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let mut want = room.len().min(left);
        if want == 0 {
            return Ok(0);
        }
        if let Some(pieces) = &self.pieces {
            let next = pieces.iter().find(|(offset, length)| offset + length > self.at);
            let (start, end) =
                next.map_or((self.size, self.size), |(offset, length)| (*offset, offset + length));
            let until = if self.at < start { start } else { end };
            want = want.min(usize::try_from(until - self.at).unwrap_or(usize::MAX));
            if self.at < start {
                room[..want].fill(0);
                self.at += want as u64;
                return Ok(want);
            }
        }
        let count = match self.input.read(&mut room[..want]) {
            Ok(0) => return Err(self.wrong(b"", "cut short")),
            Ok(count) => count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => return self.content(room),
            Err(cause) => return Err(stream(cause)),
        };
        self.at += count as u64;
        self.stored -= count as u64;
        self.position += count as u64;
        Ok(count)
    }

    fn wrong(&self, name: &[u8], problem: &str) -> Error {
        Error::Tar { entry: self.number, name: shown(name), problem: problem.to_owned() }
    }
}

fn stream(cause: io::Error) -> Error {
    Error::Stream { deed: "read", cause }
}

/// A name for people.
pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(300)]).into_owned()
}

fn text(records: &Records, key: &[u8]) -> Option<Vec<u8>> {
    records.get(key).cloned()
}

fn number(records: &Records, key: &[u8]) -> Option<Option<u64>> {
    records.get(key).map(|value| pax::decimal(value))
}

fn unsigned(field: &[u8]) -> Option<u64> {
    fields::number(field).and_then(|number| u64::try_from(number).ok())
}

fn is_sparse(key: &[u8]) -> bool {
    matches!(key, b"GNU.sparse.map" | b"GNU.sparse.major" | b"GNU.sparse.realsize" | b"GNU.sparse.size")
}

/// The name in the header itself, with ustar's prefix.
fn header_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = fields::name(&block[..100]);
    // GNU's magic is `ustar  `; it keeps times where ustar keeps the prefix.
    let prefix = if &block[257..263] == b"ustar\0" { fields::name(&block[345..500]) } else { b"" };
    if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
}

fn kind_of(block: &[u8; BLOCK], name: &[u8]) -> Option<Type> {
    let device = || {
        let number = |field| unsigned(field).and_then(|number| u32::try_from(number).ok());
        Some((number(&block[329..337])?, number(&block[337..345])?))
    };
    Some(match block[156] {
        // Before there was a type for directories, a slash at the end said it.
        0 | b'0' if name.ends_with(b"/") => Type::Dir,
        0 | b'0' | b'7' | b'S' => Type::File,
        b'1' => Type::HardLink,
        b'2' => Type::Symlink,
        b'3' => device().map(|(major, minor)| Type::Char(major, minor))?,
        b'4' => device().map(|(major, minor)| Type::Block(major, minor))?,
        b'5' | b'D' => Type::Dir,
        b'6' => Type::Fifo,
        _ => return None,
    })
}

fn meta_of(block: &[u8; BLOCK], records: &Records) -> Result<Meta, &'static str> {
    let mode = fields::number(&block[100..108]).ok_or("a wrong mode")?;
    let id = |field, key: &[u8]| {
        let id = match number(records, key) {
            Some(id) => id,
            None => unsigned(field),
        };
        // The last one means "no change" to the kernel.
        id.and_then(|id| u32::try_from(id).ok()).filter(|&id| id != u32::MAX)
    };
    let mtime = match records.get(b"mtime".as_slice()) {
        Some(text) => pax::time(text),
        None => fields::number(&block[136..148])
            .and_then(|secs| i64::try_from(secs).ok())
            .map(|s| Time::new(s, 0)),
    };
    let mut xattrs = Xattrs::new();
    for (key, value) in records {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            xattrs.insert(name.to_vec(), value.clone());
        }
    }
    Ok(Meta {
        mode: (mode & 0o7777) as u32,
        uid: id(&block[108..116], b"uid").ok_or("a wrong owner")?,
        gid: id(&block[116..124], b"gid").ok_or("a wrong group")?,
        mtime: mtime.ok_or("a wrong time")?,
        xattrs,
    })
}
