//! How a command fails: what went wrong, whose fault it is, and what to do next.

use crate::text::visible;
use ireko_report::{Blame, Diagnostic, Event, SourceText, Span};
use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Most characters of one text of an error: a page of a terminal. Names and lines can be as long as files are.
const TEXT: usize = 1000;
/// Most characters of a line of the Dockerfile in a frame.
const LINE: usize = 160;

/// A text of at most so many characters: its begin and its end, since an error often says the most at its end.
fn clipped(text: &str, most: usize) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= most {
        return Cow::Borrowed(text);
    }
    let (head, tail) = (most * 2 / 3, most / 3);
    let begin: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    Cow::Owned(format!("{begin}… ({} more characters) …{end}", count - head - tail))
}

/// A failed command. It is printed once, at the top, and decides the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What failed, lower case, no full stop.
    pub(crate) message: String,
    /// Why, outermost first; never repeats the message.
    pub(crate) causes: Vec<String>,
    /// Further lines below: a frame of the Dockerfile, the end of a log.
    pub(crate) details: Vec<String>,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// Whose fault it is.
    pub(crate) blame: Blame,
    /// A file system has no room left.
    pub(crate) disk_full: bool,
    /// Whoever reads it has been told already, in another form.
    pub(crate) is_told: bool,
    /// An exit code that the command's own rules ask for (`run`: 125 to 127).
    pub(crate) code: Option<u8>,
}

impl Failure {
    fn new(blame: Blame, message: impl Display) -> Self {
        let message = message.to_string();
        Self {
            message,
            causes: Vec::new(),
            details: Vec::new(),
            hint: None,
            blame,
            disk_full: false,
            is_told: false,
            code: None,
        }
    }

    /// The input is wrong.
    pub(crate) fn user(message: impl Display) -> Self {
        Self::new(Blame::User, message)
    }

    /// The machine is wrong.
    pub(crate) fn environment(message: impl Display) -> Self {
        Self::new(Blame::Environment, message)
    }

    /// Somebody pressed Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::new(Blame::Interrupted, "interrupted")
    }

    /// What a flag asks for does not work yet.
    pub(crate) fn not_yet(what: impl Display) -> Self {
        Self::user(format!("{what} is not supported yet"))
    }

    /// An error of a library, with its causes.
    pub(crate) fn of(blame: Blame, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut failure = Self::new(blame, error);
        failure.disk_full = ireko_report::is_disk_full(error);
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }

    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same with the hint of what it came from, where that has one.
    pub(crate) fn hinted(self, hint: Option<impl Display>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(crate) fn cause(mut self, cause: impl Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.code.unwrap_or_else(|| self.blame.exit_code())
    }

    /// The same, if it has been told in another form.
    pub(crate) fn told(mut self, is_told: bool) -> Self {
        self.is_told = is_told;
        self
    }

    /// The same for programs.
    pub(crate) fn event(&self) -> Event {
        Event::Error {
            message: self.message.clone(),
            causes: self.causes.clone(),
            details: self.details.clone(),
            hint: self.hint.clone(),
            blame: self.blame,
            exit_code: self.exit_code(),
        }
    }

    /// What stands on standard error.
    pub(crate) fn render(&self) -> String {
        let mut out = format!("error: {}\n", clipped(&self.message, TEXT));
        for cause in &self.causes {
            out.push_str(&format!("caused by: {}\n", clipped(cause, TEXT)));
        }
        for line in &self.details {
            out.push_str(&clipped(line, TEXT));
            out.push('\n');
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("hint: {}\n", clipped(hint, TEXT)));
        }
        visible(&out)
    }
}

impl From<ireko_store::Error> for Failure {
    fn from(error: ireko_store::Error) -> Self {
        Self::of(error.blame(), &error)
    }
}

impl From<ireko_image::Error> for Failure {
    fn from(error: ireko_image::Error) -> Self {
        Self::of(error.blame(), &error).hinted(error.hint())
    }
}

impl From<ireko_pack::Error> for Failure {
    fn from(error: ireko_pack::Error) -> Self {
        Self::of(error.blame(), &error).hinted(error.hint())
    }
}

