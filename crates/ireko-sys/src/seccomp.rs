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

/// Docker's default profile for this machine, compiled once.
pub(crate) fn docker_default() -> &'static [sock_filter] {
    static PROGRAM: OnceLock<Vec<sock_filter>> = OnceLock::new();
    PROGRAM.get_or_init(|| bpf::compile(&profile::machine(std::env::consts::ARCH)))
}
