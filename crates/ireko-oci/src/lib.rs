//! The words of the OCI and Docker image specifications: digests, references, platforms, configs, manifests.
//!
//! This crate knows no file system, no network and no clock; it turns bytes and text into types and back.
//! Read first [`Digest`], [`Reference`] and [`ImageConfig`]. What a document holds beyond the fields named
//! here is kept in its `extra` map, and every document serialises to the same bytes every time.
//!
//! ```
//! use ireko_oci::{Digest, Reference};
//! let app: Reference = "app".parse()?;
//! assert_eq!(app.or_latest().to_string(), "docker.io/library/app:latest");
//! assert_eq!(app.familiar(), "app");
//! assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
//! # Ok::<(), ireko_oci::OciError>(())
//! ```
#![forbid(unsafe_code)]

pub mod annotation;
mod config;
mod descriptor;
mod digest;
mod error;
mod guest_path;
mod id;
mod json;
mod layout;
mod manifest;
mod media;
mod platform;
mod reference;
mod timestamp;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs, chain_id, chain_ids};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestReader, Hasher};
pub use error::OciError;
pub use guest_path::GuestPath;
pub use id::{ContentId, Fields, FileHash, Hash, Key, SelectionId, TreeId};
pub use layout::{ArchiveImage, LAYOUT_FILE, OciLayout, blob_path};
pub use manifest::{Document, Index, Manifest};
pub use media::{Compression, LayerType, MediaType};
pub use platform::Platform;
pub use reference::Reference;
pub use timestamp::Timestamp;
