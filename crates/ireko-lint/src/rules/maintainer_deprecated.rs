//! No MAINTAINER: a label says the same and can be read by every tool.

use crate::report::{Found, Report, Rule};
use ireko_dockerfile::{Place, Word};

pub(crate) static RULE: Rule = Rule {
    name: "MaintainerDeprecated",
    description: "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    url: "https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/",
    experimental: false,
};

pub(crate) fn check(place: &Place, name: &Word, report: &mut Report) {
    let detail = "Maintainer instruction is deprecated in favor of using label".to_owned();
    let advice = format!("write `LABEL org.opencontainers.image.authors={:?}`", name.value);
    report.add(&RULE, place, Found { span: place.keyword.span, detail, advice });
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn maintainers() {
        check(
            "MaintainerDeprecated",
            "FROM scratch\nMAINTAINER me@example.org\nLABEL authors=x\n",
            &[
                "2:1: Maintainer instruction is deprecated in favor of using label; write `LABEL org.opencontainers.image.authors=\"me@example.org\"`",
            ],
        );
        check(
            "MaintainerDeprecated",
            "FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me\n",
            &[],
        );
    }
}
