//! The 256-bit BLAKE3 names that ireko gives to contents, trees and operations, beside OCI's SHA-256 digests.

use std::fmt;

/// Raw bytes of a BLAKE3 hash.
pub type Hash = [u8; 32];

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The lower-case hexadecimal form, 64 characters.
            pub fn hex(&self) -> String {
                self.0.iter().map(|byte| format!("{byte:02x}")).collect()
            }

            /// Reads the form that [`Self::hex`] writes.
            pub fn from_hex(text: &str) -> Option<Self> {
                if text.len() != 64 || !text.is_ascii() {
                    return None;
                }
                let mut bytes = [0; 32];
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
                }
                Some(Self(bytes))
            }

            /// The first twelve hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.hex()[..12].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({})", stringify!($name), self.short())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.serialize_str(&self.hex())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = String::deserialize(input)?;
                Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
            }
        }
    };
}

id!(
    /// BLAKE3 of one file's bytes.
    FileHash
);
id!(
    /// The content of one change set: its sorted canonical entries without volatile times.
    ContentId
);
id!(
    /// A root file system: the parent tree and the content of the change on top of it.
    TreeId
);
id!(
    /// Everything declared that one operation's result depends on.
    Key
);
id!(
    /// The selected files that a copy or a bind mount reads, with modes and owners as they will be written.
    SelectionId
);

impl TreeId {
    /// The empty root file system, where `FROM scratch` starts.
    pub fn empty() -> Self {
        Fields::new("ireko tree empty/1").tree()
    }

    /// The tree of an image whose layers have this chain ID (`sha256:…`), on every machine, pulled or not.
    pub fn of_chain(chain_id: &str) -> Self {
        Fields::new("ireko tree chain/1").bytes("chain", chain_id.as_bytes()).tree()
    }

    /// This tree with one change on top.
    pub fn with(self, content: ContentId) -> Self {
        Fields::new("ireko tree step/1").bytes("parent", &self.0).bytes("content", &content.0).tree()
    }

    /// This tree with the result of the operation `key` on top, whatever it contains (`--cache-cutoff=off`).
    pub fn with_key(self, key: Key) -> Self {
        Fields::new("ireko tree key/1").bytes("parent", &self.0).bytes("key", &key.0).tree()
    }
}

/// A hash over named fields, each with its length, so that no two lists of fields meet in one string of bytes.
#[derive(Clone)]
pub struct Fields(blake3::Hasher);

impl Fields {
    /// A hash that can never equal one of another `domain`; the domain carries the rule's version.
    pub fn new(domain: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(domain.len() as u64).to_le_bytes());
        hasher.update(domain.as_bytes());
        Self(hasher)
    }

    /// Adds one field.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        self.0.update(&(name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
    }

    /// Writes one field as [`Self::add`] hashes it, for [`Self::add_written`].
    pub fn write(out: &mut Vec<u8>, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(part);
        }
    }

    /// Adds fields that [`Self::write`] has written.
    pub fn add_written(&mut self, fields: &[u8]) {
        self.0.update(fields);
    }

    /// Adds one field, in a chain.
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.add(name, value);
        self
    }

    /// Adds a number.
    pub fn number(&mut self, name: &str, value: u64) {
        self.add(name, &value.to_le_bytes());
    }

    /// The hash so far.
    pub fn hash(&self) -> Hash {
        *self.0.finalize().as_bytes()
    }

    fn tree(self) -> TreeId {
        TreeId(self.hash())
    }
}
