//! Flags of `base`, and those by which Debian's archive is asked.

use super::{Format, OutputArgs, SbomArgs};
use clap::Args;
use std::path::PathBuf;

/// One of a list, in which people write blanks behind commas.
pub(super) fn word(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.trim().to_owned())
}

/// Where packages come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ArchiveArgs {
    /// The mirror, `http(s)://…` or `file://…` (default: what this machine's apt uses for that suite, else the distribution's own).
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Keys that must have signed the archive (default: those that apt trusts for it).
    #[arg(long, value_name = "FILE")]
    pub(crate) signed_by: Vec<PathBuf>,
    /// Components: `main,contrib` (default: the sources' own, or `main`).
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = word)]
    pub(crate) components: Vec<String>,
    /// The archive as it was at this time: `20250520T000000Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) snapshot: Option<String>,
    /// A file with certificate authorities that the mirror's is checked with, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
}

/// What the base consists of.
#[derive(Debug, Args)]
pub(crate) struct BaseArgs {
    /// The base: `debian:bookworm-slim`, `debian:stable`, `debian:bookworm-distroless`, `ubuntu:24.04`; it has that name where -t gives no other. With --outdated, an image of the store.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Make nothing: list what the archive has newer than this image of Debian or Ubuntu; the exit code is 1 if there is anything.
    #[arg(long, conflicts_with_all = ["include", "recommends", "tag", "output", "push", "load", "label"])]
    pub(crate) outdated: bool,
    /// How the list of --outdated is printed.
    #[arg(long, value_enum, default_value = "table", requires = "outdated", value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Packages beside: `name`, `name=version`, `name/suite`.
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',', value_parser = word)]
    pub(crate) include: Vec<String>,
    /// Also what packages recommend.
    #[arg(long)]
    pub(crate) recommends: bool,
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// The platform (default: $DOCKER_DEFAULT_PLATFORM, or this machine's).
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) sbom: SbomArgs,
    #[command(flatten)]
    pub(crate) out: OutputArgs,
}
