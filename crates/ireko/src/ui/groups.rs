//! Folded parts of a log, as the services that run CI draw them.

use super::steps::Step;

/// Who draws the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ci {
    /// GitHub Actions, and those that read its commands (Forgejo, Gitea).
    GitHub,
    /// GitLab CI.
    GitLab,
}

impl Ci {
    /// The line that begins a part.
    fn begin(self, node: u32, title: &str, now: i64) -> String {
        match self {
            Self::GitHub => format!("::group::{title}\n"),
            Self::GitLab => {
                format!("\u{1b}[0Ksection_start:{now}:ireko_{node}[collapsed=true]\r\u{1b}[0K{title}\n")
            }
        }
    }

    /// The line that ends it.
    fn end(self, node: u32, now: i64) -> String {
        match self {
            Self::GitHub => "::endgroup::\n".to_owned(),
            Self::GitLab => format!("\u{1b}[0Ksection_end:{now}:ireko_{node}\r\u{1b}[0K\n"),
        }
    }
}

/// Puts the lines of steps that run side by side into parts, one open at a time: the first that writes is shown as it
/// goes, the others when they end or when it has.
pub(crate) struct Groups {
    ci: Ci,
    now: fn() -> i64,
    open: Option<u32>,
    /// What steps wrote that are not shown yet, in the order they began to.
    waiting: Vec<(u32, String)>,
    /// Steps whose part was closed for another's.
    torn: Vec<u32>,
}

impl Groups {
    pub(crate) fn new(ci: Ci, now: fn() -> i64) -> Self {
        Self { ci, now, open: None, waiting: Vec::new(), torn: Vec::new() }
    }

    /// What to print of lines that a step wrote.
    pub(crate) fn lines(&mut self, node: u32, step: Option<&Step>, lines: String) -> String {
        if lines.is_empty() {
            return lines;
        }
        match self.open {
            Some(open) if open == node => lines,
            Some(_) => {
                match self.waiting.iter_mut().find(|(waiting, _)| *waiting == node) {
                    Some((_, text)) => text.push_str(&lines),
                    None => self.waiting.push((node, lines)),
                }
                String::new()
            }
            None => self.begin(node, step) + &lines,
        }
    }

    /// What to print when a step has ended, before the line that says how. `steps` knows the others.
    pub(crate) fn end<'s>(&mut self, node: u32, step: impl Fn(u32) -> Option<&'s Step>) -> String {
        let mut out = String::new();
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == node);
        if let Some((_, lines)) = at.map(|at| self.waiting.remove(at)) {
            if let Some(open) = self.open.take() {
                out.push_str(&self.ci.end(open, (self.now)()));
                self.torn.push(open);
                self.waiting.insert(0, (open, String::new()));
            }
            out.push_str(&self.begin(node, step(node)));
            out.push_str(&lines);
        }
        if self.open == Some(node) {
            self.open = None;
            out.push_str(&self.ci.end(node, (self.now)()));
        }
        out
    }

    /// What to print after the line that says how a step ended: the next part that was waiting.
    pub(crate) fn next<'s>(&mut self, step: impl Fn(u32) -> Option<&'s Step>) -> String {
        if self.open.is_some() || self.waiting.is_empty() {
            return String::new();
        }
        let (node, lines) = self.waiting.remove(0);
        if lines.is_empty() {
            // It goes on where it was closed, once it writes again.
            return self.next(step);
        }
        self.begin(node, step(node)) + &lines
    }

    fn begin(&mut self, node: u32, step: Option<&Step>) -> String {
        self.open = Some(node);
        let name = step.map_or("", |step| step.display.lines().next().unwrap_or_default());
        let more = if self.torn.contains(&node) { " (goes on)" } else { "" };
        self.ci.begin(node, &format!("{name}{more}"), (self.now)())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ireko_report::Event;
    use std::time::Instant;

    fn steps() -> super::super::Steps {
        let mut steps = super::super::Steps::new(Instant::now());
        for (node, display) in [(1, "[1/2] RUN a\nb"), (2, "[2/2] RUN c")] {
            let (stage, display) = ("0".to_owned(), display.to_owned());
            steps.take(&Event::StepQueued { node, stage, display, platform: None });
        }
        steps
    }

    fn play(ci: Ci) -> String {
        let steps = steps();
        let mut groups = Groups::new(ci, || 7);
        let mut out = groups.lines(1, steps.get(1), "a1\n".to_owned());
        out += &groups.lines(2, steps.get(2), "c1\n".to_owned());
        out += &groups.lines(1, steps.get(1), "a2\n".to_owned());
        out += &groups.end(2, |node| steps.get(node));
        out += "2 ended\n";
        out += &groups.next(|node| steps.get(node));
        out += &groups.lines(1, steps.get(1), "a3\n".to_owned());
        out += &groups.end(1, |node| steps.get(node));
        out += "1 ended\n";
        out + &groups.next(|node| steps.get(node))
    }

    #[test]
    fn one_part_is_open_at_a_time() {
        let expect = "::group::[1/2] RUN a\na1\na2\n::endgroup::\n::group::[2/2] RUN c\nc1\n::endgroup::\n2 ended\n\
            ::group::[1/2] RUN a (goes on)\na3\n::endgroup::\n1 ended\n";
        assert_eq!(play(Ci::GitHub), expect);
        let gitlab = play(Ci::GitLab);
        assert!(
            gitlab
                .starts_with("\u{1b}[0Ksection_start:7:ireko_1[collapsed=true]\r\u{1b}[0K[1/2] RUN a\na1\n"),
            "{gitlab:?}"
        );
        assert_eq!(gitlab.matches("section_start").count(), gitlab.matches("section_end").count());
    }

    #[test]
    fn a_silent_step_has_no_part() {
        let steps = steps();
        let mut groups = Groups::new(Ci::GitHub, || 7);
        assert_eq!(groups.lines(1, steps.get(1), String::new()), "");
        assert_eq!(groups.end(1, |node| steps.get(node)), "");
        assert_eq!(groups.next(|node| steps.get(node)), "");
    }
}
