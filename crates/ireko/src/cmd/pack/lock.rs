//! `image.lock`: what an image was made of, so that it can be made again and be the same.

use super::debs::name_of;
use crate::cli::PackArgs;
use crate::debian::Deb;
use crate::failure::Failure;
use crate::places;
use clap::ValueEnum;
use ireko_deb::release::{Listed, parse_hash, show_hash};
use ireko_pack::Packed;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The form that is written. The first one is read too: it says nothing of parts.
const VERSION: u32 = 2;

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Lock {
    version: u32,
    /// What was asked for.
    pub(super) asked: Asked,
    /// What the packages are of.
    pub(super) suite: Option<Suite>,
    #[serde(default, rename = "package")]
    pub(super) packages: Vec<Package>,
    /// Files of the base, where it is none of packages.
    #[serde(default, rename = "file")]
    files: Vec<File>,
}

/// What decides which packages there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Asked {
    #[serde(default)]
    deb: Vec<String>,
    #[serde(default)]
    with: Vec<String>,
    #[serde(default)]
    recommends: bool,
    scripts: Option<String>,
    suite: Option<String>,
    platform: String,
}

/// A suite, as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Suite {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) codename: String,
    pub(super) title: String,
    /// When its lists were made.
    date: String,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    url: String,
    size: u64,
    sha256: String,
    /// It is part of the image.
    #[serde(default)]
    pub(super) image: bool,
    /// It is there while scripts run.
    #[serde(default)]
    pub(super) scripts: bool,
    /// dpkg needs it to run.
    #[serde(default)]
    pub(super) essential: bool,
    /// It is installed with those, before the others.
    #[serde(default)]
    pub(super) core: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    path: String,
    size: u64,
    sha256: String,
}

/// Where the lock of a command lies: what was said, or beside the file of its flags, or here.
pub(super) fn place(args: &PackArgs, said: Option<&PathBuf>) -> PathBuf {
    match (said, &args.file) {
        (Some(path), _) => path.clone(),
        (None, Some(file)) => file.with_extension("lock"),
        (None, None) => PathBuf::from("image.lock"),
    }
}

impl Asked {
    pub(super) fn new(args: &PackArgs, platform: &str) -> Self {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list.dedup();
            list
        };
        let (deb, with) = (sorted(&args.deb), sorted(&args.with));
        let scripts = args.scripts.and_then(|when| when.to_possible_value());
        Self {
            deb,
            with,
            recommends: args.recommends,
            scripts: scripts.map(|value| value.get_name().to_owned()),
            suite: args.suite.clone(),
            platform: platform.to_owned(),
        }
    }
}

impl Package {
    pub(super) fn new(deb: &Deb) -> Self {
        Self {
            name: deb.name.clone(),
            version: deb.version.clone(),
            architecture: deb.architecture.clone(),
            url: deb.address.clone(),
            size: deb.listed.size,
            sha256: show_hash(&deb.listed.sha256),
            image: false,
            scripts: false,
            essential: false,
            core: false,
        }
    }

    /// Where it may be had: where it was, else where Debian keeps everything there ever was.
    pub(super) fn addresses(&self, suite: &Suite) -> Vec<String> {
        let mut addresses = vec![self.url.clone()];
        if suite.id == "debian"
            && let Some((mirror, path)) = self.url.split_once("/pool/")
        {
            let archive = if mirror.contains("security") { "debian-security" } else { "debian" };
            let date = &suite.date;
            addresses.push(format!("https://snapshot.debian.org/archive/{archive}/{date}/pool/{path}"));
        }
        addresses
    }

    pub(super) fn listed(&self) -> Option<Listed> {
        Some(Listed { size: self.size, sha256: parse_hash(&self.sha256)? })
    }
}

impl Suite {
    pub(super) fn new(distribution: &ireko_pack::sbom::Distribution, date: &str) -> Self {
        let ireko_pack::sbom::Distribution { id, version, codename, title } = distribution.clone();
        Self { id, version, codename, title, date: date.to_owned() }
    }

    /// As people write it: `debian:bookworm`.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.id, self.codename)
    }

    pub(super) fn distribution(&self) -> ireko_pack::sbom::Distribution {
        let Self { id, version, codename, title, .. } = self.clone();
        ireko_pack::sbom::Distribution { id, version, codename, title }
    }
}

impl Lock {
    pub(super) fn new(asked: Asked, suite: Option<Suite>, packages: Vec<Package>) -> Self {
        Self { version: VERSION, asked, suite, packages, files: Vec::new() }
    }

    /// Whether packages are installed in two steps: earlier versions had one, and a lock means what it meant then.
    pub(super) fn has_parts(&self) -> bool {
        self.version > 1
    }

