//! What stops planning: one diagnostic, with its place.

use ireko_dockerfile::words::Expanded;
use ireko_report::{Diagnostic, Span, nearest_names};

/// What stops planning.
pub(crate) type Fault = Box<Diagnostic>;

/// An error of the person's text.
pub(crate) fn fault(code: &'static str, message: impl Into<String>, span: Span) -> Fault {
    Box::new(Diagnostic::error(code, message).at(span))
}

/// Adds the names that `wrong` may have meant, where there are near ones.
pub(crate) fn suggest<'a>(mut fault: Fault, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Fault {
    let near = nearest_names(wrong, known);
    if !near.is_empty() {
        fault.hint = Some(format!("did you mean {}?", ticked(&near, " or ")));
    }
    fault
}

/// Says what to do about an argument without a value; `known` are those that may be meant, itself perhaps among them.
pub(crate) fn suggest_argument(fault: Fault, name: &str, known: Vec<&str>) -> Fault {
    let (hint, fault) = match known.contains(&name) {
        true => (format!("give `{name}` a default, or pass it with `--build-arg {name}=…`"), fault),
        false => (format!("declare it above the first FROM: `ARG {name}=…`"), suggest(fault, name, known)),
    };
    Box::new(Diagnostic { hint: fault.hint.clone().or(Some(hint)), ..*fault })
}

/// Adds the stages that `wrong` may have meant, else all there are.
pub(crate) fn suggest_stage<'a>(
    fault: Fault,
    wrong: &str,
    stages: impl IntoIterator<Item = &'a str>,
) -> Fault {
    let stages: Vec<&str> = stages.into_iter().collect();
    let mut fault = suggest(fault, wrong, stages.iter().copied());
    if fault.hint.is_none() && !stages.is_empty() {
        fault.hint = Some(format!("the stages are {}", ticked(&stages, ", ")));
    }
    fault
}

fn ticked(names: &[&str], and: &str) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(and)
}

/// Gives an error its place in the text.
pub(crate) trait Of<T> {
    /// The value, or a fault at `span`.
    fn of(self, span: Span) -> Result<T, Fault>;
}

impl Of<Expanded> for Result<Expanded, ireko_dockerfile::words::Error> {
    fn of(self, span: Span) -> Result<Expanded, Fault> {
        self.map_err(|error| fault("bad-substitution", error.to_string(), span))
    }
}
