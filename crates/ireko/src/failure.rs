//! How a command fails: what went wrong, whose fault it is, and what to do next.

use ireko_report::{Blame, Diagnostic, SourceText};
use std::fmt::Display;

/// A failed command. It is printed once, at the top, and decides the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What failed, lower case, no full stop.
    pub(crate) message: String,
    /// Why, outermost first; never repeats the message.
    pub(crate) causes: Vec<String>,
    /// Further lines below: a frame of the Dockerfile, the end of a log.
    pub(crate) details: Vec<String>,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// Whose fault it is.
    pub(crate) blame: Blame,
    /// An exit code that the command's own rules ask for (`run`: 125 to 127).
    pub(crate) code: Option<u8>,
}

impl Failure {
    fn new(blame: Blame, message: impl Display) -> Self {
        let message = message.to_string();
        Self { message, causes: Vec::new(), details: Vec::new(), hint: None, blame, code: None }
    }

    /// The input is wrong.
    pub(crate) fn user(message: impl Display) -> Self {
        Self::new(Blame::User, message)
    }

    /// The machine is wrong.
    pub(crate) fn environment(message: impl Display) -> Self {
        Self::new(Blame::Environment, message)
    }

    /// Somebody pressed Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::new(Blame::Interrupted, "interrupted")
    }

    /// What a flag asks for does not work yet.
    pub(crate) fn not_yet(what: impl Display) -> Self {
        Self::user(format!("{what} is not supported yet"))
    }

    /// An error of a library, with its causes.
    pub(crate) fn of(blame: Blame, error: &dyn std::error::Error) -> Self {
        let mut failure = Self::new(blame, error);
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }

    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    pub(crate) fn cause(mut self, cause: impl Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.code.unwrap_or_else(|| self.blame.exit_code())
    }

    /// What stands on standard error.
    pub(crate) fn render(&self) -> String {
        let mut out = format!("error: {}\n", self.message);
        for cause in &self.causes {
            out.push_str(&format!("caused by: {cause}\n"));
        }
        for line in &self.details {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("hint: {hint}\n"));
        }
        out
    }
}

impl From<Vec<Diagnostic>> for Failure {
    /// Several mistakes in one text, without the text.
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        let blame =
            diagnostics.iter().find(|found| found.is_error()).map_or(Blame::User, |found| found.blame);
        let mut messages =
            diagnostics.iter().filter(|found| found.is_error()).map(|found| found.message.clone());
        let first = messages.next().unwrap_or_default();
        let mut failure = Self::new(blame, first);
        failure.details = messages.map(|message| format!("error: {message}")).collect();
        failure
    }
}

/// The failure that the errors among `diagnostics` make, each with its place in `source`.
pub(crate) fn in_source(diagnostics: &[Diagnostic], source: &SourceText) -> Failure {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|found| found.is_error()).collect();
    let Some(first) = errors.first() else { return Failure::new(Blame::Bug, "an error without a message") };
    let mut failure = Failure::new(first.blame, &first.message);
    failure.details = frame(first, source);
    failure.hint.clone_from(&first.hint);
    for other in &errors[1..] {
        if let Some(hint) = failure.hint.take() {
            failure.details.push(format!("hint: {hint}"));
        }
        failure.details.push(format!("error: {}", other.message));
        failure.details.extend(frame(other, source));
        failure.hint.clone_from(&other.hint);
    }
    failure
}

/// The lines of the source that a diagnostic points at, with a mark below each label.
pub(crate) fn frame(diagnostic: &Diagnostic, source: &SourceText) -> Vec<String> {
    let mut lines = Vec::new();
    for label in &diagnostic.labels {
        let place = source.position(label.span.start);
        let text = source.line(place.line).trim_end_matches(['\r', '\n']);
        let number = place.line.to_string();
        let gap = " ".repeat(number.len());
        if lines.is_empty() {
            lines.push(format!("{gap}--> {}:{}:{}", source.name(), place.line, place.column));
        }
        lines.push(format!("{number} | {}", text.replace('\t', " ")));
        let before = place.column.saturating_sub(1) as usize;
        let room = text.chars().count().saturating_sub(before).max(1);
        let covered = source.slice(label.span).chars().take_while(|char| *char != '\n').count();
        let mark = "^".repeat(covered.clamp(1, room));
        lines.push(format!("{gap} | {}{mark} {}", " ".repeat(before), label.text).trim_end().to_owned());
    }
    lines.extend(diagnostic.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// The Dockerfile's lines from `first` to `last`, the way an error frame shows the instruction that failed.
pub(crate) fn instruction_frame(source: &SourceText, first: u32, last: u32) -> Vec<String> {
    const SHOWN: u32 = 12;
    let width = last.to_string().len();
    let mut lines = vec![format!("{}--> {}:{first}", " ".repeat(width), source.name())];
    for number in first..=last.min(first + SHOWN - 1) {
        let text = source.line(number);
        lines.push(format!("{number:>width$} | {}", text.trim_end_matches(['\r', '\n'])));
    }
    if last >= first + SHOWN {
        lines.push(format!("{} | … {} more lines", " ".repeat(width), last + 1 - first - SHOWN));
    }
    lines
}