impl From<ireko_registry::RegistryError> for Failure {
    fn from(error: ireko_registry::RegistryError) -> Self {
        Self::of(error.blame(), &error).hinted(error.hint())
    }
}

impl From<ireko_registry::keychain::KeychainError> for Failure {
    fn from(error: ireko_registry::keychain::KeychainError) -> Self {
        Self::of(error.blame(), &error).hinted(error.hint())
    }
}

impl From<Vec<Diagnostic>> for Failure {
    /// Several mistakes in one text, without the text.
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        let blame =
            diagnostics.iter().find(|found| found.is_error()).map_or(Blame::User, |found| found.blame);
        let mut messages =
            diagnostics.iter().filter(|found| found.is_error()).map(|found| found.message.clone());
        let first = messages.next().unwrap_or_default();
        let mut failure = Self::new(blame, first);
        failure.details = messages.map(|message| format!("error: {message}")).collect();
        failure
    }
}

/// The failure that the errors among `diagnostics` make, each with its place in `source`.
pub(crate) fn in_source(diagnostics: &[Diagnostic], source: &SourceText) -> Failure {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|found| found.is_error()).collect();
    let Some(first) = errors.first() else { return Failure::new(Blame::Bug, "an error without a message") };
    let mut failure = Failure::new(first.blame, &first.message);
    failure.details = frame(first, source);
    failure.hint.clone_from(&first.hint);
    for other in &errors[1..] {
        if let Some(hint) = failure.hint.take() {
            failure.details.push(format!("hint: {hint}"));
        }
        failure.details.push(format!("error: {}", other.message));
        failure.details.extend(frame(other, source));
        failure.hint.clone_from(&other.hint);
    }
    failure
}

/// The lines of the source that a diagnostic points at, with a mark below each label.
pub(crate) fn frame(diagnostic: &Diagnostic, source: &SourceText) -> Vec<String> {
    let mut lines = Vec::new();
    for label in &diagnostic.labels {
        let place = source.position(label.span.start);
        let text = source.line(place.line).trim_end_matches(['\r', '\n']);
        let number = place.line.to_string();
        let gap = " ".repeat(number.len());
        if lines.is_empty() {
            lines.push(format!("{gap}--> {}:{}:{}", source.name(), place.line, place.column));
        }
        let before = place.column.saturating_sub(1) as usize;
        let (text, before) = around(text, before);
        lines.push(format!("{number} | {}", text.replace('\t', " ")));
        let room = text.chars().count().saturating_sub(before).max(1);
        let covered = source.slice(label.span).chars().take_while(|char| *char != '\n').count();
        let mark = "^".repeat(covered.clamp(1, room));
        lines.push(format!("{gap} | {}{mark} {}", " ".repeat(before), label.text).trim_end().to_owned());
    }
    lines.extend(diagnostic.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// A line without the logins of URLs in it, as long as it was: marks below it still point at the same place.
fn without_logins(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let is_ssh = rest[..at].to_ascii_lowercase().ends_with("ssh");
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(|c: char| matches!(c, '/' | '?' | '#' | '"' | '\'') || c.is_whitespace());
        let (authority, after) = tail.split_at(end.unwrap_or(tail.len()));
        rest = after;
        let Some((user, host)) = authority.rsplit_once('@') else {
            out.push_str(authority);
            continue;
        };
        // The user of ssh is no secret.
        let shown = if is_ssh { user.find(':').unwrap_or(user.len()) } else { 0 };
        out.push_str(&user[..shown]);
        out.extend(user[shown..].chars().map(|c| if c == ':' { c } else { 'x' }));
        out.push('@');
        out.push_str(host);
    }
    out.push_str(rest);
    out
}

/// As much of a line as can be shown around one of its characters, and where that is then.
fn around(text: &str, at: usize) -> (String, usize) {
    let text = &without_logins(text);
    let count = text.chars().count();
    if count <= LINE {
        return (text.to_owned(), at);
    }
    let from = if at < LINE / 2 { 0 } else { (at - LINE / 4).min(count) };
    let shown: String = text.chars().skip(from).take(LINE).collect();
    let (front, back) = (if from > 0 { "…" } else { "" }, if from + LINE < count { "…" } else { "" });
    (format!("{front}{shown}{back}"), at - from + front.chars().count())
}

/// The frame of a step that failed, with a mark below the first word that one of these texts has in backquotes.
pub(crate) fn step_frame<'a>(
    source: &SourceText,
    lines: RangeInclusive<u32>,
    said: impl IntoIterator<Item = &'a String>,
) -> Vec<String> {
    let blamed = said.into_iter().find_map(|text| quoted_in(source, &lines, text));
    instruction_frame(source, lines, blamed)
}

