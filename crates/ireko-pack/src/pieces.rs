//! What lies in which layer, and the layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};
use ireko_oci::Digest;
use ireko_slim::{Closure, Node, Root};
use ireko_store::Store;

use crate::base;
use crate::error::Error;
use crate::own::Target;

/// One file of the image.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    path: String,
    content: Content,
}

/// What it is.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    File { data: Data, mode: u32 },
    Bytes { bytes: Vec<u8>, mode: u32 },
    Link(String),
    Dir { mode: u32 },
}

impl Item {
    pub(crate) fn new(path: &str, content: Content) -> Self {
        Self { path: path.to_owned(), content }
    }

    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.path == path
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self.content, Content::File { .. })
    }

    /// The same at another place.
    pub(crate) fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }
}

/// What is to lie in one layer.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What it is, for people.
    pub title: String,
    /// What is put into it, one change of a path, in order.
    pub changes: Vec<Change>,
}

impl Piece {
    /// The paths of its files, and their sizes.
    pub fn files(&self) -> impl Iterator<Item = (String, u64)> {
        self.changes.iter().filter_map(|change| match &change.kind {
            ChangeKind::File(data) => Some((format!("/{}", change.path), data.size())),
            _ => None,
        })
    }

    /// What it puts at a path.
    pub(crate) fn change(&self, path: &TreePath) -> Option<&Change> {
        let at = self.changes.binary_search_by(|change| change.path.cmp(path)).ok()?;
        self.changes.get(at)
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files().map(|(_, size)| size).sum()
    }

    /// The paths of those that were files of this machine, and where they were.
    pub fn hosts(&self) -> impl Iterator<Item = (String, &Path)> {
        self.changes.iter().filter_map(|change| match &change.kind {
            ChangeKind::File(data) => Some((format!("/{}", change.path), data.host_path()?)),
            _ => None,
        })
    }
}

/// The pieces of an image: the links of its directories and what helps, each file of the base by itself, those first
/// that most others want, and last what was named.
pub(crate) fn of(
    target: &Target<'_>,
    found: &Closure,
    helpers: Vec<Item>,
    time: Time,
) -> Result<Vec<Piece>, Error> {
    let mut files: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    let mut frame = helpers;
    for (path, file) in found.files.iter().filter(|(path, _)| !target.is_own(path)) {
        let mode = mode_of(target, path)?;
        let data = target.data(path, file.size);
        files.entry(path).or_default().push(Item::new(path, Content::File { data, mode }));
    }
    for (link, to) in found.links.iter().filter(|(link, _)| !target.is_own(link)) {
        let item = Item::new(link, Content::Link(to.clone()));
        let end = ireko_slim::follow(target, link)
            .map_err(|cause| Error::Read { path: target.real(link), cause })?;
        match end.and_then(|end| files.get_mut(end.path.as_str())) {
            Some(items) => items.push(item),
            None => frame.push(item),
        }
    }
    let wanted = popularity(found);
    let mut shared: Vec<(usize, &str, Vec<Item>)> = files
        .into_iter()
        .map(|(path, items)| (wanted.get(path).copied().unwrap_or(0), path, items))
        .collect();
    shared.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(other.1)));
    let mut pieces = Vec::new();
    if !frame.is_empty() {
        pieces.push(piece("what many need", &frame, time)?);
    }
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    for (_, path, items) in shared {
        pieces.push(piece(&name(path), &items, time)?);
    }
    let own = target.own.iter().map(|(path, own)| {
        Item::new(
            path,
            match &own.node {
                Node::File { size, mode } => {
                    Content::File { data: Data::host(&own.host, *size), mode: *mode }
                }
                Node::Link(to) => Content::Link(to.clone()),
                Node::Dir | Node::Other => Content::Dir { mode: 0o755 },
            },
        )
    });
    let own: Vec<Item> = own.collect();
    if !own.is_empty() {
        let named: Vec<String> =
            target.own.iter().filter(|(_, own)| own.is_named).map(|(path, _)| name(path)).collect();
        pieces.push(piece(&named.join(", "), &own, time)?);
    }
    Ok(pieces)
}

fn mode_of(root: &dyn Root, path: &str) -> Result<u32, Error> {
    match root.node(path).map_err(|cause| Error::Read { path: root.real(path), cause })? {
        Some(Node::File { mode, .. }) => Ok(mode),
        _ => Ok(0o644),
    }
}

