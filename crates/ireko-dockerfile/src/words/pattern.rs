//! The patterns of `${name#pattern}` and `${name/pattern/text}`: `*`, `?` and literal characters.

use std::collections::BTreeSet;

#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Char(char),
    One,
    Many,
}

/// Which matches to replace.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Replace {
    First,
    All,
}

/// A pattern. `*` and `?` match any character but a newline.
pub(super) struct Pattern(Vec<Piece>);

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(ch) = chars.next() {
            pieces.push(match ch {
                '*' => Piece::Many,
                '?' => Piece::One,
                // `}` and `/` are escaped for the sake of `${}`; the escape is not the pattern's.
                '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Piece::Char(escaped),
                    Some(other) => return Err(format!("invalid escape '\\{other}'")),
                    None => return Err("invalid escape at the end".to_owned()),
                },
                other => Piece::Char(other),
            });
        }
        Ok(Self(pieces))
    }

    pub(super) fn without_prefix(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let end = pick(&self.ends(&chars, 0), longest).unwrap_or(0);
        chars[end..].iter().collect()
    }

    pub(super) fn without_suffix(&self, value: &str, longest: bool) -> String {
        let backwards = Self(self.0.iter().rev().copied().collect());
        let chars: Vec<char> = value.chars().rev().collect();
        let end = pick(&backwards.ends(&chars, 0), longest).unwrap_or(0);
        chars[end..].iter().rev().collect()
    }

    /// Replaces the leftmost longest match, or all of them.
    pub(super) fn replace(&self, value: &str, text: &str, replace: Replace) -> String {
        let chars: Vec<char> = value.chars().collect();
        let mut result = String::new();
        let mut done = 0;
        let mut start = 0;
        while start <= chars.len() {
            let Some(end) = pick(&self.ends(&chars, start), true) else {
                start += 1;
                continue;
            };
            result.extend(&chars[done..start]);
            // An empty match right after the previous one is no match of its own.
            if end > done || start == 0 {
                match replace {
                    Replace::First => result.push_str(text),
                    Replace::All => result.push_str(&filled(text, &chars[start..end])),
                }
            }
            done = end;
            start = end.max(start + 1);
            if replace == Replace::First {
                break;
            }
        }
        result.extend(&chars[done..]);
        result
    }

    /// All places where a match that begins at `start` can end.
    fn ends(&self, chars: &[char], start: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([start]);
        for piece in &self.0 {
            let wild = |at: &usize| chars.get(*at).is_some_and(|ch| *ch != '\n');
            reached = match piece {
                Piece::Char(wanted) => {
                    reached.into_iter().filter(|at| chars.get(*at) == Some(wanted)).map(|at| at + 1).collect()
                }
                Piece::One => reached.into_iter().filter(wild).map(|at| at + 1).collect(),
                Piece::Many => {
                    let mut all = BTreeSet::new();
                    for mut at in reached {
                        while all.insert(at) && wild(&at) {
                            at += 1;
                        }
                    }
                    all
                }
            };
        }
        reached
    }
}

fn pick(ends: &BTreeSet<usize>, longest: bool) -> Option<usize> {
    if longest { ends.last().copied() } else { ends.first().copied() }
}

/// Replacing all, `$$` in the text stands for `$`, `$0` for what matched, and any other `$name` or
/// `${name}` for nothing: the reference takes the text for a template.
fn filled(text: &str, matched: &[char]) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let plain = after
            .split_at(after.find(|ch: char| !(ch.is_alphanumeric() || ch == '_')).unwrap_or(after.len()));
        let (name, after_name) = braced.unwrap_or(plain);
        if name == "0" {
            result.extend(matched);
        }
        if name.is_empty() {
            result.push('$');
        }
        rest = after_name;
    }
    result.push_str(rest);
    result
}
