//! Performs the operations of a build on this machine: selections and copies of files, commands in a sandbox, and the
//! loop that feeds the solver's machine.
//!
//! It does not know Dockerfiles (only their operations), images' names, or where anything is printed. What it needs of
//! the outside comes in through [`Surroundings`]: the store, local contexts, secrets, a source of base layers, a sink
//! for events and a wish to stop.
//!
//! Read [`build()`] first, then the performer in `perform.rs`: one straight function for each kind of operation, each
//! ending in a layer that is kept, adopted and recorded in one place. Files have a path of their own: a [`FileSource`]
//! is where they are, [`pick_copy`] what a copy selects and how that is digested, [`perform_copy`] what it changes. A
//! RUN step's mounts are made ready in `mounts.rs`, its process watched in `run.rs`.
#![forbid(unsafe_code)]

mod authorities;
mod build;
mod cancel;
pub mod cdi;
mod context;
mod copy;
mod device;
mod emulation;
mod error;
mod explain;
mod files_error;
mod freshness;
mod job;
mod makedir;
mod mounts;
mod packing;
mod passwd;
mod perform;
mod remote;
mod repository;
mod run;
mod secrets;
mod selection;
mod shell;
mod snapshotter;
mod source;
mod ssh;
#[cfg(test)]
mod testing;
mod tree;

pub use authorities::Authorities;
pub use build::{BaseError, BaseLayers, Built, BuiltTree, Request, Surroundings, build};
pub use cancel::{Cancel, Registered};
pub use context::{Ignored, Listing, LocalContext, newest_file, unpack_context};
pub use copy::{Workplace, fresh_times, perform_copy};
pub use device::{ReadyDevices, ready_devices};
pub use emulation::{EMULATED, NotRun, is_native, try_platform};
pub use error::{BuildError, StepError};
pub use files_error::FilesError;
pub use makedir::make_dir;
pub use packing::{LastLayer, Packing};
pub use passwd::{User, user, user_in};
pub use remote::{FetchError, Fetcher, FileFetched};
pub use repository::{GitSettings, Opened, Repositories, RepositoryError};
pub use run::{Confinement, ContainerFiles, DEFAULT_PATH, SandboxSettings, owners_in};
pub use secrets::{SecretError, SecretSource, Secrets};
pub use selection::{Picked, pick_copy, pick_mount};
pub use shell::{FailedStep, OnFailure};
pub use snapshotter::Snapshotter;
pub use source::{Bytes, FileSource, Item, ItemKind};
pub use ssh::{Agents, connect as connect_to_agent};
pub use tree::TreeFiles;
