//! `ireko doctor`: what works on this machine, and how to mend what does not.

use crate::cli::{DoctorArgs, Format, Global};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::{print, print_json};
use ireko_exec::{Confinement, NotRun};
use ireko_oci::Platform;
use ireko_sys::cgroup::{self, Limiter, Limits};
use ireko_sys::userns::{self, Level};
use serde_json::json;
use std::path::Path;

/// One finding.
struct Finding {
    what: String,
    problem: Option<String>,
    fix: Option<String>,
}

const BY_CHROOT: &str = "commands by chroot (`--isolation chroot`)";

/// Runs the command; 0 when at least one level can run steps and the store can be used.
pub(crate) fn run(args: &DoctorArgs, global: &Global, environment: &Environment) -> Result<u8, Failure> {
    let is_root = rustix::process::geteuid().is_root();
    let reports = userns::detect();
    let works = |level: Level| reports.iter().any(|report| report.level == level && report.works());
    // Asked now: below, this process enters it and would be root of its own namespace.
    let level = match crate::session::asked(environment.level(global.level.as_deref()))? {
        Some(asked) => works(asked).then_some(asked),
        None => reports.iter().find(|report| report.works()).map(|report| report.level),
    };
    let chroot = chroot();
    let works = level.is_some_and(|level| level != Level::None || chroot.problem.is_none());
    // Root needs no other level, and no ids for one.
    let levels = reports.into_iter().map(|report| Finding {
        what: format!("sandbox level `{}`", report.level),
        problem: report.problem,
        fix: report.fix.filter(|_| level != Some(Level::Root)),
    });
    let home = environment.store(global.home.as_deref(), is_root)?;
    let store = store(&home);
    let store_works = store.problem.is_none();
    let mut findings: Vec<Finding> = levels.chain([chroot, store, programs(), groups()]).collect();
    if let (Some(level), true) = (level, store_works) {
        // The last to be asked, since this process becomes what a step's would be.
        findings.push(overlay(&home, level));
        findings.push(limits());
        if works {
            findings.push(platforms(existing(&home), level));
        }
    }
    match args.format {
        Format::Table => print(&table(&findings, level)),
        Format::Json => {
            let rows: Vec<_> = findings.iter().map(|one| json!({"what": one.what, "ok": one.problem.is_none(), "problem": one.problem, "fix": one.fix})).collect();
            print_json(&json!({"level": level.map(|level| level.to_string()), "findings": rows}));
        }
    }
    Ok(if works && store_works { 0 } else { 3 })
}

fn table(findings: &[Finding], level: Option<Level>) -> String {
    let mut out = String::new();
    for finding in findings {
        match &finding.problem {
            None => out.push_str(&format!("ok    {}\n", finding.what)),
            Some(problem) => out.push_str(&format!("no    {}: {problem}\n", finding.what)),
        }
        if let Some(fix) = &finding.fix {
            out.push_str(&format!("      fix: {fix}\n"));
        }
    }
    let level = match level {
        Some(Level::None) => {
            let by_chroot = |finding: &Finding| finding.what == BY_CHROOT && finding.problem.is_none();
            match findings.iter().any(by_chroot) {
                true => {
                    "level `none`: everything but RUN works; RUN works with `--isolation chroot`".to_owned()
                }
                false => "level `none`: everything but RUN works; RUN does not work here".to_owned(),
            }
        }
        Some(level) => format!("steps run at level `{level}`"),
        None => "no level can run steps here".to_owned(),
    };
    out.push_str(&format!("{level}\n"));
    out
}

/// Whether the store's directory can hold one: writable, and able to lock and to link.
fn store(home: &Path) -> Finding {
    let what = format!("store `{}`", home.display());
    let probe = existing(home).join(format!(".ireko-doctor-{}", std::process::id()));
    let outcome = std::fs::File::create_new(&probe).and_then(|file| {
        let linked = std::os::unix::fs::symlink("target", probe.with_extension("link"));
        let _ = std::fs::remove_file(probe.with_extension("link"));
        linked?;
        file.try_lock().map_err(std::io::Error::other)
    });
    let _ = std::fs::remove_file(&probe);
    match outcome {
        Ok(()) => Finding { what, problem: None, fix: None },
        Err(error) => Finding {
            what,
            problem: Some(error.to_string()),
            fix: Some("choose another place with IREKO_HOME or --home".to_owned()),
        },
    }
}

/// The directory, or the nearest one above it that exists.
fn existing(home: &Path) -> &Path {
    home.ancestors().find(|dir| dir.exists()).unwrap_or(home)
}

/// Whether commands can be run by chroot, for level `none`.
fn chroot() -> Finding {
    let (problem, fix) = userns::chroot_refused().unzip();
    Finding { what: BY_CHROOT.to_owned(), problem, fix }
}

