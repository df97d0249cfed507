//! What can be typed to look after the store: `cache`, and its commands under the names that Docker has for them.

use super::Format;
use clap::{Args, Subcommand};

/// Commands of `cache`.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show what takes space.
    Du(DuArgs),
    /// Remove what no image needs and nobody used for a week, or what the flags choose.
    Prune(PruneArgs),
    /// Check everything the store holds.
    #[command(visible_alias = "check")]
    Fsck {
        /// Drop what is damaged and can be made again.
        #[arg(long)]
        repair: bool,
        /// How the findings are printed.
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

/// Commands of `builder`.
#[derive(Debug, Subcommand)]
pub(crate) enum BuilderCommand {
    /// Show what takes space: `ireko cache du`.
    Du(DuArgs),
    /// Remove what no tagged image needs and no process uses: `ireko cache prune --keep 0s`.
    Prune(PruneArgs),
}

/// Commands of `system`.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    /// Show what takes space, as `docker system df` does.
    Df(DfArgs),
    /// Remove images without a name, and all that no tagged image needs.
    Prune(SystemPruneArgs),
}

/// Commands of `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Remove images without a name.
    Prune(ImagePruneArgs),
}

/// By what space is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum By {
    /// The biggest things, then kinds and projects.
    Item,
    /// Kinds of things.
    Kind,
    /// The projects whose steps made them.
    Project,
    /// The stages of these.
    Stage,
}

/// Flags of `cache du`.
#[derive(Debug, Args)]
pub(crate) struct DuArgs {
    /// What is listed: item, kind, project or stage.
    #[arg(long, value_enum, default_value = "item", hide_possible_values = true)]
    pub(crate) by: By,
    /// How the list is printed; `json` has all of it.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Flags of `system df`.
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    /// The kinds of things and the images too.
    #[arg(short = 'v')]
    pub(crate) v: bool,
    /// How the list is printed: `table`, `json`, or a template for each line: `{{.Type}} {{.Size}}`, also after `table `.
    #[arg(long, value_name = "table|json|TEMPLATE", default_value = "table")]
    pub(crate) format: String,
}

/// Flags of `cache prune` and `builder prune`, with the names that `docker builder prune` and `docker buildx prune` have.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Every record, cache mount and unpacked tree, whenever used; tagged images keep their blobs.
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Do not ask.
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Remove nothing, only tell.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove what nobody used for this long: `7d`, `24h`.
    #[arg(long, visible_alias = "unused-for", value_name = "TIME")]
    pub(crate) keep: Option<String>,
    /// Then remove what is worth least (by its last use, and the time that its bytes would take to make again) until no more than this is left: `10g`.
    #[arg(long, visible_alias = "max-used-space", value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    /// The same until so much of the disk is free.
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_free_space: Option<String>,
    /// Stop where no more than this is left; without another size the same as --max-size.
    #[arg(long, visible_alias = "keep-storage", value_name = "SIZE")]
    pub(crate) reserved_space: Option<String>,
    /// Only this: `until=24h` (not used since), `type=…`, `id=…`, `description=…`, `project=…`, `stage=…`, `inuse`, `mutable`, `shared` or `private`; `!=` for the contrary; all of several.
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// How it is told what was removed.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// Accepted for `docker buildx prune`'s sake.
    #[arg(long, hide = true)]
    pub(crate) builder: Option<String>,
}

/// Flags of `system prune`.
#[derive(Debug, Args)]
pub(crate) struct SystemPruneArgs {
    /// Unpacked trees of tagged images too; they keep their blobs.
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Do not ask.
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Accepted for `docker system prune`'s sake: volumes end with their containers.
    #[arg(long, hide = true)]
    pub(crate) volumes: bool,
    /// Only this, as for `cache prune`.
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// How it is told what was removed.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Flags of `image prune`.
#[derive(Debug, Args)]
pub(crate) struct ImagePruneArgs {
    /// Accepted for `docker image prune`'s sake: tagged images stay, `ireko rmi` removes them.
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Do not ask.
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Only images for which this holds: `until=24h` (made before), `label=NAME[=VALUE]`, `label!=NAME[=VALUE]`.
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// How it is told what was removed.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}
