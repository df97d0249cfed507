//! Which known name a wrong one was meant to be.

use std::ops::Bound::{Included, Unbounded};

/// Most letters to change, add or leave out.
const MOST: usize = 2;

/// More than that, however many.
const FAR: u8 = MOST as u8 + 1;

/// The nearest of the known names, in whole letters of the same case; none where all are far, or one is the name itself.
/// `from` gives the first known name that does not stand before a text.
pub(crate) fn nearest<'a>(wrong: &str, from: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    if from(wrong) == Some(wrong) {
        return None;
    }
    let letters: Vec<char> = wrong.chars().collect();
    (1..=FAR - 1).find_map(|most| first_within(&letters, most, &from))
}

/// All of a sorted set of names that do not stand before a text.
pub(crate) fn bounds(text: &str) -> (std::ops::Bound<&str>, std::ops::Bound<&str>) {
    (Included(text), Unbounded)
}

/// The first name with at most so many edits. The names are gone through as a tree of their beginnings: where a beginning
/// is too far already, all names that begin so are left out at once. So thousands of names take no more time than the few
/// that are near.
fn first_within<'a>(wrong: &[char], most: u8, from: &impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    let mut begin: Vec<char> = Vec::new();
    // One for each beginning of `begin`, the empty one too.
    let mut rows = vec![Row::first(wrong)];
    let mut text = String::new();
    while let Some(name) = from(&text) {
        let common = begin.iter().zip(name.chars()).take_while(|(own, other)| **own == *other).count();
        begin.truncate(common);
        rows.truncate(common + 1);
        let mut end = None;
        for (at, letter) in name.char_indices().skip(common) {
            begin.push(letter);
            let row = rows[begin.len() - 1].then(letter, begin.len(), wrong);
            rows.push(row);
            if row.least() > most {
                end = Some((at, letter));
                break;
            }
        }
        if end.is_none() && rows[begin.len()].whole(begin.len(), wrong) <= most {
            return Some(name);
        }
        text.clear();
        match end.and_then(|(at, letter)| Some((at, (letter..=char::MAX).nth(1)?))) {
            Some((at, next)) => text.extend(name[..at].chars().chain([next])),
            None => text.extend(name.chars().chain(['\0'])),
        }
    }
    None
}

/// Edit distances between a beginning of a name and those beginnings of the wrong one that are about as long: the others
/// are too far.
#[derive(Clone, Copy)]
struct Row([u8; 2 * MOST + 1]);

impl Row {
    fn first(wrong: &[char]) -> Self {
        let mut row = Self([FAR; 2 * MOST + 1]);
        for (length, cell) in row.0[MOST..].iter_mut().enumerate().take(wrong.len() + 1) {
            *cell = length as u8;
        }
        row
    }

    /// The row of the beginning with one letter more; it is `length` letters long then.
    fn then(&self, letter: char, length: usize, wrong: &[char]) -> Self {
        let mut row = Self([FAR; 2 * MOST + 1]);
        for cell in 0..row.0.len() {
            let Some(other) = (length + cell).checked_sub(MOST).filter(|other| *other <= wrong.len()) else {
                continue;
            };
            let change = match other.checked_sub(1) {
                Some(last) => self.0[cell] + u8::from(wrong[last] != letter),
                None => FAR,
            };
            let more = self.0.get(cell + 1).map_or(FAR, |above| above + 1);
            let less = cell.checked_sub(1).map_or(FAR, |before| row.0[before] + 1);
            row.0[cell] = change.min(more).min(less).min(FAR);
        }
        row
    }

    fn least(&self) -> u8 {
        self.0.iter().copied().min().unwrap_or(FAR)
    }

    /// The distance to the whole of the wrong name.
    fn whole(&self, length: usize, wrong: &[char]) -> u8 {
        (wrong.len() + MOST).checked_sub(length).and_then(|cell| self.0.get(cell)).copied().unwrap_or(FAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn nearest_of<'a>(wrong: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
        nearest(wrong, |text| known.range::<str, _>(bounds(text)).next().copied())
    }

    #[test]
    fn near_names_are_found() {
        for (wrong, known, expected) in [
            ("PAHT", &["HOME", "PATH"] as &[&str], Some("PATH")),
            ("BULIDPLATFORM", &["BUILDPLATFORM", "TARGETPLATFORM"], Some("BUILDPLATFORM")),
            ("MYARCH", &["MY_ARCH", "MY_OS"], Some("MY_ARCH")),
            ("foo", &["foo", "fo"], None),
            ("version", &["tag"], None),
            ("path", &["PATH"], None),
            ("a", &["b"], Some("b")),
            ("", &["abc"], None),
            ("ab", &["a\u{10ffff}", "b\u{10ffff}c"], Some("a\u{10ffff}")),
        ] {
            assert_eq!(nearest_of(wrong, &known.iter().copied().collect()), expected, "{wrong}");
        }
    }

    fn plain(left: &str, right: &str) -> usize {
        let mut row: Vec<usize> = (0..=right.chars().count()).collect();
        for (i, a) in left.chars().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in right.chars().enumerate() {
                let next = (diagonal + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = std::mem::replace(&mut row[j + 1], next);
            }
        }
        row[right.chars().count()]
    }

    proptest! {
        #[test]
        fn the_first_of_the_nearest_is_found(wrong in "[abé]{0,7}", known in proptest::collection::btree_set("[abé]{0,7}", 0..12)) {
            let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
            let near = known.iter().map(|name| (plain(&wrong, name), *name)).min();
            let expected = near.filter(|(edits, _)| (1..=MOST).contains(edits)).map(|(_, name)| name);
            prop_assert_eq!(nearest_of(&wrong, &known), expected);
        }
    }
}
