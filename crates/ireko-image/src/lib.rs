//! Images: where they come from, what a build's results become, and how they are written somewhere.
//!
//! An image is a config, its layers in the store, and, where one was written, a manifest. [`Images`] finds images in
//! the store, in registries, in OCI layouts and in archives, and brings their layers only when somebody needs them.
//! [`assemble()`] makes a build's config whole, [`keep`] puts it into the store, [`export()`] and [`save`] write archives,
//! layout directories and plain file trees.
//!
//! This crate does not know what a step is, nor how a layer's changes are found: layers are diff IDs, and their bytes
//! are asked of `ireko-store`. A layer is compressed once, for the first destination that wants it so; the blob stays
//! in the store as one more form of that layer.
//!
//! Read first [`Images`], then [`Destination`].
#![forbid(unsafe_code)]

mod archive;
mod assemble;
mod describe;
mod digests;
mod early;
mod engine;
mod error;
mod export;
mod files;
mod flat;
mod images;
mod load;
mod near;
mod origin;
mod output;
mod pack;
mod push;
#[cfg(test)]
mod testing;
mod unread;

pub use assemble::{Assembled, assemble, keep};
pub use digests::{repo_digest, repo_digests};
pub use engine::{Engines, HandedOver};
pub use error::{Error, Result, Unpacker};
pub use export::{Destination, Exported, Form, To, export, goes_as_it_came, prepare, save};
pub use flat::merged;
pub use images::{Images, PullPolicy, Resolved, Source};
pub use load::{LoadFrom, Loaded};
pub use near::near_images;
pub use pack::LayerDraft;
pub use push::{PushAs, PushedImage};
