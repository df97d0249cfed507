//! `ireko cache`, and Docker's names for its commands: what takes space, what can go, what is damaged.

use crate::cli::{CacheCommand, DuArgs, Format, Global, ImagePruneArgs, Progress, PruneArgs, SystemCommand};
use crate::cmd::{prune, usage};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::session::Session;
use crate::{print, print_json};
use ireko_store::{Fate, FsckReport, Problem, Store};
use serde_json::json;
use std::sync::Arc;

fn open(global: &Global, environment: Environment) -> Result<Arc<Store>, Failure> {
    Session::enter(global, environment, Progress::Quiet, false)?.store()
}

/// Runs one of the commands of `cache`.
pub(crate) fn run(command: &CacheCommand, global: &Global, environment: Environment) -> Result<u8, Failure> {
    let store = open(global, environment)?;
    match command {
        CacheCommand::Du(args) => usage::du(&store, args),
        CacheCommand::Prune(args) => prune::cache(&store, args, prune::Unsaid::Recent),
        CacheCommand::Fsck { repair, format } => fsck(&store, *repair, *format),
    }
}

/// Runs `builder du`.
pub(crate) fn du(args: &DuArgs, global: &Global, environment: Environment) -> Result<u8, Failure> {
    let store = open(global, environment)?;
    usage::du(&store, args)
}

/// Runs `builder prune`.
pub(crate) fn prune(args: &PruneArgs, global: &Global, environment: Environment) -> Result<u8, Failure> {
    let store = open(global, environment)?;
    prune::cache(&store, args, prune::Unsaid::InUse)
}

/// Runs one of the commands of `system`.
pub(crate) fn system(
    command: &SystemCommand,
    global: &Global,
    environment: Environment,
) -> Result<u8, Failure> {
    let store = open(global, environment)?;
    match command {
        SystemCommand::Df(args) => usage::df(&store, args.v || global.verbose, &args.format),
        SystemCommand::Prune(args) => prune::system(&store, args),
    }
}

/// Runs `image prune`.
pub(crate) fn images(
    args: &ImagePruneArgs,
    global: &Global,
    environment: Environment,
) -> Result<u8, Failure> {
    let store = open(global, environment)?;
    prune::images(&store, args)
}

fn fsck(store: &Store, repair: bool, format: Format) -> Result<u8, Failure> {
    let report = store.fsck(repair)?;
    if format == Format::Json {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| json!({"subject": problem.subject, "problem": problem.problem, "fate": fate(problem.fate)}))
            .collect();
        let checked: u64 = report.checked.values().sum();
        print_json(
            &json!({"checked": checked, "kinds": report.checked, "unreadable": report.unreadable, "problems": problems}),
        );
    } else {
        for problem in &report.problems {
            print(&format!("damaged: {}: {} ({})\n", problem.subject, problem.problem, fate(problem.fate)));
        }
        print(&summary(&report, repair));
    }
    let mended = |problem: &Problem| matches!(problem.fate, Fate::Dropped | Fate::Remade);
    Ok(if report.problems.iter().all(mended) { 0 } else { 3 })
}

/// What was checked, what was found, what was mended, and what is to be done about the rest.
fn summary(report: &FsckReport, repair: bool) -> String {
    let kinds: Vec<String> = report.checked.iter().map(|(kind, count)| counted(*count, kind)).collect();
    let mut out = match kinds.is_empty() {
        true => "checked: the store is empty\n".to_owned(),
        false => format!("checked: {}\n", kinds.join(", ")),
    };
    if report.unreadable > 0 {
        let layers = counted(report.unreadable, "unpacked layers");
        out.push_str(&format!("not checked: {layers} of another user's ids\n"));
    }
    let of = |fate| report.problems.iter().filter(|problem| problem.fate == fate).count();
    let (left, dropped, remade, in_use) =
        (of(Fate::Left), of(Fate::Dropped), of(Fate::Remade), of(Fate::InUse));
    if report.problems.is_empty() {
        out.push_str("found: no damage\n");
        return out;
    }
    out.push_str(&format!("found: {} damaged\n", report.problems.len()));
    if !repair {
        out.push_str("mended: nothing, since nothing was asked; `ireko cache fsck --repair` drops or makes again what it can\n");
        return out;
    }
    out.push_str(&format!(
        "mended: {remade} made again, {dropped} dropped (to be made again by a build that needs it)\n"
    ));
    if in_use > 0 {
        out.push_str(&format!("left: {in_use} that a running ireko uses; try again when it has ended\n"));
    }
    if left > 0 {
        out.push_str(&format!("left: {left} that cannot be made again here; build, pull or load those images again, or remove them with `ireko rmi`\n"));
    }
    out
}

/// A number of things, named by their plural.
fn counted(count: u64, plural: &str) -> String {
    match count {
        1 => format!("1 {}", plural.trim_end_matches('s')),
        _ => format!("{count} {plural}"),
    }
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Left => "left",
        Fate::Dropped => "dropped",
        Fate::Remade => "made again",
        Fate::InUse => "in use",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[track_caller]
    fn check(fates: &[Fate], repair: bool, expect: &[&str]) {
        let problem = |fate: &Fate| Problem { subject: String::new(), problem: String::new(), fate: *fate };
        let report = FsckReport {
            problems: fates.iter().map(problem).collect(),
            checked: BTreeMap::from([("blobs", 12), ("layers", 1)]),
            unreadable: u64::from(fates.len() > 3),
        };
        assert_eq!(summary(&report, repair).lines().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn a_check_says_what_it_did_and_what_is_left_to_do() {
        let checked = "checked: 12 blobs, 1 layer";
        check(&[], false, &[checked, "found: no damage"]);
        check(
            &[Fate::Left, Fate::Left],
            false,
            &[
                checked,
                "found: 2 damaged",
                "mended: nothing, since nothing was asked; `ireko cache fsck --repair` drops or makes again what it can",
            ],
        );
        check(
            &[Fate::Dropped, Fate::Remade],
            true,
            &[
                checked,
                "found: 2 damaged",
                "mended: 1 made again, 1 dropped (to be made again by a build that needs it)",
            ],
        );
        check(
            &[Fate::Dropped, Fate::Left, Fate::InUse, Fate::Left],
            true,
            &[
                checked,
                "not checked: 1 unpacked layer of another user's ids",
                "found: 4 damaged",
                "mended: 0 made again, 1 dropped (to be made again by a build that needs it)",
                "left: 1 that a running ireko uses; try again when it has ended",
                "left: 2 that cannot be made again here; build, pull or load those images again, or remove them with `ireko rmi`",
            ],
        );
    }
}
