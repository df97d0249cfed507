//! Flags of the commands that look back at builds.

use super::Format;
use clap::Args;

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
