//! Makes a case smaller while its difference stays.

use crate::case::{Case, Kind};

/// The smallest case that `differs` still holds for, found by taking pieces away, at most so many tries.
pub(crate) fn shrink(case: Case, mut tries: usize, mut differs: impl FnMut(&Case) -> bool) -> Case {
    let mut best = case;
    loop {
        let mut progress = false;
        let mut step = 0;
        while let Some(smaller) = nth(&best, step) {
            if tries == 0 {
                return best;
            }
            tries -= 1;
            if differs(&smaller) {
                best = smaller;
                progress = true;
            } else {
                step += 1;
            }
        }
        if !progress {
            return best;
        }
    }
}

/// The nth way to take something away: whole halves first, then single pieces, then words.
fn nth(case: &Case, step: usize) -> Option<Case> {
    let mut ways: Vec<Case> = Vec::new();
    let mut way = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        // The engine dies of a Dockerfile without a stage.
        if smaller != *case && smaller.dockerfile.iter().any(|line| is_from(line)) {
            ways.push(smaller);
        }
    };
    way(&|case| case.context.clear());
    way(&|case| case.ignore.clear());
    way(&|case| case.flags.clear());
    way(&|case| case.head.clear());
    way(&|case| case.crlf = false);
    let count = case.dockerfile.len();
    way(&|case| drop(case.dockerfile.drain(1.min(count)..count.div_ceil(2))));
    way(&|case| drop(case.dockerfile.drain(count.div_ceil(2).max(1.min(count))..)));
    for at in (0..count).rev() {
        way(&|case| drop(case.dockerfile.remove(at)));
    }
    for at in (0..case.context.len()).rev() {
        way(&|case| drop(case.context.remove(at)));
    }
    for at in 0..case.ignore.len() {
        way(&|case| drop(case.ignore.remove(at)));
    }
    for at in (0..case.flags.len()).step_by(2) {
        way(&|case| drop(case.flags.drain(at..(at + 2).min(case.flags.len()))));
    }
    for at in 0..case.context.len() {
        if let Kind::Archive(_, members) = &case.context[at].kind {
            for member in 0..members.len() {
                way(&|case| {
                    if let Kind::Archive(_, members) = &mut case.context[at].kind {
                        drop(members.remove(member));
                    }
                });
            }
        }
        way(&|case| {
            case.context[at].mode =
                if case.context[at].kind == Kind::Directory { "755" } else { "644" }.to_owned()
        });
    }
    for at in 0..count {
        let words: Vec<&str> = case.dockerfile[at].split(' ').collect();
        // A command of fewer words is another command, which may print what never is the same, or never end.
        let keyword = case.dockerfile[at].split_whitespace().next();
        let is_run = keyword.is_some_and(|word| word.eq_ignore_ascii_case("run"));
        for word in (1..words.len()).filter(|word| !is_run || words[*word].starts_with("--")) {
            let mut fewer = words.clone();
            fewer.remove(word);
            let text = fewer.join(" ");
            way(&|case| case.dockerfile[at] = text.clone());
        }
    }
    ways.into_iter().nth(step)
}

fn is_from(line: &str) -> bool {
    line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("from"))
}

#[cfg(test)]
mod tests {
    use super::shrink;
    use crate::generate;

    #[test]
    fn what_is_left_is_what_it_takes() {
        let mut shrunk = 0;
        for seed in 0..200 {
            let case = generate::case(seed);
            let holds = |case: &crate::case::Case| case.dockerfile.iter().any(|line| line.contains("LABEL"));
            if holds(&case) {
                let small = shrink(case, 10_000, holds);
                assert_eq!((small.dockerfile.len(), small.context.len()), (2, 0), "{small:?}");
                shrunk += 1;
            }
        }
        assert!(shrunk > 20);
    }
}
