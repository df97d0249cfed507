//! One measurement: wall time, CPU of the process tree, peak memory.
use std::fs;
use std::ops::Add;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// What one run took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) wall_ms: f64,
    pub(crate) cpu_ms: f64,
    /// Largest resident set of the command's own process; 0 where it was not watched.
    pub(crate) peak_mb: f64,
}

impl Add for Sample {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            wall_ms: self.wall_ms + other.wall_ms,
            cpu_ms: self.cpu_ms + other.cpu_ms,
            peak_mb: self.peak_mb.max(other.peak_mb),
        }
    }
}

/// Field by field, the middle of `samples`.
pub(crate) fn median(samples: &[Sample]) -> Sample {
    let middle = |field: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => 0.0,
            n if n % 2 == 1 => values[n / 2],
            n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
        }
    };
    Sample { wall_ms: middle(|s| s.wall_ms), cpu_ms: middle(|s| s.cpu_ms), peak_mb: middle(|s| s.peak_mb) }
}

/// Runs `command` to its end and measures it; `daemon` is the process whose tree works for it, if one does.
pub(crate) fn run(command: &mut Command, daemon: Option<u32>) -> Result<Sample> {
    heard(command, daemon).map(|(sample, _)| sample)
}

/// The same, with all that the command said.
pub(crate) fn heard(command: &mut Command, daemon: Option<u32>) -> Result<(Sample, String)> {
    let shown = format!("{command:?}");
    let before = cpu_so_far(daemon);
    let begin = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let pid = child.id();
    let done = AtomicBool::new(false);
    let (output, wall, peak) = thread::scope(|scope| {
        let watch = scope.spawn(|| peak_memory(pid, &done));
        let output = child.wait_with_output();
        let wall = begin.elapsed();
        done.store(true, Ordering::Relaxed);
        (output, wall, watch.join().unwrap_or_default())
    });
    let output = output.with_context(|| format!("cannot wait for {shown}"))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{shown} failed: {}", tail(&said));
    let cpu = cpu_so_far(daemon).saturating_sub(before);
    Ok((Sample { wall_ms: milliseconds(wall), cpu_ms: milliseconds(cpu), peak_mb: peak }, said))
}

/// Measures `work`, done by this process itself.
pub(crate) fn own<T>(work: impl FnOnce() -> Result<T>) -> Result<Sample> {
    let before = own_cpu();
    let begin = Instant::now();
    work()?;
    let wall = begin.elapsed();
    Ok(Sample {
        wall_ms: milliseconds(wall),
        cpu_ms: milliseconds(own_cpu().saturating_sub(before)),
        peak_mb: 0.0,
    })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// The high-water mark of the process `pid`, read until it is gone; it only grows, so the last reading counts.
fn peak_memory(pid: u32, done: &AtomicBool) -> f64 {
    let mut peak = 0.0;
    while !done.load(Ordering::Relaxed) {
        if let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
            let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = mark.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            peak = kib.map_or(peak, |kib| kib / 1024.0);
        }
        thread::sleep(Duration::from_millis(3));
    }
    peak
}

/// CPU of all ended and awaited children of ours, and of the daemon's whole tree.
fn cpu_so_far(daemon: Option<u32>) -> Duration {
    let children = ticks("self").map_or(0, |t| t.children);
    ticks_to_time(children + daemon.map_or(0, tree_ticks))
}

fn own_cpu() -> Duration {
    ticks_to_time(ticks("self").map_or(0, |t| t.own))
}

fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

struct Ticks {
    parent: u32,
    own: u64,
    children: u64,
}

/// The CPU fields of `/proc/PID/stat`. The name in parentheses may hold anything, so fields are counted after it.
fn ticks(pid: &str) -> Option<Ticks> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Ticks {
        parent: u32::try_from(number(1)?).ok()?,
        own: number(11)? + number(12)?,
        children: number(13)? + number(14)?,
    })
}

/// Ticks of a process, of its living descendants, and of what those have waited for.
fn tree_ticks(root: u32) -> u64 {
    let mut all: Vec<(u32, Ticks)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(ticks) = ticks(&format!("{pid}")) {
            all.push((pid, ticks));
        }
    }
    let mut tree = vec![root];
    let mut at = 0;
    while at < tree.len() {
        let parent = tree[at];
        tree.extend(all.iter().filter(|(_, ticks)| ticks.parent == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    all.iter().filter(|(pid, _)| tree.contains(pid)).map(|(_, ticks)| ticks.own + ticks.children).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_taken_field_by_field() {
        let sample = |wall_ms, cpu_ms| Sample { wall_ms, cpu_ms, peak_mb: 0.0 };
        assert_eq!(median(&[sample(3.0, 1.0), sample(1.0, 5.0), sample(2.0, 9.0)]), sample(2.0, 5.0));
        assert_eq!(median(&[sample(1.0, 2.0), sample(3.0, 4.0)]), sample(2.0, 3.0));
    }

    #[test]
    fn a_command_is_measured_and_its_failure_told() {
        let sample = run(Command::new("sleep").arg("0.05"), None).unwrap();
        assert!(sample.wall_ms >= 50.0, "{sample:?}");
        let (_, said) = heard(Command::new("sh").args(["-c", "echo out; echo err >&2"]), None).unwrap();
        assert_eq!(said, "out\nerr\n");
        let error = run(Command::new("sh").args(["-c", "echo why; exit 3"]), None).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
    }
}
