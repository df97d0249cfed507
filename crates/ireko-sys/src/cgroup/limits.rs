//! Limits of a command, and the files of a control group that say them.

use std::fmt;

/// What a command may use of the machine. What is not said is as it is for this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// How much of it may be swapped out; counts only where `memory` is given.
    pub swap: Swap,
    /// Weight against others, in Docker's shares: 1024 is what everybody has.
    pub cpu_shares: Option<u64>,
    /// Length of the span in which `cpu_quota` counts, in microseconds.
    pub cpu_period: Option<u64>,
    /// Processor time in a span, in microseconds.
    pub cpu_quota: Option<u64>,
    /// Processors, as a list: `0-3,8`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as a list.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// The group to make groups in, in place of this process's own: from the root of the hierarchies if it begins with a
    /// slash, else below the own one. It must be there.
    pub parent: Option<String>,
}

/// How much may be swapped out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Swap {
    /// As much as there is memory, where the kernel counts it: Docker's rule.
    #[default]
    AsMuch,
    /// All there is.
    Unlimited,
    /// So many bytes together with the memory.
    Total(u64),
}

/// A part of the kernel that holds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Which processors.
    Cpuset,
    /// Memory.
    Memory,
    /// Number of processes.
    Pids,
}

impl Controller {
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::Cpuset, Self::Memory, Self::Pids];

    /// The kernel's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Which kind of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// A file of a group and what is written into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: Controller,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// The flag that people know it by.
    pub(super) flag: &'static str,
    /// Whether its absence is an error; else the kernel does not count this, and nobody asked for it by name.
    pub(super) needed: bool,
}

impl Limits {
    /// Whether anything was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The controllers that hold them.
    pub(super) fn controllers(&self) -> Vec<Controller> {
        let mut needed: Vec<_> = self.settings(Version::Two).iter().map(|one| one.controller).collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// A flag that a controller is needed for.
    pub(super) fn flag(&self, controller: Controller) -> &'static str {
        let settings = self.settings(Version::Two);
        settings.iter().find(|one| one.controller == controller).map_or("--cgroup-parent", |one| one.flag)
    }

    /// What is written, in this order.
    pub(super) fn settings(&self, version: Version) -> Vec<Setting> {
        let mut all = Vec::new();
        let mut set = |controller, flag, file, value: Option<String>| {
            if let Some(value) = value {
                all.push(Setting { controller, file, value, flag, needed: true });
            }
        };
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        let one = version == Version::One;
        let memory = if one { "memory.limit_in_bytes" } else { "memory.max" };
        set(Controller::Memory, "--memory", memory, text(self.memory));
        if one {
            set(Controller::Cpu, "--cpu-shares", "cpu.shares", text(self.cpu_shares));
            set(Controller::Cpu, "--cpu-period", "cpu.cfs_period_us", text(self.cpu_period));
            set(Controller::Cpu, "--cpu-quota", "cpu.cfs_quota_us", text(self.cpu_quota));
        } else {
            set(Controller::Cpu, "--cpu-shares", "cpu.weight", text(self.cpu_shares.map(weight)));
            set(Controller::Cpu, self.quota_flag(), "cpu.max", self.cpu_max());
        }
        set(Controller::Cpuset, "--cpuset-cpus", "cpuset.cpus", self.cpuset_cpus.clone());
        set(Controller::Cpuset, "--cpuset-mems", "cpuset.mems", self.cpuset_mems.clone());
        set(Controller::Pids, "--pids-limit", "pids.max", text(self.processes));
        if let Some(swap) = self.swap(version) {
            all.insert(1, swap);
        }
        all
    }

