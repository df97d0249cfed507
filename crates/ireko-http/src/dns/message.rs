//! Questions to a name server and its answers, as bytes (RFC 1035).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Response code: fine.
pub(super) const NO_ERROR: u8 = 0;
/// Response code: no such name.
pub(super) const NO_NAME: u8 = 3;
const CLASS_INTERNET: u16 = 1;
/// A name of 255 bytes has at most this many labels; more pointers than that are a loop.
const HOPS_MAX: usize = 128;

/// The record asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: u8,
    pub(super) truncated: bool,
    pub(super) addresses: Vec<IpAddr>,
}

/// Whether a name can be asked for.
pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The bytes of a question; the name must satisfy [`is_name`], longer labels are cut.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 18);
    bytes.extend(id.to_be_bytes());
    // A standard query, recursion desired; one question and nothing else.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(label.len() as u8);
        bytes.extend(label);
    }
    bytes.push(0);
    bytes.extend((kind as u16).to_be_bytes());
    bytes.extend(CLASS_INTERNET.to_be_bytes());
    bytes
}

/// Reads an answer; nothing if it is malformed or answers another question.
pub(super) fn answer(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let is_response = bytes.get(2)? & 0x80 != 0;
    if word(0)? != id || !is_response || word(4)? != 1 {
        return None;
    }
    let (asked, mut at) = read_name(bytes, 12)?;
    if !asked.eq_ignore_ascii_case(name) || word(at)? != kind as u16 {
        return None;
    }
    at += 4;
    let mut result = Answer { code: bytes[3] & 0x0f, truncated: bytes[2] & 0x02 != 0, addresses: Vec::new() };
    if result.truncated {
        return Some(result);
    }
    for _ in 0..word(6)? {
        let (_, head) = read_name(bytes, at)?;
        let (record, class) = (word(head)?, word(head + 2)?);
        let start = head + 10;
        let data = bytes.get(start..start + usize::from(word(head + 8)?))?;
        at = start + data.len();
        if record == kind as u16 && class == CLASS_INTERNET {
            result.addresses.push(address(kind, data)?);
        }
    }
    Some(result)
}

fn address(kind: Kind, data: &[u8]) -> Option<IpAddr> {
    match kind {
        Kind::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        Kind::Aaaa => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
    }
}

/// A name and where it ends; names may continue elsewhere in the message.
fn read_name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut name) = (start, None, String::new());
    for _ in 0..HOPS_MAX {
        let length = usize::from(*bytes.get(at)?);
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + length)?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label));
                at += 1 + length;
            }
            0xc0.. => {
                end.get_or_insert(at + 2);
                at = ((length & 0x3f) << 8) | usize::from(*bytes.get(at + 1)?);
            }
            _ => return None,
        }
    }
    None
}
