//! Names of annotations and labels.

/// In an index: the tag (OCI layout), or the whole name (some tools).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// In an index: the whole canonical name, as containerd and Docker write it.
pub const CONTAINERD_IMAGE_NAME: &str = "io.containerd.image.name";
/// When the image was made.
pub const CREATED: &str = "org.opencontainers.image.created";
/// The base image's digest.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// The base image's name.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The revision of the source.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// Where the source is.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// The title.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The version of what is packaged.
pub const VERSION: &str = "org.opencontainers.image.version";
/// In an index: marks an attestation (`attestation-manifest`).
pub const DOCKER_REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// In an index: the image an attestation is about.
pub const DOCKER_REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
