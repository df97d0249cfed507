//! What is wrong with a text the person wrote: several at once, each with its places.

use crate::{Blame, Span};
use serde::Serialize;
use std::borrow::Cow;

/// How serious a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The build cannot go on.
    Error,
    /// The build goes on; the person should know.
    Warning,
    /// Worth a word.
    Note,
}

/// A place, and what is to be said about it. The first label of a diagnostic is its main place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is said there; empty where pointing is enough.
    pub text: String,
}

/// One thing to say about a source text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How serious it is.
    pub severity: Severity,
    /// A stable name, kebab-case: `unknown-instruction`.
    pub code: Cow<'static, str>,
    /// What is wrong, lower case, the subject in backticks, no full stop.
    pub message: String,
    /// Places, the main one first; may be empty.
    pub labels: Vec<Label>,
    /// More that helps to understand it, one line each.
    pub notes: Vec<String>,
    /// What to do next: one sentence.
    pub hint: Option<String>,
    /// Whose fault it is.
    pub blame: Blame,
}

impl Diagnostic {
    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        let (message, code) = (message.into(), Cow::Borrowed(code));
        Self {
            severity,
            code,
            message,
            labels: Vec::new(),
            notes: Vec::new(),
            hint: None,
            blame: Blame::User,
        }
    }

    /// An error about the person's text.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning about the person's text.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// A remark about the person's text.
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    /// Adds a place with nothing said about it.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        self.label(span, "")
    }

    /// Adds a place and what is to be said there.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a line that helps to understand it.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says whose fault it is, where it is not the person's.
    #[must_use]
    pub fn with_blame(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }

    /// The main place, if there is one.
    pub fn span(&self) -> Option<Span> {
        self.labels.first().map(|label| label.span)
    }

    /// Whether the build cannot go on.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The names of `known` that `wrong` was probably meant to be, nearest first, at most three.
///
/// Case does not count. A name is near when a third of its letters at most (two at least) must be
/// changed, left out, added or swapped with a neighbour.
pub fn nearest_names<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wrong = wrong.to_lowercase();
    let limit = (wrong.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (edits(&wrong, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, name)| name).take(3).collect()
}

/// Whether `wrong` is `name` misspelt, closely enough to act on it: one letter is wrong, in long names a third of them.
pub fn is_misspelt(wrong: &str, name: &str) -> bool {
    let limit = (wrong.chars().count() / 3).max(1);
    let distance = edits(&wrong.to_lowercase(), &name.to_lowercase());
    distance > 0 && distance <= limit && distance < name.chars().count()
}

/// Edit distance with swaps of neighbours counted as one.
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut older = vec![0; right.len() + 1];
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut current = vec![i + 1; right.len() + 1];
        for (j, b) in right.iter().enumerate() {
            let changed = previous[j] + usize::from(a != b);
            current[j + 1] = changed.min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                current[j + 1] = current[j + 1].min(older[j - 1] + 1);
            }
        }
        older = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_are_near() {
        let known = ["RUN", "COPY", "FROM", "WORKDIR", "ENTRYPOINT", "ENV"];
        assert_eq!(nearest_names("FORM", known), ["FROM"]);
        assert_eq!(nearest_names("wrokdri", known), ["WORKDIR"]);
        assert_eq!(nearest_names("EVN", known), ["ENV", "RUN"]);
        assert!(nearest_names("BANANA", known).is_empty());
        assert!(nearest_names("", known).is_empty());
    }

    #[test]
    fn a_slip_is_nearer_than_near() {
        for (wrong, name, expect) in [
            ("bulid", "build", true),
            ("vendr", "Vendor", true),
            ("biuldre", "builder", true),
            ("php", "app", false),
            ("build", "build", false),
            ("b", "a", false),
        ] {
            assert_eq!(is_misspelt(wrong, name), expect, "{wrong} {name}");
        }
    }

    #[test]
    fn diagnostics_are_built_by_adding() {
        let found = Diagnostic::error("unknown-instruction", "unknown instruction `FORM`")
            .at(Span { start: 1, end: 5 })
            .with_hint("did you mean `FROM`?");
        assert!(found.is_error());
        assert_eq!(found.span(), Some(Span { start: 1, end: 5 }));
        assert_eq!(found.blame.exit_code(), 2);
    }
}
