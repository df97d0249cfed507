//! `cargo xtask ci`: what must pass before a change lands, in the order that fails soonest.
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tidy;

/// Whether the tests are part of the run, or are run by a caller that needs them in several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    Run,
    Skip,
}

/// Runs every check, goes on after a failure, and says at the end which failed.
pub(crate) fn run(root: &Path, tests: Tests) -> Result<bool> {
    let mut failed = Vec::new();
    if !step(root, &["cargo", "fmt", "--all", "--check"], &[])? {
        failed.push("format");
    }
    if !tidy::run(root)? {
        failed.push("tidy");
    }
    if !step(root, &["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])? {
        failed.push("clippy");
    }
    if tests == Tests::Run && !step(root, test_command(root), &[])? {
        failed.push("tests");
    }
    let strict = [("RUSTDOCFLAGS", "-D warnings")];
    if !step(
        root,
        &["cargo", "doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"],
        &strict,
    )? {
        failed.push("documentation");
    }
    // Who runs the tests in several ways also builds what is fuzzed.
    let fuzz = ["cargo", "check", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--bins"];
    if tests == Tests::Run && !step(root, &fuzz, &[])? {
        failed.push("fuzz targets");
    }
    match failed.as_slice() {
        [] => println!("ci: all checks passed"),
        failed => println!("ci: failed: {}", failed.join(", ")),
    }
    Ok(failed.is_empty())
}

/// nextest where it is installed, else what every toolchain has.
fn test_command(root: &Path) -> &'static [&'static str] {
    let present = Command::new("cargo").args(["nextest", "--version"]).current_dir(root).output();
    if present.is_ok_and(|output| output.status.success()) {
        &["cargo", "nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["cargo", "test", "--workspace", "--no-fail-fast"]
    }
}

/// Runs one command in `root` with its output shown; true when it succeeds.
fn step(root: &Path, command: &[&str], variables: &[(&str, &str)]) -> Result<bool> {
    println!("ci: {}", command.join(" "));
    let status = Command::new(command[0])
        .args(&command[1..])
        .envs(variables.iter().copied())
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot run `{}`", command[0]))?;
    Ok(status.success())
}
