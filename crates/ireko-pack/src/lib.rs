//! Images without a Dockerfile: files that are there already, and what they need to run.
//!
//! [`pack`] takes files and directories of this machine with the places they are to have in the image, sees what the
//! loader there would look for ([`ireko_slim::closure`]), takes that from a base root, and gives [`Piece`]s: what is to
//! lie in one layer each, what many need first. [`write()`] makes a piece a layer of the store. Nothing is run, and no
//! time of this machine is part of the result: equal files give equal layers.
//!
//! ```no_run
//! use ireko_pack::{Request, Source, pack};
//! let base = ireko_slim::Dir::new("/");
//! let server = Source { host: "target/release/server".into(), place: "/server".to_owned() };
//! let packed = pack(&Request::new(&base, vec![server]))?;
//! println!("{} layers", packed.pieces.len());
//! # Ok::<(), ireko_pack::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod base;
mod configured;
mod debs;
pub mod distroless;
mod error;
mod image;
mod ldcache;
mod made;
mod own;
mod packages;
mod pieces;
mod records;
mod request;
mod root;
pub mod sbom;
mod scripts;
mod with;

pub use configured::configured;
pub use debs::{DebTree, PathFilter, files};
pub use error::Error;
pub use image::ImageRoot;
pub use own::is_program_here;
pub use packages::{Named, Packages};
pub use pieces::{Piece, write};
pub use request::{Packed, Request, Source, pack};
pub use root::Base;
pub use scripts::{FOR_SCRIPTS, Scripts, is_for_scripts, scripts};
pub use with::{BUNDLE, With};
