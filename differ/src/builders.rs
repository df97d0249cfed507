//! The two builders: a Docker engine of our own with its BuildKit, and ireko with a store of its own.

use crate::bases;
use crate::case::Case;
use crate::image::{self, Image, Known};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// Debian's own client: a newer one on PATH speaks another version.
const DOCKER: &str = "/usr/bin/docker";
const PATIENCE: Duration = Duration::from_secs(60);
/// What a file may hold at most: a case that is made smaller may become one that writes without an end.
const LARGEST_FILE: &str = "--fsize=268435456";
/// After so many builds what the engine remembers of them is thrown away: else thousands fill the disk.
const BUILDS_KEPT: usize = 200;

/// What one builder made of a case.
pub(crate) enum Outcome {
    Built(Box<Image>),
    /// It refused, and said this.
    Failed(String),
}

/// Both builders.
pub(crate) struct Builders {
    engine: Option<RwLock<Engine>>,
    ireko: PathBuf,
    home: PathBuf,
    /// A store for cases with proxies: steps see those, and are remembered without them.
    home_of_proxies: PathBuf,
    /// The ordinary user and the store of that user, where there is one.
    ordinary: Option<(String, PathBuf)>,
    known: Known,
}

struct Engine {
    daemon: Child,
    socket: String,
    dir: PathBuf,
    /// How many images it made since it last forgot them.
    built: AtomicUsize,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The end of the process that holds the namespaces asks the daemon to end; its last deed is to take its file away.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let deadline = Instant::now() + PATIENCE;
        while self.dir.join("pid").exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Engine {
    /// Starts one. What it mounts, what it sets of the network, and what it starts stay in namespaces of its own, and
    /// end with it.
    fn start(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let log = dir.join("log");
        let socket = dir.join("socket");
        let mut command = Command::new("prlimit");
        command.args([LARGEST_FILE, "unshare"]).args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child=TERM",
            "--mount-proc",
        ]);
        command.args(["--propagation", "private", "dockerd"]);
        command.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(dir.join(name));
        }
        let host = format!("unix://{}", socket.display());
        let output = File::create(&log)?;
        let command = command.arg("--host").arg(&host).stdin(Stdio::null()).stdout(output.try_clone()?);
        let daemon = command.stderr(output).spawn().context("cannot start dockerd")?;
        let mut engine = Self { daemon, socket: host, dir: dir.to_owned(), built: AtomicUsize::new(0) };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            let ended = engine.daemon.try_wait()?.is_some();
            if ended || Instant::now() > deadline {
                bail!("dockerd does not answer:\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(engine)
    }

    /// Whether it still runs and answers.
    fn lives(&mut self) -> Result<bool> {
        Ok(self.daemon.try_wait()?.is_none() && UnixStream::connect(self.dir.join("socket")).is_ok())
    }

    /// Starts it again on what it left.
    fn again(&mut self) -> Result<()> {
        if self.daemon.try_wait()?.is_none() {
            bail!("dockerd lives, but does not answer");
        }
        let kept = self.dir.join(format!("log-{}", self.daemon.id()));
        fs::copy(self.dir.join("log"), &kept)?;
        let _ = fs::remove_file(self.dir.join("pid"));
        let _ = fs::remove_file(self.dir.join("socket"));
        let log = fs::read_to_string(&kept)?;
        let why = log.lines().find(|line| line.starts_with("panic") || line.starts_with("fatal"));
        println!("dockerd ended and is started again: {}", why.unwrap_or("without a word"));
        *self = Self::start(&self.dir)?;
        Ok(())
    }

    fn build(&self, case: &Case, dir: &Path, fresh: bool, known: &Known) -> Result<Outcome> {
        let mut command = self.docker();
        command.arg("build").arg("-q").args(fresh.then_some("--no-cache"));
        let output = flags(&mut command, case, dir).output()?;
        if !output.status.success() {
            return Ok(Outcome::Failed(last(&output)));
        }
        let id = String::from_utf8(output.stdout)?.trim().to_owned();
        ensure!(id.starts_with("sha256:"), "docker build said `{id}`");
        let saved = self.docker().arg("save").arg(&id).output()?;
        self.built.fetch_add(1, Ordering::Relaxed);
        let said = String::from_utf8_lossy(&saved.stderr);
        if said.contains("empty export") {
            return Ok(Outcome::Failed(said.into_owned()));
        }
        ensure!(saved.status.success(), "docker save {id} failed:\n{said}");
        let image = image::read(&saved.stdout, known).context("cannot read what docker saved")?;
        Ok(Outcome::Built(Box::new(image)))
    }

    /// Whether it keeps enough of past builds to be worth forgetting.
    fn is_full(&self) -> bool {
        self.built.load(Ordering::Relaxed) >= BUILDS_KEPT
    }

    /// Throws away what it made; the base images have names and stay. Nobody may be building.
    fn forget(&mut self) -> Result<()> {
        *self.built.get_mut() = 0;
        succeed(self.docker().args(["image", "prune", "--force"]))?;
        succeed(self.docker().args(["builder", "prune", "--all", "--force"])).map(drop)
    }

    fn docker(&self) -> Command {
        let mut command = Command::new(DOCKER);
        command.env("DOCKER_HOST", &self.socket).env("DOCKER_BUILDKIT", "1").env("DOCKER_CONFIG", &self.dir);
        command.env_remove("DOCKER_CONTEXT").stdin(Stdio::null());
        command
    }
}

