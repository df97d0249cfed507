//! What maintainer scripts made of packages: the difference between their plain files and a root in which dpkg
//! installed them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use ireko_deb::package::Package;
use ireko_layer::{Change, ChangeKind, Data, Follow, Meta, Time, TreePath, follow_links};
use ireko_oci::Digest;
use ireko_store::{Scratch, Store};

use crate::base::{Dates, LEFT_BEHIND, MERGED, undated};
use crate::debs::{DebTree, PathFilter, bytes_in, files_of_all};
use crate::error::Error;
use crate::packages::Packages;
use crate::pieces::Piece;

/// Where dpkg and its helpers keep what they know: no part of an image that has none of them.
const BOOKS: [&str; 17] = [
    "etc/dpkg",
    "etc/ld.so.cache",
    "etc/apt",
    "run",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/pam",
    "var/lib/shells.state",
    "var/log/btmp",
    "var/log/faillog",
    "var/log/lastlog",
    "var/log/wtmp",
    "var/mail",
    "var/lib/systemd/deb-systemd-helper-enabled",
    "var/lib/systemd/deb-systemd-user-helper-enabled",
];

/// What lies above the packages' plain files so that the image is as the installed root is.
///
/// `others` are the packages that are installed there and not part of the image; `newest` is when the newest of all was
/// built.
///
/// # Errors
/// A layer or a package cannot be read.
pub fn configured(
    store: &Arc<Store>,
    (layers, newest): (&[Digest], Time),
    (packages, others): (&Packages, &[&Package]),
) -> Result<Option<Piece>, Error> {
    let root: BTreeMap<TreePath, Change> =
        ireko_image::merged(store, layers)?.into_iter().map(|change| (change.path.clone(), change)).collect();
    let scratch = store.scratch_dir()?;
    let strangers = tree_of(&scratch, others)?;
    let mut changes: BTreeMap<TreePath, Change> = BTreeMap::new();
    let mut known: BTreeSet<TreePath> = BTreeSet::new();
    for (change, _) in packages.tree().owned() {
        known.insert(change.path.clone());
        let is_book = is_book(&change.path)?;
        match root.get(&change.path) {
            _ if is_book => {}
            Some(now)
                if is_same((change, packages.bytes_of(&change.path)), (now, bytes_in(&root, &now.path)))? => {
            }
            Some(now) => drop(changes.insert(now.path.clone(), plain(now, &root))),
            // A script took it away; what was made here in its place is not dpkg's.
            None if packages.is_of_package(&change.path) => {
                let gone = Change { kind: ChangeKind::Whiteout, ..change.clone() };
                changes.insert(change.path.clone(), gone);
            }
            None => {}
        }
    }
    for (path, change) in &root {
        // What others brought counts where a script changed it, as lists of users.
        let is_strange = match strangers.get(path) {
            Some(before) => is_same((before, strangers.bytes_of(path)), (change, bytes_in(&root, path)))?,
            None => false,
        };
        let is_new = !known.contains(path) && !is_strange && packages.filter().takes(path);
        if is_new && !is_book(path)? {
            changes.insert(path.clone(), plain(change, &root));
        }
    }
    // Empty places that programs count on; what was in them while scripts ran is nobody's.
    for path in ["run", "tmp"] {
        let path = TreePath::new(path)?;
        if let Some(place) = root.get(&path)
            && packages.tree().get(&path).is_none()
        {
            changes.insert(path, place.clone());
        }
    }
    drop_dangling(&mut changes, packages)?;
    add_parents(&mut changes, (packages, &root));
    undated(&mut changes, Dates { packages: newest, image: packages.time() })?;
    let piece =
        Piece { title: "what maintainer scripts made".to_owned(), changes: changes.into_values().collect() };
    Ok(Some(piece).filter(|piece| !piece.changes.is_empty()))
}

fn is_book(path: &TreePath) -> Result<bool, Error> {
    for book in BOOKS {
        if path.is_within(&TreePath::new(book)?) {
            return Ok(true);
        }
    }
    let text = String::from_utf8_lossy(path.as_bytes());
    Ok(LEFT_BEHIND.contains(&text.as_ref()) || text.starts_with("var/log/") && text.ends_with(".log"))
}