/// How many files want each, by whatever way.
fn popularity(found: &Closure) -> BTreeMap<&str, usize> {
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for file in found.files.values() {
        let mut at = file.wanted_by.as_deref();
        let mut seen = BTreeSet::new();
        while let Some(path) = at.filter(|path| seen.insert(*path)) {
            *wanted.entry(path).or_default() += 1;
            at = found.files.get(path).and_then(|file| file.wanted_by.as_deref());
        }
    }
    // Who wants much is not wanted by much: the fewer a file wants, the nearer to the bottom it is.
    let most = wanted.values().copied().max().unwrap_or(0);
    found
        .files
        .keys()
        .map(|path| (path.as_str(), most - wanted.get(path.as_str()).copied().unwrap_or(0)))
        .collect()
}

pub(crate) fn piece(title: &str, items: &[Item], time: Time) -> Result<Piece, Error> {
    Ok(Piece { title: title.to_owned(), changes: changes_of(items, time)? })
}

/// Joins the smallest, where there are too many: what is large stays by itself, so that others can share it. The last
/// is what was named, and changes most often.
pub(crate) fn no_more_than(pieces: Vec<Piece>, max: usize) -> Vec<Piece> {
    let max = max.max(1);
    if pieces.len() <= max {
        return pieces;
    }
    let last = pieces.len() - 1;
    let mut by_size: Vec<usize> = (0..last).collect();
    by_size.sort_by_key(|at| std::cmp::Reverse((pieces[*at].bytes(), last - at)));
    // One is for those that are joined, one for the last.
    let alone: BTreeSet<usize> = by_size.into_iter().take(max.saturating_sub(2)).chain([last]).collect();
    let mut kept = Vec::new();
    let mut joined: Option<(usize, Piece)> = None;
    for (at, piece) in pieces.into_iter().enumerate() {
        if alone.contains(&at) && max > 1 {
            kept.push(piece);
        } else if let Some((_, all)) = &mut joined {
            all.join(piece);
        } else {
            joined = Some((kept.len(), piece));
        }
    }
    if let Some((at, piece)) = joined {
        kept.insert(at, piece);
    }
    kept
}

impl Piece {
    /// Adds what would lie above it.
    fn join(&mut self, above: Self) {
        self.title = format!("{}, {}", self.title, above.title);
        self.changes = by_path(std::mem::take(&mut self.changes).into_iter().chain(above.changes));
    }
}

/// Makes a piece a layer of the store.
///
/// # Errors
/// A file cannot be read, or changed since it was looked at; the store cannot take it.
pub fn write(store: &Store, piece: &Piece) -> Result<Digest, Error> {
    base::layer(store, piece.changes.clone())
}

/// Files as changes, and the directories that they need.
pub(crate) fn changes_of(items: &[Item], time: Time) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for item in items {
        let path = TreePath::new(item.path.trim_start_matches('/'))?;
        let (mode, kind) = match &item.content {
            Content::File { data, mode } => (*mode, ChangeKind::File(data.clone())),
            Content::Bytes { bytes, mode } => (*mode, ChangeKind::File(Data::memory(bytes.clone()))),
            Content::Link(target) => (0o777, ChangeKind::Symlink { target: target.clone().into_bytes() }),
            Content::Dir { mode } => (*mode, ChangeKind::Dir { opaque: false }),
        };
        changes.push(Change::new(path, Meta::new(mode, time), kind));
    }
    Ok(by_path(with_parents(changes, time)))
}

/// In order of their paths; of two at one path the later counts.
fn by_path(changes: impl IntoIterator<Item = Change>) -> Vec<Change> {
    let by_path: BTreeMap<TreePath, Change> =
        changes.into_iter().map(|change| (change.path.clone(), change)).collect();
    by_path.into_values().collect()
}

/// The same with the directories that they lie in before them, as root's.
pub(crate) fn with_parents(changes: Vec<Change>, time: Time) -> Vec<Change> {
    let parents: BTreeSet<TreePath> = changes
        .iter()
        .flat_map(|change| change.path.ancestors().filter(|path| !path.is_root() && *path != change.path))
        .collect();
    let dir = |path| Change::new(path, Meta::new(0o755, time), ChangeKind::Dir { opaque: false });
    parents.into_iter().map(dir).chain(changes).collect()
}

#[cfg(test)]
mod tests;
