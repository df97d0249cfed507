//! The order in which a Dockerfile is gone through: as read, as named, then stage by stage as a build would.

use crate::checks::Checks;
use crate::dispatch::{Dispatch, Step};
use crate::from::{self, Globals, Head};
use crate::input::Input;
use crate::outline::Notes;
use crate::report::{Fault, Findings, Report};
use crate::rules;
use crate::vars::Vars;
use ireko_dockerfile::{InstructionKind, Place, Stage};
use ireko_oci::ImageConfig;
use ireko_report::Diagnostic;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Where programs are looked for, when an image does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Inspects a Dockerfile. An error is one of what is asked of the inspection, not of the Dockerfile.
pub fn lint(input: &Input) -> Result<Findings, Fault> {
    let mut report = Report::new(Checks::of(input)?);
    let fault = walk(input, &mut report).err();
    Ok(report.finish(fault))
}

/// What is left after the walk, for an outline.
#[derive(Debug, Default)]
pub(crate) struct Walked<'a> {
    pub(crate) globals: Globals<'a>,
    pub(crate) heads: Vec<Head>,
    /// By stage; `None` for one that was not gone through.
    pub(crate) notes: Vec<Option<Notes>>,
}

/// Goes through everything once.
pub(crate) fn walk<'a>(input: &Input<'a>, report: &mut Report) -> Result<Walked<'a>, Fault> {
    as_read(input, report)?;
    rules::reserved_stage_name::check(input.ast, report);
    rules::duplicate_stage_name::check(input.ast, report);
    rules::consistent_instruction_casing::check(input.ast, report);
    let known = from::predefined(input);
    // Without build arguments first: a base must be one by the defaults alone.
    if let Ok(defaults) = from::globals(input, &known, |_| None) {
        rules::invalid_default_arg_in_from::check(input.ast, &defaults.vars, report);
    }
    let globals = from::globals(input, &known, |name| input.given(name).map(str::to_owned))?;
    let heads = from::heads(input, &globals, report)?;
    let wanted = from::wanted(input, &heads);
    let mut states: Vec<Option<State>> = Vec::new();
    let mut notes = Vec::new();
    for (index, stage) in input.ast.stages.iter().enumerate() {
        if !wanted[index] || heads[index].replaced {
            states.push(None);
            notes.push(None);
            continue;
        }
        let below = heads[index].below.and_then(|below| Some((below, states[below].as_ref()?)));
        let mut pass = Pass { input, globals: &globals, head: &heads[index], report };
        let (state, own) = pass.stage(stage, below);
        states.push(Some(state));
        notes.push(Some(own));
    }
    Ok(Walked { globals, heads, notes })
}

/// What stands on a line alone, in the order of the text, up to the first instruction that cannot be read.
fn as_read(input: &Input, report: &mut Report) -> Result<(), Fault> {
    let errors = || input.diagnostics.iter().filter(|found| found.is_error());
    // The whole text is split into words before any instruction is read.
    if let Some(error) = errors().find(|error| is_of_splitting(error)) {
        return Err(misread(input, error));
    }
    rules::no_empty_continuation::check(input, report);
    let error = errors().next();
    let end = error.and_then(|error| error.span()).map_or(u32::MAX, |span| span.start);
    for arg in input.ast.meta_args.iter().filter(|arg| arg.at.span.start < end) {
        rules::invalid_definition_description::check_arg(&arg.at, &arg.args, report);
    }
    for stage in input.ast.stages.iter().filter(|stage| stage.at.span.start < end) {
        rules::stage_name_casing::check(input.ast, stage, report);
        rules::from_as_casing::check(input.ast, stage, report);
        rules::invalid_definition_description::check_stage(stage, report);
        for instruction in stage.instructions.iter().filter(|step| step.at.span.start < end) {
            match &instruction.kind {
                InstructionKind::Maintainer(name) => {
                    rules::maintainer_deprecated::check(&instruction.at, name, report);
                }
                InstructionKind::Arg(args) => {
                    rules::invalid_definition_description::check_arg(&instruction.at, args, report);
                }
                _ => {}
            }
        }
    }
    error.map_or(Ok(()), |error| Err(misread(input, error)))
}

