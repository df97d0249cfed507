//! The image config: what a container made from the image runs, and what the image is made of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, is_default, or_default, read_command, read_set, write_set};
use crate::{Digest, OciError, Platform, Timestamp};

/// The config of an image. Fields stand in the order BuildKit writes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// The processor architecture, in Go's spelling.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// Who made it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub author: String,
    /// What a container made from it runs.
    #[serde(default, deserialize_with = "or_default")]
    pub config: ContainerConfig,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The steps that made it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// The operating system.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// Features of the operating system that it needs.
    #[serde(
        default,
        rename = "os.features",
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The version of the operating system it needs.
    #[serde(
        default,
        rename = "os.version",
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub os_version: String,
    /// Its layers.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// The variant of the architecture.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub variant: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl ImageConfig {
    /// An empty config for this platform.
    pub fn for_platform(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            os_version: platform.os_version.clone(),
            os_features: platform.os_features.clone(),
            variant: platform.variant.clone(),
            ..Self::default()
        }
    }

    /// Reads a config.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        json::read("image config", bytes)
    }

    /// The bytes of the config, always the same for the same value.
    pub fn to_json(&self) -> Vec<u8> {
        json::write(self)
    }

    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
        }
        .normalized()
    }
}

/// What a container made from the image runs. An empty list and a missing one mean the same and are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User and group, by name or number.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub user: String,
    /// Ports it listens on: `80/tcp`.
    #[serde(
        default,
        deserialize_with = "read_set",
        serialize_with = "write_set",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub exposed_ports: BTreeSet<String>,
    /// Environment, each `NAME=value`, in order of first appearance.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What is always run.
    #[serde(default, deserialize_with = "read_command", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Arguments to the entry point, or what is run where there is none.
    #[serde(default, deserialize_with = "read_command", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Directories kept outside the container's own files.
    #[serde(
        default,
        deserialize_with = "read_set",
        serialize_with = "write_set",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub volumes: BTreeSet<String>,
    /// Where it starts.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to stop.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub stop_signal: String,
    /// Whether the command is escaped already (Windows).
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub args_escaped: bool,
    /// How to see whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions to run when another image is built from this one.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The shell for the shell form of instructions.
    #[serde(default, deserialize_with = "read_command", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Seconds to wait before it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl ContainerConfig {
    /// The value of an environment variable.
    pub fn env_get(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    /// Sets an environment variable where it stands, or at the end.
    pub fn env_set(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        match self.env.iter_mut().find(|old| is_named(old, name)) {
            Some(old) => *old = entry,
            None => self.env.push(entry),
        }
    }
}

/// Whether `NAME=value`, or `NAME` alone, is of this name.
fn is_named(pair: &str, name: &str) -> bool {
    pair.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// How to see whether a container is well. Durations are in nanoseconds; zero means the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", args…]`, `["CMD-SHELL", text]`; empty inherits.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between checks.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub interval: i64,
    /// Time a check may take.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub timeout: i64,
    /// Time to start in, during which failures do not count.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub start_period: i64,
    /// Time between checks while starting.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub start_interval: i64,
    /// Failures in a row until it counts as unwell.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub retries: i64,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// The layers of an image by their diff IDs, bottom first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default = "layers")]
    pub kind: String,
    /// Digests of the uncompressed tar streams.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: layers(), diff_ids: Vec::new() }
    }
}

fn layers() -> String {
    "layers".to_owned()
}

/// One step in the making of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// By which instruction.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub created_by: String,
    /// By whom.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub author: String,
    /// What the builder noted.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub empty_layer: bool,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// The chain ID of a stack of layers, bottom first; nothing for an empty stack.
pub fn chain_id(diff_ids: &[Digest]) -> Option<Digest> {
    chain_ids(diff_ids).pop()
}

/// The chain ID of each layer with all layers below it.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => *diff_id,
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}

#[cfg(test)]
mod tests;
