//! Limits of steps and containers: Docker's flags, and the place that holds them.

use crate::failure::Failure;
use crate::text;
use clap::Args;
use ireko_report::Blame;
use ireko_sys::cgroup::{Limiter, Limits, Swap};
use std::sync::Arc;

/// Flags that `build` and `run` share.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Most memory of each RUN step or the container: `512m`, `2g`.
    #[arg(short = 'm', long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Most memory and swap together (default: twice the memory); `-1` for all the swap there is.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// Weight against others where processors are scarce; 1024 is what everybody has.
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    pub(crate) cpu_shares: Option<String>,
    /// Microseconds in which `--cpu-quota` counts (default: 100000).
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<String>,
    /// Microseconds of processor time in each period.
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<String>,
    /// Processors: `0-3`, `0,2`.
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes: `0-1`.
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// The control group to make groups in, in place of ireko's own; it must exist.
    #[arg(long, value_name = "GROUP")]
    pub(crate) cgroup_parent: Option<String>,
}

/// Flags of `run` alone.
#[derive(Debug, Args)]
pub(crate) struct RunLimitArgs {
    #[command(flatten)]
    pub(crate) all: LimitArgs,
    /// Processors' worth of time: `1.5`.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Most processes and threads; `-1` for no limit.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<String>,
}

/// As Docker: with less, no program starts.
const LEAST_MEMORY: u64 = 6 << 20;

/// What the kernel takes for a period, in microseconds.
const PERIODS: std::ops::RangeInclusive<u64> = 1000..=1_000_000;

impl LimitArgs {
    /// What was typed; zero stands for nothing, as with Docker.
    pub(crate) fn read(&self) -> Result<Limits, Failure> {
        let memory = self.memory()?;
        let period = number("--cpu-period", self.cpu_period.as_deref())?;
        if let Some(wrong) = period.filter(|period| !PERIODS.contains(period)) {
            return Err(Failure::user(format!("`--cpu-period {wrong}` is no period the kernel takes"))
                .hint("it is between 1000 and 1000000 microseconds"));
        }
        let quota = number("--cpu-quota", self.cpu_quota.as_deref().filter(|text| *text != "-1"))?;
        if let Some(wrong) = quota.filter(|quota| *quota < *PERIODS.start()) {
            return Err(Failure::user(format!("`--cpu-quota {wrong}` is less than the kernel takes"))
                .hint("it is at least 1000 microseconds of each period, or -1"));
        }
        let parent = self.cgroup_parent.as_ref().filter(|parent| !parent.is_empty());
        Ok(Limits {
            memory,
            swap: self.swap(memory)?,
            cpu_shares: number("--cpu-shares", self.cpu_shares.as_deref())?,
            cpu_period: period,
            cpu_quota: quota,
            cpuset_cpus: list("--cpuset-cpus", self.cpuset_cpus.as_deref())?,
            cpuset_mems: list("--cpuset-mems", self.cpuset_mems.as_deref())?,
            processes: None,
            parent: parent.cloned(),
        })
    }

    fn memory(&self) -> Result<Option<u64>, Failure> {
        let Some(typed) = self.memory.as_deref() else { return Ok(None) };
        let memory = text::memory("--memory ", typed)?;
        if memory != 0 && memory < LEAST_MEMORY {
            return Err(Failure::user(format!("`--memory {typed}` is too little for a program to start"))
                .hint("give it 6m or more"));
        }
        Ok((memory != 0).then_some(memory))
    }

    fn swap(&self, memory: Option<u64>) -> Result<Swap, Failure> {
        let Some(typed) = self.memory_swap.as_deref() else { return Ok(Swap::AsMuch) };
        if typed == "-1" {
            return Ok(if memory.is_some() { Swap::Unlimited } else { Swap::AsMuch });
        }
        let total = text::memory("--memory-swap ", typed)?;
        match memory {
            _ if total == 0 => Ok(Swap::AsMuch),
            None => Err(Failure::user(format!("`--memory-swap {typed}` without `--memory` has no meaning"))
                .hint("it is the sum of both: give --memory too")),
            Some(memory) if total < memory => {
                Err(Failure::user(format!("`--memory-swap {typed}` is less than the memory"))
                    .hint("it is the sum of memory and swap: as much as --memory for no swap at all"))
            }
            Some(_) => Ok(Swap::Total(total)),
        }
    }
}

