//! No stage is called as what always exists: `scratch` and `context`.

use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Ast;

pub(crate) static RULE: Rule = Rule {
    name: "ReservedStageName",
    description: "Reserved words should not be used as stage names",
    url: "https://docs.docker.com/go/dockerfile/rule/reserved-stage-name/",
    experimental: false,
};

pub(crate) fn check(ast: &Ast, report: &mut Report) {
    for stage in &ast.stages {
        let Some(name) =
            stage.from.name.as_ref().filter(|name| matches!(&*name.value, "scratch" | "context"))
        else {
            continue;
        };
        let detail = format!("Stage name should not use the same name as reserved stage {:?}", name.value);
        let advice = format!("give it another name: `{}` always means something else", name.value);
        report.add_for_file(&RULE, &stage.at, Found { span: name.span, detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn names_that_are_taken() {
        check(
            "ReservedStageName",
            "FROM scratch AS scratch\n# check=skip=all\nFROM scratch AS Context\nFROM scratch AS a\n",
            &[
                "1:17: Stage name should not use the same name as reserved stage \"scratch\"; give it another name: `scratch` always means something else",
                "3:17: Stage name should not use the same name as reserved stage \"context\"; give it another name: `context` always means something else",
            ],
        );
    }
}
