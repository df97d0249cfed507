//! Engines behind `ssh`: the program carries HTTP over its standard input and output, as Docker's own client has it.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ireko_http::{Dial, Dialed, HttpError};
use percent_encoding::percent_decode_str;

use crate::words;

/// Starts programs for this crate.
pub trait Programs: fmt::Debug + Send + Sync {
    /// Starts one, found by `PATH`, with these arguments.
    fn start(&self, program: &str, arguments: &[OsString]) -> io::Result<Program>;
}

/// A program that runs.
pub struct Program {
    /// Its standard input and output.
    pub stream: UnixStream,
    /// Its standard error.
    pub said: Box<dyn Read + Send>,
    /// Dropped, it ends the program.
    pub life: Box<dyn Life>,
}

/// Keeps a program alive.
pub trait Life: Send {
    /// Its exit code, once it has ended; waits so long. An error where there is none.
    fn code(&self, patience: Duration) -> io::Result<u8>;
}

/// Which program is asked for the engine at the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    /// `docker`.
    Docker,
    /// `podman`.
    Podman,
}

/// Whom to log in as, where, and the socket there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// The user; `ssh` knows who it is where none is given.
    pub user: Option<String>,
    /// The host.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
    /// The socket of the engine there; its program knows where none is given.
    pub socket: Option<String>,
    /// A file with the key to log in with.
    pub key: Option<String>,
    /// Whose program is asked.
    pub far: Far,
}

impl Ssh {
    /// Reads what follows `ssh://`.
    pub(crate) fn parse(rest: &str, far: Far, key: Option<String>) -> Result<Self, &'static str> {
        if rest.contains(['?', '#']) {
            return Err("an address with ssh:// has no `?` and no `#`");
        }
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = match place.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, place),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("it holds a password, which ssh does not take: use a key");
        }
        let (host, port) = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, ""))) => (host, None),
            Some(Some((host, behind))) => match behind.strip_prefix(':') {
                Some(port) => (host, Some(port).filter(|port| !port.is_empty())),
                None => return Err("behind the `]` in it stands something other than `:` and a port"),
            },
            Some(None) => return Err("a `[` in it is not closed"),
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
                None => (host, None),
            },
        };
        let port = match port.map(str::parse) {
            Some(Ok(0) | Err(_)) => return Err("its port is no number between 1 and 65535"),
            Some(Ok(port)) => Some(port),
            None => None,
        };
        let user = user.map(plain).transpose()?.filter(|user| !user.is_empty());
        let (host, path) = (plain(host)?, plain(path)?);
        if host.is_empty() {
            return Err("it names no host");
        }
        if host.starts_with('-') || user.as_ref().is_some_and(|user| user.starts_with('-')) {
            return Err("neither its host nor its user may begin with `-`: ssh would take it for an option");
        }
        let socket = Some(path).filter(|path| !path.trim_matches('/').is_empty());
        Ok(Self { user, host, port, socket, key, far })
    }

    /// The program's arguments: those that Docker's client gives it, and that it must ask nothing, in no window either.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        if let Some(user) = &self.user {
            option("-l", user.clone());
        }
        if let Some(port) = self.port {
            option("-p", port.to_string());
        }
        if let Some(key) = &self.key {
            option("-i", key.clone());
        }
        option("-o", "BatchMode=yes".to_owned());
        option("-o", format!("ConnectTimeout={CONNECT}"));
        words.extend(["-T".to_owned(), "--".to_owned(), self.host.clone(), self.command()]);
        words
    }

    /// The command over there, which a shell reads.
    fn command(&self) -> String {
        let (program, flag) = match self.far {
            Far::Docker => ("docker", "--host"),
            Far::Podman => ("podman", "--url"),
        };
        match &self.socket {
            Some(path) => {
                let path = path.replace('\'', "'\\''");
                format!("{program} '{flag}=unix://{path}' system dial-stdio")
            }
            None => format!("{program} system dial-stdio"),
        }
    }
}

/// As the address was written.
impl fmt::Display for Ssh {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(out, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(out, "[{}]", self.host)?,
            false => out.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(out, ":{port}")?;
        }
        out.write_str(self.socket.as_deref().unwrap_or_default())
    }
}

/// A part of an address as it is meant.
fn plain(part: &str) -> Result<String, &'static str> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| "what `%` stands for in it is no text")?;
    match text.chars().any(char::is_control) {
        true => Err("there is a control character in it"),
        false => Ok(text.into_owned()),
    }
}

/// So many seconds `ssh` has for a connection, as Docker's client gives it.
const CONNECT: u32 = 30;
/// For a first answer over it: longer than `ssh` waits itself, which says more of what is wrong.
pub(crate) const GREETING: Duration = Duration::from_secs(45);
/// A program whose connection is over ends at once, and its last words are there.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// One whose connection is over has so long to end by itself.
const MOMENT: Duration = Duration::from_secs(1);
/// Of what it says, so much is kept: the end.
const SAID_MAX: usize = 4096;
/// So many lines of it are shown.
const LINES_MAX: usize = 3;

