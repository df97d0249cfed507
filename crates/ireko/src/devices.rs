//! Devices of this machine for RUN steps: the flags, and a look before anything runs.

use crate::confinement::commands;
use crate::environment::Environment;
use crate::failure::{Failure, step_frame};
use crate::session::Session;
use clap::Args;
use ireko_exec::ReadyDevices;
use ireko_exec::cdi::{Allowed, DeviceError, Devices, SPEC_DIRS};
use ireko_graph::op::Device;
use ireko_plan::Plan;
use ireko_report::{Blame, SourceText};
use std::path::{Path, PathBuf};

/// Where descriptions of devices are looked for, unless the flag says so: directories with colons between them.
const VARIABLE: &str = "IREKO_CDI_SPEC_DIRS";

/// Flags of `build` and `run`.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// A device of this machine for every RUN step or the container, by its CDI name: `vendor.com/class=name`.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Vec<String>,
    /// Where descriptions of devices are, in place of /etc/cdi and the like (default: $IREKO_CDI_SPEC_DIRS).
    #[arg(long, value_name = "DIR")]
    pub(crate) cdi_spec_dir: Vec<PathBuf>,
}

impl DeviceArgs {
    /// What every step asks for.
    pub(crate) fn wanted(&self) -> Vec<Device> {
        self.device.iter().map(|name| Device { name: name.clone(), required: true }).collect()
    }

    /// The devices there are. Their files are read only where a step asks for one.
    fn read(&self, plan: &Plan, environment: &Environment) -> Devices {
        match steps(plan).next() {
            Some(_) => self.known(environment),
            None => Devices::default(),
        }
    }

    /// The devices of a container, made ready in a new directory; they live as long as what is returned.
    pub(crate) fn ready(&self, environment: &Environment, dir: &Path) -> Result<ReadyDevices, Failure> {
        if self.device.is_empty() {
            return Ok(ReadyDevices::default());
        }
        std::fs::create_dir(dir).map_err(|error| {
            Failure::environment(format!("cannot make directory `{}`", dir.display())).cause(error)
        })?;
        ireko_exec::ready_devices(&self.known(environment), &self.wanted(), dir).map_err(|error| of(&error))
    }

    fn known(&self, environment: &Environment) -> Devices {
        let from_variable = environment.get(VARIABLE);
        let dirs: Vec<PathBuf> = match (self.cdi_spec_dir.as_slice(), from_variable) {
            ([], None) => SPEC_DIRS.iter().map(PathBuf::from).collect(),
            ([], Some(list)) => list.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from).collect(),
            (given, _) => given.to_vec(),
        };
        Devices::read(&dirs)
    }
}

/// What `--allow` lets steps ask for, and what was given by flag, which nobody has to allow again.
pub(crate) fn allowed(args: &DeviceArgs, mut allowed: Allowed) -> Allowed {
    allowed.names.extend(args.device.iter().cloned());
    allowed
}

/// Adds what stands after `--allow device`: nothing, or `=NAME[,alias=OTHER]`.
pub(crate) fn allow(allowed: &mut Allowed, flag: &str, rest: Option<&str>) -> Result<(), Failure> {
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        allowed.all = true;
        return Ok(());
    };
    let (name, more) = rest.split_once(',').unwrap_or((rest, ""));
    match more.split_once('=') {
        None if more.is_empty() => allowed.names.push(name.to_owned()),
        Some(("alias", alias)) if !alias.is_empty() => {
            allowed.aliases.insert(alias.to_owned(), name.to_owned());
        }
        _ => {
            return Err(Failure::user(format!("`{more}` in `--allow {flag}` is unknown"))
                .hint("devices are allowed as device=NAME or device=NAME,alias=OTHER"));
        }
    }
    Ok(())
}

/// The steps that are built and ask for devices.
fn steps(plan: &Plan) -> impl Iterator<Item = (&ireko_graph::Node, &[Device])> {
    let asked = commands(plan).filter(|(_, run)| !run.devices.is_empty());
    asked.map(|(node, run)| (node, run.devices.as_slice()))
}

/// The devices of the plan's steps. Refuses steps that cannot have theirs; tells of those that they go without.
pub(crate) fn of_steps(
    (args, allowed): (&DeviceArgs, &Allowed),
    plan: &Plan,
    source: &SourceText,
    session: &Session,
) -> Result<(Devices, Allowed), Failure> {
    let devices = args.read(plan, &session.environment);
    let mut told: Vec<String> = Vec::new();
    for (node, asked) in steps(plan) {
        let lines = node.about.lines();
        let outcome = devices.wanted(asked, allowed).and_then(|(names, absent)| {
            devices.check(&names)?;
            Ok(absent)
        });
        let absent = outcome.map_err(|error| {
            let mut failure = of(&error);
            failure.details = step_frame(source, lines.clone(), [&failure.message]);
            failure
        })?;
        for name in absent.into_iter().filter(|name| !told.contains(name)).collect::<Vec<_>>() {
            session.screen.note(&format!(
                "warning: this machine has no device `{name}`: line {} runs without it",
                lines.start()
            ));
            told.push(name);
        }
    }
    Ok((devices, allowed.clone()))
}

fn of(error: &DeviceError) -> Failure {
    let blame = match error {
        DeviceError::NoName(_) | DeviceError::NotAllowed(_) => Blame::User,
        _ => Blame::Environment,
    };
    Failure::of(blame, error).hinted(error.hint())
}
