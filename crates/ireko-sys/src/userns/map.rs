//! Id maps: what the kernel shows, what shadow-utils grants, and a stable name for each.

use std::fmt::Write as _;
use std::fs;

use crate::error::{Error, Result};

/// A run of ids and where it lies outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdRange {
    /// First id inside the namespace.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

/// Which ids of the outside this process's ids are.
///
/// A tree written to disk under one map means something else under another, so whoever keeps trees records
/// the [`fingerprint`](Self::fingerprint) with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// User ids, lowest inside first.
    pub uids: Vec<IdRange>,
    /// Group ids, lowest inside first.
    pub gids: Vec<IdRange>,
}

impl IdMap {
    /// The map this process is under now.
    pub fn current() -> Result<Self> {
        let read = |path: &str| {
            let text = fs::read_to_string(path).map_err(|cause| Error::path("read", path, cause))?;
            parse_kernel(&text).ok_or_else(|| Error::Invalid(format!("id map `{path}` is not understood")))
        };
        Ok(Self { uids: read("/proc/self/uid_map")?, gids: read("/proc/self/gid_map")? })
    }

    /// Whether ids are the same inside and outside: no user namespace is in force.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        [&self.uids, &self.gids]
            .into_iter()
            .all(|ranges| matches!(ranges[..], [IdRange { inside: 0, outside: 0, count: u32::MAX }]))
    }

    /// Whether it has one user and one group only.
    #[must_use]
    pub fn is_single(&self) -> bool {
        [&self.uids, &self.gids].into_iter().all(|ranges| matches!(ranges[..], [IdRange { count: 1, .. }]))
    }

    /// A stable text that is equal for equal maps only, such as `u0:1000:1,1:100000:65536/g0:1000:1`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        if self.is_identity() {
            return "identity".to_owned();
        }
        let list = |ranges: &[IdRange]| {
            let texts: Vec<String> = ranges
                .iter()
                .map(|range| format!("{}:{}:{}", range.inside, range.outside, range.count))
                .collect();
            texts.join(",")
        };
        format!("u{}/g{}", list(&self.uids), list(&self.gids))
    }

    /// Whether overlay attributes must be `user.overlay.*`: those of `trusted.` are refused in a user namespace.
    #[must_use]
    pub fn needs_userxattr(&self) -> bool {
        !self.is_identity()
    }

    /// The id outside of user `inside`, if it is mapped.
    #[must_use]
    pub fn uid_outside(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// The id outside of group `inside`, if it is mapped.
    #[must_use]
    pub fn gid_outside(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }
}

fn outside(ranges: &[IdRange], inside: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = inside.checked_sub(range.inside).filter(|offset| *offset < range.count)?;
        range.outside.checked_add(offset)
    })
}

/// Parses /proc/PID/uid_map.
fn parse_kernel(text: &str) -> Option<Vec<IdRange>> {
    let mut ranges = text
        .lines()
        .map(|line| {
            let numbers: Vec<u32> =
                line.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
            let [inside, outside, count] = numbers[..] else { return None };
            Some(IdRange { inside, outside, count })
        })
        .collect::<Option<Vec<_>>>()?;
    ranges.sort_unstable();
    Some(ranges)
}

/// The text the kernel takes for a map.
pub(super) fn kernel_text(ranges: &[IdRange]) -> String {
    let mut text = String::new();
    for IdRange { inside, outside, count } in ranges {
        writeln!(text, "{inside} {outside} {count}").expect("writing to a string cannot fail");
    }
    text
}

/// The ranges /etc/subuid or /etc/subgid grants a user, by name or by number, in file order.
///
/// `inside` of the result is not set yet. Lines that make no sense are passed over, as shadow-utils does.
pub(super) fn granted(text: &str, name: Option<&str>, uid: u32) -> Vec<IdRange> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let (outside, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let is_ours = Some(owner) == name || owner == number;
            (is_ours && count > 0).then_some(IdRange { inside: 0, outside, count })
        })
        .collect()
}

/// The kernel takes up to 340 lines since 4.15; more ranges than that are of no use to anybody.
const MAX_RANGES: usize = 339;

/// A whole map: the user's own id as 0, the granted ones from 1 up, one after another.
pub(super) fn with_own(own: u32, granted: &[IdRange]) -> Vec<IdRange> {
    let mut map = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut next = 1_u32;
    for range in granted.iter().take(MAX_RANGES) {
        let count = range.count.min(u32::MAX - 1 - next);
        if count > 0 {
            map.push(IdRange { inside: next, outside: range.outside, count });
            next += count;
        }
    }
    map
}

/// The name of `uid` in a passwd file.
pub(super) fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_found_by_name_and_by_number() {
        let text = "ann:100000:65536\nbob:200000:10\n# note\n1000:300000:5\nann:bad:1\nann:400000:0\n";
        let found = granted(text, Some("ann"), 1000);
        assert_eq!(kernel_text(&with_own(1000, &found)), "0 1000 1\n1 100000 65536\n65537 300000 5\n");
        assert_eq!(granted(text, None, 7), []);
    }

    #[test]
    fn fingerprints_are_stable() {
        let map = |uids: &str, gids: &str| IdMap {
            uids: parse_kernel(uids).unwrap(),
            gids: parse_kernel(gids).unwrap(),
        };
        let whole = "         0          0 4294967295\n";
        assert_eq!(map(whole, whole).fingerprint(), "identity");
        let mapped = map(" 1 100000 65536\n 0 1000 1\n", "0 1000 1\n");
        assert_eq!(mapped.fingerprint(), "u0:1000:1,1:100000:65536/g0:1000:1");
        assert!(mapped.needs_userxattr());
        assert_eq!(mapped.uid_outside(33), Some(100_032));
        assert_eq!(mapped.gid_outside(33), None);
    }

    #[test]
    fn names_are_read_from_passwd() {
        assert_eq!(
            name_of("root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n", 1000),
            Some("ann".to_owned())
        );
        assert_eq!(name_of("broken\n", 0), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC*", uid in 0_u32..) {
            let _ = parse_kernel(&text);
            let _ = with_own(uid, &granted(&text, Some("a"), uid));
            let _ = name_of(&text, uid);
        }
    }
}