/// Where the first of the words that an error has in backquotes stands in these lines of the source: as a word of its
/// own, or else as a part of one. The keyword is none, and neither is what a RUN gives to its shell.
fn quoted_in(source: &SourceText, lines: &RangeInclusive<u32>, said: &str) -> Option<Span> {
    let span = source.line_span(*lines.start()).to(source.line_span(*lines.end()));
    let text = source.slice(span);
    let keyword = text.len() - text.trim_start().trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    let text = match text[..keyword].trim().eq_ignore_ascii_case("run") {
        true => &text[..keyword + flags_end(&text[keyword..])],
        false => text,
    };
    let begins = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || "-_./*$".contains(c));
    let ends = |after: &str| !after.starts_with(|c: char| c.is_alphanumeric() || "-_./*".contains(c));
    let words = said.split('`').skip(1).step_by(2);
    // What is looked for below the root of something may be written without a slash.
    let words = words.flat_map(|word| [word, word.trim_start_matches('/')]).filter(|word| !word.is_empty());
    let places: Vec<(usize, &str)> = words
        .flat_map(|word| text.match_indices(word))
        .filter(|(at, word)| *at >= keyword && begins(&text[..*at]) && ends(&text[at + word.len()..]))
        .collect();
    let alone =
        |(at, _): &&(usize, &str)| text[..*at].ends_with(|c: char| c.is_whitespace() || "\"'".contains(c));
    let (at, word) = places.iter().find(alone).or(places.first())?;
    Some(Span::new(span.range().start + at..span.range().start + at + word.len()))
}

/// Where the flags end that begin this text; all of it is taken where an array follows.
fn flags_end(text: &str) -> usize {
    let mut at = 0;
    loop {
        let word = text[at..].trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
        if word.starts_with('[') {
            return text.len();
        }
        let begin = text.len() - word.len();
        if !word.starts_with("--") {
            return begin;
        }
        at = begin + word.find(char::is_whitespace).unwrap_or(word.len());
    }
}

