//! Git repositories, and servers of each protocol git speaks, on loopback.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Answer, Received, Server};

/// A repository with files, made by the program `git`.
pub struct GitRepo {
    dir: PathBuf,
}

impl GitRepo {
    /// An empty one in this directory, which is made. Its branch is `main`.
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let repo = Self { dir: dir.to_owned() };
        repo.git(["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs git in it, at one fixed time; what it wrote.
    pub fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.dir).env("HOME", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{who}_NAME"), "Test")
                .env(format!("GIT_{who}_EMAIL"), "test@example.com");
            command.env(format!("GIT_{who}_DATE"), "2001-02-03T04:05:06Z");
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git in {}: {said}", self.dir.display());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes a file; the content of a name that ends with `*` may be run.
    pub fn file(&self, name: &str, content: &str) -> &Self {
        let path = self.dir.join(name.trim_end_matches('*'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Commits everything; the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(["add", "--all", "--force"]);
        self.git(["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(["rev-parse", "HEAD"])
    }
}

/// The smart HTTP protocol, by git's own `http-backend`, for every repository below a directory.
pub fn git_over_http(root: &Path, wanted: Option<&str>) -> Server {
    let (root, wanted) = (root.to_owned(), wanted.map(str::to_owned));
    Server::start(move |request| {
        if wanted.as_deref().is_some_and(|wanted| request.header("authorization") != Some(wanted)) {
            return Answer::status(401).header("www-authenticate", "Basic realm=\"git\"");
        }
        backend(&root, request)
    })
}

/// The same by a server that knows only the first version of the protocol, which gives no commit but those of its refs.
pub fn git_over_old_http(root: &Path) -> Server {
    let root = root.to_owned();
    Server::start(move |request| {
        let mut request = request.clone();
        request.headers.remove("git-protocol");
        backend(&root, &request)
    })
}

fn backend(root: &Path, request: &Received) -> Answer {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/dev/null");
    command.env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.envs([
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
    ]);
    command.env("REQUEST_METHOD", &request.method).env("PATH_INFO", &request.path);
    command.env("QUERY_STRING", &request.query).env("REMOTE_ADDR", "127.0.0.1");
    let headers = [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
        ("content-length", "CONTENT_LENGTH"),
    ];
    for (header, variable) in headers {
        command.env(variable, request.header(header).unwrap_or_default());
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    // It may end before it has read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(&body)));
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut answer = Answer::status(200);
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        answer = match name {
            "Status" => Answer::status(value[..3].parse().unwrap()),
            _ => answer.header(name, value),
        };
    }
    answer.body(output.get(end + 4..).unwrap_or_default())
}

/// A server program that is ended when this is dropped.
pub struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn start(mut command: Command, port: u16) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{command:?} ended");
            assert!(Instant::now() < until, "{command:?} does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Self { child, port }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The protocol `git://` for every repository below a directory.
pub fn git_daemon(root: &Path) -> Daemon {
    let port = free_port();
    let place = Command::new("git").arg("--exec-path").output().unwrap().stdout;
    let mut command = Command::new(format!("{}/git-daemon", String::from_utf8(place).unwrap().trim()));
    command.args(["--reuseaddr", "--export-all", "--listen=127.0.0.1", &format!("--port={port}")]);
    command.arg(format!("--base-path={}", root.display())).arg(root).env("HOME", "/dev/null");
    command.envs([
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
    ]);
    Daemon::start(command, port)
}

/// An ssh server for the user who runs the test, an agent with the only key it takes, and its own key.
pub struct SshServer {
    server: Daemon,
    agent: Daemon,
    dir: PathBuf,
    user: String,
}

impl SshServer {
    /// Starts both with their files in `dir`; `None` where there is no ssh server on this machine.
    pub fn start(dir: &Path) -> Option<Self> {
        let program =
            ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|path| Path::new(path).exists())?;
        fs::create_dir_all(dir).unwrap();
        for key in ["host", "client"] {
            let path = dir.join(key);
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path));
        }
        fs::copy(dir.join("client.pub"), dir.join("authorized")).unwrap();
        let (port, at) = (free_port(), dir.display());
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\n\
             PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n\
             SetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n"
        );
        fs::write(dir.join("config"), config).unwrap();
        // Where the system's server keeps nothing: it must exist for root.
        let _not_root = fs::create_dir_all("/run/sshd");
        let mut command = Command::new(program);
        command.args(["-D", "-f"]).arg(dir.join("config"));
        let server = Daemon::start(command, port);
        let socket = dir.join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let agent = Daemon { child: command.spawn().unwrap(), port: 0 };
        let until = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < until, "the agent does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        run(Command::new("ssh-add").arg("-q").arg(dir.join("client")).env("SSH_AUTH_SOCK", &socket));
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        Some(Self { server, agent, dir: dir.to_owned(), user })
    }

    /// The URL of a directory of this machine.
    pub fn url(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.server.port(), path.display())
    }

    /// The agent's socket.
    pub fn agent(&self) -> PathBuf {
        let _it_lives_as_long_as_the_server = &self.agent;
        self.dir.join("agent")
    }

    /// The client's private key.
    pub fn key(&self) -> PathBuf {
        self.dir.join("client")
    }

    /// The server's line for a known-hosts file.
    pub fn known_hosts(&self) -> String {
        let key = fs::read_to_string(self.dir.join("host.pub")).unwrap();
        format!("[127.0.0.1]:{} {key}", self.server.port())
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A port that is answered and then never spoken to.
pub fn silent_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let _held: Vec<_> = listener.incoming().collect();
    });
    port
}
