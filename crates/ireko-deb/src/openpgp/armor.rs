//! Armour: packets as text (RFC 9580, section 6).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What a text's armour is wrong about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadArmor {
    /// The line, counted from one.
    pub(crate) line: usize,
    pub(crate) problem: &'static str,
}

/// Padding may be left out, as some programs do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Lines with their numbers, counted from one.
pub(crate) type Numbered<'a> = (usize, &'a [u8]);

/// The lines of a text, without their ends.
pub(crate) fn lines(text: &[u8]) -> Vec<Numbered<'_>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n').enumerate().map(|(at, line)| (at + 1, line)).collect()
}

/// A line without the spaces at its end, which no signature covers (section 7.2).
pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).map_or(0, |at| at + 1);
    &line[..end]
}

/// Whether a line begins or ends a block of this kind.
pub(crate) fn is_mark(line: &[u8], which: &str, kind: &str) -> bool {
    let inner = trimmed(line).strip_prefix(b"-----").and_then(|rest| rest.strip_suffix(b"-----"));
    let rest = inner.and_then(|inner| inner.strip_prefix(which.as_bytes()));
    rest.and_then(|rest| rest.strip_prefix(b" ")) == Some(kind.as_bytes())
}

/// Reads the block whose first line is the first of these. Says what it holds, and how many lines it takes.
pub(crate) fn block(lines: &[Numbered<'_>], kind: &str) -> Result<(Vec<u8>, usize), BadArmor> {
    let bad = |line: usize, problem| Err(BadArmor { line, problem });
    let first = lines.first().map_or(0, |(line, _)| *line);
    let Some(length) = lines.iter().position(|(_, line)| is_mark(line, "END", kind)) else {
        return bad(first, "the block has no end");
    };
    let inner = lines.get(1..length).unwrap_or_default();
    let is_header = |line: &[u8]| line.windows(2).any(|pair| pair == b": ") || line.ends_with(b":");
    let headers = inner.iter().take_while(|(_, line)| is_header(trimmed(line))).count();
    let mut text = Vec::new();
    let mut checksum = false;
    for (number, line) in &inner[headers..] {
        match trimmed(line) {
            [] if text.is_empty() => {}
            // Section 6.1: the checksum is not to be held against a block any more.
            [b'=', sum @ ..] if sum.len() == 4 => checksum = true,
            _ if checksum => return bad(*number, "the block goes on behind its checksum"),
            line => text.extend_from_slice(line),
        }
    }
    match BASE64.decode(&text) {
        Ok(bytes) => Ok((bytes, length + 1)),
        Err(_) => bad(first, "the block is not base64"),
    }
}
