//! The planner: what a Dockerfile asks for, as a build graph.
//!
//! [`plan`] takes a parsed Dockerfile with the arguments of the build, and what is known about images
//! ([`Facts`]). It answers with a [`Plan`], with what it still has to know ([`Need`]), or with what is wrong.
//! It reads no file, asks no registry and runs nothing: whoever calls it answers the needs and calls again, until
//! there are none left.
//!
//! Only the stages that the wanted targets reach are planned, and only their images are asked for.
//!
//! Read first: [`PlanInput`], [`Planned`], [`Plan`], then `stages.rs` (which stage needs which) and `step.rs`
//! (what each instruction does to the state of its stage).
//!
//! ```
//! use ireko_plan::{Facts, PlanInput, Planned, plan};
//! let (ast, _) = ireko_dockerfile::parse("Dockerfile", b"FROM scratch\nENV A=b\n");
//! let Planned::Ready(plan) = plan(&PlanInput::new(ast), &Facts::default()) else { panic!("nothing is lacking") };
//! assert_eq!(plan.outputs[0].config.config.env_get("A"), Some("b"));
//! ```
#![forbid(unsafe_code)]

mod build;
mod copy;
mod directive;
mod epoch;
mod facts;
mod fault;
mod fetch;
mod go;
mod input;
mod meta;
mod output;
mod run;
mod scope;
mod stages;
mod state;
mod trigger;
pub mod values;

pub use build::MAIN_CONTEXT;
pub use directive::other_language;
pub use epoch::{EpochFrom, epoch_from};
pub use facts::{Facts, ImageFact, ImageName, Need};
pub use fetch::source_of as git_source;
pub use input::{ContextSpec, NoCache, PlanInput, StepSettings};
pub use output::{ContextRead, Output, Plan, Planned, UsedImage};

use build::Build;
use fault::Fault;
use ireko_oci::Platform;
use ireko_report::Diagnostic;
use stages::Stages;
use std::collections::BTreeMap;

/// Plans a build.
///
/// What the parser found wrong is not looked at here: an instruction that it could not read is not in the Ast.
pub fn plan(input: &PlanInput, facts: &Facts) -> Planned {
    if let Err(fault) = directive::check(&input.ast, &input.build_args) {
        return Planned::Broken(vec![*fault]);
    }
    let mut draft = Draft { plan: Plan::default(), needs: BTreeMap::new(), faults: Vec::new() };
    let targets: Vec<Option<&str>> = match input.targets.as_slice() {
        [] => vec![None],
        targets => targets.iter().map(|target| Some(target.as_str())).collect(),
    };
    // All of them in one graph: what two platforms have in common is done once.
    let platforms = input.platforms();
    for (target, platform) in targets.iter().flat_map(|target| platforms.iter().map(move |it| (target, it))) {
        if let Err(faults) = draft.target(input, facts, *target, platform) {
            draft.faults.extend(faults.into_iter().map(|fault| *fault));
        }
    }
    let Draft { mut plan, needs, mut faults } = draft;
    if !faults.is_empty() {
        dedup(&mut faults);
        return Planned::Broken(faults);
    }
    if !needs.is_empty() {
        return Planned::Needs(needs.into_values().collect());
    }
    plan.warnings = warnings(input, facts);
    Planned::Ready(Box::new(plan))
}

/// A plan in the making.
struct Draft {
    plan: Plan,
    needs: BTreeMap<(ImageName, Platform), Need>,
    faults: Vec<Diagnostic>,
}

impl Draft {
    fn target(
        &mut self,
        input: &PlanInput,
        facts: &Facts,
        target: Option<&str>,
        platform: &Platform,
    ) -> Result<(), Vec<Fault>> {
        let one = |fault| vec![fault];
        let last = || input.ast.stages.last().and_then(|stage| stage.from.name.as_ref());
        let name = target.or_else(|| last().map(|name| name.value.as_str())).unwrap_or_default();
        let global = scope::global(input, name, platform).map_err(one)?;
        let mut stages = Stages::read(input, &global, platform)?;
        let target = stages.target(target).map_err(one)?;
        let reach = stages.reach(target, facts).map_err(one)?;
        if !reach.needs.is_empty() {
            self.needs.extend(reach.needs);
            return Ok(());
        }
        let done = Vec::with_capacity(stages.shapes.len());
        let plan = &mut self.plan;
        let mut build = Build { input, facts, stages: &stages, global: &global, plan, done };
        let output = build.output(target, &reach.wanted).map_err(one)?;
        self.plan.outputs.push(output);
        let wanted = reach.wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
        self.plan.stages.extend(wanted.map(|(index, _)| index));
        Ok(())
    }
}

/// Two targets meet the same mistake of a stage they share.
fn dedup(faults: &mut Vec<Diagnostic>) {
    let mut seen: Vec<Diagnostic> = Vec::new();
    faults.retain(|fault| {
        let new = !seen.contains(fault);
        if new {
            seen.push(fault.clone());
        }
        new
    });
}

fn warnings(input: &PlanInput, facts: &Facts) -> Vec<Diagnostic> {
    // A trigger may declare arguments too, and not all triggers are known here.
    let unused = if facts.has_triggers() { Vec::new() } else { scope::unused(input, &input.ast) };
    let unused = unused.into_iter().map(|name| {
        let message = format!("no ARG of the Dockerfile takes the build argument `{name}`");
        Diagnostic::warning("unused-build-arg", message)
    });
    let named = match &input.no_cache {
        NoCache::Stages(stages) => stages.as_slice(),
        NoCache::None | NoCache::All => &[],
    };
    let strange = named.iter().filter(|name| input.ast.stage(name).is_none());
    let strange = strange.map(|name| {
        let known = input.ast.stages.iter().filter_map(|stage| stage.from.name.as_ref());
        let message = format!("no stage is called `{name}`, so its cache is not left out");
        let warning = Box::new(Diagnostic::warning("unknown-stage", message));
        *fault::suggest_stage(warning, name, known.map(|name| name.value.as_str()))
    });
    directive::newer(&input.ast, &input.build_args).into_iter().chain(unused).chain(strange).collect()
}

#[cfg(test)]
mod tests;
