//! Variables and quotes: what `$NAME`, `${NAME:-word}`, quotes and escapes in a word stand for.
//!
//! The rules are those of BuildKit's shell lexer, not of any shell: ENV, ARG, COPY, ADD, LABEL,
//! USER, WORKDIR, EXPOSE, VOLUME, STOPSIGNAL, ONBUILD's instruction, FROM (from the ARGs before
//! it) and the values of some flags are expanded by them. RUN, CMD and ENTRYPOINT are not: their
//! variables are the shell's. EXPOSE, VOLUME and the paths of COPY and ADD split after expansion
//! only where noted there.

mod pattern;
#[cfg(test)]
mod tests;

use pattern::{Pattern, Replace};
use std::collections::{BTreeMap, BTreeSet};

/// Where values of variables come from.
pub trait Env {
    /// The value of `name`, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

impl Env for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

impl<F: Fn(&str) -> Option<String>> Env for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// No variable is set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Empty;

impl Env for Empty {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// A word, expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The whole as one text.
    pub text: String,
    /// The same split at spaces that are neither quoted nor escaped, after expansion.
    pub words: Vec<String>,
    /// Variables asked for and found.
    pub used: BTreeSet<String>,
    /// Variables asked for and not found.
    pub unset: BTreeSet<String>,
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot expand `{word}`: {reason}")]
pub struct Error {
    /// The word.
    pub word: String,
    /// What is wrong with it.
    pub reason: String,
}

/// How words are expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lexer {
    escape: char,
    raw_quotes: bool,
    raw_escapes: bool,
    skip_quotes: bool,
    skip_unset: bool,
}

impl Lexer {
    /// A lexer for a Dockerfile with that escape character.
    pub fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, skip_quotes: false, skip_unset: false }
    }

    /// Quotes do what they do but stay in the text.
    #[must_use]
    pub fn raw_quotes(self) -> Self {
        Self { raw_quotes: true, ..self }
    }

    /// Escapes do what they do but stay in the text.
    #[must_use]
    pub fn raw_escapes(self) -> Self {
        Self { raw_escapes: true, ..self }
    }

    /// Quotes are ordinary characters: heredocs are expanded so.
    #[must_use]
    pub fn skip_quotes(self) -> Self {
        Self { skip_quotes: true, ..self }
    }

    /// Variables that are not set stay as written.
    #[must_use]
    pub fn skip_unset(self) -> Self {
        Self { skip_unset: true, ..self }
    }

    /// Expands one word.
    pub fn word(&self, word: &str, env: &dyn Env) -> Result<Expanded, Error> {
        let mut run = Reader {
            lexer: *self,
            env,
            chars: word.chars().collect(),
            at: 0,
            raw_escapes: self.raw_escapes,
            depth: 0,
            longest: LONGEST + word.len(),
            work: WORK,
            used: BTreeSet::new(),
            unset: BTreeSet::new(),
        };
        match run.until(None, self.raw_escapes) {
            Ok((text, words)) => Ok(Expanded { text, words, used: run.used, unset: run.unset }),
            Err(reason) => Err(Error { word: word.to_owned(), reason }),
        }
    }
}

/// Most bytes that expansion may add to a word. More than any program can be given in one variable; without a limit,
/// forty lines of `ENV A=$A$A` would fill the memory, and so would some `${a//?/${a//?/$0$0}}` in each other.
const LONGEST: usize = 2 << 20;

/// Most work of one word: bytes of values looked up, and characters times the pieces of a pattern. Half a second.
const WORK: u64 = 1 << 26;

/// Nested `${a:-${b:-…}}` deeper than this is refused: nobody writes it, and the stack is finite.
const MAX_DEPTH: u32 = 100;

struct Reader<'a> {
    lexer: Lexer,
    env: &'a dyn Env,
    chars: Vec<char>,
    at: usize,
    raw_escapes: bool,
    depth: u32,
    /// Most bytes of a text.
    longest: usize,
    /// The work that is left.
    work: u64,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

