//! `cargo xtask measure`: the numbers the budgets speak of.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source::{self, Function, Role};
use crate::workspace;

/// A function longer than a screen.
const LONG: usize = 70;
/// How many of the longest functions and files are shown.
const SHOWN: usize = 10;

#[derive(Default)]
struct Crate {
    files: usize,
    code: usize,
    tests: usize,
    in_long: usize,
}

/// Prints lines by crate, the share of code in long functions, and the longest functions and files.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    let mut longest: Vec<(usize, String)> = Vec::new();
    let mut files: Vec<(usize, String)> = Vec::new();
    for path in workspace::rust_files(root)? {
        let name = path.to_string_lossy().into_owned();
        let text = fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read `{name}`"))?;
        let blanked = source::blank(&text);
        let code = match source::role(&name) {
            Role::Code => source::without_tests(&blanked),
            Role::Test => String::new(),
        };
        let entry = crates.entry(owner(&name)).or_default();
        let lines = source::code_lines(&code);
        entry.files += 1;
        entry.code += lines;
        entry.tests += source::code_lines(&blanked) - lines;
        let functions = source::functions(&code);
        entry.in_long += long_lines(&functions);
        longest.extend(
            functions
                .iter()
                .map(|function| (function.lines, format!("{name}:{} {}", function.line, function.name))),
        );
        files.push((code.trim_end().lines().count(), name));
    }
    table(&crates);
    top("longest functions", longest);
    top("longest files, tests aside", files);
    Ok(true)
}

/// Lines inside functions over the limit; a function inside a long one is not counted again.
fn long_lines(functions: &[Function]) -> usize {
    let mut total = 0;
    let mut covered = 0;
    for function in functions.iter().filter(|function| function.lines > LONG) {
        if function.line > covered {
            total += function.lines;
            covered = function.line + function.lines - 1;
        }
    }
    total
}

/// The crate a path belongs to.
fn owner(name: &str) -> String {
    let mut parts = name.split('/');
    match parts.next() {
        Some("crates") => parts.next().unwrap_or("crates").to_owned(),
        other => other.unwrap_or_default().to_owned(),
    }
}

fn table(crates: &BTreeMap<String, Crate>) {
    println!("{:<20} {:>6} {:>7} {:>7} {:>10}", "crate", "files", "code", "tests", "in long fn");
    let mut sum = Crate::default();
    for (name, each) in crates {
        row(name, each);
        sum.files += each.files;
        sum.code += each.code;
        sum.tests += each.tests;
        sum.in_long += each.in_long;
    }
    row("all", &sum);
}

fn row(name: &str, each: &Crate) {
    let share = 100.0 * each.in_long as f64 / each.code.max(1) as f64;
    println!("{name:<20} {:>6} {:>7} {:>7} {share:>9.1}%", each.files, each.code, each.tests);
}

fn top(title: &str, mut entries: Vec<(usize, String)>) {
    entries.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    println!("\n{title}");
    for (lines, name) in entries.iter().take(SHOWN) {
        println!("{lines:>6}  {name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_functions_are_counted_once() {
        let function = |line, lines| Function { name: String::new(), line, lines };
        assert_eq!(
            long_lines(&[function(1, 200), function(10, 80), function(300, 20), function(400, 71)]),
            271
        );
    }

    #[test]
    fn files_belong_to_their_crate() {
        assert_eq!(owner("crates/ireko-oci/src/lib.rs"), "ireko-oci");
        assert_eq!(owner("xtask/src/main.rs"), "xtask");
    }
}
