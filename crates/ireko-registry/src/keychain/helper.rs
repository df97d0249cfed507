//! Programs that keep logins: `docker-credential-NAME`, which speaks JSON over its pipes.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use ireko_sys::Leash;
use serde::Deserialize;

use super::{KeychainError, Login, secret_of};

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);
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

/// Asks a helper for the login of a server; `file` is what names it.
pub(super) fn get(
    name: &str,
    file: &str,
    server: &str,
    environment: &[(OsString, OsString)],
    stop: &dyn Fn() -> bool,
) -> Result<Option<Login>, KeychainError> {
    let program = program(name);
    let failed = |problem: String| KeychainError::Helper {
        program: program.clone(),
        server: server.to_owned(),
        problem,
    };
    let said = match run(name, "get", server, environment, stop) {
        Ok(said) => said,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (file, server) = (file.to_owned(), server.to_owned());
            return Err(KeychainError::NoHelper { program, file, server });
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    if !said.success {
        if said.out.contains(NOT_FOUND) || said.err.contains(NOT_FOUND) {
            return Ok(None);
        }
        return Err(failed(said.problem()));
    }
    let found: Found =
        serde_json::from_str(&said.out).map_err(|_| failed("its answer is no JSON of a login".to_owned()))?;
    if found.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(Login { secret: secret_of(&found.username, &found.secret), from: program }))
}

/// The program of a helper's name.
pub(crate) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// What a helper said.
pub(super) struct Said {
    pub(super) success: bool,
    out: String,
    err: String,
}

impl Said {
    /// The first line of what it says of its failure.
    pub(super) fn problem(&self) -> String {
        let text = if self.out.trim().is_empty() { &self.err } else { &self.out };
        let line = text.trim().lines().next().unwrap_or_default();
        let line: String = line.chars().filter(|letter| !letter.is_control()).take(200).collect();
        if line.is_empty() { "it said nothing".to_owned() } else { line }
    }
}

/// Runs a helper with this on its standard input.
pub(super) fn run(
    name: &str,
    verb: &str,
    input: &str,
    environment: &[(OsString, OsString)],
    stop: &dyn Fn() -> bool,
) -> io::Result<Said> {
    let leash = Leash::new().map_err(io::Error::other)?;
    let mut command = Command::new(program(name));
    command.arg(verb).env_clear().envs(environment.iter().cloned());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(leash.group()).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // One that does not read says why by itself.
        let _ = pipe.write_all(input.as_bytes());
    }
    let (sender, heard) = channel();
    let listen = |pipe: Option<Box<dyn Read + Send>>, is_out: bool| {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(pipe) = pipe {
                let _ = pipe.take(ANSWER_MAX).read_to_end(&mut text);
            }
            let _ = sender.send((is_out, String::from_utf8_lossy(&text).into_owned()));
        });
    };
    listen(child.stdout.take().map(|pipe| Box::new(pipe) as _), true);
    listen(child.stderr.take().map(|pipe| Box::new(pipe) as _), false);
    let (mut out, mut err) = (None, None);
    let until = Instant::now() + PATIENCE;
    let ended = |child: &mut std::process::Child, problem: String| {
        let _ = child.kill();
        let _ = child.wait();
        Err(io::Error::new(io::ErrorKind::TimedOut, problem))
    };
    while out.is_none() || err.is_none() {
        match heard.recv_timeout(TICK) {
            Ok((true, text)) => out = Some(text),
            Ok((false, text)) => err = Some(text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if stop() => return ended(&mut child, "interrupted".to_owned()),
            Err(RecvTimeoutError::Timeout) if Instant::now() > until => {
                let problem = format!("it did not answer within {} s", PATIENCE.as_secs());
                return ended(&mut child, problem);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let status = child.wait()?;
    // What it left behind ends with the leash.
    drop(leash);
    Ok(Said { success: status.success(), out: out.unwrap_or_default(), err: err.unwrap_or_default() })
}
