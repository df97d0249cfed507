//! What a copy's patterns or a mount select, and the digest by which it goes into a step's key.
//!
//! The digest covers the selected files alone: names as far as they matter, kinds, modes and owners as they will be
//! written, link targets, attributes and hashes of the bytes; no modification times, no inode numbers. What
//! `--chmod` or `--chown` will overwrite stays out.

mod digest;
mod lay_out;
mod patterns;
mod walk;

use std::sync::Arc;

use ireko_graph::op::{Copy, CopyItem, FilesFrom, Unpack};
use ireko_layer::{Follow, TreePath, Xattrs};
use ireko_oci::{FileHash, GuestPath, SelectionId};
use ireko_store::InputFile;

use crate::files_error::FilesError;
pub(crate) use crate::source::FileSource;
use crate::source::{Bytes, Item, ItemKind, Source};
use digest::Rules;
use patterns::Wanted;
use walk::Filter;

/// Selected files.
pub struct Picked {
    id: SelectionId,
    pub(crate) picks: Vec<Pick>,
    wish: Wish,
}

/// What was asked for, so that it can be asked again.
enum Wish {
    Copy(Box<Copy>),
    Mount(GuestPath),
}

/// One source after wildcards: a file, or a directory with what is selected below it.
pub(crate) struct Pick {
    pub(crate) source: PickSource,
    /// The name it gets in a directory.
    pub(crate) name: Vec<u8>,
    /// An archive is unpacked.
    pub(crate) unpack: bool,
    /// The source itself, links followed, then what is below it, parents first.
    pub(crate) entries: Vec<Selected>,
}

pub(crate) enum PickSource {
    Files(Source),
    Inline(Arc<[u8]>),
}

/// One selected path.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    /// Below the pick's first entry.
    pub(crate) below: TreePath,
    pub(crate) item: Arc<Item>,
    /// Hash of a file's bytes.
    pub(crate) hash: Option<FileHash>,
    pub(crate) xattrs: Xattrs,
    /// False for a directory that is there only because something in it is selected.
    pub(crate) asked: bool,
}

impl Picked {
    /// The digest of the selection.
    pub fn id(&self) -> SelectionId {
        self.id
    }

    /// The selected files by name, each with a print of all that counts of it.
    pub fn input_files(&self) -> Vec<InputFile> {
        let rules = self.rules();
        let mut files = Vec::new();
        for pick in &self.picks {
            if let PickSource::Inline(_) = pick.source {
                continue;
            }
            digest::each(pick, &rules, |selected, bytes| {
                let path = selected.item.path.as_bytes().to_vec();
                files.push(InputFile { path, print: *blake3::hash(bytes).as_bytes() });
            });
        }
        files
    }

    /// Whether the same selection, made again now, is still the same. Trees never change.
    pub fn unchanged(&self) -> Result<bool, FilesError> {
        let Some(PickSource::Files(Source::Context(context))) = self.picks.first().map(|pick| &pick.source)
        else {
            return Ok(true);
        };
        let context = context.afresh();
        let again = match &self.wish {
            Wish::Mount(path) => pick_mount(&FileSource::Context(&context), path),
            // Sources of other kinds keep their picks: only one context can be a copy's source.
            Wish::Copy(copy) => pick_copy::<FilesError>(copy, &|_| Ok(FileSource::Context(&context))),
        };
        match again {
            Ok(again) => Ok(again.id == self.id),
            Err(FilesError::Changed { .. } | FilesError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rules(&self) -> Rules {
        match &self.wish {
            Wish::Copy(copy) => Rules::of(copy),
            Wish::Mount(_) => Rules::as_is(),
        }
    }
}

/// Selects what a copy reads. `source` answers where files of one kind come from.
pub fn pick_copy<'s, E: From<FilesError>>(
    copy: &Copy,
    source: &dyn Fn(&FilesFrom) -> Result<FileSource<'s>, E>,
) -> Result<Picked, E> {
    let mut picks = picks_of(copy, source)?;
    hash_all(&mut picks)?;
    let id = digest::of(&picks, &Rules::of(copy));
    Ok(Picked { id, picks, wish: Wish::Copy(Box::new(copy.clone())) })
}

/// Selects what a mount of `path` shows.
pub fn pick_mount(source: &FileSource<'_>, path: &GuestPath) -> Result<Picked, FilesError> {
    let source = source.owned();
    let asked = TreePath::from_guest(path);
    let followed = source.resolve(&asked, Follow::All)?;
    let item = source
        .item(&followed)?
        .ok_or_else(|| behind_link(missing(&source, path.as_str(), &followed), &asked, &followed))?;
    let entries = walk::entries(&source, &item, &Filter::default())?;
    let name = asked.file_name().unwrap_or_default().to_vec();
    let mut picks = vec![Pick { source: PickSource::Files(source), name, unpack: false, entries }];
    hash_all(&mut picks)?;
    let id = digest::of(&picks, &Rules::as_is());
    Ok(Picked { id, picks, wish: Wish::Mount(path.clone()) })
}

/// The items that a copy selects; nothing is hashed.
pub(crate) fn items_of<'s, E: From<FilesError>>(
    copy: &Copy,
    source: &dyn Fn(&FilesFrom) -> Result<FileSource<'s>, E>,
) -> Result<Vec<Arc<Item>>, E> {
    let picks = picks_of(copy, source)?;
    let entries = picks.into_iter().flat_map(|pick| pick.entries);
    Ok(entries.map(|selected| selected.item).collect())
}

fn picks_of<'s, E: From<FilesError>>(
    copy: &Copy,
    source: &dyn Fn(&FilesFrom) -> Result<FileSource<'s>, E>,
) -> Result<Vec<Pick>, E> {
    let mut picks = Vec::new();
    for item in &copy.items {
        match item {
            CopyItem::Files { from, pattern } => {
                let source = source(from)?.owned();
                let wanted = Wanted::parse(pattern, copy.parents)?;
                picks.extend(files(&source, pattern, &wanted, copy)?);
            }
            CopyItem::Fetched { input, name, unpack } => {
                let source = source(&FilesFrom::Input(*input))?.owned();
                picks.push(fetched(&source, name, *unpack, &copy.excludes)?);
            }
            CopyItem::Inline { name, bytes } => picks.push(inline(name, bytes)?),
        }
    }
    Ok(picks)
}

