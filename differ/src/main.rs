//! Builds small generated Dockerfiles with ireko and with the Docker engine's BuildKit, and compares what they give.
//!
//! Trees are compared entry by entry, configs field by field. What the engine's old BuildKit did differently from
//! today's is undone by named rules, each explained in `docs/compatibility.md`. A case that differs is made smaller
//! and kept. What the engine does not know is compared with ireko itself, by laws (`properties`).
//! Which packages a request needs is compared with apt (`packages`).
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its caller")]

mod bases;
mod builders;
mod case;
mod compare;
mod generate;
mod image;
mod laws;
mod packages;
mod random;
mod rules;
mod shrink;

use crate::builders::Builders;
use crate::case::Case;
use crate::compare::Difference;
use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Differential fuzzing of ireko against the Docker engine's BuildKit.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build pairs and compare them.
    Pairs(Pairs),
    /// Build what the engine does not know, and compare ireko with itself.
    Laws(laws::Options),
    /// Compare which packages a request needs with apt's answer (Debian 12).
    Packages(packages::Options),
    /// Print the case of a seed.
    Show {
        /// The seed.
        seed: u64,
        /// Write it out as files, too.
        #[arg(long)]
        write: Option<PathBuf>,
    },
}

/// Flags of both ways to compare.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The ireko binary.
    #[arg(long, default_value = "ireko")]
    pub(crate) ireko: PathBuf,
    /// The first seed; the next ones follow it.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many seeds; of `laws` each is tried with one law after the other.
    #[arg(long, default_value_t = 100)]
    pub(crate) pairs: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 4)]
    pub(crate) jobs: usize,
    /// A folder for contexts, stores and the daemon, on a real file system; made and removed.
    #[arg(long, default_value = "/var/tmp")]
    pub(crate) scratch: PathBuf,
}

#[derive(Debug, Args)]
struct Pairs {
    #[command(flatten)]
    common: Common,
    /// A folder of kept cases (JSON), built first.
    #[arg(long)]
    cases: Option<PathBuf>,
    /// A file of kept seeds, one a line with what it found, built next.
    #[arg(long)]
    seeds: Option<PathBuf>,
    /// Where differing cases are written, made smaller.
    #[arg(long)]
    found: Option<PathBuf>,
    /// Tries to make one case smaller.
    #[arg(long, default_value_t = 150)]
    tries: usize,
    /// Print why builds failed where both did.
    #[arg(long)]
    failures: bool,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Pairs(pairs) => run(&pairs),
        Command::Laws(options) => laws::run(&options),
        Command::Packages(options) => packages::run(&options),
        Command::Show { seed, write } => show(seed, write.as_deref()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn show(seed: u64, write: Option<&Path>) -> Result<bool> {
    let case = generate::case(seed);
    println!("{}", serde_json::to_string_pretty(&case)?);
    println!("{}", case.text());
    if let Some(dir) = write {
        case.write(dir)?;
    }
    Ok(true)
}

/// What all pairs gave together.
#[derive(Default)]
struct Tally {
    built: AtomicUsize,
    failed: AtomicUsize,
    /// Explained, and nothing to compare: one of the two refuses by intent, or saw another context.
    passed_over: AtomicUsize,
    differed: AtomicUsize,
    /// Differences that were gone when the engine built anew.
    remembered: AtomicUsize,
    rules: Mutex<BTreeMap<&'static str, usize>>,
}

/// One run.
struct Run<'a> {
    options: &'a Pairs,
    builders: &'a Builders,
    scratch: &'a Path,
    serial: AtomicU64,
    tally: Tally,
}

fn run(options: &Pairs) -> Result<bool> {
    let common = &options.common;
    ensure!(rustix::process::geteuid().is_root(), "the Docker engine needs root");
    let scratch = tempfile::Builder::new().prefix("ireko-differ-").tempdir_in(&common.scratch)?;
    let ireko = std::path::absolute(&common.ireko)?;
    let builders = Builders::start(&ireko, scratch.path(), true)?;
    println!("engine {}, seeds from {}, {} pairs", builders.version()?, common.seed, common.pairs);
    let began = Instant::now();
    let work = kept(options)?;
    let kept = work.len();
    let run = Run {
        options,
        builders: &builders,
        scratch: scratch.path(),
        serial: AtomicU64::new(0),
        tally: Tally::default(),
    };
    let next = AtomicUsize::new(0);
    let total = kept + common.pairs as usize;
    let errors: Mutex<Vec<String>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..common.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= total {
                        return;
                    }
                    let (name, case) = match work.get(at) {
                        Some((name, case)) => (name.clone(), case.clone()),
                        None => {
                            let seed = common.seed + (at - kept) as u64;
                            (format!("seed-{seed}"), generate::case(seed))
                        }
                    };
                    if let Err(error) = run.pair(&name, &case) {
                        println!("{name}: ERROR {error:#}");
                        lock(&errors).push(name);
                    }
                }
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let tally = &run.tally;
    for (rule, times) in lock(&tally.rules).iter() {
        println!("rule {rule}: {times} pairs");
    }
    let errors = lock(&errors).len();
    println!(
        "{total} pairs ({kept} kept): {} both built, {} both failed, {} not compared, {} differ, {} differed until built anew, {errors} errors; {seconds:.0} s, {:.0} pairs a minute",
        tally.built.load(Ordering::Relaxed),
        tally.failed.load(Ordering::Relaxed),
        tally.passed_over.load(Ordering::Relaxed),
        tally.differed.load(Ordering::Relaxed),
        tally.remembered.load(Ordering::Relaxed),
        total as f64 * 60.0 / seconds.max(0.001),
    );
    Ok(errors == 0 && tally.differed.load(Ordering::Relaxed) == 0)
}

