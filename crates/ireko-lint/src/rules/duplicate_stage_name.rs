//! Each stage has a name of its own: of two with one name, the earlier cannot be reached any more.

use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Ast;
use std::collections::BTreeMap;

pub(crate) static RULE: Rule = Rule {
    name: "DuplicateStageName",
    description: "Stage names should be unique",
    url: "https://docs.docker.com/go/dockerfile/rule/duplicate-stage-name/",
    experimental: false,
};

pub(crate) fn check(ast: &Ast, report: &mut Report) {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for stage in &ast.stages {
        let Some(name) = &stage.from.name else { continue };
        if let Some(line) = seen.insert(&name.value, *stage.at.lines.start()) {
            let detail = format!("Duplicate stage name {:?}, stage names should be unique", name.value);
            let advice = format!("give it another name than the stage in line {line}");
            report.add_for_file(&RULE, &stage.at, Found { span: name.span, detail, advice });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn names_said_twice() {
        check(
            "DuplicateStageName",
            "FROM scratch AS b\nFROM scratch AS c\nFROM scratch AS B\n",
            &[
                "3:17: Duplicate stage name \"b\", stage names should be unique; give it another name than the stage in line 1",
            ],
        );
        check("DuplicateStageName", "FROM scratch\nFROM scratch\n", &[]);
        check(
            "DuplicateStageName",
            "FROM scratch AS b\n# check=skip=all\nFROM scratch AS b\n",
            &[
                "3:17: Duplicate stage name \"b\", stage names should be unique; give it another name than the stage in line 1",
            ],
        );
    }
}