impl Builders {
    /// Starts the engine (unless only ireko is asked for) and gives both the base images.
    pub(crate) fn start(ireko: &Path, scratch: &Path, with_engine: bool) -> Result<Self> {
        let engine =
            with_engine.then(|| Engine::start(&scratch.join("engine")).map(RwLock::new)).transpose()?;
        let ireko = ireko.to_owned();
        let home = scratch.join("home");
        let home_of_proxies = scratch.join("home-of-proxies");
        let known = Known::default();
        let mut builders = Self { engine, ireko, home, home_of_proxies, ordinary: None, known };
        let dir = scratch.join("bases");
        fs::create_dir_all(&dir)?;
        fs::copy("/usr/bin/busybox", dir.join("busybox"))
            .or_else(|_| fs::copy("/bin/busybox", dir.join("busybox")))
            .context("there is no static busybox (Debian: busybox-static)")?;
        fs::write(dir.join("one"), "one\n")?;
        for place in ["dev", "proc", "sys", "mnt", "etc"] {
            fs::create_dir_all(dir.join("skeleton").join(place))?;
        }
        for place in ["etc/hosts", "etc/resolv.conf", "mnt2"] {
            fs::write(dir.join("skeleton").join(place), "")?;
        }
        for base in bases::all() {
            fs::write(dir.join("Dockerfile"), base.dockerfile)?;
            let archive = dir.join("archive");
            let mut command = builders.ireko(&builders.home);
            command.args(["build", "-q", "-t", base.name, "-o"]);
            command.arg(format!("type=docker,dest={}", archive.display())).arg(&dir);
            succeed(&mut command)?;
            builders.known.learn(&fs::read(&archive)?)?;
            if let Some(engine) = &builders.engine {
                succeed(read(engine).docker().arg("load").arg("-i").arg(&archive))?;
            }
            succeed(builders.ireko(&builders.home_of_proxies).arg("load").arg("-i").arg(&archive))?;
            fs::remove_file(archive)?;
        }
        Ok(builders)
    }

