//! Running `git`: alone with what it is given, watched, and ended with all it started.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ireko_sys::Leash;
use rustix::process::Signal;

use crate::auth::Session;
use crate::error::GitError;
use crate::said::{self, Said};

/// How git is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where programs are looked for: the value of `PATH`.
    pub path: OsString,
    /// What else git may know of the caller's environment: proxies, certificate authorities.
    pub env: Vec<(OsString, OsString)>,
    /// How long a server may send nothing. A server that is not asked by `http` is given twice as long.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into();
        Self { path, env: Vec::new(), patience: Duration::from_secs(60) }
    }
}

/// Variables of the environment that [`Options::env`] should carry where they are set.
pub const PASSED: [&str; 11] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
];

/// The program, found and known to be new enough once it is first needed.
#[derive(Debug)]
pub struct Git {
    options: Options,
    version: OnceLock<Result<(u32, u32), String>>,
}

/// Who waits for git: may give up, and hears what it says.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Whether to stop.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Hears each line of progress.
    pub said: &'a (dyn Fn(&str) + Sync),
}

/// The oldest version that takes configuration from its environment.
const OLDEST: (u32, u32) = (2, 31);

impl Git {
    /// Git as these options have it. Nothing is run yet.
    pub fn new(options: Options) -> Self {
        Self { options, version: OnceLock::new() }
    }

    pub(crate) fn patience(&self) -> Duration {
        self.options.patience
    }

    /// Asks for the version, once.
    pub(crate) fn check(&self) -> Result<(), GitError> {
        let found = self.version.get_or_init(|| self.ask_version());
        let problem = match found {
            Ok(version) if *version >= OLDEST => return Ok(()),
            Ok((major, minor)) => format!("version {major}.{minor} is too old"),
            Err(problem) => problem.clone(),
        };
        Err(GitError::Program { problem })
    }

    fn ask_version(&self) -> Result<(u32, u32), String> {
        let mut command = Command::new("git");
        command.arg("version").env_clear().env("PATH", &self.options.path).env("LC_ALL", "C");
        let output = command.stdin(Stdio::null()).output().map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => "it is not installed".to_owned(),
            _ => cause.to_string(),
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut numbers = text.split_whitespace().nth(2).unwrap_or_default().split('.');
        let mut next = || numbers.next().and_then(|number| number.parse().ok());
        next().zip(next()).ok_or_else(|| format!("it says its version is `{}`", text.trim()))
    }
}

/// One run of git.
pub(crate) struct Run<'a> {
    git: &'a Git,
    command: Command,
    config: Vec<(String, String)>,
    deed: &'static str,
    asks_network: bool,
    input: Option<Vec<u8>>,
}

