//! The one stream of what a build says, and where it can be sent.

use crate::{Blame, Diagnostic, MissReason};
use serde::Serialize;
use std::sync::Mutex;

/// The version of the form of events as JSON, `docs/format/events.md`. One more whenever a reader of the old form could
/// not read the new one.
pub const FORMAT: u32 = 1;

/// Which output of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StepEnd {
    /// Its result was remembered under its key.
    Hit,
    /// It ran.
    Ran {
        /// For how long.
        elapsed_ms: u64,
    },
    /// It did not need to run: what lay below ran again and gave the same result.
    CutOff,
    /// It ran and gave a tree that was stored already, whose layer is used.
    Adopted {
        /// For how long it ran.
        elapsed_ms: u64,
    },
    /// It failed.
    Failed {
        /// Exit code of its program, where it had one.
        exit_code: Option<i32>,
        /// What went wrong.
        message: String,
    },
    /// It was stopped because another step failed or the person asked.
    Cancelled,
}

/// The size of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LayerSize {
    /// The step that gave it.
    pub node: u32,
    /// Its bytes.
    pub bytes: u64,
}

/// One thing that happened. `node` is the step's number in the build graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first of a stream that a program reads: in which form the others are.
    Stream {
        /// [`FORMAT`].
        version: u32,
        /// The version of ireko.
        ireko: &'static str,
    },
    /// The graph is known.
    BuildStarted {
        /// How many steps it has.
        steps: u32,
    },
    /// A step is known; it may never start.
    StepQueued {
        /// The step.
        node: u32,
        /// Stage it belongs to: its name or number.
        stage: String,
        /// As shown: `[app 2/5] RUN make`.
        display: String,
        /// Platform, where the build has several.
        platform: Option<String>,
    },
    /// A step that was not remembered begins.
    StepStarted {
        /// The step.
        node: u32,
    },
    /// A step's program wrote something.
    StepLog {
        /// The step.
        node: u32,
        /// Where it wrote.
        stream: Stream,
        /// What; any bytes, not cut at lines.
        #[serde(serialize_with = "as_text")]
        bytes: Vec<u8>,
    },
    /// A step that wrote something has a file with all of it.
    StepLogFile {
        /// The step.
        node: u32,
        /// The file.
        path: String,
    },
    /// Something long goes on.
    Progress {
        /// The step, where it belongs to one.
        node: Option<u32>,
        /// What is done: `pulling sha256:…`.
        what: String,
        /// How much is done, in bytes.
        done: u64,
        /// Of how much, where known.
        total: Option<u64>,
    },
    /// A step ended.
    StepFinished {
        /// The step.
        node: u32,
        /// How.
        end: StepEnd,
        /// Why it was not a hit, where it was not.
        miss: Option<MissReason>,
    },
    /// All differences of a missed step, for `--explain`.
    MissExplained {
        /// The step.
        node: u32,
        /// One difference a line.
        lines: Vec<String>,
    },
    /// Where an image named by FROM came from.
    BaseResolved {
        /// The step.
        node: u32,
        /// As named.
        reference: String,
        /// `store`, a registry's host, or the path of a layout.
        from: String,
        /// Digest of its manifest or config.
        digest: String,
    },
    /// Something to know about that does not stop the build.
    Warning {
        /// What.
        diagnostic: Diagnostic,
    },
    /// How big the layers of an image are, as uncompressed tars.
    Layers {
        /// The stage that it is the end of: its name or number.
        stage: String,
        /// Its platform.
        platform: String,
        /// Bytes of its base's layers, where all of them are known.
        base: Option<u64>,
        /// The layers that the steps of this build gave it, bottom first.
        layers: Vec<LayerSize>,
    },
    /// An image or tree was written somewhere.
    Exported {
        /// Where, as asked for.
        destination: String,
        /// Config digest: the image id.
        image: Option<String>,
        /// Manifest digest, where a manifest was written.
        manifest: Option<String>,
        /// How many bytes were written.
        bytes: u64,
    },
    /// Why the build fails.
    Error {
        /// What failed.
        message: String,
        /// Why, outermost first.
        causes: Vec<String>,
        /// Lines for people: the place in the Dockerfile, the end of a log.
        details: Vec<String>,
        /// What to do next.
        hint: Option<String>,
        /// Whose fault it is.
        blame: Blame,
        /// The exit code of the process.
        exit_code: u8,
    },
    /// All is done.
    BuildFinished {
        /// Whether it succeeded.
        success: bool,
        /// For how long it ran.
        elapsed_ms: u64,
    },
}

/// Where events go. Called from many threads at once; must return fast.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

impl Sink for Mutex<Vec<Event>> {
    fn emit(&self, event: Event) {
        self.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(event);
    }
}

impl<F: Fn(Event) + Send + Sync> Sink for F {
    fn emit(&self, event: Event) {
        self(event);
    }
}

/// A sink that forgets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Null;

impl Sink for Null {
    fn emit(&self, _: Event) {}
}

/// JSON has no bytes: what is not UTF-8 is replaced. The whole log lies in the step's log file.
fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests;
