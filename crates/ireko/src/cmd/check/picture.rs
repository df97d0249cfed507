//! An inspection for people.

use super::{DESCRIBED, VERSION};
use crate::failure::frame;
use crate::text::table;
use ireko_dockerfile::Ast;
use ireko_lint::{Findings, Outline, Required, Target, Warning};
use ireko_report::SourceText;

/// Each warning with its lines; how many there are stands first. `failed` where an error follows.
pub(super) fn findings(found: &Findings, (ast, failed): (&Ast, bool), colour: bool) -> String {
    let mut out = match (found.warnings.len(), failed) {
        (0, true) => String::new(),
        (0, false) => "Check complete, no warnings found.\n".to_owned(),
        (1, _) => "Check complete, 1 warning has been found!\n".to_owned(),
        (count, _) => format!("Check complete, {count} warnings have been found!\n"),
    };
    for warning in &found.warnings {
        out.push('\n');
        whole(warning, &ast.source, colour).iter().for_each(|line| out.push_str(&format!("{line}\n")));
    }
    out
}

fn whole(warning: &Warning, source: &SourceText, colour: bool) -> Vec<String> {
    let paint = |text: &str, code: &str| match colour {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let head = format!("{} {}", paint("warning:", "33;1"), paint(warning.rule.name, "1"));
    let mut lines = vec![format!("{head}: {}", warning.detail)];
    lines.extend(frame(&warning.diagnostic(), source));
    lines.push(format!("hint: {}", warning.advice));
    if !warning.rule.url.is_empty() {
        lines.push(paint(&format!("more: {}", warning.rule.url), "2"));
    }
    lines
}

/// The warnings of a build: a line for each, or all of each.
pub(super) fn brief(found: &Findings, source: &SourceText, verbose: bool) -> Vec<String> {
    let what = match found.warnings.len() {
        0 => return Vec::new(),
        1 => "1 warning found".to_owned(),
        count => format!("{count} warnings found"),
    };
    if verbose {
        let blocks = found
            .warnings
            .iter()
            .flat_map(|warning| std::iter::once(String::new()).chain(whole(warning, source, false)));
        return std::iter::once(format!("{what}:")).chain(blocks).collect();
    }
    let line = |warning: &Warning| {
        let place = format!("{}:{}", source.name(), source.line_of(warning.span.start));
        format!(" - {place}: {}: {}", warning.rule.name, warning.detail)
    };
    std::iter::once(format!("{what} (`--check` or `-v` shows the lines):"))
        .chain(found.warnings.iter().map(line))
        .collect()
}

/// What a target takes, as tables.
pub(super) fn outline(outline: &Outline) -> String {
    let mut parts = Vec::new();
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = if outline.name.is_empty() { "(default)" } else { &outline.name };
        let mut rows = vec![vec!["TARGET:".to_owned(), name.to_owned()]];
        if !outline.description.is_empty() {
            rows.push(vec!["DESCRIPTION:".to_owned(), outline.description.clone()]);
        }
        parts.push(table(&rows));
    }
    let args =
        outline.args.iter().map(|arg| vec![arg.name.clone(), arg.value.clone(), arg.description.clone()]);
    part(&mut parts, &["BUILD ARG", "VALUE", "DESCRIPTION"], args.collect());
    let required =
        |one: &Required| vec![one.name.clone(), if one.required { "true".to_owned() } else { String::new() }];
    part(&mut parts, &["SECRET", "REQUIRED"], outline.secrets.iter().map(required).collect());
    part(&mut parts, &["SSH", "REQUIRED"], outline.ssh.iter().map(required).collect());
    part(&mut parts, &["CACHE"], outline.caches.iter().map(|cache| vec![cache.id.clone()]).collect());
    if parts.is_empty() {
        return "The target takes no build arguments, secrets, ssh agents or caches.\n".to_owned();
    }
    parts.join("\n")
}

fn part(parts: &mut Vec<String>, head: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        let head = head.iter().map(|word| (*word).to_owned()).collect();
        parts.push(table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    }
}

/// The stages, as a table.
pub(super) fn targets(targets: &[Target]) -> String {
    let name = |target: &Target| match (target.name.as_str(), target.is_default) {
        ("", true) => "(default)".to_owned(),
        (name, true) => format!("{name} (default)"),
        (name, false) => name.to_owned(),
    };
    let row = |target: &Target| vec![name(target), target.description.clone()];
    let head = vec!["TARGET".to_owned(), "DESCRIPTION".to_owned()];
    table(&std::iter::once(head).chain(targets.iter().map(row)).collect::<Vec<_>>())
}

/// The methods, as a table.
pub(super) fn described() -> String {
    let head = ["NAME", "VERSION", "DESCRIPTION"];
    let rows = DESCRIBED.iter().map(|method| [method.name, VERSION, method.description]);
    let row = |row: [&str; 3]| row.map(str::to_owned).to_vec();
    table(&std::iter::once(head).chain(rows).map(row).collect::<Vec<_>>())
}
