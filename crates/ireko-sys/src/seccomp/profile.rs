//! Docker's default profile, for a process with Docker's default capabilities.
//!
//! State of `moby/profiles` `seccomp/default.json` as published in 2026: keyring calls are refused, sockets
//! are allowed by address family (not `AF_ALG`, not `AF_VSOCK`).

use std::collections::BTreeMap;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// Fails with this error number.
    Errno(u16),
    /// By the first argument.
    Argument(Rule),
    /// A listener is asked, if all tests hold; else it is allowed.
    Report(Tests),
}

/// What must hold of arguments, by their lower halves.
pub(crate) type Tests = &'static [Test];

/// Calls to be reported, by number.
pub(crate) type Report = BTreeMap<u32, Tests>;

/// A test of one argument, which is counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// It has one of these bits.
    Bits(u8, u32),
    /// It is from here to there.
    Between(u8, u32, u32),
}

/// What the first argument must be for the call to be allowed; otherwise it fails with `EPERM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// One of these values, compared as 64 bits.
    OneOf(&'static [u32]),
    /// None of these bits.
    NoneOf(u32),
}

/// The verdicts of one calling convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Convention {
    pub(super) verdicts: BTreeMap<u32, Verdict>,
    /// Calls above this number are newer than the profile: programs are told that the kernel lacks them, so
    /// that they fall back, as runc does.
    pub(super) newest: u32,
}

/// All conventions of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// By audit number, the one of the machine itself first.
    pub(super) native: (u32, Convention),
    /// A 32-bit one beside it.
    pub(super) compat: Option<(u32, Convention)>,
    /// The calls of x32, which shares the machine's audit number and marks calls by [`X32_BIT`].
    pub(super) x32: Option<Convention>,
}

pub(super) const X32_BIT: u32 = 0x4000_0000;

pub(super) const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
pub(super) const AUDIT_ARCH_I386: u32 = 0x4000_0003;
pub(super) const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;

const ALLOWED: &str = include_str!("../../data/docker-allowed.txt");

/// Allowed by capabilities of the default set (CAP_SYS_CHROOT), by the kernel's age (4.8), or by machine.
const ALSO_ALLOWED: [&str; 4] = ["chroot", "process_vm_readv", "process_vm_writev", "ptrace"];

/// Allowed on x86 machines, by whichever convention has them.
const ALLOWED_ON_X86: [&str; 2] = ["arch_prctl", "modify_ldt"];

/// Namespace flags of clone: new ones need CAP_SYS_ADMIN.
const CLONE_NAMESPACES: u32 = 0x7e02_0000;

/// The personalities a program may ask for, and the question itself.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Socket families that may be used: those with an implementation, but for `AF_ALG` (38), the kernel's
/// cryptography, and `AF_VSOCK` (40), which reaches virtual machines past every network namespace.
const FAMILIES: [u32; 37] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33,
    35, 36, 39, 41, 42, 43, 44, 45,
];

const EPERM: u16 = 1;
const ENOSYS: u16 = 38;

/// The profile for the architecture Rust calls `arch`. Unknown ones get a filter that allows nothing.
pub(super) fn machine(arch: &str) -> Machine {
    match arch {
        "x86_64" => Machine {
            native: (
                AUDIT_ARCH_X86_64,
                convention(include_str!("../../data/syscalls-x86_64.txt"), &ALLOWED_ON_X86),
            ),
            compat: Some((
                AUDIT_ARCH_I386,
                convention(include_str!("../../data/syscalls-i386.txt"), &ALLOWED_ON_X86),
            )),
            x32: Some(convention(include_str!("../../data/syscalls-x32.txt"), &ALLOWED_ON_X86)),
        },
        // The 32-bit convention of ARM is left out: its programs end with SIGSYS.
        _ => Machine {
            native: (AUDIT_ARCH_AARCH64, convention(include_str!("../../data/syscalls-aarch64.txt"), &[])),
            compat: None,
            x32: None,
        },
    }
}

fn convention(numbers: &str, of_machine: &[&str]) -> Convention {
    let numbers: BTreeMap<&str, u32> = numbers
        .lines()
        .filter_map(|line| {
            let (name, number) = line.split_once(' ')?;
            Some((name, number.parse().ok()?))
        })
        .collect();
    let mut verdicts = BTreeMap::new();
    let allowed = ALLOWED.lines().chain(ALSO_ALLOWED).chain(of_machine.iter().copied());
    for name in allowed {
        if let Some(number) = numbers.get(name) {
            verdicts.insert(*number, Verdict::Allow);
        }
    }
    let conditional = [
        ("clone", Verdict::Argument(Rule::NoneOf(CLONE_NAMESPACES))),
        // Its flags are behind a pointer, so it cannot be filtered; programs fall back to clone.
        ("clone3", Verdict::Errno(ENOSYS)),
        ("personality", Verdict::Argument(Rule::OneOf(&PERSONALITIES))),
        ("socket", Verdict::Argument(Rule::OneOf(&FAMILIES))),
    ];
    for (name, verdict) in conditional {
        if let Some(number) = numbers.get(name) {
            verdicts.insert(*number, verdict);
        }
    }
    let newest = verdicts.keys().next_back().copied().unwrap_or(0);
    Convention { verdicts, newest }
}

impl Convention {
    /// The verdict on a call by number.
    pub(super) fn verdict(&self, number: u32) -> Verdict {
        match self.verdicts.get(&number) {
            Some(verdict) => *verdict,
            None if number > self.newest => Verdict::Errno(ENOSYS),
            None => Verdict::Errno(EPERM),
        }
    }

    /// Runs of numbers with one verdict, the last open-ended: `(first number, verdict)`.
    pub(super) fn runs(&self) -> Vec<(u32, Verdict)> {
        let mut runs: Vec<(u32, Verdict)> = Vec::new();
        for number in 0..=self.newest.saturating_add(1) {
            let verdict = self.verdict(number);
            if runs.last().is_none_or(|(_, last)| *last != verdict) {
                runs.push((number, verdict));
            }
        }
        runs
    }
}
