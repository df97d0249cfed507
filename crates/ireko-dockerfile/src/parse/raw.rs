//! Instructions as words: keyword, flags and arguments, each keyword with its own way to split.

use super::heredoc;
use super::lines::{Lines, Logical};
use crate::ast::{Heredoc, Spanned, Word};
use crate::json::{self, NotStrings};
use ireko_report::{Diagnostic, Span};
use std::ops::Range;

/// How the arguments of an instruction were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Words, or one text.
    Plain,
    /// A JSON array.
    Json,
    /// Pairs of name and value.
    Pairs { spaced: bool },
}

/// An instruction, split but not understood.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) keyword: Word,
    pub(crate) flags: Vec<Word>,
    pub(crate) args: Vec<Word>,
    pub(crate) form: Form,
    /// The instruction inside ONBUILD.
    pub(crate) inner: Option<Box<Raw>>,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) span: Span,
    pub(crate) first_line: u32,
    pub(crate) last_line: u32,
    pub(crate) original: String,
    pub(crate) comments: Vec<String>,
}

impl Raw {
    pub(crate) fn name(&self) -> String {
        self.keyword.value.to_ascii_uppercase()
    }

    /// Whether the keyword is none.
    pub(super) fn is_unknown(&self) -> bool {
        !super::instruction::KEYWORDS.contains(&self.name().as_str())
    }

    fn takes_heredocs(&self) -> bool {
        let inner = self.inner.as_deref().unwrap_or(self);
        matches!(inner.name().as_str(), "ADD" | "COPY" | "RUN") && inner.form != Form::Json
    }
}

/// The white space that separates a keyword from its arguments and plain words from each other.
/// Not all that Unicode calls white space.
fn is_gap(ch: char) -> bool {
    matches!(ch, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Splits a line, and takes the heredocs that follow it. `Err` where the line cannot be split.
pub(super) fn read(logical: Logical, lines: &mut Lines<'_>) -> Result<Raw, Box<Diagnostic>> {
    let end = logical.text.trim_end().len();
    let mut raw = split(&logical, 0..end, lines.escape, true)?;
    raw.span = Span { end: logical.span.end.max(raw.span.end), ..logical.span };
    raw.last_line = logical.last_line;
    raw.comments.clone_from(&logical.comments);
    if raw.takes_heredocs() && logical.text.contains("<<") {
        heredoc::read_all(&mut raw, &logical, lines)?;
        if let Some(inner) = &mut raw.inner {
            inner.heredocs.clone_from(&raw.heredocs);
        }
    }
    Ok(raw)
}

/// Splits `range` of the line. ONBUILD's instruction is split in turn, but not twice.
fn split(logical: &Logical, range: Range<usize>, escape: char, outer: bool) -> Result<Raw, Box<Diagnostic>> {
    let text = &logical.text[range.clone()];
    let keyword_len = text.find(is_gap).unwrap_or(text.len());
    let word = |from: usize, to: usize| Spanned {
        value: logical.text[from..to].to_owned(),
        span: logical.span_of(from..to),
    };
    let keyword = word(range.start, range.start + keyword_len);
    let after = range.start + keyword_len;
    let flags_start = after + leading(&logical.text[after..range.end], is_gap);
    let (flags, rest_start) = flags(logical, flags_start..range.end);
    let rest_start = rest_start + leading(&logical.text[rest_start..range.end], char::is_whitespace);
    let rest = rest_start..range.end;
    let mut raw = Raw {
        keyword,
        flags,
        args: Vec::new(),
        form: Form::Plain,
        inner: None,
        heredocs: Vec::new(),
        span: logical.span_of(range.clone()),
        first_line: logical.first_line,
        last_line: logical.last_line,
        original: text.trim().to_owned(),
        comments: Vec::new(),
    };
    let splitter = Splitter { logical, escape };
    match raw.name().as_str() {
        "FROM" | "EXPOSE" => raw.args = splitter.gaps(rest),
        "ARG" => raw.args = splitter.words(rest),
        "ENV" | "LABEL" => (raw.args, raw.form) = splitter.pairs(rest, &raw.name())?,
        "ADD" | "COPY" | "VOLUME" => (raw.args, raw.form) = splitter.json_or(rest, Splitter::gaps)?,
        "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" => {
            (raw.args, raw.form) = splitter.json_or(rest, Splitter::whole)?
        }
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => raw.args = splitter.whole(rest),
        "HEALTHCHECK" => (raw.args, raw.form) = splitter.healthcheck(rest)?,
        "ONBUILD" if !rest.is_empty() && outer => {
            raw.inner = Some(Box::new(split(logical, rest, escape, false)?))
        }
        _ => {}
    }
    Ok(raw)
}

/// `name=value` as its two halves; no second half where there is no `=`.
pub(super) fn halves(word: &Word) -> (Word, Option<Word>) {
    let Some((name, value)) = word.value.split_once('=') else { return (word.clone(), None) };
    // Over a line break the halves cannot be told apart by length; each gets the whole span then.
    let exact = word.span.range().len() == word.value.len();
    let cut = word.span.range().start + name.len();
    let half = |range: Range<usize>| if exact { Span::new(range) } else { word.span };
    let name = Spanned { value: name.to_owned(), span: half(word.span.range().start..cut) };
    let value = Spanned { value: value.to_owned(), span: half(cut + 1..word.span.range().end) };
    (name, Some(value))
}

fn leading(text: &str, skip: impl Fn(char) -> bool) -> usize {
    text.len() - text.trim_start_matches(skip).len()
}

/// Flags at the start of `range`: words that begin with `--`, quotes and backslashes taken off.
/// A lone `--` ends them. Returns where they end, too.
fn flags(logical: &Logical, range: Range<usize>) -> (Vec<Word>, usize) {
    let mut flags = Vec::new();
    let mut at = range.start;
    loop {
        at += leading(&logical.text[at..range.end], char::is_whitespace);
        if !logical.text[at..range.end].starts_with("--") {
            return (flags, at);
        }
        let (value, length) = flag(&logical.text[at..range.end]);
        let start = at;
        at += length;
        if value == "--" {
            return (flags, at);
        }
        flags.push(Spanned { value, span: logical.span_of(start..at) });
    }
}

/// The first flag of `text`, and how long it is there.
fn flag(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, ch)) = chars.next() {
        match ch {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            _ if quote == Some(ch) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(ch),
            _ if quote.is_none() && ch.is_whitespace() => return (value, at),
            _ => value.push(ch),
        }
    }
    (value, text.len())
}

