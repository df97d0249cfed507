//! Images in a registry: the OCI distribution protocol.
//!
//! Everything blocks, and several threads may share one [`Registry`]. This crate knows no environment: proxies,
//! certificates, mirrors and the files with logins are given in [`Options`]. Whatever arrives is checked against its digest and size before it is
//! reported as done. Read first [`Registry::image`] and [`Registry::blob`].
//!
//! ```no_run
//! use ireko_oci::Platform;
//! use ireko_registry::{Options, Registry};
//! let registry = Registry::new(Options::default());
//! let image = registry.image(&"debian:bookworm".parse()?, &Platform::host())?;
//! let mut layer = Vec::new();
//! registry.blob(&image.reference, &image.manifest.layers[0], &mut layer, &mut |_bytes| {})?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod auth;
mod error;
mod hosts;
pub mod keychain;
mod pull;
mod push;
mod registry;

pub use error::RegistryError;
pub use hosts::{Hosts, HostsError};
pub use keychain::{AuthFile, Keychain, Login, Secret};
pub use pull::{Fetched, RemoteImage};
pub use push::{Begun, Blob, Content, Pushed};
pub use registry::{Options, Registry};
