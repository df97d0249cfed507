//! What workers answer, in the machine's words.

use crate::error::{Fault, StepError};
use crate::perform::Done;
use ireko_graph::{Event as Answer, NodeId};
use ireko_report::{Blame, StepEnd};
use std::sync::Mutex;
use std::time::Instant;

/// What workers tell the driver.
pub(super) enum Report {
    Answer(Answer, Option<Ended>),
    /// Files changed while they were read: which, in words.
    Stale(NodeId, String),
    Stop,
}

impl Report {
    /// The node whose worker says this.
    pub(super) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Answer(answer, _) => match answer {
                Answer::Selected(node, _)
                | Answer::Performed(node, _)
                | Answer::Failed(node)
                | Answer::InputGone { node, .. } => Some(*node),
                _ => None,
            },
            Self::Stale(node, _) => Some(*node),
            Self::Stop => None,
        }
    }
}

/// How a performed step ended, for people.
pub(super) struct Ended {
    pub(super) node: NodeId,
    pub(super) end: StepEnd,
}

/// What a worker answers, also where it panics: the driver waits for an answer to everything that it asked.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Fault::failed(Blame::Bug, "ireko panicked here; the message stands above")))
}

pub(super) fn select_report(
    node: NodeId,
    outcome: Result<Vec<ireko_oci::SelectionId>, Fault>,
    errors: &Mutex<Vec<StepError>>,
) -> Report {
    match outcome {
        Ok(ids) => Report::Answer(Answer::Selected(node, ids), None),
        Err(fault) => fault_report(node, fault, errors),
    }
}

pub(super) fn perform_report(
    node: NodeId,
    outcome: Result<Done, Fault>,
    began: Instant,
    errors: &Mutex<Vec<StepError>>,
) -> Report {
    let elapsed_ms = began.elapsed().as_millis() as u64;
    match outcome {
        Ok(done) => {
            let end =
                if done.adopted { StepEnd::Adopted { elapsed_ms } } else { StepEnd::Ran { elapsed_ms } };
            Report::Answer(Answer::Performed(node, done.layer), Some(Ended { node, end }))
        }
        Err(fault) => fault_report(node, fault, errors),
    }
}

pub(super) fn fault_report(node: NodeId, fault: Fault, errors: &Mutex<Vec<StepError>>) -> Report {
    let push =
        |error: StepError| errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(error);
    match fault {
        Fault::InputGone(input) => Report::Answer(Answer::InputGone { node, inputs: vec![input] }, None),
        Fault::LayerGone(diff) => {
            let message = format!("layer `{diff}` is no longer in the store");
            fault_report(node, Fault::failed(Blame::Environment, message), errors)
        }
        Fault::Stale(message) => Report::Stale(node, message),
        Fault::Cancelled => {
            Report::Answer(Answer::Failed(node), Some(Ended { node, end: StepEnd::Cancelled }))
        }
        Fault::Failed(failed) => {
            let end = StepEnd::Failed { exit_code: failed.exit_code, message: failed.message.clone() };
            push(StepError {
                node,
                message: failed.message,
                causes: failed.causes,
                hint: failed.hint,
                blame: failed.blame,
                disk_full: failed.disk_full,
                exit_code: failed.exit_code,
                log: failed.log,
            });
            Report::Answer(Answer::Failed(node), Some(Ended { node, end }))
        }
    }
}
