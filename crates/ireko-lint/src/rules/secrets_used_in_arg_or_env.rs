//! No secrets in ARG and ENV: both stay in the image for everybody to read. `RUN --mount=type=secret` keeps them out.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_report::Span;

pub(crate) static RULE: Rule = Rule {
    name: "SecretsUsedInArgOrEnv",
    description: "Sensitive data should not be used in the ARG or ENV commands",
    url: "https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/",
    experimental: false,
};

/// Parts of a name, between `_`, that make it a secret's.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
/// Parts that say it is none after all.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// The names of one instruction, each with its place. They are told in alphabetical order.
pub(crate) fn check(step: &Step, instruction: &str, mut names: Vec<(&str, Span)>, report: &mut Report) {
    names.retain(|(name, _)| is_secret(name));
    names.sort_unstable();
    for (name, span) in names {
        let detail =
            format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
        let id = name.to_ascii_lowercase();
        let advice = format!(
            "take it where it is needed: `RUN --mount=type=secret,id={id},env={name} …`, and build with `--secret id={id}`"
        );
        report.add(&RULE, step.place, Found { span: step.span(span), detail, advice });
    }
}

fn is_secret(name: &str) -> bool {
    let has =
        |words: &[&str]| name.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)));
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::check;

    #[test]
    fn names_of_secrets() {
        for (name, expected) in [
            ("PASSWORD", true),
            ("db_Password", true),
            ("TOKEN_X", true),
            ("A_KEY_B", true),
            ("KEYS", false),
            ("monkey", false),
            ("PUBLIC_KEY", false),
            ("PASSWORD_FILE", false),
            ("AUTH_MODULE_VERSION", false),
            ("", false),
        ] {
            assert_eq!(is_secret(name), expected, "{name}");
        }
    }

    #[test]
    fn arguments_and_variables() {
        let rule = "SecretsUsedInArgOrEnv";
        let advice = "take it where it is needed: `RUN --mount=type=secret,id=token,env=TOKEN …`, and build with `--secret id=token`";
        let of = |place: &str, word: &str| {
            format!(
                "{place}: Do not use ARG or ENV instructions for sensitive data ({word} \"TOKEN\"); {advice}"
            )
        };
        let expected = [of("3:5", "ARG"), of("4:9", "ENV")];
        let text = "ARG TOKEN\nFROM scratch\nARG TOKEN\nENV a=b TOKEN=c\n";
        check(rule, text, &expected.each_ref().map(String::as_str));
        check(
            rule,
            "FROM scratch\n# check=skip=SecretsUsedInArgOrEnv // a dummy\nARG TOKEN\n# check=skip=all\nENV TOKEN=a\n",
            &[],
        );
    }
}
