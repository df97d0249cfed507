//! The merged tree of unpacked layers as one plain directory, for where overlayfs cannot show it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::place::Place;
use crate::{Entry, Error, Kind, OverlayAttrs, SnapshotStack, TreePath, scan, source};

impl SnapshotStack {
    /// Copies the merged tree below `into`, an empty directory: with owners, modes, attributes, times and devices as
    /// the layers have them, and names of one file as names of one file. The root's own metadata is the caller's.
    pub fn lay_out(&self, into: &Path, attrs: OverlayAttrs) -> Result<(), Error> {
        let dirs = self.dirs.iter().map(|dir| scan::open(dir)).collect::<Result<Vec<OwnedFd>, _>>()?;
        let mut place = Place::new(into, attrs)?;
        let mut firsts: BTreeMap<(usize, &TreePath), TreePath> = BTreeMap::new();
        let mut settle: Vec<&Entry> = Vec::new();
        for found in self.view.walk(&TreePath::root()) {
            let entry = found.entry;
            match &entry.kind {
                Kind::Dir { .. } => {
                    place.dir(&entry.path)?;
                    settle.push(entry);
                }
                Kind::File { .. } | Kind::HardLink { .. } => {
                    let problem = "a hard link without its file";
                    let owner = self.view.owner_of_content(&entry.path).ok_or(Error::Index { problem })?;
                    match firsts.get(&(owner.layer, &owner.entry.path)) {
                        Some(first) => place.link(first, &entry.path)?,
                        None => {
                            copy(&mut place, &dirs[owner.layer], owner.entry, entry)?;
                            firsts.insert((owner.layer, &owner.entry.path), entry.path.clone());
                        }
                    }
                }
                _ => place.special(entry)?,
            }
        }
        // Once all is in place, since a directory's time moves with what is put into it.
        for entry in settle.into_iter().rev() {
            place.settle(&entry.path, &entry.meta, false)?;
        }
        Ok(())
    }
}

/// Copies the bytes that a layer's entry has to where an entry of the merged tree is.
fn copy(place: &mut Place, dir: &OwnedFd, from: &Entry, to: &Entry) -> Result<(), Error> {
    let Kind::File { size, .. } = from.kind else { return Ok(()) };
    let failed = |cause: io::Error| Error::Read { path: from.path.clone(), cause };
    let source =
        source::open_beneath(dir.as_fd(), from.path.as_path()).map_err(|errno| failed(errno.into()))?;
    let mut draft = place.file(&to.path, size)?;
    draft.fill(&File::from(source)).map_err(failed)?;
    place.finish_file(&to.path, &to.meta, &draft)
}

#[cfg(test)]
mod tests;
