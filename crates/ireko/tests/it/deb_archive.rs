//! A small archive of Debian packages on this disk, signed by a key of its own: a dpkg that runs, and what a test adds.
#![expect(clippy::unwrap_used, reason = "a fixture that fails should fail the test at once")]

use crate::support::{Place, have};
use ireko_oci::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

/// Programs of this machine that the archive's dpkg consists of.
const PROGRAMS: [&str; 6] = ["dash", "dpkg", "dpkg-deb", "dpkg-query", "dpkg-split", "tar"];
/// What the static busybox is beside.
const APPLETS: [&str; 12] =
    ["dd", "rm", "mkdir", "cat", "chmod", "chown", "ln", "diff", "printf", "echo", "ls", "env"];

/// The archive.
pub(crate) struct DebArchive {
    root: PathBuf,
    /// How often it was published: each state is newer than the one before.
    states: u64,
    began: u64,
    base: Vec<String>,
    scripts: BTreeMap<String, String>,
}

impl DebArchive {
    /// One with what every base has, or `None` with one line why: something that it is made of is missing.
    pub(crate) fn new(place: &Place) -> Option<Self> {
        if !have(&["gpg", "dpkg-deb", "dash", "dpkg", "tar", "ldd", "busybox"]) {
            return None;
        }
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 100_000;
        let mut archive = Self {
            root: place.path("archive"),
            states: 0,
            began,
            base: Vec::new(),
            scripts: BTreeMap::new(),
        };
        fs::create_dir_all(archive.root.join("key")).unwrap();
        fs::set_permissions(archive.root.join("key"), fs::Permissions::from_mode(0o700)).unwrap();
        archive.gpg(&["--passphrase", "", "--quick-generate-key", "test", "ed25519", "sign", "never"]);
        let keys = archive.root.join("keys.gpg");
        archive.gpg(&["--output", keys.to_str().unwrap(), "--export"]);
        let tree = archive.root.join("dpkg");
        dpkg(&tree);
        let essential = "Essential: yes\nPriority: required\n";
        archive.base = vec![archive.package("dpkg", "1.22", essential, Some(&tree))];
        archive.base.push(archive.package("apt", "2.6", "", None));
        archive.publish(&[]);
        Some(archive)
    }

    /// What `--build-context` says behind `deb:SUITE?` to use it.
    pub(crate) fn options(&self) -> String {
        format!("mirror=file://{}&signed-by={}", self.root.display(), self.root.join("keys.gpg").display())
    }

    /// The flags of commands that take from it.
    pub(crate) fn flags(&self) -> Vec<String> {
        let keys = self.root.join("keys.gpg").display().to_string();
        vec!["--mirror".to_owned(), format!("file://{}", self.root.display()), "--signed-by".to_owned(), keys]
    }

    /// Puts the archive out of reach, or back.
    pub(crate) fn hide(&self, hidden: bool) {
        let (dists, away) = (self.root.join("dists"), self.root.join("away"));
        let (from, to) = if hidden { (dists, away) } else { (away, dists) };
        fs::rename(from, to).unwrap();
    }

