//! What tests of several crates share: an HTTP server, a registry, images and tar streams made in memory.
//!
//! A dev-dependency only. Everything listens on 127.0.0.1 at a free port and ends when it is dropped. Read
//! first [`TestRegistry`] and [`TestImage`]; [`FlatImage`] reads an image back.
//!
//! ```
//! use ireko_testkit::{TarStream, TestImage, TestRegistry};
//! let image = TestImage::new().layer(TarStream::new().file("etc/motd", "hello\n"));
//! let registry = TestRegistry::start();
//! registry.push("app", "1", &image);
//! let name = format!("{}/app:1", registry.address());
//! # let _ = name;
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a fixture that fails should fail the test at once")]

mod archive;
mod crowd;
mod debian;
mod flat;
mod git;
mod image;
mod registry;
mod server;
pub mod signing;

pub use archive::TarStream;
pub use crowd::{Crowd, Tally};
pub use debian::{DebArchive, DebPackage, ar, raw_entry};
pub use flat::FlatImage;
pub use git::{Daemon, GitRepo, SshServer, git_daemon, git_over_http, git_over_old_http, silent_port};
pub use image::TestImage;
pub use registry::{Fault, TestRegistry};
pub use server::{Answer, Received, Server};
