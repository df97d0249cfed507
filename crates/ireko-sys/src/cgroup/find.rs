//! Where this process's own control group can be reached, from what the kernel says of groups and mounts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A hierarchy of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hierarchy<'a> {
    /// That of version 2.
    Unified,
    /// That of version 1 with this controller.
    Of(&'a str),
}

/// This process's own group in a hierarchy, from the text of /proc/self/cgroup; none where the kernel has none.
pub(super) fn own_group<'t>(text: &'t [u8], hierarchy: Hierarchy<'_>) -> Option<&'t Path> {
    let path = text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let wanted = match hierarchy {
            Hierarchy::Unified => number == b"0" && controllers.is_empty(),
            Hierarchy::Of(controller) => has_word(controllers, controller),
        };
        wanted.then_some(path)
    })?;
    path.starts_with(b"/").then(|| Path::new(OsStr::from_bytes(path)))
}

fn has_word(list: &[u8], word: &str) -> bool {
    list.split(|byte| *byte == b',').any(|one| one == word.as_bytes())
}

/// The directories at which the group `own` is mounted, last mounted first, from the text of /proc/self/mountinfo;
/// none at all where the hierarchy is not mounted.
pub(super) fn directories(mountinfo: &[u8], hierarchy: Hierarchy<'_>, own: &Path) -> Option<Vec<PathBuf>> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let mounts: Vec<(PathBuf, PathBuf)> = lines.filter_map(|line| group_mount(line, hierarchy)).collect();
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
fn group_mount(line: &[u8], hierarchy: Hierarchy<'_>) -> Option<(PathBuf, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, at) = (fields.nth(3)?, fields.next()?);
    // Optional fields end with a dash; type, source and options of the file system follow.
    let mut rest = fields.skip_while(|field| *field != b"-");
    let (kind, options) = (rest.nth(1)?, rest.nth(1).unwrap_or_default());
    let wanted = match hierarchy {
        Hierarchy::Unified => kind == b"cgroup2",
        Hierarchy::Of(controller) => kind == b"cgroup" && has_word(options, controller),
    };
    wanted.then(|| (unescaped(root), unescaped(at)))
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
