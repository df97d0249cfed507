//! Where each thing lies below the store's directory. See `docs/format/store.md`.

use std::path::{Path, PathBuf};

use ireko_oci::{Digest, Fields, Key, TreeId};

/// Paths of the store, and nothing that touches them.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    home: PathBuf,
}

/// The directories that exist in every store.
pub(crate) const DIRECTORIES: [&str; 18] = [
    "blobs/sha256",
    "tars",
    "layers",
    "snapshots",
    "trees",
    "records",
    "inputs",
    "steps",
    "memo",
    "stat",
    "images/names",
    "images/ids",
    "mounts",
    "leases",
    "locks",
    "trash",
    "tmp",
    "logs",
];

impl Layout {
    pub(crate) fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    pub(crate) fn version(&self) -> PathBuf {
        self.home.join("version")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.home.join(format!("blobs/{}/{}/{hex}", digest.algorithm().name(), &hex[..2]))
    }

    pub(crate) fn tar(&self, diff: &Digest) -> PathBuf {
        self.home.join(format!("tars/{}", diff.hex()))
    }

    pub(crate) fn layer(&self, diff: &Digest) -> PathBuf {
        self.home.join(format!("layers/{}", diff.hex()))
    }

    pub(crate) fn snapshot(&self, name: &str) -> PathBuf {
        self.home.join(format!("snapshots/{name}"))
    }

    pub(crate) fn tree(&self, tree: TreeId) -> PathBuf {
        self.fanned("trees", &tree.hex())
    }

    pub(crate) fn record(&self, key: Key) -> PathBuf {
        self.fanned("records", &key.hex())
    }

    pub(crate) fn inputs(&self, key: Key) -> PathBuf {
        self.fanned("inputs", &key.hex())
    }

    pub(crate) fn memo(&self, name: &[u8; 32]) -> PathBuf {
        self.fanned("memo", &Key(*name).hex())
    }

    pub(crate) fn slot(&self, slot: &[u8]) -> PathBuf {
        self.fanned("steps", &hash_name("ireko slot/1", slot))
    }

    pub(crate) fn stat(&self, identity: &[u8]) -> PathBuf {
        self.home.join(format!("stat/{}", hash_name("ireko stat/1", identity)))
    }

    pub(crate) fn image_name(&self, name: &str) -> PathBuf {
        self.home.join(format!("images/names/{}", file_name_of(name)))
    }

    pub(crate) fn image_id(&self, id: &Digest) -> PathBuf {
        self.home.join(format!("images/ids/{}", id.hex()))
    }

    pub(crate) fn mount(&self, id: &str, id_map: &str) -> PathBuf {
        let mut fields = Fields::new("ireko mount/1");
        fields.add("id", id.as_bytes());
        fields.add("ids", id_map.as_bytes());
        self.home.join(format!("mounts/{}", &Key(fields.hash()).hex()[..32]))
    }

    pub(crate) fn lease(&self, name: &str) -> PathBuf {
        self.home.join(format!("leases/{name}"))
    }

    pub(crate) fn lock(&self, name: &str) -> PathBuf {
        self.home.join(format!("locks/{name}"))
    }

    fn fanned(&self, dir: &str, hex: &str) -> PathBuf {
        self.home.join(format!("{dir}/{}/{hex}", &hex[..2]))
    }
}

/// The first 32 digits of a hash: names only have to be distinct within one store.
fn hash_name(domain: &str, bytes: &[u8]) -> String {
    let fields = Fields::new(domain).bytes("", bytes);
    Key(fields.hash()).hex()[..32].to_owned()
}

/// A name as one path component: readable where it fits, hashed where it does not.
fn file_name_of(name: &str) -> String {
    // A component holds 255 bytes; what is written beside it while being replaced needs some of them.
    const LONGEST: usize = 220;
    let mut text = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b':' | b'@' => {
                text.push(byte as char)
            }
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    if text.len() > LONGEST || text.starts_with('.') || text.is_empty() {
        return format!("~{}", hash_name("ireko name/1", name.as_bytes()));
    }
    text
}