    /// The engine's version.
    pub(crate) fn version(&self) -> Result<String> {
        let engine = read(self.engine.as_ref().context("no engine was started")?);
        let output = succeed(engine.docker().args(["version", "--format", "{{.Server.Version}}"]))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn ireko(&self, home: &Path) -> Command {
        let mut command = Command::new("prlimit");
        command.arg(LARGEST_FILE).arg(&self.ireko).env("IREKO_HOME", home).stdin(Stdio::null());
        command
    }

    /// What the engine makes of a case that is written out in `dir`. The engine ends now and then by a fault of its
    /// own; it is started again, and the case tried again. `fresh`: what it remembers of other cases is not used.
    pub(crate) fn docker(&self, case: &Case, dir: &Path, fresh: bool) -> Result<Outcome> {
        let engine = self.engine.as_ref().context("no engine was started")?;
        for _ in 0..3 {
            let outcome = read(engine).build(case, dir, fresh, &self.known);
            let done = !is_of_the_engine(&outcome);
            if done && !read(engine).is_full() {
                return outcome;
            }
            let mut engine = engine.write().unwrap_or_else(PoisonError::into_inner);
            if done {
                if engine.is_full() {
                    engine.forget()?;
                }
                return outcome;
            }
            if !engine.lives()? {
                engine.again()?;
            }
        }
        bail!("the engine ends whenever it builds this")
    }

    /// Gives an ordinary user a store with the base images.
    pub(crate) fn add_ordinary(&mut self, user: String, scratch: &Path) -> Result<()> {
        let home = scratch.join("home-of-user");
        fs::set_permissions(scratch, fs::Permissions::from_mode(0o755))?;
        fs::create_dir_all(&home)?;
        succeed(Command::new("chown").arg(&user).arg(&home))?;
        self.ordinary = Some((user, home));
        let archive = scratch.join("bases.tar");
        for base in bases::all() {
            succeed(self.ireko(&self.home).arg("save").arg("-o").arg(&archive).arg(base.name))?;
            succeed(self.ireko_of_user()?.arg("load").arg("-i").arg(&archive))?;
        }
        Ok(())
    }

    fn ireko_of_user(&self) -> Result<Command> {
        let (user, home) = self.ordinary.as_ref().context("there is no ordinary user")?;
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--", "env"]).arg(format!("IREKO_HOME={}", home.display()));
        command.args(["prlimit", LARGEST_FILE]).arg(&self.ireko).stdin(Stdio::null()).current_dir("/");
        Ok(command)
    }

    /// What ireko makes of it for an ordinary user.
    pub(crate) fn of_user(&self, case: &Case, dir: &Path) -> Result<Outcome> {
        let (user, _) = self.ordinary.as_ref().context("there is no ordinary user")?;
        succeed(Command::new("chown").args(["-R", "-h", user]).arg(dir))?;
        case.set_modes(dir)?;
        self.built(self.ireko_of_user()?, case, dir, &[])
    }

    /// What ireko makes of it, with more flags of ours.
    pub(crate) fn ours(&self, case: &Case, dir: &Path, more: &[&str]) -> Result<Outcome> {
        let proxies = case.flags.iter().any(|flag| flag.to_ascii_uppercase().contains("_PROXY="));
        if !proxies {
            return self.built(self.ireko(&self.home), case, dir, more);
        }
        let mut more = more.to_vec();
        if !more.contains(&"--no-cache") {
            more.push("--no-cache");
        }
        self.built(self.ireko(&self.home_of_proxies), case, dir, &more)
    }

    fn built(&self, mut command: Command, case: &Case, dir: &Path, more: &[&str]) -> Result<Outcome> {
        let archive = dir.join("ours.tar");
        command.arg("build").arg("--progress=plain").args(more);
        command.arg("-o").arg(format!("type=docker,dest={}", archive.display()));
        let output = flags(&mut command, case, dir).output()?;
        match output.status.code() {
            Some(0) => {
                let image = image::read(&fs::read(&archive)?, &self.known);
                let image = image.context("cannot read ireko's archive")?;
                fs::remove_file(&archive)?;
                Ok(Outcome::Built(Box::new(image)))
            }
            Some(1 | 2) => Ok(Outcome::Failed(last(&output))),
            code => bail!("ireko ended with {code:?}:\n{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

/// Whether this is no answer to what was built, but the engine's own end.
fn is_of_the_engine(outcome: &Result<Outcome>) -> bool {
    const SAYS: [&str; 4] =
        ["the Docker daemon", "gRPC", "transport is closing", "error reading from server"];
    let said = match outcome {
        Ok(Outcome::Built(_)) => return false,
        Ok(Outcome::Failed(said)) => said.clone(),
        Err(error) => format!("{error:#}"),
    };
    SAYS.iter().any(|words| said.contains(words))
}

fn read(engine: &RwLock<Engine>) -> RwLockReadGuard<'_, Engine> {
    engine.read().unwrap_or_else(PoisonError::into_inner)
}

fn flags<'a>(command: &'a mut Command, case: &Case, dir: &Path) -> &'a mut Command {
    command.args(["--network", "none", "-f"]).arg(dir.join("Dockerfile")).args(&case.flags);
    if case.text().contains("type=secret") {
        command.arg("--secret").arg(format!("id=hush,src={}", dir.join("secret").display()));
    }
    command.arg(dir.join("context"))
}

fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

/// The end of what was said.
fn last(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    // Of the engine's log only what a step wrote: `#5 0.123 text`.
    let of_step = |line: &str| line.split(' ').nth(1).is_some_and(|word| word.parse::<f64>().is_ok());
    let kept =
        |line: &&str| if line.starts_with('#') { of_step(line) } else { !line.starts_with(['[', '-', ' ']) };
    let said: Vec<&str> = lines.iter().copied().filter(kept).collect();
    let lines = if said.is_empty() { lines } else { said };
    lines[lines.len().saturating_sub(6)..].join("\n")
}
