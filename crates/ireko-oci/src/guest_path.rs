//! Absolute paths inside a container, always normalised.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::OciError;

/// An absolute path inside a container. It has no `.`, no `..`, no doubled and no trailing slash, so it cannot
/// point above `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(String);

impl GuestPath {
    /// The path `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// A normalised path; the text must be absolute.
    pub fn new(text: &str) -> Result<Self, OciError> {
        let wrong = |problem| OciError::GuestPath { text: text.escape_debug().to_string(), problem };
        if !text.starts_with('/') {
            return Err(wrong("not absolute"));
        }
        if text.contains('\0') {
            return Err(wrong("holds a zero byte"));
        }
        Ok(Self::root().walk(text))
    }

    /// This path followed by another; an absolute one replaces it. `..` stops at `/`.
    pub fn join(&self, text: &str) -> Result<Self, OciError> {
        if text.contains('\0') {
            let text = text.escape_debug().to_string();
            return Err(OciError::GuestPath { text, problem: "holds a zero byte" });
        }
        Ok(if text.starts_with('/') { Self::root().walk(text) } else { self.walk(text) })
    }

    fn walk(&self, text: &str) -> Self {
        let mut path = if self.is_root() { String::new() } else { self.0.clone() };
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => path.truncate(path.rfind('/').unwrap_or(0)),
                name => {
                    path.push('/');
                    path.push_str(name);
                }
            }
        }
        if path.is_empty() { Self::root() } else { Self(path) }
    }

    /// The text, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without its leading slash; empty for `/`.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The directory it is in; `/` is in nothing.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/').filter(|_| !self.is_root())?;
        Some(if parent.is_empty() { Self::root() } else { Self(parent.to_owned()) })
    }

    /// The last name; `/` has none.
    pub fn file_name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// The names from `/` down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Whether this path is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.as_str()) {
            Some(rest) => other.is_root() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl FromStr for GuestPath {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        Self::new(text)
    }
}

impl Serialize for GuestPath {
    fn serialize<S: Serializer>(&self, sink: S) -> Result<S::Ok, S::Error> {
        sink.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GuestPath {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(source)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
