//! A base image is of the platform that is built for: a name that leads to another one alone runs nowhere, or slowly.

use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Stage;
use ireko_oci::{ImageConfig, Platform};

pub(crate) static RULE: Rule = Rule {
    name: "InvalidBaseImagePlatform",
    description: "Base image platform does not match expected target platform",
    url: "",
    experimental: false,
};

pub(crate) fn check(
    stage: &Stage,
    base: &str,
    (expected, config): (&Platform, &ImageConfig),
    report: &mut Report,
) {
    let (expected, actual) = (expected.clone().normalized(), config.platform().normalized());
    let is_empty = config.rootfs.diff_ids.is_empty();
    if is_empty || (&expected.os, &expected.architecture) == (&actual.os, &actual.architecture) {
        return;
    }
    let (expected, actual) = (expected.to_string(), actual.to_string());
    let detail = format!(
        "Base image {base} was pulled with platform {actual:?}, expected {expected:?} for current build"
    );
    let advice = format!(
        "take an image that exists for {expected}, or say `FROM --platform={actual}` where that is meant"
    );
    report.add_for_file(&RULE, &stage.at, Found { span: stage.from.base.span, detail, advice });
}

#[cfg(test)]
mod tests {
    use crate::tests::Case;
    use ireko_oci::{Digest, Platform};

    #[test]
    fn images_of_another_platform() {
        let case = |text: &'static str, architecture: &'static str| {
            Case::new("InvalidBaseImagePlatform", text).base("app", move |config| {
                config.architecture = architecture.to_owned();
                config.rootfs.diff_ids = vec![Digest::of(b"a layer")];
            })
        };
        case("#\n# check=skip=all\nFROM app\n", "s390x").finds(&[
            "3:6: Base image app was pulled with platform \"linux/s390x\", expected \"linux/amd64\" for current build; take an image that exists for linux/amd64, or say `FROM --platform=linux/s390x` where that is meant",
        ]);
        let foreign = Platform::new("linux", "s390x", "");
        Case::new("InvalidBaseImagePlatform", "FROM --platform=linux/s390x app AS s390x\nFROM app\n")
            .base_for("app", foreign, |config| config.rootfs.diff_ids = vec![Digest::of(b"a layer")])
            .base("app", |config| config.rootfs.diff_ids = vec![Digest::of(b"another")])
            .finds(&[]);
        case("FROM app\n", "amd64").finds(&[]);
    }
}
