//! The files around the blobs of an image on disk: OCI layout and Docker archive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, or_default};
use crate::{Digest, OciError};

/// The name of the file that marks an OCI layout.
pub const LAYOUT_FILE: &str = "oci-layout";

/// The content of the file `oci-layout`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OciLayout {
    /// The version of the layout.
    pub image_layout_version: String,
}

impl Default for OciLayout {
    fn default() -> Self {
        Self { image_layout_version: "1.0.0".to_owned() }
    }
}

impl OciLayout {
    /// Reads the file, refusing versions that are not 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        let layout: Self = json::read("oci-layout", bytes)?;
        if layout.image_layout_version.split('.').next() != Some("1") {
            let problem = format!("layout version `{}` is not known", layout.image_layout_version);
            return Err(OciError::Document { document: "oci-layout", problem });
        }
        Ok(layout)
    }

    /// The bytes of the file.
    pub fn to_json(&self) -> Vec<u8> {
        json::write(self)
    }
}

/// Where a layout keeps a blob, relative to its root.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// One image in a Docker archive's `manifest.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArchiveImage {
    /// The path of the config within the archive.
    pub config: String,
    /// Names with tags, in familiar form.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    /// The paths of the layers within the archive, bottom first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl ArchiveImage {
    /// Reads `manifest.json`.
    pub fn parse_list(bytes: &[u8]) -> Result<Vec<Self>, OciError> {
        json::read("manifest.json", bytes)
    }

    /// The bytes of `manifest.json`.
    pub fn list_to_json(images: &[Self]) -> Vec<u8> {
        json::write(&images)
    }
}
