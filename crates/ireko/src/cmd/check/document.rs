//! An inspection for programs: JSON in the form of BuildKit's subrequests.

use super::{DESCRIBED, Described, VERSION};
use crate::failure::Failure;
use ireko_dockerfile::Ast;
use ireko_lint::{Findings, Outline, Required, Target, Warning};
use ireko_report::Span;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

#[derive(Serialize)]
struct Position {
    line: u32,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

/// One range a line, as BuildKit has it.
#[derive(Serialize, Default)]
struct Location {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<Range>,
}

impl Location {
    fn of(lines: &RangeInclusive<u32>) -> Self {
        Self::of_lines(lines.clone())
    }

    fn of_lines(lines: impl IntoIterator<Item = u32>) -> Self {
        let range = |line| Range { start: Position { line }, end: Position { line } };
        Self { ranges: lines.into_iter().map(range).collect() }
    }

    /// The lines of the instructions at these places.
    fn of_places(places: &[Span], ast: &Ast) -> Self {
        let mut lines = BTreeSet::new();
        for place in places {
            let line = ast.source.line_of(place.start);
            let whole = ast.places().map(|(_, place)| &place.lines).find(|lines| lines.contains(&line));
            lines.extend(whole.cloned().unwrap_or(line..=line));
        }
        Self::of_lines(lines)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    rule_name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
    detail: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct SourceInfo<'a> {
    filename: &'a str,
    data: String,
    language: &'static str,
}

#[derive(Serialize)]
struct BuildError<'a> {
    message: &'a str,
    location: Location,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked<'a> {
    warnings: Vec<Finding<'a>>,
    sources: Vec<SourceInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_error: Option<BuildError<'a>>,
}

/// What was found. The error is the inspection's own, in BuildKit's words, where it has one; else what a build says, and
/// where.
pub(super) fn findings(
    found: &Findings,
    failed: Option<(&Failure, &[Span])>,
    ast: &Ast,
) -> Result<String, Failure> {
    let of_fault = found.fault.as_ref().map(|fault| BuildError {
        message: &fault.message,
        location: fault.lines.as_ref().map(Location::of).unwrap_or_default(),
    });
    let of_build = failed.map(|(failure, places)| BuildError {
        message: &failure.message,
        location: Location::of_places(places, ast),
    });
    let build_error = of_fault.or(of_build);
    // BuildKit sees the Dockerfile's folder alone.
    let filename = ast.source.name().rsplit('/').next().unwrap_or_default();
    let source = SourceInfo { filename, data: text_of(ast), language: "Dockerfile" };
    shown(&Checked {
        warnings: found.warnings.iter().map(finding).collect(),
        sources: vec![source],
        build_error,
    })
}

fn finding(warning: &Warning) -> Finding<'_> {
    Finding {
        rule_name: warning.rule.name,
        description: warning.rule.description,
        url: warning.rule.url,
        detail: &warning.detail,
        location: Location::of(&warning.lines),
    }
}

#[derive(Serialize)]
struct Argument<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Wanted<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    required: bool,
    location: Location,
}

#[derive(Serialize)]
struct Cache<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Takes<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Argument<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Wanted<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<Wanted<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache: Vec<Cache<'a>>,
    sources: Vec<String>,
}

/// What a target takes.
pub(super) fn outline(outline: &Outline, ast: &Ast) -> Result<String, Failure> {
    let args = outline.args.iter().map(|arg| Argument {
        name: &arg.name,
        description: &arg.description,
        value: &arg.value,
        location: Location::of(&arg.lines),
    });
    let cache =
        outline.caches.iter().map(|cache| Cache { id: &cache.id, location: Location::of(&cache.lines) });
    shown(&Takes {
        name: &outline.name,
        description: &outline.description,
        args: args.collect(),
        secrets: outline.secrets.iter().map(wanted).collect(),
        ssh: outline.ssh.iter().map(wanted).collect(),
        cache: cache.collect(),
        sources: vec![text_of(ast)],
    })
}

fn wanted(one: &Required) -> Wanted<'_> {
    Wanted { name: &one.name, required: one.required, location: Location::of(&one.lines) }
}

#[derive(Serialize)]
struct Stage<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    default: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    base: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    platform: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Stages<'a> {
    targets: Vec<Stage<'a>>,
    sources: Vec<String>,
}

/// The stages.
pub(super) fn targets(targets: &[Target], ast: &Ast) -> Result<String, Failure> {
    let stage = |target| {
        let Target { name, is_default, description, base, platform, lines }: &Target = target;
        Stage { name, default: *is_default, description, base, platform, location: Location::of(lines) }
    };
    shown(&Stages { targets: targets.iter().map(stage).collect(), sources: vec![text_of(ast)] })
}

/// A name in a request's description.
#[derive(Serialize)]
struct Named {
    name: &'static str,
    description: &'static str,
}

/// A request that a frontend answers, as BuildKit describes it: `null` where it says nothing.
#[derive(Serialize)]
struct Request {
    name: String,
    version: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    description: &'static str,
    opts: Option<Vec<Named>>,
    inputs: Option<Vec<Named>>,
    metadata: Option<Vec<Named>>,
    refs: Option<Vec<Named>>,
}

/// The methods.
pub(super) fn described() -> Result<String, Failure> {
    let described = |method: &Described| {
        let named = |&(name, description): &(&'static str, &'static str)| Named { name, description };
        let metadata = ["result.json", "result.txt"].map(|name| Named { name, description: "" });
        Request {
            name: format!("frontend.{}", method.name),
            version: VERSION,
            kind: "rpc",
            description: method.description,
            opts: method.options.map(|options| options.iter().map(named).collect()),
            inputs: None,
            metadata: Some(metadata.into()),
            refs: None,
        }
    };
    shown(&DESCRIBED.iter().map(described).collect::<Vec<_>>())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

fn shown(document: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::environment("cannot write JSON").cause(error))?;
    Ok(text + "\n")
}

fn text_of(ast: &Ast) -> String {
    base64(ast.source.text().as_bytes())
}

/// Standard base64: Go writes bytes so.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_go_writes_them() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("\u{ff}>", "w78+"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
