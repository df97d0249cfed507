//! Which packages a request needs: `ireko-deb`'s answer beside that of the machine's `apt-get`.

mod apt;
mod generate;

use self::apt::{ARCHITECTURES, Answer, Apt, StoredList};
use self::generate::{Asked, Names};
use crate::lock;
use anyhow::{Context, Result};
use clap::Args;
use ireko_deb::index::{Index, Priority, VersionId};
use ireko_deb::resolve::{self, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Flags of `packages`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The first seed; the next ones follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many requests.
    #[arg(long, default_value_t = 200)]
    requests: u64,
    /// How many at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// A folder for lists and caches, kept for the next run.
    #[arg(long, default_value = "/var/tmp/ireko-differ-packages")]
    scratch: PathBuf,
    /// Fetch the lists anew.
    #[arg(long)]
    update: bool,
    /// Where Debian's archives are.
    #[arg(long, default_value = "http://deb.debian.org")]
    mirror: String,
    /// Only these requests, with what is installed as `--status`, in place of seeds.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// What is installed: `empty`, `minbase`, `old` (before updates) or `mixed` (with a foreign library).
    #[arg(long, default_value = "empty")]
    status: String,
    /// With what is recommended.
    #[arg(long)]
    recommends: bool,
    /// Print the requests of the seeds and our answers, and ask no apt.
    #[arg(long)]
    print: bool,
}

/// What requests gave together, by kind: equal sets, both refused, different.
type Tally = BTreeMap<&'static str, [usize; 3]>;

/// Compares; true when all are equal.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let apt = Apt::prepare(&options.scratch, &options.mirror, options.update)?;
    let lists = apt.lists()?;
    let statuses = statuses(&lists)?;
    let mut indexes = BTreeMap::new();
    for (name, text) in &statuses {
        apt.set_status(name, text)?;
        let input = apt::input(&lists, text)?;
        let began = Instant::now();
        let index = Index::build(&input)?;
        let (packages, versions, dependencies) = index.counts();
        let time = began.elapsed().as_millis();
        println!(
            "{name}: {packages} packages, {versions} versions, {dependencies} dependencies in {time} ms"
        );
        indexes.insert(*name, index);
    }
    if !options.only.is_empty() {
        let status = *statuses.keys().find(|name| **name == options.status).context("unknown status")?;
        let asked =
            Asked { kind: "only", requests: options.only.clone(), recommends: options.recommends, status };
        return compare(&apt, &indexes[status], &asked).map(|difference| {
            println!("{}", difference.as_deref().unwrap_or("equal"));
            difference.is_none()
        });
    }
    let names = Names::of(&lists);
    if options.print {
        for seed in options.seed..options.seed + options.requests {
            let asked = names.ask(seed);
            let began = Instant::now();
            let answer = answer(&indexes[asked.status], &asked);
            println!("{seed}\t{}\t{}", show(&asked), print(answer));
            eprintln!("{seed}: {} ms", began.elapsed().as_millis());
        }
        return Ok(true);
    }
    let next = AtomicU64::new(options.seed);
    let tally: Mutex<Tally> = Mutex::new(Tally::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.seed + options.requests {
                        return;
                    }
                    let asked = names.ask(seed);
                    let column = match compare(&apt, &indexes[asked.status], &asked) {
                        Ok(None) => 0,
                        Ok(Some(refused)) if refused.is_empty() => 1,
                        Ok(Some(difference)) => {
                            println!("seed {seed} {}\n{difference}", show(&asked));
                            2
                        }
                        Err(error) => {
                            println!("seed {seed} {}\nERROR {error:#}", show(&asked));
                            2
                        }
                    };
                    lock(&tally).entry(asked.kind).or_default()[column] += 1;
                }
            });
        }
    });
    let tally = lock(&tally);
    Ok(report(&tally) == 0)
}

/// Prints what there was of each kind, and returns how many differ.
fn report(tally: &Tally) -> usize {
    let mut all = [0; 3];
    for (kind, counts) in tally.iter() {
        println!("{kind}: {} equal, {} refused by both, {} differ", counts[0], counts[1], counts[2]);
        all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
    }
    println!("all: {} equal, {} refused by both, {} differ", all[0], all[1], all[2]);
    all[2]
}

fn show(asked: &Asked) -> String {
    let recommends = if asked.recommends { " --recommends" } else { "" };
    format!("{}: --status {}{recommends} --only {}", asked.kind, asked.status, asked.requests.join(" "))
}

