//! The system call filter of a step: Docker's default profile, compiled to a tree of comparisons.
//!
//! The tables are data (`data/`): call numbers by architecture, and the calls Docker's profile allows without
//! conditions. [`profile`] adds the conditional parts; [`bpf`] makes the program. A linear program costs
//! 1.6 ms a step, since the kernel runs it for every call number to build its cache; a tree costs 0.1 ms.

mod bpf;
mod profile;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use libc::sock_filter;

pub(crate) use self::bpf::reporting;
pub(crate) use self::profile::{Report, Test, Tests};

/// Whether this is the audit number of the 32-bit convention of x86.
pub(crate) fn is_i386(audit: u32) -> bool {
    audit == profile::AUDIT_ARCH_I386
}

/// The names and numbers of calls by this machine's own convention, and on 64-bit x86 by that of i386: a pair a line.
pub(crate) fn tables() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "x86_64" => (include_str!("../data/syscalls-x86_64.txt"), include_str!("../data/syscalls-i386.txt")),
        _ => (include_str!("../data/syscalls-aarch64.txt"), ""),
    }
}

/// For a step whose files are thrown away or written to disk by who started it: calls that wait for the disk do nothing,
/// as on an overlay that is mounted `volatile`.
pub(crate) fn without_syncs() -> &'static [sock_filter] {
    static PROGRAM: OnceLock<Vec<sock_filter>> = OnceLock::new();
    const SYNCS: [&str; 6] = ["fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "sync_file_range2"];
    PROGRAM.get_or_init(|| {
        let numbers = |table: &str| -> Vec<u32> {
            let lines = table.lines().filter_map(|line| line.split_once(' '));
            lines
                .filter(|(name, _)| SYNCS.contains(name))
                .filter_map(|(_, number)| number.parse().ok())
                .collect()
        };
        let (own, old) = tables();
        bpf::done_already(std::env::consts::ARCH, &numbers(own), &numbers(old))
    })
}

/// Docker's default profile for this machine, compiled once.
pub(crate) fn docker_default() -> &'static [sock_filter] {
    static PROGRAM: OnceLock<Vec<sock_filter>> = OnceLock::new();
    PROGRAM.get_or_init(|| bpf::compile(&profile::machine(std::env::consts::ARCH)))
}
