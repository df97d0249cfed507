//! Images made in memory.

use std::path::Path;

use ireko_oci::{
    Descriptor, Digest, History, ImageConfig, Index, Manifest, MediaType, OciLayout, Platform, Timestamp,
    annotation, blob_path,
};

use crate::archive::{TarStream, gzip};

/// An image in memory: its config, and its layers as tar streams.
#[derive(Clone, Debug)]
pub struct TestImage {
    /// The config; layers and history are filled in by [`TestImage::layer`].
    pub config: ImageConfig,
    /// The layers, bottom first, not compressed.
    pub layers: Vec<Vec<u8>>,
    /// Whether the layers are shipped as gzip.
    pub compress: bool,
}

impl Default for TestImage {
    fn default() -> Self {
        let mut config = ImageConfig::for_platform(&Platform::host());
        config.created = Some(Timestamp::from_unix(1_500_000_000, 0));
        Self { config, layers: Vec::new(), compress: true }
    }
}

impl TestImage {
    /// An image without layers, for this machine's platform.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more layer.
    #[must_use]
    pub fn layer(mut self, stream: TarStream) -> Self {
        let bytes = stream.bytes();
        self.config.rootfs.diff_ids.push(Digest::of(&bytes));
        self.config.history.push(History {
            created: self.config.created,
            created_by: format!("layer {}", self.layers.len() + 1),
            ..History::default()
        });
        self.layers.push(bytes);
        self
    }

    /// The same with the config changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut ImageConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The manifest, its bytes, and all blobs it needs.
    pub fn parts(&self) -> (Manifest, Vec<u8>, Vec<Vec<u8>>) {
        let config = self.config.to_json();
        let kind = if self.compress { MediaType::OCI_LAYER_GZIP } else { MediaType::OCI_LAYER };
        let pack = |layer: &Vec<u8>| if self.compress { gzip(layer) } else { layer.clone() };
        let mut blobs: Vec<Vec<u8>> = self.layers.iter().map(pack).collect();
        let layers = blobs.iter().map(|blob| Descriptor::of(kind.clone(), blob)).collect();
        let described = Descriptor::of(MediaType::OCI_CONFIG, &config);
        let manifest = Manifest::new(MediaType::OCI_MANIFEST, described, layers);
        blobs.push(config);
        let bytes = manifest.to_json();
        (manifest, bytes, blobs)
    }

    /// Writes the image as an OCI layout, under this reference name.
    pub fn write_layout(&self, folder: &Path, name: &str) {
        let (_, manifest, mut blobs) = self.parts();
        let mut entry = Descriptor::of(MediaType::OCI_MANIFEST, &manifest);
        entry.annotations.insert(annotation::REF_NAME.to_owned(), name.to_owned());
        blobs.push(manifest);
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        for blob in blobs {
            std::fs::write(folder.join(blob_path(&Digest::of(&blob))), blob).unwrap();
        }
        let index = Index::new(MediaType::OCI_INDEX, vec![entry]);
        std::fs::write(folder.join("index.json"), index.to_json()).unwrap();
        std::fs::write(folder.join(ireko_oci::LAYOUT_FILE), OciLayout::default().to_json()).unwrap();
    }
}
