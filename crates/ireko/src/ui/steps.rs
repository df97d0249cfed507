//! What is known of each step so far, from the events alone.

use crate::debian_context::STEPS;
use crate::text::{bytes, columns_of, fit};
use ireko_report::{Event, LayerSize, MissReason, StepEnd};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Lines of a step's log kept for the frame of an error.
const KEPT_LINES: usize = 40;

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// As shown: `[app 2/5] RUN make`.
    pub(crate) display: String,
    /// When it started, if it has.
    pub(crate) started: Option<Instant>,
    /// How it ended, if it has.
    pub(crate) end: Option<StepEnd>,
    /// Why it was no hit.
    pub(crate) miss: Option<MissReason>,
    /// The last lines it wrote.
    pub(crate) tail: VecDeque<String>,
    /// A line that has not ended yet.
    pub(crate) open_line: Vec<u8>,
    /// What goes on inside, before it starts too.
    pub(crate) progress: Option<(String, Transfer)>,
}

/// Bytes on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    done: u64,
    total: Option<u64>,
    since: Instant,
    /// What was there when it began: of a transfer that goes on only the rest takes time.
    from: u64,
}

impl Transfer {
    fn new(done: u64, total: Option<u64>) -> Self {
        Self { done, total, since: Instant::now(), from: done }
    }

    /// Whether anything is counted; else it is a state that lasts.
    pub(super) fn counts(&self) -> bool {
        self.done > 0 || self.total.is_some()
    }

    /// How far it is, how fast, and how long it will take, in one line of `room` columns.
    pub(crate) fn line(&self, what: &str, room: usize) -> String {
        const NAME: usize = 12;
        let far = self.far();
        let name = room.saturating_sub(columns_of(&far) + 1).max(NAME);
        fit(&format!("{} {far}", fit(what, name)), room)
    }

    /// The same without what it is; an estimate once there is something to estimate from.
    pub(super) fn far(&self) -> String {
        let Some(total) = self.total.filter(|total| *total > 0) else { return bytes(self.done) };
        let mut line = format!("{} of {} ({}%)", bytes(self.done), bytes(total), self.done * 100 / total);
        let time = self.since.elapsed().as_secs_f64();
        let moved = self.done.saturating_sub(self.from);
        if time >= 1.0 && moved > 0 {
            let speed = moved as f64 / time;
            let left = total.saturating_sub(self.done) as f64 / speed;
            line += &format!(
                ", {}/s, {} left",
                bytes(speed as u64),
                seconds(Duration::from_secs_f64(left.min(86_400.0)))
            );
        }
        line
    }
}

/// All steps.
#[derive(Debug)]
pub(crate) struct Steps {
    steps: BTreeMap<u32, Step>,
    /// What comes and goes without belonging to a step, by what it is.
    transfers: BTreeMap<String, Transfer>,
    began: Instant,
    /// How many the build has.
    pub(crate) total: u32,
    /// The images: bytes of the base, where known, and the layers above it.
    pub(crate) images: Vec<(Option<u64>, Vec<LayerSize>)>,
}

impl Steps {
    pub(crate) fn new(began: Instant) -> Self {
        Self { steps: BTreeMap::new(), transfers: BTreeMap::new(), began, total: 0, images: Vec::new() }
    }

    pub(crate) fn get(&self, node: u32) -> Option<&Step> {
        self.steps.get(&node)
    }

    /// Those that run, the first to start first.
    pub(crate) fn running(&self) -> Vec<&Step> {
        let runs = |step: &&Step| step.since().is_some() && step.end.is_none();
        let mut running: Vec<&Step> = self.steps.values().filter(runs).collect();
        running.sort_by_key(|step| step.since());
        running
    }

    /// Those that were cancelled.
    pub(crate) fn cancelled(&self) -> Vec<&Step> {
        self.steps.values().filter(|step| step.end == Some(StepEnd::Cancelled)).collect()
    }

    /// Whether any step ran to its end.
    pub(crate) fn any_ran(&self) -> bool {
        self.longest().is_some()
    }

    /// How many of the Dockerfile's ended.
    pub(crate) fn done(&self) -> usize {
        self.steps.range(..STEPS).filter(|(_, step)| step.end.is_some()).count()
    }

