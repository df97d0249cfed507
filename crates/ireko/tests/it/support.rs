//! A store, a context and the binary: what each test stands on.
#![expect(clippy::unwrap_used, reason = "a fixture that fails should fail the test at once")]

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Which steps ran: the closing lines of a plain log that are no hits.
    pub(crate) fn ran(&self) -> Vec<String> {
        let ended = self.stderr.lines().filter(|line| line.starts_with('[') && !line.contains(" | "));
        let timed = ended.filter(|line| line.contains("s (") || line.ends_with('s') && line.contains(": "));
        timed.filter(|line| !line.contains(": hit")).map(str::to_owned).collect()
    }

    /// The command must have failed with this exit code and said each of these.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for text in says {
            assert!(self.stderr.contains(text), "`{text}` is not in:\n{}", self.stderr);
        }
        for text in ["panicked", "Err(", "Os {"] {
            assert!(!self.stderr.contains(text), "`{text}` is in:\n{}", self.stderr);
        }
        self
    }
}

/// A place with a store and a context.
pub(crate) struct Place {
    dir: TempDir,
    /// Commands run as this user where it is not the one who runs the tests.
    user: Option<&'static str>,
    /// The sandbox level that is asked for; else the best one.
    level: Option<&'static str>,
}

/// The ordinary user that root's tests borrow: `tests/install.sh` makes it, with subordinate ids.
const ORDINARY: &str = "ireko-test";

/// A static busybox of arm64: `tests/install.sh` puts it there.
const FOREIGN_BUSYBOX: &str = "/usr/local/lib/ireko-tests/busybox-arm64";

impl Place {
    /// An empty one, or `None` with one line why: this machine cannot run it.
    pub(crate) fn new() -> Option<Self> {
        Self::of(None)
    }

