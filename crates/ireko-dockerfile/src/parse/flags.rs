//! Flags of instructions: which are known, which take a value, and what was given.

use crate::ast::{Spanned, Word};
use ireko_report::{Diagnostic, Span, nearest_names};

/// What a flag takes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Takes {
    /// Nothing, `true` or `false`.
    Bool,
    /// One value.
    One,
    /// A value each time it is given.
    Many,
}

/// The flags given to an instruction, checked against those it knows.
pub(super) struct Flags {
    given: Vec<(&'static str, Word)>,
}

impl Flags {
    /// Warns of each flag of an instruction that has none and does not read them.
    pub(super) fn unread(flags: &[Word], keyword: &str, diagnostics: &mut Vec<Diagnostic>) {
        diagnostics.extend(flags.iter().map(|flag| {
            let message = format!("{keyword} has no flags: {} means nothing", flag.value);
            Diagnostic::warning("unknown-flag", message).at(flag.span).with_hint("take it out")
        }));
    }

    /// Checks the flags; what is wrong goes to `diagnostics` and is left out.
    pub(super) fn read(
        flags: &[Word],
        known: &[(&'static str, Takes)],
        keyword: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut given: Vec<(&'static str, Word)> = Vec::new();
        for flag in flags {
            let body = flag.value.get(2..).unwrap_or("");
            let (name, value) =
                body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
            let Some((name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                diagnostics.push(unknown(name, known, keyword, flag.span));
                continue;
            };
            let twice = given.iter().any(|(other, _)| other == name) && *takes != Takes::Many;
            let problem = match (takes, value) {
                _ if twice => Some(format!("duplicate flag specified: --{name}")),
                (Takes::Bool, None) => None,
                (Takes::Bool, Some("")) | (_, None) => Some(format!("missing a value on flag: --{name}")),
                (Takes::Bool, Some(value)) if !is_bool(value) => {
                    Some(format!("expecting boolean value for flag --{name}, not: {value}"))
                }
                _ => None,
            };
            match problem {
                Some(message) => {
                    let wrong = Diagnostic::error("flag", message).at(flag.span);
                    let hint = (value.is_none() && !twice).then(|| format!("write --{name}=VALUE"));
                    diagnostics.push(Diagnostic { hint, ..wrong });
                }
                None => given.push((name, value_word(flag, name, value))),
            }
        }
        Self { given }
    }

    /// The value given for a flag.
    pub(super) fn one(&self, name: &str) -> Option<Word> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, word)| word.clone())
    }

    /// All values given for a flag.
    pub(super) fn many(&self, name: &str) -> Vec<Word> {
        self.given.iter().filter(|(given, _)| *given == name).map(|(_, word)| word.clone()).collect()
    }

    /// What a boolean flag was set to, where it was given.
    pub(super) fn bool(&self, name: &str) -> Option<bool> {
        self.one(name).map(|word| !word.value.eq_ignore_ascii_case("false"))
    }
}

fn is_bool(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

/// The value with the span of the value alone, where quotes or line breaks do not hide its place.
fn value_word(flag: &Word, name: &str, value: Option<&str>) -> Word {
    let value = value.unwrap_or("").to_owned();
    let exact = flag.span.range().len() == flag.value.len();
    let start = flag.span.range().start + name.len() + 3;
    let span = if exact && start <= flag.span.range().end {
        Span::new(start..flag.span.range().end)
    } else {
        flag.span
    };
    Spanned { value, span }
}

fn unknown(name: &str, known: &[(&'static str, Takes)], keyword: &str, span: Span) -> Diagnostic {
    let near = nearest_names(name, known.iter().map(|(name, _)| *name));
    let hint = match (near.first(), known.is_empty()) {
        (Some(near), _) => format!("did you mean --{near}?"),
        (None, true) => format!("{keyword} has no flags"),
        (None, false) => {
            let names: Vec<String> = known.iter().map(|(name, _)| format!("--{name}")).collect();
            format!("{keyword} knows {}", names.join(", "))
        }
    };
    Diagnostic::error("unknown-flag", format!("unknown flag: --{name}")).at(span).with_hint(hint)
}
