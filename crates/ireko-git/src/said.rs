//! What git says on its standard error: progress for people, and why it failed.

use crate::address::Address;
use crate::auth::Session;
use crate::command::Trouble;
use crate::error::GitError;

/// The last lines of a failed run that are no progress, without secrets and control characters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said(String);

/// Takes the stream apart while it arrives.
#[derive(Default)]
pub(crate) struct Lines {
    open: Vec<u8>,
    kept: Vec<String>,
}

/// A line of a server has no end it must keep to.
const LONGEST: usize = 4096;
const MOST_KEPT: usize = 12;

impl Lines {
    pub(crate) fn take(&mut self, bytes: &[u8], session: &Session, say: &dyn Fn(&str)) {
        for &byte in bytes {
            if byte != b'\n' && byte != b'\r' {
                if self.open.len() < LONGEST {
                    self.open.push(byte);
                }
                continue;
            }
            if let Some(line) = self.line(session) {
                say(&line);
                self.keep(line);
            }
        }
    }

    pub(crate) fn end(mut self, session: &Session) -> Said {
        if let Some(line) = self.line(session) {
            self.keep(line);
        }
        Said(self.kept.join("; "))
    }

    fn line(&mut self, session: &Session) -> Option<String> {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.open)).into_owned();
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let text = session.hide(text.trim());
        (!text.is_empty()).then_some(text)
    }

    fn keep(&mut self, line: String) {
        let is_progress =
            line.contains("% (") || line.starts_with("hint:") || line.starts_with("remote: Enumerating");
        if !is_progress {
            self.kept.push(line);
            if self.kept.len() > MOST_KEPT {
                self.kept.remove(0);
            }
        }
    }
}

impl Said {
    /// Whether one of these is in it, in whatever case.
    pub(crate) fn has(&self, parts: &[&str]) -> bool {
        let text = self.0.to_lowercase();
        parts.iter().any(|part| text.contains(part))
    }

    /// The server or the client cannot give a part of the history.
    pub(crate) fn is_no_depth(&self) -> bool {
        self.has(&["--depth", "shallow"])
    }

    /// The server does not give an object that no ref names.
    pub(crate) fn is_unadvertised(&self) -> bool {
        self.has(&["not our ref", "unadvertised object", "no such remote ref", "couldn't find remote ref"])
    }
}

/// The error for a run that failed.
pub(crate) fn error(trouble: Trouble, deed: &'static str, address: &Address, session: &Session) -> GitError {
    let said = match trouble {
        Trouble::Exit(said) => said,
        Trouble::Cancelled => return GitError::Cancelled,
        Trouble::Stalled(seconds) => return GitError::Stalled { address: address.to_string(), seconds },
        Trouble::Start(cause) | Trouble::Read(cause) => {
            return GitError::Program { problem: cause.to_string() };
        }
    };
    let text = told(&said.0);
    let address = address.to_string();
    if said.has(&["no space left on device", "disk quota exceeded"]) {
        let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
        return GitError::io("write the files of", address, cause);
    }
    if said.has(&["operation too slow", "curl 28", "operation timed out"]) {
        let seconds = text.split(' ').filter_map(|word| word.parse().ok()).max().unwrap_or(0);
        return GitError::Stalled { address, seconds };
    }
    if said.has(&[
        "could not read username",
        "could not read password",
        "terminal prompts disabled",
        "authentication failed",
        "returned error: 401",
        "returned error: 403",
        "permission denied (",
        "invalid credentials",
    ]) {
        let ssh = said.has(&["permission denied ("]);
        return GitError::Denied { address, known: session.has_header(), ssh, said: text };
    }
    if said.has(&[
        "repository not found",
        "not found",
        "does not appear to be a git repository",
        "access denied or repository not exported",
        "returned error: 404",
        "not valid: is this a git repository",
    ]) {
        return GitError::NoRepository { address, said: text };
    }
    if said.has(&[
        "could not resolve host",
        "failed to connect",
        "couldn't connect",
        "unable to connect",
        "connection refused",
        "connection timed out",
        "connection reset",
        "no route to host",
        "network is unreachable",
        "empty reply",
        "hung up",
        "early eof",
        "returned error: 5",
        "host key verification failed",
        "name or service not known",
        "temporary failure in name resolution",
    ]) {
        return GitError::Unreachable { address, said: text };
    }
    GitError::Failed { deed, address, said: text }
}

/// The shortest true account: the line that says `fatal`, without the word, or all.
fn told(text: &str) -> String {
    let lines: Vec<&str> = text.split("; ").collect();
    let chosen: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")))
        .filter(|line| !line.starts_with("Could not read from remote"))
        .collect();
    let ssh = lines.iter().find(|line| line.contains("Permission denied (") || line.contains("Host key"));
    match (ssh, chosen.is_empty()) {
        (Some(line), _) => (*line).to_owned(),
        (None, true) => text.to_owned(),
        (None, false) => chosen.join("; "),
    }
}
