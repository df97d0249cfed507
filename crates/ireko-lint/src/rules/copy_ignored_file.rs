//! COPY and ADD take nothing that the ignore file keeps out: it is not in the context.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::ignore::Patterns;
use ireko_dockerfile::path::clean;
use ireko_dockerfile::{InstructionKind, Word};

pub(crate) static RULE: Rule = Rule {
    name: "CopyIgnoredFile",
    description: "Attempting to Copy file that is excluded by .dockerignore",
    url: "https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/",
    experimental: false,
};

pub(crate) fn check(
    step: &Step,
    (word, path): (&Word, &str),
    ignore: Option<&Patterns>,
    report: &mut Report,
) {
    // Where a pattern lets in again, a directory may be kept out and what is in it not.
    let Some(patterns) = ignore.filter(|patterns| !patterns.is_empty() && !patterns.has_exceptions()) else {
        return;
    };
    if is_remote(path) {
        return;
    }
    let path = clean(path);
    // The context itself is kept out where every name in it is: `*` does that, `.*` does not.
    let probe = if path == "." { "\u{1}" } else { path.as_str() };
    let Some(decision) = patterns.decide(probe).filter(|decision| decision.excluded) else { return };
    let verb = if matches!(step.kind, InstructionKind::Add(_)) { "Add" } else { "Copy" };
    let detail = format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
    let advice = format!(
        "change line {} of the ignore file, `{}`, or let the file in below it by `!{path}`",
        decision.line, decision.pattern
    );
    report.add(&RULE, step.place, Found { span: step.span(word.span), detail, advice });
}

/// Whether the source is no file of the context.
fn is_remote(path: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|scheme| path.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use crate::tests::Case;

    #[test]
    fn what_the_ignore_file_keeps_out() {
        let case = |text: &str, ignore: &str| Case::new("CopyIgnoredFile", text).ignore(ignore);
        case("FROM scratch\nCOPY a/b ./c /\nADD c /\n", "c\na\n").finds(&[
            "2:6: Attempting to Copy file \"a/b\" that is excluded by .dockerignore; change line 2 of the ignore file, `a`, or let the file in below it by `!a/b`",
            "2:10: Attempting to Copy file \"c\" that is excluded by .dockerignore; change line 1 of the ignore file, `c`, or let the file in below it by `!c`",
            "3:5: Attempting to Add file \"c\" that is excluded by .dockerignore; change line 1 of the ignore file, `c`, or let the file in below it by `!c`",
        ]);
        case("FROM scratch AS a\nFROM a\nCOPY --from=a c /\nADD https://c/ /\nCOPY <<c /\nx\nc\n", "**\n")
            .finds(&[]);
        case("FROM scratch\nCOPY . /\n", ".*\n").finds(&[]);
        case("FROM scratch\nCOPY ./ /\n", "*\n").finds(&[
            "2:6: Attempting to Copy file \".\" that is excluded by .dockerignore; change line 1 of the ignore file, `*`, or let the file in below it by `!.`",
        ]);
        case("FROM scratch\nCOPY . a /\n", "**\n!a\n").finds(&[]);
    }
}
