//! Figures of images without a registry: bases out of Debian's archive beside `mmdebstrap`, and what is packed without
//! a Dockerfile.
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::figures::Bench;
use crate::sample::{self, Sample, median};
use crate::table::{Goal, Row, Rows};
use crate::tools::{self, Tool};

/// The suite that all of them take packages of.
const SUITE: &str = "bookworm";
/// The bases, each with the figure's title.
const BASES: [(&str, &str); 2] = [
    ("debian:bookworm-slim", "`ireko base debian:bookworm-slim`, packages at hand"),
    ("debian:bookworm", "`ireko base debian:bookworm`, packages at hand"),
];
/// What mmdebstrap is called in the rows.
const PEER: &str = "mmdebstrap";

/// A program that every Debian has, linked dynamically, of 4 MB.
const PROGRAM: &str = "/usr/bin/perl";

const MB: f64 = 1e6;

/// ireko with a store for these figures alone; nothing where it is left out.
fn own_store(bench: &Bench) -> Option<Tool> {
    let binary = bench.tools.iter().find_map(|tool| match tool {
        Tool::Ireko { binary, .. } => Some(binary.clone()),
        Tool::Docker(_) | Tool::Buildah { .. } => None,
    })?;
    Some(Tool::Ireko { binary, home: bench.scratch.join("packages") })
}

/// Drops the image and all that was made, unpacked and remembered; what was fetched from the archive stays.
fn drop_made(ireko: &Tool, image: &str) -> Result<()> {
    sample::run(ireko.command().args(["rmi", image]), None)?;
    let prune = ["cache", "prune", "--all", "--force", "--filter", "type!=cache-mount"];
    sample::run(ireko.command().args(prune), None).map(|_| ())
}

/// Runs a command of ireko's after what others wrote has reached the disk; its sample, and what it said.
fn settled(command: &mut Command) -> Result<(Sample, String)> {
    rustix::fs::sync();
    sample::heard(command, None)
}

/// What becomes of the step in which dpkg installs the packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It ran.
    Ran,
    /// It was remembered.
    Hit,
}

/// Reads it off what `ireko base` said: `[NAME] dpkg --install 96 packages: 8.1s (never built before)`, or `…: hit`.
/// The line with nothing behind it says that the step begins.
fn step_of(said: &str) -> Option<Step> {
    let mut ends = said.lines().filter_map(|line| {
        let (count, end) = line.split_once("] dpkg --install ")?.1.split_once(" packages: ")?;
        count.parse::<u32>().ok().map(|_| end)
    });
    ends.next_back().map(|end| if end.starts_with("hit") { Step::Hit } else { Step::Ran })
}

/// Makes the base `name`, where the step that installs must end as `expected`.
fn base(ireko: &Tool, name: &str, expected: Step) -> Result<Sample> {
    let (sample, said) = settled(ireko.command().args(["base", name]))?;
    let wanted = match expected {
        Step::Ran => "did not run",
        Step::Hit => "was not remembered",
    };
    ensure!(
        step_of(&said) == Some(expected),
        "the step that installs the packages of `{name}` {wanted}: {said}"
    );
    Ok(sample)
}

/// The samples of a base.
#[derive(Default)]
struct Samples {
    made: Vec<Sample>,
    remembered: Vec<Sample>,
}

/// Bases of the packages that were fetched before, and with nothing changed, in turn with mmdebstrap.
pub(crate) fn bases(bench: &Bench) -> Result<Vec<Row>> {
    let Some(ireko) = own_store(bench) else { return Ok(Vec::new()) };
    ireko.forget()?;
    let peer = Mmdebstrap::find(&bench.scratch.join("mmdebstrap"))?;
    // Fetches lists and packages.
    for (name, _) in BASES {
        sample::run(ireko.command().args(["base", name]), None)?;
        drop_made(&ireko, name)?;
    }
    let mut ours: [Samples; BASES.len()] = Default::default();
    let (mut fetching, mut at_hand) = (Vec::new(), Vec::new());
    // In turn, so that a machine that becomes slower is so for all.
    for _ in 0..bench.repeat {
        for ((name, _), samples) in BASES.iter().zip(&mut ours) {
            samples.made.push(base(&ireko, name, Step::Ran)?);
            samples.remembered.push(base(&ireko, name, Step::Hit)?);
            drop_made(&ireko, name)?;
        }
        if let Some(peer) = &peer {
            fetching.push(peer.make(None)?);
            at_hand.push(peer.make(Some(Packages::Take))?);
        }
    }
    ireko.forget()?;
    let mut all = Vec::new();
    for ((_, title), samples) in BASES.into_iter().zip(ours) {
        let mut rows = Rows::new(title);
        let missing = if peer.is_none() { "no `mmdebstrap` here to compare with" } else { "" };
        rows.add("ireko", median(&samples.made), missing.to_owned());
        let nothing = "nothing changed: the archive asked, nothing installed".to_owned();
        rows.add("ireko, remembered", median(&samples.remembered), nothing);
        if peer.is_some() {
            rows.add(PEER, median(&fetching), "minbase, to a tar; fetches the packages each time".to_owned());
            let at_hand = median(&at_hand);
            rows.add(&format!("{PEER}, packages at hand"), at_hand, "fetches the lists alone".to_owned());
        }
        all.extend(rows.finish(&[Goal::Within { who: PEER, times: 0.7, plus_ms: 0.0 }]));
    }
    Ok(all)
}

