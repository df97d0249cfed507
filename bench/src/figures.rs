//! The figures: what is built, how often, beside what, and what it has to reach.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::baseline;
use crate::fixtures;
use crate::levels;
use crate::packages;
use crate::sample::{self, Sample, median};
use crate::table::{Goal, Row, Rows};
use crate::tools::{self, Tool};
use crate::transfers;

/// What every figure needs.
pub(crate) struct Bench {
    pub(crate) tools: Vec<Tool>,
    pub(crate) scratch: PathBuf,
    pub(crate) bases: PathBuf,
    pub(crate) repeat: usize,
}

type Figure = fn(&Bench) -> Result<Vec<Row>>;

/// All figures by name. Those that empty the stores come last.
pub(crate) const ALL: [(&str, Figure); 14] = [
    ("startup", startup),
    ("steps", steps),
    ("unchanged", unchanged),
    ("go-edit", go_edit),
    ("stages", stages),
    ("levels", levels::levels),
    ("base", packages::bases),
    ("pack", packages::packs),
    ("small-files", small_files),
    ("copy", copy),
    ("archive", archive),
    ("push", transfers::pushes),
    ("pull", transfers::pulls),
    ("load", transfers::loads),
];

/// Files of the two figures with many small ones.
const MANY: usize = 20_000;
/// Bytes of the two figures with large ones.
const MUCH: u64 = 1 << 30;

impl Bench {
    /// The median of `repeat` runs of `one`, which is told the run's number.
    pub(crate) fn repeat(&self, mut one: impl FnMut(usize) -> Result<Sample>) -> Result<Sample> {
        let samples: Vec<Sample> = (0..self.repeat).map(&mut one).collect::<Result<_>>()?;
        Ok(median(&samples))
    }

    /// The folder with the root tar of a base.
    pub(crate) fn base_folder(&self, name: &str) -> PathBuf {
        self.bases.join(name.replace([':', '/'], "-"))
    }

    fn ensure_base(&self, tool: &Tool, name: &str) -> Result<()> {
        let folder = self.base_folder(name);
        tool.ensure_base(name, &folder)
            .with_context(|| format!("{} cannot make the base `{name}`", tool.name()))
    }

    /// A context folder of this name, emptied.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join("contexts").join(name);
        tools::remove(&folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        Ok(folder)
    }
}

fn startup(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("`--version`");
    for tool in bench.tools.iter().filter(|tool| tool.name() == "ireko") {
        let sample = bench.repeat(|_| sample::run(tool.command().arg("--version"), None))?;
        rows.add(tool.name(), sample, String::new());
    }
    Ok(rows.finish(&[Goal::Wall { ms: 5.0 }]))
}

fn steps(bench: &Bench) -> Result<Vec<Row>> {
    const COUNT: usize = 30;
    let mut rows = Rows::new("30 trivial RUN steps, cold");
    for tool in &bench.tools {
        bench.ensure_base(tool, "busybox")?;
        let folder = bench.folder("steps")?;
        let sample = bench.repeat(|seed| {
            fixtures::context(&folder, &fixtures::run_steps(COUNT, seed))?;
            tool.build(&folder, "steps")
        })?;
        let note = format!("{:.1} ms CPU a step", sample.cpu_ms / COUNT as f64);
        rows.add(tool.name(), sample, note);
    }
    let cpu = Goal::Cpu { ms: 10.0 * COUNT as f64 };
    Ok(rows.finish(&[
        Goal::Faster { who: "docker", times: 30.0 },
        Goal::Faster { who: "buildah", times: 30.0 },
        cpu,
    ]))
}

fn unchanged(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("unchanged rebuild, context of 20,000 files");
    let many = bench.folder("many")?;
    fixtures::small_files(&many.join("src"), MANY)?;
    fixtures::context(&many, "FROM busybox\nCOPY src /src\nRUN ls /src >/listing\n")?;
    for tool in &bench.tools {
        bench.ensure_base(tool, "busybox")?;
        tool.build(&many, "many")?;
        rows.add(tool.name(), bench.repeat(|_| tool.build(&many, "many"))?, String::new());
    }
    let walk = bench.repeat(|_| {
        sample::own(|| {
            let seen = baseline::stat_walk(&many)?;
            ensure!(seen > MANY, "the walk saw only {seen} entries");
            Ok(())
        })
    })?;
    rows.add("stat walk", walk, "all cores".to_owned());
    let mut all = rows.finish(&[
        Goal::Within { who: "stat walk", times: 1.6, plus_ms: 15.0 },
        Goal::Faster { who: "docker", times: 9.0 },
    ]);

    let mut rows = Rows::new("unchanged rebuild, five lines");
    let few = bench.folder("few")?;
    fs::write(few.join("app.sh"), "echo hello\n").context("cannot write a file of the context")?;
    fixtures::context(
        &few,
        "FROM busybox\nWORKDIR /app\nCOPY app.sh .\nRUN chmod 755 app.sh\nCMD [\"/app/app.sh\"]\n",
    )?;
    for tool in &bench.tools {
        tool.build(&few, "few")?;
        rows.add(tool.name(), bench.repeat(|_| tool.build(&few, "few"))?, String::new());
    }
    all.extend(rows.finish(&[Goal::Wall { ms: 15.0 }]));
    Ok(all)
}

