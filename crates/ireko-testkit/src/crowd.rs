//! Builds, prunes, pulls and loads that crowd one store and are killed at any moment; then everything is looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{TarStream, TestImage, TestRegistry};

/// How many different builds there are.
const VARIANTS: u64 = 3;

const DOCKERFILE: &str = "FROM base AS one\nCOPY . /in/\nRUN cat /in/d/* | sha256sum >/sum\n\
    RUN seq 5000 >/seq; mkdir /dir; ln -s seq /dir/link; rm /in/a\n\
    FROM base AS two\nARG N\nRUN --mount=type=cache,target=/m --mount=type=bind,target=/c echo $N >>/m/n; cp -r /c/d /d; echo $N >/d/n\n\
    WORKDIR /w\n\
    FROM base\nCOPY --from=one /sum /seq /out/\nCOPY --from=two /d /d/\nRUN cat /out/seq /d/n >/last; rm -r /d/1\n";

/// The same as `tests/it/support.rs` makes: a static busybox with its applets.
const BASE: &str = "FROM scratch\nCOPY --chmod=755 busybox /usr/bin/busybox\n\
    RUN [\"/usr/bin/busybox\", \"sh\", \"-c\", \"/usr/bin/busybox mkdir -p /tmp /etc && /usr/bin/busybox --install -s /usr/bin && /usr/bin/busybox ln -s usr/bin /bin\"]\n\
    ENV PATH=/usr/bin\nCMD [\"/bin/sh\"]\n";

/// A store, what is built in it, and what a clean store gives for that.
pub struct Crowd {
    binary: PathBuf,
    dir: PathBuf,
    registry: TestRegistry,
    random: Random,
    /// Content ids of the layers of each variant.
    expected: Vec<Vec<String>>,
    /// How long a whole build takes, in microseconds.
    length: u64,
    /// What happened so far.
    pub tally: Tally,
}

/// What a crowd came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rounds.
    pub rounds: u64,
    /// Commands that were started.
    pub started: u64,
    /// Those of them that were at work when they were killed.
    pub killed: u64,
}

/// Repeatable numbers that are spread evenly.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// A command that runs.
struct Job {
    child: Child,
    words: String,
    /// When it is killed, in microseconds after its start; `None`: never.
    end: Option<u64>,
    began: Instant,
}

