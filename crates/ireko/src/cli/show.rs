//! Flags of the commands that only say something: `version`, `info`, `manifest`.

use super::registry::RegistryArgs;
use clap::Args;

/// Flags of `version` and `info`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// How it is printed: `json`, or a template such as `{{.Client.Version}}`.
    #[arg(short = 'f', long, value_name = "json|TEMPLATE")]
    pub(crate) format: Option<String>,
}

/// Flags of `manifest`.
#[derive(Debug, Args)]
pub(crate) struct ManifestArgs {
    /// The image.
    #[arg(value_name = "NAME")]
    pub(crate) image: String,
    /// Print the manifest or index as it lies there.
    #[arg(long)]
    pub(crate) raw: bool,
    /// The same with indents, as `docker manifest inspect` has it.
    #[arg(long, hide = true)]
    pub(crate) document: bool,
    /// How it is printed: `json`, or a template such as `{{.Manifest.Digest}}`.
    #[arg(long, value_name = "json|TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Accepted for `docker manifest inspect`'s sake.
    #[arg(short = 'v', hide = true)]
    pub(crate) v: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}
