//! `--platform=$TARGETPLATFORM` is what FROM does anyway.

use crate::report::{Found, Report, Rule};
use crate::vars::Vars;
use ireko_dockerfile::words::Expanded;
use ireko_dockerfile::{Stage, Word};

pub(crate) static RULE: Rule = Rule {
    name: "RedundantTargetPlatform",
    description: "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    url: "https://docs.docker.com/go/dockerfile/rule/redundant-target-platform/",
    experimental: false,
};

/// Only where that variable alone makes the platform.
pub(crate) fn check(stage: &Stage, word: &Word, expanded: &Expanded, vars: &Vars, report: &mut Report) {
    const NAME: &str = "TARGETPLATFORM";
    let alone = expanded.used.len() == 1 && expanded.used.contains(NAME) && expanded.unset.is_empty();
    if alone && vars.value(NAME) == Some(expanded.text.as_str()) {
        let detail = format!(
            "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
            word.value
        );
        let advice = "leave `--platform` out".to_owned();
        report.add(&RULE, &stage.at, Found { span: word.span, detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn the_platform_that_is_meant_anyway() {
        let rule = "RedundantTargetPlatform";
        check(
            rule,
            "FROM --platform=${TARGETPLATFORM} scratch\nFROM --platform=$BUILDPLATFORM scratch\n",
            &[
                "1:17: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior; leave `--platform` out",
            ],
        );
        check(
            rule,
            "# check=skip=X\n# check=skip=RedundantTargetPlatform\nFROM --platform=$TARGETPLATFORM scratch\n",
            &[],
        );
        check(
            rule,
            "FROM --platform=${TARGETPLATFORM:-x} scratch\nFROM --platform=$TARGETOS/$TARGETARCH scratch\n",
            &[
                "1:17: Setting platform to predefined ${TARGETPLATFORM:-x} in FROM is redundant as this is the default behavior; leave `--platform` out",
            ],
        );
    }
}
