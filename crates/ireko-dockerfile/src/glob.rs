//! Path patterns: `*`, `?`, `[a-z]`, and where asked for `**`; compiled once, matched on bytes.
//!
//! Two dialects. COPY's wildcards are Go's `filepath.Match` ([`Glob::new`]). Ignore files,
//! `--exclude` and `--parents` are those of moby's pattern matcher ([`Glob::deep`]), where `**`
//! stands for any number of directories.

#[cfg(test)]
mod tests;

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern `{pattern}`")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    /// One character, not `/`.
    One,
    /// One character of a set; `/` counts as any other.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// Any characters but `/`.
    Star,
    /// Nothing, or anything that ends in `/`.
    Dirs,
    /// Anything.
    Tail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    /// `**x`: anything that ends so; where it begins with `/`, the rest alone as well.
    Suffix(Vec<u8>),
    Pieces(Vec<Piece>),
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Shape);

impl Glob {
    /// A pattern of Go's `filepath.Match`: the whole path must match, no wildcard crosses a `/`.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        Self::compile(pattern, false)
    }

    /// A pattern of moby's pattern matcher: with `**`.
    pub fn deep(pattern: &str) -> Result<Self, BadPattern> {
        // `**x` with nothing else special is any path that ends in `x`, not only a whole name.
        let suffix = pattern
            .strip_prefix("**")
            .filter(|rest| !rest.is_empty() && !rest.contains(['*', '?', '[', ']', '\\']));
        if let Some(suffix) = suffix {
            return Ok(Self(Shape::Suffix(suffix.as_bytes().to_vec())));
        }
        Self::compile(pattern, true)
    }

    fn compile(pattern: &str, deep: bool) -> Result<Self, BadPattern> {
        let mut compiler = Compiler { rest: pattern.chars().peekable(), deep, pieces: Vec::new() };
        let pieces = compiler.run().ok_or_else(|| BadPattern { pattern: pattern.to_owned() })?;
        Ok(Self(shape(pieces)))
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        match &self.0 {
            Shape::Exact(text) => path == text,
            Shape::Prefix(text) => path.starts_with(text),
            Shape::Suffix(text) => {
                path.ends_with(text) || text.strip_prefix(b"/").is_some_and(|rest| rest == path)
            }
            Shape::Pieces(pieces) => ends_well(pieces, path) && Matcher::new(pieces, path).run(0, 0),
        }
    }

    /// Whether a path below `dir` could match. May say yes where none does, never no where one does.
    pub fn may_match_below(&self, dir: &[u8]) -> bool {
        let (fixed, open) = match &self.0 {
            Shape::Exact(text) => (text.as_slice(), false),
            Shape::Prefix(text) => (text.as_slice(), true),
            Shape::Suffix(_) => (&[][..], true),
            Shape::Pieces(pieces) => match pieces.first() {
                Some(Piece::Literal(text)) => (text.as_slice(), true),
                _ => (&[][..], true),
            },
        };
        if dir.is_empty() {
            return true;
        }
        let below = |text: &[u8]| text.len() > dir.len() && text.starts_with(dir) && text[dir.len()] == b'/';
        let above = || dir.starts_with(fixed) || (fixed.len() == dir.len() + 1 && below(fixed));
        below(fixed) || (open && above())
    }

    /// Whether the pattern is a plain path.
    pub fn is_literal(&self) -> bool {
        matches!(self.0, Shape::Exact(_))
    }
}

/// Whether a source of COPY or ADD holds a wildcard that is not escaped.
pub fn has_wildcard(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

fn shape(pieces: Vec<Piece>) -> Shape {
    match pieces.as_slice() {
        [] => Shape::Exact(Vec::new()),
        [Piece::Literal(text)] => Shape::Exact(text.clone()),
        [Piece::Literal(text), Piece::Tail] => Shape::Prefix(text.clone()),
        _ => Shape::Pieces(pieces),
    }
}

/// Most paths end otherwise than the pattern: the cheapest thing to look at.
fn ends_well(pieces: &[Piece], path: &[u8]) -> bool {
    match pieces.last() {
        Some(Piece::Literal(text)) => path.ends_with(text),
        _ => true,
    }
}

struct Compiler<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    deep: bool,
    pieces: Vec<Piece>,
}

