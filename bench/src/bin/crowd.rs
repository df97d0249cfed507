//! Kills builds, prunes, pulls and loads of one store at seeded moments for many rounds, and looks at all after each.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its caller")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use ireko_testkit::Crowd;

/// Rounds of killed commands on one store.
#[derive(Debug, Parser)]
struct Arguments {
    /// The ireko binary.
    #[arg(long, default_value = "ireko")]
    ireko: PathBuf,
    /// How many rounds.
    #[arg(long, default_value_t = 10_000)]
    rounds: u64,
    /// What the moments are made of; the same gives the same commands.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A folder for the store, which must not exist; removed at the end where all was well.
    #[arg(long, default_value = "/var/tmp/ireko-crowd")]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { ireko, rounds, seed, dir } = arguments;
    ensure!(!dir.exists(), "`{}` is there already", dir.display());
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    let ireko = std::fs::canonicalize(ireko).with_context(|| format!("no binary `{}`", ireko.display()))?;
    let crowd = Crowd::new(&ireko, dir, *seed).map_err(|error| anyhow!("{error}"))?;
    let mut crowd = crowd.context("there is no static busybox (Debian: busybox-static)")?;
    let begin = Instant::now();
    for round in 1..=*rounds {
        crowd
            .round()
            .map_err(|error| anyhow!("seed {seed}, round {round}, store `{}`: {error}", dir.display()))?;
        if round.is_multiple_of(100) {
            println!("{:?} in {} s", crowd.tally, begin.elapsed().as_secs());
        }
    }
    println!("{:?} in {} s: all sound", crowd.tally, begin.elapsed().as_secs());
    crowd.remove().map_err(|error| anyhow!("{error}"))
}
