//! Where the file of a call is, as a path from this thread's surroundings: its root is the step's, its working
//! directory this machine's /proc.

use std::ffi::CString;

use crate::raw::{self, Errno, Result};

/// A file by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: CString,
    /// Whether a link at its end is followed.
    pub(super) follow: bool,
}

/// The file that thread `pid` means by `path` in its directory `dir`.
pub(super) fn place(pid: u32, dir: i32, path: &[u8], follow: bool) -> Result<Place> {
    let mut text = Vec::with_capacity(path.len() + 32);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| text.extend_from_slice(part));
    let (pid, number) = (pid.to_string(), dir.to_string());
    let (pid, number) = (pid.as_bytes(), number.as_bytes());
    let own = own_part(path);
    // Past such a directory lies this machine's /proc, where no step has any business.
    if own.is_some_and(|(_, rest)| rest.split(|byte| *byte == b'/').any(|name| name == b"..")) {
        return Err(Errno(libc::ENOENT));
    }
    let follow = match (path, own) {
        // A descriptor itself, which is reached by a link of the kernel's.
        (b"", _) if dir == raw::AT_CWD => {
            put(&[pid, b"/cwd"]);
            true
        }
        (b"", _) => {
            put(&[pid, b"/fd/", number]);
            true
        }
        // What differs from process to process: this thread has another name for it.
        (_, Some((kind, rest))) => {
            put(&[pid, b"/", kind, rest]);
            follow
        }
        (b"/" | [b'/', ..], None) => {
            put(&[path]);
            follow
        }
        _ if dir == raw::AT_CWD => {
            put(&[pid, b"/cwd/", path]);
            follow
        }
        _ => {
            put(&[pid, b"/fd/", number, b"/", path]);
            follow
        }
    };
    let path = CString::new(text).map_err(|_| Errno(libc::ENOENT))?;
    Ok(Place { path, follow })
}

/// The part of a process's directory of /proc that a path goes through, and what is left of the path.
fn own_part(path: &[u8]) -> Option<(&'static [u8], &[u8])> {
    const OWN: [(&[u8], &[u8]); 6] = [
        (b"/proc/self", b""),
        (b"/proc/thread-self", b""),
        (b"/dev/fd", b"fd"),
        (b"/dev/stdin", b"fd/0"),
        (b"/dev/stdout", b"fd/1"),
        (b"/dev/stderr", b"fd/2"),
    ];
    OWN.iter().find_map(|(prefix, kind)| {
        let rest = path.strip_prefix(*prefix)?;
        // A directory and no file of it is a link, of which nothing can be asked here.
        let whole = rest.first().is_none_or(|byte| *byte == b'/');
        (whole && (!kind.is_empty() || rest.len() > 1)).then(|| {
            let rest = if kind.is_empty() { &rest[1..] } else { rest };
            (*kind, rest)
        })
    })
}

/// The directory that a path's last name is in, by the same directory as the path, and that name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let (whole, _) = path.split_at(end);
    match whole.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", whole.split_at(1).1),
        Some(at) => (whole.split_at(at).0, whole.split_at(at + 1).1),
        None if end == 0 && !path.is_empty() => (b"/", b"."),
        None => (b".", whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dir: i32, path: &str, expected: &str) {
        let found = place(42, dir, path.as_bytes(), false).unwrap();
        assert_eq!(found.path.to_str().unwrap(), expected);
        assert_eq!(found.follow, path.is_empty());
    }

    #[test]
    fn paths_are_seen_from_here() {
        check(raw::AT_CWD, "a/b", "42/cwd/a/b");
        check(raw::AT_CWD, "", "42/cwd");
        check(7, "a", "42/fd/7/a");
        check(7, "", "42/fd/7");
        check(7, "/a", "/a");
        check(raw::AT_CWD, "/proc/self/fd/3", "42/fd/3");
        check(raw::AT_CWD, "/proc/self", "/proc/self");
        check(raw::AT_CWD, "/proc/selfish", "/proc/selfish");
        check(raw::AT_CWD, "/proc/thread-self/cwd", "42/cwd");
        check(raw::AT_CWD, "/dev/fd/3", "42/fd/3");
        check(raw::AT_CWD, "/dev/stdout", "42/fd/1");
        check(raw::AT_CWD, "/dev/stdouts", "/dev/stdouts");
        assert!(place(1, 2, b"a\0b", true).is_err());
        for path in ["/proc/self/../1/root/etc", "/proc/self/..", "/dev/fd/3/../x", "/proc/thread-self/a/.."]
        {
            assert!(place(1, raw::AT_CWD, path.as_bytes(), true).is_err(), "{path}");
        }
        check(raw::AT_CWD, "/proc/self/a..b", "42/a..b");
    }

    #[test]
    fn the_last_name_of_a_path() {
        for (path, above, name) in [
            ("a", ".", "a"),
            ("a/", ".", "a"),
            ("/a", "/", "a"),
            ("/a/b//", "/a", "b"),
            ("a/b", "a", "b"),
            ("//", "/", "."),
            ("", ".", ""),
        ] {
            assert_eq!(split(path.as_bytes()), (above.as_bytes(), name.as_bytes()), "{path}");
        }
    }
}
