//! A shell in a RUN step that failed: its files as it left them, its mounts, variables, user and limits, before all of
//! that is taken away.

use crate::error::Failed;
use crate::perform::Performer;
use crate::run::Step;
use ireko_sys::owner::OwnerTable;
use ireko_sys::sandbox::{self, Running, Sandbox, Stdio};
use std::ffi::OsString;

/// Shells that take commands from a terminal as POSIX has it; others may be anything.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];
/// Where every image that has a shell has one.
const USUAL: &str = "/bin/sh";

/// Takes a shell in a step that failed.
pub trait OnFailure: Send + Sync {
    /// Whether one is still wanted: true once, however many steps fail at one time.
    fn wanted(&self) -> bool;

    /// The size of its terminal: rows and columns.
    fn size(&self) -> (u16, u16);

    /// The shell runs; returns when it has ended. The other steps are being cancelled.
    fn attend(&self, failed: &FailedStep<'_>, shell: Running);

    /// Says why a step that failed has none.
    fn no_shell(&self, why: String);
}

/// A step that failed, and its shell.
#[derive(Clone, Copy, Debug)]
pub struct FailedStep<'s> {
    /// The step's number in the graph.
    pub node: u32,
    /// What went wrong.
    pub message: &'s str,
    /// The shell, as it was started.
    pub shell: &'s str,
    /// Whom it runs as; nothing for root.
    pub user: &'s str,
    /// Where it is.
    pub cwd: &'s str,
}

/// Offers a shell in the sandbox of a step whose command failed, where one was asked for. `owners` is what the command
/// told of its files.
pub(crate) fn offer(
    performer: &Performer<'_>,
    step: &Step<'_>,
    (mut sandbox, owners): (Sandbox, OwnerTable),
    failed: &Failed,
) {
    let Some(taker) = &performer.surroundings().on_failure else { return };
    if failed.disk_full {
        // The build may go on once room has been made.
        taker.no_shell("the disk is full".to_owned());
        return;
    }
    if failed.exit_code.is_none() {
        taker.no_shell("its command could not be started".to_owned());
        return;
    }
    if !taker.wanted() {
        return;
    }
    performer.cancel().fail();
    let (rows, columns) = taker.size();
    sandbox.stdio = Stdio::Terminal { rows, columns };
    if let Some(of) = &mut sandbox.owners {
        of.earlier = owners;
    }
    if !sandbox.env.iter().any(|(name, _)| name == "TERM") {
        sandbox.env.push(("TERM".into(), "xterm".into()));
    }
    let shells = shells(&step.run.argv);
    for words in &shells {
        sandbox.argv = words.iter().map(OsString::from).collect();
        match sandbox::spawn(&sandbox) {
            Ok(running) => {
                let failed = FailedStep {
                    node: step.job.node.0,
                    message: &failed.message,
                    shell: &words.join(" "),
                    user: &step.run.user,
                    cwd: step.run.cwd.as_str(),
                };
                return attend(performer, &failed, running);
            }
            // It is not there, or does not run here.
            Err(error) if error.exit_code().is_some() => {}
            Err(error) => return taker.no_shell(error.to_string()),
        }
    }
    let tried: Vec<String> = shells.iter().map(|words| format!("`{}`", words.join(" "))).collect();
    taker.no_shell(format!("the image has none that runs ({})", tried.join(", ")));
}

fn attend(performer: &Performer<'_>, failed: &FailedStep<'_>, running: Running) {
    let Some(taker) = &performer.surroundings().on_failure else { return };
    let killer = match running.killer() {
        Ok(killer) => killer,
        Err(error) => return taker.no_shell(error.to_string()),
    };
    let _registered = performer.cancel().on_wish(move || {
        // A process that cannot be killed is waited for.
        let _ = killer.kill();
    });
    taker.attend(failed, running);
}

/// The shells to try, the step's own first. `argv` is what the step ran: its shell and a text, or a program.
fn shells(argv: &[String]) -> Vec<Vec<String>> {
    let name = |at: usize| argv.get(at).map(|word| word.rsplit('/').next().unwrap_or_default());
    let is_shell = |at: usize| name(at).is_some_and(|name| SHELLS.contains(&name));
    let own = match name(0) {
        Some("busybox") if is_shell(1) => argv.get(..2),
        _ if is_shell(0) => argv.get(..1),
        _ => None,
    };
    let mut all: Vec<Vec<String>> = own.map(<[String]>::to_vec).into_iter().collect();
    if all.iter().all(|words| words[..] != [USUAL]) {
        all.push(vec![USUAL.to_owned()]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_own_shell_is_tried_first() {
        let of = |argv: &[&str]| {
            let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
            shells(&argv).iter().map(|words| words.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(of(&["/bin/sh", "-c", "make"]), ["/bin/sh"]);
        assert_eq!(of(&["/bin/bash", "-o", "pipefail", "-c", "make"]), ["/bin/bash", "/bin/sh"]);
        assert_eq!(of(&["/bin/busybox", "sh", "-c", "make"]), ["/bin/busybox sh", "/bin/sh"]);
        assert_eq!(of(&["/usr/bin/python3", "-c", "make"]), ["/bin/sh"]);
        assert_eq!(of(&["/bin/busybox", "ls"]), ["/bin/sh"]);
        assert_eq!(of(&["make"]), ["/bin/sh"]);
        assert_eq!(of(&[]), ["/bin/sh"]);
    }
}
