//! Where this process's own control group can be reached, from what the kernel says of groups and mounts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// This process's own group of version 2, from the text of /proc/self/cgroup; none where the kernel has none.
pub(super) fn own_group(text: &[u8]) -> Option<&Path> {
    let path = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    path.starts_with(b"/").then(|| Path::new(OsStr::from_bytes(path)))
}

/// The directories at which the group `own` is mounted, last mounted first, from the text of /proc/self/mountinfo;
/// none at all where the hierarchy is not mounted.
pub(super) fn directories(mountinfo: &[u8], own: &Path) -> Option<Vec<PathBuf>> {
    let mounts: Vec<(PathBuf, PathBuf)> =
        mountinfo.split(|byte| *byte == b'\n').filter_map(group_mount).collect();
    if mounts.is_empty() {
        return None;
    }
    let below = |(root, at): &(PathBuf, PathBuf)| {
        // A name with `..` leads out of this process's namespace of groups.
        let plain = !own.components().any(|part| part == std::path::Component::ParentDir);
        let rest = own.strip_prefix(root).ok().filter(|_| plain)?;
        Some(if rest.as_os_str().is_empty() { at.clone() } else { at.join(rest) })
    };
    Some(mounts.iter().rev().filter_map(below).collect())
}

/// What is shown and where, if the line is of a mount of the hierarchy.
fn group_mount(line: &[u8]) -> Option<(PathBuf, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, at) = (fields.nth(3)?, fields.next()?);
    // Optional fields end with a dash; the type follows.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    (kind == b"cgroup2").then(|| (unescaped(root), unescaped(at)))
}

/// Blanks and the like are written as `\040`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| *first == b'\\');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = byte.and_then(|_| tail.get(3..)).unwrap_or(tail);
    }
    PathBuf::from(OsStr::from_bytes(&plain))
}

/// The process and its start that a group's name tells of.
pub(super) fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix(super::PREFIX)?.splitn(3, '-');
    let owner = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next()?.parse::<u32>().ok().map(|_| owner)
}

/// A process's number and when it was started, in the kernel's ticks, from the text of its /proc/…/stat.
pub(super) fn process(stat: &str) -> Option<(u32, u64)> {
    let (number, _) = stat.split_once(' ')?;
    // The name may hold blanks and brackets of its own.
    let (_, fields) = stat.rsplit_once(')')?;
    Some((number.parse().ok()?, fields.split_ascii_whitespace().nth(19)?.parse().ok()?))
}
