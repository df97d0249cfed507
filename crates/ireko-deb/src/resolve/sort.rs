//! A sort that leaves equals in the order in which the C++ library's leaves them, as apt's choices show it.

/// From this length on parts are divided; shorter ones are left to the last pass.
const SHORT: usize = 16;

/// Sorts by `before`, which says whether the first must stand before the second.
pub(super) fn sort_by<T: Copy>(all: &mut [T], before: &impl Fn(T, T) -> bool) {
    if all.len() > SHORT {
        divide(all, 2 * all.len().ilog2(), before);
    }
    // Whatever is left is near its place. An order that contradicts itself must not lead out of the slice.
    for at in 1..all.len() {
        let value = all[at];
        let mut to = at;
        while to > 0 && before(value, all[to - 1]) {
            all[to] = all[to - 1];
            to -= 1;
        }
        all[to] = value;
    }
}

/// Quicksort around the median of the second, the middle and the last.
fn divide<T: Copy>(mut all: &mut [T], mut depth: u32, before: &impl Fn(T, T) -> bool) {
    while all.len() > SHORT {
        if depth == 0 {
            // The library takes a heap here; such an order does not occur with scores.
            return;
        }
        depth -= 1;
        median_first(all, before);
        let cut = partition(all, before);
        let (left, right) = all.split_at_mut(cut);
        divide(right, depth, before);
        all = left;
    }
}

fn median_first<T: Copy>(all: &mut [T], before: &impl Fn(T, T) -> bool) {
    let (a, b, c) = (1, all.len() / 2, all.len() - 1);
    let median = match (before(all[a], all[b]), before(all[b], all[c]), before(all[a], all[c])) {
        (true, true, _) => b,
        (true, false, true) => c,
        (true, false, false) => a,
        (false, _, true) => a,
        (false, true, false) => c,
        (false, false, false) => b,
    };
    all.swap(0, median);
}

fn partition<T: Copy>(all: &mut [T], before: &impl Fn(T, T) -> bool) -> usize {
    let pivot = all[0];
    let (mut left, mut right) = (1, all.len());
    loop {
        while left < all.len() && before(all[left], pivot) {
            left += 1;
        }
        right -= 1;
        while right > 0 && before(pivot, all[right]) {
            right -= 1;
        }
        if left >= right {
            return left;
        }
        all.swap(left, right);
        left += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts(mut all in proptest::collection::vec(0u8..20, 0..200)) {
            let mut expected = all.clone();
            expected.sort_unstable();
            sort_by(&mut all, &|one, other| one < other);
            prop_assert_eq!(all, expected);
        }

        #[test]
        fn an_order_that_contradicts_itself_ends(mut all in proptest::collection::vec(any::<u8>(), 0..100)) {
            let before = all.len();
            sort_by(&mut all, &|one, other| (one ^ other) & 1 == 1 || one == other);
            prop_assert_eq!(all.len(), before);
        }
    }
}