type Step<T> = Result<T, String>;

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Reads up to `stop` (and over it) or to the end.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Step<(String, Vec<String>)> {
        if self.depth > MAX_DEPTH {
            return Err("too many nested substitutions".to_owned());
        }
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        self.depth += 1;
        let result = self.until_inner(stop);
        self.depth -= 1;
        self.raw_escapes = outer;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Step<(String, Vec<String>)> {
        let mut text = String::new();
        let mut words = Splitter::default();
        while let Some(ch) = self.peek() {
            if stop == Some(ch) {
                self.next();
                return Ok((text, words.finish()));
            }
            match ch {
                '$' => {
                    let value = self.dollar()?;
                    self.fits(text.len() + value.len())?;
                    words.push_split(&value);
                    text.push_str(&value);
                }
                '\'' | '"' if !self.lexer.skip_quotes => {
                    let value = if ch == '\'' { self.single_quoted()? } else { self.double_quoted()? };
                    words.push_whole(&value);
                    text.push_str(&value);
                }
                '<' => {
                    let value = self.angle();
                    words.push_whole(&value);
                    text.push_str(&value);
                }
                _ => self.plain(&mut text, &mut words),
            }
        }
        match stop {
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
            None => Ok((text, words.finish())),
        }
    }

    /// A character that is not special, or an escape and what it escapes.
    fn plain(&mut self, text: &mut String, words: &mut Splitter) {
        let Some(ch) = self.next() else { return };
        if ch != self.lexer.escape {
            words.push(ch);
            text.push(ch);
            return;
        }
        if self.raw_escapes {
            words.push_whole(ch.encode_utf8(&mut [0; 4]));
            text.push(ch);
        }
        if let Some(escaped) = self.next() {
            words.push_whole(escaped.encode_utf8(&mut [0; 4]));
            text.push(escaped);
        }
    }

    /// `<<` keeps the spaces after it: `<< EOF` is one word.
    fn angle(&mut self) -> String {
        self.next();
        let mut text = "<".to_owned();
        if self.eat('<') {
            text.push('<');
            while let Some(space) = self.peek().filter(|ch| matches!(ch, ' ' | '\t' | '\r' | '\n')) {
                text.push(space);
                self.next();
            }
        }
        text
    }

    fn single_quoted(&mut self) -> Step<String> {
        self.next();
        let mut text = if self.lexer.raw_quotes { "'".to_owned() } else { String::new() };
        loop {
            match self.next() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching single-quote".to_owned()
                    );
                }
                Some('\'') => break,
                Some(ch) => text.push(ch),
            }
        }
        if self.lexer.raw_quotes {
            text.push('\'');
        }
        Ok(text)
    }

    fn double_quoted(&mut self) -> Step<String> {
        self.next();
        let mut text = if self.lexer.raw_quotes { "\"".to_owned() } else { String::new() };
        loop {
            match self.peek() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching double-quote".to_owned()
                    );
                }
                Some('"') => break,
                Some('$') => {
                    text.push_str(&self.dollar()?);
                    self.fits(text.len())?;
                }
                Some(ch) if ch == self.lexer.escape => {
                    self.next();
                    if self.raw_escapes {
                        text.push(ch);
                    }
                    match self.peek() {
                        None => {}
                        // Only these are escaped between double quotes; before all else the escape stays.
                        Some(escaped) if matches!(escaped, '"' | '$') || escaped == ch => {
                            text.push(escaped);
                            self.next();
                        }
                        Some(_) => text.push(ch),
                    }
                }
                Some(ch) => {
                    text.push(ch);
                    self.next();
                }
            }
        }
        self.next();
        if self.lexer.raw_quotes {
            text.push('"');
        }
        Ok(text)
    }

    fn dollar(&mut self) -> Step<String> {
        self.next();
        if self.eat('{') {
            return self.braces();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match self.value(&name)? {
            Some(value) => Ok(value),
            None if self.lexer.skip_unset => Ok(format!("${name}")),
            None => Ok(String::new()),
        }
    }

    /// After `${`.
    fn braces(&mut self) -> Step<String> {
        match self.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err("syntax error: missing '}'".to_owned()),
            Some('}') => match self.value(&name)? {
                Some(value) => Ok(value),
                None if self.lexer.skip_unset => Ok(format!("${{{name}}}")),
                None => Ok(String::new()),
            },
            Some(':') => match self.next() {
                None => Err("syntax error: missing '}'".to_owned()),
                Some(modifier) => self.modified(&name, modifier, true),
            },
            Some('/') => self.replaced(&name),
            Some(modifier @ ('+' | '-' | '?' | '#' | '%')) => self.modified(&name, modifier, false),
            Some(other) => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    /// `${name-word}` and its kin; `colon` where an empty value counts as none.
    fn modified(&mut self, name: &str, modifier: char, colon: bool) -> Step<String> {
        let sign = if colon { format!(":{modifier}") } else { modifier.to_string() };
        let word = self.operand('}', matches!(modifier, '#' | '%'), "syntax error: missing '}'")?;
        let value = self.value(name)?;
        if value.is_none() && self.lexer.skip_unset {
            return Ok(format!("${{{name}{sign}{word}}}"));
        }
        let was_set = value.is_some();
        let given = value.clone().filter(|value| !(colon && value.is_empty()));
        match (modifier, colon) {
            ('-', _) => Ok(given.unwrap_or(word)),
            ('+', _) => Ok(given.map(|_| word).unwrap_or_default()),
            ('?', _) => given.ok_or_else(|| {
                let default =
                    if was_set { "is not allowed to be empty" } else { "is not allowed to be unset" };
                format!("{name}: {}", if word.is_empty() { default } else { &word })
            }),
            ('#' | '%', false) => {
                let value = value.unwrap_or_default();
                self.spend(value.len(), word.len())?;
                trimmed(&value, modifier, &word)
            }
            _ => Err(format!("unsupported modifier ({sign}) in substitution")),
        }
    }

    /// `${name/pattern/text}` and `${name//pattern/text}`.
    fn replaced(&mut self, name: &str) -> Step<String> {
        let replace = if self.eat('/') { Replace::All } else { Replace::First };
        let pattern = self.operand('/', true, "syntax error: missing '/' in ${}")?;
        let text = self.operand('}', true, "syntax error: missing '}'")?;
        match self.value(name)? {
            None if self.lexer.skip_unset => Ok(format!("${{{name}/{pattern}/{text}}}")),
            value => {
                let value = value.unwrap_or_default();
                self.spend(value.len(), pattern.len())?;
                let compiled = Pattern::new(&pattern).map_err(|reason| bad_pattern(&pattern, &reason))?;
                compiled.replace(&value, &text, replace, self.longest).ok_or_else(too_long)
            }
        }
    }

    fn operand(&mut self, stop: char, raw_escapes: bool, at_end: &str) -> Step<String> {
        match self.until(Some(stop), raw_escapes) {
            Ok((text, _)) => Ok(text),
            Err(_) if self.peek().is_none() => Err(at_end.to_owned()),
            Err(reason) => Err(reason),
        }
    }

    /// A name: letters, digits and `_`; a number; or one special character.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(first) if first.is_ascii_digit() => {
                while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                    name.push(digit);
                    self.next();
                }
            }
            Some(special @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                name.push(special);
                self.next();
            }
            _ => {
                while let Some(ch) = self.peek().filter(|ch| ch.is_alphanumeric() || *ch == '_') {
                    name.push(ch);
                    self.next();
                }
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Step<Option<String>> {
        let value = self.env.get(name);
        let seen = if value.is_some() { &mut self.used } else { &mut self.unset };
        seen.insert(name.to_owned());
        self.spend(value.as_ref().map_or(0, String::len), 0)?;
        Ok(value)
    }

    /// Takes the work of a pattern of so many pieces on a text of so many bytes.
    fn spend(&mut self, bytes: usize, pieces: usize) -> Step<()> {
        let work = (bytes as u64 + 1).saturating_mul(pieces as u64 + 1);
        self.work = self.work.checked_sub(work).ok_or("its patterns and values take too long")?;
        Ok(())
    }

    fn fits(&self, length: usize) -> Step<()> {
        if length > self.longest { Err(too_long()) } else { Ok(()) }
    }
}

