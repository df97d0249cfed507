//! FROM takes only variables that an ARG above the first FROM declares, and predefined ones.

use crate::report::{Found, Report, Rule};
use crate::suggest::{bounds, nearest};
use ireko_dockerfile::{Place, Word};
use std::collections::BTreeSet;

pub(crate) static RULE: Rule = Rule {
    name: "UndefinedArgInFrom",
    description: "FROM command must use declared ARGs",
    url: "https://docs.docker.com/go/dockerfile/rule/undefined-arg-in-from/",
    experimental: false,
};

pub(crate) fn check(
    place: &Place,
    word: &Word,
    unset: &BTreeSet<String>,
    known: &BTreeSet<&str>,
    report: &mut Report,
) {
    for name in unset.iter().filter(|name| !known.contains(name.as_str())) {
        let mut detail = format!("FROM argument '{name}' is not declared");
        let mut advice = format!("declare it above the first FROM: `ARG {name}=value`");
        if let Some(near) = nearest(name, |text| known.range::<str, _>(bounds(text)).next().copied()) {
            detail.push_str(&format!(" (did you mean {near}?)"));
            advice = format!("write `${near}`, or declare `ARG {name}=value` above the first FROM");
        }
        report.add(&RULE, place, Found { span: word.span, detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn variables_nobody_declared() {
        let rule = "UndefinedArgInFrom";
        check(
            rule,
            "ARG tag=latest\nFROM busybox:${tag}${version} AS b\n",
            &[
                "2:6: FROM argument 'version' is not declared; declare it above the first FROM: `ARG version=value`",
            ],
        );
        check(
            rule,
            "ARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} a\n",
            &[
                "2:17: FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?); write `$MY_ARCH`, or declare `ARG MYARCH=value` above the first FROM",
            ],
        );
        check(rule, "FROM --platform=$BUILDPLATFORM scratch\n", &[]);
        check(rule, "ARG DEBUG\nFROM scratch${DEBUG}\n", &[]);
        check(
            rule,
            "FROM scratch\nARG x\nFROM scratch${x}\n",
            &["3:6: FROM argument 'x' is not declared; declare it above the first FROM: `ARG x=value`"],
        );
    }
}
