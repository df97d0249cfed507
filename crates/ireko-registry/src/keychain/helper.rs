//! Programs that keep logins: `docker-credential-NAME`, which speaks JSON over its pipes.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ireko_sys::Leash;
use serde::Deserialize;

use super::{KeychainError, Login, secret_of};

/// How long one may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const TICK: Duration = Duration::from_millis(50);
/// How long the pipes are read after its end, if what it left behind holds them open.
const MOMENT: Duration = Duration::from_millis(300);
/// The pause before its end is looked for again, once its pipes are closed.
const BLINK: Duration = Duration::from_millis(5);
/// No answer is longer.
const ANSWER_MAX: u64 = 1 << 20;
/// The words by which helpers say that they have no login.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// A helper, and the registry it is asked about.
#[derive(Clone, Copy)]
pub(super) struct Helper<'a> {
    /// Its name without `docker-credential-`.
    pub(super) name: &'a str,
    /// What names it.
    pub(super) file: &'a str,
    pub(super) server: &'a str,
    pub(super) environment: &'a [(OsString, OsString)],
    pub(super) stop: &'a dyn Fn() -> bool,
}

impl Helper<'_> {
    /// Asks it for the login.
    pub(super) fn get(&self) -> Result<Option<Login>, KeychainError> {
        let said = self.run("get", self.server)?;
        if said.is_nothing() {
            return Ok(None);
        }
        if !said.success {
            return Err(self.failed(said.problem()));
        }
        let found: Found = serde_json::from_str(&said.out)
            .map_err(|_| self.failed("its answer is no JSON of a login".to_owned()))?;
        if found.secret.is_empty() {
            return Ok(None);
        }
        let secret = secret_of(&found.username, &found.secret);
        Ok(Some(Login { secret, from: self.program(), file: None }))
    }

    /// Gives it the login.
    pub(super) fn store(&self, body: &str) -> Result<(), KeychainError> {
        let said = self.run("store", body)?;
        if said.success { Ok(()) } else { Err(self.failed(said.problem())) }
    }

    /// Has it forget the login; says whether there was one.
    pub(super) fn erase(&self) -> Result<bool, KeychainError> {
        // Many say of what they never had that it is gone. One that cannot be asked may still forget.
        match self.get() {
            Ok(None) => return Ok(false),
            Ok(Some(_)) | Err(KeychainError::Helper { .. }) => {}
            Err(error) => return Err(error),
        }
        let said = self.run("erase", self.server)?;
        match said.success {
            true => Ok(true),
            false if said.is_nothing() => Ok(false),
            false => Err(self.failed(said.problem())),
        }
    }

    pub(super) fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    fn failed(&self, problem: String) -> KeychainError {
        KeychainError::Helper { program: self.program(), server: self.server.to_owned(), problem }
    }

    /// Runs it with this on its standard input.
    fn run(&self, verb: &str, input: &str) -> Result<Said, KeychainError> {
        if self.name.contains('/') {
            let problem = format!("`{}` is no name of a credential helper: it holds a slash", self.name);
            return Err(KeychainError::Content { file: self.file.to_owned(), problem });
        }
        let broken = |error: io::Error| self.failed(error.to_string());
        let leash = Leash::new().map_err(|error| broken(io::Error::other(error)))?;
        let mut command = Command::new(self.program());
        command.arg(verb).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.process_group(leash.group()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (file, server) = (self.file.to_owned(), self.server.to_owned());
                return Err(KeychainError::NoHelper { program: self.program(), file, server });
            }
            Err(error) => return Err(broken(error)),
        };
        if let Some(mut pipe) = child.stdin.take() {
            // One that does not read says why by itself.
            let _ = pipe.write_all(input.as_bytes());
        }
        let said = self.hear(&mut child);
        // Without effect on one that ended.
        let _ = child.kill();
        let status = child.wait().map_err(broken);
        // What it left behind ends with the leash.
        drop(leash);
        let [out, err] = said?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Said { success: status?.success(), out, err })
    }

    /// What it says until its end, on either pipe.
    fn hear(&self, child: &mut Child) -> Result<[Vec<u8>; 2], KeychainError> {
        let (sender, heard) = channel();
        if let Some(pipe) = child.stdout.take() {
            listen(pipe, 0, sender.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            listen(pipe, 1, sender.clone());
        }
        drop(sender);
        let mut said = [Vec::new(), Vec::new()];
        let until = Instant::now() + PATIENCE;
        let mut end = None;
        loop {
            let mut is_closed = false;
            match heard.recv_timeout(TICK) {
                Ok((pipe, bytes)) => said[usize::from(pipe)].extend::<Vec<u8>>(bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_closed = true,
            }
            if end.is_none() && child.try_wait().map_err(|error| self.failed(error.to_string()))?.is_some() {
                end = Some(Instant::now());
            }
            if end.is_some_and(|end| is_closed || end.elapsed() > MOMENT) {
                return Ok(said);
            }
            if (self.stop)() {
                return Err(KeychainError::Interrupted);
            }
            if Instant::now() > until {
                return Err(self.failed(format!("it did not answer within {} s", PATIENCE.as_secs())));
            }
            if is_closed {
                thread::sleep(BLINK);
            }
        }
    }
}

/// Passes on what a pipe yields.
fn listen(pipe: impl Read + Send + 'static, number: u8, sender: Sender<(u8, Vec<u8>)>) {
    thread::spawn(move || {
        let (mut pipe, mut chunk) = (pipe.take(ANSWER_MAX), [0; 4096]);
        loop {
            match pipe.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody listens once it was left.
                Ok(count) if count > 0 && sender.send((number, chunk[..count].to_vec())).is_ok() => {}
                _ => return,
            }
        }
    });
}

/// What a helper said.
struct Said {
    success: bool,
    out: String,
    err: String,
}

impl Said {
    /// It says that it has no login.
    fn is_nothing(&self) -> bool {
        !self.success && (self.out.contains(NOT_FOUND) || self.err.contains(NOT_FOUND))
    }

    /// The first line of what it says of its failure.
    fn problem(&self) -> String {
        let text = if self.out.trim().is_empty() { &self.err } else { &self.out };
        let line = text.trim().lines().next().unwrap_or_default();
        let line: String = line.chars().filter(|letter| !letter.is_control()).take(200).collect();
        if line.is_empty() { "it said nothing".to_owned() } else { line }
    }
}
