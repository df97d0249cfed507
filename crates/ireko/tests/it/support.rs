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
    fn of(output: Output) -> Self {
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
}

impl Place {
    /// An empty one, or `None` with one line why: this machine cannot run it.
    pub(crate) fn new() -> Option<Self> {
        let place = Self { dir: tempfile::Builder::new().prefix("ireko-it-").tempdir().unwrap() };
        fs::create_dir(place.context()).unwrap();
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
        let place = Self::new()?;
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_ireko"));
        command.args(args).current_dir(self.dir.path()).env("IREKO_HOME", self.store()).stdin(Stdio::null());
        for name in
            ["SOURCE_DATE_EPOCH", "NO_COLOR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]
        {
            command.env_remove(name);
        }
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