/// What packages bring, once links of merged `/usr` are followed.
fn tree_of(scratch: &Scratch, packages: &[&Package]) -> Result<DebTree, Error> {
    let mut tree = DebTree::merged_usr(&MERGED, &Meta::new(0o755, Time::default()))?;
    for (package, changes) in
        packages.iter().zip(files_of_all(packages, &PathFilter::default(), scratch.path())?)
    {
        tree.add(&package.name(), changes)?;
    }
    Ok(tree)
}

/// A change that stands by itself: a further name of a file is a file.
fn plain(change: &Change, root: &BTreeMap<TreePath, Change>) -> Change {
    match bytes_in(root, &change.path) {
        Some(data) => Change { kind: ChangeKind::File(data.clone()), ..change.clone() },
        None => change.clone(),
    }
}

/// Adds the directories that the changes lie in.
fn add_parents(
    changes: &mut BTreeMap<TreePath, Change>,
    (packages, root): (&Packages, &BTreeMap<TreePath, Change>),
) {
    let parents: BTreeSet<TreePath> =
        changes.keys().flat_map(TreePath::ancestors).filter(|path| !path.is_root()).collect();
    for parent in parents.into_iter().filter(|parent| !changes.contains_key(parent)).collect::<Vec<_>>() {
        if let Some(dir) = packages.tree().get(&parent).or_else(|| root.get(&parent)) {
            changes.insert(parent, dir.clone());
        }
    }
}

/// Whether a path is what a package brought, whatever its time.
fn is_same(
    (one, before): (&Change, Option<&Data>),
    (other, now): (&Change, Option<&Data>),
) -> Result<bool, Error> {
    let is_link = matches!(one.kind, ChangeKind::Symlink { .. });
    let (was, is) = (&one.meta, &other.meta);
    let is_meta_same =
        was.uid == is.uid && was.gid == is.gid && was.xattrs == is.xattrs && (is_link || was.mode == is.mode);
    if !is_meta_same {
        return Ok(false);
    }
    match (&one.kind, &other.kind) {
        (ChangeKind::Symlink { target }, ChangeKind::Symlink { target: now }) => Ok(target == now),
        (ChangeKind::File(_) | ChangeKind::HardLink { .. }, _) => {
            let Some((before, now)) = before.zip(now) else { return Ok(false) };
            Ok(before.size() == now.size() && have_same_bytes((before, now), &one.path)?)
        }
        _ => Ok(std::mem::discriminant(&one.kind) == std::mem::discriminant(&other.kind)),
    }
}

fn have_same_bytes((one, other): (&Data, &Data), path: &TreePath) -> Result<bool, Error> {
    const PART: usize = 64 << 10;
    let reading = |cause| Error::Read { path: path.as_path().to_owned(), cause };
    let (mut one, mut other) = (one.reader(path)?, other.reader(path)?);
    let (mut left, mut right) = (Vec::with_capacity(PART), Vec::with_capacity(PART));
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(PART as u64).read_to_end(&mut left).map_err(reading)?;
        other.by_ref().take(PART as u64).read_to_end(&mut right).map_err(reading)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

/// Drops links that lead nowhere in the image: alternatives of programs that are not in it.
fn drop_dangling(changes: &mut BTreeMap<TreePath, Change>, packages: &Packages) -> Result<(), Error> {
    const MOUNTED: [&str; 4] = ["proc", "sys", "dev", "run"];
    loop {
        let mut dangling = Vec::new();
        for change in changes.values().filter(|change| matches!(change.kind, ChangeKind::Symlink { .. })) {
            let end: Result<TreePath, Error> = follow_links(&change.path, Follow::All, |path| {
                let kind = changes.get(path).or_else(|| packages.tree().get(path)).map(|change| &change.kind);
                Ok(match kind {
                    Some(ChangeKind::Symlink { target }) => Some(target.clone()),
                    _ => None,
                })
            });
            let end = end?;
            let is_mounted =
                end.names().next().is_some_and(|first| MOUNTED.iter().any(|dir| first == dir.as_bytes()));
            let is_there = match changes.get(&end) {
                Some(change) => !matches!(change.kind, ChangeKind::Whiteout),
                None => packages.tree().get(&end).is_some(),
            };
            if !is_mounted && !is_there {
                dangling.push(change.path.clone());
            }
        }
        if dangling.is_empty() {
            return Ok(());
        }
        for path in dangling {
            changes.remove(&path);
        }
    }
}
