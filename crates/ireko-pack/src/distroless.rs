//! A root file system of Debian packages in which nothing was run: no shell, no dpkg, no apt; what scanners read is there.
//!
//! The packages of the basis have scripts whose work is done here; of any other, the scripts must have nothing to do
//! when it is installed for the first time. Packages are told of as Google's distroless images do:
//! `/var/lib/dpkg/status.d/NAME` is the package's control file, `NAME.md5sums` its list of files.

use std::collections::BTreeMap;

use ireko_deb::package::Package;
use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};
use ireko_oci::Digest;
use ireko_store::Store;

use crate::base::{self, MERGED};
use crate::debs::{DebTree, PathFilter, files_of_all};
use crate::error::Error;
use crate::made;
use crate::packages::Named;
use crate::records::Record;
use crate::scripts::{Scripts, scripts};

/// What is always there, each by the first of its names that a suite has.
pub const BASIS: [&[&str]; 6] = [
    &["base-files"],
    &["ca-certificates"],
    &["libc6"],
    &["libssl3t64", "libssl3", "libssl1.1"],
    &["netbase"],
    &["tzdata"],
];

/// Packages whose scripts are done here beside those of [`crate::scripts()`].
const DONE: [&str; 2] = ["base-files", "netbase"];

/// Whether what a package depends on is only for its scripts.
pub fn stands_alone(package: &str) -> bool {
    ["base-files", "ca-certificates", "netbase", "tzdata"].contains(&package)
}

/// The unprivileged user: as in Google's images.
pub const NONROOT: u32 = 65_532;
const NOBODY: u32 = 65_534;

/// Makes a layer of packages, given by their names.
///
/// # Errors
/// A package cannot be read, or has scripts that would have to run; the store cannot take the layer.
pub fn layer(store: &Store, packages: &[Named], time: Time) -> Result<Digest, Error> {
    for Named { name, package } in packages.iter().filter(|named| !DONE.contains(&named.name.as_str())) {
        if let Scripts::Needed { script, needs } = scripts(name, package) {
            return Err(Error::Script { package: name.clone(), script, needs });
        }
    }
    let scratch = store.scratch_dir()?;
    let opened: Vec<&Package> = packages.iter().map(|named| &named.package).collect();
    let mut tree = DebTree::merged_usr(&MERGED, &Meta::new(0o755, time))?;
    let mut more = Vec::new();
    for (named, mut changes) in
        packages.iter().zip(files_of_all(&opened, &PathFilter::slim(), scratch.path())?)
    {
        more.extend(made::made(named, &changes, time)?);
        if named.name == "ca-certificates" {
            // The rest makes the bundle where a shell is; its licence stays.
            changes.retain(|change| change.path.as_bytes().starts_with(b"usr/share/doc/"));
        }
        more.extend(Record::of(named, &changes).changes(time)?);
        tree.add(&named.name, changes)?;
    }
    let more: Vec<Change> = more.into_iter().chain(frame(time)?).collect();
    more.iter().try_for_each(|change| tree.has_room(change))?;
    let mut changes: BTreeMap<TreePath, Change> =
        tree.into_changes().into_iter().map(|change| (change.path.clone(), change)).collect();
    for change in more {
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

/// What programs ask for, and no package has.
fn frame(time: Time) -> Result<Vec<Change>, Error> {
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
        link("/etc/dpkg/origins/default", "debian")?,
        link("/var/run", "/run")?,
        link("/var/lock", "/run/lock")?,
        change("/run/lock", 0o1777, ChangeKind::Dir { opaque: false })?,
        // Where Debian's OpenSSL looks for single certificates; the link is of the package `openssl`.
        link("/usr/lib/ssl/certs", "/etc/ssl/certs")?,
        change("/tmp", 0o1777, ChangeKind::Dir { opaque: false })?,
    ];
    let mut home = change("/home/nonroot", 0o700, ChangeKind::Dir { opaque: false })?;
    (home.meta.uid, home.meta.gid) = (NONROOT, NONROOT);
    made.push(home);
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
