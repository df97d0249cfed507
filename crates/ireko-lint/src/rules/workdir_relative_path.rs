//! The first WORKDIR of a stage is absolute: a relative one depends on the base image's, which may change.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Word;

pub(crate) static RULE: Rule = Rule {
    name: "WorkdirRelativePath",
    description: "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    url: "https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/",
    experimental: false,
};

/// For the first WORKDIR; those after it are right once it is.
pub(crate) fn check(step: &Step, word: &Word, path: &str, report: &mut Report) {
    if path.starts_with('/') {
        return;
    }
    let detail = format!("Relative workdir {path:?} can have unexpected results if the base image changes");
    // The drive of another system means nothing in an image for Linux.
    let path = path.get(1..).and_then(|rest| rest.strip_prefix(':')).unwrap_or(path);
    let path = path.trim_start_matches("./").trim_start_matches(['/', '\\']);
    let advice = format!("write `{} /{path}`, or an absolute WORKDIR above it", step.keyword);
    report.add(&RULE, step.place, Found { span: step.span(word.span), detail, advice });
}

#[cfg(test)]
mod tests {
    use crate::tests::{Case, check};

    #[test]
    fn first_directories() {
        let rule = "WorkdirRelativePath";
        check(
            rule,
            "FROM scratch\nWORKDIR app/\nWORKDIR more\n",
            &[
                "2:9: Relative workdir \"app/\" can have unexpected results if the base image changes; write `WORKDIR /app/`, or an absolute WORKDIR above it",
            ],
        );
        check(
            rule,
            "FROM scratch\nWORKDIR C:/src\n",
            &[
                "2:9: Relative workdir \"C:/src\" can have unexpected results if the base image changes; write `WORKDIR /src`, or an absolute WORKDIR above it",
            ],
        );
        check(rule, "FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR b\n", &[]);
        check(rule, "FROM scratch\nENV D=/d\nWORKDIR $D/a\n", &[]);
        check(rule, "FROM scratch\n# check=skip=WorkdirRelativePath\nWORKDIR app\n", &[]);
        // The base image's own does not count.
        Case::new(rule, "FROM app\nWORKDIR b\n").base("app", |config| config.config.working_dir = "/x".to_owned()).finds(&[
            "2:9: Relative workdir \"b\" can have unexpected results if the base image changes; write `WORKDIR /b`, or an absolute WORKDIR above it",
        ]);
    }
}
