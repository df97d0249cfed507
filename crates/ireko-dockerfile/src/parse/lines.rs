//! Lines: directives, comments, and instructions joined over their continuation lines.

use super::bytes::Text;
use crate::ast::{Comment, Directive, DirectiveKind, Spanned};
use ireko_report::{Diagnostic, SourceText, Span};

/// An instruction as one line, and where each part of it stands in the source.
pub(super) struct Logical {
    pub(super) text: String,
    /// Pairs of an offset into `text` and the source offset of what begins there.
    pieces: Vec<(usize, usize)>,
    pub(super) span: Span,
    pub(super) first_line: u32,
    pub(super) last_line: u32,
    pub(super) comments: Vec<String>,
    pub(super) blank_continuation: bool,
}

impl Logical {
    /// Where a byte of the line stands in the source.
    fn source_offset(&self, offset: usize) -> usize {
        let after = self.pieces.partition_point(|(start, _)| *start <= offset);
        let (start, source) = self.pieces[after.max(1) - 1];
        source + (offset - start.min(offset))
    }

    /// Where a range of the line stands in the source.
    pub(super) fn span_of(&self, range: std::ops::Range<usize>) -> Span {
        let start = self.source_offset(range.start);
        // The end is one past the last byte, which may lie on an earlier line than what follows.
        let end = if range.end > range.start { self.source_offset(range.end - 1) + 1 } else { start };
        Span::new(start..end)
    }
}

/// Hands out logical lines; heredocs take physical lines from it in between.
pub(super) struct Lines<'a> {
    pub(super) text: &'a Text,
    /// The next physical line, from 1.
    next: u32,
    pub(super) escape: char,
    directives_done: bool,
    pub(super) directives: Vec<Directive>,
    pub(super) comments: Vec<Comment>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a Text) -> Self {
        Self {
            text,
            next: 1,
            escape: '\\',
            directives_done: false,
            directives: Vec::new(),
            comments: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// The next physical line with its ending.
    pub(super) fn physical(&mut self) -> Option<(u32, Span)> {
        if self.next > self.text.source.line_count() {
            return None;
        }
        let line = self.next;
        self.next += 1;
        Some((line, self.text.source.line_span(line)))
    }

    /// The physical line that was handed out last.
    pub(super) fn last(&self) -> u32 {
        self.next - 1
    }

    /// The next instruction.
    pub(super) fn logical(&mut self) -> Option<Logical> {
        let mut comments = Vec::new();
        loop {
            let (line, span) = self.physical()?;
            let (text, start) = content(&self.text.source, span, true);
            if text.starts_with('#') {
                self.comment_or_directive(text, start, &mut comments);
                continue;
            }
            self.directives_done = true;
            if text.is_empty() {
                continue;
            }
            return Some(self.joined(text, start, line, comments));
        }
    }

    fn joined(&mut self, text: &str, start: usize, line: u32, comments: Vec<String>) -> Logical {
        let mut logical = Logical {
            text: String::new(),
            pieces: Vec::new(),
            span: Span::new(start..start + text.len()),
            first_line: line,
            last_line: line,
            comments,
            blank_continuation: false,
        };
        let mut goes_on = self.push_piece(&mut logical, text, start);
        while goes_on {
            let Some((line, span)) = self.physical() else { break };
            let (text, start) = content(&self.text.source, span, false);
            logical.last_line = line;
            logical.span.end = Span::new(start..start + text.len()).end;
            let trimmed = text.trim_start();
            if let Some(words) = trimmed.strip_prefix('#') {
                let span = Span::new(start + text.len() - trimmed.len()..start + text.len());
                self.comments.push(Comment { span, text: words.trim().to_owned() });
            } else if trimmed.is_empty() {
                logical.blank_continuation = true;
            } else {
                goes_on = self.push_piece(&mut logical, text, start);
            }
        }
        logical
    }

    /// Adds a physical line; says whether the next one belongs to the instruction as well.
    fn push_piece(&self, logical: &mut Logical, text: &str, start: usize) -> bool {
        let kept = continued(text, self.escape);
        logical.pieces.push((logical.text.len(), start));
        logical.text.push_str(kept.unwrap_or(text));
        kept.is_some()
    }

    fn comment_or_directive(&mut self, text: &str, start: usize, comments: &mut Vec<String>) {
        let span = Span::new(start..start + text.len());
        if !self.directives_done {
            if let Some(directive) = directive(text, start) {
                self.directive(Directive { span, ..directive });
                return;
            }
            self.directives_done = true;
        }
        let words = text[1..].trim();
        self.comments.push(Comment { span, text: words.to_owned() });
        if words.is_empty() {
            comments.clear();
        } else {
            comments.push(words.to_owned());
        }
    }

    fn directive(&mut self, directive: Directive) {
        if let Some(first) = self.directives.iter().find(|other| other.kind == directive.kind) {
            let name = match directive.kind {
                DirectiveKind::Syntax => "syntax",
                DirectiveKind::Escape => "escape",
                DirectiveKind::Check => "check",
            };
            self.diagnostics.push(
                Diagnostic::error("directive", format!("only one {name} parser directive can be used"))
                    .at(directive.span)
                    .label(first.span, "the first one"),
            );
        } else if directive.kind == DirectiveKind::Escape {
            match directive.value.value.as_str() {
                "\\" => self.escape = '\\',
                "`" => self.escape = '`',
                wrong => self.diagnostics.push(
                    Diagnostic::error(
                        "directive",
                        format!("invalid escape token '{wrong}' does not match ` or \\"),
                    )
                    .at(directive.value.span),
                ),
            }
        }
        self.directives.push(directive);
    }
}

/// A physical line without its ending, and its source offset.
fn content(source: &SourceText, span: Span, trim_start: bool) -> (&str, usize) {
    let text = source.slice(span).trim_end_matches(['\n', '\r']);
    let kept = if trim_start { text.trim_start() } else { text };
    (kept, span.range().start + text.len() - kept.len())
}

/// The line without its continuation mark, where it has one: an escape character at the end,
/// spaces and tabs after it allowed, no escape character before it.
fn continued(line: &str, escape: char) -> Option<&str> {
    let kept = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!kept.ends_with(escape)).then_some(kept)
}

/// `# name = value` for the names that are directives.
fn directive(text: &str, start: usize) -> Option<Directive> {
    let (name, value) = text[1..].split_once('=')?;
    let kind = match name.trim().to_ascii_lowercase().as_str() {
        "syntax" => DirectiveKind::Syntax,
        "escape" => DirectiveKind::Escape,
        "check" => DirectiveKind::Check,
        _ => return None,
    };
    let trimmed = value.trim();
    let at = start + text.len() - value.trim_start().len();
    let span = Span::new(at..at + trimmed.len());
    let value = Spanned { value: trimmed.to_owned(), span };
    (!trimmed.is_empty()).then_some(Directive { span, kind, value })
}
