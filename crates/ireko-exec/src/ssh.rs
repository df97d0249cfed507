//! SSH agents for steps: a socket of the step's own, behind which somebody else's agent lists keys and signs, and does
//! nothing else.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ireko_layer::OverlayAttrs;

/// The sockets of a build's agents, by id.
#[derive(Clone, Debug, Default)]
pub struct Agents(pub BTreeMap<String, PathBuf>);

/// Longest message of the protocol that is passed on; OpenSSH's own limit.
const MESSAGE_MAX: u32 = 256 << 10;

/// How many connections of one step are served at a time.
const CONNECTIONS_MAX: usize = 64;

/// `SSH_AGENTC_REQUEST_IDENTITIES` (draft-ietf-sshm-ssh-agent, section 3.5).
const LIST: u8 = 11;
/// `SSH_AGENTC_SIGN_REQUEST` (section 3.6).
const SIGN: u8 = 13;
/// `SSH_AGENT_FAILURE`, whole, with its length.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// A socket that is there as long as this lives.
pub(crate) struct Relay {
    path: PathBuf,
    stop: Arc<AtomicBool>,
}

/// Whose the socket is, and who may use it.
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) attrs: OverlayAttrs,
}

impl Relay {
    /// Listens at `dir/name` for one step.
    ///
    /// # Errors
    /// The agent does not listen, or the socket cannot be made.
    pub(crate) fn start(agent: &Path, dir: &Path, name: &str, access: &Access) -> io::Result<Self> {
        // An agent that is gone is told now, and not by ssh in the middle of the step.
        drop(connect(agent)?);
        let path = dir.join(name);
        let listener = at_short_path(&path, |path| UnixListener::bind(path))?;
        fs::set_permissions(&path, Permissions::from_mode(access.mode))?;
        access.attrs.give(&path, access.uid, access.gid)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, agent) = (Arc::clone(&stop), agent.to_owned());
        std::thread::Builder::new().name("ssh agent".to_owned()).spawn(move || {
            let open = Arc::new(());
            for stream in listener.incoming() {
                if asked.load(Ordering::SeqCst) {
                    return;
                }
                // One that is too many is closed at once: a step must not use up the builder's descriptors.
                let (Ok(stream), true) = (stream, Arc::strong_count(&open) <= CONNECTIONS_MAX) else {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let (agent, held) = (agent.clone(), Arc::clone(&open));
                // A step that gets no answer is told by its ssh; there is nobody else to tell.
                let _ = std::thread::Builder::new().spawn(move || {
                    let _ = serve(stream, &agent);
                    drop(held);
                });
            }
        })?;
        Ok(Self { path, stop })
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends. Where that fails, it ends with the process.
        let _ = connect(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens a connection to an agent, however long its path is.
///
/// # Errors
/// Nobody listens there.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    at_short_path(path, |path| UnixStream::connect(path))
}

/// The address of a socket holds some hundred bytes: a longer path is given through its open directory.
fn at_short_path<T>(path: &Path, deed: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) if path.as_os_str().len() > 90 => {
            let dir = fs::File::open(dir)?;
            deed(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
        }
        _ => deed(path),
    }
}

fn serve(mut client: UnixStream, agent: &Path) -> io::Result<()> {
    let mut server = connect(agent)?;
    while let Some(message) = message(&mut client)? {
        if !matches!(message.get(4), Some(&(LIST | SIGN))) {
            client.write_all(&FAILURE)?;
            continue;
        }
        server.write_all(&message)?;
        match self::message(&mut server)? {
            Some(answer) => client.write_all(&answer)?,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// One message with its length in front; nothing at the end of the stream.
fn message(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let size = u32::from_be_bytes(length);
    if size == 0 || size > MESSAGE_MAX {
        return Err(io::Error::other("a message of the agent's protocol has an impossible length"));
    }
    let mut whole = length.to_vec();
    whole.resize(4 + size as usize, 0);
    stream.read_exact(&mut whole[4..])?;
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers every message with that message's type and `!`.
    fn agent(dir: &Path) -> PathBuf {
        let path = dir.join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    while let Ok(Some(asked)) = message(&mut stream) {
                        stream.write_all(&[0, 0, 0, 2, asked[4], b'!']).unwrap();
                    }
                });
            }
        });
        path
    }

    fn ask(stream: &mut UnixStream, kind: u8) -> Vec<u8> {
        stream.write_all(&[0, 0, 0, 3, kind, 1, 2]).unwrap();
        message(stream).unwrap().unwrap()[4..].to_vec()
    }

    fn start(dir: &Path, agent: &Path) -> io::Result<Relay> {
        let ids = fs::metadata(dir).map(|meta| {
            use std::os::unix::fs::MetadataExt;
            (meta.uid(), meta.gid())
        })?;
        let access = Access { mode: 0o600, uid: ids.0, gid: ids.1, attrs: OverlayAttrs::User };
        Relay::start(agent, dir, "relay", &access)
    }

    #[test]
    fn keys_are_listed_and_used_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket's address may be.
        let deep = dir.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let relay = start(&deep, &agent(dir.path())).unwrap();
        assert_eq!(fs::metadata(relay.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let mut stream = connect(relay.path()).unwrap();
        assert_eq!(ask(&mut stream, LIST), [LIST, b'!']);
        assert_eq!(ask(&mut stream, SIGN), [SIGN, b'!']);
        // Adding, removing, locking, extensions.
        for kind in [17, 18, 19, 20, 21, 22, 23, 25, 26, 27] {
            assert_eq!(ask(&mut stream, kind), [5], "{kind}");
        }
        stream.write_all(&[0xff; 8]).unwrap();
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)), "an impossible length ends it");
        let path = relay.path().to_owned();
        drop(relay);
        assert!(!path.exists());
    }

    #[test]
    fn an_agent_that_is_gone_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(start(dir.path(), &dir.path().join("none")).is_err());
    }
}
