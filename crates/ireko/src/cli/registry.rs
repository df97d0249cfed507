//! Flags of the commands that talk to registries.

use super::Format;
use clap::Args;
use std::path::PathBuf;

/// How registries are reached, for every command that asks one; `docker`'s users set this in files.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RegistryArgs {
    /// The file with logins (default: $REGISTRY_AUTH_FILE, or those of Docker and Podman).
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// A login for the registry of the image named: `user:password`.
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) creds: Option<String>,
    /// A directory with certificates: authorities in `*.crt`, one's own in `NAME.cert` and `NAME.key`.
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// `false`: take any certificate, or plain HTTP, of the registries that the command line names; others, such as a base image's, are listed in IREKO_INSECURE_REGISTRIES.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub(crate) tls_verify: Option<String>,
    /// What the flags of others say of registries one by one.
    #[arg(skip)]
    pub(crate) reach: Reach,
}

/// How single registries are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Any certificate is taken of these, or plain HTTP.
    pub(crate) insecure: Vec<String>,
    /// Registries and what is asked before them.
    pub(crate) mirrors: Vec<(String, String)>,
    /// Files with authorities, by host.
    pub(crate) authorities: Vec<(String, PathBuf)>,
    /// A certificate and its key, by host.
    pub(crate) identities: Vec<(String, PathBuf, PathBuf)>,
}

/// Flags of `push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Images of the store, by the names that they are to have in their registries.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) images: Vec<String>,
    /// Every tag that the repository has in the store.
    #[arg(short = 'a', long)]
    pub(crate) all_tags: bool,
    /// Of images for several platforms only this one.
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// How layers are compressed: `gzip`, `zstd` or `uncompressed` (default: gzip; compressed ones from elsewhere as they came).
    #[arg(long, value_name = "HOW")]
    pub(crate) compression: Option<String>,
    /// How hard.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) compression_level: Option<u32>,
    /// Write the digest of what was pushed to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Accepted for `docker push`'s sake: nothing is signed.
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    /// Print nothing but the name that was pushed.
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// How it is told what was pushed.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Flags of `login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The registry (default: Docker's own).
    #[arg(value_name = "REGISTRY")]
    pub(crate) server: Option<String>,
    /// The name.
    #[arg(short = 'u', long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// The password; others on this machine see it in the list of processes.
    #[arg(short = 'p', long, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Read the password, or a token, from standard input.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Say who is logged in there, and do nothing.
    #[arg(long)]
    pub(crate) get_login: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Flags of `logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The registry (default: Docker's own).
    #[arg(value_name = "REGISTRY")]
    pub(crate) server: Option<String>,
    /// The file with logins (default: $REGISTRY_AUTH_FILE, or Docker's).
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
}
