//! Why a build failed: the step, what went wrong, whose fault it is.

use crate::files_error::FilesError;
use ireko_graph::NodeId;
use ireko_oci::Digest;
use ireko_report::Blame;
use std::path::PathBuf;

/// A failed build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A step failed.
    #[error("{0}")]
    Step(StepError),
    /// The build was stopped.
    #[error("interrupted")]
    Interrupted,
    /// The store failed outside any step.
    #[error(transparent)]
    Store(#[from] ireko_store::Error),
    /// The solver stopped without an outcome: a mistake of ours.
    #[error("the build stopped before its end without a reason")]
    Stuck,
}

impl BuildError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Step(step) => step.blame,
            Self::Interrupted => Blame::Interrupted,
            Self::Store(error) => error.blame(),
            Self::Stuck => Blame::Bug,
        }
    }

    /// Whether there was no room left on a file system.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Step(step) => step.disk_full,
            Self::Store(error) => ireko_report::is_disk_full(error),
            Self::Interrupted | Self::Stuck => false,
        }
    }
}

/// A failed step.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// Which.
    pub node: NodeId,
    /// What went wrong, lower case.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// Whose fault it is.
    pub blame: Blame,
    /// There is no room left on the file system that it wrote to.
    pub disk_full: bool,
    /// Exit code of the step's program.
    pub exit_code: Option<i32>,
    /// Where the whole log of the step is.
    pub log: Option<PathBuf>,
}

/// Why one operation was not performed, before it is known to whom it is told.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The layer of one of its inputs is gone, though a record promised it.
    InputGone(NodeId),
    /// A layer is gone, or damaged and so as good as gone; whose it is has still to be found out.
    LayerGone(Digest),
    /// Files changed between the keying and the reading.
    Stale(String),
    /// Somebody asked to stop.
    Cancelled,
    /// It failed.
    Failed(Box<Failed>),
}

/// The failure of one operation.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    pub(crate) blame: Blame,
    pub(crate) disk_full: bool,
    pub(crate) exit_code: Option<i32>,
    pub(crate) log: Option<PathBuf>,
}

impl Fault {
    /// A failure with a message alone.
    pub(crate) fn failed(blame: Blame, message: impl Into<String>) -> Self {
        Self::Failed(Box::new(Failed {
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            blame,
            disk_full: false,
            exit_code: None,
            log: None,
        }))
    }

    /// An error of a library, with its causes.
    pub(crate) fn of(blame: Blame, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut failed = Self::failed(blame, error.to_string());
        if let Self::Failed(failed) = &mut failed {
            failed.disk_full = ireko_report::is_disk_full(error);
        }
        let mut source = error.source();
        while let (Self::Failed(failed), Some(cause)) = (&mut failed, source) {
            failed.causes.push(cause.to_string());
            source = cause.source();
        }
        failed
    }

    /// The same below another message, which says what was being done.
    pub(crate) fn named(mut self, message: String) -> Self {
        if let Self::Failed(failed) = &mut self {
            let cause = std::mem::replace(&mut failed.message, message);
            failed.causes.insert(0, cause);
        }
        self
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Failed(failed) = &mut self {
            failed.hint = Some(hint.into());
        }
        self
    }

    /// The same with the hint of what it came from, where that has one.
    pub(crate) fn hinted(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }
}

impl From<FilesError> for Fault {
    fn from(error: FilesError) -> Self {
        if error.is_stale() {
            return Self::Stale(error.to_string());
        }
        match &error {
            FilesError::Store(ireko_store::Error::LayerGone { diff }) => return Self::LayerGone(*diff),
            FilesError::Interrupted => return Self::Cancelled,
            _ => {}
        }
        Self::of(error.blame(), &error).hinted(error.hint())
    }
}

impl From<ireko_store::Error> for Fault {
    fn from(error: ireko_store::Error) -> Self {
        if let ireko_store::Error::LayerGone { diff } = &error {
            return Self::LayerGone(*diff);
        }
        Self::of(error.blame(), &error)
    }
}
