//! This disk: blobs, layers, trees, records, the stat cache, cache mounts and images, in one directory that many
//! processes use at once with no daemon.
//!
//! Everything is a plain file that was written beside and renamed into place, so whatever moment a process is killed
//! at, the next one finds a sound store. What a running process needs is named in its *lease*, a file it keeps
//! locked; the collector takes nothing that a live lease names. Digests are checked on everything that comes in, and
//! what does not read back is absent, with a warning, never an error of a build.
//!
//! This crate does not know what a step is, what a Dockerfile is, or how a layer is made: see `ireko-layer` for the
//! last. It reads neither clock nor environment; both come in through [`OpenOptions`].
//!
//! Read first [`Store`], then [`LayerInfo`] and [`Record`]. The bytes are in `docs/format/store.md`.
#![forbid(unsafe_code)]

mod blob;
mod codec;
mod disk;
mod error;
mod fsck;
mod image;
mod inventory;
mod layer;
mod layout;
mod lease;
mod mount;
mod open;
mod prune;
mod record;
mod scan;
mod scratch;
mod seal;
mod snapshot;
mod stat;
mod store;
#[cfg(test)]
mod testing;
mod tree;
mod unread;
mod usage;
mod verify;

pub use blob::{BlobDraft, Follower};
pub use error::{Error, Result};
pub use fsck::{Fate, FsckReport, Problem};
pub use image::{Image, ImageRow, Member, NewImage, Removed};
pub use layer::{BlobForm, LayerInfo, NewForms, TarDraft};
pub use lease::Object;
pub use mount::{CacheMount, MountRequest, Sharing};
pub use open::{OpenOptions, WrittenAs};
pub use prune::{Condition, PrunePlan, Pruned, PrunedItem};
pub use record::{InputFile, Inputs, Origin, Record};
pub use scratch::Scratch;
pub use snapshot::{Elsewhere, SnapshotDraft};
pub use stat::{FileStat, StatCache};
pub use store::Store;
pub use usage::{Usage, UsageKind};
