//! Packages as the root of an image: their files in one tree without dpkg's help, of each what lies in its layer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;

use ireko_deb::package::Package;
use ireko_deb::relation::names_of;
use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};
use ireko_slim::{Node, Root};
use ireko_store::{Scratch, Store};

use crate::base::MERGED;
use crate::debs::{DebTree, PathFilter, files_of_all};
use crate::error::Error;
use crate::made::made;
use crate::pieces::{Piece, with_parents};
use crate::records::Record;
use crate::root::Base;

/// A package that is part of an image.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name, without an architecture.
    pub name: String,
    /// Its file.
    pub package: Package,
}

/// The files of packages.
#[derive(Debug)]
pub struct Packages {
    packages: Vec<Named>,
    tree: DebTree,
    /// What no package brought and its scripts would have made.
    made: BTreeSet<TreePath>,
    children: BTreeMap<TreePath, Vec<String>>,
    /// What scripts made of them, above them.
    configured: Option<Piece>,
    filter: PathFilter,
    time: Time,
    scratch: Scratch,
}

impl Packages {
    /// Reads them. Directories have `time`, since they belong to several; files have what their packages say.
    ///
    /// # Errors
    /// A package cannot be read.
    pub fn read(
        store: &Store,
        mut packages: Vec<Named>,
        filter: PathFilter,
        time: Time,
    ) -> Result<Self, Error> {
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        let scratch = store.scratch_dir()?;
        let opened: Vec<&Package> = packages.iter().map(|named| &named.package).collect();
        let read = files_of_all(&opened, &filter, scratch.path())?;
        let mut tree = DebTree::merged_usr(&MERGED, &Meta::new(0o755, time))?;
        let mut made_paths = BTreeSet::new();
        for (named, mut changes) in packages.iter().zip(read) {
            let record = Record::of(named, &changes);
            let more = made(named, &changes, time)?;
            made_paths.extend(more.iter().map(|change| change.path.clone()));
            changes.extend(with_parents(more, time));
            changes.extend(record.changes(time)?);
            for change in changes.iter_mut().filter(|change| matches!(change.kind, ChangeKind::Dir { .. })) {
                change.meta.mtime = time;
            }
            tree.add(&named.name, changes)?;
        }
        tree.complete();
        let mut children: BTreeMap<TreePath, Vec<String>> = BTreeMap::new();
        for (change, _) in tree.owned() {
            let name = change.path.as_path().file_name().and_then(|name| name.to_str());
            if let Some((parent, name)) = change.path.parent().zip(name) {
                children.entry(parent).or_default().push(name.to_owned());
            }
        }
        children.values_mut().for_each(|names| names.sort());
        Ok(Self { packages, tree, made: made_paths, children, configured: None, filter, time, scratch })
    }

    /// Puts above the packages what scripts made of them ([`crate::configured()`]).
    pub fn configure(&mut self, configured: Option<Piece>) {
        for change in configured.iter().flat_map(|piece| &piece.changes) {
            let name = change.path.as_path().file_name().and_then(|name| name.to_str());
            let Some((parent, name)) = change.path.parent().zip(name) else { continue };
            let names = self.children.entry(parent).or_default();
            match names.binary_search_by(|known| known.as_str().cmp(name)) {
                Ok(at) if matches!(change.kind, ChangeKind::Whiteout) => drop(names.remove(at)),
                Err(at) if !matches!(change.kind, ChangeKind::Whiteout) => names.insert(at, name.to_owned()),
                _ => {}
            }
        }
        self.configured = configured;
    }

    /// What scripts made of them.
    pub(crate) fn configured(&self) -> Option<&Piece> {
        self.configured.as_ref()
    }

    /// What lies at a path in the end.
    fn seen(&self, path: &TreePath) -> Option<&Change> {
        let above = self.configured.as_ref().and_then(|piece| piece.change(path));
        above.or_else(|| self.tree.get(path)).filter(|change| !matches!(change.kind, ChangeKind::Whiteout))
    }

    /// The bytes of a file in the end.
    fn seen_bytes(&self, path: &TreePath) -> Option<&Data> {
        match &self.seen(path)?.kind {
            ChangeKind::File(data) => Some(data),
            ChangeKind::HardLink { .. } => self.tree.bytes_of(path),
            _ => None,
        }
    }

    /// The packages, by their names.
    pub fn packages(&self) -> &[Named] {
        &self.packages
    }

    /// What is left out of them.
    pub fn filter(&self) -> &PathFilter {
        &self.filter
    }

    /// The time of what several share.
    pub(crate) fn time(&self) -> Time {
        self.time
    }

    pub(crate) fn tree(&self) -> &DebTree {
        &self.tree
    }

    /// A layer for each package, those first that most others want; below them the links of merged `/usr`.
    pub fn pieces(&self) -> Vec<Piece> {
        let mut parts: Vec<BTreeMap<TreePath, Change>> = vec![BTreeMap::new(); self.packages.len()];
        let mut frame = Vec::new();
        for (change, owner) in self.tree.owned() {
            let Some(owner) = owner else {
                frame.push(change.clone());
                continue;
            };
            let part = &mut parts[owner];
            part.insert(change.path.clone(), change.clone());
            for parent in change.path.ancestors().filter(|parent| !parent.is_root()) {
                if let Some(dir) = self.tree.get(&parent) {
                    part.entry(parent).or_insert_with(|| dir.clone());
                }
            }
        }
        let wanted = self.popularity();
        let mut order: Vec<usize> = (0..self.packages.len()).collect();
        order.sort_by_key(|at| (std::cmp::Reverse(wanted[*at]), *at));
        let mut pieces = vec![Piece { title: "directories and links".to_owned(), changes: frame }];
        pieces.extend(order.into_iter().map(|at| Piece {
            title: self.packages[at].name.clone(),
            changes: std::mem::take(&mut parts[at]).into_values().collect(),
        }));
        pieces.retain(|piece| !piece.changes.is_empty());
        pieces
    }

