//! The project's own chores: `cargo xtask tidy | measure | ci`.
//!
//! - `tidy` holds the tree to the rules no compiler checks: who may use whom (`layers.toml`), how files open,
//!   how long they are, words that must not be left behind, and that each dependency is accounted for.
//! - `measure` prints the numbers the budgets speak of.
//! - `ci` runs what must pass before a change lands: format, lints, tidy, tests, documentation.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its caller")]

mod ci;
mod layers;
mod measure;
mod source;
mod tidy;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy | measure | ci [--no-tests]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(&root()),
        ["measure"] => measure::run(&root()),
        ["ci"] => ci::run(&root(), ci::Tests::Run),
        ["ci", "--no-tests"] => ci::run(&root(), ci::Tests::Skip),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// The workspace's folder: this crate's own, one up.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies inside the workspace").to_owned()
}
