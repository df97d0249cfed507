//! FROM has no fixed platform: the image then cannot be built for another one. A stage whose name has the platform in
//! it says that it is meant.

use crate::report::{Found, Report, Rule};
use ireko_dockerfile::words::Expanded;
use ireko_dockerfile::{Stage, Word};
use ireko_oci::Platform;

pub(crate) static RULE: Rule = Rule {
    name: "FromPlatformFlagConstDisallowed",
    description: "FROM --platform flag should not use a constant value",
    url: "https://docs.docker.com/go/dockerfile/rule/from-platform-flag-const-disallowed/",
    experimental: false,
};

pub(crate) fn check(stage: &Stage, word: &Word, expanded: &Expanded, report: &mut Report) {
    if !expanded.used.is_empty() || !expanded.unset.is_empty() {
        return;
    }
    let Ok(platform) = expanded.text.parse::<Platform>() else { return };
    let platform = platform.normalized();
    let name = stage.from.name.as_ref().map_or("", |name| name.value.as_str());
    if name.contains(&platform.os) || name.contains(&platform.architecture) {
        return;
    }
    let detail = format!("FROM --platform flag should not use constant value {:?}", expanded.text);
    let advice = format!(
        "leave `--platform` out, write `$BUILDPLATFORM`, or name the stage for it: `AS {}_…`",
        platform.architecture
    );
    report.add(&RULE, &stage.at, Found { span: word.span, detail, advice });
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn fixed_platforms() {
        let rule = "FromPlatformFlagConstDisallowed";
        check(
            rule,
            "FROM --platform=linux/amd64 scratch\n",
            &[
                "1:17: FROM --platform flag should not use constant value \"linux/amd64\"; leave `--platform` out, write `$BUILDPLATFORM`, or name the stage for it: `AS amd64_…`",
            ],
        );
        check(rule, "FROM --platform=linux/amd64 scratch AS my_amd64_stage\n", &[]);
        check(rule, "FROM --platform=linux/amd64 scratch AS linux\n", &[]);
        check(rule, "FROM --platform=$BUILDPLATFORM scratch\n", &[]);
    }
}
