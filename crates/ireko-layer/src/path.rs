//! Paths inside a tree: bytes, relative, normalised.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ireko_oci::GuestPath;

use crate::Error;

/// A path inside an image: bytes, relative, no `.`, `..`, doubled, leading or trailing slash; empty is the root.
///
/// Order is by components, bytewise: a directory stands right before what it holds, and everything below it
/// stands together (`a`, `a/b`, `a-b`).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// Longest path that is taken, as the kernel's.
    pub const MAX: usize = 4096;

    /// The root, `""`.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path that is already normal; anything else is an error.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        match problem_of(bytes) {
            None => Ok(Self(bytes.into())),
            Some(problem) => Err(Error::Path { text: String::from_utf8_lossy(bytes).into_owned(), problem }),
        }
    }

    /// The same path without its leading slash.
    pub fn from_guest(path: &GuestPath) -> Self {
        Self(path.relative().as_bytes().into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as the file system's, to be used relative to some directory; `""` for the root.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory it is in; the root is in nothing.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].into()))
    }

    /// The last name; the root has none.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.0.rsplit(|&byte| byte == b'/').next().filter(|name| !name.is_empty())
    }

    /// This path followed by another relative one, which must be normal.
    pub fn join(&self, below: impl AsRef<[u8]>) -> Result<Self, Error> {
        let below = below.as_ref();
        if self.is_root() || below.is_empty() {
            return Self::new(if below.is_empty() { &self.0 } else { below });
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + below.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(below);
        Self::new(bytes)
    }

    /// The names from the root down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
    }

    /// Every directory above it, the nearest first, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Whether this path is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.as_bytes()) {
            Some(rest) => other.is_root() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// What is left of this path below `other`.
    pub fn below(&self, other: &Self) -> Option<Self> {
        if !self.is_within(other) {
            return None;
        }
        let rest = &self.0[other.0.len()..];
        Some(Self(rest.strip_prefix(b"/").unwrap_or(rest).into()))
    }
}

fn problem_of(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return None;
    }
    if bytes.len() > TreePath::MAX {
        return Some("longer than 4096 bytes");
    }
    if bytes.contains(&0) {
        return Some("holds a zero byte");
    }
    bytes.split(|&byte| byte == b'/').find_map(|name| match name {
        b"" => Some("has an empty name"),
        b"." | b".." => Some("has a `.` or `..`"),
        _ if name.len() > 255 => Some("has a name longer than 255 bytes"),
        _ => None,
    })
}

/// Order by components: a slash sorts before every other byte.
pub(crate) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    /// Bytes compared at once while they are equal: paths that are compared share most of their parents.
    const STEP: usize = 32;
    let common = left.len().min(right.len());
    let pieces = left.chunks_exact(STEP).zip(right.chunks_exact(STEP));
    let equal = STEP * pieces.take_while(|(left, right)| left == right).count();
    match (equal..common).find(|&at| left[at] != right[at]) {
        None => left.len().cmp(&right.len()),
        Some(at) if left[at] == b'/' => Ordering::Less,
        Some(at) if right[at] == b'/' => Ordering::Greater,
        Some(at) => left[at].cmp(&right[at]),
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl AsRef<[u8]> for TreePath {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { out.write_str("/") } else { out.write_str(&String::from_utf8_lossy(&self.0)) }
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", String::from_utf8_lossy(&self.0))
    }
}
