//! `AS` is written as its `FROM` is.

use crate::report::{Found, Report, Rule};
use ireko_dockerfile::{Ast, Stage};
use ireko_report::Span;

pub(crate) static RULE: Rule = Rule {
    name: "FromAsCasing",
    description: "The 'as' keyword should match the case of the 'from' keyword",
    url: "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
    experimental: false,
};

pub(crate) fn check(ast: &Ast, stage: &Stage, report: &mut Report) {
    let from = stage.at.keyword.value.as_str();
    let Some(span) = place(ast, stage) else { return };
    let word = ast.source.slice(span);
    let (lower, upper) = (word.to_ascii_lowercase(), word.to_ascii_uppercase());
    // A FROM in mixed letters is another rule's.
    let right = match (from == from.to_lowercase(), from == from.to_uppercase()) {
        (true, _) => lower,
        (_, true) => upper,
        _ => return,
    };
    if word != right {
        let detail = format!("'{word}' and '{from}' keywords' casing do not match");
        report.add(
            &RULE,
            &stage.at,
            Found { span, detail, advice: format!("write `{right}` after `{from}`") },
        );
    }
}

/// Where `AS` stands: between the base and the name.
fn place(ast: &Ast, stage: &Stage) -> Option<Span> {
    let name = stage.from.name.as_ref()?;
    let (start, end) = (stage.from.base.span.range().end, name.span.range().start);
    let between = ast.source.text().get(start..end)?;
    // Comments in a continued line may say `as` too, each on a line of its own.
    let mut at = start;
    for line in between.split_inclusive('\n') {
        let text = line.trim_start();
        if text.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("as")) {
            let from = at + line.len() - text.len();
            return Some(Span::new(from..from + 2));
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn keywords_that_differ() {
        check(
            "FromAsCasing",
            "FROM scratch as a\nfrom scratch AS b\nFROM scratch AS c\nfrom scratch as d\n",
            &[
                "1:14: 'as' and 'FROM' keywords' casing do not match; write `AS` after `FROM`",
                "2:14: 'AS' and 'from' keywords' casing do not match; write `as` after `from`",
            ],
        );
        check(
            "FromAsCasing",
            "FROM scratch As a\nFrom scratch as b\n",
            &["1:14: 'As' and 'FROM' keywords' casing do not match; write `AS` after `FROM`"],
        );
        check(
            "FromAsCasing",
            "FROM scratch \\\n# as said\n as \\\n a\n",
            &["1-4@3:2: 'as' and 'FROM' keywords' casing do not match; write `AS` after `FROM`"],
        );
        check("FromAsCasing", "FROM scratch\nFROM as\n", &[]);
    }
}
