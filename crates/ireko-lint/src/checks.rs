//! `# check=`: which rules are looked at, and whether a warning is an error.

use crate::Input;
use crate::report::{Fault, Rule};
use ireko_dockerfile::DirectiveKind;
use std::collections::BTreeSet;

/// The build argument that stands for the directive, and wins.
pub(crate) const ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// What was asked for. Names of rules are kept in small letters: case does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checks {
    skip: Names,
    experimental: Names,
    /// A warning is an error.
    pub(crate) strict: bool,
}

/// Some rules, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    All,
    Some(BTreeSet<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Names {
    fn read(text: &str) -> Self {
        let names: BTreeSet<String> = text.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
        if names.contains("all") { Self::All } else { Self::Some(names) }
    }

    fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::Some(names), Self::Some(others)) => names.extend(others),
            (_, Self::Some(_)) => {}
            (own, Self::All) => *own = Self::All,
        }
    }

    fn has(&self, rule: &Rule) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(&rule.name.to_ascii_lowercase()),
        }
    }
}

impl Checks {
    /// Reads `skip=Rule,…;error=true;experimental=Rule,…`; what follows `//` is a remark.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.split("//").next().unwrap_or_default().trim();
        let mut checks = Self::default();
        for field in text.split(';').filter(|_| !text.is_empty()) {
            let (name, value) =
                field.split_once('=').ok_or_else(|| format!("invalid check option {field:?}"))?;
            match name.trim() {
                "skip" => checks.skip = Names::read(value),
                "experimental" => checks.experimental = Names::read(value),
                "error" => {
                    checks.strict = truth(value.trim()).ok_or_else(|| {
                        format!("failed to parse check option {field:?}: it is neither true nor false")
                    })?;
                }
                other => return Err(format!("invalid check option {other:?}")),
            }
        }
        Ok(checks)
    }

    /// What the file or the command line asks for.
    pub(crate) fn of(input: &Input) -> Result<Self, Fault> {
        if let Some(text) = input.given(ARGUMENT) {
            let wrong = |error| Fault {
                message: format!("failed to parse {ARGUMENT}: {error}"),
                lines: None,
                span: None,
            };
            return Self::parse(text).map_err(wrong);
        }
        let own = input.ast.directives.iter().find(|directive| directive.kind == DirectiveKind::Check);
        let Some(directive) = own else { return Ok(Self::default()) };
        Self::parse(&directive.value.value).map_err(|error| {
            let message = format!("failed to parse check options: {error}");
            Fault { message, lines: None, span: Some(directive.value.span) }
        })
    }

    /// Whether the rule is looked at.
    pub(crate) fn asks(&self, rule: &Rule) -> bool {
        if rule.experimental { self.experimental.has(rule) } else { !self.skip.has(rule) }
    }

    /// Whether the rule is one to be left out.
    pub(crate) fn skips(&self, rule: &Rule) -> bool {
        self.skip.has(rule)
    }

    /// Whether an experimental rule is asked for.
    pub(crate) fn asks_experimental(&self, rule: &Rule) -> bool {
        rule.experimental && self.experimental.has(rule)
    }
}

/// What the comments above an instruction ask for, for that instruction alone. A comment that cannot be read so is
/// a comment.
pub(crate) fn of_comments(comments: &[String]) -> Checks {
    let mut all = Checks::default();
    for checks in comments.iter().filter_map(|comment| Checks::parse(value_of(comment)?).ok()) {
        all.skip.join(checks.skip);
        all.experimental.join(checks.experimental);
    }
    all
}

/// Whether the comment is `check=…`, so that it describes nothing.
pub(crate) fn is_check(comment: &str) -> bool {
    value_of(comment).is_some()
}

fn value_of(comment: &str) -> Option<&str> {
    let (name, value) = comment.split_once('=')?;
    name.trim().eq_ignore_ascii_case("check").then_some(value)
}

/// A truth value, in the words that Go takes.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{invalid_definition_description, stage_name_casing};

    #[track_caller]
    fn check(text: &str, expected: Result<(bool, bool, bool), &str>) {
        let seen = Checks::parse(text).map(|checks| {
            let asks = |rule| checks.asks(rule);
            (asks(&stage_name_casing::RULE), asks(&invalid_definition_description::RULE), checks.strict)
        });
        assert_eq!(
            seen.as_ref().map_err(String::as_str),
            expected.as_ref().map_err(|error| *error),
            "{text}"
        );
    }

    #[test]
    fn options_are_read() {
        check("", Ok((true, false, false)));
        check("skip=StageNameCasing", Ok((false, false, false)));
        check("skip=Other, stagenamecasing ;error=true", Ok((false, false, true)));
        check("skip=all;experimental=all", Ok((false, true, false)));
        check("skip=ALL;error=F", Ok((false, false, false)));
        check("experimental=InvalidDefinitionDescription // why", Ok((true, true, false)));
        check("// nothing", Ok((true, false, false)));
        check("skip", Err("invalid check option \"skip\""));
        check("skip=all;", Err("invalid check option \"\""));
        check("spik=all", Err("invalid check option \"spik\""));
        check("error=yes", Err("failed to parse check option \"error=yes\": it is neither true nor false"));
    }
}