struct Splitter<'a> {
    logical: &'a Logical,
    escape: char,
}

impl Splitter<'_> {
    fn text(&self, range: &Range<usize>) -> &str {
        &self.logical.text[range.clone()]
    }

    fn word(&self, range: Range<usize>) -> Word {
        Spanned { value: self.text(&range).to_owned(), span: self.logical.span_of(range) }
    }

    /// All of it as one word; none where it is empty.
    fn whole(&self, range: Range<usize>) -> Vec<Word> {
        if range.is_empty() { vec![] } else { vec![self.word(range)] }
    }

    /// Words between gaps; quotes mean nothing.
    fn gaps(&self, range: Range<usize>) -> Vec<Word> {
        let mut words = Vec::new();
        let mut at = range.start;
        while at < range.end {
            at += leading(self.text(&(at..range.end)), is_gap);
            let end = self.text(&(at..range.end)).find(is_gap).map_or(range.end, |length| at + length);
            if end > at {
                words.push(self.word(at..end));
            }
            at = end;
        }
        words
    }

    /// Words between spaces that are neither quoted nor escaped. Quotes and escapes stay, but an
    /// escape as the last character is dropped.
    fn words(&self, range: Range<usize>) -> Vec<Word> {
        let mut words = Vec::new();
        let mut start = None;
        let mut quote = None;
        let text = self.text(&range);
        let mut end = range.end;
        let mut chars = text.char_indices();
        while let Some((offset, ch)) = chars.next() {
            let at = range.start + offset;
            if ch.is_whitespace() && quote.is_none() {
                words.extend(start.take().map(|start| self.word(start..at)));
                continue;
            }
            start.get_or_insert(at);
            if ch == self.escape && quote != Some('\'') {
                if chars.next().is_none() {
                    end = at;
                }
            } else if quote == Some(ch) {
                quote = None;
            } else if quote.is_none() && matches!(ch, '\'' | '"') {
                quote = Some(ch);
            }
        }
        let last = start.map(|start| self.word(start..end)).filter(|word| !word.value.is_empty());
        words.extend(last);
        words
    }

    /// `name=value …`, or the old `name value`.
    fn pairs(&self, range: Range<usize>, keyword: &str) -> Result<(Vec<Word>, Form), Box<Diagnostic>> {
        let words = self.words(range.clone());
        let Some(first) = words.first() else { return Ok((vec![], Form::Pairs { spaced: false })) };
        if !first.value.contains('=') {
            let text = self.text(&range);
            let gap = text.find(is_gap).ok_or_else(|| {
                let hint = format!("write {keyword} {}=value", first.value);
                let wrong = Diagnostic::error("syntax", format!("{keyword} must have two arguments"));
                Box::new(wrong.at(first.span).with_hint(hint))
            })?;
            let value = range.start + gap + leading(&text[gap..], is_gap);
            let pair = vec![self.word(range.start..range.start + gap), self.word(value..range.end)];
            return Ok((pair, Form::Pairs { spaced: true }));
        }
        let mut args = Vec::new();
        for word in words {
            let (name, Some(value)) = halves(&word) else {
                let message = format!(
                    "Syntax error - can't find = in {:?}. Must be of the form: name=value",
                    word.value
                );
                return Err(Box::new(Diagnostic::error("syntax", message).at(word.span)));
            };
            args.extend([name, value]);
        }
        Ok((args, Form::Pairs { spaced: false }))
    }

    fn json_or(
        &self,
        range: Range<usize>,
        other: impl Fn(&Self, Range<usize>) -> Vec<Word>,
    ) -> Result<(Vec<Word>, Form), Box<Diagnostic>> {
        match json::string_array(self.text(&range)) {
            Ok(items) => {
                let at = |span: Span| {
                    self.logical.span_of(range.start + span.range().start..range.start + span.range().end)
                };
                let words = items.into_iter().map(|item| Spanned { span: at(item.span), value: item.value });
                Ok((words.collect(), Form::Json))
            }
            Err(NotStrings::NotJson) => Ok((other(self, range), Form::Plain)),
            Err(NotStrings::OtherValues) => {
                let message = "when using JSON array syntax, arrays must be comprised of strings only";
                Err(Box::new(Diagnostic::error("syntax", message).at(self.logical.span_of(range))))
            }
        }
    }

    /// The type, then a command in either form.
    fn healthcheck(&self, range: Range<usize>) -> Result<(Vec<Word>, Form), Box<Diagnostic>> {
        if range.is_empty() {
            return Ok((vec![], Form::Plain));
        }
        let text = self.text(&range);
        let kind_end = range.start + text.find(char::is_whitespace).unwrap_or(text.len());
        let command = kind_end + leading(self.text(&(kind_end..range.end)), char::is_whitespace);
        let (args, form) = self.json_or(command..range.end, Self::whole)?;
        Ok((std::iter::once(self.word(range.start..kind_end)).chain(args).collect(), form))
    }
}