/// The Dockerfile's lines, the way an error frame shows the instruction that failed, with a mark below what is blamed.
fn instruction_frame(source: &SourceText, lines: RangeInclusive<u32>, blamed: Option<Span>) -> Vec<String> {
    const SHOWN: u32 = 12;
    let (first, last) = lines.into_inner();
    let width = last.to_string().len();
    let gap = " ".repeat(width);
    let blamed = blamed.map(|span| (source.position(span.start), source.slice(span).chars().count()));
    let place = blamed.map_or(first.to_string(), |(at, _)| format!("{}:{}", at.line, at.column));
    let mut lines = vec![format!("{gap}--> {}:{place}", source.name())];
    // What is blamed is among the lines shown.
    let first = match blamed {
        Some((at, _)) if at.line >= first + SHOWN => at.line - SHOWN / 2,
        _ => first,
    };
    for number in first..=last.min(first + SHOWN - 1) {
        let text = source.line(number).trim_end_matches(['\r', '\n']);
        let mark = blamed.filter(|(at, _)| at.line == number);
        let before = mark.map_or(0, |(at, _)| at.column.saturating_sub(1) as usize);
        let (text, before) = around(text, before);
        lines.push(format!("{number:>width$} | {}", text.replace('\t', " ")));
        if let Some((_, length)) = mark {
            let room = text.chars().count().saturating_sub(before).max(1);
            lines.push(format!("{gap} | {}{}", " ".repeat(before), "^".repeat(length.clamp(1, room))));
        }
    }
    if last >= first + SHOWN {
        lines.push(format!("{} | … {} more lines", " ".repeat(width), last + 1 - first - SHOWN));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_an_error_names_is_marked() {
        let source = SourceText::new("Dockerfile", "FROM a\nCOPY --chown=me \\\n  ab a /x\nRUN a\n");
        let marked = |said: &str| instruction_frame(&source, 2..=3, quoted_in(&source, &(2..=3), said));
        let lines = ["2 | COPY --chown=me \\", "3 |   ab a /x"];
        assert_eq!(marked("`a` is not there"), [" --> Dockerfile:3:6", lines[0], lines[1], "  |      ^"]);
        assert_eq!(marked("`no` and `me`")[..3], [" --> Dockerfile:2:14", lines[0], "  |              ^^"]);
        assert_eq!(marked("`b` `OPY` a")[..], [" --> Dockerfile:2", lines[0], lines[1]]);

        let at = |text: &str, said: &str| {
            let source = SourceText::new("Dockerfile", text);
            let lines = 1..=source.line_count();
            instruction_frame(&source, lines.clone(), quoted_in(&source, &lines, said))[0]
                .trim_start()
                .to_owned()
        };
        assert_eq!(at("COPY --exclude=no no /x\n", "`no`"), "--> Dockerfile:1:19");
        assert_eq!(at("COPY COPY /x\n", "`COPY`"), "--> Dockerfile:1:6");
        assert_eq!(
            at("RUN --mount=source=a,target=/b \\\n  --network=none a b\n", "`/a`"),
            "--> Dockerfile:1:20"
        );
        assert_eq!(at("RUN --network=none a b\n", "`a`"), "--> Dockerfile:1");
        assert_eq!(at("RUN [\"/a\"]\n", "`/a`"), "--> Dockerfile:1:7");
        let long = format!("COPY \\\n{}here /x\n", "  a \\\n".repeat(30));
        let source = SourceText::new("Dockerfile", long);
        let shown = instruction_frame(&source, 1..=32, quoted_in(&source, &(1..=32), "`here`"));
        assert!(
            shown.contains(&"32 | here /x".to_owned()) && shown.contains(&"   | ^^^^".to_owned()),
            "{shown:?}"
        );
    }

    #[test]
    fn logins_are_not_shown() {
        let cases = [
            ("ADD https://me:wörd@h/a.git http://x@y /", "ADD https://xx:xxxx@h/a.git http://x@y /"),
            ("ADD ssh://git:word@h/a ssh://git@h/b /", "ADD ssh://git:xxxx@h/a ssh://git@h/b /"),
            ("RUN curl https://h/a@b", "RUN curl https://h/a@b"),
        ];
        for (line, shown) in cases {
            assert_eq!(without_logins(line), shown);
        }
    }

    #[test]
    fn long_texts_are_clipped_around_what_matters() {
        let long = "é".repeat(100_000);
        let source = SourceText::new("Dockerfile", format!("FROM a\nENV A={long} d\n{long}\n"));
        let at = u32::try_from(source.text().find(" d\n").expect("it is there") + 1).expect("a place");
        let found = Diagnostic::error("x", format!("`{long}` is wrong"))
            .label(Span { start: at, end: at + 1 }, "here");
        let failure = in_source(&[found], &source).cause(&long);
        let text = failure.render();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("error: `ééé") && lines[0].ends_with("é` is wrong"), "{}", lines[0]);
        assert!(lines[0].contains("… (99012 more characters) …"), "{}", lines[0]);
        assert_eq!(lines[2], " --> Dockerfile:2:100008");
        assert_eq!(lines[3], format!("2 | …{} d", "é".repeat(LINE / 4 - 1)));
        assert_eq!(lines[4], format!("  | {}^ here", " ".repeat(LINE / 4 + 1)));
        assert!(lines.iter().all(|line| line.chars().count() < TEXT + 60), "{text}");

        let start = Diagnostic::error("x", "y").at(source.line_span(3));
        let frame = frame(&start, &source);
        assert_eq!(frame[1], format!("3 | {}…", "é".repeat(LINE)));
        assert_eq!(frame[2], format!("  | {}", "^".repeat(LINE + 1)));
        assert_eq!(instruction_frame(&source, 3..=3, None)[1], frame[1]);
    }
}