/// The picks of one pattern. A pattern with wildcards may match nothing.
fn files(source: &Source, pattern: &str, wanted: &Wanted, copy: &Copy) -> Result<Vec<Pick>, FilesError> {
    let filter = Filter::new(wanted.include.as_deref(), &copy.excludes)?;
    let unpack = copy.unpack == Unpack::Local;
    let mut picks = Vec::new();
    for path in wanted.matches(source)? {
        let followed = source.resolve(&path, Follow::All)?;
        let Some(item) = source.item(&followed)? else {
            return Err(behind_link(missing(source, pattern, &followed), &path, &followed));
        };
        let entries = walk::entries(source, &item, &filter)?;
        let name = path.file_name().unwrap_or_default().to_vec();
        picks.push(Pick { source: PickSource::Files(source.clone()), name, unpack, entries });
    }
    if let Some(required) = wanted.required()
        && picks.iter().all(|pick| pick.entries.len() < 2)
    {
        let path = TreePath::new(required.trim_end_matches('/'))?;
        return Err(missing(source, pattern, &path));
    }
    Ok(picks)
}

/// What a source node fetched: the file of this name, or everything where it is empty.
fn fetched(source: &Source, name: &str, unpack: bool, excludes: &[String]) -> Result<Pick, FilesError> {
    let path = TreePath::new(name)?;
    let item = source.item(&path)?.ok_or_else(|| missing(source, name, &path))?;
    let entries = walk::entries(source, &item, &Filter::new(None, excludes)?)?;
    Ok(Pick { source: PickSource::Files(source.clone()), name: name.into(), unpack, entries })
}

fn missing(source: &Source, pattern: &str, path: &TreePath) -> FilesError {
    let (why, hint) = match source {
        Source::Context(context) => context.why_missing(path),
        Source::Tree(_) | Source::Empty => walk::nearest_in(source, path),
    };
    let flag = pattern.starts_with("--").then(|| "a flag stands before the sources".to_owned());
    FilesError::Missing { pattern: pattern.to_owned(), place: source.place(), why, hint: flag.or(hint) }
}

/// A path that leads elsewhere by links: the names near the end of the way help nobody who does not know the way.
fn behind_link(error: FilesError, path: &TreePath, followed: &TreePath) -> FilesError {
    match error {
        FilesError::Missing { pattern, place, why, .. } if path != followed => FilesError::Missing {
            pattern,
            place,
            why: format!("; `{path}` leads by links to `/{followed}`, which is not there{why}"),
            hint: None,
        },
        other => other,
    }
}

fn inline(name: &str, bytes: &[u8]) -> Result<Pick, FilesError> {
    let path = TreePath::new(name.trim_start_matches('/'))?;
    let hash = FileHash(*blake3::hash(bytes).as_bytes());
    let kind = ItemKind::File { size: bytes.len() as u64, twin: None, bytes: Bytes::Hash(hash) };
    let meta = ireko_layer::Meta { mode: 0o644, ..ireko_layer::Meta::default() };
    let file_name = path.file_name().unwrap_or_default().to_vec();
    let item = Arc::new(Item { path, meta, kind });
    let selected =
        Selected { below: TreePath::root(), item, hash: Some(hash), xattrs: Xattrs::new(), asked: true };
    let source = PickSource::Inline(bytes.into());
    Ok(Pick { source, name: file_name, unpack: false, entries: vec![selected] })
}

/// Fills in what only a look into the files tells.
fn hash_all(picks: &mut [Pick]) -> Result<(), FilesError> {
    for pick in picks {
        let PickSource::Files(source) = &pick.source else { continue };
        match source {
            Source::Context(context) => {
                let items: Vec<Arc<Item>> =
                    pick.entries.iter().map(|selected| Arc::clone(&selected.item)).collect();
                let prints = context.prints(&items).inspect_err(|_| context.forget())?;
                for (selected, print) in pick.entries.iter_mut().zip(prints) {
                    match print {
                        Some(print) => {
                            selected.hash = Some(print.hash);
                            selected.xattrs = print.xattrs;
                        }
                        None => selected.xattrs.clone_from(&selected.item.meta.xattrs),
                    }
                }
            }
            Source::Tree(_) | Source::Empty => {
                for selected in &mut pick.entries {
                    if let ItemKind::File { bytes: Bytes::Hash(hash), .. } = &selected.item.kind {
                        selected.hash = Some(*hash);
                    }
                    selected.xattrs.clone_from(&selected.item.meta.xattrs);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
