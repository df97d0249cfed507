//! Everything that is said to a person, as plain data: spans, diagnostics, events, blame.
//!
//! Nothing here draws, prints, colours or knows a terminal. A library says *what* happened by
//! emitting an [`Event`] into a [`Sink`] or by returning [`Diagnostic`]s; the command line (the
//! live view, the plain log, JSON lines, the history file) and the tests are readers of that.
//!
//! Read first: [`Event`], [`Diagnostic`], [`Blame`].
//!
//! ```
//! use ireko_report::{Event, Sink, StepEnd};
//! let seen = std::sync::Mutex::new(Vec::new());
//! seen.emit(Event::StepFinished { node: 3, end: StepEnd::Ran { elapsed_ms: 12 }, miss: None });
//! assert_eq!(seen.lock().unwrap().len(), 1);
//! ```
#![forbid(unsafe_code)]

mod blame;
mod diagnostic;
mod event;
mod miss;
mod source;

pub use blame::{Blame, is_disk_full};
pub use diagnostic::{Diagnostic, Label, Severity, is_misspelt, nearest_names};
pub use event::{Event, FORMAT, LayerSize, Null, Sink, StepEnd, Stream};
pub use miss::MissReason;
pub use source::{Position, SourceText, Span};