    pub(crate) fn transfers(&self) -> impl Iterator<Item = (&str, &Transfer)> {
        self.transfers.iter().map(|(what, transfer)| (what.as_str(), transfer))
    }

    /// How many steps were remembered, and how many there are.
    pub(crate) fn hits(&self) -> (usize, usize) {
        let is_hit = |step: &&Step| matches!(step.end, Some(StepEnd::Hit | StepEnd::CutOff));
        (self.steps.values().filter(is_hit).count(), self.steps.len())
    }

    /// The step that ran longest.
    pub(crate) fn longest(&self) -> Option<(&Step, u64)> {
        let ran = self.steps.values().filter_map(|step| match step.end {
            Some(StepEnd::Ran { elapsed_ms } | StepEnd::Adopted { elapsed_ms }) => Some((step, elapsed_ms)),
            _ => None,
        });
        ran.max_by_key(|(_, time)| *time)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn take(&mut self, event: &Event) {
        match event {
            Event::BuildStarted { steps } => self.total = *steps,
            Event::Layers { base, layers, .. } => self.images.push((*base, layers.clone())),
            Event::StepQueued { node, display, .. } => {
                self.steps.insert(*node, Step::new(display));
            }
            Event::StepStarted { node } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.started = Some(Instant::now());
                    step.end = None;
                }
            }
            Event::StepLog { node, bytes, .. } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.log(bytes);
                }
            }
            Event::Progress { node: Some(node), what, done, total } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.goes_on(what, *done, *total);
                }
            }
            Event::Progress { node: None, what, done, total } if Some(*done) == *total => {
                self.transfers.remove(what);
            }
            Event::Progress { node: None, what, done, total } => {
                let (done, total) = (*done, *total);
                let new = || Transfer::new(done, total);
                let transfer = self.transfers.entry(what.clone()).or_insert_with(new);
                (transfer.done, transfer.total) = (done, total);
            }
            Event::StepFinished { node, end, miss } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.end = Some(end.clone());
                    step.miss.clone_from(miss);
                    step.progress = None;
                }
            }
            _ => {}
        }
    }
}

impl Step {
    fn new(display: &str) -> Self {
        Self {
            display: display.to_owned(),
            started: None,
            end: None,
            miss: None,
            tail: VecDeque::new(),
            open_line: Vec::new(),
            progress: None,
        }
    }

    /// Since when something is to be seen of it: it fetches what its key is made of before it starts.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.started.or(self.progress.as_ref().map(|(_, transfer)| transfer.since))
    }

    fn goes_on(&mut self, what: &str, done: u64, total: Option<u64>) {
        self.progress = match self.progress.take() {
            _ if Some(done) == total => None,
            Some((known, before)) if known == what => Some((known, Transfer { done, total, ..before })),
            _ => Some((what.to_owned(), Transfer::new(done, total))),
        };
    }

    /// Cuts what was written into lines.
    fn log(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if add(&mut self.open_line, byte) {
                let line = std::mem::take(&mut self.open_line);
                self.push_line(&line);
            }
        }
    }

    fn push_line(&mut self, line: &[u8]) {
        if self.tail.len() == KEPT_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(clean(line));
    }

    /// The last lines, an unfinished one included.
    pub(crate) fn last_lines(&self, count: usize) -> Vec<String> {
        let open = (!self.open_line.is_empty()).then(|| clean(&self.open_line));
        let all: Vec<String> = self.tail.iter().cloned().chain(open).collect();
        all[all.len().saturating_sub(count)..].to_vec()
    }
}

/// Longest line of a log that is shown.
const LONGEST: usize = 16 << 10;

/// Adds a byte to a line that is being written; true where it ends. Of a line that a program draws over with `\r`, the
/// last state stays.
pub(super) fn add(line: &mut Vec<u8>, byte: u8) -> bool {
    if byte == b'\n' {
        return true;
    }
    if line.last() == Some(&b'\r') && byte != b'\r' {
        line.clear();
    }
    if line.len() < LONGEST {
        line.push(byte);
    }
    false
}

