//! Flags about what an image consists of.

use clap::Args;

/// A flag of the commands that know what they put into an image.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SbomArgs {
    /// Write what the image consists of to this file (`-` is standard output), as SPDX 2.3, or as CycloneDX 1.6 where
    /// `cyclonedx=` stands before it or its name ends in `.cdx.json`; more than one allowed.
    #[arg(long, value_name = "[spdx=|cyclonedx=]FILE")]
    pub(crate) sbom: Vec<String>,
}

/// Flags of `sbom`.
#[derive(Debug, Args)]
pub(crate) struct SbomCommandArgs {
    /// The image.
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Where it goes and in which form, as for --sbom of `pack` (default: `-`, as SPDX); more than one allowed.
    #[arg(short = 'o', long, value_name = "[spdx=|cyclonedx=]FILE")]
    pub(crate) output: Vec<String>,
    /// Tell of every file, too, and whose it is.
    #[arg(long)]
    pub(crate) files: bool,
    /// The platform, where the image is for several (default: this machine's).
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
}
