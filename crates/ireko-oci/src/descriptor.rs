//! Descriptors: what a document says of a blob.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{is_default, or_default};
use crate::{Digest, MediaType, Platform, annotation};

/// Names a blob by digest, with its size and type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: MediaType,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// Where else it can be fetched.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The bytes themselves in base64, for very small blobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The platform, within an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of artifact, where it is not an image.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub artifact_type: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Descriptor {
    /// A descriptor with only the fields every descriptor has.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: String::new(),
            extra: BTreeMap::new(),
        }
    }

    /// Whether an index lists it as something said about an image, and not as an image.
    pub fn is_attestation(&self) -> bool {
        let unknown = |it: &Platform| it.os == "unknown" && it.architecture == "unknown";
        self.annotations.contains_key(annotation::DOCKER_REFERENCE_TYPE)
            || self.platform.as_ref().is_some_and(unknown)
    }

    /// The descriptor of these bytes.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}
