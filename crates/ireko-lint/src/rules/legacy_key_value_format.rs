//! `ENV name=value`, not `ENV name value`: the old form takes one pair only and hides where the value begins.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Pair;

pub(crate) static RULE: Rule = Rule {
    name: "LegacyKeyValueFormat",
    description: "Legacy key/value format with whitespace separator should not be used",
    url: "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/",
    experimental: false,
};

pub(crate) fn check(step: &Step, pairs: &[Pair], report: &mut Report) {
    for pair in pairs.iter().filter(|pair| pair.spaced) {
        let word = step.keyword;
        let detail =
            format!("\"{word} key=value\" should be used instead of legacy \"{word} key value\" format");
        let value = &pair.value.value;
        // One string in quotes stays one.
        let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let is_string = inner.is_some_and(|inner| !inner.contains(['"', '\'', '\\', '\n']));
        let quoted = value.contains(char::is_whitespace) && !is_string;
        let odd = !is_string && value.contains(['"', '\'', '\\', '\n']);
        let advice = match (quoted, value.len() > 80 || odd) {
            (_, true) => format!("write `{word} {}=\"value\"`", pair.name.value),
            (true, false) => format!("write `{word} {}=\"{value}\"`", pair.name.value),
            (false, false) => format!("write `{word} {}={value}`", pair.name.value),
        };
        let span = step.span(pair.name.span.to(pair.value.span));
        report.add(&RULE, step.place, Found { span, detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn pairs_with_a_space() {
        let rule = "LegacyKeyValueFormat";
        check(
            rule,
            "FROM scratch\nENV a b\nLABEL a b c\nENV a=b\nLABEL k \"v w\"\n",
            &[
                "2:5: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format; write `ENV a=b`",
                "3:7: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format; write `LABEL a=\"b c\"`",
                "5:7: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format; write `LABEL k=\"v w\"`",
            ],
        );
        check(rule, "FROM scratch\n# check=skip=LegacyKeyValueFormat\nENV a b\n", &[]);
    }
}
