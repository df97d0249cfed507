//! Flags of the commands that make images: where the result goes, and what is said of it.

use super::Progress;
use super::registry::RegistryArgs;
use clap::Args;
use std::path::PathBuf;

/// What becomes of an image, with the meaning it has in `docker buildx build`.
#[derive(Clone, Debug, Args)]
pub(crate) struct OutputArgs {
    /// Name of the image, `name[:tag]`, more than one allowed; where `build` has several targets it is the last one's, `STAGE=name` another's.
    #[arg(short = 't', long = "tag", value_name = "NAME")]
    pub(crate) tag: Vec<String>,
    /// Where the result goes: a directory, `type=local|tar|oci|docker,dest=PATH[,tar=false][,platform-split=false]`, `type=docker[,context=NAME]` (a running engine), `type=image|registry[,name=…][,push=true]` or `type=cacheonly` (nowhere); more than one allowed; `target=STAGE` where there are several targets.
    #[arg(short = 'o', long = "output", value_name = "DESTINATION")]
    pub(crate) output: Vec<String>,
    /// A label of the image.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// Give the image to a running Docker or Podman, with those layers that it lacks: the same as `-o type=docker`.
    #[arg(long)]
    pub(crate) load: bool,
    /// Push the image to the registries of its names: the same as `-o type=registry`.
    #[arg(long)]
    pub(crate) push: bool,
    /// Write the image id to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what was made, as JSON, to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Write the digest of what was pushed or written, that of its manifest or index, to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) digest_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub(crate) image_name_with_digest_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub(crate) image_name_tag_with_digest_file: Option<PathBuf>,
    /// Print nothing but the image id.
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// How progress is shown (default: $BUILDKIT_PROGRESS, or auto).
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) progress: Option<Progress>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}
