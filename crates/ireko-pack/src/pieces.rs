//! What lies in which layer, and the layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ireko_layer::{Change, ChangeKind, Data, LayerWriter, Meta, Time, TreePath};
use ireko_oci::Digest;
use ireko_slim::{Closure, Node, Root};
use ireko_store::{NewForms, Store};

use crate::error::Error;
use crate::own::Target;

/// One file of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    path: String,
    content: Content,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    File { host: PathBuf, size: u64, mode: u32 },
    Bytes { bytes: Vec<u8>, mode: u32 },
    Link(String),
    Dir { mode: u32 },
}

impl Item {
    pub(crate) fn new(path: &str, content: Content) -> Self {
        Self { path: path.to_owned(), content }
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self.content, Content::File { .. })
    }

    /// The same at another place.
    pub(crate) fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    fn size(&self) -> u64 {
        match &self.content {
            Content::File { size, .. } => *size,
            Content::Bytes { bytes, .. } => bytes.len() as u64,
            Content::Link(_) | Content::Dir { .. } => 0,
        }
    }
}

/// What is to lie in one layer.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What it is, for people.
    pub title: String,
    /// Bytes of its files.
    pub bytes: u64,
    items: Vec<Item>,
    time: Time,
}

impl Piece {
    /// The paths of its files, and their sizes.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.items.iter().map(|item| (item.path.as_str(), item.size()))
    }

    /// The paths of those that were files of this machine, and where they were.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.items.iter().filter_map(|item| match &item.content {
            Content::File { host, .. } => Some((item.path.as_str(), host.as_path())),
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
    (max_layers, time): (usize, Time),
) -> Result<Vec<Piece>, Error> {
    let mut files: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    let mut frame = helpers;
    for (path, file) in found.files.iter().filter(|(path, _)| !target.is_own(path)) {
        let host = target.real(path);
        let mode = mode_of(target, path)?;
        files.entry(path).or_default().push(Item::new(path, Content::File { host, size: file.size, mode }));
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
        pieces.push(piece("what many need", frame, time));
    }
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    pieces.extend(shared.into_iter().map(|(_, path, items)| piece(&name(path), items, time)));
    let own = target.own.iter().map(|(path, own)| {
        Item::new(
            path,
            match &own.node {
                Node::File { size, mode } => {
                    Content::File { host: own.host.clone(), size: *size, mode: *mode }
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
        pieces.push(piece(&named.join(", "), own, time));
    }
    Ok(no_more_than(pieces, max_layers))
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

fn piece(title: &str, items: Vec<Item>, time: Time) -> Piece {
    Piece { title: title.to_owned(), bytes: items.iter().map(Item::size).sum(), items, time }
}

/// Makes one of the last but the very last, where there are too many.
fn no_more_than(mut pieces: Vec<Piece>, max: usize) -> Vec<Piece> {
    let max = max.max(1);
    if pieces.len() <= max {
        return pieces;
    }
    let last = pieces.pop();
    let mut rest = pieces.split_off(max.saturating_sub(2));
    if max == 1 {
        rest.extend(last);
        return vec![joined(rest)];
    }
    pieces.push(joined(rest));
    pieces.extend(last);
    pieces
}

fn joined(pieces: Vec<Piece>) -> Piece {
    let time = pieces.first().map(|piece| piece.time).unwrap_or_default();
    let titles: Vec<&str> = pieces.iter().map(|piece| piece.title.as_str()).collect();
    let title = titles.join(", ");
    piece(&title, pieces.into_iter().flat_map(|piece| piece.items).collect(), time)
}

/// Makes a piece a layer of the store.
///
/// # Errors
/// A file cannot be read, or changed since it was looked at; the store cannot take it.
pub fn write(store: &Store, piece: &Piece) -> Result<Digest, Error> {
    let mut tar = store.tar_draft()?;
    let mut writer = LayerWriter::new().sink(&mut tar);
    writer.push_all(changes(piece)?)?;
    let written = writer.finish()?;
    store.put_layer(&written, NewForms { tar: Some(tar), ..NewForms::default() })?;
    Ok(written.diff_id)
}

/// The changes of a piece, and the directories that they need.
fn changes(piece: &Piece) -> Result<Vec<Change>, Error> {
    changes_of(&piece.items, piece.time)
}

/// The same of any files.
pub(crate) fn changes_of(items: &[Item], time: Time) -> Result<Vec<Change>, Error> {
    let mut changes: BTreeMap<TreePath, Change> = BTreeMap::new();
    for item in items {
        let path = TreePath::new(item.path.trim_start_matches('/'))?;
        let mut parent = path.parent();
        while let Some(dir) = parent.filter(|dir| !dir.is_root()) {
            parent = dir.parent();
            let meta = Meta::new(0o755, time);
            let change = || Change::new(dir.clone(), meta, ChangeKind::Dir { opaque: false });
            changes.entry(dir.clone()).or_insert_with(change);
        }
        let (mode, kind) = match &item.content {
            Content::File { host, size, mode } => (*mode, ChangeKind::File(Data::host(host, *size))),
            Content::Bytes { bytes, mode } => (*mode, ChangeKind::File(Data::memory(bytes.clone()))),
            Content::Link(target) => (0o777, ChangeKind::Symlink { target: target.clone().into_bytes() }),
            Content::Dir { mode } => (*mode, ChangeKind::Dir { opaque: false }),
        };
        changes.insert(path.clone(), Change::new(path, Meta::new(mode, time), kind));
    }
    Ok(changes.into_values().collect())
}

#[cfg(test)]
mod tests;