/// mmdebstrap, with a folder for its tar and for package files.
struct Mmdebstrap {
    folder: PathBuf,
}

/// What a run does with the folder of package files.
enum Packages {
    Keep,
    Take,
}

impl Mmdebstrap {
    /// The one that is installed, with the packages of the suite fetched into the folder.
    fn find(folder: &Path) -> Result<Option<Self>> {
        let mut ask = Command::new("mmdebstrap");
        ask.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !ask.status().is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        tools::remove(folder)?;
        let packages = folder.join("packages");
        fs::create_dir_all(&packages).with_context(|| format!("cannot make `{}`", packages.display()))?;
        let found = Self { folder: folder.to_owned() };
        found.make(Some(Packages::Keep))?;
        Ok(Some(found))
    }

    /// Makes the smallest base that has apt.
    fn make(&self, packages: Option<Packages>) -> Result<Sample> {
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=minbase", "--format=tar"]);
        let folder = self.folder.join("packages");
        // Shell words, as mmdebstrap's manual has them.
        let folder = format!("'{}'", folder.display());
        match packages {
            None => {}
            Some(Packages::Keep) => {
                command.arg("--skip=essential/unlink").arg("--skip=download/empty");
                command.arg(format!("--customize-hook=cp \"$1\"/var/cache/apt/archives/*.deb {folder}"));
            }
            Some(Packages::Take) => {
                command.arg("--skip=download/empty").arg(format!(
                    "--setup-hook=mkdir -p \"$1\"/var/cache/apt/archives && cp {folder}/*.deb \"$1\"/var/cache/apt/archives"
                ));
            }
        }
        let tar = self.folder.join("root.tar");
        let (sample, _) = settled(command.arg(SUITE).arg(&tar))?;
        fs::remove_file(&tar).with_context(|| format!("mmdebstrap made no `{}`", tar.display()))?;
        Ok(sample)
    }
}

/// What an image weighs, in bytes.
#[derive(Clone, Copy)]
struct Weight {
    /// Its layers.
    plain: u64,
    /// An OCI archive of it, with gzip layers.
    packed: u64,
}

impl Weight {
    /// In megabytes, each beside what it may be.
    fn judged(self, plain: f64, packed: f64) -> String {
        let one = |bytes: u64, what: &str, most: f64| {
            let mb = bytes as f64 / MB;
            let verdict = if mb <= most { "reached" } else { "missed" };
            format!("{mb:.2} MB{what} ≤ {most}: {verdict}")
        };
        format!("{}; {}", one(self.plain, "", plain), one(self.packed, " with gzip", packed))
    }
}

