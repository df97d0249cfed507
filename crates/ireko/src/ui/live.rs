//! The live view: finished steps stand, running ones are drawn over at the bottom of the terminal.

use super::plain::{ended, other_lines};
use super::steps::{Step, Steps, seconds};
use super::{Wishes, write_all};
use ireko_report::Event;
use std::time::{Duration, Instant};

/// Time between two drawings.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// A build shorter than this shows no moving part at all.
const CALM: Duration = Duration::from_millis(150);

/// The live view.
pub(crate) struct Live {
    colour: bool,
    wishes: Wishes,
    began: Instant,
    drawn: usize,
    closed: bool,
}

impl Live {
    pub(crate) fn new(colour: bool, wishes: Wishes, began: Instant) -> Self {
        Self { colour, wishes, began, drawn: 0, closed: false }
    }

    pub(crate) fn show(&mut self, event: &Event, steps: &Steps) {
        let name = |node: &u32| steps.get(*node).map_or("", |step| step.display.as_str());
        match event {
            Event::StepFinished { node, end, miss } => {
                let line = ended(name(node), end, miss.as_ref(), self.colour);
                self.line(&line);
            }
            other => {
                for line in other_lines(other, &self.wishes, steps) {
                    self.line(&line);
                }
            }
        }
    }

    /// Prints a line that stays, above the moving part.
    pub(crate) fn line(&mut self, text: &str) {
        let mut out = self.erase();
        out.push_str(&fit(text, usize::MAX));
        out.push('\n');
        write_all(out.as_bytes());
    }

    /// Draws the moving part again.
    pub(crate) fn draw(&mut self, steps: &Steps) {
        if self.closed || self.began.elapsed() < CALM {
            return;
        }
        let (width, height) = size();
        let running: Vec<&Step> = steps.running().collect();
        let transfers: Vec<String> = steps.transfers().map(|(what, transfer)| transfer.line(what)).collect();
        if running.is_empty() && transfers.is_empty() {
            return;
        }
        let room = height.saturating_sub(2 + transfers.len().min(height / 3)).max(1);
        let head = format!("{} of {} steps, {}", steps.done(), steps.total, seconds(steps.elapsed()));
        let mut lines = vec![if self.colour { format!("\u{1b}[1m{head}\u{1b}[0m") } else { head }];
        // With few steps each also shows the last line of its log.
        let with_log = running.len() * 2 < room;
        for step in running.iter().take(room) {
            lines.push(fit(&step_line(step), width));
            if let Some(last) = step.last_lines(1).pop().filter(|_| with_log) {
                let last = fit(&format!("    {last}"), width);
                lines.push(if self.colour { format!("\u{1b}[2m{last}\u{1b}[0m") } else { last });
            }
        }
        let most = (height / 3).max(1);
        lines.extend(transfers.iter().take(most).map(|line| fit(&format!("       {line}"), width)));
        let mut out = self.erase();
        self.drawn = lines.len();
        for line in lines {
            out.push_str(&line);
            out.push('\n');
        }
        write_all(out.as_bytes());
    }

    /// Takes the moving part away until it is drawn again.
    pub(crate) fn pause(&mut self) {
        let out = self.erase();
        write_all(out.as_bytes());
    }

    /// Takes the moving part away for good.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.pause();
    }

    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\r\u{1b}[J"),
        }
    }
}

fn step_line(step: &Step) -> String {
    let time = step.started.map(|started| seconds(started.elapsed())).unwrap_or_default();
    let inside = match &step.progress {
        Some((what, done, Some(total))) if *total > 0 => format!(" {what} {}%", done * 100 / total),
        Some((what, done, _)) => format!(" {what} {}", crate::text::bytes(*done)),
        None => String::new(),
    };
    format!("{time:>6} {}{inside}", step.display)
}

/// One line of at most `width` characters.
fn fit(text: &str, width: usize) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn size() -> (usize, usize) {
    let (rows, columns) = crate::terminal::size(std::io::stderr());
    (usize::from(columns), usize::from(rows))
}
