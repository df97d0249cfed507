//! What can be typed: commands and their flags, with the words of `--help`.

use crate::devices::DeviceArgs;
use crate::limits::{LimitArgs, RunLimitArgs};
mod base;
pub(crate) mod builds;
pub(crate) mod others;
mod output;
mod pack;
pub(crate) mod registry;
mod sbom;
pub(crate) mod show;
pub(crate) mod words;

use clap::builder::ValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

mod store;

pub(crate) use base::{ArchiveArgs, BaseArgs};
pub(crate) use builds::HistoryArgs;
pub(crate) use output::OutputArgs;
pub(crate) use pack::{PackArgs, Scripts};
pub(crate) use sbom::{SbomArgs, SbomCommandArgs};
pub(crate) use store::{
    BuilderCommand, By, CacheCommand, DuArgs, ImageCommand, ImagePruneArgs, PruneArgs, SystemCommand,
    SystemPruneArgs,
};

/// Builds small container images from Dockerfiles, fast: no daemon, no root.
#[derive(Debug, Parser)]
#[command(name = "ireko", version, about, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = words::HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads what was typed as Docker does: the last of a repeated flag counts, and a switch may be given a
    /// value (`--pull=false`). Help shows switches without it.
    pub(crate) fn read(typed: &[OsString]) -> Result<Self, clap::Error> {
        let matches = as_docker(Self::command()).try_get_matches_from(typed).map_err(|error| {
            let of_help = |plain: &clap::Error| plain.kind() == error.kind() && !plain.use_stderr();
            Self::command().try_get_matches_from(typed).err().filter(of_help).unwrap_or(error)
        })?;
        Self::from_arg_matches(&matches)
    }
}

fn as_docker(command: clap::Command) -> clap::Command {
    let switch = |arg: clap::Arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_name("true|false")
            .value_parser(ValueParser::new(truth)),
        _ => arg,
    };
    command.args_override_self(true).mut_args(switch).mut_subcommands(as_docker)
}

/// A switch's value, in the words that Go takes.
pub(crate) fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

/// When a registry is asked for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Each time.
    Always,
    /// For what is not here.
    Missing,
    /// Never.
    Never,
}

/// Docker's words for it, and Podman's.
fn pull(text: &str) -> Result<Pull, String> {
    match text {
        "always" | "newer" => Ok(Pull::Always),
        "missing" | "ifnewer" => Ok(Pull::Missing),
        "never" => Ok(Pull::Never),
        other => match truth(other) {
            Ok(true) => Ok(Pull::Always),
            Ok(false) => Ok(Pull::Missing),
            Err(_) => Err("use always, missing or never".to_owned()),
        },
    }
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Say more: the sandbox level, why a step missed, what was fetched.
    #[arg(long, global = true)]
    pub(crate) verbose: bool,
    /// The store (default: $IREKO_HOME, or `ireko` in the user's data directory).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// How steps are confined: auto, root, rootless, single-id or none (default: $IREKO_LEVEL, or auto).
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// How steps are shown their files: overlay, copy, or auto for overlay where it works (default: $IREKO_SNAPSHOTTER).
    #[arg(long, global = true, value_name = "HOW")]
    pub(crate) snapshotter: Option<String>,
    /// What commands may be kept apart by where no better level works: auto for nothing less, chroot, or
    /// chroot-without-proc (default: $IREKO_ISOLATION, or auto).
    #[arg(long, global = true, value_name = "HOW")]
    pub(crate) isolation: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an image from a Dockerfile.
    Build(Box<BuildArgs>),
    /// Make an image of files that are there, and what they need to run: no Dockerfile, no base image.
    Pack(Box<PackArgs>),
    /// Make a base image out of Debian's or Ubuntu's archive: no registry, no Dockerfile.
    Base(Box<BaseArgs>),
    /// Say what an image of the store consists of, as SPDX or CycloneDX.
    Sbom(SbomCommandArgs),
    /// Start a container from an image of the store.
    #[command(disable_help_flag = true)]
    Run(Box<RunArgs>),
    /// List the images of the store.
    #[command(visible_alias = "ls")]
    Images(ImagesArgs),
    /// Show everything known of an image, as JSON.
    Inspect(InspectArgs),
    /// Show the steps that made an image, or the builds that were made.
    History(HistoryArgs),
    /// Show what the steps of a build wrote.
    Logs(builds::LogsArgs),
    /// Say why the steps of a build had to run.
    Why(builds::WhyArgs),
    /// Remove images.
    Rmi(RmiArgs),
    /// Give an image another name.
    Tag(TagArgs),
    /// Read images from an archive or an OCI layout.
    Load(LoadArgs),
    /// Write images to an archive.
    Save(SaveArgs),
    /// Fetch an image from a registry.
    Pull(PullArgs),
    /// Push images to their registries.
    Push(registry::PushArgs),
    /// Keep a login for a registry, as Docker does.
    Login(registry::LoginArgs),
    /// Forget the login for a registry.
    Logout(registry::LogoutArgs),
    /// Show what a registry has under a name.
    Manifest(show::ManifestArgs),
    /// Look after the build cache.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Look after the build cache, as Docker calls it.
    #[command(subcommand)]
    Builder(BuilderCommand),
    /// Show and free what the store takes, as Docker calls it.
    #[command(subcommand)]
    System(SystemCommand),
    /// The commands for images, as Docker calls them, and `prune`.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Show what a build would read of its context.
    Context(ContextArgs),
    /// Say what works on this machine, and how to mend what does not.
    Doctor(DoctorArgs),
    /// Say which version this is, as Docker does.
    Version(show::ShowArgs),
    /// Say what there is here, in short.
    Info(show::ShowArgs),
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A live view on a terminal, plain lines elsewhere.
    Auto,
    /// One line an event.
    Plain,
    /// The live view.
    Tty,
    /// One JSON object an event.
    #[value(alias = "rawjson")]
    Json,
    /// Nothing but errors.
    #[value(alias = "none")]
    Quiet,
}

