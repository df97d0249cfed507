//! Records: what the cache keeps for a key, and what is needed to say why a key is new.
//!
//! None of it is synced. All of it can be found again by doing the work again, and a file that a crash has torn fails
//! its checksum and reads as absent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ireko_layer::Time;
use ireko_oci::{ContentId, Digest, Key};
use serde::{Deserialize, Serialize};

use crate::codec::{Decoder, Encoder};
use crate::disk;
use crate::error::Result;
use crate::seal::{INPUTS, MEMO, RECORD, SLOT};
use crate::store::Store;

/// How long after its last use the time of use is written again: looking must not cost a write.
const USE_EVERY: i64 = 3600;
/// Inputs of no more bytes than this lie in their record: with them it still is one block on disk, and a file fewer is
/// written and removed.
const INSIDE: usize = 2048;

/// The result of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the layer contains.
    pub content: ContentId,
    /// The layer that holds it.
    pub diff: Digest,
    /// When the step ended.
    pub at: Time,
    /// How long it took.
    pub took_ms: u64,
    /// The step, for people.
    pub name: String,
    /// Who made it, for people: no part of any key, and never in a result.
    pub origin: Origin,
}

/// Whose a record is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The context that was built, and the Dockerfile where that has another name.
    pub project: String,
    /// The stage.
    pub stage: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    content: ContentId,
    diff: Digest,
    at: i64,
    at_nanos: u32,
    took_ms: u64,
    name: String,
    // Records of earlier versions say nothing of these.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    project: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    stage: String,
    /// The inputs, base64. Absent where they lie beside the record, as with earlier versions.
    /// Read by itself: most readers have no use for it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    inputs: Option<String>,
}

#[derive(Deserialize)]
struct WrittenInputs {
    inputs: Option<String>,
}

/// The declared inputs that made a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Parameters by name, in the order of the rule.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Files read from contexts and other trees, sorted by path.
    pub files: Vec<InputFile>,
}

/// One file that a step was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Its path in the tree it came from.
    pub path: Vec<u8>,
    /// A hash of all that counts of it: kind, mode, owner, bytes.
    pub print: [u8; 32],
}

impl Inputs {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(64 + self.files.len() * 96);
        out.number(self.fields.len() as u64);
        for (name, value) in &self.fields {
            out.bytes(name.as_bytes());
            out.bytes(value);
        }
        out.number(self.files.len() as u64);
        for file in &self.files {
            out.bytes(&file.path);
            out.raw(&file.print);
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Decoder::new(bytes);
        let mut inputs = Self::default();
        for _ in 0..input.number()? {
            let name = String::from_utf8(input.bytes()?.to_vec()).ok()?;
            inputs.fields.push((name, input.bytes()?.to_vec()));
        }
        for _ in 0..input.number()? {
            let path = input.bytes()?.to_vec();
            inputs.files.push(InputFile { path, print: input.raw()? });
        }
        input.at_end().then_some(inputs)
    }
}

pub(crate) fn decode_record(body: &[u8]) -> std::result::Result<Record, serde_json::Error> {
    let Written { content, diff, at, at_nanos, took_ms, name, project, stage, inputs: _ } =
        serde_json::from_slice(body)?;
    let at = Time { secs: at, nanos: at_nanos };
    Ok(Record { content, diff, at, took_ms, name, origin: Origin { project, stage } })
}

impl Store {
    /// What is remembered for a key.
    pub fn record(&self, key: Key) -> Option<Record> {
        let path = self.layout.record(key);
        let body = self.read_sealed(RECORD, &path)?;
        match decode_record(&body) {
            Ok(record) => {
                self.used(&path);
                // A build that hits throughout never opens its layers; they are in use all the same.
                self.used(&self.layout.layer(&record.diff).join("info"));
                Some(record)
            }
            Err(error) => {
                self.warn(&path, &error.to_string());
                None
            }
        }
    }

