//! The patterns of `${name#pattern}` and `${name/pattern/text}`: `*`, `?` and literal characters.

use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq)]
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

    /// Replaces the leftmost longest match, or all of them. `None` where the result has more than `longest` bytes.
    pub(super) fn replace(
        &self,
        value: &str,
        text: &str,
        replace: Replace,
        longest: usize,
    ) -> Option<String> {
        let chars: Vec<char> = value.chars().collect();
        let mut result = String::new();
        let mut done = 0;
        let mut from = 0;
        while let Some((start, end)) = self.find(&chars, from) {
            result.extend(&chars[done..start]);
            // An empty match right after the previous one is no match of its own.
            if end > done || start == 0 {
                match replace {
                    Replace::First => result.push_str(text),
                    Replace::All => fill(&mut result, text, &chars[start..end], longest)?,
                }
            }
            done = end;
            from = end.max(start + 1);
            if replace == Replace::First || result.len() > longest {
                break;
            }
        }
        result.extend(&chars[done..]);
        (result.len() <= longest).then_some(result)
    }

    /// The leftmost match that begins at `from` or later, as long as it can be, in one pass.
    fn find(&self, chars: &[char], from: usize) -> Option<(usize, usize)> {
        // Where the leftmost match that has reached a piece begins.
        let mut reached: Vec<Option<usize>> = vec![None; self.0.len() + 1];
        let mut found: Option<(usize, usize)> = None;
        for at in from..=chars.len() {
            if found.is_none() && reached[0].is_none() {
                reached[0] = Some(at);
            }
            for (place, piece) in self.0.iter().enumerate() {
                if *piece == Piece::Many {
                    reached[place + 1] = earlier(reached[place], reached[place + 1]);
                }
            }
            if let Some(start) = reached[self.0.len()] {
                found = Some((start, at));
            }
            let Some(ch) = chars.get(at) else { break };
            let wild = *ch != '\n';
            for place in (0..=self.0.len()).rev() {
                let before = place.checked_sub(1).and_then(|before| {
                    let taken = match self.0[before] {
                        Piece::Char(wanted) => wanted == *ch,
                        Piece::One => wild,
                        Piece::Many => false,
                    };
                    reached[before].filter(|_| taken)
                });
                let stays = reached[place].filter(|_| wild && self.0.get(place) == Some(&Piece::Many));
                // What begins later than a match is none.
                let kept = |start: &usize| found.is_none_or(|(first, _)| *start <= first);
                reached[place] = earlier(before, stays).filter(kept);
            }
            if found.is_some() && reached.iter().all(Option::is_none) {
                break;
            }
        }
        found
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

fn earlier(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    one.into_iter().chain(other).min()
}

/// Replacing all, `$$` in the text stands for `$`, `$0` for what matched, and any other `$name` or
/// `${name}` for nothing: the reference takes the text for a template.
fn fill(result: &mut String, text: &str, matched: &[char], longest: usize) -> Option<()> {
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
        if result.len() > longest {
            return None;
        }
        if name.is_empty() {
            result.push('$');
        }
        rest = after_name;
    }
    result.push_str(rest);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_leftmost_longest_match_is_found(value in "[ab\n]{0,8}", pattern in "[ab?*]{0,5}", from in 0..9_usize) {
            let chars: Vec<char> = value.chars().collect();
            let from = from.min(chars.len());
            let pattern = Pattern::new(&pattern).unwrap();
            let first = |start| pick(&pattern.ends(&chars, start), true).map(|end| (start, end));
            prop_assert_eq!(pattern.find(&chars, from), (from..=chars.len()).find_map(first));
        }
    }
}
