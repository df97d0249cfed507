//! Programs of other platforms: whether they run here is found out before anything is built or started.

use crate::confinement::commands;
use crate::failure::{Failure, step_frame};
use ireko_exec::{Confinement, NotRun};
use ireko_oci::Platform;
use ireko_plan::Plan;
use ireko_report::{Blame, SourceText};
use std::collections::BTreeMap;
use std::path::Path;

/// Refuses a plan with commands that cannot be run here. Stages that run nothing need no emulator.
pub(crate) fn check_steps(
    plan: &Plan,
    source: &SourceText,
    scratch: &Path,
    confinement: Confinement,
) -> Result<(), Failure> {
    let mut tried: BTreeMap<&str, Result<(), NotRun>> = BTreeMap::new();
    let mut failure: Option<Failure> = None;
    for (node, run) in commands(plan) {
        if tried.contains_key(run.platform.as_str()) {
            continue;
        }
        let Ok(platform) = run.platform.parse::<Platform>() else { continue };
        let outcome = outcome(&platform, scratch, confinement)?;
        tried.insert(&run.platform, outcome.clone());
        // A step that cannot be set up tells it better itself.
        let Some(why) = outcome.err().filter(|why| !matches!(why, NotRun::Untried(_))) else { continue };
        let frame = step_frame(source, node.about.lines(), []);
        match &mut failure {
            Some(first) => {
                first.details.push(format!("error: {}", message(&platform, &why)));
                first.details.extend(frame);
            }
            none => none.insert(of(&platform, &why)).details = frame,
        }
    }
    let Some(mut failure) = failure else { return Ok(()) };
    let missing = tried.iter().filter_map(|(name, outcome)| Some((*name, outcome.as_ref().err()?)));
    let mut missing: Vec<String> = missing
        .filter(|(_, why)| !matches!(why, NotRun::System | NotRun::Untried(_)))
        .filter_map(|(name, _)| Some(name.parse::<Platform>().ok()?.architecture))
        .collect();
    missing.dedup();
    let instead = "or let the step run on this machine's own platform and compile for the other: \
        `FROM --platform=$BUILDPLATFORM` and `ARG TARGETARCH`";
    failure.hint = Some(match (missing.is_empty(), failure.hint.take()) {
        (false, Some(hint)) if missing.len() == 1 => format!("{hint}; {instead}"),
        (false, _) => format!("{}; {instead}", install(&missing.join(","))),
        (true, _) => "files can be copied and settings made for that system; compile for it in a stage \
            `FROM --platform=$BUILDPLATFORM`"
            .to_owned(),
    });
    Err(failure)
}

/// Refuses an image whose programs cannot be run here.
pub(crate) fn check_image(
    platform: &Platform,
    scratch: &Path,
    confinement: Confinement,
) -> Result<(), Failure> {
    match outcome(platform, scratch, confinement)? {
        Ok(()) | Err(NotRun::Untried(_)) => Ok(()),
        Err(why) => Err(of(platform, &why)),
    }
}

/// Whether a platform's programs run here, for the list of `ireko doctor`.
pub(crate) fn outcome(
    platform: &Platform,
    scratch: &Path,
    confinement: Confinement,
) -> Result<Result<(), NotRun>, Failure> {
    if ireko_exec::is_native(platform, &Platform::host()) {
        return Ok(Ok(()));
    }
    ireko_exec::try_platform(platform, scratch, confinement)
        .map_err(|error| Failure::environment("cannot try a program of another platform").cause(error))
}

fn message(platform: &Platform, why: &NotRun) -> String {
    let host = Platform::host();
    format!("programs of {platform} do not run on this machine ({host}): {}", why.reason())
}

fn of(platform: &Platform, why: &NotRun) -> Failure {
    let mut failure = Failure::environment(message(platform, why));
    failure.hint = fix(platform, why);
    if *why == NotRun::System {
        failure.blame = Blame::User;
    }
    failure
}

/// What makes programs of a platform run, as far as anything does.
pub(crate) fn fix(platform: &Platform, why: &NotRun) -> Option<String> {
    match why {
        NotRun::System | NotRun::Untried(_) => None,
        NotRun::NoEmulator | NotRun::Fails(_) => Some(install(&platform.architecture)),
        NotRun::Off(name) => {
            Some(format!("switch it on, as root: `echo 1 >/proc/sys/fs/binfmt_misc/{name}`"))
        }
        NotRun::NotFixed(_) => {
            Some(format!("register one with the flag F, as root: {}", install(&platform.architecture)))
        }
    }
}

fn install(architectures: &str) -> String {
    format!(
        "install QEMU's emulators: `apt-get install qemu-user-static binfmt-support` (Debian, Ubuntu), \
         `dnf install qemu-user-static` (Fedora), or \
         `docker run --privileged --rm tonistiigi/binfmt --install {architectures}`"
    )
}
