//! Performs the operations of a build on this machine.
#![forbid(unsafe_code)]

mod context;
mod copy;
mod files_error;
mod makedir;
mod passwd;
mod selection;
mod source;
#[cfg(test)]
mod testing;
mod tree;

pub use context::{Ignored, Listing, LocalContext, unpack_context};
pub use copy::{fresh_times, perform_copy};
pub use files_error::FilesError;
pub use makedir::make_dir;
pub use passwd::{User, owner, user, user_in};
pub use selection::{Picked, pick_copy, pick_mount};
pub use source::{Bytes, FileSource, Item, ItemKind};
pub use tree::TreeFiles;
