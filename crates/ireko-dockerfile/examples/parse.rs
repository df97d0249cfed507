//! Parses the Dockerfile named by the last argument: exit code 2 where it is wrong. With `--sexp` it
//! prints what BuildKit's parser would.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program, not a library")]

use ireko_dockerfile::{dump, parse};
use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.last().cloned().unwrap_or_default();
    let text = std::fs::read(&path)?;
    if arguments.iter().any(|argument| argument == "--sexp") {
        return Ok(match dump(&text) {
            Ok(dump) => {
                println!("{}", dump.text);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{}", error.message);
                ExitCode::from(2)
            }
        });
    }
    let (ast, diagnostics) = parse(&path, &text);
    for found in &diagnostics {
        let line = found.span().map_or(0, |span| ast.source.line_of(span.start));
        eprintln!("{path}:{line}: {}", found.message);
    }
    Ok(if diagnostics.iter().any(|found| found.is_error()) { ExitCode::from(2) } else { ExitCode::SUCCESS })
}
