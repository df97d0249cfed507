//! What a context holds, counted for people, and a context that comes as an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use ireko_graph::op::{Copy, CopyItem, FilesFrom, Unpack};
use ireko_layer::{Change, ChangeKind, LayerWriter, OverlayAttrs, TreePath, View};
use ireko_oci::GuestPath;

use super::LocalContext;
use crate::cancel::Stop;
use crate::copy::{Staged, Workplace};
use crate::files_error::FilesError;
use crate::selection;
use crate::source::{FileSource, Item};

/// What a context holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many files, links and other things that are no directories.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files, the biggest first, with their sizes.
    pub biggest: Vec<(String, u64)>,
    /// The lines of the ignore file that keep something out, in order.
    pub ignored: Vec<Ignored>,
}

/// A line of the ignore file at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Its number, from 1.
    pub line: u32,
    /// The pattern.
    pub pattern: String,
    /// How many paths it keeps out; a directory and all below it count once.
    pub entries: u64,
}

impl LocalContext {
    /// Everything that the ignore file lets in. Only names and sizes are read.
    pub fn listing(&self) -> Result<Listing, FilesError> {
        let mut listing = Listing::default();
        for item in self.below(&TreePath::root())? {
            if item.is_dir() {
                continue;
            }
            listing.files += 1;
            listing.bytes += item.size();
            listing.biggest.push((item.path.to_string(), item.size()));
        }
        listing.biggest.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        let mut ignored: BTreeMap<u32, Ignored> = BTreeMap::new();
        for dir in self.seen().dirs.values() {
            for (line, pattern, count) in &dir.kept_out {
                let new = || Ignored { line: *line, pattern: pattern.clone(), entries: 0 };
                ignored.entry(*line).or_insert_with(new).entries += count;
            }
        }
        listing.ignored = ignored.into_values().collect();
        Ok(listing)
    }

    /// How many files, and of how many bytes, the sources of one COPY or ADD select.
    pub fn count(&self, patterns: &[String], excludes: &[String]) -> Result<(u64, u64), FilesError> {
        let from = FilesFrom::Context(String::new());
        let items =
            patterns.iter().map(|pattern| CopyItem::Files { from: from.clone(), pattern: pattern.clone() });
        let copy = Copy {
            items: items.collect(),
            dest: GuestPath::root(),
            dest_is_dir: true,
            owner: None,
            mode: None,
            link: false,
            parents: false,
            excludes: excludes.to_vec(),
            unpack: Unpack::Never,
        };
        let mut files: BTreeMap<TreePath, u64> = BTreeMap::new();
        for item in selection::items_of::<FilesError>(&copy, &|_| Ok(FileSource::Context(self)))? {
            let item: &Item = &item;
            if !item.is_dir() {
                files.insert(item.path.clone(), item.size());
            }
        }
        Ok((files.len() as u64, files.values().sum()))
    }
}

/// When the newest file of an archive was last changed, in seconds since 1970; nothing is known of what is no archive.
pub fn newest_file(archive: File, workplace: Workplace<'_>) -> Result<Option<i64>, FilesError> {
    let Some(archive) = workplace.open(archive)? else { return Ok(None) };
    let changes = archive.changes(&TreePath::root())?;
    let is_file = |change: &&Change| matches!(change.kind, ChangeKind::File(_) | ChangeKind::HardLink { .. });
    Ok(changes.iter().filter(is_file).map(|change| change.meta.mtime.secs).max())
}

/// Unpacks a context that came as a tar, plain or compressed, into an empty directory; false if the file is no
/// archive. Everything belongs to whoever unpacks, as everything of a context is copied as 0:0.
pub fn unpack_context(archive: &File, workplace: Workplace<'_>, into: &Path) -> Result<bool, FilesError> {
    let failed = |cause| FilesError::Context { dir: into.display().to_string(), cause };
    let Some(archive) = workplace.open(archive.try_clone().map_err(failed)?)? else {
        return Ok(false);
    };
    // As ADD unpacks: directories may be missing in the archive, and its links lead on.
    let nothing = View::default();
    let mut staged = Staged::new(&nothing);
    for change in archive.changes(&TreePath::root())? {
        staged.unpack(change)?;
    }
    let mut changes = staged.changes();
    for change in &mut changes {
        change.meta.uid = 0;
        change.meta.gid = 0;
    }
    let mut stop = Stop(workplace.cancel);
    let mut writer = LayerWriter::new().sink(&mut stop).snapshot(into, OverlayAttrs::User)?;
    writer.push_all(changes).and_then(|()| writer.finish()).map_err(|error| workplace.failed(error))?;
    Ok(true)
}