/// What happens when a RUN step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailure {
    /// The build ends.
    Stop,
    /// The build ends after a shell in the failed step, with its files, mounts, variables, user and directory.
    Shell,
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs; fields are documented and stable.
    Json,
}

/// Flags that `build` and `context` share: what is built.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The context: a directory, a git repository, the URL of a tar, or `-` for a tar (or a Dockerfile alone) on standard input.
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub(crate) context: String,
    /// The Dockerfile (default: `Dockerfile` in the context); `-` reads it from standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// The ignore file (default: `FILE.dockerignore` beside the Dockerfile, or `.dockerignore` of the context).
    #[arg(long, value_name = "FILE")]
    pub(crate) ignorefile: Option<PathBuf>,
    /// Another context by name: `name=path`, `name=https://…` (a file, or a git repository), `name=docker-image://ref` or `name=oci-layout://dir[:tag]`.
    #[arg(long, value_name = "NAME=SOURCE")]
    pub(crate) build_context: Vec<String>,
    /// A build argument; `NAME` alone takes the value of the environment.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) build_arg: Vec<String>,
    /// The stage to build (default: the last); several, `a,b` or given again, are built together.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) target: Vec<String>,
    /// The platforms to build for, `linux/arm64`; several, with commas or by more flags, make one image for all of them
    /// (default: $DOCKER_DEFAULT_PLATFORM, or this machine's).
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub(crate) platform: Vec<String>,
}

