//! An apt of its own: lists, status files and caches in a folder, nothing of the machine's.

use anyhow::{Context, Result, bail, ensure};
use ireko_deb::control;
use ireko_deb::index::{Input, List, Origin};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suites beside one another, as `suite path-of-the-archive architectures`.
const SUITES: [(&str, &str); 4] = [
    ("bookworm", "debian"),
    ("bookworm-updates", "debian"),
    ("bookworm-security", "debian-security"),
    ("bookworm-backports", "debian"),
];

/// The native architecture, then the foreign one.
pub(super) const ARCHITECTURES: [&str; 2] = ["amd64", "i386"];

/// An apt with its folder.
pub(super) struct Apt {
    folder: PathBuf,
}

/// A list as apt stores it.
pub(super) struct StoredList {
    text: String,
    release: String,
    pub(super) suite: &'static str,
}

/// What apt would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// `name:architecture=version`
    pub(super) install: BTreeSet<String>,
    pub(super) remove: BTreeSet<String>,
}

impl Apt {
    /// Makes the folder; with `update` the lists are fetched anew, or else only if there are none.
    pub(super) fn prepare(folder: &Path, mirror: &str, update: bool) -> Result<Self> {
        for inner in [
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/trusted.gpg.d",
            "state/lists/partial",
            "archives/partial",
        ] {
            fs::create_dir_all(folder.join(inner))?;
        }
        let apt = Self { folder: std::path::absolute(folder)? };
        let root = apt.folder.display();
        let line =
            |(suite, path): (&str, &str)| format!("deb [signed-by={KEYRING}] {mirror}/{path} {suite} main\n");
        fs::write(folder.join("etc/sources.list"), SUITES.map(line).concat())?;
        let config = format!(
            "Dir \"{root}/\"; Dir::Etc \"{root}/etc/\"; Dir::Etc::main \"/dev/null\";\n\
             Dir::Etc::parts \"{root}/etc/apt.conf.d\"; Dir::State \"{root}/state\";\n\
             Dir::State::status \"/dev/null\"; Dir::Cache::archives \"{root}/archives\";\n\
             APT::Architecture \"{}\"; APT::Architectures {{ \"{}\"; \"{}\"; }};\n\
             Acquire::GzipIndexes \"false\"; Acquire::Languages \"none\"; APT::Sandbox::User \"root\";\n",
            ARCHITECTURES[0], ARCHITECTURES[0], ARCHITECTURES[1],
        );
        fs::write(folder.join("apt.conf"), config)?;
        apt.set_status("empty", "")?;
        if update || apt.lists()?.is_empty() {
            // A mirror that changes in the middle leaves a list out: the others are as good for a comparison.
            let output = apt.command("empty").arg("update").output().context("cannot run apt-get")?;
            if !output.status.success() {
                eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim());
            }
        }
        ensure!(!apt.lists()?.is_empty(), "apt-get update fetched no list");
        Ok(apt)
    }

    fn command(&self, status: &str) -> Command {
        let mut command = Command::new("apt-get");
        let folder = self.folder.display();
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("LC_ALL", "C");
        command.arg("-o").arg(format!("Dir::State::status={folder}/{status}/status"));
        command.arg("-o").arg(format!("Dir::Cache={folder}/{status}"));
        command
    }

    /// A status file by the name `name`, with a cache of its own.
    pub(super) fn set_status(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let file = folder.join("status");
        if fs::read_to_string(&file).ok().as_deref() != Some(text) {
            fs::write(&file, text)?;
        }
        Ok(())
    }

    /// All lists in the order in which apt reads them.
    pub(super) fn lists(&self) -> Result<Vec<StoredList>> {
        let folder = self.folder.join("state/lists");
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(&folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        let mut lists = Vec::new();
        for (suite, path) in SUITES {
            for architecture in ARCHITECTURES {
                let ending = format!("_{path}_dists_{suite}_main_binary-{architecture}_Packages");
                let Some(name) = names.iter().find(|name| name.ends_with(&ending)) else { continue };
                let release = name.replace(&format!("main_binary-{architecture}_Packages"), "InRelease");
                let read =
                    |name: &str| fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
                lists.push(StoredList { text: read(name)?, release: read(&release)?, suite });
            }
        }
        Ok(lists)
    }

    /// What apt answers, or None if it refuses.
    pub(super) fn install(
        &self,
        status: &str,
        recommends: bool,
        requests: &[String],
    ) -> Result<Result<Answer, String>> {
        let mut command = self.command(status);
        command
            .args(["-s", "-o", &format!("APT::Install-Recommends={recommends}"), "install"])
            .args(requests);
        let output = command.output().context("cannot run apt-get")?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            let unmet = out.split_once("have unmet dependencies:").map(|(_, unmet)| unmet.to_owned());
            return Ok(Err(format!("{err}{}", unmet.unwrap_or_default())));
        }
        let mut answer = Answer::default();
        for line in out.lines() {
            if let Some(rest) = line.strip_prefix("Inst ") {
                answer.install.insert(installed(rest).with_context(|| format!("strange line: {line}"))?);
            } else if let Some(rest) = line.strip_prefix("Remv ") {
                answer.remove.insert(rest.split(' ').next().unwrap_or_default().to_owned());
            }
        }
        Ok(Ok(answer))
    }
}

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// `name[:arch] [old] (version archive, archive [architecture])`
fn installed(line: &str) -> Result<String> {
    let (name, rest) = line.split_once(' ').context("no name")?;
    let (_, rest) = rest.split_once('(').context("no version")?;
    let (rest, _) = rest.split_once(')').context("no end")?;
    let version = rest.split(' ').next().unwrap_or_default();
    let (_, architecture) = rest.rsplit_once('[').context("no architecture")?;
    let architecture = architecture.trim_end_matches(']');
    let name = name.split(':').next().unwrap_or_default();
    if version.is_empty() {
        bail!("no version");
    }
    Ok(format!("{name}:{architecture}={version}"))
}

impl StoredList {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn origin(&self) -> Result<Origin<'_>> {
        // The header of the signature ends with an empty line.
        let (_, signed) = self.release.split_once("\n\n").context("no release")?;
        let (signed, _) = signed.split_once("\n-----BEGIN").unwrap_or((signed, ""));
        let release = control::paragraphs(signed).next().context("no release")??;
        let get = |name| release.get(name).unwrap_or_default();
        Ok(Origin {
            suite: get("Suite"),
            codename: get("Codename"),
            version: get("Version"),
            not_automatic: get("NotAutomatic") == "yes",
            but_automatic_upgrades: get("ButAutomaticUpgrades") == "yes",
            pin: None,
        })
    }
}

/// The lists with a status file, to be read into an index.
pub(super) fn input<'a>(lists: &'a [StoredList], status: &'a str) -> Result<Input<'a>> {
    let list = |list: &'a StoredList| anyhow::Ok(List { text: &list.text, origin: list.origin()? });
    Ok(Input {
        native: ARCHITECTURES[0],
        foreign: &ARCHITECTURES[1..],
        lists: lists.iter().map(list).collect::<Result<_>>()?,
        status,
    })
}
