//! Files of Debian packages as changes, one tree of several packages, and what is left out of it.

use std::collections::BTreeMap;
use std::path::Path;

use ireko_deb::package::Package;
use ireko_layer::archive::Archive;
use ireko_layer::{Change, ChangeKind, Data, Follow, Meta, TreePath, follow_links};

use crate::error::Error;

/// What of the packages' files does not come along: dpkg's `path-exclude` and `path-include`, of which the last that
/// fits a path counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathFilter {
    rules: Vec<(bool, String)>,
}

impl PathFilter {
    /// What Debian's slim images leave out: documentation, manual pages and translations, but not licences.
    pub fn slim() -> Self {
        let mut filter = Self::default();
        for pattern in [
            "/usr/share/doc/*",
            "/usr/share/groff/*",
            "/usr/share/info/*",
            "/usr/share/linda/*",
            "/usr/share/lintian/*",
            "/usr/share/locale/*",
            "/usr/share/man/*",
        ] {
            filter.rules.push((false, pattern.to_owned()));
        }
        for pattern in ["/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias"] {
            filter.rules.push((true, pattern.to_owned()));
        }
        filter
    }

    /// Leaves out what fits a pattern, too: `/usr/share/doc/*`, where a star takes slashes.
    pub fn exclude(&mut self, pattern: &str) {
        self.rules.push((false, pattern.to_owned()));
    }

    /// The same as dpkg reads it in a file of `/etc/dpkg/dpkg.cfg.d`.
    pub fn config(&self) -> String {
        let line = |(takes, pattern): &(bool, String)| {
            format!("path-{} {pattern}\n", if *takes { "include" } else { "exclude" })
        };
        self.rules.iter().map(line).collect()
    }

    /// Whether a path comes along.
    pub fn takes(&self, path: &TreePath) -> bool {
        let path = format!("/{}", String::from_utf8_lossy(path.as_bytes()));
        self.rules
            .iter()
            .rev()
            .find(|(_, pattern)| fits(pattern.as_bytes(), path.as_bytes()))
            .is_none_or(|(takes, _)| *takes)
    }

    /// Whether something below a directory may come along although it itself does not.
    fn may_hold(&self, path: &TreePath) -> bool {
        let path = format!("/{}/", String::from_utf8_lossy(path.as_bytes()));
        let begins = |pattern: &str| {
            let fixed = pattern.split(['*', '?', '[']).next().unwrap_or_default();
            fixed.starts_with(&path) || path.starts_with(fixed)
        };
        self.rules.iter().any(|(takes, pattern)| *takes && begins(pattern))
    }
}

/// fnmatch(3) without flags, as dpkg calls it: a star takes slashes too.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, read));
                at += 1;
            }
            Some(b'?') => (at, read) = (at + 1, read + 1),
            Some(byte) if *byte == text[read] => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    (at, read) = (after, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The files of one package as they are in it.
///
/// # Errors
/// Its data part cannot be read.
pub fn files(package: &Package, filter: &PathFilter, scratch: &Path) -> Result<Vec<Change>, Error> {
    let wrong = |cause| Error::Files { package: package.name(), cause };
    let archive = Archive::of_stream(package.data(), scratch, package.bounds()).map_err(wrong)?;
    let mut changes = archive.changes(&TreePath::root()).map_err(wrong)?;
    for change in &changes {
        no_mark(change).map_err(wrong)?;
    }
    changes.retain(|change| match change.kind {
        ChangeKind::Dir { .. } => filter.takes(&change.path) || filter.may_hold(&change.path),
        _ => filter.takes(&change.path),
    });
    Ok(changes)
}

/// Refuses what would be taken for a deletion in a layer.
fn no_mark(change: &Change) -> Result<(), ireko_layer::Error> {
    let wrong = |problem| Err(ireko_layer::Error::Change { path: change.path.clone(), problem });
    match change.kind {
        _ if change.path.names().any(|name| name.starts_with(b".wh.")) => {
            wrong("names that begin with `.wh.` mean deletions there")
        }
        ChangeKind::Char { major: 0, minor: 0 } => wrong("a device that overlayfs takes for a deletion"),
        _ => Ok(()),
    }
}

/// The files of several packages, read side by side.
///
/// # Errors
/// A data part cannot be read.
pub(crate) fn files_of_all(
    packages: &[&Package],
    filter: &PathFilter,
    scratch: &Path,
) -> Result<Vec<Vec<Change>>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let read = std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(package) = packages.get(at) else { return done };
                done.push((at, files(package, filter, scratch)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<BTreeMap<_, _>>()
    });
    read.into_values().collect()
}