/// Flags of `build`, with the meaning they have in `docker buildx build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) out: OutputArgs,
    /// A secret for `RUN --mount=type=secret`: `id=NAME[,src=FILE|,env=VARIABLE]`.
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<String>,
    /// An ssh agent for `RUN --mount=type=ssh` and git: `default` (yours), `id=SOCKET` or `id=KEYFILE[,KEYFILE]`.
    #[arg(long, value_name = "AGENT")]
    pub(crate) ssh: Vec<String>,
    /// What the Dockerfile may ask for: `security.insecure` (steps without confinement), `network.host`, `device[=NAME[,alias=OTHER]]`.
    #[arg(long, value_name = "WHAT")]
    pub(crate) allow: Vec<String>,
    /// Check the Dockerfile and build nothing; exit code 1 where there are warnings.
    #[arg(long)]
    pub(crate) check: bool,
    /// Build nothing but say: `check`, `outline` (what a target takes), `targets` or `subrequests.describe`; `,format=json` for programs.
    #[arg(long, value_name = "METHOD")]
    pub(crate) call: Option<String>,
    /// What the store may take at the end of the build: `10g`; what is worth least goes (default: $IREKO_CACHE_MAX_SIZE, or no limit).
    #[arg(long, value_name = "SIZE")]
    pub(crate) cache_max_size: Option<String>,
    /// Run every step, whatever the cache holds.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Run every step of these stages.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// How long a RUN step's remembered result counts: `24h`, `7d`; a comment `# ireko:cache-ttl=…` above the step wins.
    #[arg(long, value_name = "AGE")]
    pub(crate) cache_ttl: Option<String>,
    /// Ask the registry for base images even if the store or an engine has them; `never`: the same as --offline.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "always", value_name = "always|missing|never", value_parser = pull)]
    pub(crate) pull: Option<Pull>,
    /// Ask no registry: base images are in the store or in a running engine.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Network of RUN steps: `default`, `host` or `none`.
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub(crate) network: String,
    /// An extra line of /etc/hosts in RUN steps: `name:address`.
    #[arg(long, value_name = "HOST:IP")]
    pub(crate) add_host: Vec<String>,
    /// A file with certificate authorities that the build and its steps trust too; nothing of it stays in the image.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// Give RUN steps the proxies that this process has (`HTTP_PROXY` and its kin).
    #[arg(long)]
    pub(crate) http_proxy: bool,
    /// Size of /dev/shm in RUN steps.
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
    /// A limit for RUN steps: `name=soft[:hard]`.
    #[arg(long, value_name = "LIMIT")]
    pub(crate) ulimit: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    /// RUN steps at one time (default: four a core, at least 16).
    #[arg(short = 'j', long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// The same as --verbose.
    #[arg(short = 'v')]
    pub(crate) v: bool,
    /// Say every difference that made a step miss the cache.
    #[arg(long)]
    pub(crate) explain: bool,
    /// What happens when a RUN step fails; `shell` needs a terminal.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "stop")]
    pub(crate) on_failure: OnFailure,
    /// `off`: a step runs again whenever a step below it ran, even if that gave the same result.
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"], hide_possible_values = true)]
    pub(crate) cache_cutoff: String,
    #[command(flatten)]
    pub(crate) others: others::OthersArgs,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Remove the container when it ends (always so; accepted for `docker run`'s sake).
    #[arg(long)]
    pub(crate) rm: bool,
    /// Publish a port: `[address:]outside:inside`, or `inside` on a free port.
    #[arg(short = 'p', long = "publish", value_name = "PORT")]
    pub(crate) publish: Vec<String>,
    /// Not supported: a container ends with its command.
    #[arg(short = 'd', long, hide = true)]
    pub(crate) detach: bool,
    /// Mount a host path: `host:inside[:ro]`; `inside` alone is a volume of the container's own.
    #[arg(short = 'v', long = "volume", value_name = "MOUNT")]
    pub(crate) volume: Vec<String>,
    #[command(flatten)]
    pub(crate) devices: crate::devices::DeviceArgs,
    /// A line of /etc/hosts: `name:address`.
    #[arg(long, value_name = "HOST:IP")]
    pub(crate) add_host: Vec<String>,
    /// Ask the registry for the image before: `always`, `missing` for one that is not here, or `never` (default).
    #[arg(long, value_name = "always|missing|never", value_parser = pull)]
    pub(crate) pull: Option<Pull>,
    #[command(flatten)]
    pub(crate) others: others::RunOthersArgs,
    /// An environment variable; `NAME` alone takes the value of this environment.
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Environment variables, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Working directory.
    #[arg(short = 'w', long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User: name or number, with an optional group.
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Program to start instead of the image's entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Pass standard input.
    #[arg(short = 'i', long)]
    pub(crate) interactive: bool,
    /// Give it a terminal.
    #[arg(short = 't', long)]
    pub(crate) tty: bool,
    /// Name of the container, also its host name unless that is given.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Host name.
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Network: `host`, `none`, or `private` (loopback only, reached through -p).
    #[arg(long, alias = "net", value_name = "MODE")]
    pub(crate) network: Option<String>,
    /// Size of /dev/shm (default: 64m).
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
    #[command(flatten)]
    pub(crate) limits: RunLimitArgs,
    /// An empty file system in memory: `inside[:size=64m,mode=1777,ro,exec]`.
    #[arg(long, value_name = "MOUNT")]
    pub(crate) tmpfs: Vec<String>,
    /// No writes to the root file system.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Which image of one for several platforms (default: $DOCKER_DEFAULT_PLATFORM, or this machine's).
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// The image, by name or id; then arguments in place of its CMD: flags that stand there are the program's.
    #[arg(value_name = "IMAGE [ARGUMENTS]", required = true, trailing_var_arg = true)]
    words: Vec<String>,
}

