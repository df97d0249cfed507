//! Layers of packed files.

use super::*;

fn sized(name: &str, size: usize) -> Piece {
    let item = Item::new(&format!("/{name}"), Content::Bytes { bytes: vec![0; size], mode: 0o644 });
    piece(name, &[item], Time::default()).expect("a piece")
}

#[test]
fn the_smallest_are_joined_and_the_last_stays_last() {
    let titles = |max| {
        let pieces =
            [("a", 5), ("b", 1), ("c", 9), ("d", 2), ("named", 3)].map(|(name, size)| sized(name, size));
        let pieces = no_more_than(pieces.into(), max);
        assert!(pieces.len() <= max.max(1));
        pieces.into_iter().map(|piece| piece.title).collect::<Vec<_>>()
    };
    assert_eq!(titles(5), ["a", "b", "c", "d", "named"]);
    assert_eq!(titles(4), ["a", "b, d", "c", "named"]);
    assert_eq!(titles(3), ["a, b, d", "c", "named"]);
    assert_eq!(titles(2), ["a, b, c, d", "named"]);
    assert_eq!(titles(1), ["a, b, c, d, named"]);
    assert_eq!(titles(0), ["a, b, c, d, named"]);
}
