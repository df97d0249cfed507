//! SSH agents of a build: sockets of agents that run, and an agent of our own for keys given as files.

use crate::environment::Environment;
use crate::failure::Failure;
use ireko_exec::Agents;
use ireko_sys::Leash;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What one `--ssh` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    id: String,
    from: From,
}

#[derive(Debug, PartialEq, Eq)]
enum From {
    /// An agent that runs.
    Socket(PathBuf),
    /// Files of private keys.
    Keys(Vec<PathBuf>),
}

/// The name of an agent that nobody named.
const DEFAULT: &str = "default";

impl Wish {
    /// Reads one `--ssh`: `default`, or `id=socket`, or `id=key[,key…]`.
    pub(crate) fn parse(text: &str, environment: &Environment) -> Result<Self, Failure> {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        let id = if id.is_empty() { DEFAULT.to_owned() } else { id.to_owned() };
        let paths: Vec<PathBuf> =
            paths.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        if paths.is_empty() {
            let socket = environment.get("SSH_AUTH_SOCK").ok_or_else(|| {
                Failure::user(format!("`--ssh {text}` wants your ssh agent, and SSH_AUTH_SOCK is not set"))
                    .hint("start one (`eval $(ssh-agent)`, `ssh-add`), or name a key: --ssh default=~/.ssh/id_ed25519")
            })?;
            return Ok(Self { id, from: From::Socket(PathBuf::from(socket)) });
        }
        let is_socket = |path: &PathBuf| -> Result<bool, Failure> {
            let found = fs::metadata(path).map_err(|error| {
                Failure::user(format!("cannot use `{}` in `--ssh {text}`", path.display())).cause(error)
            })?;
            Ok(found.file_type().is_socket())
        };
        let sockets = paths.iter().map(is_socket).collect::<Result<Vec<_>, _>>()?;
        let from = match (sockets.as_slice(), paths) {
            ([true], mut paths) => From::Socket(paths.remove(0)),
            (sockets, paths) if sockets.iter().all(|socket| !socket) => From::Keys(paths),
            _ => {
                return Err(Failure::user(format!("`--ssh {text}` names a socket and more beside it"))
                    .hint("give one socket, or files of keys"));
            }
        };
        Ok(Self { id, from })
    }
}

/// The agents of a build. Those that were started for it end with it.
pub(crate) struct Running {
    pub(crate) agents: Agents,
    _own: Vec<KeyAgent>,
}

/// Makes the agents ready; `dir` is a directory of the build's own.
pub(crate) fn start(wishes: &[Wish], dir: &Path) -> Result<Running, Failure> {
    let (mut agents, mut own) = (BTreeMap::new(), Vec::new());
    for wish in wishes {
        let socket = match &wish.from {
            From::Socket(socket) => socket.clone(),
            From::Keys(keys) => {
                let agent = KeyAgent::start(&dir.join(format!("agent-{}", own.len())), keys)?;
                let socket = agent.socket.clone();
                own.push(agent);
                socket
            }
        };
        if agents.insert(wish.id.clone(), socket).is_some() {
            return Err(Failure::user(format!("two `--ssh` are called `{}`", wish.id)));
        }
    }
    Ok(Running { agents: Agents(agents), _own: own })
}

/// An agent that holds keys for one build.
struct KeyAgent {
    socket: PathBuf,
    program: Child,
    /// The program ends with it, and with this process.
    leash: Leash,
}

/// The socket's name; it is given relative to its directory, since an address is short.
const SOCKET: &str = "socket";

impl KeyAgent {
    fn start(dir: &Path, keys: &[PathBuf]) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let failure = Failure::environment("cannot start `ssh-agent` for the keys of `--ssh`");
            match error.kind() {
                io::ErrorKind::NotFound => failure.hint(
                    "install openssh-client, or load the keys into an agent of yours and give `--ssh default`",
                ),
                _ => failure.cause(error),
            }
        };
        fs::create_dir(dir).map_err(|error| {
            Failure::environment(format!("cannot make directory `{}`", dir.display())).cause(error)
        })?;
        let leash = Leash::new().map_err(|error| failed(io::Error::other(error)))?;
        // In the foreground, else it would leave the group.
        let program = Command::new("ssh-agent")
            .args(["-D", "-a", SOCKET])
            .current_dir(dir)
            .process_group(leash.group())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut agent = Self { socket: dir.join(SOCKET), program, leash };
        let until = Instant::now() + Duration::from_secs(10);
        // The socket is there a moment before it is listened to.
        while ireko_exec::connect_to_agent(&agent.socket).is_err() {
            let ended = agent.program.try_wait().map_err(failed)?;
            if ended.is_some() || Instant::now() > until {
                return Err(Failure::environment("`ssh-agent` does not listen"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for key in keys {
            agent.add(dir, key)?;
        }
        Ok(agent)
    }

    /// Hands a key over as text: `ssh-add` refuses a file that others may read, and BuildKit does not.
    fn add(&self, dir: &Path, key: &Path) -> Result<(), Failure> {
        let wrong = |cause: &dyn std::fmt::Display| {
            Failure::user(format!("cannot use the key `{}` of `--ssh`", key.display())).cause(cause)
        };
        let text = fs::read(key).map_err(|error| wrong(&error))?;
        let mut child = Command::new("ssh-add")
            .args(["-q", "-"])
            .current_dir(dir)
            .env("SSH_AUTH_SOCK", SOCKET)
            // A passphrase is not asked for in the middle of a build: what would ask says nothing.
            .envs([("SSH_ASKPASS_REQUIRE", "force"), ("SSH_ASKPASS", "false")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| wrong(&error))?;
        if let Some(mut input) = child.stdin.take() {
            // A program that does not read to the end says itself why.
            let _ = input.write_all(&text);
        }
        let output = child.wait_with_output().map_err(|error| wrong(&error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(wrong(&said).hint("is it a private key, and without a passphrase? an agent can hold one with a passphrase: `--ssh default`"))
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        self.leash.signal(Signal::KILL);
        // What is waited for is only its place in the table of processes.
        let _ = self.program.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_named() {
        let with = Environment::of([("SSH_AUTH_SOCK", "/run/agent")]);
        let socket = |id: &str| Wish { id: id.to_owned(), from: From::Socket(PathBuf::from("/run/agent")) };
        for (text, id) in [("default", "default"), ("", "default"), ("work", "work"), ("work=", "work")] {
            assert_eq!(Wish::parse(text, &with).unwrap(), socket(id), "{text}");
        }
        let key = tempfile::NamedTempFile::new().unwrap();
        let path = key.path().display();
        let keys = Wish::parse(&format!("a={path},{path}"), &with).unwrap();
        assert_eq!(keys.from, From::Keys(vec![key.path().to_owned(); 2]));
        let without = Environment::of([]);
        for (text, says) in [("default", "SSH_AUTH_SOCK is not set"), ("a=/nowhere/x", "`/nowhere/x`")] {
            let failure = Wish::parse(text, &without).unwrap_err().render();
            assert!(failure.contains(says), "{failure}");
        }
    }
}
