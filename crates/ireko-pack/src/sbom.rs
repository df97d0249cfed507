//! What an image consists of, told to machines: SPDX 2.3 and CycloneDX 1.6, both as JSON.
//!
//! A [`Bill`] is plain values; [`Bill::render`] makes a document of it. There is no clock and no chance in it: equal
//! bills give equal bytes, and the number that each document has to have is a digest of its content.

mod cyclonedx;
mod dpkg;
mod files;
mod licence;
mod purl;
mod spdx;

#[cfg(test)]
mod tests;

pub use dpkg::{Database, distribution, licences, os_release};
pub use files::files;

use ireko_oci::{Digest, Timestamp};
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;

/// What made the document.
const TOOL: &str = "ireko";

/// A form of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    CycloneDx,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Spdx, Self::CycloneDx];

    /// How it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spdx => "spdx",
            Self::CycloneDx => "cyclonedx",
        }
    }
}

/// The image that a bill is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The digest of its config.
    pub id: Digest,
    /// `os/arch[/variant]`.
    pub platform: String,
}

/// A distribution, as `/etc/os-release` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `debian`.
    pub id: String,
    /// `12`; empty where there is none yet.
    pub version: String,
    /// `bookworm`.
    pub codename: String,
    /// For people: `Debian GNU/Linux`.
    pub title: String,
}

impl Distribution {
    /// The text of an os-release(5) that says it.
    pub fn os_release(&self) -> String {
        let Self { id, version, codename, title } = self;
        let name = [title.as_str(), version]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let mut text = format!("PRETTY_NAME=\"{name} ({codename})\"\nNAME=\"{title}\"\n");
        if !version.is_empty() {
            text += &format!("VERSION_ID=\"{version}\"\n");
        }
        text + &format!("VERSION_CODENAME={codename}\nID={id}\n")
    }
}

/// One package of Debian's kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with its epoch.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The source package that it was built of, and that one's version.
    pub source: (String, String),
    /// Who looks after it: `NAME <ADDRESS>`.
    pub maintainer: String,
    /// Where upstream lives.
    pub homepage: String,
    /// The first line of its description.
    pub summary: String,
    /// An SPDX expression, where its licences are known exactly.
    pub licence: Option<String>,
    /// SHA-256 of the package's file in hexadecimal, where that is known.
    pub sha256: Option<String>,
    /// Where that file was fetched from.
    pub address: Option<String>,
    /// The packages that it depends on, by their places in [`Bill::packages`].
    pub needs: Vec<usize>,
}

/// One regular file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Where it is in the image: an absolute path.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256 in hexadecimal.
    pub sha256: String,
    /// Their SHA-1, which SPDX asks for.
    pub sha1: String,
    /// The package it is of, by its place in [`Bill::packages`].
    pub owner: Option<usize>,
}

/// Everything that is told of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The image.
    pub image: Subject,
    /// The distribution that the packages are of.
    pub distribution: Option<Distribution>,
    /// Whether the image is a system of that distribution, and has not just files of its packages.
    pub is_system: bool,
    /// Packages; see [`Bill::settle`] for their order.
    pub packages: Vec<Package>,
    /// All regular files of the image, or none where they are not told.
    pub files: Vec<File>,
    /// The time of the document: one that belongs to the image, never that of its writing.
    pub time: Timestamp,
    /// The version of what writes it.
    pub version: String,
}

/// Where a package came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// SHA-256 of its file.
    pub sha256: Option<String>,
    /// Where that was fetched from.
    pub address: Option<String>,
}

/// Name, version and architecture.
pub type Identity = (String, String, String);

/// Where packages came from.
pub type Origins = BTreeMap<Identity, Origin>;

impl Package {
    /// What tells it from all others.
    pub fn identity(&self) -> Identity {
        (self.name.clone(), self.version.clone(), self.architecture.clone())
    }
}

impl Bill {
    /// Puts packages and files into their one order, each once.
    pub fn settle(&mut self) {
        let mut order: Vec<usize> = (0..self.packages.len()).collect();
        order.sort_by_key(|at| self.packages[*at].identity());
        let mut places: Vec<usize> = vec![0; order.len()];
        let mut packages: Vec<Package> = Vec::new();
        for at in order {
            if packages.last().is_none_or(|last| last.identity() != self.packages[at].identity()) {
                packages.push(self.packages[at].clone());
            }
            places[at] = packages.len() - 1;
        }
        for (at, package) in packages.iter_mut().enumerate() {
            let mut needs: Vec<usize> = package
                .needs
                .iter()
                .filter_map(|old| places.get(*old).copied())
                .filter(|new| *new != at)
                .collect();
            needs.sort_unstable();
            needs.dedup();
            package.needs = needs;
        }
        for file in &mut self.files {
            file.owner = file.owner.and_then(|old| places.get(old).copied());
        }
        self.packages = packages;
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        self.files.dedup_by(|one, other| one.path == other.path);
    }

    /// Leaves out the packages that no file is of.
    pub fn keep_owners(&mut self) {
        let mut places = BTreeMap::new();
        let mut kept = Vec::new();
        for (at, package) in self.packages.iter().enumerate() {
            if self.files.iter().any(|file| file.owner == Some(at)) {
                places.insert(at, kept.len());
                kept.push(package.clone());
            }
        }
        for package in &mut kept {
            package.needs = package.needs.iter().filter_map(|old| places.get(old).copied()).collect();
        }
        for file in &mut self.files {
            file.owner = file.owner.and_then(|old| places.get(&old).copied());
        }
        self.packages = kept;
    }

    /// Says of packages where they were fetched from.
    pub fn fetched(&mut self, origins: &Origins) {
        for package in &mut self.packages {
            if let Some(origin) = origins.get(&package.identity()) {
                package.sha256.clone_from(&origin.sha256);
                package.address = origin.address.as_deref().and_then(public);
            }
        }
    }

    /// The document, with a newline at its end.
    pub fn render(&self, format: Format) -> String {
        let mut bill = self.clone();
        bill.settle();
        let document = match format {
            Format::Spdx => spdx::document(&bill),
            Format::CycloneDx => cyclonedx::document(&bill),
        };
        format!("{document:#}\n")
    }

    /// Who ships a package, where it was fetched from a distribution's archive.
    fn vendor(&self, package: &Package) -> Option<&'static str> {
        let distribution = self.distribution.as_ref().filter(|_| package.address.is_some())?;
        ["Debian", "Ubuntu"].into_iter().find(|vendor| vendor.eq_ignore_ascii_case(&distribution.id))
    }

    /// As what the image is shown.
    fn title(&self) -> String {
        self.image.name.clone().unwrap_or_else(|| self.image.id.to_string())
    }
}

/// An address that others may know: of the web, and without a login.
fn public(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://").filter(|_| is_web(address))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or(host);
    Some(format!("{scheme}://{host}{path}"))
}

/// Whether a text is an address of the web.
fn is_web(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// A UUID of version 5 for a document (RFC 9562): the same for the same content.
fn uuid(format: Format, content: &str) -> String {
    // Made once, by chance, for this use.
    const SPACE: [u8; 16] =
        [0x6e, 0x1f, 0x0a, 0x52, 0x8d, 0x0b, 0x4c, 0x63, 0x9d, 0x3e, 0x35, 0x07, 0xc1, 0x5a, 0xe8, 0x24];
    let name = format!("{}:{}", format.name(), Digest::of(content.as_bytes()));
    let sum = Sha1::new().chain_update(SPACE).chain_update(name).finalize();
    let mut bytes: Vec<u8> = sum.into_iter().take(16).collect();
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
