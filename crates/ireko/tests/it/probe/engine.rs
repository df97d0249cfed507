//! An installed Docker engine, started for one test and ended with it.

use crate::support::Said;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A Docker engine of this test's own, with all it mounts in a mount namespace of its own.
pub(super) struct Engine {
    daemon: Child,
    folder: PathBuf,
}

impl Engine {
    /// Started, or `None` with one line why: the page's table is of one version.
    pub(super) fn start(folder: PathBuf) -> Option<Self> {
        const DOCUMENTED: &str = "20.10.";
        let version = Command::new("dockerd").arg("--version").output();
        let version =
            version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !version.contains(DOCUMENTED) {
            eprintln!(
                "skipped because the engine to compare with is {DOCUMENTED}x, here is: {}",
                version.trim()
            );
            return None;
        }
        fs::create_dir(&folder).expect("a folder");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "dockerd", "--bridge=none", "--iptables=false"]);
        command.args(["--ip-forward=false", "--ip-masq=false"]);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(folder.join(name));
        }
        command.arg("--host").arg(format!("unix://{}", folder.join("socket").display()));
        let daemon = command.stdout(Stdio::null()).stderr(log).spawn().expect("a process");
        let mut engine = Self { daemon, folder };
        for _ in 0..300 {
            if engine.command(&["version"]).output().is_ok_and(|output| output.status.success()) {
                return Some(engine);
            }
            if engine.daemon.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no engine: {}", fs::read_to_string(engine.folder.join("log")).unwrap_or_default());
    }

    fn command(&self, args: &[&str]) -> Command {
        // Debian's own client: a newer one on PATH may not speak with this engine.
        let mut command = Command::new("/usr/bin/docker");
        command.args(args).env("DOCKER_HOST", format!("unix://{}", self.folder.join("socket").display()));
        command.env("DOCKER_CONFIG", &self.folder).env_remove("DOCKER_CONTEXT").stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub(super) fn docker(&self, args: &[&str]) -> String {
        Said::of(self.command(args).output().expect("a client")).ok().stdout
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A signal that lets it end its containerd; it is ours, so the pid is right until we wait.
        if let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}
