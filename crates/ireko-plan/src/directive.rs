//! `# syntax=`, and the build argument that stands for it: what it asks for must be what is done.

use crate::fault::Fault;
use ireko_dockerfile::{Ast, Directive, DirectiveKind};
use ireko_oci::Reference;
use ireko_report::{Diagnostic, Span};

/// The newest version of the language that was read for what is done here: BuildKit's `docker/dockerfile:1.26`.
const KNOWN: (u32, u32) = (1, 26);

/// The build argument that stands for the directive.
const ARGUMENT: &str = "BUILDKIT_SYNTAX";

/// What a build must be refused for: the text is in another language than this one. It may be looked at before mistakes
/// of the text are told, which would be none in its own language.
pub fn other_language(ast: &Ast, build_args: &[(String, Option<String>)]) -> Option<Diagnostic> {
    let (syntax, span) = asked(ast, build_args)?;
    let what = match front_end(syntax) {
        FrontEnd::Dockerfile(Some(version)) if version.0 > KNOWN.0 => {
            format!("version {}.{} of the Dockerfile language", version.0, version.1)
        }
        FrontEnd::Dockerfile(_) => return None,
        FrontEnd::Other => format!("the language of `{syntax}`"),
    };
    let message = format!("the text asks for {what}, and ireko reads version {} of Dockerfile's", KNOWN.0);
    let hint = format!(
        "if it is a plain Dockerfile all the same, take the line out or give `--build-arg {ARGUMENT}=docker/dockerfile:1`"
    );
    let fault = Diagnostic::error("other-language", message).with_hint(hint);
    Some(match span {
        Some(span) => fault.at(span),
        None => fault,
    })
}

/// The same as what stops planning.
pub(crate) fn check(ast: &Ast, build_args: &[(String, Option<String>)]) -> Result<(), Fault> {
    other_language(ast, build_args).map_or(Ok(()), |fault| Err(Box::new(fault)))
}

/// What is told of a version that is newer than what is known: nothing is at risk, since an unknown word is an error.
pub(crate) fn newer(ast: &Ast, build_args: &[(String, Option<String>)]) -> Option<Diagnostic> {
    let (syntax, span) = asked(ast, build_args)?;
    let FrontEnd::Dockerfile(Some(version)) = front_end(syntax) else { return None };
    if version <= KNOWN {
        return None;
    }
    let message = format!(
        "the text asks for version {}.{} of the language, and ireko knows it up to {}.{}: what is newer is an error where it is used",
        version.0, version.1, KNOWN.0, KNOWN.1
    );
    let warning = Diagnostic::warning("newer-language", message);
    Some(match span {
        Some(span) => warning.at(span),
        None => warning,
    })
}

/// The language that is asked for; the build argument wins.
fn asked<'a>(ast: &'a Ast, build_args: &'a [(String, Option<String>)]) -> Option<(&'a str, Option<Span>)> {
    let given = build_args.iter().rev().find(|(name, _)| name == ARGUMENT);
    if let Some(value) = given.and_then(|(_, value)| value.as_deref()).filter(|value| !value.is_empty()) {
        return Some((value, None));
    }
    let own = |directive: &&Directive| directive.kind == DirectiveKind::Syntax;
    let directive = ast.directives.iter().find(own)?;
    Some((directive.value.value.as_str(), Some(directive.value.span)))
}

/// What a reference to a front end means.
#[derive(Debug, PartialEq, Eq)]
enum FrontEnd {
    /// The usual one, from whatever registry, with its version where the tag tells it.
    Dockerfile(Option<(u32, u32)>),
    /// Something else.
    Other,
}

fn front_end(syntax: &str) -> FrontEnd {
    let image = syntax.split_whitespace().next().unwrap_or_default();
    let Ok(reference) = image.parse::<Reference>() else { return FrontEnd::Other };
    let usual = ["docker/dockerfile", "docker/dockerfile-upstream"].iter().any(|name| {
        reference.path().strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    });
    if usual { FrontEnd::Dockerfile(reference.tag().and_then(version)) } else { FrontEnd::Other }
}

/// `1`, `1.7`, `1.7.0-labs`: the first two numbers.
fn version(tag: &str) -> Option<(u32, u32)> {
    let mut numbers = tag.split('-').next()?.split('.').map(str::parse);
    let major = numbers.next()?.ok()?;
    Some((major, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_ends_are_told_apart() {
        let dockerfile = |version| FrontEnd::Dockerfile(version);
        for (text, means) in [
            ("docker/dockerfile", dockerfile(None)),
            ("docker/dockerfile:1", dockerfile(Some((1, 0)))),
            ("docker/dockerfile:1.7-labs", dockerfile(Some((1, 7)))),
            (
                "docker.io/docker/dockerfile:1.22.0@sha256:4a43a54dd1fedceb30ba47e76cfcf2b47304f4161c0caeac2db1c61804ea3c91",
                dockerfile(Some((1, 22))),
            ),
            ("mirror.example.com/hub/docker/dockerfile-upstream:master", dockerfile(None)),
            ("docker/dockerfile:2.1", dockerfile(Some((2, 1)))),
            ("example.com/notdocker/dockerfile", FrontEnd::Other),
            ("example.com/other/language:1", FrontEnd::Other),
            ("no reference at all", FrontEnd::Other),
            ("", FrontEnd::Other),
        ] {
            assert_eq!(front_end(text), means, "{text}");
        }
    }
}