    /// An empty one for an ordinary user, whoever runs the tests.
    pub(crate) fn ordinary() -> Option<Self> {
        if !is_root() {
            return Self::new();
        }
        let ready = as_user("test", ORDINARY).args(["-x", env!("CARGO_BIN_EXE_ireko")]).output();
        if !ready.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "skipped because there is no user `{ORDINARY}` who can run the binary (tests/install.sh)"
            );
            return None;
        }
        Self::of(Some(ORDINARY))
    }

    /// The same place for the one who runs the tests, who is root.
    pub(crate) fn into_root(mut self) -> Self {
        self.user = None;
        self.level = None;
        self
    }

    /// An empty one for an ordinary user at this level, or `None` where it does not work.
    pub(crate) fn ordinary_at(level: &'static str) -> Option<Self> {
        let mut place = Self::ordinary()?;
        place.level = Some(level);
        let doctor = place.ireko(&["doctor"]);
        if doctor.code != 0 {
            eprintln!("skipped because level `{level}` does not work here:\n{}", doctor.stdout);
            return None;
        }
        Some(place)
    }

    fn of(user: Option<&'static str>) -> Option<Self> {
        let place = Self {
            dir: tempfile::Builder::new().prefix("ireko-it-").tempdir().unwrap(),
            user,
            level: level(),
        };
        fs::create_dir(place.context()).unwrap();
        if let Some(user) = user {
            let ids = Command::new("chown").arg("-R").arg(user).arg(place.path("")).output().unwrap();
            assert!(ids.status.success());
        }
        let doctor = place.ireko(&["doctor"]);
        if doctor.code != 0 {
            eprintln!(
                "skipped because no sandbox level works here: {}",
                doctor.stdout.lines().last().unwrap_or("")
            );
            return None;
        }
        Some(place)
    }

    /// One whose store has the image `base`: a static busybox with its applets and a few users.
    pub(crate) fn with_base() -> Option<Self> {
        Self::new()?.and_base()
    }

    /// The same for an ordinary user.
    pub(crate) fn ordinary_with_base() -> Option<Self> {
        Self::ordinary()?.and_base()
    }

    /// One whose image `base` is for this machine and for arm64, whose programs an emulator runs.
    pub(crate) fn with_bases() -> Option<Self> {
        Self::new()?.and_bases()
    }

    /// The same for an ordinary user.
    pub(crate) fn ordinary_with_bases() -> Option<Self> {
        Self::ordinary()?.and_bases()
    }

    fn and_bases(self) -> Option<Self> {
        let doctor = self.ireko(&["doctor", "--format", "json"]).ok().stdout;
        if !doctor.contains("linux/arm64") || !Path::new(FOREIGN_BUSYBOX).exists() {
            eprintln!(
                "skipped because programs of arm64 do not run here, or there is none (tests/install.sh)"
            );
            return None;
        }
        let place = self.and_base()?;
        let dir = place.path("bases");
        fs::create_dir(&dir).unwrap();
        fs::copy(FOREIGN_BUSYBOX, dir.join("busybox-arm64")).unwrap();
        fs::copy(place.path("base/busybox"), dir.join("busybox-amd64")).unwrap();
        let dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY --chmod=755 busybox-$TARGETARCH /bin/busybox\n\
            RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nENV PATH=/bin\nCMD [\"/bin/sh\"]\n";
        fs::write(dir.join("Dockerfile"), dockerfile).unwrap();
        let dir = dir.to_str().unwrap();
        place.ireko(&["build", "-q", "--platform", "linux/amd64,linux/arm64", "-t", "base", dir]).ok();
        Some(place)
    }

    /// The same with the image `base`.
    pub(crate) fn and_base(self) -> Option<Self> {
        let place = self;
        let Some(busybox) =
            ["/bin/busybox", "/usr/bin/busybox"].iter().map(Path::new).find(|path| path.exists())
        else {
            eprintln!("skipped because there is no static busybox (Debian: busybox-static)");
            return None;
        };
        let base = place.path("base");
        fs::create_dir(&base).unwrap();
        fs::copy(busybox, base.join("busybox")).unwrap();
        let dockerfile = "FROM scratch\nCOPY --chmod=755 busybox /usr/bin/busybox\n\
            RUN [\"/usr/bin/busybox\", \"sh\", \"-c\", \"/usr/bin/busybox mkdir -p /tmp /etc /root /var /usr/sbin && /usr/bin/busybox chmod 1777 /tmp && /usr/bin/busybox --install -s /usr/bin && /usr/bin/busybox ln -s usr/bin /bin && /usr/bin/busybox ln -s usr/sbin /sbin\"]\n\
            COPY <<PASSWD /etc/passwd\nroot:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nPASSWD\n\
            COPY <<GROUP /etc/group\nroot:x:0:\napp:x:1000:\nextra:x:1001:app\nGROUP\n\
            ENV PATH=/usr/bin:/usr/sbin\nCMD [\"/bin/sh\"]\n";
        fs::write(base.join("Dockerfile"), dockerfile).unwrap();
        place.ireko(&["build", "-q", "-t", "base", base.to_str().unwrap()]).ok();
        Some(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.path("context")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file of the context.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    pub(crate) fn dockerfile(&self, text: &str) {
        self.file("Dockerfile", text);
    }

    /// The binary, with this store, before it starts.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_by(&[], args)
    }

    /// The same started by another program, such as `taskset`.
    pub(crate) fn command_by(&self, starter: &[&str], args: &[&str]) -> Command {
        let mut words: Vec<&str> = starter.to_vec();
        words.push(env!("CARGO_BIN_EXE_ireko"));
        let mut command = match self.user {
            Some(user) => as_user(words[0], user),
            None => Command::new(words[0]),
        };
        command.args(&words[1..]);
        command.args(args).current_dir(self.dir.path()).env("IREKO_HOME", self.store()).stdin(Stdio::null());
        // Logins, certificates and mirrors are those of the test.
        command.env("HOME", self.dir.path());
        for name in [
            "SOURCE_DATE_EPOCH",
            "NO_COLOR",
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "BUILDKIT_PROGRESS",
            "GITHUB_ACTIONS",
            "GITLAB_CI",
            "DOCKER_HOST",
            "DOCKER_CONTEXT",
            "DOCKER_CONFIG",
            "DOCKER_AUTH_CONFIG",
            "REGISTRY_AUTH_FILE",
            "CONTAINER_HOST",
            "CONTAINER_SSHKEY",
            "CONTAINER_CONNECTION",
            "PODMAN_CONNECTIONS_CONF",
            "CONTAINERS_CONF",
            "CONTAINERS_REGISTRIES_CONF",
            "XDG_CONFIG_HOME",
            "IREKO_CACHE_MAX_SIZE",
            "DOCKER_DEFAULT_PLATFORM",
            "IREKO_LEVEL",
        ] {
            command.env_remove(name);
        }
        command.envs(self.level.map(|level| ("IREKO_LEVEL", level)));
        command
    }

    pub(crate) fn ireko(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().unwrap())
    }

    /// The same with something on standard input.
    pub(crate) fn ireko_fed(&self, args: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // The program may end without reading all of it.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let said = Said::of(child.wait_with_output().unwrap());
        feeder.join().unwrap();
        said
    }

    /// Builds the context as `app`, plainly.
    pub(crate) fn build(&self, args: &[&str]) -> Said {
        let mut all = vec!["build", "--progress=plain", "-t", "app"];
        all.extend(args);
        all.push("context");
        self.ireko(&all)
    }

    /// Builds a Dockerfile of this text, which must work.
    #[track_caller]
    pub(crate) fn built(&self, dockerfile: &str) -> Said {
        self.dockerfile(dockerfile);
        self.build(&[]).ok()
    }

    /// What a command inside the image `app` prints.
    #[track_caller]
    pub(crate) fn inside(&self, command: &str) -> String {
        self.ireko(&["run", "--rm", "--entrypoint", "/bin/sh", "app", "-c", command]).ok().stdout
    }

    /// `ireko inspect`'s answer for `app`.
    #[track_caller]
    pub(crate) fn inspect(&self) -> Value {
        let text = self.ireko(&["inspect", "app"]).ok().stdout;
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    }

    /// The image id of a name.
    #[track_caller]
    pub(crate) fn id(&self, name: &str) -> String {
        let text = self.ireko(&["inspect", name]).ok().stdout;
        serde_json::from_str::<Value>(&text).unwrap()[0]["Id"].as_str().unwrap().to_owned()
    }

    /// The config of an image, as it lies in the store.
    #[track_caller]
    pub(crate) fn config(&self, name: &str) -> Value {
        let id = self.id(name);
        let hex = id.strip_prefix("sha256:").unwrap();
        let bytes = fs::read(self.store().join("blobs/sha256").join(&hex[..2]).join(hex)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The hexadecimal diff ids of an image, bottom first.
    #[track_caller]
    pub(crate) fn layers(&self, name: &str) -> Vec<String> {
        let config = self.config(name);
        let ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        ids.iter().map(|id| id.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned()).collect()
    }

    /// The content id of each layer of an image, bottom first.
    #[track_caller]
    pub(crate) fn contents(&self, name: &str) -> Vec<String> {
        let of = |diff: &String| {
            let bytes = fs::read(self.store().join("layers").join(diff).join("info")).unwrap();
            // The first line is the seal.
            let body = bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
            serde_json::from_slice::<Value>(body).unwrap()["content"].to_string()
        };
        self.layers(name).iter().map(of).collect()
    }

    /// The store must be sound.
    #[track_caller]
    pub(crate) fn sound(&self) {
        self.ireko(&["cache", "fsck"]).ok();
    }

    /// Nothing of this store is mounted anywhere that this process can see.
    #[track_caller]
    pub(crate) fn nothing_mounted(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let store = self.store().display().to_string();
        assert!(!mounts.contains(&store), "still mounted:\n{mounts}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Files of subordinate ids are the store's to remove.
        let _ = self.command(&["cache", "prune", "--all", "-f"]).output();
    }
}

/// Whether all tests shall use the level single-id, which their author says they cannot.
pub(crate) fn is_single_id(why: &str) -> bool {
    let single = level() == Some("single-id");
    if single {
        // No skip that counts: the other levels run it.
        eprintln!("not for level single-id: {why}");
    }
    single
}

/// The level that all tests shall use, where that is not the best one: `IREKO_TEST_LEVEL`.
pub(crate) fn level() -> Option<&'static str> {
    static LEVEL: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    LEVEL.get_or_init(|| std::env::var("IREKO_TEST_LEVEL").ok()).as_deref()
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether all of these programs are there; says which one is not.
pub(crate) fn have(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        !["/usr/bin", "/usr/sbin", "/bin", "/usr/local/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists())
    });
    if let Some(missing) = missing {
        eprintln!("skipped because there is no `{missing}` (tests/install.sh)");
    }
    missing.is_none()
}

/// A command of the ordinary user: of the one who runs the tests, or of the one whom root borrows.
pub(crate) fn as_ordinary(program: &str) -> Command {
    if is_root() { as_user(program, ORDINARY) } else { Command::new(program) }
}

/// A command of another user, with that user's home and nothing else of this one.
fn as_user(program: &str, user: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--init-groups", program]);
    command.env("HOME", format!("/home/{user}")).env("USER", user).env_remove("XDG_RUNTIME_DIR");
    command.env_remove("XDG_DATA_HOME");
    command
}
