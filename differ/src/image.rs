//! An image as both builders are compared by: the merged tree, entry by entry, and the config.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// What a build gave.
pub(crate) struct Image {
    pub(crate) tree: Tree,
    pub(crate) config: Value,
}

/// Paths (without a leading slash) and what lies there. The root itself is the empty path.
pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;

/// What lies at a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) target: Vec<u8>,
    pub(crate) content: Arc<[u8]>,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// Which inode it is, within one tree.
    pub(crate) inode: usize,
}

impl Node {
    /// One line for a person.
    pub(crate) fn describe(&self) -> String {
        let kind = match self.kind {
            b'0' => "file",
            b'5' => "directory",
            b'2' => "symlink",
            b'6' => "fifo",
            _ => "device",
        };
        let mut text = format!("{kind} {:o} {}:{}", self.mode, self.owner.0, self.owner.1);
        if self.kind == b'2' {
            text += &format!(" -> {:?}", String::from_utf8_lossy(&self.target));
        }
        if self.kind == b'0' {
            let start = &self.content[..self.content.len().min(200)];
            text += &format!(" {} bytes {:?}", self.content.len(), String::from_utf8_lossy(start));
        }
        if !self.xattrs.is_empty() {
            text += &format!(" xattrs {:?}", self.xattrs.keys().collect::<Vec<_>>());
        }
        text
    }
}

/// A layer's entries in their order.
pub(crate) struct Layer(Vec<(Vec<u8>, Change)>);

enum Change {
    Node(Node),
    /// Another name of what lies at this path.
    Hard(Vec<u8>),
}

/// Layers that many images have, by diff ID: read once.
#[derive(Default)]
pub(crate) struct Known(BTreeMap<String, Arc<Layer>>);

impl Known {
    /// Remembers every layer of an archive.
    pub(crate) fn learn(&mut self, archive: &[u8]) -> Result<()> {
        let files = files(archive)?;
        let (layers, config) = contents(&files)?;
        for (name, id) in layers.iter().zip(diff_ids(&config)) {
            self.0.insert(id.to_owned(), Arc::new(Layer::read(layer_bytes(&files, name)?)?));
        }
        Ok(())
    }
}

/// Reads an archive as `docker save` writes it.
pub(crate) fn read(archive: &[u8], known: &Known) -> Result<Image> {
    let files = files(archive)?;
    let (layers, config) = contents(&files)?;
    let ids: Vec<String> = diff_ids(&config).map(str::to_owned).collect();
    if ids.len() != layers.len() {
        bail!("{} layers, but {} diff IDs", layers.len(), ids.len());
    }
    let mut tree = Tree::new();
    let mut inodes = 0;
    for (name, id) in layers.iter().zip(&ids) {
        let layer = match known.0.get(id) {
            Some(layer) => Arc::clone(layer),
            None => Arc::new(Layer::read(layer_bytes(&files, name)?)?),
        };
        apply(&mut tree, &layer, &mut inodes)?;
    }
    Ok(Image { tree, config })
}

fn files(archive: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        match entry.link_name()? {
            // The engine stores a layer that an image has twice as a link to the first.
            Some(target) => {
                let target = std::path::Path::new(&name).parent().context("no parent")?.join(target);
                bytes = format!("link {}", normal(&target)).into_bytes();
            }
            None => {
                entry.read_to_end(&mut bytes)?;
            }
        }
        files.insert(name, bytes);
    }
    Ok(files)
}

