//! Sandboxes on the real kernel, at every level this machine has.
//!
//! A level is entered by a process with one thread, so this has no harness: each case runs in a process of
//! its own, which first enters the level. Started by root, the rootless level is entered as a user that has
//! subordinate ids, if there is one.

#![allow(clippy::print_stdout, reason = "this is its own harness, whose output is what it prints")]

mod cases;
mod groups;
mod world;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use ireko_sys::userns::{self, Level};

use crate::world::World;

/// A case: a name and what it does.
pub(crate) type Case = (&'static str, fn(&World));

fn cases() -> impl Iterator<Item = &'static Case> {
    cases::CASES.iter().chain(groups::CASES)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--inside", level, name] = words[..] {
        return inside(Level::parse(level).expect("we pass a level"), name);
    }
    let names = |level: Level| cases().map(move |(name, _)| format!("{level}::{name}"));
    let all = names(Level::Root).chain(names(Level::Rootless));
    if words.contains(&"--list") {
        if !words.contains(&"--ignored") {
            all.for_each(|name| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let exact = words.contains(&"--exact");
    let filters: Vec<&&str> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &String| {
        filters.is_empty()
            || filters.iter().any(|filter| if exact { **filter == name } else { name.contains(**filter) })
    };
    let failed: Vec<String> = all.filter(wanted).filter(|name| !run(name)).collect();
    if failed.is_empty() {
        println!("test result: ok");
        return ExitCode::SUCCESS;
    }
    println!("failed: {failed:?}");
    ExitCode::FAILURE
}

/// Runs one case in a process of its own, as the right user.
fn run(name: &str) -> bool {
    let (level, case) = name.split_once("::").expect("names have a level");
    let program = std::env::current_exe().expect("a program has a path");
    let mut command = Command::new(program);
    command.args(["--inside", level, case]);
    let is_root = rustix::process::geteuid().is_root();
    match (level, is_root) {
        ("root", false) => {
            println!("{name}: skipped because this is not root");
            return true;
        }
        ("rootless", true) => {
            let Some((uid, gid)) = world::user_with_subordinate_ids() else {
                println!("{name}: skipped because no user has subordinate ids");
                return true;
            };
            command.uid(uid).gid(gid);
        }
        _ => {}
    }
    let passed = command.status().is_ok_and(|status| status.success());
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}

fn inside(level: Level, name: &str) -> ExitCode {
    let report =
        userns::detect().into_iter().find(|report| report.level == level).expect("every level is reported");
    if let Some(problem) = report.problem {
        println!("skipped because level {level} does not work here: {problem}");
        return ExitCode::SUCCESS;
    }
    if !world::has_busybox() {
        println!("skipped because there is no static busybox");
        return ExitCode::SUCCESS;
    }
    let map = userns::enter(level).expect("a level that is reported to work can be entered");
    let parts = cases::PARTS.iter().chain(groups::PARTS);
    let (_, case) = cases().chain(parts).find(|(known, _)| *known == name).expect("we pass a case");
    case(&World::new(level, map));
    ExitCode::SUCCESS
}
