//! The live view: finished steps stand, running ones are drawn over at the bottom of the terminal.

use super::ending::{Room, ended, other_lines, short};
use super::steps::{Step, Steps, seconds};
use super::{Wishes, write_all};
use crate::text::{columns_of, fit};
use ireko_report::{Event, StepEnd};
use std::time::{Duration, Instant};

/// Time between two drawings.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// A build shorter than this shows no moving part at all.
const CALM: Duration = Duration::from_millis(150);

/// Cancelled steps are named where there are no more than this.
const NAMED: usize = 3;

/// The live view.
pub(crate) struct Live {
    colour: bool,
    wishes: Wishes,
    began: Instant,
    /// The columns of each line of the moving part as it stands.
    drawn: Vec<usize>,
    closed: bool,
}

impl Live {
    pub(crate) fn new(colour: bool, wishes: Wishes, began: Instant) -> Self {
        Self { colour, wishes, began, drawn: Vec::new(), closed: false }
    }

    pub(crate) fn show(&mut self, event: &Event, steps: &Steps) {
        let name = |node: &u32| steps.get(*node).map_or("", |step| step.display.as_str());
        let room = Room::Columns(size().0);
        match event {
            // A failure cancels all others: that is said in one line, when the build has ended.
            Event::StepFinished { end: StepEnd::Cancelled, .. } => {}
            Event::BuildFinished { success: false, .. } => self.tell_of_cancelled(steps, room),
            Event::StepFinished { node, end, miss } => {
                let line = ended(name(node), end, miss.as_ref(), (room, self.colour));
                self.line(&line);
            }
            other => {
                for line in other_lines(other, &self.wishes, steps, room) {
                    self.line(&line);
                }
            }
        }
    }

    fn tell_of_cancelled(&mut self, steps: &Steps, room: Room) {
        let cancelled = steps.cancelled();
        if cancelled.len() > NAMED {
            self.line(&format!("{} other steps were cancelled", cancelled.len()));
            return;
        }
        for step in cancelled {
            self.line(&ended(&step.display, &StepEnd::Cancelled, None, (room, self.colour)));
        }
    }

    /// Prints a line that stays, above the moving part.
    pub(crate) fn line(&mut self, text: &str) {
        let mut out = self.back();
        out.push_str(&text.replace('\n', " "));
        out.push_str(LINE_END);
        out.push_str(REST);
        write_all(out.as_bytes());
    }

    /// Draws the moving part again.
    pub(crate) fn draw(&mut self, steps: &Steps) {
        if self.closed || self.began.elapsed() < CALM {
            return;
        }
        let lines = moving(steps, size(), self.colour);
        let mut out = self.back();
        for (line, columns) in lines {
            self.drawn.push(columns);
            out.push_str(&line);
            out.push_str(LINE_END);
        }
        out.push_str(REST);
        write_all(out.as_bytes());
    }

    /// Takes the moving part away until it is drawn again.
    pub(crate) fn pause(&mut self) {
        let rows = self.rows();
        let out = format!("{}{}{}", up(rows), LINE_END.repeat(rows), up(rows));
        self.drawn.clear();
        write_all(out.as_bytes());
    }

    /// Takes the moving part away for good.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.pause();
    }

    /// How many rows the moving part takes. A terminal that became narrower has broken its lines.
    fn rows(&self) -> usize {
        let columns = size().0;
        self.drawn.iter().map(|line| line.div_ceil(columns).max(1)).sum()
    }

    /// Goes back to where the moving part began.
    fn back(&mut self) -> String {
        let rows = self.rows();
        self.drawn.clear();
        up(rows)
    }
}

/// Ends a line and clears what stood behind it. Whole screens are not cleared: terminals keep what was there.
const LINE_END: &str = "\u{1b}[K\n";
/// Clears what stands below.
const REST: &str = "\u{1b}[J";

fn up(rows: usize) -> String {
    match rows {
        0 => String::new(),
        rows => format!("\u{1b}[{rows}A\r"),
    }
}