    /// Remembers a result, the inputs that made its key, and that it is the newest of its slot.
    pub fn put_record(&self, key: Key, record: &Record, inputs: &Inputs, slot: &[u8]) -> Result<()> {
        self.grows();
        let Record { content, diff, at, took_ms, name, origin: Origin { project, stage } } = record.clone();
        let (at, at_nanos) = (at.secs, at.nanos);
        let encoded = inputs.encode();
        let inside = (encoded.len() <= INSIDE).then(|| BASE64.encode(&encoded));
        if inside.is_none() {
            self.write_sealed(INPUTS, &self.layout.inputs(key), &encoded)?;
        }
        let written = Written { content, diff, at, at_nanos, took_ms, name, project, stage, inputs: inside };
        self.write_json(RECORD, &self.layout.record(key), &written)?;
        self.remember(slot, key)
    }

    /// Drops what is remembered for a key.
    pub fn forget(&self, key: Key) -> Result<()> {
        for path in [self.layout.record(key), self.layout.inputs(key)] {
            match std::fs::remove_file(&path) {
                Err(error) if !disk::is_absent(&error) => {
                    return Err(crate::Error::io("remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The inputs that made a key; read only to explain a miss.
    pub fn inputs(&self, key: Key) -> Option<Inputs> {
        let record = self.read_sealed(RECORD, &self.layout.record(key)).unwrap_or_default();
        let written = serde_json::from_slice::<WrittenInputs>(&record).ok();
        let (path, encoded) = match written.and_then(|written| written.inputs) {
            Some(inside) => (self.layout.record(key), BASE64.decode(inside).unwrap_or_default()),
            None => (self.layout.inputs(key), self.read_sealed(INPUTS, &self.layout.inputs(key))?),
        };
        let inputs = Inputs::decode(&encoded);
        if inputs.is_none() {
            self.warn(&path, "its content is malformed");
        }
        inputs
    }

    /// The key that a slot (a step of some Dockerfile, however its caller names it) had last.
    pub fn nearest(&self, slot: &[u8]) -> Option<Key> {
        let body = self.read_sealed(SLOT, &self.layout.slot(slot))?;
        Key::from_hex(std::str::from_utf8(&body).ok()?)
    }

    /// Notes that a slot has this key now; writes only where that is new.
    pub fn remember(&self, slot: &[u8], key: Key) -> Result<()> {
        let path = self.layout.slot(slot);
        if self.nearest(slot) == Some(key) {
            self.used(&path);
            return Ok(());
        }
        self.write_sealed(SLOT, &path, key.hex().as_bytes())
    }

    /// A small result of a pure function, by the hash of the function and its arguments.
    pub fn memo(&self, name: &[u8; 32]) -> Option<Vec<u8>> {
        let path = self.layout.memo(name);
        let body = self.read_sealed(MEMO, &path)?;
        self.used(&path);
        Some(body)
    }

    /// Keeps such a result.
    pub fn put_memo(&self, name: &[u8; 32], body: &[u8]) -> Result<()> {
        self.write_sealed(MEMO, &self.layout.memo(name), body)
    }

    /// Where logs lie.
    pub fn log_dir(&self) -> std::path::PathBuf {
        self.layout.dir("logs")
    }

    /// A new file for a log; `name` is for people. It is not pruned while it is open.
    pub fn log_file(&self, name: &str) -> Result<(std::fs::File, std::path::PathBuf)> {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        let name: String = name.chars().take(64).map(plain).collect();
        let path = self.layout.dir("logs").join(format!("{name}-{}.log", crate::open::unique_name()?));
        let file = disk::create_new(&path)?;
        // Where it is refused the log may be pruned early, which is no reason to fail.
        let _ = file.try_lock_shared();
        Ok((file, path))
    }

    /// Notes that something was used, at most once an hour.
    pub(crate) fn used(&self, path: &std::path::Path) {
        let modified = disk::modified(path);
        // Zero: there is nothing.
        if modified != 0 && modified < self.options.now.secs.saturating_sub(USE_EVERY) {
            disk::touch(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Inputs::decode(&bytes);
            let _ = decode_record(&bytes);
        }

        #[test]
        fn inputs_read_back(
            fields in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u8>(), 0..20)), 0..5),
            files in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..20), any::<[u8; 32]>()), 0..9),
        ) {
            let files = files.into_iter().map(|(path, print)| InputFile { path, print }).collect();
            let inputs = Inputs { fields, files };
            prop_assert_eq!(Inputs::decode(&inputs.encode()), Some(inputs));
        }
    }
}
