//! A root file system of Debian packages in which nothing was run: no shell, no dpkg, no apt; what scanners read is there.
//!
//! The packages of the basis have scripts whose work is done here; of any other, the scripts must have nothing to do
//! when it is installed for the first time. Packages are told of as Google's distroless images do:
//! `/var/lib/dpkg/status.d/NAME` is the package's control file, `NAME.md5sums` its list of files.

use std::collections::BTreeMap;

use ireko_deb::package::{Package, deeds};
use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};
use ireko_oci::Digest;
use ireko_store::Store;

use crate::base::{self, MERGED};
use crate::debs::{DebTree, PathFilter};
use crate::error::Error;

/// What is always there, each by the first of its names that a suite has.
pub const BASIS: [&[&str]; 6] = [
    &["base-files"],
    &["ca-certificates"],
    &["libc6"],
    &["libssl3t64", "libssl3", "libssl1.1"],
    &["netbase"],
    &["tzdata"],
];

/// Packages whose scripts are known, and whose work is done here or is for upgrades alone; and whether what they depend
/// on serves these scripts alone.
const KNOWN: [(&str, bool); 6] = [
    ("base-files", true),
    ("ca-certificates", true),
    ("libc6", false),
    ("libgssapi-krb5-2", false),
    ("netbase", true),
    ("tzdata", true),
];

/// Needed by scripts alone, wherever they are depended on.
const FOR_SCRIPTS: [&str; 5] = ["debconf", "debconf-2.0", "cdebconf", "dpkg", "install-info"];

/// Whether what a package depends on is only for its scripts.
pub fn stands_alone(package: &str) -> bool {
    KNOWN.contains(&(package, true))
}

/// Whether a package is only there for scripts of others.
pub fn is_for_scripts(package: &str) -> bool {
    FOR_SCRIPTS.contains(&package)
}

/// The unprivileged user: as in Google's images.
pub const NONROOT: u32 = 65_532;
const NOBODY: u32 = 65_534;

/// All certificates in one file, and the variable by which programs find it that have no configuration of OpenSSL.
pub const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Makes a layer of packages, given by their names.
///
/// # Errors
/// A package cannot be read, or has scripts that would have to run; the store cannot take the layer.
pub fn layer(store: &Store, packages: &[(String, Package)], time: Time) -> Result<Digest, Error> {
    for (name, package) in packages {
        if KNOWN.iter().any(|(known, _)| known == name) {
            continue;
        }
        if let Some(deed) = deeds(package).into_iter().next() {
            return Err(Error::Script { package: name.clone(), script: deed.script, needs: deed.needs });
        }
    }
    let scratch = store.scratch_dir()?;
    let opened: Vec<Package> = packages.iter().map(|(_, package)| package.clone()).collect();
    let mut tree = DebTree::merged_usr(&MERGED, &Meta::new(0o755, time))?;
    let mut bundle = Vec::new();
    let read = base::files_of(&opened, &PathFilter::slim(), scratch.path())?;
    for ((name, _), mut changes) in packages.iter().zip(read) {
        if name == "ca-certificates" {
            bundle = bundle_of(&changes)?;
            // The rest makes the bundle where a shell is; its licence stays.
            changes.retain(|change| change.path.as_bytes().starts_with(b"usr/share/doc/"));
        }
        tree.add(changes)?;
    }
    let mut changes: BTreeMap<TreePath, Change> =
        tree.into_changes().into_iter().map(|change| (change.path.clone(), change)).collect();
    for change in made(packages, bundle, time)? {
        put(&mut changes, change, time);
    }
    for change in changes.values_mut().filter(|change| change.meta.mtime > time) {
        change.meta.mtime = time;
    }
    base::layer(store, changes.into_values().collect())
}

/// Puts what is made here in the place of what was there, with the directories that it needs; a directory that is
/// there stays as it is.
fn put(changes: &mut BTreeMap<TreePath, Change>, change: Change, time: Time) {
    let mut parent = change.path.parent();
    while let Some(dir) = parent.filter(|dir| !dir.is_root()) {
        parent = dir.parent();
        let made = || Change::new(dir.clone(), Meta::new(0o755, time), ChangeKind::Dir { opaque: false });
        changes.entry(dir.clone()).or_insert_with(made);
    }
    let is_dir = |change: &Change| matches!(change.kind, ChangeKind::Dir { .. });
    if is_dir(&change) && changes.get(&change.path).is_some_and(is_dir) {
        return;
    }
    changes.insert(change.path.clone(), change);
}

