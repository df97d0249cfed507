//! Which system calls are reported, by the names that the kernel's tables have for them.

use std::collections::BTreeMap;

use super::creds::Kind;
use crate::seccomp::{Test, Tests};

/// What a reported call asks for. Calls that differ in the place of their arguments only are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// chown and its kin.
    Chown(At, Width),
    Set(Kind, Width),
    SetTwo(Kind, Width),
    SetThree(Kind, Width),
    SetFs(Kind, Width),
    SetGroups(Width),
    Get(Kind, Which),
    GetThree(Kind, Width),
    GetGroups(Width),
    GetCaps,
    SetCaps,
    KeepCaps,
    /// stat and its kin.
    Stat(At, Shape),
    Open(At),
    OpenHow,
    Create,
    MakeDir(At),
    MakeNode(At),
    Link(At),
    /// A file gets another name.
    Move(At),
    Exec(At),
    Peer,
    List(At),
    /// An attribute is set.
    Attribute(At),
    LimitBoth,
    GetLimit(Shape),
    SetLimit,
    ChangeRoot,
}

/// Where the file is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// By the first argument, a path; a link is followed.
    Path,
    /// The same, a link itself is meant.
    Link,
    /// By the first argument, a descriptor.
    Open,
    /// By the first two, a directory and a path in it.
    Dir,
}

/// An id of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Real,
    Effective,
}

/// How wide the ids of a call are: i386 has calls of both kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Wide,
    Narrow,
}

/// The layout of what a call gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The machine's own.
    Own,
    /// That of i386.
    Old,
    /// `struct statx`, alike everywhere.
    Extended,
}

impl Width {
    /// The id that an argument means; the highest one is none, however wide it is.
    pub(super) fn id(self, argument: u64) -> u32 {
        match (self, argument as u32) {
            (Self::Narrow, id) if id & 0xffff == 0xffff => u32::MAX,
            (Self::Narrow, id) => id & 0xffff,
            (Self::Wide, id) => id,
        }
    }
}

/// The calls of one convention by their numbers, each with what must hold of its arguments for it to be reported.
pub(super) type Table = BTreeMap<u32, (Call, Tests)>;

const ALWAYS: Tests = &[];
const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;
const OPENS: Tests = &[Test::Bits(1, CREATES)];
const OPENS_AT: Tests = &[Test::Bits(2, CREATES)];
const KEEPS: Tests = &[Test::Between(0, libc::PR_GET_KEEPCAPS as u32, libc::PR_SET_KEEPCAPS as u32)];
const PEER: Tests = &[
    Test::Between(1, libc::SOL_SOCKET as u32, libc::SOL_SOCKET as u32),
    Test::Between(2, libc::SO_PEERCRED as u32, libc::SO_PEERCRED as u32),
];
/// Where the number of a process's identity is kept, see [`super::people`].
const NUMBER: Tests = &[Test::Between(0, libc::RLIMIT_RSS, libc::RLIMIT_RSS)];
const NUMBER_OF: Tests = &[Test::Between(1, libc::RLIMIT_RSS, libc::RLIMIT_RSS)];

/// The calls of a convention, `numbers` being its table and `old` whether it is that of i386.
pub(super) fn table(numbers: &str, old: bool) -> Table {
    let mut table = Table::new();
    for line in numbers.lines() {
        let Some((name, number)) = line.split_once(' ') else { continue };
        let (Some((call, tests)), Ok(number)) = (named(name, old), number.parse()) else { continue };
        table.insert(number, (call, tests));
    }
    table
}

