//! A tree with changes on top that are not written yet.

use std::collections::{BTreeMap, BTreeSet};

use ireko_layer::{Change, ChangeKind, Follow, Kind, Meta, Time, TreePath, View, follow_links};

use crate::files_error::FilesError;

/// Changes on top of a tree, kept so that later ones see earlier ones.
pub(crate) struct Staged<'a> {
    base: &'a View,
    puts: BTreeMap<TreePath, Put>,
    /// Directories of the base that something else replaced.
    removed: BTreeSet<TreePath>,
    /// A directory that the base does not have: nothing needs to be looked up there.
    fresh: Option<TreePath>,
}

/// What is put at one path.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) meta: Meta,
    pub(crate) kind: PutKind,
}

#[derive(Clone, Debug)]
pub(crate) enum PutKind {
    /// A selected file: number of its pick and of the entry there.
    File { pick: usize, entry: usize },
    /// Anything that is known whole.
    Ready(ChangeKind),
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    Dir,
    Other,
}

/// Who asks for a directory that is not there, and so what it is like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Made {
    /// An instruction, with the owner that it names. In a directory with the set-group-id bit the new one has the
    /// bit too, and its group unless an owner is named, as the kernel does it.
    By(Option<(u32, u32)>),
    /// An archive with a member below: root's, whatever is above.
    ByArchive,
}

impl Made {
    fn mode_and_owner(self, above: &Meta) -> (u32, (u32, u32)) {
        let keeps_group = above.mode & SET_GROUP_ID != 0;
        match self {
            Self::By(owner) if keeps_group => (0o755 | SET_GROUP_ID, owner.unwrap_or((0, above.gid))),
            Self::By(owner) => (0o755, owner.unwrap_or_default()),
            Self::ByArchive => (0o755, (0, 0)),
        }
    }
}

const SET_GROUP_ID: u32 = 0o2000;

impl<'a> Staged<'a> {
    pub(crate) fn new(base: &'a View) -> Self {
        Self { base, puts: BTreeMap::new(), removed: BTreeSet::new(), fresh: None }
    }

    /// What stands at this path; no link is followed.
    pub(crate) fn there(&self, path: &TreePath) -> There {
        match self.puts.get(path) {
            Some(Put { kind: PutKind::Ready(ChangeKind::Dir { .. }), .. }) => return There::Dir,
            Some(_) => return There::Other,
            None if path.is_root() => return There::Dir,
            None => {}
        }
        match self.below(path) {
            None => There::Nothing,
            Some(entry) if entry.kind.is_dir() => There::Dir,
            Some(_) => There::Other,
        }
    }

    /// The directory's metadata, with changes applied.
    pub(crate) fn meta(&self, path: &TreePath) -> Option<Meta> {
        match self.puts.get(path) {
            Some(put) => Some(put.meta.clone()),
            None => self.below(path).map(|entry| entry.meta.clone()),
        }
    }

