//! Daemons of the tests' own: a Docker engine and a registry.

use crate::containers::free_port;
use crate::support::{Said, have, is_root};
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's own client: a newer one on PATH speaks another version.
const DOCKER: &str = "/usr/bin/docker";

/// A process of ours, asked to end and waited for when it is dropped.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).expect("a log");
        let command = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        Self(command.spawn().expect("a daemon"))
    }

    /// Waits until it answers.
    fn ready(&mut self, log: &Path, answers: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !answers() {
            let ended = self.0.try_wait().expect("a state").is_some();
            let late = Instant::now() > deadline;
            assert!(!ended && !late, "no answer:\n{}", fs::read_to_string(log).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It is ours and not waited for yet, so the number is its.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// A Docker engine with a store and a socket of its own. What it mounts and what it sets of the network stay in
/// namespaces of its own too.
pub(crate) struct Engine {
    /// Ends before its files go.
    _daemon: Daemon,
    dir: TempDir,
}

impl Engine {
    /// Starts one, or says why there is none.
    pub(crate) fn start() -> Option<Self> {
        if !is_root() {
            eprintln!("skipped because only root can start a Docker engine");
            return None;
        }
        if !have(&["dockerd", "docker", "containerd", "runc"]) {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("ireko-engine-").tempdir().expect("a directory");
        let log = dir.path().join("log");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--propagation", "private", "dockerd"]);
        command.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(dir.path().join(name));
        }
        let mut daemon = Daemon::start(command.arg("--host").arg(socket(dir.path())), &log);
        let path = dir.path().join("socket");
        daemon.ready(&log, || std::os::unix::net::UnixStream::connect(&path).is_ok());
        Some(Self { _daemon: daemon, dir })
    }

    /// As `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        socket(self.dir.path())
    }

    /// Its version.
    pub(crate) fn version(&self) -> String {
        self.docker(&["version", "--format", "{{.Server.Version}}"]).ok().stdout.trim().to_owned()
    }

    /// The client, before it starts.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(DOCKER);
        command.args(args).env("DOCKER_HOST", socket(self.dir.path())).stdin(Stdio::null());
        command.env("DOCKER_CONFIG", self.dir.path()).env_remove("DOCKER_CONTEXT");
        command
    }

    /// What the client says.
    pub(crate) fn docker(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().expect("a client"))
    }
}

fn socket(dir: &Path) -> String {
    format!("unix://{}", dir.join("socket").display())
}