/// Whether overlayfs can unite the store's layers.
fn overlay(home: &Path, level: Level) -> Finding {
    let what = format!("overlayfs in `{}`", existing(home).display());
    if level == Level::None {
        let fix = "none is needed: each step works on a copy of its tree, which is slower".to_owned();
        return Finding { what, problem: Some("level `none` mounts nothing".to_owned()), fix: Some(fix) };
    }
    let userxattr = level != Level::Root;
    let tried = userns::enter(level).and_then(|_| ireko_sys::mount::probe_overlay(existing(home), userxattr));
    let Err(error) = tried else { return Finding { what, problem: None, fix: None } };
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    let problem = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    let fix = "none is needed: each step works on a copy of its tree, which is slower. A store on a local file system \
        (ext4, xfs, btrfs) needs no copies: IREKO_HOME or --home";
    Finding { what, problem: Some(problem), fix: Some(fix.to_owned()) }
}

/// Which other platforms' programs run here. Without any, this machine's own do.
fn platforms(scratch: &Path, level: Level) -> Finding {
    let chroot = Confinement::Chroot { with_proc: false };
    let confinement = if level == Level::None { chroot } else { Confinement::Namespaces };
    let host = Platform::host();
    let (mut run, mut others) = (Vec::new(), Vec::new());
    for architecture in ireko_exec::EMULATED {
        let platform = Platform::new(&host.os, architecture, "");
        if ireko_exec::is_native(&platform, &host) {
            continue;
        }
        match crate::emulation::outcome(&platform, scratch, confinement) {
            Ok(Ok(())) => run.push(platform.to_string()),
            Ok(Err(why)) => others.push((platform, why)),
            Err(failure) => return of_platforms(&run, Some(failure.message)),
        }
    }
    let mut finding = of_platforms(&run, None);
    let broken = others.iter().find(|(_, why)| *why != NotRun::NoEmulator);
    if let Some((platform, why)) = broken.or(others.first()).filter(|_| run.is_empty() || broken.is_some()) {
        finding.problem = Some(match why {
            NotRun::NoEmulator => "no emulator is registered".to_owned(),
            why => format!("{platform} does not: {}", why.reason()),
        });
        let fix = crate::emulation::fix(platform, why);
        finding.fix = fix.map(|fix| format!("none is needed for {host}. {fix}"));
    }
    finding
}

fn of_platforms(run: &[String], problem: Option<String>) -> Finding {
    let list = if run.is_empty() { String::new() } else { format!(": {}", run.join(", ")) };
    Finding { what: format!("programs of other platforms{list}"), problem, fix: None }
}

/// Whether steps and containers get control groups of their own. They do without where not.
fn groups() -> Finding {
    let report = cgroup::detect();
    let fix = report.problem.as_ref().map(|_| match report.fix {
        Some(fix) => format!("none is needed: steps share ireko's own. {fix}"),
        None => "none is needed: steps share ireko's own".to_owned(),
    });
    Finding { what: "a control group for each step".to_owned(), problem: report.problem, fix }
}

/// Which limits of steps and containers can be held: each controller is tried as a build would use it.
fn limits() -> Finding {
    let processors = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let processors = processors.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let processors = processors.map(|list| list.trim().to_owned());
    let tried = [
        ("memory", Limits { memory: Some(64 << 20), ..Limits::default() }),
        ("processor time", Limits { cpu_quota: Some(100_000), ..Limits::default() }),
        ("processors", Limits { cpuset_cpus: processors, ..Limits::default() }),
        ("processes", Limits { processes: Some(100), ..Limits::default() }),
    ];
    let (mut held, mut refused) = (Vec::new(), Vec::new());
    for (name, limits) in tried {
        match Limiter::prepare(limits) {
            Ok(_) => held.push(name),
            Err(refusal) => refused.push(refusal),
        }
    }
    let list = if held.is_empty() { String::new() } else { format!(": {}", held.join(", ")) };
    let what = format!("limits of steps and containers{list}");
    let Some(refusal) = refused.first() else { return Finding { what, problem: None, fix: None } };
    let causes = std::iter::successors(std::error::Error::source(refusal), |error| error.source());
    let problem = causes.fold(refusal.to_string(), |text, cause| format!("{text}: {cause}"));
    let fix = match refusal.hint() {
        Some(hint) => format!("none is needed without such flags. {hint}"),
        None => "none is needed without such flags".to_owned(),
    };
    Finding { what, problem: Some(problem), fix: Some(fix) }
}

/// Programs of the rootless level.
fn programs() -> Finding {
    let what = "newuidmap and newgidmap".to_owned();
    let found = |name: &str| {
        ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/sbin"]
            .iter()
            .any(|dir| Path::new(dir).join(name).exists())
    };
    if found("newuidmap") && found("newgidmap") {
        return Finding { what, problem: None, fix: None };
    }
    let fix =
        "install them for the rootless level: `apt install uidmap`, `dnf install shadow-utils`".to_owned();
    Finding { what, problem: Some("not found".to_owned()), fix: Some(fix) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_whether_run_works() {
        for (problem, expect) in
            [(None, "RUN works with `--isolation chroot`"), (Some("no"), "RUN does not work here")]
        {
            let chroot =
                Finding { what: BY_CHROOT.to_owned(), problem: problem.map(str::to_owned), fix: None };
            let text = table(&[chroot], Some(Level::None));
            assert!(text.trim_end().ends_with(expect), "{text}");
        }
    }
}