    fn below(&self, path: &TreePath) -> Option<&'a ireko_layer::Entry> {
        if self.fresh.as_ref().is_some_and(|fresh| path.is_within(fresh)) {
            return None;
        }
        if !self.removed.is_empty() && path.ancestors().any(|above| self.removed.contains(&above)) {
            return None;
        }
        if self.removed.contains(path) {
            return None;
        }
        self.base.entry(path)
    }

    /// The path that this one means when links are followed; names that do not exist are kept.
    pub(crate) fn resolve(&self, path: &TreePath, follow: Follow) -> Result<TreePath, FilesError> {
        follow_links(path, follow, |path| {
            if let Some(put) = self.puts.get(path) {
                return Ok(match &put.kind {
                    PutKind::Ready(ChangeKind::Symlink { target }) => Some(target.clone()),
                    _ => None,
                });
            }
            Ok(self.below(path).and_then(|entry| match &entry.kind {
                Kind::Symlink { target } => Some(target.clone()),
                _ => None,
            }))
        })
    }

    /// Makes a directory whose path is resolved, and those above it that are missing.
    pub(crate) fn make_dirs(&mut self, path: &TreePath, made: Made, time: Time) -> Result<(), FilesError> {
        match self.there(path) {
            There::Dir => return Ok(()),
            There::Other => {
                let problem = "a directory is needed there, and what is there is none";
                return Err(FilesError::Clash { path: path.clone(), problem });
            }
            There::Nothing => {}
        }
        if let Some(parent) = path.parent() {
            self.make_dirs(&parent, made, time)?;
        }
        let above = path.parent().and_then(|parent| self.meta(&parent)).unwrap_or_default();
        let (mode, (uid, gid)) = made.mode_and_owner(&above);
        let meta = Meta { mode, uid, gid, mtime: time, ..Meta::default() };
        self.put_new_dir(path, meta);
        Ok(())
    }

    /// Puts a directory where nothing is.
    pub(crate) fn put_new_dir(&mut self, path: &TreePath, meta: Meta) {
        let replaces = self.removed.contains(path);
        if !self.fresh.as_ref().is_some_and(|fresh| path.is_within(fresh)) && !replaces {
            self.fresh = Some(path.clone());
        }
        self.put(path, meta, ChangeKind::Dir { opaque: replaces });
    }

    /// Puts something; what is there must be fit for it.
    pub(crate) fn put(&mut self, path: &TreePath, meta: Meta, kind: ChangeKind) {
        self.puts.insert(path.clone(), Put { meta, kind: PutKind::Ready(kind) });
    }

    /// Puts a selected file.
    pub(crate) fn put_file(&mut self, path: &TreePath, meta: Meta, (pick, entry): (usize, usize)) {
        self.puts.insert(path.clone(), Put { meta, kind: PutKind::File { pick, entry } });
    }

    /// Changes a directory's metadata.
    pub(crate) fn set_dir(&mut self, path: &TreePath, meta: Meta) {
        let opaque = match self.puts.get(path) {
            Some(Put { kind: PutKind::Ready(ChangeKind::Dir { opaque }), .. }) => *opaque,
            _ => false,
        };
        self.put(path, meta, ChangeKind::Dir { opaque });
    }

    /// Takes away what stands at a path, with all below it, to make room.
    pub(crate) fn clear(&mut self, path: &TreePath) {
        if self.there(path) == There::Dir {
            if self.below(path).is_some_and(|entry| entry.kind.is_dir()) {
                self.removed.insert(path.clone());
            }
            let within = self.puts.range(path.clone()..).take_while(|(other, _)| other.is_within(path));
            let within: Vec<TreePath> = within.map(|(other, _)| other.clone()).collect();
            for other in within {
                self.puts.remove(&other);
            }
            if self.fresh.as_ref().is_some_and(|fresh| fresh.is_within(path)) {
                self.fresh = None;
            }
        }
        self.puts.remove(path);
    }

    /// One entry of an archive: it replaces what is there, but for directories, which merge.
    pub(crate) fn unpack(&mut self, change: Change) -> Result<(), FilesError> {
        let path = self.resolve(&change.path, Follow::Parents)?;
        if let Some(parent) = path.parent() {
            self.make_dirs(&parent, Made::ByArchive, change.meta.mtime)?;
        }
        let there = self.there(&path);
        match change.kind {
            ChangeKind::Dir { .. } if there == There::Dir => self.set_dir(&path, change.meta),
            ChangeKind::Dir { .. } => {
                self.clear(&path);
                self.put_new_dir(&path, change.meta);
            }
            ChangeKind::HardLink { target } => {
                self.clear(&path);
                let target = self.resolve(&target, Follow::Parents)?;
                self.put(&path, change.meta, ChangeKind::HardLink { target });
            }
            kind => {
                self.clear(&path);
                self.put(&path, change.meta, kind);
            }
        }
        Ok(())
    }

    /// Everything put, and directories of the base above it, in order.
    pub(crate) fn finish(self) -> Vec<(TreePath, Put)> {
        let mut all = self.puts;
        let mut above: BTreeMap<TreePath, Put> = BTreeMap::new();
        let mut last = TreePath::root();
        for path in all.keys() {
            let parent = path.parent().unwrap_or_default();
            if parent == last {
                continue;
            }
            for dir in path.ancestors().filter(|dir| !dir.is_root()) {
                // Where one is known, so is all above it.
                if all.contains_key(&dir) || above.contains_key(&dir) {
                    break;
                }
                let meta = self.base.entry(&dir).map(|entry| entry.meta.clone()).unwrap_or_default();
                let kind = PutKind::Ready(ChangeKind::Dir { opaque: false });
                above.insert(dir, Put { meta, kind });
            }
            last = parent;
        }
        all.append(&mut above);
        all.into_iter().collect()
    }

    /// The changes, where no selected file is among them.
    pub(crate) fn changes(self) -> Vec<Change> {
        let ready = |(path, put): (TreePath, Put)| match put.kind {
            PutKind::Ready(kind) => Some(Change::new(path, put.meta, kind)),
            PutKind::File { .. } => None,
        };
        self.finish().into_iter().filter_map(ready).collect()
    }
}