/// A relative path without `..`.
fn normal(path: &std::path::Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str().unwrap_or_default().split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn contents(files: &BTreeMap<String, Vec<u8>>) -> Result<(Vec<String>, Value)> {
    let file = |name: &str| files.get(name).with_context(|| format!("the archive lacks `{name}`"));
    let manifest: Value = serde_json::from_slice(file("manifest.json")?)?;
    let config = manifest[0]["Config"].as_str().context("no config")?;
    let layers = manifest[0]["Layers"].as_array().cloned().unwrap_or_default();
    let layers = layers.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok((layers, serde_json::from_slice(file(config)?)?))
}

fn diff_ids(config: &Value) -> impl Iterator<Item = &str> {
    config["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn layer_bytes<'a>(files: &'a BTreeMap<String, Vec<u8>>, name: &str) -> Result<&'a [u8]> {
    let bytes = files.get(name).with_context(|| format!("the archive lacks `{name}`"))?;
    match bytes.strip_prefix(b"link ") {
        Some(target) => layer_bytes(files, std::str::from_utf8(target)?),
        None => Ok(bytes),
    }
}

impl Layer {
    fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain)?;
            return Self::read(&plain);
        }
        let mut entries = Vec::new();
        for entry in tar::Archive::new(bytes).entries()? {
            let mut entry = entry?;
            let path = clean(&entry.path_bytes());
            let link = entry.link_name_bytes().map(|link| link.into_owned());
            let header = entry.header();
            if header.entry_type() == tar::EntryType::Link {
                entries.push((path, Change::Hard(clean(&link.context("a link to nothing")?))));
                continue;
            }
            let kind = match header.entry_type().as_byte() {
                b'\0' => b'0',
                kind => kind,
            };
            let mut node = Node {
                kind,
                mode: header.mode()? & 0o7777,
                owner: (header.uid()?, header.gid()?),
                target: link.unwrap_or_default(),
                content: Arc::from([]),
                xattrs: BTreeMap::new(),
                inode: 0,
            };
            if kind != b'2' {
                node.target.clear();
            }
            for extension in entry.pax_extensions()?.into_iter().flatten() {
                let extension = extension?;
                let key = extension.key().unwrap_or_default().to_owned();
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    node.xattrs.insert(name.to_owned(), extension.value_bytes().to_owned());
                }
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            node.content = Arc::from(content);
            entries.push((path, Change::Node(node)));
        }
        Ok(Self(entries))
    }
}

/// Without `./`, `/` and a trailing slash.
fn clean(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

fn apply(tree: &mut Tree, layer: &Layer, inodes: &mut usize) -> Result<()> {
    // Whiteouts speak of what lies below this layer, wherever in it they stand.
    for (path, _) in &layer.0 {
        let (dir, name) = split(path);
        if name == b".wh..wh..opq" {
            remove(tree, dir, false);
        } else if let Some(name) = name.strip_prefix(b".wh.") {
            let gone = if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() };
            remove(tree, &gone, true);
        }
    }
    for (path, change) in &layer.0 {
        if split(path).1.starts_with(b".wh.") {
            continue;
        }
        let node = match change {
            Change::Node(node) => {
                *inodes += 1;
                Node { inode: *inodes, ..node.clone() }
            }
            Change::Hard(target) => tree
                .get(target)
                .with_context(|| format!("a hard link to nothing: {}", String::from_utf8_lossy(target)))?
                .clone(),
        };
        if node.kind != b'5' && tree.get(path).is_some_and(|old| old.kind == b'5') {
            remove(tree, path, true);
        }
        tree.insert(path.clone(), node);
    }
    Ok(())
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Removes what lies below a path, and the path itself.
fn remove(tree: &mut Tree, path: &[u8], itself: bool) {
    let prefix = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
    let gone = |other: &[u8]| if other == path { itself } else { other.starts_with(&prefix) };
    tree.retain(|other, _| !gone(other));
}

/// The names of each file that has several.
pub(crate) fn hard_links(tree: &Tree) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (path, node) in tree.iter().filter(|(_, node)| node.kind != b'5') {
        groups.entry(node.inode).or_default().push(String::from_utf8_lossy(path).into_owned());
    }
    let mut several: Vec<Vec<String>> = groups.into_values().filter(|names| names.len() > 1).collect();
    several.sort();
    several
}
