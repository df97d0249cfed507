//! Owners as a note on the file, for where the kernel can give files no others: a user namespace with one id.
//!
//! A file that has no note belongs to whom the kernel says, who is root of the namespace.

use std::fmt;

/// The extended attribute that says who owns a file. It never belongs to a layer.
pub const RECORD: &str = "user.ireko.owner";

/// User and group of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Owner {
    /// Root and its group: who needs no note.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// These ids.
    #[must_use]
    pub fn new(uid: u32, gid: u32) -> Self {
        Self { uid, gid }
    }

    /// What a note says; nothing where it is none that ireko wrote.
    #[must_use]
    pub fn parse(note: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(note).ok()?;
        let (uid, gid) = text.split_once(':')?;
        let number = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|id| plain && *id != u32::MAX)
        };
        Some(Self { uid: number(uid)?, gid: number(gid)? })
    }
}

/// Tells a file apart from all others of its file system, also from earlier ones with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Its inode.
    pub inode: u64,
    /// When it was made, in seconds and nanoseconds; zeros where the file system does not say.
    pub born: (i64, u32),
}

/// Owners of files that take no note: symbolic links, pipes, sockets.
pub type OwnerTable = std::collections::BTreeMap<FileId, Owner>;

/// As in a note: `101:65534`.
impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.uid, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_read_back_and_others_are_none() {
        for owner in [Owner::ROOT, Owner::new(101, 65_534), Owner::new(u32::MAX - 1, 0)] {
            assert_eq!(Owner::parse(owner.to_string().as_bytes()), Some(owner));
        }
        for odd in ["", ":", "1", "1:", "+1:2", "1:2:3", "1:4294967295", "-1:0", "1:99999999999", "a:b"] {
            assert_eq!(Owner::parse(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(Owner::parse(b"\xff:1"), None);
    }
}