/// The Go example's source, with the path of the cache written out: not every peer expands variables there.
fn go_context(folder: &Path) -> Result<()> {
    const CACHE: &str = "/root/.cache/go-build";
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/go-service");
    for part in ["cmd", "internal", "third_party"] {
        fixtures::part_of(&example.join(part), &folder.join(part), u64::MAX)?;
    }
    for file in ["go.mod", "go.sum"] {
        fs::copy(example.join(file), folder.join(file)).with_context(|| format!("cannot copy `{file}`"))?;
    }
    let build = format!(
        "RUN --mount=type=bind,target=/src --mount=type=cache,target={CACHE} {}",
        go_build("/out/service")
    );
    let head = "FROM golang:1-bookworm AS build\nENV CGO_ENABLED=0 GOCACHE=/root/.cache/go-build GOPATH=/go HOME=/root\nWORKDIR /src\n";
    fixtures::context(
        folder,
        &format!("{head}{build}\nFROM scratch\nCOPY --from=build /out/service /service\n"),
    )
}

fn go_build(out: &str) -> String {
    format!("go build -trimpath -buildvcs=false -ldflags='-s -w' -o {out} ./cmd/service")
}

/// Changes one line of the service.
fn go_change(folder: &Path, seed: &str) -> Result<()> {
    let text = format!(
        "package greeting\n\nimport \"example.test/words\"\n\n// Text is the answer.\nfunc Text() string {{ return words.Title(\"hello {seed}\") }}\n"
    );
    fs::write(folder.join("internal/greeting/greeting.go"), text).context("cannot change the service")
}

fn go_edit(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("one line of the Go service changed");
    let folder = bench.folder("go")?;
    go_context(&folder)?;
    for tool in &bench.tools {
        bench.ensure_base(tool, "golang:1-bookworm")?;
        tool.build(&folder, "go")?;
        let sample = bench.repeat(|seed| {
            go_change(&folder, &format!("{} {seed}", tool.name()))?;
            tool.build(&folder, "go")
        })?;
        rows.add(tool.name(), sample, stale(tool).to_owned());
    }
    rows.add("go build", go_bare(bench, &folder)?, "the same compile in the same root, bare".to_owned());
    Ok(rows.finish(&[Goal::Within { who: "go build", times: 1.0, plus_ms: 150.0 }]))
}

/// buildah 1.28 has no part of a bind mount in its key: the random edits of `crates/ireko/tests/edits` show it.
fn stale(tool: &Tool) -> &'static str {
    match tool {
        Tool::Buildah { .. } => "gives the old program: mounted files are not in its key",
        Tool::Ireko { .. } | Tool::Docker(_) => "",
    }
}

/// The compile alone: the base's root unpacked, the source in it, a warm cache, no sandbox but a chroot.
fn go_bare(bench: &Bench, folder: &Path) -> Result<Sample> {
    let root = bench.folder("go-root")?;
    let tar = bench.bases.join("golang-1-bookworm/root.tar");
    sample::run(Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(&root).arg("--exclude=./dev/*"), None)?;
    fs::write(root.join("dev/null"), "").context("cannot make a stand-in for /dev/null")?;
    let source = root.join("src");
    fixtures::part_of(folder, &source, u64::MAX)?;
    let compile = || {
        let mut command = Command::new("chroot");
        command.arg(&root).args(["/bin/sh", "-c", &format!("cd /src && {}", go_build("/out/service"))]);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command.env("CGO_ENABLED", "0").env("GOPATH", "/go");
        sample::run(&mut command, None)
    };
    compile()?;
    let sample = bench.repeat(|seed| {
        go_change(&source, &format!("bare {seed}"))?;
        compile()
    });
    tools::remove(&root)?;
    sample
}

fn stages(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("eight stages of `sleep 1`");
    for tool in &bench.tools {
        bench.ensure_base(tool, "busybox")?;
        let folder = bench.folder("stages")?;
        let sample = bench.repeat(|seed| {
            fixtures::context(&folder, &fixtures::sleeping_stages(8, seed))?;
            tool.build(&folder, "stages")
        })?;
        rows.add(tool.name(), sample, String::new());
    }
    Ok(rows.finish(&[Goal::Wall { ms: 1250.0 }]))
}

