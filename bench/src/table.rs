//! The table: one row a measurement, and what it ran on.
use std::fmt;
use std::fs;

use serde::Serialize;

use crate::sample::Sample;
use crate::tools::Tool;

/// The table's head, in Markdown.
pub(crate) const HEAD: &str =
    "| figure | who | wall ms | CPU ms | × ireko | note |\n|---|---|--:|--:|--:|---|";

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) figure: &'static str,
    pub(crate) who: String,
    pub(crate) sample: Sample,
    /// Wall time over ireko's, where ireko was measured and this is not it.
    pub(crate) ratio: Option<f64>,
    pub(crate) note: String,
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, who, sample, ratio, note } = self;
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        write!(out, "| {figure} | {who} | {:.1} | {:.0} | {ratio} | {note} |", sample.wall_ms, sample.cpu_ms)
    }
}

/// The rows of one figure, with ratios against ireko's sample where there is one.
pub(crate) struct Rows {
    figure: &'static str,
    rows: Vec<Row>,
}

impl Rows {
    pub(crate) fn new(figure: &'static str) -> Self {
        Self { figure, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, who: &str, sample: Sample, note: String) {
        self.rows.push(Row { figure: self.figure, who: who.to_owned(), sample, ratio: None, note });
    }

    /// Fills the ratios in, and adds what was asked and whether it was reached to ireko's row.
    pub(crate) fn finish(mut self, goals: &[Goal]) -> Vec<Row> {
        let Some(ours) = self.rows.iter().find(|row| row.who == "ireko").map(|row| row.sample) else {
            return self.rows;
        };
        for row in self.rows.iter_mut().filter(|row| row.who != "ireko") {
            row.ratio = Some(row.sample.wall_ms / ours.wall_ms.max(0.001));
        }
        let verdicts: Vec<String> = goals.iter().filter_map(|goal| goal.judge(ours, &self.rows)).collect();
        if let Some(row) = self.rows.iter_mut().find(|row| row.who == "ireko") {
            let parts = [row.note.clone(), verdicts.join("; ")];
            row.note = parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("; ");
        }
        self.rows
    }
}

/// What a figure has to reach.
pub(crate) enum Goal {
    /// This many times less wall time than the row `who`.
    Faster { who: &'static str, times: f64 },
    /// This many times less CPU than the row `who`.
    LessCpu { who: &'static str, times: f64 },
    /// At most `times` the wall time of the row `who`, and `plus_ms` more.
    Within { who: &'static str, times: f64, plus_ms: f64 },
    /// At most so much wall time.
    Wall { ms: f64 },
    /// At most so much CPU.
    Cpu { ms: f64 },
    /// At most so much memory.
    Memory { mb: f64 },
}

impl Goal {
    /// `goal: reached` or by how much it was missed; nothing where the other side was not measured.
    fn judge(&self, ours: Sample, rows: &[Row]) -> Option<String> {
        let other = |who: &str| rows.iter().find(|row| row.who == who).map(|row| row.sample);
        let (what, got, limit) = match self {
            Self::Faster { who, times } => {
                (format!("wall ≤ {who}/{times}"), ours.wall_ms, other(who)?.wall_ms / times)
            }
            Self::LessCpu { who, times } => {
                (format!("CPU ≤ {who}/{times}"), ours.cpu_ms, other(who)?.cpu_ms / times)
            }
            Self::Within { who, times, plus_ms } => (
                format!("wall ≤ {times} × {who} + {plus_ms} ms"),
                ours.wall_ms,
                other(who)?.wall_ms * times + plus_ms,
            ),
            Self::Wall { ms } => (format!("wall ≤ {ms} ms"), ours.wall_ms, *ms),
            Self::Cpu { ms } => (format!("CPU ≤ {ms} ms"), ours.cpu_ms, *ms),
            Self::Memory { mb } => (format!("memory ≤ {mb} MB"), ours.peak_mb, *mb),
        };
        let verdict =
            if got <= limit { "reached".to_owned() } else { format!("missed: {got:.1} against {limit:.1}") };
        Some(format!("{what}: {verdict}"))
    }
}

/// One line about the machine and the tools.
pub(crate) fn machine(tools: &[Tool]) -> String {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        value.trim_start_matches([' ', '\t', ':', '=']).trim_matches('"').to_owned()
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let versions: Vec<String> = tools.iter().map(Tool::version).collect();
    format!(
        "{} × {}, {} of memory, kernel {}, {}. {}.",
        cores,
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal"),
        kernel.trim(),
        first("/etc/os-release", "PRETTY_NAME"),
        versions.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_against_the_rows() {
        let sample = |wall_ms, cpu_ms| Sample { wall_ms, cpu_ms, peak_mb: 0.0 };
        let mut rows = Rows::new("steps");
        rows.add("ireko", sample(10.0, 5.0), String::new());
        rows.add("docker", sample(250.0, 100.0), String::new());
        let rows = rows.finish(&[
            Goal::Faster { who: "docker", times: 30.0 },
            Goal::LessCpu { who: "docker", times: 20.0 },
            Goal::Faster { who: "buildah", times: 30.0 },
        ]);
        assert_eq!(rows[0].note, "wall ≤ docker/30: missed: 10.0 against 8.3; CPU ≤ docker/20: reached");
        assert_eq!(rows[1].ratio, Some(25.0));
    }
}
