//! The plain log: one line an event, no spinner; for pipes, CI and files.

use super::ending::{Room, ended, other_lines};
use super::groups::Groups;
use super::steps::{Step, Steps, add, clean};
use super::{Wishes, write_all};
use crate::environment;
use ireko_report::Event;
use std::collections::BTreeMap;

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
                self.say(&ended(name(node), end, miss.as_ref(), (Room::Log, self.colour)));
                if let Some(groups) = &mut self.groups {
                    write_all(groups.next(|node| steps.get(node)).as_bytes());
                }
            }
            // What lasts, and would else be a silence that nobody understands.
            Event::Progress { node: Some(node), what, done: 0, total: None } => {
                let step = steps.get(*node).map_or_else(String::new, prefix);
                let line = format!("{step} {what}").trim().to_owned();
                if std::mem::replace(&mut self.progress, line.clone()) != line {
                    self.say(&line);
                }
            }
            other => {
                for line in other_lines(other, &self.wishes, steps, Room::Log) {
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
            if !add(open, byte) {
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
