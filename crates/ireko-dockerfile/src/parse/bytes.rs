//! Bytes to text: what is UTF-8, what is not, and lines that nobody else reads.

use ireko_report::{Diagnostic, SourceText, Span};

/// BuildKit reads lines into a buffer of 64 KiB; what does not fit, it refuses.
const MAX_LINE: usize = 64 * 1024;

/// A Dockerfile as text. A byte that is no UTF-8 stands in it as U+FFFD, as Go's JSON writes it into a config.
pub(super) struct Text {
    pub(super) source: SourceText,
    /// Each such byte, and the offset of what stands for it in the text.
    invalid: Vec<(usize, u8)>,
}

impl Text {
    /// Takes the bytes of a Dockerfile. `Err` where they are another encoding.
    pub(super) fn new(name: &str, bytes: &[u8]) -> Result<Self, Box<Diagnostic>> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            let message = "the Dockerfile is UTF-16, and has to be UTF-8";
            let hint = "save it as UTF-8 (PowerShell: `Out-File -Encoding utf8`)";
            return Err(Box::new(Diagnostic::error("not-utf8", message).at(Span::new(0..0)).with_hint(hint)));
        }
        let mut text = String::with_capacity(bytes.len());
        let mut invalid = Vec::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                invalid.push((text.len(), *byte));
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        Ok(Self { source: SourceText::new(name, text), invalid })
    }

    /// The bytes under `span` as they were written, where they are not UTF-8.
    pub(super) fn bytes(&self, span: Span) -> Option<Vec<u8>> {
        let invalid = self.invalid_in(span);
        let mut at = span.range().start;
        let mut bytes = Vec::new();
        for (offset, byte) in invalid {
            bytes.extend_from_slice(&self.source.text().as_bytes()[at..*offset]);
            bytes.push(*byte);
            at = offset + char::REPLACEMENT_CHARACTER.len_utf8();
        }
        bytes.extend_from_slice(self.source.text().as_bytes().get(at..span.range().end)?);
        (!invalid.is_empty()).then_some(bytes)
    }

    /// The first byte under `span` that is not UTF-8 and for which `counts` holds.
    pub(super) fn first_invalid(&self, span: Span, counts: impl Fn(u32) -> bool) -> Option<Span> {
        let place = |offset: usize| Span::new(offset..offset + char::REPLACEMENT_CHARACTER.len_utf8());
        self.invalid_in(span).iter().map(|(offset, _)| place(*offset)).find(|place| counts(place.start))
    }

    fn invalid_in(&self, span: Span) -> &[(usize, u8)] {
        let before = |end: u32| self.invalid.partition_point(|(offset, _)| *offset < end as usize);
        self.invalid.get(before(span.start)..before(span.end)).unwrap_or(&[])
    }

    /// What is wrong with the first line that is too long.
    pub(super) fn long_line(&self) -> Option<Diagnostic> {
        let grown = char::REPLACEMENT_CHARACTER.len_utf8() - 1;
        let (line, span) = (1..=self.source.line_count())
            .map(|line| (line, self.source.line_span(line)))
            .find(|(_, span)| {
                let length = span.range().len() - grown * self.invalid_in(*span).len();
                let ended = usize::from(self.source.slice(*span).ends_with('\n'));
                length >= MAX_LINE + ended
            })?;
        let message = format!("dockerfile line greater than max allowed size of {}", MAX_LINE - 1);
        let hint = format!("break line {line} with `\\`, or COPY what is in it from a file");
        Some(Diagnostic::error("line-too-long", message).at(Span { end: span.start, ..span }).with_hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_LINE;
    use crate::ast::{InstructionKind, RunForm, Source};
    use crate::parse::parse;
    use ireko_report::Severity;

    /// Severity, code and line of what is found.
    fn found(text: &[u8]) -> Vec<(Severity, String, u32)> {
        let (ast, diagnostics) = parse("Dockerfile", text);
        let line = |found: &ireko_report::Diagnostic| ast.source.line_of(found.span().unwrap().start);
        diagnostics.iter().map(|found| (found.severity, found.code.to_string(), line(found))).collect()
    }

    #[test]
    fn bytes_of_another_encoding() {
        let text = b"# caf\xe9\nFROM scratch\n# \xe9\nCOPY <<'A' <<B /\n\xe9$x\nA\n\xe2\x82b\nB\nRUN <<C\n#!/b\n\t\xff\nC\n";
        let (ast, diagnostics) = parse("Dockerfile", text);
        assert_eq!(found(text), [(Severity::Warning, "not-utf8".to_owned(), 7)], "{diagnostics:?}");
        let kinds: Vec<_> = ast.stages[0].instructions.iter().map(|instruction| &instruction.kind).collect();
        let [InstructionKind::Copy(copy), InstructionKind::Run(run)] = kinds[..] else { panic!("{kinds:?}") };
        let [Source::Heredoc(literal), Source::Heredoc(expanded)] = &copy.sources[..] else {
            panic!("{copy:?}")
        };
        assert_eq!((literal.bytes(), literal.text().as_str()), (b"\xe9$x\n".to_vec(), "\u{fffd}$x\n"));
        // One for each byte.
        assert_eq!(expanded.text(), "\u{fffd}\u{fffd}b\n");
        let script = RunForm::Script { name: "C".to_owned(), content: b"#!/b\n\t\xff\n".to_vec() };
        assert_eq!(run.form(), script);
        let chomped = parse("Dockerfile", b"FROM scratch\nRUN <<-C\n\t#!/b\n\t\xff\n\tC\n").0;
        let InstructionKind::Run(run) = &chomped.stages[0].instructions[0].kind else {
            panic!("{chomped:?}")
        };
        assert_eq!(run.heredocs[0].bytes(), b"#!/b\n\xff\n");

        assert_eq!(found(b"FROM scratch\nLABEL a=\xe9\n"), [(Severity::Warning, "not-utf8".to_owned(), 2)]);
        assert_eq!(found(b"\xff\xfeF\0R\0O\0M\0"), [(Severity::Error, "not-utf8".to_owned(), 1)]);
    }

    #[test]
    fn lines_longer_than_others_read() {
        let line =
            |length: usize, end: &str| format!("FROM scratch\n#{}{end}", "x".repeat(length - 1)).into_bytes();
        assert_eq!(found(&line(MAX_LINE - 1, "")), []);
        assert_eq!(found(&line(MAX_LINE - 1, "\nUSER a\n")), []);
        assert_eq!(found(&line(MAX_LINE, "")), [(Severity::Error, "line-too-long".to_owned(), 2)]);
        assert_eq!(found(&line(MAX_LINE, "\n")), [(Severity::Error, "line-too-long".to_owned(), 2)]);
        // What counts is what stands in the file.
        let mut bytes = line(MAX_LINE - 1, "\n");
        bytes[20..30].fill(0xff);
        assert_eq!(found(&bytes), []);
    }
}
