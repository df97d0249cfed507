//! Instructions to run in a stage: its own, and the ONBUILD triggers of its base.

use crate::fault::{Fault, fault};
use ireko_dockerfile::{Instruction, InstructionKind, Stage, Word};
use ireko_report::Span;

/// An instruction that runs in a stage.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The instruction.
    pub(crate) instruction: Instruction,
    /// Escape character of the text it was read from.
    pub(crate) onbuild: bool,
    /// Where it stands; for a trigger, where FROM stands.
    pub(crate) span: Span,
    /// Its lines; for a trigger, FROM's.
    pub(crate) lines: (u32, u32),
    /// `--from` of a COPY with its variables resolved, where it holds any.
    pub(crate) from: Option<String>,
}

impl Step {
    /// What `--from` of a COPY names.
    pub(crate) fn named_by<'a>(&'a self, word: &'a Word) -> &'a str {
        self.from.as_deref().unwrap_or(&word.value)
    }

    /// The place of a part of the instruction, or of FROM for a trigger, whose text is elsewhere.
    pub(crate) fn at(&self, part: Span) -> Span {
        if self.onbuild { self.span } else { part }
    }
}

/// The instructions of a stage.
pub(crate) fn own_steps(stage: &Stage) -> impl Iterator<Item = Step> + '_ {
    stage.instructions.iter().map(|instruction| Step {
        instruction: instruction.clone(),
        onbuild: false,
        span: instruction.at.span,
        lines: (*instruction.at.lines.start(), *instruction.at.lines.end()),
        from: None,
    })
}

/// The triggers that `below` holds for a stage that stands on it.
pub(crate) fn onbuild_steps(below: &Stage, stage: &Stage) -> Result<Vec<Step>, Fault> {
    let triggers = below.instructions.iter().filter_map(|instruction| match &instruction.kind {
        InstructionKind::Onbuild(onbuild) => Some(onbuild.text.clone()),
        _ => None,
    });
    parse_triggers(&triggers.collect::<Vec<_>>(), stage)
}

/// Reads triggers, for a stage that stands on what holds them.
pub(crate) fn parse_triggers(triggers: &[String], stage: &Stage) -> Result<Vec<Step>, Fault> {
    triggers.iter().map(|trigger| parse_trigger(trigger, stage)).collect()
}

fn parse_trigger(trigger: &str, stage: &Stage) -> Result<Step, Fault> {
    let span = stage.from.base.span;
    let text = format!("FROM scratch\n{trigger}\n");
    let (mut ast, problems) = ireko_dockerfile::parse("ONBUILD", text.as_bytes());
    let wrong = |why: &str| {
        let base = &stage.from.base.value;
        fault("bad-onbuild", format!("cannot read the ONBUILD trigger `{trigger}` of `{base}`: {why}"), span)
    };
    if let Some(problem) = problems.iter().find(|problem| problem.is_error()) {
        return Err(wrong(&problem.message));
    }
    let instructions = ast.stages.pop().map(|stage| stage.instructions).unwrap_or_default();
    let Ok([instruction]) = <[Instruction; 1]>::try_from(instructions) else {
        return Err(wrong("it is not a single instruction"));
    };
    let lines = (*stage.at.lines.start(), *stage.at.lines.end());
    Ok(Step { instruction, onbuild: true, span, lines, from: None })
}
