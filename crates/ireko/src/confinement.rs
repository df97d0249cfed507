//! Whether a build's steps can be run here, found out before anything runs.

use crate::failure::{Failure, step_frame};
use crate::session::Session;
use ireko_exec::Confinement;
use ireko_graph::op::{Network, Run, Security};
use ireko_graph::{Node, NodeId, Op};
use ireko_plan::Plan;
use ireko_report::SourceText;
use std::path::Path;

/// The commands of a plan's outputs.
pub(crate) fn commands(plan: &Plan) -> impl Iterator<Item = (&Node, &Run)> {
    let outputs: Vec<NodeId> =
        plan.outputs.iter().flat_map(|output| output.node.iter().chain(&output.after)).copied().collect();
    let reached = plan.graph.reachable(&outputs);
    plan.graph.nodes.iter().zip(reached).filter(|(_, reached)| *reached).filter_map(|(node, _)| {
        match &node.op {
            Op::Run(run) => Some((node, &**run)),
            _ => None,
        }
    })
}

/// How the plan's steps are kept apart from this machine. Refuses those that cannot be started: where nothing can, for
/// their platform, or because they ask for what only a namespace gives. `scratch` is a directory for trials.
pub(crate) fn of_steps(
    plan: &Plan,
    source: &SourceText,
    (session, scratch): (&Session, &Path),
) -> Result<Confinement, Failure> {
    let Some((first, _)) = commands(plan).next() else { return Ok(Confinement::Namespaces) };
    let confinement = session.confinement().map_err(|mut failure| {
        let frame = step_frame(source, first.about.lines(), [&failure.message]);
        failure.details.splice(0..0, frame);
        failure
    })?;
    crate::emulation::check_steps(plan, source, scratch, confinement)?;
    if confinement == Confinement::Namespaces {
        return Ok(confinement);
    }
    for (node, run) in commands(plan) {
        let asked = match run {
            Run { network: Network::None, .. } => "`--network=none`",
            Run { hostname: Some(_), .. } => "a host name",
            Run { security: Security::Insecure, .. } => "`--security=insecure`",
            Run { devices, .. } if !devices.is_empty() => "a device",
            _ => continue,
        };
        let message = format!("the step asks for {asked}, which needs a namespace, and there are none here");
        let mut failure = Failure::environment(message);
        failure.details = step_frame(source, node.about.lines(), [&failure.message]);
        failure.details.extend(session.passed.iter().map(|why| format!("  {why}")));
        return Err(failure.hint("`ireko doctor` says what keeps the better levels away"));
    }
    Ok(confinement)
}
