//! Flags of `docker build`, `podman build` and `buildah bud` that `build` takes for the sake of scripts, beside its own.

use clap::Args;

/// What scripts pass: some of it has a meaning here, some of it none, and some of it is told of in a warning.
#[derive(Debug, Default, Args)]
pub(crate) struct OthersArgs {
    /// An annotation of the manifest, where the image is pushed or written in the form of OCI: `[manifest:]NAME=VALUE`.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) annotation: Vec<String>,

    /// What has no place yet: told of in a warning, since the image is the same.
    #[arg(long, hide = true)]
    pub(crate) cache_from: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) cache_to: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) attest: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) provenance: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) sbom: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) builder: Option<String>,

    /// Said in other words.
    #[arg(long, hide = true)]
    pub(crate) arch: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) os: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) variant: Option<String>,
    #[arg(long, hide = true, visible_alias = "source-date-epoch")]
    pub(crate) timestamp: Option<String>,
    #[arg(long, hide = true, value_parser = ["oci", "docker"])]
    pub(crate) format: Option<String>,

    /// Right with one value, and refused with another.
    #[arg(long, hide = true)]
    pub(crate) security_opt: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) squash: bool,
    #[arg(long, hide = true)]
    pub(crate) squash_all: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) layers: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) skip_unused_stages: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) cgroupns: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) ipc: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) pid: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) userns: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) uts: Option<String>,

    /// kaniko's: registries are not asked before the first step whether they take what is pushed.
    #[arg(long, hide = true)]
    pub(crate) skip_push_permission_check: bool,

    /// Without a meaning here: a build leaves no containers, sends no context, signs nothing, tries again by itself, and
    /// keeps layers as they are.
    #[arg(long, hide = true)]
    pub(crate) rm: bool,
    #[arg(long, hide = true)]
    pub(crate) force_rm: bool,
    #[arg(long, hide = true)]
    pub(crate) compress: bool,
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    #[arg(short = 'D', long, hide = true, visible_alias = "debug")]
    pub(crate) disable_compression: bool,
    #[arg(long, hide = true)]
    pub(crate) identity_label: bool,
    #[arg(long, hide = true)]
    pub(crate) retry: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) retry_delay: Option<String>,

    /// What is to be told at the begin, by who made these arguments of others.
    #[arg(skip)]
    pub(crate) notes: Vec<String>,
}

/// Flags of `docker run` without a meaning here: a container is not kept, so nobody asks for its labels, health and
/// log; it stays in front, so signals go to it.
#[derive(Debug, Default, Args)]
pub(crate) struct RunOthersArgs {
    #[arg(short = 'l', long, hide = true)]
    pub(crate) label: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) label_file: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) annotation: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) expose: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) no_healthcheck: bool,
    #[arg(long, hide = true)]
    pub(crate) health_cmd: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) health_interval: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) health_retries: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) health_start_period: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) health_timeout: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) detach_keys: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = ["true"])]
    pub(crate) sig_proxy: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) log_driver: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) log_opt: Vec<String>,
    #[arg(short = 'q', long, hide = true)]
    pub(crate) quiet: bool,
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    #[arg(long, hide = true)]
    pub(crate) stop_signal: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) stop_timeout: Option<String>,
    #[arg(long, hide = true, value_parser = ["no"])]
    pub(crate) restart: Option<String>,
}
