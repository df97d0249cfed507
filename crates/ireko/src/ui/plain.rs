//! The plain log: one line an event, no spinner; for pipes, CI and files.

use super::groups::Groups;
use super::steps::{Step, Steps, clean, seconds};
use super::{Wishes, write_all};
use crate::environment;
use ireko_report::{Event, MissReason, StepEnd};
use std::collections::BTreeMap;
use std::time::Duration;

/// The plain log.
pub(crate) struct Plain {
    colour: bool,
    wishes: Wishes,
    /// Lines of steps that have not ended.
    open: BTreeMap<u32, Vec<u8>>,
    /// What was last said of a transfer: its end may be told twice.
    progress: String,
    /// Steps' lines are folded.
    groups: Option<Groups>,
}

impl Plain {
    pub(crate) fn new(colour: bool, wishes: Wishes) -> Self {
        let groups = wishes.ci.map(|ci| Groups::new(ci, || environment::now().seconds()));
        Self { colour, wishes, open: BTreeMap::new(), progress: String::new(), groups }
    }

    pub(crate) fn show(&mut self, event: &Event, steps: &Steps) {
        let name = |node: &u32| steps.get(*node).map_or("", |step| step.display.as_str());
        match event {
            Event::StepStarted { node } => self.say(name(node)),
            Event::StepLog { node, bytes, .. } => self.log(*node, bytes, steps),
            Event::StepFinished { node, end, miss } => {
                self.end_line(*node, steps);
                if let Some(groups) = &mut self.groups {
                    write_all(groups.end(*node, |node| steps.get(node)).as_bytes());
                }
                self.say(&ended(name(node), end, miss.as_ref(), self.colour));
                if let Some(groups) = &mut self.groups {
                    write_all(groups.next(|node| steps.get(node)).as_bytes());
                }
            }
            other => {
                for line in other_lines(other, &self.wishes, steps) {
                    if matches!(other, Event::Progress { .. })
                        && std::mem::replace(&mut self.progress, line.clone()) == line
                    {
                        continue;
                    }
                    self.say(&line);
                }
            }
        }
    }

    fn say(&self, line: &str) {
        if !line.is_empty() {
            write_all(format!("{line}\n").as_bytes());
        }
    }

    fn log(&mut self, node: u32, bytes: &[u8], steps: &Steps) {
        let prefix = steps.get(node).map_or(String::new(), prefix);
        let open = self.open.entry(node).or_default();
        let mut out = String::new();
        for &byte in bytes {
            if byte != b'\n' {
                open.push(byte);
                continue;
            }
            out.push_str(&format!("{prefix} | {}\n", clean(open)));
            open.clear();
        }
        self.lines(node, steps, out);
    }

    /// Prints what a step wrote without ending the line.
    fn end_line(&mut self, node: u32, steps: &Steps) {
        let Some(open) = self.open.remove(&node).filter(|open| !open.is_empty()) else { return };
        let prefix = steps.get(node).map_or(String::new(), prefix);
        self.lines(node, steps, format!("{prefix} | {}\n", clean(&open)));
    }

    /// Lines of a step. Each has its step before it, so that none is a command to the service that draws the log.
    fn lines(&mut self, node: u32, steps: &Steps, lines: String) {
        let lines = match &mut self.groups {
            Some(groups) => groups.lines(node, steps.get(node), lines),
            None => lines,
        };
        write_all(lines.as_bytes());
    }
}

/// `[app 2/5]` of `[app 2/5] RUN make`.
fn prefix(step: &Step) -> String {
    match step.display.find(']') {
        Some(end) => step.display[..=end].to_owned(),
        None => step.display.clone(),
    }
}

/// The line that says how a step ended.
pub(super) fn ended(name: &str, end: &StepEnd, miss: Option<&MissReason>, colour: bool) -> String {
    let took = |ms: &u64| seconds(Duration::from_millis(*ms));
    let why = miss.map(|miss| format!(" ({miss})")).unwrap_or_default();
    let (paint, text) = match end {
        StepEnd::Hit => ("32", "hit".to_owned()),
        StepEnd::CutOff => ("32", "hit (the steps below gave the same result)".to_owned()),
        StepEnd::Ran { elapsed_ms } => ("36", format!("{}{why}", took(elapsed_ms))),
        StepEnd::Adopted { elapsed_ms } => {
            ("36", format!("{}{why}, same result as before", took(elapsed_ms)))
        }
        StepEnd::Failed { message, .. } => ("31", format!("failed: {message}")),
        StepEnd::Cancelled => ("33", "cancelled".to_owned()),
    };
    let name = first_line(name);
    let text = if colour { format!("\u{1b}[{paint}m{text}\u{1b}[0m") } else { text };
    format!("{name}: {text}")
}

/// What a build was, in a few words: how much was remembered, and what took longest where that was long.
fn summary(steps: &Steps) -> String {
    const LONG: u64 = 1000;
    let (hits, all) = steps.hits();
    let mut text = match all {
        0 => String::new(),
        _ => format!(", {hits} of {all} steps remembered"),
    };
    if let Some((step, time)) = steps.longest().filter(|(_, time)| *time >= LONG) {
        text +=
            &format!(", longest {} ({})", first_line(&step.display), seconds(Duration::from_millis(time)));
    }
    text
}

/// A step's display cut to one short line: its whole text stood where it began.
fn first_line(name: &str) -> String {
    const WIDTH: usize = 100;
    let line = name.lines().next().unwrap_or("");
    match line.char_indices().nth(WIDTH) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}

/// Lines for events that belong to no step's own display.
pub(super) fn other_lines(event: &Event, wishes: &Wishes, steps: &Steps) -> Vec<String> {
    match event {
        Event::BaseResolved { reference, from, digest, .. } => {
            vec![format!("base {reference}: {digest} from {from}")]
        }
        Event::MissExplained { lines, .. } if wishes.explain || wishes.verbose => {
            lines.iter().map(|line| format!("    {line}")).collect()
        }
        Event::Warning { diagnostic } => {
            let mut lines = vec![format!("warning: {}", diagnostic.message)];
            lines.extend(diagnostic.notes.iter().map(|note| format!("  {note}")));
            lines.extend(diagnostic.hint.iter().map(|hint| format!("  hint: {hint}")));
            lines
        }
        Event::Progress { node: None, what, done, total } => match total {
            Some(total) if done == total => vec![format!("{what}: {}", crate::text::bytes(*total))],
            _ => Vec::new(),
        },
        Event::Exported { destination, image, manifest, bytes } => {
            let id = image.as_deref().or(manifest.as_deref()).unwrap_or("");
            let size = if *bytes > 0 { format!(" ({})", crate::text::bytes(*bytes)) } else { String::new() };
            vec![format!("exported {destination}{size} {id}").trim_end().to_owned()]
        }
        Event::BuildFinished { success: true, elapsed_ms } => {
            vec![format!("built in {}{}", seconds(Duration::from_millis(*elapsed_ms)), summary(steps))]
        }
        _ => Vec::new(),
    }
}
