//! The defaults of the ARGs alone make a base image's name, so that a build without arguments works.

use crate::report::{Found, Report, Rule};
use crate::vars::Vars;
use ireko_dockerfile::Ast;
use ireko_dockerfile::words::Lexer;
use ireko_oci::Reference;

pub(crate) static RULE: Rule = Rule {
    name: "InvalidDefaultArgInFrom",
    description: "Default value for global ARG results in an empty or invalid base image name",
    url: "https://docs.docker.com/go/dockerfile/rule/invalid-default-arg-in-from/",
    experimental: false,
};

pub(crate) fn check(ast: &Ast, defaults: &Vars, report: &mut Report) {
    let lexer = Lexer::new(ast.escape);
    for stage in &ast.stages {
        let base = &stage.from.base;
        let Ok(expanded) = lexer.word(&base.value, defaults) else { return };
        // A stage's name in capitals is no image's, and means the stage.
        let is_stage = || !base.value.contains('$') && ast.stage(&base.value).is_some();
        if expanded.text.parse::<Reference>().is_err() && !is_stage() {
            let detail =
                format!("Default value for ARG {} results in empty or invalid base image name", base.value);
            let advice = match expanded.used.iter().chain(&expanded.unset).next() {
                Some(name) => format!("give it a default that makes a name: `ARG {name}=value`"),
                None => "write the name of an image or a stage".to_owned(),
            };
            report.add_for_file(&RULE, &stage.at, Found { span: base.span, detail, advice });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::Case;

    #[test]
    fn names_by_defaults_alone() {
        let case =
            |text: &str, arg: (&str, &str)| Case::new("InvalidDefaultArgInFrom", text).arg(arg.0, arg.1);
        case("ARG V\nFROM app:$V\n", ("V", "1")).finds(&[
            "2:6: Default value for ARG app:$V results in empty or invalid base image name; give it a default that makes a name: `ARG V=value`",
        ]);
        case("ARG I\n# check=skip=all\nFROM $I\n", ("I", "app")).finds(&[
            "3:6: Default value for ARG $I results in empty or invalid base image name; give it a default that makes a name: `ARG I=value`",
        ]);
        case("ARG V=\"1\"\nFROM app:${V}\n", ("V", "2")).finds(&[]);
        case("ARG V\nFROM app:1${V}\n", ("V", "-x")).finds(&[]);
        case("FROM scratch AS Base\nFROM Base\n", ("V", "")).finds(&[]);
    }
}
