//! Content digests, and what computes them while bytes pass by.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::OciError;

/// A hash algorithm a digest may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// The one computed here.
    Sha256,
    /// Understood when read; computed where a person gives one to check by.
    Sha512,
}

impl Algorithm {
    /// The name as written before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Sum {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// The digest of some content, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Sum);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sha256(Sha256::digest(bytes).into())
    }

    /// A digest from a finished SHA-256 sum.
    pub fn from_sha256(sum: [u8; 32]) -> Self {
        Self(Sum::Sha256(sum))
    }

    /// A digest from a finished SHA-512 sum.
    pub fn from_sha512(sum: [u8; 64]) -> Self {
        Self(Sum::Sha512(sum))
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Sum::Sha256(_) => Algorithm::Sha256,
            Sum::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The sum's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Sum::Sha256(sum) => sum,
            Sum::Sha512(sum) => sum,
        }
    }

    /// The sum in hexadecimal, without the algorithm.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(2 * self.as_bytes().len());
        for byte in self.as_bytes() {
            text.push(DIGITS[usize::from(byte >> 4)] as char);
            text.push(DIGITS[usize::from(byte & 15)] as char);
        }
        text
    }

    /// The first twelve digits, as people see it in lists.
    pub fn short(&self) -> String {
        let mut text = self.hex();
        text.truncate(12);
        text
    }

    /// Whether this is the digest of `bytes`; false for an algorithm that is not computed here.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Digest {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let wrong = |problem| OciError::Digest { text: text.to_owned(), problem };
        let (algorithm, hex) = text.split_once(':').ok_or(wrong("expected `algorithm:hex`"))?;
        match algorithm {
            "sha256" => Ok(Self(Sum::Sha256(unhex(hex).map_err(wrong)?))),
            "sha512" => Ok(Self(Sum::Sha512(unhex(hex).map_err(wrong)?))),
            _ => Err(wrong("unsupported digest algorithm")),
        }
    }
}

fn unhex<const N: usize>(hex: &str) -> Result<[u8; N], &'static str> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err("expected digits 0-9 and a-f after the colon"),
    };
    if hex.len() != 2 * N {
        return Err("wrong number of digits");
    }
    let mut sum = [0; N];
    for (byte, pair) in sum.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Ok(sum)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, sink: S) -> Result<S::Ok, S::Error> {
        sink.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a digest piece by piece.
#[derive(Clone, Default)]
pub struct Hasher {
    state: Sha256,
    size: u64,
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// How many bytes were taken in.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        Digest::from_sha256(self.state.finalize().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Hasher").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A reader that digests what passes through it.
#[derive(Debug)]
pub struct DigestReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> DigestReader<R> {
    /// Wraps a reader.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new() }
    }

    /// The reader, the digest of what was read, and how many bytes that was.
    pub fn finish(self) -> (R, Digest, u64) {
        let size = self.hasher.size();
        (self.inner, self.hasher.finish(), size)
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(room)?;
        self.hasher.update(&room[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
