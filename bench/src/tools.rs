//! The builders that are compared, each with a store of its own in the scratch folder.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::sample::{self, Sample};

/// Debian's own client: a newer one on PATH has no built-in BuildKit.
const DOCKER: &str = "/usr/bin/docker";

/// A builder, ready to build.
pub(crate) enum Tool {
    Ireko { binary: PathBuf, home: PathBuf },
    Docker(Engine),
    Buildah { root: PathBuf },
}

/// A Docker engine that this program started and ends.
pub(crate) struct Engine {
    daemon: Child,
    socket: PathBuf,
    folder: PathBuf,
}

/// An image from a root tar.
pub(crate) const BASE: &str =
    "FROM scratch\nADD root.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

impl Tool {
    /// The tools not in `without`, started.
    pub(crate) fn start_all(ireko: &Path, without: &[String], scratch: &Path) -> Result<Vec<Self>> {
        let wanted = |name: &str| !without.iter().any(|left_out| left_out == name);
        let mut tools = Vec::new();
        if wanted("ireko") {
            let binary =
                if ireko.components().count() > 1 { fs::canonicalize(ireko)? } else { ireko.to_owned() };
            tools.push(Self::Ireko { binary, home: scratch.join("ireko") });
        }
        if wanted("docker") {
            tools.push(Self::Docker(Engine::start(&scratch.join("docker"))?));
        }
        if wanted("buildah") {
            tools.push(Self::Buildah { root: scratch.join("buildah") });
        }
        Ok(tools)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ireko { .. } => "ireko",
            Self::Docker(_) => "docker",
            Self::Buildah { .. } => "buildah",
        }
    }

    /// The process that works on behalf of the command, if one does.
    pub(crate) fn daemon(&self) -> Option<u32> {
        match self {
            Self::Docker(engine) => Some(engine.daemon.id()),
            Self::Ireko { .. } | Self::Buildah { .. } => None,
        }
    }

    /// The tool with its store chosen.
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Ireko { binary, home } => {
                let mut command = Command::new(binary);
                command.env("IREKO_HOME", home);
                command
            }
            Self::Docker(engine) => {
                let mut command = Command::new(DOCKER);
                command
                    .env("DOCKER_HOST", format!("unix://{}", engine.socket.display()))
                    .env("DOCKER_BUILDKIT", "1");
                command
            }
            Self::Buildah { root } => {
                let mut command = Command::new("buildah");
                command.arg("--root").arg(root.join("root")).arg("--runroot").arg(root.join("run"));
                command.args(["--storage-driver", "overlay"]);
                command
            }
        }
    }

    /// `build` of `context` with the Dockerfile in it, tagged; the cache is used.
    fn build_command(&self, context: &Path, tag: &str) -> Command {
        let mut command = self.command();
        match self {
            Self::Ireko { .. } => command.arg("build"),
            Self::Docker(_) => command.args(["build", "--progress=plain"]),
            // crun of Debian refuses a hybrid cgroup hierarchy; runc is what the engine uses too.
            Self::Buildah { .. } => command.args(["bud", "--layers", "--runtime", "runc"]),
        };
        command.args(["-t", tag]).arg(context);
        command
    }

    /// Builds `context` into the tool's own store.
    pub(crate) fn build(&self, context: &Path, tag: &str) -> Result<Sample> {
        sample::run(&mut self.build_command(context, tag), self.daemon())
    }

    /// Builds `context` and writes it as compressed layers to `dest`; the time of both.
    pub(crate) fn build_archive(&self, context: &Path, dest: &Path) -> Result<Sample> {
        const TAG: &str = "archive";
        if let Self::Ireko { .. } = self {
            let mut command = self.command();
            command.arg("build").arg("-o").arg(format!("type=oci,dest={}", dest.display())).arg(context);
            return sample::run(&mut command, None);
        }
        let built = self.build(context, TAG)?;
        let written = match self {
            Self::Docker(engine) => {
                let script = r#""$0" save archive | pigz -6 -p2 >"$1""#;
                let mut command = Command::new("sh");
                command.env("DOCKER_HOST", format!("unix://{}", engine.socket.display()));
                command.args(["-c", script, DOCKER]).arg(dest);
                sample::run(&mut command, self.daemon())?
            }
            _ => {
                let mut command = self.command();
                command.arg("push").arg(TAG).arg(format!("dir:{}", dest.display()));
                sample::run(&mut command, None)?
            }
        };
        Ok(built + written)
    }

    /// Makes `name` from a root tar, if the store does not have it.
    pub(crate) fn ensure_base(&self, name: &str, folder: &Path) -> Result<()> {
        let mut look = self.command();
        match self {
            Self::Ireko { .. } | Self::Docker(_) => look.args(["inspect", name]),
            Self::Buildah { .. } => look.args(["inspect", "--type", "image", name]),
        };
        let known =
            look.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !known {
            ensure!(
                folder.join("root.tar").exists(),
                "no `{}`: run examples/bases/make.sh",
                folder.join("root.tar").display()
            );
            fs::write(folder.join("Dockerfile"), BASE)?;
            self.build(folder, name)?;
        }
        Ok(())
    }

    /// Empties the tool's store, so that the next build is cold.
    pub(crate) fn forget(&self) -> Result<()> {
        match self {
            Self::Ireko { home, .. } => remove(home),
            Self::Docker(_) => {
                quietly(self.command().args(["image", "prune", "-a", "-f"]))?;
                quietly(self.command().args(["builder", "prune", "-a", "-f"]))
            }
            Self::Buildah { root } => {
                if root.exists() {
                    quietly(self.command().args(["rmi", "-a", "-f"]))?;
                }
                Ok(())
            }
        }
    }

    /// The tool and its version, for the table's head.
    pub(crate) fn version(&self) -> String {
        let mut command = self.command();
        match self {
            Self::Docker(_) => command.args(["version", "--format", "engine {{.Server.Version}}"]),
            Self::Ireko { .. } | Self::Buildah { .. } => command.arg("--version"),
        };
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        format!("{}: {}", self.name(), String::from_utf8_lossy(&output).trim())
    }
}

impl Engine {
    /// As `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.id()
    }

    fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let socket = folder.join("socket");
        let log = File::create(folder.join("log")).context("cannot make the engine's log")?;
        let daemon = Command::new("dockerd")
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .stdout(log.try_clone().context("cannot share the engine's log")?)
            .stderr(log)
            .spawn()
            .context("cannot start `dockerd`")?;
        let mut engine = Self { daemon, socket, folder: folder.to_owned() };
        engine.wait_ready()?;
        Ok(engine)
    }

    fn wait_ready(&mut self) -> Result<()> {
        for _ in 0..300 {
            let mut ask = Command::new(DOCKER);
            ask.env("DOCKER_HOST", format!("unix://{}", self.socket.display())).arg("version");
            if ask.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.daemon.try_wait() {
                bail!("`dockerd` ended with {status}; see `{}`", self.folder.join("log").display());
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!("`dockerd` does not answer; see `{}`", self.folder.join("log").display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A signal that lets it unmount and end its containerd; it is ours, so the pid is right until we wait.
        if let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}

fn quietly(command: &mut Command) -> Result<()> {
    sample::run(command, None).map(|_| ())
}

/// Removes a folder with all in it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove `{}`", path.display()))?;
    }
    Ok(())
}
