//! The root file system that a stack of layers makes, read from their indexes alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Entry, Error, Index, Kind, TreePath};

/// More hops than these are a loop. As Docker's and containerd's scoped look-ups; the kernel stops at 40.
const MAX_HOPS: usize = 255;

/// Whether the last name of a path is followed if it is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Follow it too.
    All,
    /// Follow links in parents only.
    Parents,
}

/// A stack of layers, bottom first, as one root file system.
#[derive(Clone, Debug, Default)]
pub struct View {
    layers: Vec<Arc<Index>>,
}

/// Where a path was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Number of the layer, 0 at the bottom.
    pub layer: usize,
    /// The entry: never a whiteout.
    pub entry: &'a Entry,
}

/// What one layer's entries above a path, and at it, do to the layers below it.
#[derive(PartialEq, Eq)]
enum Cover {
    Nothing,
    Below,
    /// Also this layer has nothing at the path: something that is no directory stands above it.
    All,
}

/// The path that this one means when symbolic links are followed inside a root (absolute ones from the root, `..` stops
/// there). `link` answers what the link at a path says, or that there is none.
///
/// # Errors
/// Links in a circle, a path that is too long, and what `link` fails with.
pub fn follow_links<E: From<Error>>(
    path: &TreePath,
    follow: Follow,
    mut link: impl FnMut(&TreePath) -> Result<Option<Vec<u8>>, E>,
) -> Result<TreePath, E> {
    let mut hops = 0;
    let mut done = TreePath::root();
    let mut left: Vec<Vec<u8>> = path.names().rev().map(<[u8]>::to_vec).collect();
    while let Some(name) = left.pop() {
        if name == b".." {
            done = done.parent().unwrap_or_default();
            continue;
        }
        let next = done.join(&name)?;
        let keep = left.is_empty() && follow == Follow::Parents;
        match if keep { None } else { link(&next)? } {
            None => done = next,
            Some(target) => {
                hops += 1;
                if hops > MAX_HOPS {
                    return Err(Error::Links { path: path.clone() }.into());
                }
                if target.first() == Some(&b'/') {
                    done = TreePath::root();
                }
                let names = target.split(|&byte| byte == b'/').rev();
                left.extend(names.filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec));
            }
        }
    }
    Ok(done)
}

impl View {
    /// A stack, bottom first.
    pub fn new(layers: Vec<Arc<Index>>) -> Self {
        Self { layers }
    }

    /// The layers, bottom first.
    pub fn layers(&self) -> &[Arc<Index>] {
        &self.layers
    }

    /// What is at this path (no link is followed). The root has an entry only where a layer names it.
    pub fn entry(&self, path: &TreePath) -> Option<&Entry> {
        self.find(path).map(|found| found.entry)
    }