/// What the scripts of the known packages would make, what programs ask for, and what scanners read.
fn made(packages: &[(String, Package)], bundle: Vec<u8>, time: Time) -> Result<Vec<Change>, Error> {
    let change = |path: &str, mode, kind| -> Result<Change, Error> {
        Ok(Change::new(TreePath::new(path.trim_start_matches('/'))?, Meta::new(mode, time), kind))
    };
    let file = |path: &str, bytes: &[u8]| change(path, 0o644, ChangeKind::File(Data::memory(bytes.to_vec())));
    let link =
        |path: &str, to: &str| change(path, 0o777, ChangeKind::Symlink { target: to.as_bytes().to_vec() });
    let mut made = vec![
        file("/etc/passwd", passwd().as_bytes())?,
        file("/etc/group", group().as_bytes())?,
        file("/etc/nsswitch.conf", crate::with::NAMES.as_bytes())?,
        file("/etc/timezone", b"Etc/UTC\n")?,
        link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC")?,
        link("/etc/dpkg/origins/default", "debian")?,
        link("/var/run", "/run")?,
        link("/var/lock", "/run/lock")?,
        change("/run/lock", 0o1777, ChangeKind::Dir { opaque: false })?,
        change("/tmp", 0o1777, ChangeKind::Dir { opaque: false })?,
    ];
    let mut home = change("/home/nonroot", 0o700, ChangeKind::Dir { opaque: false })?;
    (home.meta.uid, home.meta.gid) = (NONROOT, NONROOT);
    made.push(home);
    if !bundle.is_empty() {
        made.push(file(BUNDLE, &bundle)?);
        // Where Debian's OpenSSL looks; the links are of the package `openssl`.
        made.push(link("/usr/lib/ssl/cert.pem", BUNDLE)?);
        made.push(link("/usr/lib/ssl/certs", "/etc/ssl/certs")?);
    }
    for (name, package) in packages {
        let place = format!("/var/lib/dpkg/status.d/{name}");
        let mut control = package.control().trim_end().to_owned();
        control.push('\n');
        made.push(file(&place, control.as_bytes())?);
        if let Some(sums) = package.control_file("md5sums") {
            made.push(file(&format!("{place}.md5sums"), &sums.bytes)?);
        }
    }
    Ok(made)
}

fn passwd() -> String {
    let line =
        |(name, id, home): (&str, u32, &str)| format!("{name}:x:{id}:{id}:{name}:{home}:/sbin/nologin\n");
    [("root", 0, "/root"), ("nobody", NOBODY, "/nonexistent"), ("nonroot", NONROOT, "/home/nonroot")]
        .map(line)
        .concat()
}

fn group() -> String {
    let line = |(name, id): (&str, u32)| format!("{name}:x:{id}:\n");
    // `mail` and `staff` are whose directories packages have.
    [("root", 0), ("tty", 5), ("mail", 8), ("staff", 50), ("nonroot", NONROOT), ("nogroup", NOBODY)]
        .map(line)
        .concat()
}

/// All certificates one after the other, as `update-ca-certificates` does it when all are trusted.
fn bundle_of(changes: &[Change]) -> Result<Vec<u8>, Error> {
    const BELOW: &[u8] = b"usr/share/ca-certificates/";
    let mut found: Vec<&Change> = changes
        .iter()
        .filter(|change| {
            change.path.as_bytes().starts_with(BELOW) && change.path.as_bytes().ends_with(b".crt")
        })
        .collect();
    found.sort_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
    let mut bundle = Vec::new();
    for change in found {
        if let ChangeKind::File(data) = &change.kind {
            bundle.extend(data.read(&change.path)?);
            if bundle.last().is_some_and(|last| *last != b'\n') {
                bundle.push(b'\n');
            }
        }
    }
    Ok(bundle)
}
