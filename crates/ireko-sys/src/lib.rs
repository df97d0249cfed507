//! Safe names for Linux calls, and the sandbox that runs one command in a container's surroundings.
//!
//! This is the only crate with `unsafe` in it; every block says why it is sound. It knows nothing of images,
//! layers, stores or Dockerfiles. What rustix offers safely is used from rustix by whoever needs it and not
//! wrapped here.
//!
//! Read first: [`userns::Level`] and [`userns::enter`] (what this process may do, and how it comes to do it),
//! [`sandbox::Sandbox`] and [`sandbox::spawn()`] (one command).
//!
//! ```no_run
//! use ireko_sys::sandbox::{RootFs, Sandbox, spawn};
//! use ireko_sys::userns;
//!
//! # fn main() -> Result<(), ireko_sys::Error> {
//! // Once, at the start, with one thread.
//! userns::enter_best()?;
//! let sandbox = Sandbox::new(RootFs::Dir("/srv/root".into()), vec!["/bin/true".into()]);
//! let mut running = spawn(&sandbox)?;
//! assert!(running.wait()?.success());
//! # Ok(())
//! # }
//! ```
//!
//! Needs Linux 5.4 at level root, 5.11 at level rootless, whose overlays came with it, and 5.19 at level single-id.
//!
//! Architecture invariant: what the child of [`sandbox::spawn()`] does is a list of steps computed before it is
//! started. The child shares this process's memory, so it neither allocates nor panics nor decides.
#![allow(unsafe_code, reason = "the one crate that talks to the kernel directly")]

pub mod cap;
pub mod cgroup;
mod error;
pub mod fsx;
mod leash;
pub mod limits;
pub mod memory;
pub mod mount;
pub mod net;
mod notify;
mod outside;
pub mod owner;
mod raw;
pub mod sandbox;
mod seccomp;
pub mod signals;
pub mod userns;

pub use error::{Error, Result};
pub use leash::Leash;
pub use outside::{Line, Outside, Started};
