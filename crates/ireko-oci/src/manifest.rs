//! Manifests and indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, is_default, or_default};
use crate::{Descriptor, MediaType, OciError, Platform};

/// The manifest of one image: its config and its layers, bottom first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// OCI's or Docker's manifest type; OCI allows it to be missing.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "MediaType::is_empty")]
    pub media_type: MediaType,
    /// The type of artifact, where it is not an image.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub artifact_type: String,
    /// The config blob.
    pub config: Descriptor,
    /// The layer blobs, bottom first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Manifest {
    /// A manifest of the given type.
    pub fn new(media_type: MediaType, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type,
            artifact_type: String::new(),
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }

    /// Reads a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        json::read("image manifest", bytes)
    }

    /// Whether it describes a container image: neither an artifact nor something said about an image.
    pub fn is_image(&self) -> bool {
        let config = &self.config.media_type;
        let layer =
            |layer: &Descriptor| layer.media_type.is_empty() || layer.media_type.as_str().contains("tar");
        self.artifact_type.is_empty()
            && (config.is_empty() || config.is_config())
            && (self.layers.is_empty() || self.layers.iter().any(layer))
    }

    /// The bytes of the manifest, always the same for the same value.
    pub fn to_json(&self) -> Vec<u8> {
        json::write(self)
    }
}

/// An index of manifests, usually one for each platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// OCI's or Docker's index type; OCI allows it to be missing.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "MediaType::is_empty")]
    pub media_type: MediaType,
    /// The type of artifact, where it is not an image.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub artifact_type: String,
    /// What it lists.
    #[serde(default, deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Index {
    /// An index of the given type.
    pub fn new(media_type: MediaType, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type,
            artifact_type: String::new(),
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }

    /// Reads an index.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        json::read("image index", bytes)
    }

    /// The bytes of the index, always the same for the same value.
    pub fn to_json(&self) -> Vec<u8> {
        json::write(self)
    }

    /// The manifest for this platform, or for the nearest one that it can run; entries that name no platform
    /// come last. Attestations are never chosen.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        let images = || self.manifests.iter().filter(|entry| !entry.is_attestation());
        wanted
            .runnable()
            .iter()
            .find_map(|platform| {
                images().find(|entry| entry.platform.as_ref().is_some_and(|it| it.same(platform)))
            })
            .or_else(|| images().find(|entry| entry.platform.is_none()))
    }

    /// The platforms of the images it lists, in its order.
    pub fn platforms(&self) -> Vec<Platform> {
        self.manifests
            .iter()
            .filter(|entry| !entry.is_attestation())
            .filter_map(|entry| entry.platform.clone())
            .map(Platform::normalized)
            .collect()
    }
}

/// What the bytes under a tag or digest turned out to be.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists for each image read, and it is taken apart at once"
)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Images for several platforms.
    Index(Index),
}

impl Document {
    /// Reads a manifest or an index, whichever it is. The document's own word counts, then its shape; the
    /// type a server names beside it is not needed.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            #[serde(default)]
            schema_version: u32,
            #[serde(default, deserialize_with = "or_default")]
            media_type: MediaType,
            manifests: Option<serde::de::IgnoredAny>,
            config: Option<serde::de::IgnoredAny>,
        }
        let shape: Shape = json::read("image manifest", bytes)?;
        let problem = match (&shape.manifests, &shape.config) {
            _ if shape.schema_version == 1 => "schema 1 is obsolete and not supported".to_owned(),
            (Some(_), Some(_)) => "it is both a manifest and an index".to_owned(),
            (Some(_), None) if !shape.media_type.is_manifest() => {
                return Index::parse(bytes).map(Self::Index);
            }
            (None, Some(_)) if !shape.media_type.is_index() => {
                return Manifest::parse(bytes).map(Self::Manifest);
            }
            (None, None) if shape.media_type.is_index() => return Index::parse(bytes).map(Self::Index),
            (None, None) => "it has neither `config` nor `manifests`".to_owned(),
            _ => format!("its content does not fit its type `{}`", shape.media_type),
        };
        Err(OciError::Document { document: "image manifest", problem })
    }
}

#[cfg(test)]
mod tests;
