//! An image read back from a layout on disk, as a test wants to compare it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ireko_oci::Digest;
use serde_json::Value;
use tar::{Archive, Entry, EntryType};

/// What running an image would show: its files, each as one line, and its config.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatImage {
    /// Path → type, mode, owner, and content or target. Modification times are left out.
    pub tree: BTreeMap<String, String>,
    /// The config without its dates and diff IDs.
    pub config: Value,
}

impl FlatImage {
    /// Reads the only image of the OCI layout directory `layout`.
    ///
    /// # Panics
    /// Where the layout is not whole: that fails the test.
    pub fn read(layout: &Path) -> Self {
        let index = json(&layout.join("index.json"));
        let manifest = json(&blob(layout, &index["manifests"][0]["digest"]));
        let mut config = json(&blob(layout, &manifest["config"]["digest"]));
        let mut tree = BTreeMap::new();
        for layer in manifest["layers"].as_array().unwrap() {
            lay(&mut tree, &plain(fs::read(blob(layout, &layer["digest"])).unwrap()));
        }
        let fields = config.as_object_mut().unwrap();
        fields.remove("created");
        fields.remove("rootfs");
        for entry in fields.get_mut("history").and_then(Value::as_array_mut).into_iter().flatten() {
            entry.as_object_mut().unwrap().remove("created");
        }
        Self { tree, config }
    }

    /// What `other` has otherwise, a line each; empty where the two are equal.
    pub fn differences(&self, other: &Self) -> String {
        let mut lines = Vec::new();
        let paths: std::collections::BTreeSet<&String> = self.tree.keys().chain(other.tree.keys()).collect();
        for path in paths {
            let (left, right) = (self.tree.get(path), other.tree.get(path));
            if left != right {
                lines.push(format!(
                    "{path}: {} | {}",
                    left.map_or("-", String::as_str),
                    right.map_or("-", String::as_str)
                ));
            }
        }
        if self.config != other.config {
            lines.push(format!("config: {} | {}", self.config, other.config));
        }
        lines.join("\n")
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

fn blob(layout: &Path, digest: &Value) -> std::path::PathBuf {
    layout.join("blobs").join(digest.as_str().unwrap().replacen(':', "/", 1))
}

fn plain(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out).unwrap();
    out
}

/// Puts one layer over the tree: first what it takes away from below, then what it adds.
fn lay(tree: &mut BTreeMap<String, String>, tar: &[u8]) {
    let mut added = BTreeMap::new();
    for entry in Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8_lossy(&entry.path_bytes())
            .trim_start_matches("./")
            .trim_matches('/')
            .to_owned();
        let (folder, name) =
            path.rsplit_once('/').map_or(("", path.as_str()), |(folder, name)| (folder, name));
        if name == ".wh..wh..opq" {
            tree.retain(|below, _| !inside(below, folder));
        } else if let Some(gone) = name.strip_prefix(".wh.") {
            let gone = if folder.is_empty() { gone.to_owned() } else { format!("{folder}/{gone}") };
            tree.retain(|below, _| *below != gone && !inside(below, &gone));
        } else if entry.header().entry_type() == EntryType::Link {
            let target =
                String::from_utf8_lossy(&entry.link_name_bytes().unwrap()).trim_matches('/').to_owned();
            let line = added.get(&target).or_else(|| tree.get(&target)).cloned();
            added.insert(path, line.unwrap_or_else(|| format!("link to nothing: {target}")));
        } else {
            let line = describe(&mut entry);
            added.insert(path, line);
        }
    }
    for (path, line) in added {
        if !line.starts_with("dir ") {
            tree.retain(|below, _| !inside(below, &path));
        }
        tree.insert(path, line);
    }
}

fn inside(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn describe(entry: &mut Entry<'_, &[u8]>) -> String {
    let header = entry.header();
    let (mode, user, group) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
    let owner = format!("{:o} {user}:{group}", mode & 0o7777);
    match header.entry_type() {
        EntryType::Directory => format!("dir {owner}"),
        EntryType::Symlink => format!(
            "symlink {user}:{group} -> {}",
            String::from_utf8_lossy(&entry.link_name_bytes().unwrap())
        ),
        EntryType::Regular => {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            match String::from_utf8(bytes) {
                Ok(text) if text.len() <= 60 => format!("file {owner} {text:?}"),
                Ok(text) => format!("file {owner} {}", Digest::of(text.as_bytes())),
                Err(error) => format!("file {owner} {}", Digest::of(error.as_bytes())),
            }
        }
        other => format!(
            "{other:?} {owner} {:?}",
            header.device_major().ok().flatten().zip(header.device_minor().ok().flatten())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TarStream;

    #[test]
    fn layers_are_laid_over_each_other() {
        let mut tree = BTreeMap::new();
        lay(
            &mut tree,
            &TarStream::new()
                .dir("a")
                .file("a/x", "1")
                .file("a/y", "2")
                .dir("b")
                .file("b/z", "3")
                .file("f", "4")
                .bytes(),
        );
        lay(
            &mut tree,
            &TarStream::new()
                .whiteout("a/x")
                .opaque("b")
                .file("b/n", "5")
                .dir("f")
                .hardlink("g", "b/n")
                .bytes(),
        );
        let shown: Vec<String> = tree.iter().map(|(path, line)| format!("{path}: {line}")).collect();
        let expected = [
            "a: dir 755 0:0",
            "a/y: file 644 0:0 \"2\"",
            "b: dir 755 0:0",
            "b/n: file 644 0:0 \"5\"",
            "f: dir 755 0:0",
            "g: file 644 0:0 \"5\"",
        ];
        assert_eq!(shown, expected);
    }
}