impl Crowd {
    /// Makes the store in a directory, which must be empty; `None` where there is no static busybox.
    ///
    /// # Errors
    /// What went wrong with a build that nobody disturbs.
    pub fn new(binary: &Path, dir: &Path, seed: u64) -> Result<Option<Self>, String> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().map(Path::new).find(|path| path.exists());
        let Some(busybox) = busybox else { return Ok(None) };
        let registry = TestRegistry::start();
        let layer = |name: &str| TarStream::new().file(name, "pulled\n".repeat(10_000));
        registry.push("pulled", "1", &TestImage::new().layer(layer("one")).layer(layer("two")));
        let mut crowd = Self {
            binary: binary.to_owned(),
            dir: dir.to_owned(),
            registry,
            random: Random(seed),
            expected: Vec::new(),
            length: 0,
            tally: Tally::default(),
        };
        crowd.write(busybox).map_err(|error| format!("cannot write the context: {error}"))?;
        crowd.done("clean", &["build", "-q", "-t", "base", "base"])?;
        crowd.done("clean", &["save", "-o", "base.tar", "base"])?;
        for n in 0..VARIANTS {
            crowd.build("clean", n, &[])?;
            let contents = crowd.contents("clean", n)?;
            crowd.expected.push(contents);
        }
        crowd.done("store", &["load", "-i", "base.tar"])?;
        let begin = Instant::now();
        crowd.build("store", 0, &["--no-cache"])?;
        crowd.length = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Some(crowd))
    }

    fn write(&self, busybox: &Path) -> std::io::Result<()> {
        fs::create_dir_all(self.dir.join("base"))?;
        fs::create_dir_all(self.dir.join("context/d"))?;
        fs::copy(busybox, self.dir.join("base/busybox"))?;
        fs::write(self.dir.join("base/Dockerfile"), BASE)?;
        fs::write(self.dir.join("context/Dockerfile"), DOCKERFILE)?;
        fs::write(self.dir.join("context/a"), "a")?;
        for at in 0..30 {
            fs::write(self.dir.join(format!("context/d/{at}")), "text\n".repeat(at + 1))?;
        }
        Ok(())
    }

    fn command(&self, store: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).current_dir(&self.dir).env("IREKO_HOME", self.dir.join(store));
        for name in ["SOURCE_DATE_EPOCH", "IREKO_CACHE_MAX_SIZE", "http_proxy", "HTTP_PROXY"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    fn done(&self, store: &str, words: &[&str]) -> Result<String, String> {
        let output = self.command(store, words).output().map_err(|error| error.to_string())?;
        succeeded(&words.join(" "), &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn build(&self, store: &str, n: u64, more: &[&str]) -> Result<String, String> {
        let (tag, arg) = (format!("app{n}"), format!("N={n}"));
        let mut words = vec!["build", "-q", "-t", &tag, "--build-arg", &arg];
        words.extend(more);
        words.push("context");
        self.done(store, &words)
    }

    /// One round: commands are started together, killed one by one, and then all is looked at.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn round(&mut self) -> Result<(), String> {
        self.tally.rounds += 1;
        let mut jobs = Vec::new();
        for _ in 0..2 + self.random.below(3) {
            jobs.push(self.start_build()?);
        }
        for _ in 0..self.random.below(4) {
            jobs.push(self.start_other()?);
        }
        self.tally.started += jobs.len() as u64;
        // The next to be killed first.
        jobs.sort_by_key(|job| job.end.unwrap_or(u64::MAX));
        for job in &mut jobs {
            let Some(end) = job.end else { continue };
            std::thread::sleep(Duration::from_micros(end).saturating_sub(job.began.elapsed()));
            if job.child.try_wait().map_err(|error| error.to_string())?.is_none() {
                self.tally.killed += 1;
            }
            let _ = job.child.kill();
        }
        let together: Vec<String> =
            jobs.iter().map(|job| format!("{} (killed after {:?} µs)", job.words, job.end)).collect();
        for job in jobs {
            let output = job.child.wait_with_output().map_err(|error| error.to_string())?;
            if job.end.is_none() {
                succeeded(&job.words, &output)
                    .map_err(|error| format!("{error}\ntogether with:\n{}", together.join("\n")))?;
            }
        }
        let n = self.random.below(VARIANTS);
        self.aftermath(n)
    }

    fn start_build(&mut self) -> Result<Job, String> {
        let n = self.random.below(VARIANTS);
        let (tag, arg) = (format!("app{n}"), format!("N={n}"));
        let out = format!("type=oci,dest=out{n}.tar");
        let mut words = vec!["build", "-q", "-t", &tag, "--build-arg", &arg, "context"];
        match self.random.below(6) {
            0 => words.extend(["-o", &out]),
            1 | 2 => words.push("--no-cache"),
            3 => words.extend(["--cache-max-size", "5m"]),
            _ => {}
        }
        self.start(&words)
    }

    fn start_other(&mut self) -> Result<Job, String> {
        let pulled = format!("{}/pulled:1", self.registry.address());
        let words: &[&str] = match self.random.below(10) {
            0 => &["cache", "prune", "-f", "--keep", "0s"],
            1 => &["cache", "prune", "-af"],
            2 => &["cache", "prune", "-f", "--max-size", "3m"],
            3 => &["system", "prune", "-f"],
            4 => &["image", "prune", "-f"],
            5 | 6 => &["pull", "-q", &pulled],
            7 | 8 => &["load", "-q", "-i", "base.tar"],
            _ => &["cache", "fsck", "--repair"],
        };
        let words = words.to_vec();
        self.start(&words)
    }

    fn start(&mut self, words: &[&str]) -> Result<Job, String> {
        let mut command = self.command("store", words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("cannot start: {error}"))?;
        // Most are killed; more of them early, since much is decided at the beginning.
        let span = match self.random.below(3) {
            0 => self.length / 5,
            _ => self.length,
        };
        let end = (self.random.below(5) > 0).then(|| self.random.below(span));
        Ok(Job { child, words: words.join(" "), end, began: Instant::now() })
    }

    /// The store is sound, nothing is left of the killed, and a build is right.
    fn aftermath(&self, n: u64) -> Result<(), String> {
        let alive = self.alive();
        if !alive.is_empty() {
            return Err(format!("still running: {}", alive.join("; ")));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if mounts.contains(&self.dir.display().to_string()) {
            return Err(format!("still mounted:\n{mounts}"));
        }
        self.done("store", &["cache", "fsck"])?;
        self.build("store", n, &[])?;
        let (expected, found) = (&self.expected[usize::try_from(n).unwrap_or(0)], self.contents("store", n)?);
        if *expected != found {
            return Err(format!("app{n} has the layers {found:?}, a clean store gives {expected:?}"));
        }
        let last = self.done("store", &["run", "--rm", &format!("app{n}"), "tail", "-n", "2", "/last"])?;
        if last != format!("5000\n{n}\n") {
            return Err(format!("app{n} ends with {last:?}"));
        }
        for dir in ["tmp", "leases", "trash"] {
            let left: Vec<PathBuf> = fs::read_dir(self.dir.join("store").join(dir))
                .into_iter()
                .flatten()
                .flatten()
                .map(|it| it.path())
                .collect();
            if !left.is_empty() {
                return Err(format!("left in {dir} after a build: {left:?}"));
            }
        }
        Ok(())
    }

    /// Content ids of an image's layers, bottom first.
    fn contents(&self, store: &str, n: u64) -> Result<Vec<String>, String> {
        let text = self.done(store, &["inspect", &format!("app{n}")])?;
        let told: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let layers = told[0]["RootFS"]["Layers"].as_array().cloned().unwrap_or_default();
        layers
            .iter()
            .map(|diff| {
                let hex = diff.as_str().unwrap_or_default().trim_start_matches("sha256:");
                let info = self.dir.join(store).join("layers").join(hex).join("info");
                let bytes = fs::read(&info).map_err(|error| format!("`{}`: {error}", info.display()))?;
                // The first line is the seal.
                let body = bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
                let info: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                Ok(info["content"].to_string())
            })
            .collect()
    }

    /// Ends it: empties the store and removes the directory.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn remove(self) -> Result<(), String> {
        for store in ["store", "clean"] {
            self.done(store, &["cache", "prune", "-af"])?;
        }
        fs::remove_dir_all(&self.dir)
            .map_err(|error| format!("cannot remove `{}`: {error}", self.dir.display()))
    }

    /// Processes that have something to do with the store, once those that are dying had time to.
    fn alive(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.seen();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn seen(&self) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let mounts = fs::read_to_string(process.path().join("mounts")).unwrap_or_default();
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if mounts.contains(&dir) || String::from_utf8_lossy(&environment).contains(&dir) {
                found.push(fs::read_to_string(process.path().join("cmdline")).unwrap_or_default());
            }
        }
        found
    }
}

fn succeeded(words: &str, output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("`ireko {words}` ended with {}\nstdout:\n{out}\nstderr:\n{error}", output.status))
}