/// The bytes of a file of a tree, by any of its names.
pub(crate) fn bytes_in<'a>(tree: &'a BTreeMap<TreePath, Change>, path: &TreePath) -> Option<&'a Data> {
    let kind = |path: &TreePath| tree.get(path).map(|change| &change.kind);
    let first = match kind(path)? {
        ChangeKind::HardLink { target } => kind(target)?,
        own => own,
    };
    match first {
        ChangeKind::File(data) => Some(data),
        _ => None,
    }
}

fn is_dir(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::Dir { .. })
}

/// The files of several packages in one tree.
#[derive(Clone, Debug, Default)]
pub struct DebTree {
    changes: BTreeMap<TreePath, Change>,
    /// Which package a path is of, counted as they were added; none where several need it.
    owners: BTreeMap<TreePath, usize>,
    packages: Vec<String>,
}

impl DebTree {
    /// An empty one, where `/bin` and its like are links into `/usr` already: no package of Debian 12 and later makes
    /// them, and each may have files below them.
    pub fn merged_usr(dirs: &[&str], meta: &Meta) -> Result<Self, Error> {
        let mut tree = Self::default();
        let dir = |mode| Meta { mode, ..meta.clone() };
        tree.put(Change::new(TreePath::new("usr")?, dir(0o755), ChangeKind::Dir { opaque: false }));
        for name in dirs {
            let target = format!("usr/{name}");
            tree.put(Change::new(TreePath::new(&target)?, dir(0o755), ChangeKind::Dir { opaque: false }));
            let link = ChangeKind::Symlink { target: target.into_bytes() };
            tree.put(Change::new(TreePath::new(name)?, dir(0o777), link));
        }
        Ok(tree)
    }

    fn put(&mut self, change: Change) {
        let replaced = self.changes.insert(change.path.clone(), change);
        if let Some(Change { path, kind: ChangeKind::File(data), .. }) = replaced {
            // Its other names keep what it was.
            self.link_anew(&path, ChangeKind::File(data), false);
        }
    }

    /// Gives a file's bytes to the first of its names, and makes the others links to that one.
    fn link_anew(&mut self, file: &TreePath, bytes: ChangeKind, with_itself: bool) {
        let is_name = |change: &Change| match &change.kind {
            ChangeKind::HardLink { target } => target == file,
            ChangeKind::File(_) => with_itself && change.path == *file,
            _ => false,
        };
        let names: Vec<TreePath> = self
            .changes
            .values()
            .filter(|change| is_name(change))
            .map(|change| change.path.clone())
            .collect();
        let Some((first, others)) = names.split_first() else { return };
        for name in others {
            if let Some(change) = self.changes.get_mut(name) {
                change.kind = ChangeKind::HardLink { target: first.clone() };
            }
        }
        if let Some(change) = self.changes.get_mut(first) {
            change.kind = bytes;
        }
    }

    /// Adds a package's files. A directory that is there stays what it is, also where it is a link to one or where a
    /// link is to be; of two files at one place the later counts.
    ///
    /// # Errors
    /// A name is too long once links are followed; a directory is to be a file, or a file a directory.
    pub fn add(&mut self, package: &str, changes: Vec<Change>) -> Result<(), Error> {
        let wrong = |cause| Error::Files { package: package.to_owned(), cause };
        let owner = self.packages.len();
        self.packages.push(package.to_owned());
        for mut change in changes {
            change.path = self.settled(&change.path).map_err(wrong)?;
            if let ChangeKind::HardLink { target } = &mut change.kind {
                *target = self.settled(target).map_err(wrong)?;
            }
            if let Some(problem) = self.clash(&change) {
                let path = change.path.to_string();
                return Err(Error::Clash { package: package.to_owned(), path, problem });
            }
            if matches!(change.kind, ChangeKind::Symlink { .. }) && self.dir_at(&change.path).is_some() {
                continue;
            }
            if is_dir(&change)
                && let Some(known) = self.changes.get(&change.path)
                && match &known.kind {
                    ChangeKind::Dir { .. } => true,
                    ChangeKind::Symlink { .. } => self.leads_to_dir(&change.path).map_err(wrong)?,
                    _ => false,
                }
            {
                continue;
            }
            self.owners.insert(change.path.clone(), owner);
            self.put(change);
        }
        Ok(())
    }

