//! The files that say what a device needs (Container Device Interface), as types.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One file: devices of one kind.
#[derive(Debug, Deserialize)]
pub(super) struct Spec {
    #[serde(rename = "cdiVersion")]
    version: String,
    pub(super) kind: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) devices: Vec<Device>,
    /// For each of its devices.
    #[serde(default, rename = "containerEdits", deserialize_with = "or_nothing")]
    pub(super) edits: Edits,
}

/// One device.
#[derive(Debug, Deserialize)]
pub(super) struct Device {
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, rename = "containerEdits", deserialize_with = "or_nothing")]
    pub(super) edits: Edits,
}

/// What is done for whoever uses it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edits {
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) env: Vec<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) device_nodes: Vec<Node>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) mounts: Vec<Mount>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) hooks: Vec<Hook>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) additional_gids: Vec<u32>,
    /// What there is beside these.
    #[serde(flatten)]
    pub(super) others: BTreeMap<String, Value>,
}

/// A device file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    pub(super) path: PathBuf,
    host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) file_mode: Option<u32>,
    pub(super) permissions: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Node {
    /// Where it is on this machine.
    pub(super) fn host(&self) -> &Path {
        let named = self.host_path.as_deref().filter(|path| !path.as_os_str().is_empty());
        named.unwrap_or(&self.path)
    }
}

/// A file or directory of this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mount {
    pub(super) host_path: PathBuf,
    pub(super) container_path: PathBuf,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) options: Vec<String>,
}

/// A program of this machine that is to change the container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hook {
    pub(super) hook_name: String,
    pub(super) path: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) args: Vec<String>,
}

/// `null` stands for nothing.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// In YAML a name such as 0 is a number, unless it is quoted.
fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(name) => Ok(name),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("the name of a device is neither a text nor a number")),
    }
}

impl Spec {
    /// Reads a file's text: YAML, of which JSON is a part.
    pub(super) fn parse(text: &str, is_json: bool) -> Result<Self, String> {
        let value: Value = if is_json {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            // A mode is written 0660, as in YAML 1.1.
            let options = serde_saphyr::options! { legacy_octal_numbers: true };
            serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| first_line(&error.to_string()))?
        };
        let spec: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), String> {
        let version = self.version.trim_start_matches('v');
        if !["0.", "1."].iter().any(|known| version.starts_with(known)) {
            return Err(format!("cdiVersion `{}` is none that ireko knows", self.version));
        }
        if !is_kind(&self.kind) {
            return Err(format!("kind `{}` is not of the form vendor.com/class", self.kind));
        }
        if let Some(device) = self.devices.iter().find(|device| !is_name(&device.name)) {
            return Err(format!("`{}` is no name of a device", device.name));
        }
        Ok(())
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Whether it is a vendor and a class.
pub(super) fn is_kind(kind: &str) -> bool {
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let begins = |text: &str| text.starts_with(|first: char| first.is_ascii_alphabetic());
    begins(vendor) && begins(class) && is_word(vendor, "_-.") && is_word(class, "_-")
}

/// Whether it can be the name of a device.
pub(super) fn is_name(name: &str) -> bool {
    is_word(name, "_-.:")
}

/// Letters and digits, and signs between them.
fn is_word(text: &str, signs: &str) -> bool {
    let ends = |char: Option<char>| char.is_some_and(|char| char.is_ascii_alphanumeric());
    ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || signs.contains(char))
}
