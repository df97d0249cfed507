//! Writing images: archives and layout directories with compressed layers.

use std::path::PathBuf;
use std::sync::Arc;

use ireko_layer::Compression;
use ireko_oci::{Digest, Reference};
use ireko_report::Sink;
use ireko_store::{Image, Store};

use crate::assemble::Assembled;
use crate::error::Result;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout in a tar.
    OciTar,
    /// An OCI layout directory.
    OciDir,
    /// An archive for `docker load`, with Docker's media types; also an OCI layout.
    DockerTar,
    /// The same as a directory.
    DockerDir,
    /// The root file system as one tar.
    Tar,
    /// The root file system in a directory.
    Local,
}

/// Where it is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A file or directory of this machine.
    Path(PathBuf),
    /// The standard output of this process.
    Stdout,
}

/// What is written, where, and how its layers are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What.
    pub form: Form,
    /// Where.
    pub to: To,
    /// How; gzip where nothing is said, and compressed layers from elsewhere as they came.
    pub compression: Option<Compression>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The digest of the manifest, where there is just one.
    pub manifest: Option<Digest>,
    /// How many bytes.
    pub bytes: u64,
}

/// Writes one image. Its layers must be in the store: see [`crate::Images::complete`].
pub fn export(
    store: &Arc<Store>,
    image: &Assembled,
    names: &[Reference],
    destination: &Destination,
    threads: usize,
    sink: &dyn Sink,
) -> Result<Exported> {
    unimplemented!("being built")
}

/// Writes several images of the store into one archive.
pub fn save(
    store: &Arc<Store>,
    images: &[(Image, Vec<Reference>)],
    destination: &Destination,
    threads: usize,
    sink: &dyn Sink,
) -> Result<Exported> {
    unimplemented!("being built")
}
