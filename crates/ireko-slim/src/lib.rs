//! What a program needs of a file system: its interpreter, its shared objects, and what else it is seen to ask for.
//!
//! [`closure()`] follows the rules of the dynamic loader (ld.so(8)) inside a [`Root`], which need not be this machine's:
//! search paths of each object, `$ORIGIN`, the loader's cache and its built-in directories, musl's rules for musl, and
//! `#!` lines. It names every link on the way, since `/lib64` and its like are no files that a trace of system calls
//! would show. What it cannot see (`dlopen`) it says.
//!
//! ```no_run
//! use ireko_slim::{Dir, Options, closure};
//! let needs = closure(&Dir::new("/"), &["/usr/bin/hello"], &Options::default())?;
//! assert!(needs.files.keys().any(|path| path.ends_with("/libc.so.6")));
//! # Ok::<(), ireko_slim::Error>(())
//! ```
#![forbid(unsafe_code)]

mod closure;
mod elf;
mod files;
mod help;
mod loader;
mod script;

pub use closure::{Closure, Found, Options, closure};
pub use elf::Machine;
pub use files::{Dir, Node, Place, Root, follow};
pub use help::Help;

use std::io;

use ireko_report::Blame;

/// Why it is not known what a program needs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Which one, inside the root.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// There is no such program.
    #[error("`{path}` is not there{}", wanted(wanted_by.as_deref()))]
    Absent {
        /// Which one.
        path: String,
        /// The script that names it as its interpreter.
        wanted_by: Option<String>,
    },
    /// It is neither ELF nor a script.
    #[error("`{path}` is neither an ELF program nor a script that names its interpreter")]
    NoProgram {
        /// Which one.
        path: String,
    },
    /// It reads as ELF, and is damaged.
    #[error("`{path}` is a damaged ELF file: {problem}")]
    Damaged {
        /// Which one.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// It is for another machine.
    #[error("`{path}` is for {found}, and {wanted} is asked for")]
    Machine {
        /// Which one.
        path: String,
        /// What it is for.
        found: Machine,
        /// What was asked for.
        wanted: Machine,
    },
    /// The loader would not find a shared object.
    #[error("shared object `{name}` is not there, wanted by {}", chain(wanted_by))]
    Missing {
        /// Its name.
        name: String,
        /// Who wants it, the nearest first, back to the program.
        wanted_by: Vec<String>,
        /// Where it was looked for.
        searched: Vec<String>,
        /// Where one of that name is for another machine.
        foreign: Option<String>,
    },
}

fn wanted(by: Option<&str>) -> String {
    by.map(|by| format!(", and `{by}` is run by it")).unwrap_or_default()
}

fn chain(by: &[String]) -> String {
    by.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", wanted by ")
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Read { .. } => Blame::Environment,
            _ => Blame::User,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { foreign: Some(path), .. } => {
                Some(format!("`{path}` has that name, and is for another machine"))
            }
            Self::Absent { path, wanted_by: Some(by) } if path == "/usr/bin/env" => Some(format!(
                "`--deb coreutils` has it; or name the interpreter itself: in the first line of `{by}`, or with `--cmd`"
            )),
            Self::Missing { searched, .. } => Some(format!(
                "it was looked for in {}; install the package that has it, or name its directory with `--library-path`",
                searched.join(", ")
            )),
            Self::NoProgram { .. } => {
                Some("a script's first line names what runs it: `#!/bin/sh`".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
