//! What a step changed, read from overlayfs's upper directory.

use std::path::Path;

use crate::{Change, Error, OverlayAttrs, Time, TreePath, View};

/// How an upper directory is read.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// When the step started, by the clock of the upper directory's file system.
    pub started: Time,
    /// The form of the marks.
    pub attrs: OverlayAttrs,
    /// Paths that are not the step's doing (mount points made for it); left out with all below them.
    pub skip: Vec<TreePath>,
}

/// What a step changed.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The changes in order.
    pub changes: Vec<Change>,
    /// Paths of the upper that are no change, and are left out.
    pub dropped: Vec<TreePath>,
    /// Sockets: left out since no tar can hold them.
    pub sockets: Vec<TreePath>,
}

/// Reads an upper directory.
pub fn scan_upper(_upper: &Path, _below: &View, _options: &ScanOptions) -> Result<Scan, Error> {
    unimplemented!("being built")
}

/// Removes from an upper directory all that is no entry of the layer, so that it is the layer's snapshot.
pub fn prune_upper(_upper: &Path, _scan: &Scan) -> Result<(), Error> {
    unimplemented!("being built")
}