fn too_long() -> String {
    format!("more than {} MiB after its variables are expanded", LONGEST >> 20)
}

fn bad_pattern(pattern: &str, reason: &str) -> String {
    format!("invalid pattern ({pattern}) in substitution: {reason}")
}

/// `value` without what `word` matches at its start (`#`) or end (`%`): the shortest, or the
/// longest where the sign is doubled.
fn trimmed(value: &str, sign: char, word: &str) -> Step<String> {
    let (longest, pattern) = match word.strip_prefix(sign) {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let compiled = Pattern::new(pattern).map_err(|reason| bad_pattern(pattern, &reason))?;
    Ok(match sign {
        '#' => compiled.without_prefix(value, longest),
        _ => compiled.without_suffix(value, longest),
    })
}

/// Splits at spaces as text arrives.
#[derive(Default)]
struct Splitter {
    word: String,
    words: Vec<String>,
}

impl Splitter {
    fn push(&mut self, ch: char) {
        match ch.is_whitespace() {
            false => self.word.push(ch),
            true if self.word.is_empty() => {}
            true => self.words.push(std::mem::take(&mut self.word)),
        }
    }

    fn push_split(&mut self, text: &str) {
        text.chars().for_each(|ch| self.push(ch));
    }

    fn push_whole(&mut self, text: &str) {
        self.word.push_str(text);
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}