    fn quota_flag(&self) -> &'static str {
        if self.cpu_quota.is_some() { "--cpu-quota" } else { "--cpu-period" }
    }

    fn cpu_max(&self) -> Option<String> {
        // The kernel's own span; a quota alone keeps it.
        match (self.cpu_quota, self.cpu_period) {
            (None, None) => None,
            (quota, period) => {
                let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
                Some(format!("{quota} {}", period.unwrap_or(100_000)))
            }
        }
    }

    /// Comes after the memory: version 1 wants the sum to be the greater at every moment.
    fn swap(&self, version: Version) -> Option<Setting> {
        let memory = self.memory?;
        let total = match self.swap {
            Swap::AsMuch => memory.saturating_mul(2),
            Swap::Unlimited => return None,
            Swap::Total(total) => total,
        };
        let (file, value) = match version {
            Version::One => ("memory.memsw.limit_in_bytes", total),
            Version::Two => ("memory.swap.max", total.saturating_sub(memory)),
        };
        let needed = self.swap != Swap::AsMuch;
        let value = value.to_string();
        Some(Setting { controller: Controller::Memory, file, value, flag: "--memory-swap", needed })
    }
}

/// The weight of version 2 for shares of version 1, as runc has it: 2 is 1, 1024 is 100 (what everybody has), 262144 is
/// 10000.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 2 to 262144, where the result is within 1 to 10000"
)]
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limits: &Limits, version: Version, expected: &[&str]) {
        let lines: Vec<String> = limits
            .settings(version)
            .iter()
            .map(|one| format!("{}={}{}", one.file, one.value, if one.needed { "" } else { "?" }))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn nothing_said_is_nothing_written() {
        check(&Limits::default(), Version::One, &[]);
        check(&Limits::default(), Version::Two, &[]);
        assert!(Limits::default().is_empty());
        assert!(!Limits { parent: Some("/a".into()), ..Limits::default() }.is_empty());
    }

    #[test]
    fn all_of_them() {
        let limits = Limits {
            memory: Some(1000),
            swap: Swap::Total(1500),
            cpu_shares: Some(1024),
            cpu_period: Some(50_000),
            cpu_quota: Some(25_000),
            cpuset_cpus: Some("0-1".into()),
            cpuset_mems: Some("0".into()),
            processes: Some(9),
            parent: None,
        };
        let one = [
            "memory.limit_in_bytes=1000",
            "memory.memsw.limit_in_bytes=1500",
            "cpu.shares=1024",
            "cpu.cfs_period_us=50000",
            "cpu.cfs_quota_us=25000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "pids.max=9",
        ];
        check(&limits, Version::One, &one);
        let two = [
            "memory.max=1000",
            "memory.swap.max=500",
            "cpu.weight=100",
            "cpu.max=25000 50000",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "pids.max=9",
        ];
        check(&limits, Version::Two, &two);
        assert_eq!(limits.controllers(), Controller::ALL);
    }

    #[test]
    fn swap_follows_memory() {
        let with = |swap| Limits { memory: Some(100), swap, ..Limits::default() };
        check(&with(Swap::AsMuch), Version::Two, &["memory.max=100", "memory.swap.max=100?"]);
        check(
            &with(Swap::AsMuch),
            Version::One,
            &["memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=200?"],
        );
        check(&with(Swap::Unlimited), Version::Two, &["memory.max=100"]);
        check(&with(Swap::Total(100)), Version::Two, &["memory.max=100", "memory.swap.max=0"]);
    }

    #[test]
    fn a_quota_or_a_period_alone() {
        let quota = Limits { cpu_quota: Some(5000), ..Limits::default() };
        check(&quota, Version::Two, &["cpu.max=5000 100000"]);
        check(&quota, Version::One, &["cpu.cfs_quota_us=5000"]);
        let period = Limits { cpu_period: Some(5000), ..Limits::default() };
        check(&period, Version::Two, &["cpu.max=max 5000"]);
        assert_eq!(period.flag(Controller::Cpu), "--cpu-period");
    }

    #[test]
    fn shares_become_weights() {
        for (shares, expected) in
            [(1, 1), (2, 1), (1024, 100), (2048, 174), (512, 59), (262_144, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }
}