    /// Reads one that is to be kept to.
    pub(super) fn read(path: &Path, asked: &Asked) -> Result<Self, Failure> {
        let cannot = |cause: &dyn std::fmt::Display| {
            Failure::user(format!("cannot use the lock `{}`", path.display())).cause(cause)
        };
        let text = fs::read_to_string(path)
            .map_err(|error| cannot(&error).hint("`--lock` in place of `--locked` writes it"))?;
        let lock = Self::parse(&text).map_err(|problem| cannot(&problem))?;
        if let Some(difference) = difference(&lock.asked, asked) {
            return Err(Failure::user(format!("the lock `{}` is for another image", path.display()))
                .cause(difference)
                .hint("`--lock` in place of `--locked` writes it anew"));
        }
        Ok(lock)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("line {}: {}", before.matches('\n').count() + 1, error.message().replace('\n', ", "))
        })?;
        if !(1..=VERSION).contains(&lock.version) {
            return Err(format!("it has version {}, and 1 to {VERSION} are read here", lock.version));
        }
        lock.check().map(|()| lock)
    }

    /// Whether it can have been written by this program.
    fn check(&self) -> Result<(), String> {
        /// More than any package has, and less than sums of them can hold.
        const SIZE_MAX: u64 = 1 << 40;
        let mut seen = BTreeSet::new();
        for package in &self.packages {
            let name = &package.name;
            if package.listed().is_none() {
                return Err(format!("the hash of package `{name}` is none"));
            }
            if package.size > SIZE_MAX {
                return Err(format!("package `{name}` is to have {} bytes", package.size));
            }
            if !seen.insert((name, &package.architecture)) {
                return Err(format!("package `{name}` stands in it twice"));
            }
        }
        let is_there = |name: &str| self.packages.iter().any(|package| package.image && package.name == name);
        match self.asked.deb.iter().map(|text| name_of(text)).find(|name| !is_there(name)) {
            Some(name) => Err(format!("package `{name}` is asked for, and the lock does not have it")),
            None => Ok(()),
        }
    }

    /// Notes the files that were taken from the base.
    pub(super) fn take_files(&mut self, packed: &Packed) -> Result<(), Failure> {
        self.files = files(packed)?;
        Ok(())
    }

    /// Makes sure that the same files were taken from the base.
    pub(super) fn check_files(&self, packed: &Packed) -> Result<(), Failure> {
        let now: BTreeMap<String, File> =
            files(packed)?.into_iter().map(|file| (file.path.clone(), file)).collect();
        let then: BTreeMap<&str, &File> = self.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let refused = |problem: String| {
            Failure::user("the image would not be the one that is locked")
                .cause(problem)
                .hint("`--lock` in place of `--locked` takes what is there now")
        };
        for (path, file) in &now {
            match then.get(path.as_str()) {
                None => {
                    return Err(refused(format!(
                        "`{path}` would be part of it, and the lock does not name it"
                    )));
                }
                Some(locked) if **locked != *file => {
                    return Err(refused(format!("`{path}` of the base is another than the lock names")));
                }
                Some(_) => {}
            }
        }
        match then.keys().find(|path| !now.contains_key(**path)) {
            Some(path) => Err(refused(format!("`{path}` would not be part of it, and the lock names it"))),
            None => Ok(()),
        }
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        let written = fs::write(&new, self.text()).and_then(|()| fs::rename(&new, path));
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            places::refused("--lock", path, &error)
        })
    }

    fn text(&self) -> String {
        let mut text =
            "# Written by `ireko pack --lock`; `ireko pack --locked` takes this and nothing else.\n"
                .to_owned();
        let list = |list: &[String]| list.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let Asked { deb, with, recommends, scripts, suite, platform } = &self.asked;
        // Writing to a text does not fail.
        let _ = writeln!(text, "version = {}\n\n[asked]\ndeb = [{}]", self.version, list(deb));
        let _ = writeln!(text, "with = [{}]\nrecommends = {recommends}", list(with));
        for (name, value) in [("scripts", scripts), ("suite", suite)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{name} = {}", quoted(value));
            }
        }
        let _ = writeln!(text, "platform = {}", quoted(platform));
        if let Some(Suite { id, version, codename, title, date }) = &self.suite {
            let _ = writeln!(text, "\n[suite]\nid = {}\nversion = {}", quoted(id), quoted(version));
            let _ = writeln!(
                text,
                "codename = {}\ntitle = {}\ndate = {}",
                quoted(codename),
                quoted(title),
                quoted(date)
            );
        }
        for package in &self.packages {
            let (name, version) = (quoted(&package.name), quoted(&package.version));
            let _ = writeln!(text, "\n[[package]]\nname = {name}\nversion = {version}");
            let _ = writeln!(
                text,
                "architecture = {}\nurl = {}",
                quoted(&package.architecture),
                quoted(&package.url)
            );
            let _ = writeln!(text, "size = {}\nsha256 = {}", package.size, quoted(&package.sha256));
            for (name, is_set) in [
                ("image", package.image),
                ("scripts", package.scripts),
                ("essential", package.essential),
                ("core", package.core),
            ] {
                if is_set {
                    let _ = writeln!(text, "{name} = true");
                }
            }
        }
        for File { path, size, sha256 } in &self.files {
            let _ = writeln!(
                text,
                "\n[[file]]\npath = {}\nsize = {size}\nsha256 = {}",
                quoted(path),
                quoted(sha256)
            );
        }
        text
    }
}

