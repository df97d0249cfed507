//! No blank line within a continued instruction: a coming version of the syntax may refuse it.

use crate::Input;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::{Place, Spanned};
use ireko_report::Span;

pub(crate) static RULE: Rule = Rule {
    name: "NoEmptyContinuation",
    description: "Empty continuation lines will become errors in a future release",
    url: "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/",
    experimental: false,
};

/// The parser has seen them.
pub(crate) fn check(input: &Input, report: &mut Report) {
    let source = &input.ast.source;
    let of_rule = input.diagnostics.iter().filter(|found| found.code == "no-empty-continuation");
    for whole in of_rule.filter_map(|found| found.span()) {
        let last = source.line_of(whole.end);
        let blank = (source.line_of(whole.start)..=last).find(|line| source.line(*line).trim().is_empty());
        let span = blank.map_or(whole, |line| source.line_span(line));
        // It counts as standing in the instruction's last line, heredocs aside.
        let at = Place {
            span: whole,
            keyword: Spanned::default(),
            lines: last..=last,
            original: String::new(),
            comments: Vec::new(),
        };
        let detail = "Empty continuation line".to_owned();
        let advice = "take the empty line out, or make it a comment".to_owned();
        report.add_for_file(&RULE, &at, Found { span: Span { end: span.start, ..span }, detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn blank_lines() {
        check(
            "NoEmptyContinuation",
            "FROM scratch\nCOPY a \\\n\n /\nCOPY a \\\n# why\n /\n",
            &["4@3:1: Empty continuation line; take the empty line out, or make it a comment"],
        );
        // A comment of one instruction does not count, the one of the file does; what cannot be read leaves the rest.
        let text = "FROM scratch\n# check=skip=NoEmptyContinuation\nCOPY a \\\n\n /\nRNU x\n";
        let found = "5@4:1: Empty continuation line; take the empty line out, or make it a comment";
        check("NoEmptyContinuation", text, &[found]);
        check("NoEmptyContinuation", &format!("# check=skip=NoEmptyContinuation\n{text}"), &[]);
    }
}
