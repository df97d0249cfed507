//! The regular files of an image with their hashes, read from its layers.

use super::{File, hex};
use crate::error::Error;
use ireko_layer::TreePath;
use ireko_oci::Digest;
use ireko_store::Store;
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// All files that can be seen, with what their bytes hash to. Each layer is read once.
///
/// # Errors
/// A layer is gone, or cannot be read.
pub fn files(store: &Arc<Store>, layers: &[Digest]) -> Result<Vec<File>, Error> {
    let view = store.view(layers)?;
    let mut wanted: Vec<BTreeMap<TreePath, Vec<String>>> = vec![BTreeMap::new(); layers.len()];
    for found in view.walk(&TreePath::root()) {
        if let Some(bytes) = view.owner_of_content(&found.entry.path) {
            let path = format!("/{}", found.entry.path.as_path().display());
            wanted[bytes.layer].entry(bytes.entry.path.clone()).or_default().push(path);
        }
    }
    let mut files = Vec::new();
    for (layer, mut wanted) in layers.iter().zip(wanted) {
        if wanted.is_empty() {
            continue;
        }
        ireko_layer::read_files_from_tar(store.open_tar(layer)?, |path, content| {
            if let Some(names) = wanted.remove(path) {
                let (size, sha256, sha1) = hashed(content)?;
                files.extend(names.into_iter().map(|path| File {
                    path,
                    size,
                    sha256: sha256.clone(),
                    sha1: sha1.clone(),
                    owner: None,
                }));
            }
            Ok(!wanted.is_empty())
        })?;
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn hashed(content: &mut dyn Read) -> std::io::Result<(u64, String, String)> {
    let (mut sha256, mut sha1) = (ireko_oci::Hasher::new(), Sha1::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match content.read(&mut buffer)? {
            0 => break,
            count => {
                sha256.update(&buffer[..count]);
                sha1.update(&buffer[..count]);
            }
        }
    }
    Ok((sha256.size(), sha256.finish().hex(), hex(&sha1.finalize())))
}
