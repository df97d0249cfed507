//! The comment right above FROM and ARG describes what they define, in the form `# name words`: `--call=outline` and
//! `--call=targets` show it. Only looked at where `experimental=` asks for it.

use crate::checks::is_check;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::{ArgItem, Place, Stage};

pub(crate) static RULE: Rule = Rule {
    name: "InvalidDefinitionDescription",
    description: "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    url: "https://docs.docker.com/go/dockerfile/rule/invalid-definition-description/",
    experimental: true,
};

pub(crate) fn check_stage(stage: &Stage, report: &mut Report) {
    if let Some(name) = &stage.from.name {
        check("FROM", &stage.at, &[name.value.as_str()], report);
    }
}

pub(crate) fn check_arg(place: &Place, args: &[ArgItem], report: &mut Report) {
    check("ARG", place, &args.iter().map(|arg| arg.name.value.as_str()).collect::<Vec<_>>(), report);
}

fn check(instruction: &str, place: &Place, names: &[&str], report: &mut Report) {
    let Some(comment) = place.comments.iter().rev().find(|comment| !is_check(comment)) else { return };
    let first = comment.split(' ').next().unwrap_or_default();
    if names.contains(&first) {
        return;
    }
    let Some(example) = names.first().map(|name| if names.len() > 1 { "<arg_key>" } else { name }) else {
        return;
    };
    let detail = format!("Comment for {instruction} should follow the format: `# {example} <description>`");
    let advice =
        format!("begin the comment with the name, or put a line `#` between it and the {instruction}");
    report.add(&RULE, place, Found { span: place.keyword.span, detail, advice });
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn comments_that_describe() {
        let rule = "InvalidDefinitionDescription";
        let text = "# check=experimental=all\n# bar is bar\nARG foo=bar\n# BasE is it\nFROM scratch AS base\n# bad\nARG a b\n# b is b\nARG a b\n# no\n#\nARG c\n# d is d\n# check=skip=x\nARG d\n";
        check(
            rule,
            text,
            &[
                "3:1: Comment for ARG should follow the format: `# foo <description>`; begin the comment with the name, or put a line `#` between it and the ARG",
                "5:1: Comment for FROM should follow the format: `# base <description>`; begin the comment with the name, or put a line `#` between it and the FROM",
                "7:1: Comment for ARG should follow the format: `# <arg_key> <description>`; begin the comment with the name, or put a line `#` between it and the ARG",
            ],
        );
        check(rule, "# bad\nFROM scratch AS base\n# bad\nFROM scratch\n", &[]);
    }
}
