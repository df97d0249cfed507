//! COPY and ADD: where each selected file lands in a tree, with which mode and owner.
//!
//! The rules are BuildKit's. A destination is resolved inside the tree below; a directory's content is copied, not
//! the directory; directories that have to be made are 0755 and belong to the new owner; a directory that is there
//! keeps its own metadata if it is the destination, and takes the source's if it lies deeper.

mod place;
mod staged;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use ireko_graph::op::Copy;
use ireko_layer::archive::Archive;
use ireko_layer::{Change, ChangeKind, Data, Time, TreePath, View};
use ireko_oci::Digest;

use crate::cancel::Cancel;
use crate::files_error::FilesError;
use crate::selection::{Pick, PickSource, Picked};
use crate::source::{ItemKind, Source};
use place::Placing;
pub(crate) use staged::{Made, Staged};
use staged::{Put, PutKind};

/// Where archives are unpacked, and what stops that.
#[derive(Clone, Copy, Debug)]
pub struct Workplace<'a> {
    /// A directory of one's own that outlives the writing of what is unpacked.
    pub scratch: &'a Path,
    /// The wish to stop.
    pub cancel: &'a Cancel,
}

impl Workplace<'_> {
    /// Opens an archive, `None` if the file is none; a wish to stop is heard meanwhile.
    pub(crate) fn open(self, file: File) -> Result<Option<Archive>, FilesError> {
        let stopped = || self.cancel.is_asked();
        Archive::open(file, self.scratch, &stopped).map_err(|error| self.failed(error))
    }

    /// What failed, or the interruption that made it fail.
    pub(crate) fn failed(self, error: ireko_layer::Error) -> FilesError {
        if self.cancel.is_asked() { FilesError::Interrupted } else { error.into() }
    }
}

/// What a copy changes, in order. Bytes are read when the changes are written, and must then have the hashes that the
/// selection found. `now` dates what has no time of its own.
pub fn perform_copy(
    copy: &Copy,
    picked: &Picked,
    base: &View,
    workplace: Workplace<'_>,
    now: Time,
) -> Result<Vec<Change>, FilesError> {
    let mut placing = Placing::new(copy, base, now, Some(workplace))?;
    for (number, pick) in picked.picks.iter().enumerate() {
        placing.pick(number, pick)?;
    }
    changes(placing.finish(), &picked.picks, workplace.scratch)
}

/// Where the copy's files are in the tree, with their sources' present times. `base` is the tree below the copy;
/// `of_tree` knows the present times of files of a tree with these layers, where they are not the tree's own.
pub fn fresh_times(
    copy: &Copy,
    picked: &Picked,
    base: &View,
    of_tree: &dyn Fn(&[Digest], &TreePath) -> Option<Time>,
) -> Result<Vec<(TreePath, Time)>, FilesError> {
    let nothing = View::default();
    let base = if copy.link { &nothing } else { base };
    let mut placing = Placing::new(copy, base, Time::default(), None)?;
    for (number, pick) in picked.picks.iter().enumerate() {
        if let PickSource::Files(_) = pick.source {
            placing.pick(number, pick)?;
        }
    }
    let is_file = |(path, put): (TreePath, Put)| match put.kind {
        PutKind::File { pick, entry } => match &picked.picks[pick].source {
            PickSource::Files(Source::Tree(tree)) => {
                let time = of_tree(tree.layers(), &picked.picks[pick].entries[entry].item.path)?;
                Some((path, time))
            }
            _ => Some((path, put.meta.mtime)),
        },
        PutKind::Ready(_) => None,
    };
    Ok(placing.finish().into_iter().filter_map(is_file).collect())
}

/// Names of one file become hard links of the first of them, and every other file gets its bytes.
fn changes(puts: Vec<(TreePath, Put)>, picks: &[Pick], scratch: &Path) -> Result<Vec<Change>, FilesError> {
    let mut first_names: BTreeMap<(usize, u64, u64), TreePath> = BTreeMap::new();
    let mut changes = Vec::with_capacity(puts.len());
    let mut from_trees: BTreeMap<usize, Vec<(usize, TreePath)>> = BTreeMap::new();
    for (path, put) in puts {
        let (pick, entry) = match put.kind {
            PutKind::Ready(kind) => {
                changes.push(Change::new(path, put.meta, kind));
                continue;
            }
            PutKind::File { pick, entry } => (pick, entry),
        };
        let selected = &picks[pick].entries[entry];
        if let ItemKind::File { twin: Some((left, right)), .. } = &selected.item.kind {
            if let Some(first) = first_names.get(&(pick, *left, *right)) {
                let kind = ChangeKind::HardLink { target: first.clone() };
                changes.push(Change::new(path, put.meta, kind));
                continue;
            }
            first_names.insert((pick, *left, *right), path.clone());
        }
        let size = selected.item.size();
        let data = match &picks[pick].source {
            PickSource::Inline(bytes) => Data::memory(bytes.clone()),
            PickSource::Files(Source::Context(context)) => context.data(&selected.item.path, size),
            PickSource::Files(Source::Empty) => Data::memory(Vec::new()),
            PickSource::Files(Source::Tree(_)) => {
                from_trees.entry(pick).or_default().push((changes.len(), selected.item.path.clone()));
                Data::memory(Vec::new())
            }
        };
        let data = match selected.hash {
            Some(hash) => data.expecting(hash),
            None => data,
        };
        changes.push(Change::new(path, put.meta, ChangeKind::File(data)));
    }
    for (pick, wanted) in from_trees {
        let PickSource::Files(Source::Tree(tree)) = &picks[pick].source else { continue };
        let paths: Vec<TreePath> = wanted.iter().map(|(_, path)| path.clone()).collect();
        for ((at, _), data) in wanted.iter().zip(tree.data(&paths, scratch)?) {
            changes[*at].kind = ChangeKind::File(data);
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests;