/// Programs that a configuration or an attribute could name stay unused, and nothing happens behind our back.
const CONFIG: [(&str, &str); 16] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "true"),
    ("core.fileMode", "true"),
    ("core.autocrlf", "false"),
    ("core.logAllRefUpdates", "false"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("init.defaultBranch", "master"),
    ("advice.detachedHead", "false"),
    ("protocol.version", "2"),
    // Packs are whole or absent; loose objects of a broken transfer would look like a whole commit.
    ("transfer.unpackLimit", "1"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("http.lowSpeedLimit", "1"),
];

impl<'a> Run<'a> {
    /// Git in a directory of its own, or nowhere.
    pub(crate) fn new(git: &'a Git, deed: &'static str) -> Self {
        let mut command = Command::new("git");
        command.env_clear().envs(git.options.env.iter().map(|(name, value)| (name, value)));
        command
            .env("PATH", &git.options.path)
            .env("LC_ALL", "C")
            .env("HOME", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            // No repository, unless one is named: never that of the current directory.
            .env("GIT_DIR", "/dev/null")
            .env("GIT_ALLOW_PROTOCOL", "")
            .current_dir("/");
        let config = CONFIG.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { git, command, config, deed, asks_network: false, input: None }
    }

    /// Allows the network, with what the session has.
    pub(crate) fn network(mut self, session: &Session, known_hosts: &Path) -> Self {
        self.asks_network = true;
        self.config.extend(session.config());
        self.config.push(("http.lowSpeedTime".to_owned(), self.git.patience().as_secs().max(1).to_string()));
        self.command.env("GIT_ALLOW_PROTOCOL", "http:https:ssh:git").env("GIT_SSH_VARIANT", "ssh");
        // `accept-new`: a host that is not known is trusted, a known host with another key is not.
        let mut ssh = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new".to_owned();
        ssh.push_str(" -o IdentityFile=none -o GlobalKnownHostsFile=/dev/null");
        ssh.push_str(&format!(" -o UserKnownHostsFile={}", quoted(known_hosts)));
        let seconds = self.git.patience().as_secs().max(1);
        ssh.push_str(&format!(" -o ConnectTimeout={seconds} -o ServerAliveInterval={seconds}"));
        self.command.env("GIT_SSH_COMMAND", ssh);
        if let Some(socket) = &session.ssh.agent_socket {
            self.command.env("SSH_AUTH_SOCK", socket);
        }
        self
    }

    /// Allows reading another repository of this machine.
    pub(crate) fn local(mut self) -> Self {
        self.command.env("GIT_ALLOW_PROTOCOL", "file");
        self
    }

    pub(crate) fn dir(mut self, git_dir: &Path) -> Self {
        self.command.env("GIT_DIR", git_dir);
        self
    }

    pub(crate) fn tree(mut self, work_tree: &Path) -> Self {
        self.command.env("GIT_WORK_TREE", work_tree).current_dir(work_tree);
        self
    }

    pub(crate) fn index(mut self, index: &Path) -> Self {
        self.command.env("GIT_INDEX_FILE", index);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Lets it read this; no more than a pipe holds.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Runs it; what it wrote is the result. An exit code that is not zero is [`Trouble::Exit`].
    pub(crate) fn run(mut self, session: &Session, watch: Watch<'_>) -> Result<Vec<u8>, Trouble> {
        if (watch.cancelled)() {
            return Err(Trouble::Cancelled);
        }
        self.command.env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (at, (key, value)) in self.config.iter().enumerate() {
            self.command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            self.command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: the terminal's Ctrl-C reaches us alone, and helpers end with it, at the latest with us.
        let leash = Leash::new().map_err(|error| Trouble::Start(io::Error::other(error)))?;
        let child = self.command.process_group(leash.group()).spawn().map_err(Trouble::Start)?;
        let limit = self.asks_network.then(|| self.git.patience() * 2);
        let mut running = Running { child, leash, reaped: false };
        if let (Some(mut pipe), Some(input)) = (running.child.stdin.take(), &self.input) {
            pipe.write_all(input).map_err(Trouble::Read)?;
        }
        running.watch(session, watch, limit)
    }

    pub(crate) fn deed(&self) -> &'static str {
        self.deed
    }
}

/// Why a run gave nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    Start(io::Error),
    Read(io::Error),
    Cancelled,
    Stalled(u64),
    Exit(Said),
}

/// A child that does not outlive its owner.
struct Running {
    child: Child,
    leash: Leash,
    reaped: bool,
}

enum Heard {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Failed(io::Error),
}

/// What a program may write to its standard output before it is taken for a mistake.
const MOST_OUTPUT: usize = 256 << 20;

impl Running {
    fn watch(
        &mut self,
        session: &Session,
        watch: Watch<'_>,
        limit: Option<Duration>,
    ) -> Result<Vec<u8>, Trouble> {
        let (sender, heard) = channel();
        if let Some(out) = self.child.stdout.take() {
            listen(out, sender.clone(), Heard::Out);
        }
        if let Some(err) = self.child.stderr.take() {
            listen(err, sender, Heard::Err);
        }
        let mut lines = said::Lines::default();
        let out = collect(&heard, &mut lines, session, watch, limit)?;
        let status = self.wait().map_err(Trouble::Read)?;
        if status.success() { Ok(out) } else { Err(Trouble::Exit(lines.end(session))) }
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }

    /// Ends the group: kindly, so that half a pack is removed, then surely.
    fn end(&mut self) {
        self.leash.signal(Signal::TERM);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.leash.signal(Signal::KILL);
        let _reaped = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.end();
        }
    }
}

fn collect(
    heard: &Receiver<Heard>,
    lines: &mut said::Lines,
    session: &Session,
    watch: Watch<'_>,
    limit: Option<Duration>,
) -> Result<Vec<u8>, Trouble> {
    const TICK: Duration = Duration::from_millis(50);
    let mut out = Vec::new();
    let mut last = Instant::now();
    loop {
        match heard.recv_timeout(TICK) {
            Ok(Heard::Out(bytes)) => {
                out.extend_from_slice(&bytes);
                last = Instant::now();
                if out.len() > MOST_OUTPUT {
                    return Err(Trouble::Read(io::Error::other("it wrote too much")));
                }
            }
            Ok(Heard::Err(bytes)) => {
                lines.take(&bytes, session, watch.said);
                last = Instant::now();
            }
            Ok(Heard::Failed(cause)) => return Err(Trouble::Read(cause)),
            Err(RecvTimeoutError::Disconnected) => return Ok(out),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if (watch.cancelled)() {
            return Err(Trouble::Cancelled);
        }
        if limit.is_some_and(|limit| last.elapsed() > limit) {
            return Err(Trouble::Stalled(last.elapsed().as_secs()));
        }
    }
}

fn listen(mut pipe: impl Read + Send + 'static, sender: Sender<Heard>, wrap: fn(Vec<u8>) -> Heard) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let heard = match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => wrap(buffer[..length].to_vec()),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => Heard::Failed(cause),
            };
            if sender.send(heard).is_err() {
                return;
            }
        }
    });
}

/// A path inside a command line that a shell reads and ssh splits at blanks.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%%");
    format!("'\"{}\"'", text.replace('\'', "'\\''"))
}

/// Known hosts in a file of their own, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct KnownHosts(PathBuf);

impl KnownHosts {
    /// Writes them; without any, the file is one that is never written.
    pub(crate) fn write(session: &Session, dir: &Path) -> Result<Self, GitError> {
        let Some(lines) = &session.ssh.known_hosts else { return Ok(Self("/dev/null".into())) };
        Self::sweep(dir);
        let path = dir.join(format!("{KNOWN_HOSTS}{}", crate::fetch::unique()));
        std::fs::write(&path, lines).map_err(|cause| GitError::io("write", &path, cause))?;
        Ok(Self(path))
    }

    /// Removes what killed processes left: the number in a name is its process.
    fn sweep(dir: &Path) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(KNOWN_HOSTS).and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
                let _somebody_else_did = std::fs::remove_file(entry.path());
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

const KNOWN_HOSTS: &str = "known-hosts-";

impl Drop for KnownHosts {
    fn drop(&mut self) {
        if self.0 != Path::new("/dev/null") {
            let _gone_already = std::fs::remove_file(&self.0);
        }
    }
}
