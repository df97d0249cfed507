//! Secrets of a build: where their values are, and a filter that keeps them out of what steps print.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a secret's value is.
#[derive(Clone)]
pub enum SecretSource {
    /// A file, read when a step asks for it.
    File(PathBuf),
    /// The value itself, from the builder's environment.
    Value(Vec<u8>),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "File({})", path.display()),
            Self::Value(_) => out.write_str("Value(…)"),
        }
    }
}

/// The secrets of a build, by id.
#[derive(Clone, Debug, Default)]
pub struct Secrets(pub BTreeMap<String, SecretSource>);

/// A secret's value: never shown.
pub struct SecretValue(pub(crate) Vec<u8>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecretValue(…)")
    }
}

/// The file of a secret cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read secret `{id}` from `{path}`", path = path.display())]
pub struct SecretError {
    /// Which.
    pub id: String,
    /// Where it should be.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

impl Secrets {
    /// The value of `id`; `None` when the build has no such secret.
    ///
    /// # Errors
    /// The file of the secret cannot be read.
    pub fn value(&self, id: &str) -> Result<Option<SecretValue>, SecretError> {
        match self.0.get(id) {
            None => Ok(None),
            Some(SecretSource::Value(value)) => Ok(Some(SecretValue(value.clone()))),
            Some(SecretSource::File(path)) => match std::fs::read(path) {
                Ok(value) => Ok(Some(SecretValue(value))),
                Err(cause) => Err(SecretError { id: id.to_owned(), path: path.clone(), cause }),
            },
        }
    }
}

/// Values shorter than this are not hidden: every log would be full of holes.
const SHORTEST: usize = 4;

/// Replaces the values of secrets in a stream of bytes, across the borders of reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mask {
    values: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Mask {
    /// Hides these values, and each of their lines, with white space around them cut off.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretValue>) -> Self {
        let mut values: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            let whole = secret.0.trim_ascii();
            values.push(whole.to_vec());
            values.extend(whole.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().to_vec()));
        }
        values.retain(|value| value.len() >= SHORTEST);
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values, held: Vec::new() }
    }

    /// What may be shown of the stream so far: everything but a tail that could be the beginning of a value.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.values.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if let Some(value) = self.values.iter().find(|value| rest.starts_with(value)) {
                out.extend_from_slice(b"***");
                at += value.len();
            } else if self.values.iter().any(|value| value.starts_with(rest)) {
                break;
            } else {
                out.push(self.held[at]);
                at += 1;
            }
        }
        self.held.drain(..at);
        out
    }

    /// The rest of the stream, at its end.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_wherever_reads_end() {
        let secrets = [SecretValue(b"hunter22\nsecond line\n".to_vec()), SecretValue(b"abc".to_vec())];
        let text = b"x hunter22 hunter2 abc second line hunter";
        for cut in 0..text.len() {
            let mut mask = Mask::new(&secrets);
            let mut out = mask.pass(&text[..cut]);
            out.extend(mask.pass(&text[cut..]));
            out.extend(mask.finish());
            assert_eq!(String::from_utf8_lossy(&out), "x *** hunter2 abc *** hunter");
        }
    }

    #[test]
    fn nothing_shows_a_value() {
        let source = SecretSource::Value(b"hunter22".to_vec());
        assert!(!format!("{source:?} {:?}", SecretValue(b"hunter22".to_vec())).contains("hunter"));
    }
}