/// What makes the connections, and remembers what their programs said.
#[derive(Debug)]
pub(crate) struct Tunnel {
    ssh: Ssh,
    programs: Option<Arc<dyn Programs>>,
    runs: Mutex<Vec<Arc<Run>>>,
}

/// One run of the program.
#[derive(Debug, Default)]
struct Run {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    said: Vec<u8>,
    /// It says no more.
    is_said: bool,
    /// The exit code, or why it could not be started; where it had to be ended, neither.
    code: Option<io::Result<u8>>,
    /// It is gone.
    is_over: bool,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The program's exit code.
    pub(crate) code: Option<u8>,
    /// What it said, in one line.
    pub(crate) said: String,
    /// Why it could not be started.
    pub(crate) not_started: Option<io::ErrorKind>,
}

impl End {
    /// Whether the program failed. One that still runs or ended well may have said something all the same: a banner.
    pub(crate) fn is_failure(&self) -> bool {
        self.not_started.is_some() || !matches!(self.code, None | Some(0))
    }
}

impl Tunnel {
    pub(crate) fn new(ssh: Ssh, programs: Option<Arc<dyn Programs>>) -> Self {
        Self { ssh, programs, runs: Mutex::default() }
    }

    /// What the program says of a connection that failed; nothing where it knows nothing of it. A program that failed
    /// itself comes first.
    pub(crate) fn end(&self, cause: &HttpError) -> Option<End> {
        if !matches!(cause, HttpError::Connect { .. } | HttpError::Timeout { .. } | HttpError::Broken { .. })
        {
            return None;
        }
        let runs = lock(&self.runs).clone();
        let until = Instant::now() + LAST_WORDS;
        let mut aside = None;
        for run in runs.iter().rev() {
            let end = run.end(until);
            if end.is_failure() {
                return Some(end);
            }
            aside = aside.or(Some(end).filter(|end| !end.said.is_empty()));
        }
        aside
    }
}

impl Dial for Tunnel {
    fn dial(&self) -> io::Result<Dialed> {
        let arguments: Vec<OsString> = self.ssh.arguments().into_iter().map(OsString::from).collect();
        let programs = self.programs.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let Program { stream, said, life } = programs.start("ssh", &arguments)?;
        let run = Arc::new(Run::default());
        let kept = Box::new(Kept { run: Arc::clone(&run), life: Some(life) });
        // It ends with the program, or waits on for one that the program left behind.
        let listener = Arc::clone(&run);
        std::thread::Builder::new().name("ssh".to_owned()).spawn(move || listener.listen(said))?;
        let mut runs = lock(&self.runs);
        // What ended well has nothing to say of a later failure.
        runs.retain(|run| !matches!(lock(&run.state).code, Some(Ok(0))));
        runs.push(run);
        Ok(Dialed { stream, kept })
    }
}

/// Held by a connection: the program ends with it.
struct Kept {
    run: Arc<Run>,
    life: Option<Box<dyn Life>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(life) = self.life.take() else { return };
        let run = Arc::clone(&self.run);
        // One that has failed, or sees the end of its input, ends by itself in a moment, and then says how. Where no
        // thread can be had it is ended at once.
        let _ = std::thread::Builder::new().name("ssh".to_owned()).spawn(move || {
            let code = life.code(MOMENT);
            drop(life);
            let mut state = lock(&run.state);
            let is_late = |cause: &io::Error| {
                matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            };
            state.code = Some(code).filter(|code| !code.as_ref().is_err_and(is_late));
            state.is_over = true;
            run.more.notify_all();
        });
    }
}

impl Run {
    fn listen(&self, mut pipe: Box<dyn Read + Send>) {
        let mut chunk = [0; 1024];
        loop {
            let count = match pipe.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(count) => count,
                Err(_) => 0,
            };
            let mut state = lock(&self.state);
            state.said.extend(&chunk[..count]);
            let excess = state.said.len().saturating_sub(SAID_MAX);
            state.said.drain(..excess);
            state.is_said = count == 0;
            if state.is_said {
                self.more.notify_all();
                return;
            }
        }
    }

    fn end(&self, until: Instant) -> End {
        let mut state = lock(&self.state);
        while !(state.is_said && state.is_over) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let said = last_words(&String::from_utf8_lossy(&state.said));
        match &state.code {
            // What said something was started.
            Some(Err(cause)) if state.said.is_empty() => {
                let said = format!("it cannot be started: {cause}");
                End { code: None, said, not_started: Some(cause.kind()) }
            }
            Some(Ok(code)) => End { code: Some(*code), said, not_started: None },
            Some(Err(_)) | None => End { code: None, said, not_started: None },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last lines of what it said, in one; without what it says of connections that are well.
fn last_words(text: &str) -> String {
    let is_noise = |line: &&str| {
        line.is_empty() || line.starts_with("Warning: Permanently added") || line.starts_with("**")
    };
    let telling: Vec<&str> = text.lines().map(str::trim).filter(|line| !is_noise(line)).collect();
    let told = telling[telling.len().saturating_sub(LINES_MAX)..].join("; ");
    words(told.strip_prefix("ssh: ").unwrap_or(&told))
}

#[cfg(test)]
mod tests;