    /// Why a change cannot be added: as dpkg has it, a directory is not replaced by a file, and a file by a directory
    /// neither.
    fn clash(&self, change: &Change) -> Option<String> {
        let of = |path: &TreePath| {
            self.package_of(path).map_or_else(|| "the image".to_owned(), |owner| format!("`{owner}`"))
        };
        if let Some(file) = self.file_above(&change.path) {
            return Some(format!("{} has a file at `/{}`", of(&file.path), file.path));
        }
        if is_dir(change) {
            let there = self.changes.get(&change.path)?;
            let is_file = !is_dir(there) && !matches!(there.kind, ChangeKind::Symlink { .. });
            return is_file.then(|| format!("{} has a file there", of(&there.path)));
        }
        let dir = self.dir_at(&change.path).filter(|_| !matches!(change.kind, ChangeKind::Symlink { .. }))?;
        Some(format!("{} has a directory there", of(&dir.path)))
    }

    /// The directory at a path, or what makes one of it: something that lies below.
    fn dir_at(&self, path: &TreePath) -> Option<&Change> {
        match self.changes.get(path) {
            Some(there) => Some(there).filter(|there| is_dir(there)),
            None => self.below(path),
        }
    }

    /// The package that something at a path is of.
    fn package_of(&self, path: &TreePath) -> Option<&String> {
        self.owners.get(path).and_then(|owner| self.packages.get(*owner))
    }

    /// What is no directory, and would have to be one for a path.
    fn file_above(&self, path: &TreePath) -> Option<&Change> {
        let mut above = path.ancestors().filter_map(|path| self.changes.get(&path));
        above.find(|above| !is_dir(above))
    }

    /// The first that lies below a path.
    fn below(&self, path: &TreePath) -> Option<&Change> {
        let mut from_there = self.changes.range(path.clone()..).map(|(_, change)| change);
        from_there.find(|change| change.path != *path).filter(|change| change.path.is_within(path))
    }

    /// Whether what is made here can lie where it is to, in the place of what is there.
    ///
    /// # Errors
    /// A package has a file where a directory is needed, or files where one is.
    pub(crate) fn has_room(&self, made: &Change) -> Result<(), Error> {
        let of = |change: &Change| self.package_of(&change.path).cloned().unwrap_or_default();
        if let Some(file) = self.file_above(&made.path) {
            let problem = format!("`/{}` has to lie below it", made.path);
            return Err(Error::Clash { package: of(file), path: file.path.to_string(), problem });
        }
        match self.below(&made.path) {
            Some(inside) if !is_dir(made) => {
                let problem = format!("`/{}` has to be a file", made.path);
                Err(Error::Clash { package: of(inside), path: inside.path.to_string(), problem })
            }
            _ => Ok(()),
        }
    }

    /// What lies at each path, and the number of the package that brought it.
    pub(crate) fn owned(&self) -> impl Iterator<Item = (&Change, Option<usize>)> {
        self.changes.values().map(|change| (change, self.owners.get(&change.path).copied()))
    }

    /// What lies at a path that goes through no link.
    pub(crate) fn get(&self, path: &TreePath) -> Option<&Change> {
        self.changes.get(path)
    }

    /// The bytes of a file, by any of its names.
    pub(crate) fn bytes_of(&self, path: &TreePath) -> Option<&Data> {
        bytes_in(&self.changes, path)
    }

    /// The package that brought a path.
    pub(crate) fn owner(&self, path: &TreePath) -> Option<usize> {
        self.owners.get(path).copied()
    }

    /// All packages are there: directories that none of them names are root's, and the first name of each file has its
    /// bytes.
    pub(crate) fn complete(&mut self) {
        let mut missing = BTreeMap::new();
        for change in self.changes.values() {
            let parents = change.path.ancestors().filter(|path| !path.is_root());
            for path in parents.take_while(|path| !self.changes.contains_key(path)) {
                let meta = Meta::new(0o755, change.meta.mtime);
                let dir = Change::new(path.clone(), meta, ChangeKind::Dir { opaque: false });
                if let Some(owner) = self.owners.get(&change.path).copied() {
                    self.owners.entry(path.clone()).or_insert(owner);
                }
                missing.entry(path).or_insert(dir);
            }
        }
        self.changes.append(&mut missing);
        let early = self.changes.values().filter_map(|change| match &change.kind {
            ChangeKind::HardLink { target } if *target > change.path => Some(target.clone()),
            _ => None,
        });
        for file in early.collect::<std::collections::BTreeSet<_>>() {
            if let Some(ChangeKind::File(data)) = self.changes.get(&file).map(|change| change.kind.clone()) {
                self.link_anew(&file, ChangeKind::File(data), true);
            }
        }
    }

