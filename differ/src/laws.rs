//! What the engine does not know, held against ireko itself: two ways to say one thing, and one thing built in two ways.

use crate::builders::{Builders, Outcome};
use crate::case::Case;
use crate::compare::{self, Difference};
use crate::generate::{self, LAWS};
use crate::{Common, lock, rules};
use anyhow::{Result, ensure};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Flags of `laws`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// An ordinary user with subordinate ids, for builds without root.
    #[arg(long)]
    user: Option<String>,
}

/// One thing built in two ways.
const WAYS: [(&str, Way); 4] = [
    ("the cache changes nothing", Way::Flags(&["--no-cache"])),
    ("--cache-cutoff=off changes nothing", Way::Flags(&["--no-cache", "--cache-cutoff=off"])),
    ("--snapshotter=copy changes nothing", Way::Flags(&["--no-cache", "--snapshotter=copy"])),
    ("who builds changes nothing", Way::User),
];

#[derive(Clone, Copy)]
enum Way {
    Flags(&'static [&'static str]),
    User,
}

struct Trial<'a> {
    builders: &'a Builders,
    scratch: &'a Path,
    serial: AtomicU64,
}

/// Tries them; true when all hold.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let common = &options.common;
    ensure!(rustix::process::geteuid().is_root(), "building with and without root takes root");
    let scratch = tempfile::Builder::new().prefix("ireko-laws-").tempdir_in(&common.scratch)?;
    let mut builders = Builders::start(&std::path::absolute(&common.ireko)?, scratch.path(), false)?;
    if let Some(user) = &options.user {
        builders.add_ordinary(user.clone(), scratch.path())?;
    }
    let trial = Trial { builders: &builders, scratch: scratch.path(), serial: AtomicU64::new(0) };
    let next = AtomicU64::new(0);
    let tally: Mutex<BTreeMap<&str, (usize, usize)>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..common.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = common.seed + next.fetch_add(1, Ordering::Relaxed);
                    if seed >= common.seed + common.pairs {
                        return;
                    }
                    let (name, holds) = trial.seed(seed, options.user.is_some());
                    let mut tally = lock(&tally);
                    let (tried, broken) = tally.entry(name).or_default();
                    *tried += 1;
                    *broken += usize::from(!holds);
                }
            });
        }
    });
    let tally = lock(&tally);
    for (name, (tried, broken)) in tally.iter() {
        println!("{name}: {tried} tried, {broken} broken");
    }
    if options.user.is_none() {
        println!("who builds changes nothing: not tried, no --user was given");
    }
    Ok(tally.values().all(|(_, broken)| *broken == 0))
}

impl Trial<'_> {
    /// Tries one law with one seed; false, and said why, where it does not hold.
    fn seed(&self, seed: u64, with_user: bool) -> (&'static str, bool) {
        let ways = WAYS.len() - usize::from(!with_user);
        let at = (seed % (LAWS.len() + ways) as u64) as usize;
        let (name, outcome) = match LAWS.get(at) {
            Some(law) => {
                let (one, other) = law.cases(seed);
                (law.name, self.same_tree(&one, &other))
            }
            None => {
                let (name, way) = WAYS[at - LAWS.len()];
                (name, self.same_image(&generate::case(seed), way))
            }
        };
        match outcome {
            Ok(found) if found.is_empty() => (name, true),
            Ok(found) => {
                println!("== seed {seed}: {name}: broken");
                for difference in found {
                    println!("  {}", difference.text);
                }
                (name, false)
            }
            Err(error) => {
                println!("== seed {seed}: {name}: ERROR {error:#}");
                (name, false)
            }
        }
    }

    fn dir(&self) -> PathBuf {
        self.scratch.join(format!("case-{}", self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    fn build(&self, case: &Case, way: Way) -> Result<Outcome> {
        let dir = self.dir();
        case.write(&dir)?;
        let outcome = match way {
            Way::Flags(more) => self.builders.ours(case, &dir, more),
            Way::User => self.builders.of_user(case, &dir),
        };
        std::fs::remove_dir_all(&dir)?;
        outcome
    }

    fn same_tree(&self, one: &Case, other: &Case) -> Result<Vec<Difference>> {
        let (first, second) = (self.build(one, Way::Flags(&[]))?, self.build(other, Way::Flags(&[]))?);
        let mut found = match (&first, &second) {
            (Outcome::Built(first), Outcome::Built(second)) => compare::trees(&first.tree, &second.tree),
            _ => compare::compare(&first, &second),
        };
        if let Some(first) = found.first_mut() {
            first.text += &format!("\n{}--\n{}", one.text(), other.text());
        }
        Ok(found)
    }

    fn same_image(&self, case: &Case, way: Way) -> Result<Vec<Difference>> {
        let mut case = case.clone();
        if matches!(way, Way::User) {
            // An ordinary user cannot read what nobody may read.
            for entry in &mut case.context {
                let readable = if entry.kind == crate::case::Kind::Directory { 0o700 } else { 0o400 };
                let mode = u32::from_str_radix(&entry.mode, 8)? | readable;
                entry.mode = format!("{mode:o}");
            }
        }
        let mut first = self.build(&case, Way::Flags(&[]))?;
        let mut second = self.build(&case, way)?;
        rules::times(&mut first);
        rules::times(&mut second);
        let mut found = compare::compare(&first, &second);
        if let Some(first) = found.first_mut() {
            first.text += &format!("\n{}", case.text());
        }
        Ok(found)
    }
}