/// Whether a text with this mistake cannot even be split into instructions and their words.
fn is_of_splitting(error: &Diagnostic) -> bool {
    matches!(&*error.code, "directive" | "empty" | "heredoc" | "line-too-long" | "not-utf8" | "syntax")
}

/// A mistake that the parser found. One within an instruction is told with its line, as BuildKit does.
fn misread(input: &Input, error: &Diagnostic) -> Fault {
    let span = error.span();
    let lines = span.and_then(|span| {
        let line = input.ast.source.line_of(span.start);
        let whole = input.ast.wrong.iter().find(|lines| lines.contains(&line)).cloned();
        // What the whole text lacks has no lines.
        whole.or((!matches!(&*error.code, "empty" | "no-stage")).then_some(line..=line))
    });
    let message = match &lines {
        Some(lines) if !is_of_splitting(error) && error.code != "no-stage" => {
            format!("dockerfile parse error on line {}: {}", lines.start(), error.message)
        }
        _ => error.message.clone(),
    };
    Fault { message, lines, span }
}

/// What an instruction of a stage may see, and what it leaves to the next.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Variables: the image's and the build arguments.
    pub(crate) vars: Vars,
    /// Build arguments declared so far, with and without a value.
    pub(crate) declared: Rc<BTreeSet<String>>,
    /// The variables of the base are known.
    pub(crate) known: bool,
    /// Some WORKDIR of this Dockerfile was said.
    pub(crate) workdir: bool,
    /// SHELL was said, here or in the base; or nobody knows.
    pub(crate) shell: bool,
}

impl State {
    fn on(config: Option<&ImageConfig>, is_scratch: bool) -> Self {
        let mut vars = Vars::default();
        vars.set("PATH", DEFAULT_PATH);
        for pair in config.iter().flat_map(|config| &config.config.env) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            vars.set(name, value);
        }
        let known = config.is_some() || is_scratch;
        Self {
            vars,
            declared: Rc::default(),
            known,
            workdir: false,
            shell: config.map_or(!known, |config| !config.config.shell.is_empty()),
        }
    }
}

/// One stage.
struct Pass<'a, 'r> {
    input: &'a Input<'a>,
    globals: &'a Globals<'a>,
    head: &'a Head,
    report: &'r mut Report,
}

impl Pass<'_, '_> {
    fn stage(&mut self, stage: &Stage, below: Option<(usize, &State)>) -> (State, Notes) {
        let state = match below {
            Some((_, below)) => below.clone(),
            None => {
                let config = self.input.base(&self.head.base, self.head.platform.as_ref());
                if let Some(config) = config {
                    let expected = self.head.platform.as_ref().unwrap_or(&self.input.target_platform);
                    rules::invalid_base_image_platform::check(
                        stage,
                        &self.head.base,
                        (expected, config),
                        self.report,
                    );
                }
                State::on(config, self.head.base == "scratch")
            }
        };
        let triggers = from::triggers(self.input, self.head);
        let mut dispatch = Dispatch::new(self.input, self.globals, state, self.report);
        // The comments above FROM are not the triggers'.
        let at_from = Place { comments: Vec::new(), ..stage.at.clone() };
        for trigger in &triggers {
            dispatch.step(&Step::trigger(trigger, (&at_from, stage.from.base.span)));
        }
        for instruction in &stage.instructions {
            dispatch.step(&Step::own(instruction, self.input.ast.escape));
        }
        dispatch.finish()
    }
}

/// The keyword of an instruction as it is written.
pub(crate) fn keyword(place: &Place) -> &str {
    &place.keyword.value
}