/// What is asked for otherwise. Where no suite and nothing of scripts is said, those of the lock are meant.
fn difference(then: &Asked, now: &Asked) -> Option<String> {
    let list = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let said = |said: &Option<String>| said.clone().unwrap_or_else(|| "none".to_owned());
    let fields = [
        ("packages", list(&then.deb), list(&now.deb)),
        ("--with", list(&then.with), list(&now.with)),
        ("--suite", said(&then.suite), said(now.suite.as_ref().map_or(&then.suite, |_| &now.suite))),
        (
            "--scripts",
            said(&then.scripts),
            said(now.scripts.as_ref().map_or(&then.scripts, |_| &now.scripts)),
        ),
        ("--platform", then.platform.clone(), now.platform.clone()),
        ("--recommends", then.recommends.to_string(), now.recommends.to_string()),
    ];
    let (name, then, now) = fields.into_iter().find(|(_, then, now)| then != now)?;
    Some(format!("{name}: the lock has {then}, and {now} is asked for"))
}

/// The files that were taken from the base, with their hashes.
fn files(packed: &Packed) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    for (path, host) in &packed.taken {
        let reading = |error| Failure::environment(format!("cannot read `{}`", host.display())).cause(error);
        let mut hasher = ireko_oci::Hasher::new();
        let mut file = fs::File::open(host).map_err(reading)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match std::io::Read::read(&mut file, &mut buffer).map_err(reading)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        files.push(File {
            path: path.clone(),
            size: hasher.size(),
            sha256: hasher.finish().hex().to_owned(),
        });
    }
    Ok(files)
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lock(name: &str) -> Lock {
        let package = Package {
            name: name.to_owned(),
            version: "1:2.0~x+y".to_owned(),
            architecture: "amd64".to_owned(),
            url: format!("http://deb.debian.org/debian/pool/main/{name}.deb"),
            size: 7,
            sha256: "00".repeat(32),
            image: true,
            scripts: false,
            essential: false,
            core: false,
        };
        let suite =
            Suite { id: "debian".to_owned(), date: "20260102T030405Z".to_owned(), ..Suite::default() };
        let asked =
            Asked { deb: vec![name.to_owned()], scripts: Some("auto".to_owned()), ..Asked::default() };
        let mut lock = Lock::new(asked, Some(suite), vec![package]);
        lock.files.push(File { path: format!("/{name}"), size: 1, sha256: "11".repeat(32) });
        lock
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[^=/:]{0,20}") {
            let lock = lock(&name);
            prop_assert_eq!(Lock::parse(&lock.text()), Ok(lock));
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,200}") {
            let _ = Lock::parse(&text);
        }
    }

    #[test]
    fn a_package_is_looked_for_where_everything_is_kept() {
        let lock = lock("hello");
        let addresses = lock.packages[0].addresses(&lock.suite.clone().expect("one"));
        assert_eq!(
            addresses[1],
            "https://snapshot.debian.org/archive/debian/20260102T030405Z/pool/main/hello.deb"
        );
    }

    #[test]
    fn another_version_and_broken_hashes_are_refused() {
        let text = lock("x").text();
        let says = |text: String| Lock::parse(&text).expect_err("refused");
        assert!(says(text.replace("version = 2\n", "version = 3\n")).contains("version 3"));
        assert!(Lock::parse(&text).expect("is read").has_parts());
        let first = Lock::parse(&text.replace("version = 2\n", "version = 1\n")).expect("is read");
        assert!(!first.has_parts(), "all in one step, as it was written");
        assert!(says(text.replace(&"00".repeat(32), "zz")).contains("package `x`"));
        assert!(
            says(text.replace("size = 7", "size = 9223372036854775807"))
                .contains("9223372036854775807 bytes")
        );
        assert!(says(text.replace("image = true\n", "")).contains("the lock does not have it"));
        let package = &text[text.find("[[package]]").expect("one")..text.find("[[file]]").expect("one")];
        assert!(says(text.replace("[[file]]", &format!("{package}[[file]]"))).contains("stands in it twice"));
        assert!(says(text.replace("size = 7", "size = \"a\"")).starts_with("line "));
    }
}
