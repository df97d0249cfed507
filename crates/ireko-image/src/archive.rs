//! The tar around an image: a reader for archives from anywhere, and the headers of those written here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use tar::{EntryType, Header};

/// Long names and PAX records beyond this size belong to no image.
const EXTENSION_MAX: u64 = 64 << 10;
const BLOCK: u64 = 512;

/// What an archive is read from.
pub(crate) trait Stream: Read {
    /// Goes on by so many bytes.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

/// A file, in which bytes nobody asks for are not read.
pub(crate) struct Seeking(pub(crate) File);

impl Read for Seeking {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Stream for Seeking {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = i64::try_from(bytes).map_err(|_| damaged("an entry is larger than any file"))?;
        self.0.seek(SeekFrom::Current(bytes)).map(drop)
    }
}

/// Anything else.
pub(crate) struct Passing<R>(pub(crate) R);

impl<R: Read> Read for Passing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read> Stream for Passing<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match io::copy(&mut self.0.by_ref().take(bytes), &mut io::sink())? {
            passed if passed == bytes => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// What a member is, as far as images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    File,
    /// A link to this name of the archive.
    Link(String),
    Other,
}

/// One member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its clean name; empty where the name leads out of the archive.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) size: u64,
    /// Where its bytes begin.
    pub(crate) offset: u64,
}

/// Reads an archive member by member; between two calls of [`Members::next`] it yields the member's bytes.
pub(crate) struct Members<S> {
    stream: S,
    position: u64,
    left: u64,
    padding: u64,
}

impl<S: Stream> Members<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, position: 0, left: 0, padding: 0 }
    }

    /// The next member that is not merely about another one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let (mut name, mut target, mut size) = (None, None, None);
        loop {
            self.stream.skip(self.left)?;
            match self.stream.skip(self.padding) {
                // An archive that was never ended lacks its last padding too.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                skipped => skipped?,
            }
            self.position += self.left + self.padding;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            self.left = header.entry_size()?;
            self.padding = self.left.next_multiple_of(BLOCK) - self.left;
            match kind {
                EntryType::GNULongName => name = Some(trimmed(self.extension()?)),
                EntryType::GNULongLink => target = Some(trimmed(self.extension()?)),
                EntryType::XHeader => {
                    let records = self.extension()?;
                    for (key, value) in pax(&records) {
                        match key {
                            b"path" => name = Some(value.to_vec()),
                            b"linkpath" => target = Some(value.to_vec()),
                            b"size" => {
                                size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok())
                            }
                            _ => {}
                        }
                    }
                }
                EntryType::XGlobalHeader => {}
                _ => {
                    if let Some(size) = size {
                        self.left = size;
                        self.padding = self.left.checked_next_multiple_of(BLOCK).unwrap_or(size) - size;
                    }
                    let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
                    let target = target.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
                    return Ok(Some(self.member(kind, &name, target.unwrap_or_default())));
                }
            }
        }
    }

    fn member(&self, kind: EntryType, name: &[u8], target: Vec<u8>) -> Member {
        let name = clean(&String::from_utf8_lossy(name)).unwrap_or_default();
        let target = String::from_utf8_lossy(&target).into_owned();
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let role = match kind {
            EntryType::Regular | EntryType::Continuous => Role::File,
            EntryType::Symlink => clean(&format!("{folder}/{target}")).map_or(Role::Other, Role::Link),
            EntryType::Link => clean(&target).map_or(Role::Other, Role::Link),
            _ => Role::Other,
        };
        Member { role, size: self.left, offset: self.position, name }
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.stream.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        self.position += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        match header.cksum() {
            Ok(noted) if noted == sum => Ok(Some(header)),
            _ => Err(damaged("a header's checksum is wrong")),
        }
    }

    fn extension(&mut self) -> io::Result<Vec<u8>> {
        if self.left > EXTENSION_MAX {
            return Err(damaged("a name is longer than any path"));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl<S: Stream> Read for Members<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let read = self.stream.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        self.position += read as u64;
        Ok(read)
    }
}

fn damaged(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// The records of a PAX header; what does not read as one ends the list.
fn pax(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut records = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse::<usize>().ok());
        let Some(length) = length.filter(|length| *length > space + 1 && *length <= bytes.len()) else {
            break;
        };
        let record = &bytes[space + 1..length - 1];
        if let Some(equals) = record.iter().position(|byte| *byte == b'=') {
            records.push((&record[..equals], &record[equals + 1..]));
        }
        bytes = &bytes[length..];
    }
    records
}

/// A name within an archive without `.`, `..` and doubled slashes; nothing where it leads out.
pub(crate) fn clean(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The header of a member written here: the same bytes for the same content, at any time, by anybody.
pub(crate) fn header(name: &str, kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_path(name).expect("names written here are short and relative");
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// Zeros that fill the last block of a member.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
    let short = (BLOCK - size % BLOCK) % BLOCK;
    &ZEROS[..usize::try_from(short).expect("less than a block")]
}

/// The end of an archive.
pub(crate) const END: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];

#[cfg(test)]
mod tests;
