//! Flags of `pack`.

use super::base::word;
use super::{ArchiveArgs, OutputArgs, SbomArgs};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What is packed, and how it starts.
#[derive(Clone, Debug, Args)]
pub(crate) struct PackArgs {
    /// Files and directories: `PATH`, which lies at `/NAME` in the image, or `PATH:/PLACE`. Programs bring what they need.
    #[arg(value_name = "PATH[:PLACE]")]
    pub(crate) paths: Vec<String>,
    /// Packages of a Debian archive and what they need: `name`, `name=version`, `name/suite`. They are the base then.
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',', value_parser = word, conflicts_with_all = ["from", "root"])]
    pub(crate) deb: Vec<String>,
    /// The suite they are taken from: `debian:bookworm`, `ubuntu:24.04` (default: this machine's).
    #[arg(long, value_name = "SUITE")]
    pub(crate) suite: Option<String>,
    /// Of the packages take only what the program and --include need.
    #[arg(long)]
    pub(crate) minimal: bool,
    /// Whether maintainer scripts run in a confined step (default: `auto`, where an image would not be right without).
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) scripts: Option<Scripts>,
    /// Keep the packages' documentation, manual pages and translations.
    #[arg(long)]
    pub(crate) docs: bool,
    /// Leave out what fits this pattern: `/usr/lib/python3*/test/*`, where a star takes slashes.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Also what packages recommend.
    #[arg(long)]
    pub(crate) recommends: bool,
    /// The platform of the packages (default: $DOCKER_DEFAULT_PLATFORM, or this machine's).
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) archive: ArchiveArgs,
    /// Files, directories and programs of the base (this machine, or what --from or --root names) that come along, at
    /// the places that they have there.
    #[arg(long, value_name = "PATH", value_delimiter = ',', value_parser = word)]
    pub(crate) include: Vec<String>,
    /// What programs read beside: `ca-certificates`, `tzdata`, `nss` (users, and how names of hosts are looked up), `tmp`;
    /// `os-release` for scanners.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = word)]
    pub(crate) with: Vec<String>,
    /// Take shared objects and helpers from this image of the store (default: from this machine).
    #[arg(long, value_name = "IMAGE")]
    pub(crate) from: Option<String>,
    /// Take them from this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    pub(crate) root: Option<PathBuf>,
    /// Where the loader looks first, as with LD_LIBRARY_PATH; the image has that variable too.
    #[arg(long, value_name = "DIR")]
    pub(crate) library_path: Vec<String>,
    /// The program to start: a path, or a JSON array of words (default: the file that was named, where there is one).
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Its arguments, or what starts where there is no entry point: words, or a JSON array of them.
    #[arg(long, value_name = "WORDS")]
    pub(crate) cmd: Option<String>,
    /// An environment variable; `NAME` alone takes the value of this environment.
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// User and group, by number: `65532` or `65532:65532`.
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Working directory.
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// A port it listens on: `8080` or `53/udp`.
    #[arg(long, value_name = "PORT")]
    pub(crate) expose: Vec<String>,
    /// A directory kept outside the container's own files.
    #[arg(long, value_name = "DIR")]
    pub(crate) volume: Vec<String>,
    /// The signal that asks it to stop.
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// Layers at most (default: 100).
    #[arg(long, value_name = "N")]
    pub(crate) max_layers: Option<usize>,
    /// Take flags from this file (`image.toml`), whose keys have their names: `deb = ["hello"]`.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Write what the image is made of, with hashes and addresses (default: `image.lock` beside the file of -f, or here).
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "locked")]
    pub(crate) lock: Option<Option<PathBuf>>,
    /// Take what such a file names and nothing else; no list of the archive is asked.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) locked: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub(crate) sbom: SbomArgs,
    #[command(flatten)]
    pub(crate) out: OutputArgs,
}

/// When maintainer scripts of packages run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scripts {
    /// Where what they do would be missed.
    #[default]
    Auto,
    /// All of them, always.
    Always,
    /// None: what they would do is told.
    Never,
}
