//! Flags of the commands that look back at builds.

use super::Format;
use clap::Args;

/// Flags of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The image, by name or id, or a build; without one the builds are listed.
    pub(crate) image: Option<String>,
    /// The steps of this build.
    #[arg(long, value_name = "BUILD", conflicts_with = "image")]
    pub(crate) build: Option<String>,
    /// Which image of one for several platforms (default: this machine's, else the first).
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Print whole texts.
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Of an image only the ids, as far as there are any.
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// How the list is printed: `table`, `json`, or a template for each line: `{{.CreatedBy}}`, also after `table `.
    #[arg(long, value_name = "table|json|TEMPLATE", default_value = "table")]
    pub(crate) format: String,
    /// Accepted for `docker history`'s sake: sizes and times are always for people.
    #[arg(short = 'H', long, hide = true)]
    pub(crate) human: bool,
}

/// Flags of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The build, as `ireko history` names it (default: the last one); what names none is a step of the last one.
    pub(crate) build: Option<String>,
    /// The step: its number, or a part of its text (default: all).
    pub(crate) step: Option<String>,
}

/// Flags of `why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The step: its number, or a part of its text (default: all that ran).
    pub(crate) step: Option<String>,
    /// The build, as `ireko history` names it (default: the last one).
    #[arg(long, value_name = "BUILD")]
    pub(crate) build: Option<String>,
    /// How it is told.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}
