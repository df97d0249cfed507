//! Which known name a wrong one was meant to be.

/// Fewest letters to change, add or leave out that are too many.
const TOO_FAR: usize = 3;

/// The nearest of `known`, in whole letters of the same case; none where all are far, or one is the name itself.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = wrong.chars().collect();
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        if name == wrong {
            return None;
        }
        let limit = best.map_or(TOO_FAR, |(distance, _)| distance);
        if name.len().abs_diff(wrong.len()) > 4 * limit {
            continue;
        }
        let others: Vec<char> = name.chars().collect();
        if let Some(distance) = distance(&letters, &others, limit) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The edit distance where it is below `limit`. Only the band of cells that can stay below it is filled.
fn distance(left: &[char], right: &[char], limit: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) >= limit {
        return None;
    }
    let far = limit;
    let mut above: Vec<usize> = (0..=right.len()).map(|at| at.min(far)).collect();
    for (row, a) in left.iter().enumerate() {
        let from = (row + 1).saturating_sub(limit);
        let to = (row + 1 + limit).min(right.len());
        let mut current = if from == 0 { row + 1 } else { far };
        let mut diagonal = above[from];
        above[from] = current;
        let mut least = current;
        for at in from..to {
            let up = above[at + 1];
            let next = (diagonal + usize::from(*a != right[at])).min(up + 1).min(current + 1).min(far);
            diagonal = up;
            above[at + 1] = next;
            current = next;
            least = least.min(next);
        }
        if to < right.len() {
            above[to + 1..].iter_mut().take(1).for_each(|cell| *cell = far);
        }
        if least >= limit {
            return None;
        }
    }
    Some(above[right.len()]).filter(|distance| *distance < limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        ] {
            assert_eq!(nearest(wrong, known.iter().copied()), expected, "{wrong}");
        }
    }

    fn plain(left: &[char], right: &[char]) -> usize {
        let mut row: Vec<usize> = (0..=right.len()).collect();
        for (i, a) in left.iter().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in right.iter().enumerate() {
                let next = (diagonal + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = std::mem::replace(&mut row[j + 1], next);
            }
        }
        row[right.len()]
    }

    proptest! {
        #[test]
        fn the_band_gives_the_edit_distance(left in "[ab]{0,9}", right in "[ab]{0,9}", limit in 1usize..4) {
            let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
            let expected = Some(plain(&left, &right)).filter(|distance| *distance < limit);
            prop_assert_eq!(distance(&left, &right, limit), expected);
        }
    }
}
