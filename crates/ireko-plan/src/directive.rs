//! `# syntax=` and `# check=`, and the build arguments that stand for them: what they ask for must be what is done.

use crate::fault::{Fault, unsupported};
use crate::input::PlanInput;
use crate::scope::given;
use ireko_dockerfile::{Directive, DirectiveKind};
use ireko_oci::Reference;
use ireko_report::{Diagnostic, Span};

/// Refuses another language than Dockerfile, and checks that would have to fail the build.
pub(crate) fn check(input: &PlanInput) -> Result<(), Fault> {
    if let Some((syntax, span)) = asked(input, DirectiveKind::Syntax, "BUILDKIT_SYNTAX")
        && !is_dockerfile(syntax)
    {
        return Err(refuse(&format!("the front end `{syntax}`"), span));
    }
    if let Some((checks, span)) = asked(input, DirectiveKind::Check, "BUILDKIT_DOCKERFILE_CHECK") {
        let has = |wanted: &str| checks.split(';').any(|field| field.trim().eq_ignore_ascii_case(wanted));
        if has("error=true") && !has("skip=all") {
            return Err(refuse("failing a build on checks (`error=true`)", span));
        }
    }
    Ok(())
}

/// The value of a directive; the build argument wins.
fn asked<'a>(input: &'a PlanInput, kind: DirectiveKind, arg: &str) -> Option<(&'a str, Option<Span>)> {
    if let Some(value) = given(input, arg) {
        return Some((value, None));
    }
    let own = |directive: &&Directive| directive.kind == kind;
    let directive = input.ast.directives.iter().find(own)?;
    Some((directive.value.value.as_str(), Some(directive.value.span)))
}

/// Whether the front end is some version of the usual one, from whatever registry.
fn is_dockerfile(syntax: &str) -> bool {
    let image = syntax.split_whitespace().next().unwrap_or_default();
    let Ok(reference) = image.parse::<Reference>() else { return false };
    let usual = ["docker/dockerfile", "docker/dockerfile-upstream"];
    usual.iter().any(|name| {
        reference.path().strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    })
}

fn refuse(what: &str, span: Option<Span>) -> Fault {
    match span {
        Some(span) => unsupported(what, span),
        None => Box::new(Diagnostic::error("not-supported", format!("{what} is not supported yet"))),
    }
}