impl RunArgs {
    /// The image, by name or id.
    pub(crate) fn image(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// What stands after it.
    pub(crate) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// Flags of `images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Only images of this `repository[:tag]`; `*`, `?` and `[a-z]` match within a part of it.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) pattern: Option<String>,
    /// Images without a name too (always so; accepted for `docker images`' sake).
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Only images for which this holds: `reference=PATTERN`, `label=NAME[=VALUE]`, `dangling=true|false`,
    /// `before=IMAGE` or `since=IMAGE`; may be given more than once.
    #[arg(short = 'f', long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Show the digests of the manifests too.
    #[arg(long)]
    pub(crate) digests: bool,
    /// Print ids only.
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Print whole ids.
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// How the list is printed: `table`, `json`, or a template for each name: `{{.Repository}}:{{.Tag}}`, also after `table `.
    #[arg(long, value_name = "table|json|TEMPLATE", default_value = "table")]
    pub(crate) format: String,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Images, by name or id.
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
    /// Which image of one for several platforms (default: this machine's, else the first).
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// How it is printed: `json`, or a template: `{{.Id}}`, `{{json .Config}}`, `{{index .RepoTags 0}}`.
    #[arg(short = 'f', long, default_value = "json")]
    pub(crate) format: String,
    /// Accepted for `docker inspect`'s sake: only images there are, and their size is always told.
    #[arg(long, hide = true, value_parser = ["image"])]
    pub(crate) r#type: Option<String>,
    #[arg(short = 's', long, hide = true)]
    pub(crate) size: bool,
}

/// Flags of `rmi`.
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// Images, by name or id.
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
    /// Remove an id with all its names; a missing image is no error.
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    /// Accepted for `docker rmi`'s sake: what only the cache has stays anyway.
    #[arg(long, hide = true)]
    pub(crate) no_prune: bool,
    /// How it is told what was done.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Flags of `tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// The image, by name or id.
    pub(crate) image: String,
    /// The new name.
    pub(crate) name: String,
    /// How it is told what was done.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Flags of `load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Which image of one for several platforms (default: this machine's).
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// The archive or layout directory (default: standard input).
    #[arg(short = 'i', long, value_name = "PATH")]
    pub(crate) input: Option<PathBuf>,
    /// Print ids only.
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// How it is told what was done.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Flags of `save`.
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// Images, by name or id.
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
    /// The file (default: standard output, unless that is a terminal).
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// `docker` or `oci`.
    #[arg(long, default_value = "docker")]
    pub(crate) r#type: String,
    /// Of images for several platforms only this one; `--type oci` holds all of them otherwise.
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// How it is told what was written; `json` takes `-o`, since standard output holds the archive otherwise.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Flags of `pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// The images.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) images: Vec<String>,
    /// The platform to fetch (default: $DOCKER_DEFAULT_PLATFORM, or this machine's).
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Print nothing but the ids.
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Accepted for `docker pull`'s sake: nothing of the kind is asked for.
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    #[command(flatten)]
    pub(crate) registry: registry::RegistryArgs,
}

/// Flags of `context`.
#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

#[cfg(test)]
mod tests;