impl RunLimitArgs {
    /// What was typed.
    pub(crate) fn read(&self) -> Result<Limits, Failure> {
        let mut limits = self.all.read()?;
        limits.processes = number("--pids-limit", self.pids_limit.as_deref().filter(|text| *text != "-1"))?;
        let Some(typed) = self.cpus.as_deref() else { return Ok(limits) };
        let wrong = || Failure::user(format!("`--cpus {typed}` is no number of processors"));
        let cpus: f64 = typed.parse().map_err(|_| wrong().hint("it looks like 2 or 1.5"))?;
        if cpus == 0.0 {
            return Ok(limits);
        }
        if !(0.01..=8192.0).contains(&cpus) {
            return Err(wrong().hint("it is at least 0.01"));
        }
        if limits.cpu_quota.is_some() || limits.cpu_period.is_some() {
            return Err(Failure::user("`--cpus` is a quota and a period already")
                .hint("leave out --cpu-quota and --cpu-period"));
        }
        limits.cpu_period = Some(100_000);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1000 and 2^30")]
        let quota = (cpus * 100_000.0).round() as u64;
        limits.cpu_quota = Some(quota);
        Ok(limits)
    }
}

fn number(flag: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let number: u64 = text.parse().map_err(|_| Failure::user(format!("`{flag} {text}` is no number")))?;
    Ok((number != 0).then_some(number))
}

/// A list such as `0-3,8`.
fn list(flag: &str, text: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let is_range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        matches!((first.parse::<u32>(), last.parse::<u32>()), (Ok(first), Ok(last)) if first <= last)
    };
    match text.split(',').all(is_range) {
        true => Ok(Some(text.to_owned())),
        false => {
            Err(Failure::user(format!("`{flag} {text}` is no list of numbers"))
                .hint("it looks like 0-3 or 0,2"))
        }
    }
}

/// Finds out, before anything runs, where these limits are held.
pub(crate) fn prepare(limits: &Limits) -> Result<Option<Arc<Limiter>>, Failure> {
    if limits.is_empty() {
        return Ok(None);
    }
    let limiter = Limiter::prepare(limits.clone())
        .map_err(|refusal| Failure::of(Blame::Environment, &refusal).hinted(refusal.hint()))?;
    Ok(Some(Arc::new(limiter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: RunLimitArgs,
    }

    fn read(line: &str) -> Result<Limits, Failure> {
        let words = std::iter::once("x").chain(line.split_ascii_whitespace());
        Line::try_parse_from(words).map_err(Failure::user)?.limits.read()
    }

    #[track_caller]
    fn check(line: &str, expected: Limits) {
        assert_eq!(read(line).map_err(|failure| failure.render()), Ok(expected), "{line}");
    }

    #[track_caller]
    fn check_wrong(line: &str, says: &str) {
        let failure = read(line).expect_err(line).render();
        assert!(failure.contains(says), "{line}: {failure}");
    }

    #[test]
    fn limits_are_read() {
        let none = Limits::default;
        check("", none());
        check("-m 64m", Limits { memory: Some(64 << 20), ..none() });
        check("-m 0 --memory-swap -1 -c 0 --cpu-quota -1 --cpu-period 0 --pids-limit -1 --cpus 0", none());
        let swap = |swap| Limits { memory: Some(1 << 30), swap, ..none() };
        check("--memory 1g --memory-swap -1", swap(Swap::Unlimited));
        check("--memory=1g --memory-swap=1g", swap(Swap::Total(1 << 30)));
        let cpu = Limits { cpu_shares: Some(512), cpu_period: Some(50_000), cpu_quota: Some(1000), ..none() };
        check("-c 512 --cpu-period 50000 --cpu-quota 1000", cpu);
        let sets = Limits { cpuset_cpus: Some("0-1,3".into()), cpuset_mems: Some("0".into()), ..none() };
        check("--cpuset-cpus 0-1,3 --cpuset-mems 0", sets);
        check("--cpus 1.5", Limits { cpu_period: Some(100_000), cpu_quota: Some(150_000), ..none() });
        check(
            "--pids-limit 9 --cgroup-parent /ci",
            Limits { processes: Some(9), parent: Some("/ci".into()), ..none() },
        );
    }

    #[test]
    fn wrong_ones_are_told() {
        for (line, says) in [
            ("-m much", "`--memory much` is no size"),
            ("-m 5m", "`--memory 5m` is too little"),
            ("--memory-swap 1g", "without `--memory`"),
            ("-m 2g --memory-swap 1g", "less than the memory"),
            ("-m 2g --memory-swap -2", "`--memory-swap -2` is no size"),
            ("-c -1", "-1"),
            ("-c many", "`--cpu-shares many` is no number"),
            ("--cpu-period 10", "`--cpu-period 10`"),
            ("--cpu-quota 10", "`--cpu-quota 10`"),
            ("--cpuset-cpus 3-1", "`--cpuset-cpus 3-1`"),
            ("--cpuset-cpus 0,,1", "`--cpuset-cpus 0,,1`"),
            ("--cpuset-mems a", "`--cpuset-mems a`"),
            ("--cpus many", "`--cpus many`"),
            ("--cpus -1", "-1"),
            ("--cpus nan", "`--cpus nan`"),
            ("--cpus 1 --cpu-quota 1000", "--cpu-quota"),
            ("--pids-limit -2", "`--pids-limit -2`"),
        ] {
            check_wrong(line, says);
        }
    }
}
