//! A named source text and places in it.

use serde::Serialize;
use std::ops::Range;

/// A half-open range of byte offsets into one source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span over `range`. Offsets beyond 4 GiB are cut to the largest offset.
    pub fn new(range: Range<usize>) -> Self {
        let cut = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: cut(range.start), end: cut(range.end.max(range.start)) }
    }

    /// The span as a range usable for slicing.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether no byte is covered.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A place as people count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
}

/// A source text with its name and the index of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    name: String,
    text: String,
    line_starts: Vec<u32>,
}

impl SourceText {
    /// Takes `text` and finds its lines; a byte order mark belongs to none. `name` is what people call it, usually a
    /// path.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let after_newline = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let first = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let line_starts = std::iter::once(first)
            .chain(after_newline)
            .map(|at| u32::try_from(at).unwrap_or(u32::MAX))
            .collect();
        Self { name: name.into(), text, line_starts }
    }

    /// What people call this text.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text under `span`; empty where the span does not fit the text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or("")
    }

    /// The line, from 1, that holds the byte at `offset`.
    pub fn line_of(&self, offset: u32) -> u32 {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        u32::try_from(line.max(1)).unwrap_or(u32::MAX)
    }

    /// Line and column of the byte at `offset`.
    pub fn position(&self, offset: u32) -> Position {
        let line = self.line_of(offset);
        let start = self.line_starts[line as usize - 1] as usize;
        let before = self.text.as_bytes().get(start..(offset as usize).min(self.text.len())).unwrap_or(&[]);
        let characters = before.iter().filter(|byte| (**byte & 0xc0) != 0x80).count();
        Position { line, column: u32::try_from(characters + 1).unwrap_or(u32::MAX) }
    }

    /// How many lines there are; a final newline does not start one more.
    pub fn line_count(&self) -> u32 {
        let lines = self.line_starts.len() - usize::from(self.text.is_empty() || self.text.ends_with('\n'));
        u32::try_from(lines).unwrap_or(u32::MAX)
    }

    /// The text of line `line` (from 1) without its line ending; empty beyond the end.
    pub fn line(&self, line: u32) -> &str {
        self.slice(self.line_span(line)).trim_end_matches(['\n', '\r'])
    }

    /// The span of line `line` (from 1) with its line ending.
    pub fn line_span(&self, line: u32) -> Span {
        let index = (line as usize).saturating_sub(1);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let start = self.line_starts.get(index).copied().unwrap_or(end);
        Span { start, end: self.line_starts.get(index + 1).copied().unwrap_or(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let text = SourceText::new("Dockerfile", "FROM a\r\nRUN echo é x\n");
        let at = |needle: &str| text.position(u32::try_from(text.text().find(needle).unwrap()).unwrap());
        assert_eq!(at("FROM"), Position { line: 1, column: 1 });
        assert_eq!(at("RUN"), Position { line: 2, column: 1 });
        assert_eq!(at("x"), Position { line: 2, column: 12 });
        assert_eq!(
            (text.line(1), text.line(2), text.line(3), text.line(9)),
            ("FROM a", "RUN echo é x", "", "")
        );
        assert_eq!(text.line_count(), 2);
        assert_eq!(text.position(1000).line, 3);
        let marked = SourceText::new("Dockerfile", "\u{feff}FROM a\n");
        assert_eq!((marked.line(1), marked.position(3)), ("FROM a", Position { line: 1, column: 1 }));
        assert_eq!(marked.position(0), Position { line: 1, column: 1 });
    }
}