/// The kept cases and those of the kept seeds, with their names.
fn kept(options: &Pairs) -> Result<Vec<(String, Case)>> {
    let mut work = Vec::new();
    if let Some(dir) = &options.cases {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
            paths.push(entry?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path)?;
            let case =
                serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
            work.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), case));
        }
    }
    if let Some(path) = &options.seeds {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        for word in text.lines().filter_map(|line| line.split_whitespace().next()) {
            if !word.starts_with('#') {
                let seed = word.parse().with_context(|| format!("`{word}` is no seed"))?;
                work.push((format!("seed-{seed}"), generate::case(seed)));
            }
        }
    }
    Ok(work)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What one pair gave.
struct Compared {
    found: Vec<Difference>,
    rules: Vec<&'static str>,
    failed: Option<String>,
}

impl Run<'_> {
    fn pair(&self, name: &str, case: &Case) -> Result<()> {
        let mut compared = self.compare(case, false)?;
        if !compared.found.is_empty() {
            // Steps of several builds that select the same files are one to the engine, though they say different
            // things: what it builds then is another case's.
            compared = self.compare(case, true)?;
            if compared.found.is_empty() {
                self.tally.remembered.fetch_add(1, Ordering::Relaxed);
                println!("{name}: differed until the engine built it anew");
            }
        }
        for rule in compared.rules {
            *lock(&self.tally.rules).entry(rule).or_default() += 1;
        }
        if compared.found.is_empty() {
            let count = match &compared.failed {
                Some(said) if said.contains(rules::NOT_COMPARED) => &self.tally.passed_over,
                Some(_) => &self.tally.failed,
                None => &self.tally.built,
            };
            count.fetch_add(1, Ordering::Relaxed);
            if let Some(said) = compared.failed.filter(|_| self.options.failures) {
                println!("{name}: both fail\n{said}");
            }
            return Ok(());
        }
        self.tally.differed.fetch_add(1, Ordering::Relaxed);
        let kind = &compared.found[0].kind;
        let same = |case: &Case| {
            self.compare(case, true).is_ok_and(|now| now.found.iter().any(|found| found.kind == *kind))
        };
        let small = shrink::shrink(case.clone(), self.options.tries, same);
        let found = self.compare(&small, true)?.found;
        let found = if found.is_empty() { compared.found } else { found };
        let mut text = format!("== {name} differs\n");
        for difference in &found {
            text += &format!("  {}: {}\n", difference.kind, difference.text.replace('\n', "\n    "));
        }
        text += &format!("{}  context: {}\n", small.text(), serde_json::to_string(&small.context)?);
        text += &format!("  ignore: {:?} flags: {:?}\n", small.ignore, small.flags);
        println!("{text}");
        if let Some(dir) = &self.options.found {
            fs::create_dir_all(dir)?;
            fs::write(dir.join(format!("{name}.json")), serde_json::to_string_pretty(&small)? + "\n")?;
        }
        Ok(())
    }

    fn compare(&self, case: &Case, fresh: bool) -> Result<Compared> {
        // A name of its own each time: the engine remembers what it was sent by the folder's name.
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let dir = self.scratch.join(format!("case-{serial}"));
        case.write(&dir)?;
        let mut theirs = self.builders.docker(case, &dir, fresh)?;
        let mut ours = self.builders.ours(case, &dir, &[])?;
        fs::remove_dir_all(&dir)?;
        let rules = rules::apply(&mut theirs, &mut ours, case);
        let failed = match (&theirs, &ours) {
            (builders::Outcome::Failed(theirs), builders::Outcome::Failed(ours)) => {
                Some(format!("  theirs:\n{theirs}\n  ireko:\n{ours}"))
            }
            _ => None,
        };
        Ok(Compared { found: compare::compare(&theirs, &ours), rules, failed })
    }
}