/// The lines of the moving part, each with the columns it takes: what the build is at, each running step with the end of
/// its log, each transfer.
fn moving(steps: &Steps, (width, height): (usize, usize), colour: bool) -> Vec<(String, usize)> {
    let painted = |code: &str, text: String| {
        let columns = columns_of(&text);
        (if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }, columns)
    };
    let plain = |text: String| {
        let columns = columns_of(&text);
        (text, columns)
    };
    let mut lines = Vec::new();
    let running = steps.running();
    // What is no build has transfers only.
    if steps.total > 0 {
        lines.push(painted("1", fit(&head(steps, running.len()), width)));
    }
    let transfers: Vec<_> = steps.transfers().collect();
    // The line below the moving part is the cursor's.
    let room = height.saturating_sub(2 + transfers.len().min(height / 3)).max(1);
    let (shown, more) = seen(running.len(), room);
    let tail = match shown {
        0 => 0,
        few => (room.saturating_sub(shown + more.min(1)) / few).min(match few {
            1 => 6,
            2 | 3 => 3,
            _ => 1,
        }),
    };
    for step in running.iter().take(shown) {
        lines.push(plain(step_line(step, width)));
        for line in step.last_lines(tail) {
            lines.push(painted("2", fit(&format!("         {line}"), width)));
        }
    }
    if more > 0 {
        lines.push(plain(fit(&format!("       and {more} more"), width)));
    }
    let most = (height / 3).max(1);
    let transfer = |what, transfer: &super::steps::Transfer| {
        plain(format!("       {}", transfer.line(what, width.saturating_sub(7))))
    };
    lines.extend(transfers.iter().take(most).map(|(what, it)| transfer(what, it)));
    lines
}

/// How many of the running steps are shown, and how many more there are, which takes a line too.
fn seen(running: usize, room: usize) -> (usize, usize) {
    if running <= room { (running, 0) } else { (room - 1, running + 1 - room) }
}

fn head(steps: &Steps, running: usize) -> String {
    let (hits, _) = steps.hits();
    let mut head = format!("{:>6} {} of {} steps", seconds(steps.elapsed()), steps.done(), steps.total);
    if hits > 0 {
        head += &format!(", {hits} remembered");
    }
    if running > 1 {
        head += &format!(", {running} running");
    }
    head
}

fn step_line(step: &Step, width: usize) -> String {
    let time = step.since().map(|since| seconds(since.elapsed())).unwrap_or_default();
    let inside = match &step.progress {
        // Of bytes the step's own name says what they are.
        Some((_, transfer)) if transfer.counts() => format!(": {}", transfer.far()),
        Some((what, _)) => format!(": {what}"),
        None => String::new(),
    };
    let inside = fit(&inside, width * 2 / 3);
    let room = width.saturating_sub(7 + columns_of(&inside));
    fit(&format!("{time:>6} {}{inside}", short(&step.display, room)), width)
}

fn size() -> (usize, usize) {
    let (rows, columns) = crate::terminal::size(std::io::stderr());
    (usize::from(columns), usize::from(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ireko_report::Stream;

    /// A build of so many steps side by side, each with a log.
    fn running(count: u32) -> Steps {
        let mut steps = Steps::new(Instant::now());
        steps.take(&Event::BuildStarted { steps: count + 2 });
        for node in 1..=count {
            let display =
                format!("[a-stage-with-quite-a-long-name-{node} 2/3] RUN echo 日本語日本語日本語 && make");
            steps.take(&Event::StepQueued { node, stage: "a".to_owned(), display, platform: None });
            steps.take(&Event::StepStarted { node });
            let bytes =
                "one\ntwo 日本語日本語日本語日本語日本語日本語日本語日本語\n10%\r20%".as_bytes().to_vec();
            steps.take(&Event::StepLog { node, stream: Stream::Stdout, bytes });
        }
        let what = "waiting for cache `/root/.cache`".to_owned();
        steps.take(&Event::Progress { node: Some(1), what, done: 0, total: None });
        let what = "pulling library/debian from registry.example.org".to_owned();
        steps.take(&Event::Progress { node: None, what, done: 5, total: Some(10) });
        steps
    }

    #[test]
    fn the_moving_part_fits_on_every_screen() {
        for (width, height) in [(80, 24), (60, 15), (200, 60), (20, 5), (8, 2), (1, 1)] {
            for count in [0, 1, 2, 5, 12, 40] {
                let steps = running(count);
                let lines = moving(&steps, (width, height), true);
                assert!(lines.len() < height.max(4), "{count} steps in {width}x{height}: {lines:?}");
                for (line, columns) in lines {
                    assert!(columns <= width.max(20), "{line:?} in {width}x{height}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let text = |count, size| {
            let lines = moving(&running(count), size, false);
            lines.into_iter().map(|(line, _)| line).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            text(40, (60, 6)),
            "  0.0s 0 of 42 steps, 40 running\n  \
             0.0s [a-sta… 2/3] RUN e…: waiting for cache `/root/.cache`\n  \
             0.0s [a-stage-with-quite-… 2/3] RUN echo 日本語日本語日本…\n       \
             and 38 more\n       pulling library/debian from registry… 5B of 10B (50%)"
        );
        let one = text(1, (60, 24));
        assert!(one.contains("\n         one\n") && one.contains("\n         20%\n"), "{one}");
    }
}
