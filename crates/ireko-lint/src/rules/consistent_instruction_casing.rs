//! All keywords of a file are in capitals, or all in small letters: as most of them are.

use crate::report::{Found, Report, Rule};
use crate::walk::keyword;
use ireko_dockerfile::{Ast, Place};

pub(crate) static RULE: Rule = Rule {
    name: "ConsistentInstructionCasing",
    description: "All commands within the Dockerfile should use the same casing (either upper or lower)",
    url: "https://docs.docker.com/go/dockerfile/rule/consistent-instruction-casing/",
    experimental: false,
};

pub(crate) fn check(ast: &Ast, report: &mut Report) {
    // ARGs before the first FROM do not count.
    let places = || ast.places().filter(|(stage, _)| stage.is_some()).map(|(_, place)| place);
    let lower = places().filter(|place| is_lower(keyword(place))).count();
    let upper = places().filter(|place| is_upper(keyword(place))).count();
    places().for_each(|place| one(place, lower > upper, report));
}

fn one(place: &Place, wants_lower: bool, report: &mut Report) {
    let word = keyword(place);
    let (fits, casing) = match wants_lower {
        true => (is_lower(word), "lowercase"),
        false => (is_upper(word), "uppercase"),
    };
    if !fits {
        let right = if wants_lower { word.to_lowercase() } else { word.to_uppercase() };
        let detail = format!("Command '{word}' should match the case of the command majority ({casing})");
        report.add_for_file(
            &RULE,
            place,
            Found { span: place.keyword.span, detail, advice: format!("write `{right}`") },
        );
    }
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn the_majority_decides() {
        let rule = "ConsistentInstructionCasing";
        check(
            rule,
            "FROM scratch\ncopy a /\nCOPY a /\n",
            &["2:1: Command 'copy' should match the case of the command majority (uppercase); write `COPY`"],
        );
        check(
            rule,
            "from scratch\nCOPY a /\ncopy a /\nEnv A=b\n",
            &[
                "2:1: Command 'COPY' should match the case of the command majority (lowercase); write `copy`",
                "4:1: Command 'Env' should match the case of the command majority (lowercase); write `env`",
            ],
        );
        check(
            rule,
            "from scratch\nCOPY a /\n",
            &["1:1: Command 'from' should match the case of the command majority (uppercase); write `FROM`"],
        );
        check(rule, "arg a\nFROM scratch\nONBUILD run x\n", &[]);
        // The comment of one instruction does not count, the one of the file does.
        let found =
            "3:1: Command 'copy' should match the case of the command majority (uppercase); write `COPY`";
        check(rule, "FROM scratch\n# check=skip=all\ncopy a /\nCOPY a /\n", &[found]);
        check(rule, "# check=skip=all\nFROM scratch\ncopy a /\nCOPY a /\n", &[]);
    }
}