    /// What is at this path, and in which layer.
    pub fn find(&self, path: &TreePath) -> Option<Found<'_>> {
        let mut implied = None;
        for (layer, index) in self.layers.iter().enumerate().rev() {
            match index.get(path) {
                Some(Entry { kind: Kind::Whiteout, .. }) => return implied,
                Some(entry) if entry.implied => implied = implied.or(Some(Found { layer, entry })),
                Some(entry) if implied.is_some() && !entry.kind.is_dir() => return implied,
                Some(entry) => return Some(Found { layer, entry }),
                None => {}
            }
            if cover_above(index, path) != Cover::Nothing {
                return implied;
            }
        }
        implied
    }

    /// The path that this one means when symbolic links are followed inside the root (absolute ones from the root,
    /// `..` stops there). Names that do not exist are kept.
    pub fn resolve(&self, path: &TreePath, follow: Follow) -> Result<TreePath, Error> {
        follow_links(path, follow, |path| {
            Ok(match self.entry(path) {
                Some(Entry { kind: Kind::Symlink { target }, .. }) => Some(target.clone()),
                _ => None,
            })
        })
    }

    /// The entries of a directory, by name.
    pub fn children(&self, path: &TreePath) -> Vec<Found<'_>> {
        let mut seen: BTreeMap<&[u8], Option<Found<'_>>> = BTreeMap::new();
        for (layer, index) in self.layers.iter().enumerate().rev() {
            let cover = match index.get(path) {
                Some(entry) => cover_by(entry),
                None => Cover::Nothing,
            };
            let above = cover_above(index, path);
            if cover == Cover::All || above == Cover::All {
                break;
            }
            let mut rest = index.below(path);
            while let Some(entry) = rest.first() {
                rest = &rest[rest.partition_point(|other| other.path.is_within(&entry.path))..];
                let name = entry.path.file_name().unwrap_or_default();
                if seen.contains_key(name) {
                    continue;
                }
                let found = match entry.kind {
                    Kind::Whiteout => None,
                    _ if entry.implied => self.find(&entry.path),
                    _ => Some(Found { layer, entry }),
                };
                seen.insert(name, found);
            }
            if cover == Cover::Below || above == Cover::Below {
                break;
            }
        }
        seen.into_values().flatten().collect()
    }

    /// Everything below a directory in order, without the directory itself.
    pub fn walk(&self, path: &TreePath) -> Vec<Found<'_>> {
        let mut merged: Vec<Found<'_>> = Vec::new();
        for (layer, index) in self.layers.iter().enumerate() {
            let cover = match index.get(path) {
                Some(entry) => cover_by(entry),
                None => Cover::Nothing,
            };
            if cover != Cover::Nothing || cover_above(index, path) != Cover::Nothing {
                merged.clear();
            }
            let above = index.below(path);
            if merged.is_empty() {
                let kept = above.iter().filter(|entry| entry.kind != Kind::Whiteout);
                merged.extend(kept.map(|entry| Found { layer, entry }));
            } else if !above.is_empty() {
                merged = lay(&merged, layer, above);
            }
        }
        merged
    }

    /// The layer and the `File` entry that has the bytes of this path; hard links are followed, symbolic links not.
    pub fn owner_of_content(&self, path: &TreePath) -> Option<Found<'_>> {
        let Found { layer, entry } = self.find(path)?;
        let entry = match &entry.kind {
            Kind::HardLink { target } => self.layers[layer].get(target)?,
            _ => entry,
        };
        matches!(entry.kind, Kind::File { .. }).then_some(Found { layer, entry })
    }

    /// The text of `/etc/passwd`.
    pub fn passwd(&self) -> Option<&[u8]> {
        self.small_file(b"etc/passwd")
    }

    /// The text of `/etc/group`.
    pub fn group(&self) -> Option<&[u8]> {
        self.small_file(b"etc/group")
    }

    fn small_file(&self, path: &[u8]) -> Option<&[u8]> {
        let path = self.resolve(&TreePath::new(path).ok()?, Follow::All).ok()?;
        let found = self.owner_of_content(&path)?;
        self.layers[found.layer].inlined(&found.entry.path)
    }
}

/// What an entry does to the layers below, for a path under it.
fn cover_by(entry: &Entry) -> Cover {
    match entry.kind {
        Kind::Dir { opaque: false } => Cover::Nothing,
        Kind::Dir { opaque: true } => Cover::Below,
        _ => Cover::All,
    }
}

/// What the entries above a path do. The nearest one present decides, unless it is a plain directory.
fn cover_above(index: &Index, path: &TreePath) -> Cover {
    for above in path.ancestors() {
        match index.get(&above).map(cover_by) {
            Some(Cover::All) => return Cover::All,
            Some(Cover::Below) => return Cover::Below,
            Some(Cover::Nothing) | None => {}
        }
    }
    Cover::Nothing
}

/// Lays one layer's entries over what is merged already.
fn lay<'a>(merged: &[Found<'a>], layer: usize, above: &'a [Entry]) -> Vec<Found<'a>> {
    let mut out = Vec::with_capacity(merged.len() + above.len());
    let mut rest = merged;
    for entry in above {
        let at = rest.partition_point(|found| found.entry.path < entry.path);
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let under = rest.first().copied().filter(|found| found.entry.path == entry.path);
        let stays =
            entry.kind == Kind::Dir { opaque: false } && under.is_some_and(|found| found.entry.kind.is_dir());
        let hidden =
            if stays { 1 } else { rest.partition_point(|found| found.entry.path.is_within(&entry.path)) };
        let keeps_meta = entry.implied && under.is_some_and(|found| found.entry.kind.is_dir());
        match under {
            Some(under) if keeps_meta => out.push(under),
            _ if entry.kind == Kind::Whiteout => {}
            _ => out.push(Found { layer, entry }),
        }
        rest = &rest[hidden..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests;
