//! Dockerfile text to a lossless [`Ast`] with spans, and the small languages inside it.
//!
//! Parsing never fails and reads no file: [`parse()`] gives an [`Ast`] and the diagnostics, several
//! at once. The meaning is BuildKit's; where its reference is silent, its behaviour.
//!
//! The Ast holds words as they are written, variables unexpanded and quotes in place. Whoever
//! knows the variables' values expands them with [`words`], then hands the result to the small
//! parsers: [`mount`] for `RUN --mount`, [`expose`] for port specs, [`chmod`] and [`owner`] for
//! COPY's flags, [`gitref`] for git repositories. [`ignore`] and [`glob`] match paths.
//!
//! Read first: [`Ast`], [`InstructionKind`], [`words::Lexer`].
//!
//! ```
//! let (ast, diagnostics) = ireko_dockerfile::parse("Dockerfile", b"FROM busybox AS app\nRUN echo hi\n");
//! assert!(diagnostics.is_empty());
//! assert_eq!(ast.stages[0].from.base.value, "busybox");
//! assert_eq!(ast.stages[0].instructions[0].at.original, "RUN echo hi");
//! ```
#![forbid(unsafe_code)]

mod ast;
pub mod chmod;
pub mod device;
pub mod duration;
pub mod expose;
pub mod gitref;
pub mod glob;
pub mod ignore;
mod json;
pub mod mount;
pub mod owner;
mod parse;
pub mod path;
pub mod words;

pub use ast::{
    Add, ArgItem, Ast, Command, Comment, Copy, Directive, DirectiveKind, From, Healthcheck, Heredoc,
    Instruction, InstructionKind, MetaArg, Onbuild, Pair, Place, Run, RunForm, Source, Spanned, Stage, Word,
};
pub use json::array_advice;
#[doc(hidden)]
pub use json::string_array;
#[doc(hidden)]
pub use parse::dump::{Dump, dump};
pub use parse::{parse, parse_trigger};
