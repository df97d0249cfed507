//! PAX headers: what a following entry, or all of them, say beyond ustar.

use std::collections::BTreeMap;

use crate::Time;

/// Records by key. A record with an empty value takes back an earlier one.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys of the oldest sparse form, repeated once per piece; kept as one list.
pub(super) const SPARSE_LIST: &[u8] = b"GNU.sparse.map";

/// Reads the records of one PAX header into `into`.
pub(super) fn read(mut bytes: &[u8], into: &mut Records) -> Result<(), &'static str> {
    let mut pieces: Vec<u8> = Vec::new();
    while !bytes.is_empty() {
        let space =
            bytes.iter().take(20).position(|&byte| byte == b' ').ok_or("a PAX record without length")?;
        let length = decimal(&bytes[..space]).ok_or("a PAX record without length")?;
        let length = usize::try_from(length).map_err(|_| "a PAX record too long")?;
        if length > bytes.len() || length < space + 2 {
            return Err("a PAX record of wrong length");
        }
        let record = bytes[space + 1..length].strip_suffix(b"\n").ok_or("a PAX record without end")?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or("a PAX record without `=`")?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if matches!(key, b"path" | b"linkpath") && value.contains(&0) {
            return Err("a PAX name with a zero byte");
        }
        match key {
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                if !pieces.is_empty() {
                    pieces.push(b',');
                }
                pieces.extend_from_slice(value);
            }
            _ => {
                into.insert(key.to_vec(), value.to_vec());
            }
        }
        bytes = &bytes[length..];
    }
    if !pieces.is_empty() {
        into.insert(SPARSE_LIST.to_vec(), pieces);
    }
    Ok(())
}

/// A decimal number.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A time: `seconds[.fraction]`, negative before 1970.
pub(super) fn time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let secs: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    Some(match (negative, nanos) {
        (true, 1..) => Time { secs: secs.checked_sub(1)?, nanos: 1_000_000_000 - nanos },
        _ => Time { secs, nanos },
    })
}