    /// Gives a package's file other bytes than the lists promise.
    pub(crate) fn spoil(&self, name: &str) {
        let path = self.root.join(name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Puts another file in a package's place, with a list that is signed for it as it is now.
    pub(crate) fn replace(&mut self, name: &str, bytes: &[u8], packages: &[(&str, &str)]) {
        fs::write(self.root.join(name), bytes).unwrap();
        self.publish(packages);
    }

    /// Gives a package's next version a script that runs when it is configured.
    pub(crate) fn script(&mut self, name: &str, text: &str) {
        self.scripts.insert(name.to_owned(), text.to_owned());
    }

    /// A new state: with these packages, by name and version, each of which has a file `/usr/share/NAME` with its
    /// version. Some of the lines of a control file may stand behind the version.
    pub(crate) fn publish(&mut self, packages: &[(&str, &str)]) {
        self.states += 1;
        let mut lists = self.base.clone();
        for (name, version) in packages {
            let (version, fields) = version.split_once('\n').unwrap_or((version, ""));
            let tree = self.root.join(format!("{name}-{version}"));
            fs::create_dir_all(tree.join("usr/share")).unwrap();
            fs::write(tree.join("usr/share").join(name), format!("{version}\n")).unwrap();
            lists.push(self.package(name, version, fields, Some(&tree)));
        }
        let list = lists.join("\n");
        let name = format!("main/binary-{}/Packages", architecture());
        let dist = self.root.join("dists/bookworm");
        fs::create_dir_all(dist.join(&name).parent().unwrap()).unwrap();
        fs::write(dist.join(&name), &list).unwrap();
        let date = (self.began + self.states * 100).to_string();
        let date =
            ran(Command::new("date").args(["-u", "-d", &format!("@{date}"), "+%a, %d %b %Y %H:%M:%S UTC"]));
        let date = String::from_utf8(date.stdout).unwrap();
        let hash = Digest::of(list.as_bytes()).hex();
        let release = format!(
            "Origin: Debian\nSuite: stable\nCodename: bookworm\nDate: {}\nComponents: main\nArchitectures: {}\nSHA256:\n {hash} {} {name}\n",
            date.trim(),
            architecture(),
            list.len()
        );
        fs::write(dist.join("Release"), release).unwrap();
        let (signed, text) = (dist.join("InRelease"), dist.join("Release"));
        self.gpg(&["--yes", "--output", signed.to_str().unwrap(), "--clear-sign", text.to_str().unwrap()]);
        ran(Command::new("chmod").arg("-R").arg("a+rX").arg(&self.root));
        fs::set_permissions(self.root.join("key"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Makes a package of a tree, and its paragraph of the list.
    fn package(&self, name: &str, version: &str, fields: &str, tree: Option<&Path>) -> String {
        let empty = self.root.join(format!("{name}-empty"));
        let tree = tree.unwrap_or(&empty);
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let fields = fields.trim_end();
        let end = if fields.is_empty() { String::new() } else { format!("{fields}\n") };
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {}\nMaintainer: test <test@example.com>\n{end}Description: {name}\n",
            architecture()
        );
        fs::write(tree.join("DEBIAN/control"), &control).unwrap();
        if let Some(script) = self.scripts.get(name) {
            let place = tree.join("DEBIAN/postinst");
            fs::write(&place, script).unwrap();
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let file = format!("{name}_{version}.deb");
        let path = self.root.join(&file);
        // What is in the archive stays as it is: made again it would have other times.
        if !path.exists() {
            ran(Command::new("dpkg-deb")
                .args(["--root-owner-group", "-Znone", "--build"])
                .arg(tree)
                .arg(&path));
        }
        let bytes = fs::read(&path).unwrap();
        let hash = Digest::of(&bytes).hex();
        format!("{control}Filename: {file}\nSize: {}\nSHA256: {hash}\n", bytes.len())
    }

    fn gpg(&self, args: &[&str]) {
        ran(Command::new("gpg")
            .arg("--homedir")
            .arg(self.root.join("key"))
            .args(["--batch", "--quiet"])
            .args(args));
    }
}

impl Drop for DebArchive {
    fn drop(&mut self) {
        // It left a process behind that keeps the key.
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.root.join("key"))
            .args(["--kill", "all"])
            .output();
    }
}

/// What Debian calls this machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

/// A root file system in which dpkg runs: this machine's, with its libraries, and busybox for all else.
fn dpkg(root: &Path) {
    let bin = root.join("usr/bin");
    for dir in [
        "usr/bin",
        "usr/sbin",
        "usr/lib64",
        "etc",
        "tmp",
        "root",
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
    ] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let programs: Vec<PathBuf> = PROGRAMS.iter().map(|name| program(name)).collect();
    let mut libraries = BTreeSet::new();
    for path in &programs {
        fs::copy(path, bin.join(path.file_name().unwrap())).unwrap();
        let said = ran(Command::new("ldd").arg(path));
        let said = String::from_utf8(said.stdout).unwrap();
        let words = said.split_whitespace().filter(|word| word.starts_with('/'));
        libraries.extend(words.map(str::to_owned));
    }
    for library in libraries {
        // The directories of `/` are links into `/usr`.
        let place = library.strip_prefix("/usr").unwrap_or(&library);
        let place = root.join("usr").join(place.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&library, place).unwrap();
    }
    fs::copy(program("busybox"), bin.join("busybox")).unwrap();
    // The shell of busybox would take its own dpkg and tar.
    symlink("dash", bin.join("sh")).unwrap();
    APPLETS.iter().for_each(|name| symlink("busybox", bin.join(name)).unwrap());
    for name in ["ldconfig", "start-stop-daemon"] {
        let path = root.join("usr/sbin").join(name);
        fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
}

fn program(name: &str) -> PathBuf {
    ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists()).unwrap()
}

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
