//! What the cases share: a root with busybox in it, and a way to run a script there.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ireko_sys::mount::{Overlay, Upper};
use ireko_sys::sandbox::{Exit, RootFs, Running, Sandbox, remove_mount_points, spawn};
use ireko_sys::userns::{IdMap, Level};

const BUSYBOX: &str = "/bin/busybox";

pub(crate) fn has_busybox() -> bool {
    // A static program has no interpreter named in it.
    fs::read(BUSYBOX).is_ok_and(|bytes| !bytes.windows(9).any(|window| window == b"/ld-linux"))
}

/// Some user of this machine who may map more ids than their own.
pub(crate) fn user_with_subordinate_ids() -> Option<(u32, u32)> {
    let (subuid, passwd) = (fs::read_to_string("/etc/subuid").ok()?, fs::read_to_string("/etc/passwd").ok()?);
    subuid.lines().find_map(|line| {
        let owner = line.split(':').next()?;
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, ..] = fields[..] else { return None };
            (name == owner).then_some((uid.parse().ok()?, gid.parse().ok()?))
        })
    })
}

/// A place with a base layer.
pub(crate) struct World {
    pub(crate) level: Level,
    pub(crate) map: IdMap,
    pub(crate) dir: tempfile::TempDir,
}

/// How a script ended and what it printed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl World {
    pub(crate) fn new(level: Level, map: IdMap) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let base = dir.path().join("base");
        for name in ["bin", "etc", "tmp", "root"] {
            fs::create_dir_all(base.join(name)).expect("a directory");
        }
        fs::copy(BUSYBOX, base.join("bin/busybox")).expect("busybox");
        fs::write(base.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").expect("passwd");
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("mode");
        for applet in [
            "sh", "ls", "cat", "id", "stat", "sleep", "mount", "hostname", "grep", "head", "touch", "mkdir",
            "rm", "ps", "tty", "readlink", "ip", "unshare", "mknod", "chown", "test", "env", "wc", "kill",
            "true", "tail", "find", "dd", "stty", "nc",
        ] {
            symlink("busybox", base.join("bin").join(applet)).expect("a link");
        }
        Self { level, map, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// The base with a fresh upper directory over it.
    pub(crate) fn overlay(&self, name: &str) -> Overlay {
        Overlay {
            lowers: vec![self.path("base")],
            upper: Some(Upper {
                dir: self.make(&format!("{name}/upper")),
                work: self.make(&format!("{name}/work")),
            }),
            userxattr: self.map.needs_userxattr(),
        }
    }

    /// A sandbox that runs a shell script on the base.
    pub(crate) fn script(&self, name: &str, script: &str) -> Sandbox {
        Sandbox::new(
            RootFs::Overlay(self.overlay(name)),
            ["sh", "-c", script].into_iter().map(Into::into).collect(),
        )
    }

    /// Runs a script on a fresh overlay and returns what it printed, demanding success.
    #[track_caller]
    pub(crate) fn output(&self, script: &str) -> String {
        let outcome = finish(&self.script("output", script));
        assert!(outcome.exit.success(), "{outcome:?}");
        outcome.output
    }
}

/// Runs a sandbox to its end and removes the mount points it needed.
#[track_caller]
pub(crate) fn finish(sandbox: &Sandbox) -> Outcome {
    let mut running = match spawn(sandbox) {
        Ok(running) => running,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    };
    let outcome = drain(&mut running);
    let base: &Path = match &sandbox.root {
        RootFs::Dir(path) | RootFs::Chroot { dir: path, .. } => path,
        RootFs::Overlay(overlay) => &overlay.upper.as_ref().expect("an upper directory").dir,
    };
    remove_mount_points(base, &running.mount_points).expect("mount points can be removed");
    outcome
}

pub(crate) fn drain(running: &mut Running) -> Outcome {
    let (mut output, mut errors) = (String::new(), String::new());
    let stderr = running.stderr.take();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            stderr.map(|mut file| file.read_to_string(&mut errors));
        });
        if let Some(mut file) = running.stdout.take() {
            file.read_to_string(&mut output).expect("output");
        }
        reader.join().expect("a reader");
    });
    let exit = running.wait().expect("an end");
    Outcome { exit, output, errors }
}

/// All paths below `dir`, sorted.
pub(crate) fn tree(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().expect("a type").is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            }
            found.push(name);
        }
    }
    let mut found = Vec::new();
    walk(dir, "", &mut found);
    found.sort();
    found
}
