//! Stage names are in small letters: they are names of one file, like those of images.

use crate::report::{Found, Report, Rule};
use ireko_dockerfile::{Ast, Stage};

pub(crate) static RULE: Rule = Rule {
    name: "StageNameCasing",
    description: "Stage names should be lowercase",
    url: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
    experimental: false,
};

pub(crate) fn check(ast: &Ast, stage: &Stage, report: &mut Report) {
    let Some(name) = &stage.from.name else { return };
    // The Ast has the name in small letters; the text has it as written.
    let written = ast.source.slice(name.span);
    if written.to_lowercase() != written {
        let detail = format!("Stage name '{written}' should be lowercase");
        let advice = format!("call it `{}`", name.value);
        report.add(&RULE, &stage.at, Found { span: name.span, detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn names_in_capitals() {
        check(
            "StageNameCasing",
            "FROM scratch AS BadName\nFROM scratch AS good\n",
            &["1:17: Stage name 'BadName' should be lowercase; call it `badname`"],
        );
        check("StageNameCasing", "# check=skip=StageNameCasing\nFROM scratch AS B\n", &[]);
        check("StageNameCasing", "FROM scratch\n# check=skip=StageNameCasing\nFROM scratch AS B\n", &[]);
    }
}
