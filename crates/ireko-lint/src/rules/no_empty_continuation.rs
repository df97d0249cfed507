//! No blank line within a continued instruction: a coming version of the syntax may refuse it.

use crate::Input;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::{Place, Spanned};
use ireko_report::Span;
use std::collections::BTreeMap;

pub(crate) static RULE: Rule = Rule {
    name: "NoEmptyContinuation",
    description: "Empty continuation lines will become errors in a future release",
    url: "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/",
    experimental: false,
};

/// The parser has seen them; `end` is where what could be read ends.
pub(crate) fn check(input: &Input, end: u32, report: &mut Report) {
    let source = &input.ast.source;
    let of_rule = || input.diagnostics.iter().filter(|found| found.code == "no-empty-continuation");
    if of_rule().next().is_none() {
        return;
    }
    let places: BTreeMap<u32, &Place> =
        input.ast.places().map(|(_, place)| (place.span.start, place)).collect();
    for whole in of_rule().filter_map(|found| found.span()).filter(|span| span.start < end) {
        let last = source.line_of(whole.end);
        let blank = (source.line_of(whole.start)..=last).find(|line| source.line(*line).trim().is_empty());
        let span = blank.map_or(whole, |line| source.line_span(line));
        // It counts as standing in the instruction's last line, heredocs aside.
        let at = Place {
            span: whole,
            keyword: Spanned::default(),
            lines: last..=last,
            original: String::new(),
            comments: places.get(&whole.start).map(|place| place.comments.clone()).unwrap_or_default(),
        };
        let detail = "Empty continuation line".to_owned();
        let advice = "take the empty line out, or make it a comment".to_owned();
        report.add(&RULE, &at, Found { span: Span { end: span.start, ..span }, detail, advice });
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
        check(
            "NoEmptyContinuation",
            "FROM scratch\n# check=skip=NoEmptyContinuation\nCOPY a \\\n\n /\n",
            &[],
        );
    }
}
