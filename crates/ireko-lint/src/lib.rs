//! Inspection of a Dockerfile: what is better written otherwise, and what a target takes.
//!
//! [`lint()`] goes through a Dockerfile in the order in which a build would, with the configs of the images it stands
//! on, and asks the rules. Names, messages, URLs and lines of the rules are BuildKit's, so that a list of skipped rules
//! means the same in both. [`outline()`] says which arguments, secrets, ssh agents and caches a target takes,
//! [`targets()`] which stages there are. Nothing here reads a file, asks a registry or prints.
//!
//! Read first: [`Input`], [`Warning`], `walk.rs` (the order of things), then any file in `rules/`.
//!
//! ```
//! use ireko_lint::{Input, lint};
//! let (ast, diagnostics) = ireko_dockerfile::parse("Dockerfile", b"FROM scratch AS Build\n");
//! let found = lint(&Input::new(&ast, &diagnostics)).unwrap();
//! assert_eq!(found.warnings[0].rule.name, "StageNameCasing");
//! assert_eq!(found.warnings[0].detail, "Stage name 'Build' should be lowercase");
//! ```
#![forbid(unsafe_code)]

mod checks;
mod dispatch;
mod from;
mod input;
mod outline;
mod report;
pub mod rules;
mod suggest;
mod targets;
#[cfg(test)]
mod tests;
mod vars;
mod walk;

pub use input::{Input, Scope};
pub use outline::{CacheMount, Outline, OutlineArg, Required, outline};
pub use report::{Fault, Findings, Rule, Warning};
pub use targets::{Target, targets};
pub use walk::lint;
