//! An instruction takes only variables that the base image, ENV or ARG have set before it.

use crate::dispatch::{NOT_VARIABLES, Step};
use crate::report::{Found, Report, Rule};
use crate::walk::State;
use ireko_dockerfile::{Ast, Word};
use ireko_report::Span;
use std::collections::BTreeSet;

pub(crate) static RULE: Rule = Rule {
    name: "UndefinedVar",
    description: "Variables should be defined before their use",
    url: "https://docs.docker.com/go/dockerfile/rule/undefined-var/",
    experimental: false,
};

pub(crate) fn check(
    ast: &Ast,
    step: &Step,
    (word, unset): (&Word, &BTreeSet<String>),
    state: &State,
    report: &mut Report,
) {
    let declared = |name: &str| state.declared.contains(name) || NOT_VARIABLES.contains(&name);
    for name in unset.iter().filter(|name| report.asks(&RULE) && !declared(name)).cloned().collect::<Vec<_>>()
    {
        let mut detail = format!("Usage of undefined variable '${name}'");
        let mut advice = format!("set it above by `ENV {name}=value`, or declare `ARG {name}` in this stage");
        if let Some(near) = state.vars.nearest(&name) {
            detail.push_str(&format!(" (did you mean ${near}?)"));
            advice = format!("write `${near}`, or declare `ARG {name}` in this stage");
        }
        let span = step.span(span_of(ast, word.span, &name));
        report.add(&RULE, step.place, Found { span, detail, advice });
    }
}

/// Where the variable stands in the word; the word where it cannot be told.
fn span_of(ast: &Ast, word: Span, name: &str) -> Span {
    let text = ast.source.slice(word);
    [format!("${name}"), format!("${{{name}")]
        .iter()
        .find_map(|written| {
            let start = word.range().start + text.find(written)?;
            let closes = text.get(start + written.len() - word.range().start..)?.starts_with('}');
            Some(Span::new(start..start + written.len() + usize::from(closes)))
        })
        .unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use crate::tests::{Case, check};

    #[test]
    fn variables_nobody_set() {
        let rule = "UndefinedVar";
        check(
            rule,
            "FROM scratch\nCOPY $foo .\nARG foo=bar\nCOPY $foo .\n",
            &[
                "2:6: Usage of undefined variable '$foo'; set it above by `ENV foo=value`, or declare `ARG foo` in this stage",
            ],
        );
        check(
            rule,
            "FROM scratch\nENV PATH=$PAHT:/bin\n",
            &[
                "2:10: Usage of undefined variable '$PAHT' (did you mean $PATH?); write `$PATH`, or declare `ARG PAHT` in this stage",
            ],
        );
        check(
            rule,
            "FROM scratch\nENV A=${x}1 B=$x\n",
            &[
                "2:7: Usage of undefined variable '$x'; set it above by `ENV x=value`, or declare `ARG x` in this stage",
                "2:15: Usage of undefined variable '$x'; set it above by `ENV x=value`, or declare `ARG x` in this stage",
            ],
        );
        check(rule, "FROM scratch\nARG foo\nCOPY a$foo /\n", &[]);
        check(rule, "FROM scratch AS b\nARG foo=a\nFROM b\nCOPY $foo /\n", &[]);
        check(rule, "FROM scratch\nEXPOSE $x\nRUN echo $x\nCMD [\"$x\"]\n", &[]);
        check(
            rule,
            "ARG x=1\nFROM scratch\nUSER $x\n",
            &[
                "3:6: Usage of undefined variable '$x'; set it above by `ENV x=value`, or declare `ARG x` in this stage",
            ],
        );
        check(
            rule,
            "FROM scratch\nCOPY <<A <<'B' /\n$x\nA\n$y\nB\n",
            &[
                "2-6@3:1: Usage of undefined variable '$x'; set it above by `ENV x=value`, or declare `ARG x` in this stage",
            ],
        );
        check(
            rule,
            "FROM scratch\nRUN --mount=type=cache,target=/$x true\n",
            &[
                "2:32: Usage of undefined variable '$x'; set it above by `ENV x=value`, or declare `ARG x` in this stage",
            ],
        );
        check(
            rule,
            "FROM scratch\nARG A=$b\nARG c=$dozen\n",
            &[
                "2:7: Usage of undefined variable '$b'; set it above by `ENV b=value`, or declare `ARG b` in this stage",
                "3:7: Usage of undefined variable '$dozen'; set it above by `ENV dozen=value`, or declare `ARG dozen` in this stage",
            ],
        );
        Case::new(rule, "FROM scratch\nARG A=$b\n").arg("A", "1").finds(&[]);
    }

    #[test]
    fn variables_of_base_images() {
        let case = Case::new("UndefinedVar", "FROM app\nUSER $WHO\n");
        case.clone().base("app", |config| config.config.env = vec!["WHO=me".to_owned()]).finds(&[]);
        // Nothing is said where the base is not known.
        case.clone().finds(&[]);
        case.base("app", |_| {}).finds(&[
            "2:6: Usage of undefined variable '$WHO'; set it above by `ENV WHO=value`, or declare `ARG WHO` in this stage",
        ]);
    }

    #[test]
    fn triggers_stand_at_from() {
        check(
            "UndefinedVar",
            "FROM scratch AS b\nONBUILD USER $who\nFROM b\n",
            &[
                "3:6: Usage of undefined variable '$who'; set it above by `ENV who=value`, or declare `ARG who` in this stage",
            ],
        );
    }
}
