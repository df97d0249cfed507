//! Prints ireko's figures beside those of the Docker engine's BuildKit and of buildah, from one run on one machine.
//!
//! Each figure builds the same input with every tool and takes the median of several runs: wall time, and CPU of the
//! whole process tree, a daemon's included. Baselines (a bare walk, a plain copy, the compiler alone) stand beside them,
//! so that a ratio says how much of the time is not the work itself. `bench/README.md` has the last table.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its caller")]

mod baseline;
mod figures;
mod fixtures;
mod levels;
mod packages;
mod sample;
mod table;
mod tools;
mod transfers;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::figures::Bench;
use crate::table::Row;
use crate::tools::Tool;

/// Figures of ireko beside its peers.
#[derive(Debug, Parser)]
struct Arguments {
    /// The ireko binary to measure (a release build).
    #[arg(long, default_value = "ireko")]
    ireko: PathBuf,
    /// Tools to leave out: ireko, docker, buildah.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Runs of each measurement, of which the median is shown.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Where the root tars of `examples/bases/make.sh` lie.
    #[arg(long, default_value = "target/bases")]
    bases: PathBuf,
    /// A folder for contexts, stores and daemons, on a real file system; emptied at the end.
    #[arg(long, default_value = "/var/tmp/ireko-bench")]
    scratch: PathBuf,
    /// Write the rows as JSON too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Figures to run (default: all): startup, steps, unchanged, go-edit, stages, levels, base, pack, small-files, copy, archive, push, pull, load.
    figures: Vec<String>,
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
    ensure!(rustix::process::geteuid().is_root(), "the Docker engine needs root: run the bench as root");
    let scratch = fixtures::Scratch::new(&arguments.scratch)?;
    let bases = std::path::absolute(&arguments.bases).context("cannot name the folder of the bases")?;
    let tools = Tool::start_all(&arguments.ireko, &arguments.without, scratch.path())?;
    let bench = Bench { tools, scratch: scratch.path().to_owned(), bases, repeat: arguments.repeat };
    println!("{}\n", table::machine(&bench.tools));
    println!("{}", table::HEAD);
    let mut rows: Vec<Row> = Vec::new();
    for (name, figure) in figures::ALL {
        if arguments.figures.is_empty() || arguments.figures.iter().any(|wanted| wanted == name) {
            let more = figure(&bench).with_context(|| format!("cannot measure `{name}`"))?;
            for row in &more {
                println!("{row}");
            }
            rows.extend(more);
        }
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_vec_pretty(&rows).context("cannot write the rows as JSON")?;
        std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}