    /// How many of the others need each, directly or through others.
    fn popularity(&self) -> Vec<usize> {
        let mut providers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, named) in self.packages.iter().enumerate() {
            for name in
                std::iter::once(named.name.clone()).chain(names_of(&named.package.control(), &["Provides"]))
            {
                providers.entry(name).or_default().push(at);
            }
        }
        let needs: Vec<BTreeSet<usize>> = self
            .packages
            .iter()
            .map(|named| {
                let names = names_of(&named.package.control(), &["Depends", "Pre-Depends"]);
                names.iter().filter_map(|name| providers.get(name)).flatten().copied().collect()
            })
            .collect();
        let mut wanted = vec![0; self.packages.len()];
        for start in 0..self.packages.len() {
            let mut seen = BTreeSet::from([start]);
            let mut left = vec![start];
            while let Some(at) = left.pop() {
                left.extend(needs[at].iter().copied().filter(|need| seen.insert(*need)));
            }
            seen.iter().filter(|at| **at != start).for_each(|at| wanted[*at] += 1);
        }
        wanted
    }

    /// The records of the packages that brought these files, and how many of them there are: for an image that has a
    /// few files of each.
    pub fn records<'a>(&self, files: impl Iterator<Item = &'a str>) -> Result<Option<Piece>, Error> {
        let owners: BTreeSet<usize> =
            files.filter_map(|path| self.tree.owner(&path_of(path).ok()?)).collect();
        let mut changes = Vec::new();
        for owner in owners {
            changes.extend(Record::of(&self.packages[owner], &[]).changes(self.time)?);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let mut tree = DebTree::default();
        tree.add("", changes)?;
        Ok(Some(Piece { title: "records of packages".to_owned(), changes: tree.into_changes() }))
    }

    /// The package that brought a file.
    pub fn owner(&self, path: &str) -> Option<&str> {
        let owner = self.tree.owner(&path_of(path).ok()?)?;
        self.packages.get(owner).map(|named| named.name.as_str())
    }

    /// The programs on the usual path that a package brought, at the places where they lie.
    pub fn programs(&self, name: &str) -> Vec<String> {
        const DIRS: [&str; 3] = ["usr/bin", "usr/sbin", "usr/games"];
        let Some(at) = self.packages.iter().position(|named| named.name == name) else { return Vec::new() };
        let is_program = |change: &Change| {
            change
                .path
                .parent()
                .is_some_and(|dir| DIRS.iter().any(|known| dir.as_bytes() == known.as_bytes()))
                && match change.kind {
                    ChangeKind::Dir { .. } => false,
                    ChangeKind::File(_) => change.meta.mode & 0o111 != 0,
                    _ => true,
                }
        };
        let own = self.tree.owned().filter(|(change, owner)| *owner == Some(at) && is_program(change));
        own.map(|(change, _)| format!("/{}", change.path)).collect()
    }

    /// The text of a small file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn text(&self, path: &str) -> Result<Option<String>, Error> {
        let path = TreePath::new(path.trim_start_matches('/'))?;
        let Some(data) = self.seen_bytes(&path) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&data.read(&path)?).into_owned()))
    }

    /// Whether a path is of a package.
    pub(crate) fn holds(&self, path: &str) -> bool {
        path_of(path).is_ok_and(|path| self.seen(&path).is_some())
    }

    /// Whether a path is a package's own, not made here.
    pub(crate) fn is_of_package(&self, path: &TreePath) -> bool {
        self.tree.owner(path).is_some() && !self.made.contains(path)
    }

    pub(crate) fn bytes_of(&self, path: &TreePath) -> Option<&Data> {
        self.tree.bytes_of(path)
    }
}

pub(crate) fn path_of(path: &str) -> io::Result<TreePath> {
    TreePath::new(path.trim_start_matches('/')).map_err(io::Error::other)
}

impl Root for Packages {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        let path = path_of(path)?;
        if path.is_root() {
            return Ok(Some(Node::Dir));
        }
        let Some(change) = self.seen(&path) else { return Ok(None) };
        let mode = change.meta.mode;
        Ok(Some(match &change.kind {
            ChangeKind::File(data) => Node::File { size: data.size(), mode },
            ChangeKind::HardLink { .. } => match self.seen_bytes(&path) {
                Some(data) => Node::File { size: data.size(), mode },
                None => Node::Other,
            },
            ChangeKind::Dir { .. } => Node::Dir,
            ChangeKind::Symlink { target } => {
                Node::Link(String::from_utf8(target.clone()).map_err(io::Error::other)?)
            }
            _ => Node::Other,
        }))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        Ok(self.children.get(&path_of(path)?).cloned().unwrap_or_default())
    }

    fn real(&self, path: &str) -> PathBuf {
        PathBuf::from(path)
    }

    fn open(&self, path: &str) -> io::Result<File> {
        let path = path_of(path)?;
        let data = self.seen_bytes(&path).ok_or(io::ErrorKind::NotFound)?;
        data.file(&path, self.scratch.path()).map_err(io::Error::other)
    }
}

impl Base for Packages {
    fn data(&self, path: &str, size: u64) -> Data {
        let data = path_of(path).ok().and_then(|path| self.seen_bytes(&path).cloned());
        data.unwrap_or_else(|| Data::host(self.real(path), size))
    }

    fn packages(&self) -> Option<&Packages> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
