//! `# syntax=`, and the build argument that stands for it: what it asks for must be what is done.

use crate::fault::{Fault, unsupported};
use crate::input::PlanInput;
use crate::scope::given;
use ireko_dockerfile::{Directive, DirectiveKind};
use ireko_oci::Reference;
use ireko_report::{Diagnostic, Span};

/// Refuses another language than Dockerfile.
pub(crate) fn check(input: &PlanInput) -> Result<(), Fault> {
    if let Some((syntax, span)) = asked(input)
        && !is_dockerfile(syntax)
    {
        return Err(refuse(&format!("the front end `{syntax}`"), span));
    }
    Ok(())
}

/// The language that is asked for; the build argument wins.
fn asked(input: &PlanInput) -> Option<(&str, Option<Span>)> {
    if let Some(value) = given(input, "BUILDKIT_SYNTAX") {
        return Some((value, None));
    }
    let own = |directive: &&Directive| directive.kind == DirectiveKind::Syntax;
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