/// None if the sets are equal, an empty text if both refuse, or else what differs.
fn compare(apt: &Apt, index: &Index<'_>, asked: &Asked) -> Result<Option<String>> {
    let theirs = apt.install(asked.status, asked.recommends, &asked.requests)?;
    let ours = answer(index, asked);
    Ok(match (theirs, ours) {
        (Ok(theirs), Ok(ours)) if theirs == ours => None,
        (Ok(theirs), Ok(ours)) => {
            let less = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
                one.difference(other).cloned().collect::<Vec<_>>().join(" ")
            };
            Some(format!(
                "  only apt installs: {}\n  only ireko installs: {}\n  only apt removes: {}\n  only ireko removes: {}",
                less(&theirs.install, &ours.install),
                less(&ours.install, &theirs.install),
                less(&theirs.remove, &ours.remove),
                less(&ours.remove, &theirs.remove),
            ))
        }
        (Err(theirs), Err(ours)) if asked.kind == "only" => Some(format!("both refuse\n{theirs}\n{ours}")),
        (Err(_), Err(_)) => Some(String::new()),
        (Ok(theirs), Err(ours)) => {
            Some(format!("  only ireko refuses, apt installs {}: {ours}", theirs.install.len()))
        }
        (Err(theirs), Ok(ours)) => {
            Some(format!("  only apt refuses, ireko installs {}: {theirs}", ours.install.len()))
        }
    })
}

fn print(answer: Result<Answer, String>) -> String {
    match answer {
        Err(error) => format!("refused: {}", error.replace('\n', " / ")),
        Ok(answer) => {
            let install = answer.install.iter().map(|one| format!("+{one}"));
            let remove = answer.remove.iter().map(|one| format!("-{one}"));
            install.chain(remove).collect::<Vec<_>>().join(" ")
        }
    }
}

fn answer(index: &Index<'_>, asked: &Asked) -> Result<Answer, String> {
    let requests: Vec<Request> = asked.requests.iter().cloned().map(Request::Text).collect();
    let options = resolve::Options { recommends: asked.recommends, ..Default::default() };
    let solution = resolve::resolve(index, &requests, &options).map_err(|error| error.to_string())?;
    let install = solution.install.iter().map(|chosen| {
        let version = chosen.version;
        format!("{}:{}={}", index.name(version), index.architecture(version), index.version(version))
    });
    let name = |version: &VersionId| match index.architecture(*version) {
        architecture if architecture == ARCHITECTURES[0] || architecture == "all" => {
            index.name(*version).to_owned()
        }
        architecture => format!("{}:{architecture}", index.name(*version)),
    };
    Ok(Answer { install: install.collect(), remove: solution.remove.iter().map(name).collect() })
}

/// Status files by name: nothing, a base, a base before its updates, and one with packages of both architectures.
fn statuses(lists: &[StoredList]) -> Result<BTreeMap<&'static str, String>> {
    let first: Vec<&StoredList> = lists.iter().filter(|list| list.suite == "bookworm").collect();
    let mut input = apt::input(lists, "")?;
    let all = Index::build(&input)?;
    let minbase = status(&all, &[])?;
    input.lists.truncate(first.len());
    let before = Index::build(&input)?;
    let old = status(&before, &["openssl", "perl", "git", "libgl1"])?;
    let mixed = status(&before, &["libgl1:i386", "python3", "openssh-client", "libc6-dev:i386"])?;
    Ok(BTreeMap::from([("empty", String::new()), ("minbase", minbase), ("old", old), ("mixed", mixed)]))
}

/// What dpkg would write about an installed base with some packages.
fn status(index: &Index<'_>, with: &[&str]) -> Result<String> {
    let base = index.candidates(|essential, priority| essential || priority == Priority::Required);
    let mut requests: Vec<Request> = base.into_iter().map(Request::Version).collect();
    requests.extend(with.iter().map(|name| Request::Text((*name).to_owned())));
    let solution = resolve::resolve(index, &requests, &resolve::Options::default())?;
    let mut text = String::new();
    for chosen in &solution.install {
        for line in index.describe(chosen.version).text().lines() {
            let archive = ["Filename:", "Size:", "MD5sum:", "SHA256:", "Description-md5:"];
            if !archive.iter().any(|field| line.starts_with(field)) {
                text += &format!("{line}\n");
            }
        }
        text += "Status: install ok installed\n\n";
    }
    Ok(text)
}
