//! What programs read beside shared objects, taken from the base or made: `--with`.

use std::collections::BTreeSet;
use std::str::FromStr;

use ireko_slim::{Closure, Help};

use crate::error::Error;
use crate::pieces::{Content, Item};
use crate::request::{Request, base_items};
use crate::root::Base;

/// A group of files that no program names as a shared object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum With {
    /// The certificates of authorities.
    CaCertificates,
    /// Time zones.
    Tzdata,
    /// Users, groups, and how names of hosts are looked up.
    Nss,
    /// A world-writable `/tmp`.
    Tmp,
    /// What system the files are of, which scanners ask.
    OsRelease,
}

impl With {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::CaCertificates, Self::Tzdata, Self::Nss, Self::Tmp, Self::OsRelease];

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::CaCertificates => "ca-certificates",
            Self::Tzdata => "tzdata",
            Self::Nss => "nss",
            Self::Tmp => "tmp",
            Self::OsRelease => "os-release",
        }
    }

    /// A path that is there where it is.
    fn sign(self) -> &'static str {
        match self {
            Self::CaCertificates => BUNDLE,
            Self::Tzdata => ZONES,
            Self::Nss => "/etc/passwd",
            Self::Tmp => "/tmp",
            Self::OsRelease => OS_RELEASE[0],
        }
    }

    /// What gives a program what it was seen to ask for.
    pub fn for_help(help: Help) -> Option<Self> {
        match help {
            Help::Authorities => Some(Self::CaCertificates),
            Help::TimeZones => Some(Self::Tzdata),
            Help::HostNames | Help::Users => Some(Self::Nss),
            Help::CharacterSets | Help::Unseen => None,
        }
    }
}

impl FromStr for With {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|with| with.name() == text).ok_or(())
    }
}

/// Whether something was asked for, or lies in the image anyway, that helps.
pub(crate) fn gives(with: &BTreeSet<With>, help: Help, has: &dyn Fn(&str) -> bool) -> bool {
    With::for_help(help).is_some_and(|one| with.contains(&one) || has(one.sign()))
}

/// Where Debian, Alpine and Fedora keep all certificates in one file.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Where programs look for it.
pub const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const ZONES: &str = "/usr/share/zoneinfo";
/// Where os-release(5) is looked for, in this order.
pub(crate) const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// How names are looked up where nothing but libc does it.
pub(crate) const NAMES: &str =
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n";

/// The files that were asked for.
pub(crate) fn items(request: &Request<'_>, found: &Closure) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for with in &request.with {
        match with {
            With::CaCertificates => certificates(request.base, found, &mut items)?,
            With::Tzdata => zones(request.base, &mut items)?,
            With::Nss => names(request, &mut items),
            With::Tmp => items.push(Item::new("/tmp", Content::Dir { mode: 0o1777 })),
            With::OsRelease => os_release(request, &mut items)?,
        }
    }
    Ok(items)
}

fn certificates(base: &dyn Base, found: &Closure, items: &mut Vec<Item>) -> Result<(), Error> {
    let lacking = || Error::NoHelper {
        with: With::CaCertificates.name(),
        path: BUNDLE.to_owned(),
        package: "ca-certificates",
    };
    let mut bundle = None;
    for path in BUNDLES {
        if let Some(found) = base_items(base, path)? {
            bundle = found.into_iter().find(Item::is_file);
            break;
        }
    }
    items.push(bundle.ok_or_else(lacking)?.at(BUNDLE));
    // Debian's OpenSSL asks for this name; the hashed names beside it are for whoever has no bundle.
    if found.files.keys().any(|path| path.contains("/libcrypto.so") || path.contains("/libssl.so")) {
        items.push(Item::new("/usr/lib/ssl/cert.pem", Content::Link(BUNDLE.to_owned())));
        items.push(Item::new("/usr/lib/ssl/certs", Content::Link("/etc/ssl/certs".to_owned())));
    }
    Ok(())
}

fn zones(base: &dyn Base, items: &mut Vec<Item>) -> Result<(), Error> {
    let lacking = || Error::NoHelper { with: With::Tzdata.name(), path: ZONES.to_owned(), package: "tzdata" };
    let begin = items.len();
    below(base, ZONES, items)?;
    if items.len() == begin { Err(lacking()) } else { Ok(()) }
}

/// All files of a directory of the base. Links stay links.
fn below(base: &dyn Base, dir: &str, items: &mut Vec<Item>) -> Result<(), Error> {
    let reading = |cause| Error::Read { path: base.real(dir), cause };
    for name in base.names(dir).map_err(reading)? {
        let path = format!("{dir}/{name}");
        match base.node(&path).map_err(reading)? {
            Some(ireko_slim::Node::Dir) => below(base, &path, items)?,
            Some(ireko_slim::Node::File { size, mode }) => {
                items.push(Item::new(&path, Content::File { data: base.data(&path, size), mode }));
            }
            Some(ireko_slim::Node::Link(to)) => items.push(Item::new(&path, Content::Link(to))),
            _ => {}
        }
    }
    Ok(())
}

/// What the base says it is; packages without the one that says it are of what was asked for.
fn os_release(request: &Request<'_>, items: &mut Vec<Item>) -> Result<(), Error> {
    for path in OS_RELEASE {
        if let Some(found) = base_items(request.base, path)? {
            let comes_anyway = request.whole && request.base.packages().is_some();
            items.extend(found.into_iter().filter(|_| !comes_anyway));
            return Ok(());
        }
    }
    let lacking = || Error::NoHelper {
        with: With::OsRelease.name(),
        path: OS_RELEASE[0].to_owned(),
        package: "base-files",
    };
    let bytes = request.system.as_ref().ok_or_else(lacking)?.os_release().into_bytes();
    items.push(Item::new(OS_RELEASE[0], Content::Bytes { bytes, mode: 0o644 }));
    Ok(())
}

/// Users and groups of Debian that programs ask for by name, and the image's own.
fn names(request: &Request<'_>, items: &mut Vec<Item>) {
    let mut users =
        "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
            .to_owned();
    let mut groups = "root:x:0:\ntty:x:5:\nstaff:x:50:\nnogroup:x:65534:\n".to_owned();
    if let Some((uid, gid)) = request.user.filter(|(uid, _)| ![0, 65534].contains(uid)) {
        users += &format!("app:x:{uid}:{gid}:app:/home/app:/sbin/nologin\n");
        if ![0, 5, 50, 65534].contains(&gid) {
            groups += &format!("app:x:{gid}:\n");
        }
    }
    let hosts = NAMES.to_owned();
    for (path, text) in [("/etc/passwd", users), ("/etc/group", groups), ("/etc/nsswitch.conf", hosts)] {
        items.push(Item::new(path, Content::Bytes { bytes: text.into_bytes(), mode: 0o644 }));
    }
}
