//! Files whose holes a tar leaves out: GNU's old form and the three PAX ones.

use super::{BLOCK, fields, pax};

/// A piece of content: where it lies in the file, and how long it is.
pub(crate) type Piece = (u64, u64);

/// No file is taken to be longer: its holes cost nothing in the tar, but are read and hashed like other bytes.
const MAX: u64 = 1 << 40;

/// The pieces of one old GNU sparse block, from `count` records at its start.
pub(super) fn old_pieces(block: &[u8], count: usize, pieces: &mut Vec<Piece>) -> Result<(), &'static str> {
    for record in block.chunks_exact(24).take(count) {
        if record[0] == 0 {
            break;
        }
        let field = |bytes| fields::number(bytes).and_then(|number| u64::try_from(number).ok());
        match (field(&record[..12]), field(&record[12..])) {
            (Some(offset), Some(length)) => pieces.push((offset, length)),
            _ => return Err("a wrong sparse map"),
        }
    }
    Ok(())
}

/// The pieces of a list `offset,length,offset,length…`.
pub(super) fn listed_pieces(list: &[u8]) -> Result<Vec<Piece>, &'static str> {
    let numbers: Option<Vec<u64>> = list.split(|&byte| byte == b',').map(pax::decimal).collect();
    let numbers = numbers.ok_or("a wrong sparse map")?;
    if numbers.len() % 2 != 0 {
        return Err("a wrong sparse map");
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// The map at the start of a file's data (PAX form 1.0): grows as blocks come, until it is whole.
#[derive(Default)]
pub(super) struct LeadingMap {
    text: Vec<u8>,
}

impl LeadingMap {
    /// Takes one block; the pieces if the map ends in it.
    pub(super) fn add(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Piece>>, &'static str> {
        if self.text.len() > 1 << 20 {
            return Err("a sparse map too long");
        }
        self.text.extend_from_slice(block);
        let mut lines = self.text.split_inclusive(|&byte| byte == b'\n');
        let mut next = || match lines.next().and_then(|line| line.strip_suffix(b"\n")) {
            None => Ok(None),
            Some(line) => pax::decimal(line).map(Some).ok_or("a wrong sparse map"),
        };
        let Some(count) = next()? else { return Ok(None) };
        let mut pieces = Vec::new();
        for _ in 0..count {
            match (next()?, next()?) {
                (Some(offset), Some(length)) => pieces.push((offset, length)),
                _ => return Ok(None),
            }
        }
        Ok(Some(pieces))
    }
}

/// Checks that pieces are in order, within the file, and as long together as what is stored.
pub(super) fn check(pieces: &[Piece], size: u64, stored: u64) -> Result<(), &'static str> {
    let mut end = 0;
    let mut total = 0u64;
    for &(offset, length) in pieces {
        if offset < end {
            return Err("a sparse map out of order");
        }
        end = offset.checked_add(length).ok_or("a wrong sparse map")?;
        total += length;
    }
    if end > size || total != stored || size > MAX {
        return Err("a sparse map that does not fit its file");
    }
    Ok(())
}