fn named(name: &str, old: bool) -> Option<(Call, Tests)> {
    use Kind::{Group, User};
    // The plain names are those of 16-bit ids on i386, whose newer calls have a number at their ends.
    let (stem, width) = match name.strip_suffix("32") {
        Some(stem) if old => (stem, Width::Wide),
        _ if old => (name, Width::Narrow),
        _ => (name, Width::Wide),
    };
    let shape = if old { Shape::Old } else { Shape::Own };
    let call = match stem {
        "chown" => Call::Chown(At::Path, width),
        "lchown" => Call::Chown(At::Link, width),
        "fchown" => Call::Chown(At::Open, width),
        "fchownat" => Call::Chown(At::Dir, Width::Wide),
        "setuid" => Call::Set(User, width),
        "setgid" => Call::Set(Group, width),
        "setreuid" => Call::SetTwo(User, width),
        "setregid" => Call::SetTwo(Group, width),
        "setresuid" => Call::SetThree(User, width),
        "setresgid" => Call::SetThree(Group, width),
        "setfsuid" => Call::SetFs(User, width),
        "setfsgid" => Call::SetFs(Group, width),
        "setgroups" => Call::SetGroups(width),
        "getuid" => Call::Get(User, Which::Real),
        "geteuid" => Call::Get(User, Which::Effective),
        "getgid" => Call::Get(Group, Which::Real),
        "getegid" => Call::Get(Group, Which::Effective),
        "getresuid" => Call::GetThree(User, width),
        "getresgid" => Call::GetThree(Group, width),
        "getgroups" => Call::GetGroups(width),
        "capget" => Call::GetCaps,
        "capset" => Call::SetCaps,
        "prctl" => return Some((Call::KeepCaps, KEEPS)),
        "stat64" if old => Call::Stat(At::Path, shape),
        "lstat64" if old => Call::Stat(At::Link, shape),
        "fstat64" if old => Call::Stat(At::Open, shape),
        "fstatat64" if old => Call::Stat(At::Dir, shape),
        "stat" if !old => Call::Stat(At::Path, shape),
        "lstat" if !old => Call::Stat(At::Link, shape),
        "fstat" if !old => Call::Stat(At::Open, shape),
        "newfstatat" if !old => Call::Stat(At::Dir, shape),
        "statx" => Call::Stat(At::Dir, Shape::Extended),
        "open" => return Some((Call::Open(At::Path), OPENS)),
        "openat" => return Some((Call::Open(At::Dir), OPENS_AT)),
        "openat2" => Call::OpenHow,
        "creat" => Call::Create,
        "mkdir" => Call::MakeDir(At::Path),
        "mkdirat" => Call::MakeDir(At::Dir),
        "mknod" => Call::MakeNode(At::Path),
        "mknodat" => Call::MakeNode(At::Dir),
        "symlink" => Call::Link(At::Path),
        "symlinkat" => Call::Link(At::Dir),
        "rename" | "link" => Call::Move(At::Link),
        "renameat" | "renameat2" | "linkat" => Call::Move(At::Dir),
        "execve" => Call::Exec(At::Path),
        "execveat" => Call::Exec(At::Dir),
        "getsockopt" => return Some((Call::Peer, PEER)),
        "listxattr" => Call::List(At::Path),
        "llistxattr" => Call::List(At::Link),
        "flistxattr" => Call::List(At::Open),
        "setxattr" => Call::Attribute(At::Path),
        "lsetxattr" => Call::Attribute(At::Link),
        "fsetxattr" => Call::Attribute(At::Open),
        "prlimit64" => return Some((Call::LimitBoth, NUMBER_OF)),
        "getrlimit" | "ugetrlimit" => return Some((Call::GetLimit(shape), NUMBER)),
        "setrlimit" => return Some((Call::SetLimit, NUMBER)),
        "chroot" => Call::ChangeRoot,
        _ => return None,
    };
    Some((call, ALWAYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_the_names_of_each_table() {
        let own = table(include_str!("../../data/syscalls-x86_64.txt"), false);
        let old = table(include_str!("../../data/syscalls-i386.txt"), true);
        let call = |table: &Table, number| table.get(&number).map(|(call, _)| *call);
        assert_eq!(call(&own, 92), Some(Call::Chown(At::Path, Width::Wide)));
        assert_eq!(call(&own, 262), Some(Call::Stat(At::Dir, Shape::Own)));
        assert_eq!(call(&own, 0), None);
        assert_eq!(call(&old, 213), Some(Call::Set(Kind::User, Width::Wide)));
        assert_eq!(call(&old, 23), Some(Call::Set(Kind::User, Width::Narrow)));
        assert_eq!(call(&old, 195), Some(Call::Stat(At::Path, Shape::Old)));
        assert_eq!(call(&old, 298), Some(Call::Chown(At::Dir, Width::Wide)));
        // All that x86-64 reports exist on 64-bit ARM but for the old forms.
        let arm = table(include_str!("../../data/syscalls-aarch64.txt"), false);
        assert!(arm.len() > 30, "{}", arm.len());
        assert_eq!(Width::Narrow.id(0xffff), u32::MAX);
        assert_eq!(Width::Wide.id(0xffff), 0xffff);
    }
}