/// Cold builds of one folder into each tool's emptied store.
fn cold(bench: &Bench, rows: &mut Rows, one: impl Fn(&Tool) -> Result<(Sample, String)>) -> Result<()> {
    for tool in &bench.tools {
        let mut last = String::new();
        let sample = bench.repeat(|_| {
            tool.forget()?;
            let (sample, note) = one(tool)?;
            last = note;
            Ok(sample)
        })?;
        tool.forget()?;
        rows.add(tool.name(), sample, last);
    }
    Ok(())
}

fn small_files(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("COPY of 20,000 small files, cold, into the store");
    let folder = bench.folder("small")?;
    fixtures::small_files(&folder.join("src"), MANY)?;
    fixtures::context(&folder, "FROM scratch\nCOPY src /src\n")?;
    cold(bench, &mut rows, |tool| Ok((tool.build(&folder, "small")?, String::new())))?;
    let faster = ["docker", "buildah"].map(|who| Goal::Faster { who, times: 5.0 });
    let less = ["docker", "buildah"].map(|who| Goal::LessCpu { who, times: 5.0 });
    let goals: Vec<Goal> = faster.into_iter().chain(less).collect();
    Ok(rows.finish(&goals))
}

/// A context with 1 GiB of this machine's libraries, made once a run.
pub(crate) fn libraries(bench: &Bench) -> Result<PathBuf> {
    let folder = bench.scratch.join("contexts/libraries");
    if !folder.exists() {
        let folder = bench.folder("libraries")?;
        fixtures::part_of(Path::new("/usr/lib"), &folder.join("lib"), MUCH)?;
        fixtures::context(&folder, "FROM scratch\nCOPY lib /lib\n")?;
    }
    // Once into the page cache, so that the first tool does not pay for the disk.
    fixtures::files(&folder)?.iter().try_for_each(|file| fs::read(file).map(|_| ()))?;
    Ok(folder)
}

fn copy(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("COPY of 1 GiB of /usr/lib, into the store");
    let folder = libraries(bench)?;
    let files = fixtures::files(&folder.join("lib"))?;
    cold(bench, &mut rows, |tool| {
        let sample = tool.build(&folder, "libraries")?;
        Ok((sample, memory(tool, sample)))
    })?;
    let dest = bench.scratch.join("copy");
    let plain = bench.repeat(|_| sample::own(|| baseline::read_hash_write(&files, &dest)))?;
    let bytes = fixtures::size(&folder.join("lib"))? as f64;
    rows.add(
        "read, hash, write",
        plain,
        format!("one thread, {:.2} GiB in {} files", bytes / MUCH as f64, files.len()),
    );
    Ok(rows.finish(&[
        Goal::Faster { who: "docker", times: 2.5 },
        Goal::Within { who: "read, hash, write", times: 1.3, plus_ms: 0.0 },
        Goal::Memory { mb: 150.0 },
    ]))
}

/// A command's own peak memory; of a client, it says nothing.
fn memory(tool: &Tool, sample: Sample) -> String {
    match tool {
        Tool::Docker(_) => String::new(),
        Tool::Ireko { .. } | Tool::Buildah { .. } => format!("{:.0} MB peak", sample.peak_mb),
    }
}

fn archive(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("COPY of 1 GiB of /usr/lib, to gzip layers");
    let folder = libraries(bench)?;
    let files = fixtures::files(&folder.join("lib"))?;
    let bytes = fixtures::size(&folder.join("lib"))? as f64;
    let dest = bench.scratch.join("archive");
    cold(bench, &mut rows, |tool| {
        let sample = tool.build_archive(&folder, &dest)?;
        let ratio = fixtures::size(&dest)? as f64 / bytes;
        if dest.is_dir() {
            tools::remove(&dest)?
        } else {
            fs::remove_file(&dest)?
        }
        let note = format!("ratio {ratio:.3} {}", memory(tool, sample));
        Ok((sample, note.trim_end().to_owned()))
    })?;
    let mut packed = 0;
    let plain = bench.repeat(|_| {
        sample::own(|| {
            packed = baseline::read_compress_hash(&files)?;
            Ok(())
        })
    })?;
    rows.add("read, compress, hash", plain, format!("all cores, ratio {:.3}", packed as f64 / bytes));
    Ok(rows.finish(&[
        Goal::Faster { who: "docker", times: 3.0 },
        Goal::Faster { who: "buildah", times: 3.0 },
        Goal::Within { who: "read, compress, hash", times: 1.3, plus_ms: 0.0 },
        Goal::Memory { mb: 150.0 },
    ]))
}
