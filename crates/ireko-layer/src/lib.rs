//! A layer: one change set over the layers below it, as a sorted index, as a tar stream and as an unpacked
//! directory in overlayfs form; each can be made from the others, and the same content gives the same bytes.
//!
//! This crate knows nothing of names, locks, policy or where things are kept: that is the store's. It never
//! trusts a tar or an index that it reads: a wrong one is an [`Error`], and nothing is ever written outside the
//! directory that was given.
//!
//! Read first [`Entry`], [`Index`] and [`View`] (what layers hold), then [`Change`] and [`LayerWriter`] (how one
//! is written), [`scan_upper`] (what a step changed) and [`unpack()`] (what others wrote).
#![forbid(unsafe_code)]

pub mod archive;
mod assemble;
mod change;
mod compress;
mod entry;
mod error;
mod index;
mod lay_out;
mod path;
mod place;
mod scan;
mod source;
mod stream;
mod tar;
#[cfg(test)]
mod testing;
mod unpack;
mod view;
mod writer;
mod xattr;

pub use change::{Change, ChangeKind, Data};
pub use compress::{Compression, Compressor, decompress, decompress_within};
pub use entry::{Entry, Kind, Meta, Time, Xattrs};
pub use error::Error;
pub use index::Index;
pub use path::TreePath;
pub use scan::{LaidOut, Scan, ScanOptions, prune_upper, scan_tree, scan_upper};
pub use unpack::{
    LowerFiles, SnapshotStack, UnpackOptions, index_of, read_file_from_tar, read_files_from_tar, unpack,
};
pub use view::{Follow, Found, View, follow_links};
pub use writer::{LayerWriter, OverlayAttrs, Written, tar_of_snapshot};
