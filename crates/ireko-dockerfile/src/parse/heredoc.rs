//! Heredocs: which words of a line ask for one, and the lines that belong to it.

use super::lines::{Lines, Logical};
use super::raw::Raw;
use crate::ast::{Heredoc, Spanned};
use crate::words::{Empty, Lexer};
use ireko_report::{Diagnostic, Span};

/// What `<<NAME` says.
pub(crate) struct Operator {
    pub(crate) name: String,
    pub(crate) expand: bool,
    pub(crate) chomp: bool,
    pub(crate) descriptor: u32,
}

/// Reads a word as a heredoc operator: `[n]<<[-]NAME`. `Ok(None)` where it is another word.
pub(crate) fn operator(word: &str) -> Result<Option<Operator>, String> {
    let digits = word.len() - word.trim_start_matches(|ch: char| ch.is_ascii_digit()).len();
    let Some(after) = word[digits..].strip_prefix("<<") else { return Ok(None) };
    let (chomp, name) = match after.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, after),
    };
    let name = name.trim_start();
    if name.is_empty() || name.contains('<') {
        return Ok(None);
    }
    let lexer = Lexer::new('\\').skip_unset();
    let plain = lexer.word(name, &Empty).map_err(|error| error.reason)?.words;
    let raw = lexer.raw_quotes().word(name, &Empty).map_err(|error| error.reason)?.words;
    let ([plain], [raw]) = (plain.as_slice(), raw.as_slice()) else { return Ok(None) };
    // Quotes that vanish are quotes that quote: the text is then not expanded.
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = quotes(plain) == quotes(raw);
    Ok(Some(Operator { name: plain.clone(), expand, chomp, descriptor: word[..digits].parse().unwrap_or(0) }))
}

/// Takes the lines of all heredocs that the line asks for.
pub(super) fn read_all(
    raw: &mut Raw,
    logical: &Logical,
    lines: &mut Lines<'_>,
) -> Result<(), Box<Diagnostic>> {
    let lexer = Lexer::new('\\').raw_quotes().raw_escapes().skip_unset();
    let words = lexer.word(&logical.text, &Empty).map(|expanded| expanded.words).unwrap_or_default();
    let mut from = 0;
    for word in words {
        let at = logical.text[from..].find(&word).map_or(from, |offset| from + offset);
        let range = at..(at + word.len()).min(logical.text.len());
        let span =
            if logical.text.is_char_boundary(range.end) { logical.span_of(range.clone()) } else { raw.span };
        let found = operator(&word).map_err(|reason| {
            Diagnostic::error("heredoc", format!("wrong heredoc `{word}`: {reason}")).at(span)
        })?;
        if let Some(operator) = found {
            let heredoc = read_one(operator, span, lines, raw)?;
            raw.heredocs.push(heredoc);
        }
        if logical.text.is_char_boundary(range.end) {
            from = range.end;
        }
    }
    Ok(())
}

fn read_one(
    operator: Operator,
    span: Span,
    lines: &mut Lines<'_>,
    raw: &mut Raw,
) -> Result<Heredoc, Box<Diagnostic>> {
    let Operator { name, expand, chomp, descriptor } = operator;
    let text = lines.text.source.text();
    let mut content: Option<Span> = None;
    while let Some((number, line)) = lines.physical() {
        let content = content.get_or_insert(Span { start: line.start, end: line.start });
        let bare = text[line.range()].trim_end_matches(['\n', '\r']);
        raw.last_line = number;
        raw.span.end = line.start + u32::try_from(bare.len()).unwrap_or(0);
        let ends = if chomp { bare.trim_start_matches('\t') } else { bare };
        if ends == name {
            let original = lines.text.bytes(*content);
            let content = Spanned { value: text[content.range()].to_owned(), span: *content };
            return Ok(Heredoc { span, name, content, original, expand, chomp, descriptor });
        }
        content.end = line.end;
    }
    let hint = format!("end the text by a line that reads `{name}` and nothing else");
    let unterminated = Diagnostic::error("heredoc", "unterminated heredoc");
    Err(Box::new(unterminated.label(span, format!("no line below reads `{name}`")).with_hint(hint)))
}
