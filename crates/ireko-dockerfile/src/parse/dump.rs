//! Dockerfiles as s-expressions in the form of BuildKit's parser, to be compared with it.

use super::bytes::Text;
use super::lines::Lines;
use super::raw::{self, Form, Raw};
use crate::ast::Heredoc;
use ireko_report::Diagnostic;

/// What BuildKit's parser would show of a Dockerfile, before instructions are understood.
#[derive(Debug)]
pub struct Dump {
    /// One s-expression a line.
    pub text: String,
    /// The escape character.
    pub escape: char,
    /// Heredocs of each instruction.
    pub heredocs: Vec<Vec<Heredoc>>,
    /// First and last line of each instruction.
    pub lines: Vec<(u32, u32)>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Splits a Dockerfile; the first thing wrong ends it.
pub fn dump(text: &[u8]) -> Result<Dump, Box<Diagnostic>> {
    let text = Text::new("Dockerfile", text)?;
    let mut lines = Lines::new(&text);
    lines.diagnostics.extend(text.long_line());
    let mut dump =
        Dump { text: String::new(), escape: '\\', heredocs: vec![], lines: vec![], warnings: vec![] };
    while let Some(logical) = lines.logical() {
        if logical.blank_continuation {
            dump.warnings.push(format!("Empty continuation line found in: {}", logical.text));
        }
        let raw = raw::read(logical, &mut lines)?;
        dump.text.push_str(&format!("({})\n", expression(&raw)));
        dump.lines.push((raw.first_line, raw.last_line));
        dump.heredocs.push(raw.heredocs);
    }
    if let Some(error) = lines.diagnostics.into_iter().find(Diagnostic::is_error) {
        return Err(Box::new(error));
    }
    if dump.lines.is_empty() {
        return Err(Box::new(Diagnostic::error("empty", "file with no instructions")));
    }
    dump.escape = lines.escape;
    dump.text.truncate(dump.text.trim_end().len());
    Ok(dump)
}

fn expression(raw: &Raw) -> String {
    let mut text = raw.keyword.value.to_lowercase();
    if !raw.flags.is_empty() {
        let flags: Vec<String> = raw.flags.iter().map(|flag| quoted(&flag.value)).collect();
        text.push_str(&format!(" [{}]", flags.join(" ")));
    }
    if let Some(inner) = &raw.inner {
        return format!("{text} ({})", expression(inner));
    }
    let separator = match raw.form {
        Form::Pairs { spaced: true } => Some("\"\""),
        Form::Pairs { spaced: false } => Some("\"=\""),
        Form::Plain | Form::Json => None,
    };
    for (index, arg) in raw.args.iter().enumerate() {
        text.push_str(&format!(" {}", quoted(&arg.value)));
        if let Some(separator) = separator.filter(|_| index % 2 == 1) {
            text.push_str(&format!(" {separator}"));
        }
    }
    if raw.is_unknown() {
        text.push_str(" \"\"");
    }
    text
}

/// A text between double quotes, as Go quotes it.
fn quoted(text: &str) -> String {
    let mut result = "\"".to_owned();
    for ch in text.chars() {
        match ch {
            '"' | '\\' => result.extend(['\\', ch]),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push_str("\\t"),
            '\u{7}' => result.push_str("\\a"),
            '\u{8}' => result.push_str("\\b"),
            '\u{b}' => result.push_str("\\v"),
            '\u{c}' => result.push_str("\\f"),
            control if control.is_ascii_control() => {
                result.push_str(&format!("\\x{:02x}", u32::from(control)))
            }
            other => result.push(other),
        }
    }
    result.push('"');
    result
}
