//! Figures of the sandbox levels: ireko beside itself, by root and by an ordinary user.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::figures::Bench;
use crate::fixtures;
use crate::sample::{self, Sample};
use crate::table::{Row, Rows};
use crate::tools::{self, Tool};

/// The ordinary user whom `tests/install.sh` makes, with subordinate ids.
const USER: &str = "ireko-test";

/// A level, and by how many times a step and an installation may be slower there than at level root.
struct Level {
    name: &'static str,
    user: bool,
    step: Option<f64>,
    install: Option<f64>,
}

/// Root's comes first; the others are held against it.
const LEVELS: [Level; 4] = [
    Level { name: "root", user: false, step: None, install: None },
    Level { name: "rootless", user: true, step: Some(1.5), install: Some(1.2) },
    Level { name: "single-id", user: true, step: Some(2.0), install: Some(2.0) },
    Level { name: "none", user: false, step: None, install: None },
];

const STEPS: usize = 30;

/// 30 trivial steps, and packages installed, at each level.
pub(crate) fn levels(bench: &Bench) -> Result<Vec<Row>> {
    let Some(Tool::Ireko { binary, .. }) = bench.tools.iter().find(|tool| tool.name() == "ireko") else {
        return Ok(Vec::new());
    };
    let home = bench.scratch.join("levels");
    tools::remove(&home)?;
    fs::create_dir_all(&home).with_context(|| format!("cannot make `{}`", home.display()))?;
    let mut places = Vec::new();
    for level in &LEVELS {
        let store = home.join(level.name);
        fs::create_dir(&store).with_context(|| format!("cannot make `{}`", store.display()))?;
        if level.user {
            let given = Command::new("chown").arg(USER).arg(&store).status();
            ensure!(
                given.is_ok_and(|status| status.success()),
                "no user `{USER}`: tests/install.sh makes it"
            );
        }
        places.push(Place { binary, store, level });
    }
    let mut rows = Vec::new();
    let busybox = bench.base_folder("busybox");
    let steps = |seed| fixtures::run_steps(STEPS, seed);
    rows.extend(compare(
        bench,
        &places,
        ("busybox", &busybox),
        "30 trivial RUN steps, cold, by level",
        (&steps, false),
    )?);
    let debian = bench.base_folder("debian:bookworm-slim");
    let install = |seed| {
        format!(
            "FROM debian:bookworm-slim\nRUN : {seed}; apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
             apt-get install -y -qq openssh-client postgresql-common </dev/null >/dev/null 2>&1\n"
        )
    };
    let title = "`apt-get install openssh-client postgresql-common`, by level";
    rows.extend(compare(bench, &places, ("debian:bookworm-slim", &debian), title, (&install, true))?);
    for place in &places {
        // Files of subordinate ids go through ireko itself.
        sample::run(place.command().args(["cache", "prune", "--all", "-f"]), None)?;
    }
    tools::remove(&home)?;
    Ok(rows)
}

fn compare(
    bench: &Bench,
    places: &[Place<'_>],
    (base, tar): (&str, &Path),
    title: &'static str,
    (dockerfile, installs): (&dyn Fn(usize) -> String, bool),
) -> Result<Vec<Row>> {
    let mut rows = Rows::new(title);
    let folder = bench.folder("levels")?;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); places.len()];
    fs::write(tar.join("Dockerfile"), tools::BASE)
        .with_context(|| format!("no `{}`: run examples/bases/make.sh", tar.display()))?;
    for place in places {
        place.build(tar, base)?;
    }
    // In turn, so that a machine that becomes slower is so for all.
    for seed in 0..bench.repeat {
        for (place, samples) in places.iter().zip(&mut samples) {
            fixtures::context(&folder, &dockerfile(seed))?;
            samples.push(place.build(&folder, "measured")?);
        }
    }
    let mut root = None;
    for (place, samples) in places.iter().zip(&samples) {
        let sample = sample::median(samples);
        let root = *root.get_or_insert(sample.wall_ms);
        let times = sample.wall_ms / root;
        let most = if installs { place.level.install } else { place.level.step };
        let mut note = format!("{times:.2} × root");
        if let Some(most) = most {
            let judged = if times <= most { "reached" } else { "missed" };
            note += &format!("; ≤ {most}: {judged}");
        }
        rows.add(place.level.name, sample, note);
    }
    Ok(rows.finish(&[]))
}

/// A store of one level.
struct Place<'p> {
    binary: &'p Path,
    store: PathBuf,
    level: &'p Level,
}

impl Place<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(if self.level.user { "runuser" } else { "env" });
        if self.level.user {
            command.args(["-u", USER, "--", "env"]);
        }
        command.arg(format!("IREKO_HOME={}", self.store.display()));
        command
            .arg(format!("IREKO_LEVEL={}", self.level.name))
            .arg("IREKO_ISOLATION=chroot")
            .arg(self.binary);
        command
    }

    fn build(&self, context: &Path, tag: &str) -> Result<Sample> {
        sample::run(self.command().args(["build", "-t", tag]).arg(context), None)
    }
}