/// How many bytes the layers of an image of the store have.
fn plain_bytes(ireko: &Tool, image: &str) -> Result<u64> {
    let output = ireko.command().args(["inspect", "--format", "{{.Size}}", image]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| {
        format!("`ireko inspect` tells no size of `{image}`: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Packages and programs packed without a Dockerfile.
pub(crate) fn packs(bench: &Bench) -> Result<Vec<Row>> {
    let Some(ireko) = own_store(bench) else { return Ok(Vec::new()) };
    ireko.forget()?;
    let least = ("`ireko pack --deb hello --minimal`, packages at hand", ["--minimal"].as_slice());
    let whole = ("`ireko pack --deb hello`, packages at hand", [].as_slice());
    let mut rows = packages(bench, &ireko, least, (2.3, 1.05))?;
    rows.extend(packages(bench, &ireko, whole, (14.0, 5.5))?);
    rows.extend(program(bench, &ireko)?);
    ireko.forget()?;
    Ok(rows)
}

fn packages(
    bench: &Bench,
    ireko: &Tool,
    (title, flags): (&'static str, &[&str]),
    (plain, packed): (f64, f64),
) -> Result<Vec<Row>> {
    const IMAGE: &str = "hello";
    let pack = || {
        let mut command = ireko.command();
        command.args(["pack", "--suite", &format!("debian:{SUITE}"), "--deb", "hello"]).args(flags);
        command
    };
    sample::run(pack().args(["-t", IMAGE]), None)?;
    let archive = bench.scratch.join("hello.tar");
    sample::run(pack().arg("-o").arg(format!("type=oci,dest={}", archive.display())), None)?;
    let weight = Weight { plain: plain_bytes(ireko, IMAGE)?, packed: fs::metadata(&archive)?.len() };
    fs::remove_file(&archive)?;
    let sample = bench.repeat(|_| {
        drop_made(ireko, IMAGE)?;
        Ok(settled(pack().args(["-t", IMAGE]))?.0)
    })?;
    drop_made(ireko, IMAGE)?;
    let mut rows = Rows::new(title);
    rows.add("ireko", sample, weight.judged(plain, packed));
    Ok(rows.finish(&[]))
}

/// A program with its shared objects, and again after it was built anew: other bytes, the same libraries.
fn program(bench: &Bench, ireko: &Tool) -> Result<Vec<Row>> {
    const IMAGE: &str = "program";
    let folder = bench.folder("program")?;
    let program = folder.join("server");
    let pack = || settled(ireko.command().arg("pack").arg(&program).args(["-t", IMAGE])).map(|ran| ran.0);
    let mut again = Vec::new();
    let mut bytes = (0, 0);
    let sample = bench.repeat(|seed| {
        fs::copy(PROGRAM, &program).with_context(|| format!("cannot copy `{PROGRAM}`"))?;
        ireko.forget()?;
        let first = pack()?;
        change(&program, seed)?;
        let before = image_id(ireko, IMAGE)?;
        again.push(pack()?);
        ensure!(image_id(ireko, IMAGE)? != before, "the image of the changed program is the one before");
        bytes = (fs::metadata(&program)?.len(), plain_bytes(ireko, IMAGE)?);
        Ok(first)
    })?;
    let note = beside_program(bytes.0, bytes.1);
    let mut first = Rows::new("a dynamically linked program of 4 MB packed into an empty store");
    first.add("ireko", sample, format!("a copy of `{PROGRAM}`"));
    let mut rows = first.finish(&[]);
    let mut changed = Rows::new("the same after the program's bytes changed");
    changed.add("ireko", median(&again), note);
    rows.extend(changed.finish(&[Goal::Wall { ms: 200.0 }]));
    Ok(rows)
}

/// Other bytes at the end, of which no loader knows.
fn change(program: &Path, seed: usize) -> Result<()> {
    let appended =
        File::options().append(true).open(program).and_then(|mut file| write!(file, "changed {seed}"));
    appended.with_context(|| format!("cannot change `{}`", program.display()))
}

fn image_id(ireko: &Tool, image: &str) -> Result<String> {
    let output = ireko.command().args(["inspect", "--format", "{{.Id}}", image]).output()?;
    ensure!(output.status.success(), "no image `{image}`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// An image beside the program in it, of which it may be 4 MB larger.
fn beside_program(program: u64, image: u64) -> String {
    const MORE: f64 = 4.0;
    let (program, image) = (program as f64 / MB, image as f64 / MB);
    let verdict = if image <= program + MORE { "reached" } else { "missed" };
    format!("{image:.2} MB, the program {program:.2}; ≤ program + {MORE} MB: {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_step_is_read_off_its_last_line() {
        let begun = "96 packages, 39.3MB\n[debian:bookworm] dpkg --install 96 packages\n[debian:bookworm] | Setting up x\n";
        assert_eq!(step_of(begun), None);
        let ran =
            format!("{begun}[debian:bookworm] dpkg --install 96 packages: 20.2s (never built before)\n");
        assert_eq!(step_of(&ran), Some(Step::Ran));
        assert_eq!(step_of("[debian:bookworm] dpkg --install 96 packages: hit\n"), Some(Step::Hit));
        assert_eq!(step_of("exported debian:bookworm to the store\n"), None);
    }

    #[test]
    fn sizes_stand_beside_what_they_may_be() {
        let weight = Weight { plain: 2_190_000, packed: 1_060_000 };
        assert_eq!(weight.judged(2.3, 1.05), "2.19 MB ≤ 2.3: reached; 1.06 MB with gzip ≤ 1.05: missed");
        assert_eq!(
            beside_program(3_800_000, 7_100_000),
            "7.10 MB, the program 3.80; ≤ program + 4 MB: reached"
        );
        assert!(beside_program(3_800_000, 7_800_001).ends_with("missed"));
    }
}
