//! The cleartext signature framework (RFC 9580, section 7): a text that is read as it is, and its signatures.

use super::armor::{self, BadArmor, Numbered, is_mark, lines, trimmed};

const MESSAGE: &str = "PGP SIGNED MESSAGE";
const SIGNATURE: &str = "PGP SIGNATURE";

/// A clear-signed text taken apart; nothing about it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClearSigned {
    /// What is signed: lines without the spaces at their ends, each ended by `\n`.
    pub(crate) text: Vec<u8>,
    /// The same bytes as they are hashed: line ends are `\r\n`, and the last line has none.
    pub(crate) hashed: Vec<u8>,
    /// The packets of its signatures.
    pub(crate) signatures: Vec<u8>,
}

/// Whether a text looks like one, whatever may be wrong with it.
pub(crate) fn is_clear_signed(text: &[u8]) -> bool {
    lines(text).iter().any(|(_, line)| is_mark(line, "BEGIN", MESSAGE))
}

/// Takes a text apart. There must be one signed part and nothing but blank lines around it: a reader who sees the
/// whole file, such as a person, would believe that the rest is signed too.
pub(crate) fn split(text: &[u8]) -> Result<ClearSigned, BadArmor> {
    let all = lines(text);
    let bad = |line: usize, problem| Err(BadArmor { line, problem });
    let is_blank = |line: &[u8]| trimmed(line).is_empty();
    let blank = all.iter().take_while(|(_, line)| is_blank(line)).count();
    let Some((_, first)) = all.get(blank) else {
        return bad(1, "it is empty");
    };
    if !is_mark(first, "BEGIN", MESSAGE) {
        return bad(all[blank].0, "it does not begin with `-----BEGIN PGP SIGNED MESSAGE-----`");
    }
    let body = &all[blank + 1..];
    let headers = headers(body)?;
    let body = &body[headers + 1..];
    let Some(end) = body.iter().position(|(_, line)| is_mark(line, "BEGIN", SIGNATURE)) else {
        return bad(all.len(), "it ends before its signature");
    };
    let (text, hashed) = content(&body[..end])?;
    let (signatures, length) = armor::block(&body[end..], SIGNATURE)?;
    match body[end + length..].iter().find(|(_, line)| !is_blank(line)) {
        Some((line, next)) if is_mark(next, "BEGIN", MESSAGE) => bad(*line, "there are several signed parts"),
        Some((line, _)) => bad(*line, "text follows its signature"),
        None => Ok(ClearSigned { text, hashed, signatures }),
    }
}

/// How many headers there are before the blank line. Only `Hash` is one: any other would be unsigned text.
fn headers(body: &[Numbered<'_>]) -> Result<usize, BadArmor> {
    for (count, (number, line)) in body.iter().enumerate() {
        if trimmed(line).is_empty() {
            return Ok(count);
        }
        if !line.starts_with(b"Hash:") {
            return Err(BadArmor { line: *number, problem: "a header other than `Hash` is before the text" });
        }
    }
    Err(BadArmor { line: body.len(), problem: "it ends before its text" })
}

fn content(body: &[Numbered<'_>]) -> Result<(Vec<u8>, Vec<u8>), BadArmor> {
    let length = body.iter().map(|(_, line)| line.len() + 2).sum();
    let (mut text, mut hashed) = (Vec::with_capacity(length), Vec::with_capacity(length));
    for (at, (number, line)) in body.iter().enumerate() {
        let line = match line {
            [b'-', b' ', rest @ ..] => rest,
            [b'-', ..] => {
                return Err(BadArmor {
                    line: *number,
                    problem: "a line begins with a dash that is not escaped",
                });
            }
            line => line,
        };
        let line = trimmed(line);
        text.extend_from_slice(line);
        text.push(b'\n');
        if at > 0 {
            hashed.extend_from_slice(b"\r\n");
        }
        hashed.extend_from_slice(line);
    }
    Ok((text, hashed))
}

/// A text as a signature of type 1 hashes it (section 5.2.4): every line ends with `\r\n`.
pub(crate) fn canonical(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'\n' && !(at > 0 && text[at - 1] == b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}
