//! One paragraph of a list, as text, and the fields that every user of it wants.

use super::MultiArch;
use memchr::memchr;

/// How much a package belongs to a system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// `required`
    Required,
    /// `important`
    Important,
    /// `standard`
    Standard,
    /// `optional`
    Optional,
    /// `extra`, and all that is not one of the others.
    Extra,
    /// Nothing is said.
    #[default]
    Unknown,
}

impl Priority {
    fn parse(text: &str) -> Self {
        let names = ["required", "important", "standard", "optional"];
        let known = [Self::Required, Self::Important, Self::Standard, Self::Optional];
        let found = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        found.map_or(Self::Extra, |at| known[at])
    }
}

/// A paragraph as text. Its fields are looked for when they are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stanza<'a> {
    text: &'a str,
}

impl<'a> Stanza<'a> {
    /// Takes the text of one paragraph.
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// As it is written.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The value of a field, whatever the case of its name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        fields(self.text).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Where it is, below the archive's root.
    pub fn filename(&self) -> Option<&'a str> {
        self.get("Filename")
    }

    /// How many bytes the package has.
    pub fn size(&self) -> Option<u64> {
        self.get("Size")?.parse().ok()
    }

    /// The hash of the package, in hexadecimal digits.
    pub fn sha256(&self) -> Option<&'a str> {
        self.get("SHA256")
    }
}

/// The fields of one paragraph. What is no field is passed over.
fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let mut end = line_end(rest, 0);
            while matches!(rest.as_bytes().get(end), Some(b' ' | b'\t')) {
                end = line_end(rest, end);
            }
            let (field, after) = rest.split_at(end);
            rest = after;
            match field.split_once(':') {
                Some((name, value)) if !field.starts_with('#') => return Some((name, value.trim_ascii())),
                _ => {}
            }
        }
        None
    })
}

/// Where the line that begins at `from` ends, its newline included.
fn line_end(text: &str, from: usize) -> usize {
    memchr(b'\n', &text.as_bytes()[from..]).map_or(text.len(), |at| from + at + 1)
}

/// The fields that decide what is chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    pub(super) architecture: &'a str,
    pub(super) multi: &'a str,
    pub(super) priority: &'a str,
    pub(super) status: &'a str,
    pub(super) essential: &'a str,
    /// `Important` or `Protected`.
    pub(super) important: &'a str,
    pub(super) source: &'a str,
    pub(super) size: &'a str,
    pub(super) pre_depends: &'a str,
    pub(super) depends: &'a str,
    pub(super) conflicts: &'a str,
    pub(super) breaks: &'a str,
    pub(super) recommends: &'a str,
    pub(super) suggests: &'a str,
    pub(super) replaces: &'a str,
    pub(super) enhances: &'a str,
    pub(super) provides: &'a str,
}

impl<'a> Fields<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut &'a str> {
        // The first letter and the length tell most of them apart, and most lines are none of them.
        let slot = match (name.as_bytes()[0] | 0x20, name.len()) {
            (b'p', 7) => (&mut self.package, "package"),
            (b'v', 7) => (&mut self.version, "version"),
            (b'a', 12) => (&mut self.architecture, "architecture"),
            (b'm', 10) => (&mut self.multi, "multi-arch"),
            (b'p', 8) if name.eq_ignore_ascii_case("provides") => (&mut self.provides, "provides"),
            (b'p', 8) => (&mut self.priority, "priority"),
            (b's', 6) if name.eq_ignore_ascii_case("status") => (&mut self.status, "status"),
            (b's', 6) => (&mut self.source, "source"),
            (b's', 4) => (&mut self.size, "size"),
            (b'e', 9) => (&mut self.essential, "essential"),
            (b'i', 9) => (&mut self.important, "important"),
            (b'p', 9) => (&mut self.important, "protected"),
            (b'p', 11) => (&mut self.pre_depends, "pre-depends"),
            (b'd', 7) => (&mut self.depends, "depends"),
            (b'c', 9) => (&mut self.conflicts, "conflicts"),
            (b'b', 6) => (&mut self.breaks, "breaks"),
            (b'r', 10) => (&mut self.recommends, "recommends"),
            (b's', 8) => (&mut self.suggests, "suggests"),
            (b'r', 8) if name.eq_ignore_ascii_case("replaces") => (&mut self.replaces, "replaces"),
            (b'e', 8) => (&mut self.enhances, "enhances"),
            _ => return None,
        };
        name.eq_ignore_ascii_case(slot.1).then_some(slot.0)
    }

    pub(super) fn multi(&self) -> MultiArch {
        match self.multi {
            // What is of no architecture cannot be beside itself.
            "same" if self.architecture != "all" => MultiArch::Same,
            "foreign" => MultiArch::Foreign,
            "allowed" => MultiArch::Allowed,
            _ => MultiArch::No,
        }
    }

    pub(super) fn priority(&self) -> Priority {
        match self.priority {
            "" => Priority::Unknown,
            text => Priority::parse(text),
        }
    }

    pub(super) fn size(&self) -> u32 {
        self.size.parse().unwrap_or(0)
    }
}

/// A line that is no field, and where it is.
#[derive(Debug)]
pub(super) struct Stray<'a> {
    pub(super) at: usize,
    pub(super) line: &'a str,
}

/// The paragraph that begins at or after `from`: where it begins and ends, and its fields. Lists are long, so this looks
/// at the beginnings of lines only.
pub(super) fn next_stanza(text: &str, from: usize) -> Result<Option<(usize, usize, Fields<'_>)>, Stray<'_>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            // The same bytes that make a line empty below: else a paragraph without lines would be read for ever.
            byte if byte.is_ascii_whitespace() => at += 1,
            b'#' => at = line_end(text, at),
            _ => break,
        }
    }
    if at == text.len() {
        return Ok(None);
    }
    let start = at;
    let mut fields = Fields::default();
    // Where a value begins whose end is not known yet, and the name before it.
    while at < text.len() {
        let mut end = line_end(text, at);
        let line = &text[at..end];
        if line.trim_ascii().is_empty() {
            break;
        }
        if line.starts_with('#') {
            at = end;
            continue;
        }
        let name = match memchr(b':', line.as_bytes()) {
            Some(colon) if colon > 0 && !line.as_bytes()[..colon].iter().any(u8::is_ascii_whitespace) => {
                &line[..colon]
            }
            _ => return Err(Stray { at, line }),
        };
        while matches!(bytes.get(end), Some(b' ' | b'\t')) {
            let next = line_end(text, end);
            if text[end..next].trim_ascii().is_empty() {
                break;
            }
            end = next;
        }
        if let Some(slot) = fields.slot(name) {
            *slot = text[at + name.len() + 1..end].trim_ascii();
        }
        at = end;
    }
    Ok(Some((start, at, fields)))
}