impl Compiler<'_> {
    fn run(&mut self) -> Option<Vec<Piece>> {
        while let Some(ch) = self.rest.next() {
            match ch {
                '*' => self.star(),
                '?' => self.pieces.push(Piece::One),
                '[' => {
                    let class = self.class()?;
                    self.pieces.push(class);
                }
                '\\' => {
                    let escaped = self.rest.next()?;
                    self.literal(escaped);
                }
                other => self.literal(other),
            }
        }
        Some(std::mem::take(&mut self.pieces))
    }

    fn literal(&mut self, ch: char) {
        let mut buffer = [0; 4];
        let bytes = ch.encode_utf8(&mut buffer).as_bytes();
        match self.pieces.last_mut() {
            Some(Piece::Literal(text)) => text.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Literal(bytes.to_vec())),
        }
    }

    fn star(&mut self) {
        let double = self.deep && self.rest.next_if_eq(&'*').is_some();
        let piece = match double {
            false => Piece::Star,
            true => {
                self.rest.next_if_eq(&'/');
                if self.rest.peek().is_none() { Piece::Tail } else { Piece::Dirs }
            }
        };
        if self.pieces.last() != Some(&piece) {
            self.pieces.push(piece);
        }
    }

    fn class(&mut self) -> Option<Piece> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            if !ranges.is_empty() && self.rest.next_if_eq(&']').is_some() {
                return Some(Piece::Class { negated, ranges });
            }
            let low = self.class_char()?;
            let high = if self.rest.next_if_eq(&'-').is_some() { self.class_char()? } else { low };
            // Ignore files refuse a range that runs backwards; COPY lets it match nothing.
            if self.deep && high < low {
                return None;
            }
            ranges.push((low, high));
        }
    }

    fn class_char(&mut self) -> Option<char> {
        match self.rest.next()? {
            '-' | ']' => None,
            '\\' => self.rest.next(),
            ch => Some(ch),
        }
    }
}

/// Wildcards up to this number are tried without remembering what failed: the work is bounded.
const FEW_WILDCARDS: usize = 2;

struct Matcher<'a> {
    pieces: &'a [Piece],
    path: &'a [u8],
    /// Pairs of piece and place that are known to fail; empty while there are few wildcards.
    failed: Vec<bool>,
}

impl<'a> Matcher<'a> {
    fn new(pieces: &'a [Piece], path: &'a [u8]) -> Self {
        let wildcards = pieces.iter().filter(|piece| matches!(piece, Piece::Star | Piece::Dirs)).count();
        let cells = if wildcards > FEW_WILDCARDS { pieces.len() * (path.len() + 1) } else { 0 };
        Self { pieces, path, failed: vec![false; cells] }
    }

    fn run(&mut self, piece: usize, mut at: usize) -> bool {
        for index in piece..self.pieces.len() {
            let rest = &self.path[at..];
            match &self.pieces[index] {
                Piece::Literal(text) if rest.starts_with(text) => at += text.len(),
                Piece::Literal(_) => return false,
                Piece::One if !rest.is_empty() && rest[0] != b'/' => at += first_char(rest).1,
                Piece::One => return false,
                Piece::Class { negated, ranges } => {
                    let (ch, length) = first_char(rest);
                    let within =
                        ch.is_some_and(|ch| ranges.iter().any(|(low, high)| *low <= ch && ch <= *high));
                    if length == 0 || within == *negated {
                        return false;
                    }
                    at += length;
                }
                Piece::Tail => return true,
                Piece::Star => return self.star(index, at),
                Piece::Dirs => return self.dirs(index, at),
            }
        }
        at == self.path.len()
    }

    fn star(&mut self, piece: usize, at: usize) -> bool {
        let end =
            self.path[at..].iter().position(|byte| *byte == b'/').map_or(self.path.len(), |slash| at + slash);
        if piece + 1 == self.pieces.len() {
            return end == self.path.len();
        }
        (at..=end).any(|at| self.tried(piece, at))
    }

    fn dirs(&mut self, piece: usize, at: usize) -> bool {
        self.tried(piece, at)
            || (at..self.path.len()).any(|at| self.path[at] == b'/' && self.tried(piece, at + 1))
    }

    /// Whether what follows the wildcard `piece` matches from `at`.
    fn tried(&mut self, piece: usize, at: usize) -> bool {
        let cell = piece * (self.path.len() + 1) + at;
        if self.failed.get(cell) == Some(&true) {
            return false;
        }
        let matched = self.run(piece + 1, at);
        if let Some(failed) = self.failed.get_mut(cell) {
            *failed = !matched;
        }
        matched
    }
}

/// The first character and its length. A byte that is no UTF-8 counts as one unknown character.
fn first_char(bytes: &[u8]) -> (Option<char>, usize) {
    let length = match bytes.first() {
        None => return (None, 0),
        Some(byte) if *byte < 0x80 => return (Some(char::from(*byte)), 1),
        Some(byte) if *byte >= 0xf0 => 4,
        Some(byte) if *byte >= 0xe0 => 3,
        Some(_) => 2,
    };
    let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    match text.and_then(|text| text.chars().next()) {
        Some(ch) => (Some(ch), length),
        None => (None, 1),
    }
}
