//! `cargo xtask tidy`: the rules of the tree that no compiler checks.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::layers::{self, Layers};
use crate::source::{self, Role};
use crate::workspace;

/// A file, tests aside, that does not fit here holds more than one noun.
const FILE_LINES: usize = 600;
/// A library says what it is, what it does not know and what to read first; that takes a few lines.
const ROOT_DOC_LINES: usize = 8;
/// The one crate that may be unsafe.
const UNSAFE_CRATE: &str = "crates/ireko-sys/";
/// Words that mean "not finished" in code.
const FORBIDDEN_CODE: [&str; 5] = ["todo!", "dbg!", "unimplemented!", "#[ignore", "#[should_panic"];
/// Words that mean "not finished" in a comment.
const FORBIDDEN_TEXT: [&str; 2] = ["FIXME", "XXX"];

/// Prints every fault; true when there is none.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let text = fs::read_to_string(root.join("layers.toml")).context("cannot read `layers.toml`")?;
    let layers: Layers = toml::from_str(&text).context("cannot read `layers.toml`")?;
    let packages = workspace::packages(root)?;
    let mut faults = layers::check(&layers, &packages);
    for path in workspace::rust_files(root)? {
        let name = path.to_string_lossy().into_owned();
        let text = fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read `{name}`"))?;
        faults.extend(file(&name, &text, layers.long_files.contains_key(&name)));
    }
    for name in layers.long_files.keys().filter(|name| !root.join(name).exists()) {
        faults.push(format!("layers.toml: `{name}` is allowed to be long but does not exist"));
    }
    faults.extend(dependencies(root)?);
    for fault in &faults {
        println!("{fault}");
    }
    println!(
        "tidy: {} crates, mean edges {:.1}, {} faults",
        packages.len(),
        layers::mean_edges(&layers),
        faults.len()
    );
    Ok(faults.is_empty())
}

/// The faults of one Rust file.
fn file(name: &str, text: &str, may_be_long: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{name}: {what}"));
    if !text.starts_with("//!") {
        fault("does not open with a `//!` sentence");
    }
    let blanked = source::blank(text);
    for word in FORBIDDEN_CODE.iter().filter(|word| blanked.contains(**word)) {
        fault(&format!("holds `{word}`"));
    }
    for word in
        FORBIDDEN_TEXT.iter().filter(|word| comments(text, &blanked).any(|comment| comment.contains(**word)))
    {
        fault(&format!("holds `{word}`"));
    }
    if source::role(name) == Role::Code {
        let lines = source::without_tests(&blanked).trim_end().lines().count();
        match (lines > FILE_LINES, may_be_long) {
            (true, false) => {
                fault(&format!("has {lines} lines without tests, over the budget of {FILE_LINES}"))
            }
            (false, true) => fault("is in the list of long files but is not long any more"),
            _ => {}
        }
    }
    if is_root(name) {
        root_file(name, text, &mut fault);
    }
    faults
}

/// The comments of a file, each from its `//` to the end of the line.
fn comments<'a>(text: &'a str, blanked: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().zip(blanked.lines()).filter_map(|(line, blank)| {
        let starts = |at: &usize| blank.get(*at..*at + 2) == Some("  ");
        line.match_indices("//").map(|(at, _)| at).find(starts).map(|at| &line[at..])
    })
}

fn is_root(name: &str) -> bool {
    name.ends_with("/src/lib.rs") || name.ends_with("/src/main.rs")
}

fn root_file(name: &str, text: &str, fault: &mut impl FnMut(&str)) {
    if !name.starts_with(UNSAFE_CRATE) && !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
        fault("does not forbid unsafe code");
    }
    let documented = text.lines().take_while(|line| line.starts_with("//!")).count();
    if name.starts_with("crates/") && name.ends_with("lib.rs") && documented < ROOT_DOC_LINES {
        fault(&format!(
            "opens with {documented} lines of documentation; a crate's root takes at least {ROOT_DOC_LINES}"
        ));
    }
}

/// Outside crates that `docs/decisions/dependencies.md` does not account for, and lines about crates that are gone.
fn dependencies(root: &Path) -> Result<Vec<String>> {
    const PAGE: &str = "docs/decisions/dependencies.md";
    let used = workspace::outside_dependencies(root)?;
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read `{PAGE}`"))?;
    let listed: Vec<&str> = page.lines().filter_map(listed).collect();
    let missing = used
        .iter()
        .filter(|name| !listed.contains(&name.as_str()))
        .map(|name| format!("{PAGE}: says nothing of `{name}`"));
    let stale = listed
        .iter()
        .filter(|name| !used.contains(**name))
        .map(|name| format!("{PAGE}: `{name}` is not a dependency"));
    Ok(missing.chain(stale).collect())
}

/// The crate a table row is about: ``| `name` | … |``.
fn listed(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expect: Expect) {
        expect.assert_eq(&file(name, text, false).join("\n"));
    }

    #[test]
    fn a_clean_file_passes() {
        check("crates/a/src/b.rs", "//! What it is.\nfn f() { g(\"todo!\") }\n", expect![""]);
    }

    #[test]
    fn unfinished_words_are_found_in_code_and_comments() {
        check(
            "crates/a/src/b.rs",
            "// no sentence\nfn f() { todo!() } // FIXME: later\n",
            expect![[r#"
                crates/a/src/b.rs: does not open with a `//!` sentence
                crates/a/src/b.rs: holds `todo!`
                crates/a/src/b.rs: holds `FIXME`"#]],
        );
    }

    #[test]
    fn roots_forbid_unsafe_and_explain_themselves() {
        check(
            "crates/a/src/lib.rs",
            "//! One line.\nfn f() {}\n",
            expect![[r#"
                crates/a/src/lib.rs: does not forbid unsafe code
                crates/a/src/lib.rs: opens with 1 lines of documentation; a crate's root takes at least 8"#]],
        );
    }

    #[test]
    fn length_is_counted_without_tests() {
        let body = "fn f() {}\n".repeat(599);
        check(
            "crates/a/src/b.rs",
            &format!("//! A.\n{body}#[cfg(test)]\nmod tests {{\n{body}}}\n"),
            expect![""],
        );
        check(
            "crates/a/src/b.rs",
            &format!("//! A.\n{body}{body}"),
            expect!["crates/a/src/b.rs: has 1199 lines without tests, over the budget of 600"],
        );
    }

    #[test]
    fn rows_name_their_crate() {
        assert_eq!(listed("| `clap` | flags | … |"), Some("clap"));
        assert_eq!(listed("| crate | for |"), None);
    }
}