/// A registry on a port of its own.
pub(crate) struct Registry {
    _daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl Registry {
    /// Starts one, or says why there is none.
    pub(crate) fn start() -> Option<Self> {
        Self::start_for("")
    }

    /// One that lets in only the user `me` with the password `secret`.
    pub(crate) fn start_closed() -> Option<Self> {
        // The hash that bcrypt makes of the password.
        Self::start_for("me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n")
    }

    /// One for these users; for everybody where there are none.
    fn start_for(users: &str) -> Option<Self> {
        if !have(&["docker-registry"]) {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("ireko-registry-").tempdir().expect("a directory");
        let port = free_port();
        let config = dir.path().join("config.yml");
        let list = dir.path().join("users");
        fs::write(&list, users).expect("a file");
        let more = match users.is_empty() {
            true => String::new(),
            false => format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", list.display()),
        };
        let mut file = File::create(&config).expect("a file");
        write!(
            file,
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{more}",
            dir.path().join("data").display()
        )
        .expect("a config");
        let log = dir.path().join("log");
        let mut daemon = Daemon::start(Command::new("docker-registry").arg("serve").arg(&config), &log);
        daemon.ready(&log, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { _daemon: daemon, dir, port })
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// How many blobs it holds.
    pub(crate) fn blobs(&self) -> usize {
        let root = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        let below = |dir: std::path::PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
        below(root)
            .flat_map(|entry| below(entry.path()))
            .filter(|entry| entry.path().join("data").is_file())
            .count()
    }

    /// How many uploads to a repository it has begun, and neither closed nor cancelled.
    pub(crate) fn uploads(&self, repository: &str) -> usize {
        let root = self.dir.path().join("data/docker/registry/v2/repositories");
        fs::read_dir(root.join(repository).join("_uploads")).map_or(0, Iterator::count)
    }

    /// What it said of requests that it served: a line each.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// Podman's service on a socket of its own.
pub(crate) struct Podman {
    daemon: Daemon,
    dir: TempDir,
}

impl Podman {
    /// Starts one, or says why there is none.
    pub(crate) fn start() -> Option<Self> {
        if !have(&["podman", "conmon"]) {
            return None;
        }
        // It takes no directory for its state whose name is longer than 50 characters.
        let dir = tempfile::Builder::new().prefix("ireko-podman-").tempdir_in("/tmp").expect("a directory");
        let log = dir.path().join("log");
        let mut command = Self::base(dir.path());
        command.args(["system", "service", "--time=0"]).arg(socket(dir.path()));
        let mut daemon = Daemon::start(command.process_group(0), &log);
        let path = dir.path().join("socket");
        daemon.ready(&log, || std::os::unix::net::UnixStream::connect(&path).is_ok());
        Some(Self { daemon, dir })
    }

    fn base(dir: &Path) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run"));
        command.args(["--storage-driver", "vfs"]).env("XDG_RUNTIME_DIR", dir).stdin(Stdio::null());
        command
    }

    /// As `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        socket(self.dir.path())
    }

    /// What the program says of the same store.
    pub(crate) fn podman(&self, args: &[&str]) -> Said {
        Said::of(Self::base(self.dir.path()).args(args).output().expect("a program"))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Of an ordinary user the service is a child of what was started, which ends without it; and what keeps its
        // namespace is a process of its own.
        if let Some(group) = i32::try_from(self.daemon.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
        let _ = Self::base(self.dir.path()).args(["system", "migrate"]).output();
    }
}

/// An nginx with a directory of its own, on a free port.
pub(crate) struct Nginx {
    /// Ends before its files go.
    daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl Nginx {
    /// Starts one; `locations` are lines for its server.
    pub(crate) fn start(locations: &str) -> Option<Self> {
        Self::start_with("", locations)
    }

    /// One that speaks TLS, as the locations say.
    pub(crate) fn start_encrypted(locations: &str) -> Option<Self> {
        Self::start_with(" ssl", locations)
    }

    fn start_with(tls: &str, locations: &str) -> Option<Self> {
        if !have(&["nginx"]) {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("ireko-nginx-").tempdir().expect("a directory");
        let port = free_port();
        let at = dir.path().display();
        let user = if is_root() { "user root;" } else { "" };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .collect();
        let config = format!(
            "{user}\ndaemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\nevents {{}}\n\
             http {{\n{temporary}log_format short '$request_method $uri $status $http_range';\naccess_log {at}/access.log short;\n\
             server {{ listen 127.0.0.1:{port}{tls}; root {at}/files; {locations} }}\n}}\n"
        );
        fs::create_dir(dir.path().join("files")).expect("a directory");
        fs::write(dir.path().join("nginx.conf"), config).expect("a file");
        let log = dir.path().join("said");
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-e").arg(dir.path().join("error.log"));
        command.arg("-p").arg(dir.path()).arg("-c").arg(dir.path().join("nginx.conf"));
        let mut daemon = Daemon::start(&mut command, &log);
        daemon.ready(&log, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { daemon, dir, port })
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file that it serves.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join("files").join(name), bytes).expect("a file");
    }

    /// The requests for a path so far: method, status and range of each.
    pub(crate) fn requests(&self, path: &str) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
        let of = |line: &str| {
            let (method, rest) = line.split_once(' ')?;
            rest.strip_prefix(path)?.strip_prefix(' ').map(|rest| format!("{method} {rest}"))
        };
        log.lines().filter_map(of).collect()
    }

    /// Ends the process that serves, with all its connections; another takes its place.
    pub(crate) fn cut(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.daemon.0.id());
        for child in fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            if let Some(pid) = child.parse().ok().and_then(rustix::process::Pid::from_raw) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a worker");
            }
        }
    }
}
