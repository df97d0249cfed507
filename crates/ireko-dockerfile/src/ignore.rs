//! Ignore files (`.dockerignore`, `.containerignore`, `Dockerfile.dockerignore`) and lists of
//! patterns in their form (`--exclude`): which paths they take out, by which line.
//!
//! A walker asks with [`Patterns::root`] and [`Patterns::enter`], which carry what matched a
//! directory to what is in it; [`Patterns::matches`] asks for one path alone and gives the same
//! answer. The last line that matches decides; a line that begins with `!` lets in again. What
//! matches a directory goes for all in it. All paths are relative and normalised.

#[cfg(test)]
mod tests;

use crate::glob::Glob;
use crate::path::clean;

/// A list of patterns, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    line: u32,
    /// `!`: lets in what lines above take out.
    exception: bool,
    glob: Glob,
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `!` alone.
    #[error("illegal exclusion pattern: \"!\" on line {line}")]
    Alone {
        /// Its line, from 1.
        line: u32,
    },
    /// Wrong syntax.
    #[error("{cause} on line {line}")]
    Syntax {
        /// Its line, from 1.
        line: u32,
        /// What is wrong.
        cause: crate::glob::BadPattern,
    },
}

/// Which line decided on a path, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Line of the ignore file, or place in the list; from 1.
    pub line: u32,
    /// The pattern there, as normalised.
    pub pattern: &'a str,
    /// Whether the path is taken out.
    pub excluded: bool,
}

/// What is known of a directory: which patterns match it or a directory above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    matched: Vec<bool>,
    decided_by: Option<usize>,
    excluded: bool,
}

impl State {
    /// Whether the directory itself is taken out. Something in it may still be let in.
    pub fn excluded(&self) -> bool {
        self.excluded
    }
}

impl Patterns {
    /// Reads an ignore file. Bytes that are not UTF-8 match nothing.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let lines = lines(text);
        Self::compile(lines.iter().map(|(line, pattern)| (*line, pattern.as_str())))
    }

    /// Patterns of a list; the first has line 1.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        Self::compile((1..).zip(patterns))
    }

    fn compile<'a>(lines: impl IntoIterator<Item = (u32, &'a str)>) -> Result<Self, Error> {
        let mut patterns = Vec::new();
        for (line, text) in lines {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let text = clean(text);
            let (exception, body) =
                text.strip_prefix('!').map_or((false, text.as_str()), |body| (true, body));
            if body.is_empty() {
                return Err(Error::Alone { line });
            }
            let glob = Glob::deep(body).map_err(|cause| Error::Syntax { line, cause })?;
            patterns.push(Pattern { line, exception, glob, text });
        }
        Ok(Self { patterns })
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern lets in again what others take out.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// The root of the tree: never taken out.
    pub fn root(&self) -> State {
        State { matched: vec![false; self.patterns.len()], decided_by: None, excluded: false }
    }

    /// What is known of the directory at `path`, below the directory of `parent`.
    pub fn enter(&self, parent: &State, path: impl AsRef<[u8]>) -> State {
        let mut state = State { matched: parent.matched.clone(), decided_by: None, excluded: false };
        state.decided_by = self.scan(&parent.matched, path.as_ref(), |index| state.matched[index] = true);
        state.excluded = state.decided_by.is_some_and(|index| !self.patterns[index].exception);
        state
    }

    /// What decides on the path of a file in the directory of `parent`; `None` where nothing matches.
    pub fn decide_in(&self, parent: &State, path: impl AsRef<[u8]>) -> Option<Decision<'_>> {
        self.scan(&parent.matched, path.as_ref(), |_| {}).map(|index| self.decision(index))
    }

    /// What decided on a directory.
    pub fn decided(&self, state: &State) -> Option<Decision<'_>> {
        state.decided_by.map(|index| self.decision(index))
    }

    /// What decides on one path, looked at alone.
    pub fn decide(&self, path: impl AsRef<[u8]>) -> Option<Decision<'_>> {
        let path = path.as_ref();
        let mut state = self.root();
        for slash in (0..path.len()).filter(|at| path[*at] == b'/') {
            state = self.enter(&state, &path[..slash]);
        }
        self.decide_in(&state, path)
    }

    /// Whether a path is taken out, looked at alone.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        self.decide(path).is_some_and(|decision| decision.excluded)
    }

    /// Whether nothing below the directory can be let in, so that it need not be read.
    pub fn prunable(&self, state: &State, dir: impl AsRef<[u8]>) -> bool {
        let dir = dir.as_ref();
        let mut exceptions = self.patterns.iter().filter(|pattern| pattern.exception);
        state.excluded && !exceptions.any(|pattern| pattern.glob.may_match_below(dir))
    }

    /// The index of the pattern that decides. A pattern that could change nothing is not tried; one
    /// that matched a directory above matches still.
    fn scan(&self, above: &[bool], path: &[u8], mut matched: impl FnMut(usize)) -> Option<usize> {
        let mut decided_by = None;
        let mut excluded = false;
        for (index, pattern) in self.patterns.iter().enumerate() {
            let matches = above.get(index) == Some(&true)
                || (pattern.exception == excluded && pattern.glob.matches(path));
            if matches {
                matched(index);
                decided_by = Some(index);
                excluded = !pattern.exception;
            }
        }
        decided_by
    }

    fn decision(&self, index: usize) -> Decision<'_> {
        let pattern = &self.patterns[index];
        Decision { line: pattern.line, pattern: &pattern.text, excluded: !pattern.exception }
    }
}

/// The patterns of an ignore file with their lines: comments and blank lines left out, paths
/// normalised, a leading slash taken off.
pub fn lines(text: &[u8]) -> Vec<(u32, String)> {
    let text = String::from_utf8_lossy(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    (1..).zip(text.split('\n')).filter_map(|(number, line)| Some((number, normalised(line)?))).collect()
}

fn normalised(line: &str) -> Option<String> {
    // Only a `#` in the first column begins a comment.
    if line.starts_with('#') {
        return None;
    }
    let line = line.trim();
    let (sign, body) = line.strip_prefix('!').map_or(("", line), |body| ("!", body.trim()));
    if body.is_empty() {
        return (!sign.is_empty()).then(|| sign.to_owned());
    }
    let cleaned = clean(body);
    let relative = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
    Some(format!("{sign}{relative}"))
}