    /// All of it, in order. The first name of a file has its bytes.
    pub fn into_changes(mut self) -> Vec<Change> {
        self.complete();
        self.changes.into_values().collect()
    }

    fn leads_to_dir(&self, path: &TreePath) -> Result<bool, ireko_layer::Error> {
        let end = self.follow(path, true)?;
        Ok(matches!(self.changes.get(&end).map(|change| &change.kind), Some(ChangeKind::Dir { .. })))
    }

    /// A path whose parents go through no link.
    fn settled(&self, path: &TreePath) -> Result<TreePath, ireko_layer::Error> {
        self.follow(path, false)
    }

    fn follow(&self, path: &TreePath, last: bool) -> Result<TreePath, ireko_layer::Error> {
        let follow = if last { Follow::All } else { Follow::Parents };
        follow_links(path, follow, |path| {
            Ok(match self.changes.get(path).map(|change| &change.kind) {
                Some(ChangeKind::Symlink { target }) => Some(target.clone()),
                _ => None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).expect("a path")
    }

    #[test]
    fn the_last_rule_counts() {
        let slim = PathFilter::slim();
        for (text, takes) in [
            ("usr/share/doc/bash/copyright", true),
            ("usr/share/doc/bash/examples/copyright", true),
            ("usr/share/doc/bash/README", false),
            ("usr/share/docs", true),
            ("usr/share/locale/de/LC_MESSAGES/x.mo", false),
            ("usr/share/locale/locale.alias", true),
            ("usr/share/man/man1/x.1", false),
            ("usr/bin/x", true),
        ] {
            assert_eq!(slim.takes(&path(text)), takes, "{text}");
        }
        assert!(slim.may_hold(&path("usr/share/doc/bash")) && slim.may_hold(&path("usr/share/locale")));
        assert!(!slim.may_hold(&path("usr/share/man/man1")));
        assert!(slim.config().starts_with("path-exclude /usr/share/doc/*\n"));
        for (pattern, text, does) in [
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("a?", "a", false),
            ("*b*d", "abcd", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), does, "{pattern} {text}");
        }
    }

    #[test]
    fn packages_fill_one_tree() {
        let meta = |mode| Meta { mode, ..Meta::default() };
        let dir = |at: &str, mode| Change::new(path(at), meta(mode), ChangeKind::Dir { opaque: false });
        let file = |at: &str, text: &str| {
            Change::new(path(at), meta(0o644), ChangeKind::File(Data::memory(text.as_bytes().to_vec())))
        };
        let mut tree = DebTree::merged_usr(&["bin", "lib"], &meta(0)).expect("paths");
        tree.add("x", vec![dir("bin", 0o700), file("bin/sh", "one"), dir("usr/bin", 0o711)]).expect("paths");
        tree.add("x", vec![dir("lib", 0o755), dir("lib/x", 0o750), file("usr/bin/sh", "later")])
            .expect("paths");
        let links = ChangeKind::HardLink { target: path("bin/sh") };
        tree.add("x", vec![Change::new(path("bin/other"), meta(0o644), links)]).expect("paths");
        let links = ChangeKind::HardLink { target: path("usr/f") };
        tree.add("x", vec![file("usr/f", "a file"), Change::new(path("usr/g"), meta(0o644), links)])
            .expect("paths");
        tree.add("x", vec![file("usr/f", "another")]).expect("paths");
        let said: Vec<String> = tree
            .into_changes()
            .iter()
            .map(|change| {
                let kind = match &change.kind {
                    ChangeKind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(target)),
                    ChangeKind::HardLink { target } => format!("= {target}"),
                    ChangeKind::File(data) => format!("{} bytes", data.size()),
                    _ => String::new(),
                };
                format!("{} {:o} {kind}", change.path, change.meta.mode)
            })
            .collect();
        assert_eq!(
            said,
            [
                "bin 777 -> usr/bin",
                "lib 777 -> usr/lib",
                "usr 755 ",
                "usr/bin 755 ",
                "usr/bin/other 644 5 bytes",
                "usr/bin/sh 644 = usr/bin/other",
                "usr/f 644 7 bytes",
                "usr/g 644 6 bytes",
                "usr/lib 755 ",
                "usr/lib/x 750 ",
            ]
        );
    }
}