/// A line of a log made fit for a screen: the last state of a line drawn over, and no control characters.
pub(crate) fn clean(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
    let mut out = String::new();
    let text = String::from_utf8_lossy(line);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip_escape(&mut chars),
            '\t' => out.push_str("    "),
            char if char.is_control() => {}
            char => out.push(char),
        }
    }
    out
}

/// Skips the rest of a terminal's control sequence.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => {
            chars.find(|char| ('\u{40}'..='\u{7e}').contains(char));
        }
        Some(']') => {
            chars.find(|char| *char == '\u{7}' || *char == '\\');
        }
        _ => {}
    }
}

/// A time for people: `0.3s`, `12.0s`, `3m05s`.
pub(crate) fn seconds(time: Duration) -> String {
    let all = time.as_secs();
    if all >= 60 {
        return format!("{}m{:02}s", all / 60, all % 60);
    }
    format!("{:.1}s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_made_fit_for_a_screen() {
        for (bytes, text) in [
            (&b"plain"[..], "plain"),
            (b"10%\r50%\r100%", "100%"),
            (b"done\r", "done"),
            (b"\x1b[31mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07x", "x"),
            (b"a\tb\x08", "a    b"),
            (b"\xff", "\u{fffd}"),
        ] {
            assert_eq!(clean(bytes), text);
        }
    }

    #[test]
    fn of_a_line_drawn_over_the_last_state_stays() {
        let mut step = Step::new("[1/1] RUN a");
        for percent in 0..100_000 {
            step.log(format!("\r{percent} of many").as_bytes());
        }
        assert_eq!(step.last_lines(2), ["99999 of many"]);
        step.log(b"\r\n");
        assert_eq!(step.last_lines(2), ["99999 of many"]);
        assert!(step.open_line.is_empty());
    }

    #[test]
    fn a_transfer_says_how_long_it_will_take() {
        let since = Instant::now().checked_sub(Duration::from_secs(10)).expect("a time");
        let line = |done, total, from| Transfer { done, total, since, from }.line("pushing x", 80);
        assert_eq!(
            line(50_000_000, Some(200_000_000), 0),
            "pushing x 50.0MB of 200MB (25%), 5.00MB/s, 30.0s left"
        );
        let narrow = Transfer { done: 50_000_000, total: Some(200_000_000), since, from: 0 };
        assert_eq!(
            narrow.line("fetching https://example.org/some/long/file.tar", 70),
            "fetching https://example.… 50.0MB of 200MB (25%), 5.00MB/s, 30.0s left"
        );
        assert_eq!(line(7, None, 0), "pushing x 7B");
        assert_eq!(line(7, Some(10), 7), "pushing x 7B of 10B (70%)");
        let mut steps = Steps::new(Instant::now());
        let progress = |done| Event::Progress { node: None, what: "x".to_owned(), done, total: Some(9) };
        steps.take(&progress(1));
        assert_eq!(steps.transfers().count(), 1);
        steps.take(&progress(9));
        assert_eq!(steps.transfers().count(), 0);
    }

    #[test]
    fn what_goes_on_in_a_step_is_seen_before_it_starts_and_ends_with_it() {
        let mut steps = Steps::new(Instant::now());
        let (stage, display) = ("0".to_owned(), "[1/1] ADD x".to_owned());
        steps.take(&Event::StepQueued { node: 1, stage, display, platform: None });
        assert!(steps.running().is_empty());
        let progress =
            |done, total| Event::Progress { node: Some(1), what: "fetching".to_owned(), done, total };
        steps.take(&progress(0, None));
        assert!(!steps.running()[0].progress.as_ref().expect("it goes on").1.counts());
        steps.take(&progress(4, Some(8)));
        assert_eq!(steps.running()[0].progress.as_ref().expect("it goes on").1.far(), "4B of 8B (50%)");
        steps.take(&progress(8, Some(8)));
        assert!(steps.running().is_empty());
    }

    #[test]
    fn times_are_short() {
        for (ms, text) in [(0, "0.0s"), (340, "0.3s"), (59_940, "59.9s"), (185_000, "3m05s")] {
            assert_eq!(seconds(Duration::from_millis(ms)), text);
        }
    }
}
