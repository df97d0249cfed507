//! Media types of manifests, configs and layers, in OCI's and Docker's spelling.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// How a layer's tar stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, one member or several.
    Gzip,
    /// zstd.
    Zstd,
}

/// What a layer's media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerType {
    /// How it is compressed.
    pub compression: Compression,
    /// Whether it is fetched from its own URLs and never pushed (non-distributable layers).
    pub foreign: bool,
}

/// A media type, known or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Default)]
#[serde(transparent)]
pub struct MediaType(Cow<'static, str>);

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source).map(|text| Self::new(&text))
    }
}

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType {
            $($(#[$doc])* pub const $name: MediaType = MediaType(Cow::Borrowed($text));)*
        }
    };
}

known! {
    /// OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// OCI image manifest.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image config.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, not compressed.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// OCI non-distributable layer, not compressed.
    OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    /// OCI non-distributable layer, gzip.
    OCI_FOREIGN_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    /// OCI non-distributable layer, zstd.
    OCI_FOREIGN_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
    /// OCI layout marker.
    OCI_LAYOUT = "application/vnd.oci.layout.header.v1+json";
    /// The empty JSON object, as a blob.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// Docker manifest list.
    DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker manifest, schema 2.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest, schema 1: recognised in order to be refused.
    DOCKER_MANIFEST_V1 = "application/vnd.docker.distribution.manifest.v1+json";
    /// Docker manifest, schema 1, signed: recognised in order to be refused.
    DOCKER_MANIFEST_V1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Docker image config.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, not compressed.
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, gzip.
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, zstd.
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// Docker foreign layer, not compressed.
    DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    /// Docker foreign layer, gzip.
    DOCKER_FOREIGN_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
}

impl MediaType {
    /// A media type from its text; parameters after a semicolon and white space are dropped.
    pub fn new(text: &str) -> Self {
        Self(Cow::Owned(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no type is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it names an index or manifest list.
    pub fn is_index(&self) -> bool {
        *self == Self::OCI_INDEX || *self == Self::DOCKER_INDEX
    }

    /// Whether it names an image manifest that can be used.
    pub fn is_manifest(&self) -> bool {
        *self == Self::OCI_MANIFEST || *self == Self::DOCKER_MANIFEST
    }

    /// Whether it names an image config.
    pub fn is_config(&self) -> bool {
        *self == Self::OCI_CONFIG || *self == Self::DOCKER_CONFIG
    }

    /// What it says about a layer; nothing if it names none.
    pub fn layer(&self) -> Option<LayerType> {
        let text = self.as_str();
        let (rest, foreign) = [
            ("application/vnd.oci.image.layer.v1.tar", false),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", true),
            ("application/vnd.docker.image.rootfs.diff.tar", false),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar", true),
        ]
        .into_iter()
        .find_map(|(prefix, foreign)| Some((text.strip_prefix(prefix)?, foreign)))?;
        let compression = match rest {
            "" => Compression::None,
            "+gzip" | ".gzip" => Compression::Gzip,
            "+zstd" | ".zstd" => Compression::Zstd,
            _ => return None,
        };
        Some(LayerType { compression, foreign })
    }

    /// The OCI name of a layer with this compression.
    pub fn oci_layer(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::OCI_LAYER,
            Compression::Gzip => Self::OCI_LAYER_GZIP,
            Compression::Zstd => Self::OCI_LAYER_ZSTD,
        }
    }

    /// Docker's name of a layer with this compression.
    pub fn docker_layer(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::DOCKER_LAYER,
            Compression::Gzip => Self::DOCKER_LAYER_GZIP,
            Compression::Zstd => Self::DOCKER_LAYER_ZSTD,
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
