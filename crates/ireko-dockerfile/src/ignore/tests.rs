//! Ignore files and paths, as data.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(file: &str, path: &str, expected: Option<(u32, bool)>) {
    let patterns = Patterns::parse(file.as_bytes()).unwrap();
    let found = patterns.decide(path).map(|decision| (decision.line, decision.excluded));
    assert_eq!(found, expected, "{path} by {file:?}");
}

#[test]
fn the_last_line_that_matches_decides() {
    let file = "\u{feff}# all but one\n*.md\n!README.md\n\n/target/\n  node_modules\r\n!target/keep\n";
    check(file, "a.md", Some((2, true)));
    check(file, "README.md", Some((3, false)));
    check(file, "target/debug/x", Some((5, true)));
    check(file, "target/keep/x", Some((7, false)));
    check(file, "node_modules/a/b", Some((6, true)));
    check(file, "src/a.md", None);
}

#[test]
fn wrong_patterns_name_their_line() {
    let error = |text: &str| Patterns::parse(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error("a\n!\n"), "illegal exclusion pattern: \"!\" on line 2");
    assert_eq!(error("a[\n"), "syntax error in pattern `a[` on line 1");
}

#[test]
fn a_directory_is_pruned_where_nothing_below_can_come_back() {
    let prunable = |file: &str, dir: &str| {
        let patterns = Patterns::parse(file.as_bytes()).unwrap();
        let state = patterns.enter(&patterns.root(), dir);
        patterns.prunable(&state, dir)
    };
    assert!(prunable("a", "a"));
    assert!(!prunable("b", "a"));
    assert!(!prunable("a\n!a/x", "a"));
    assert!(!prunable("a\n!**/x", "a"));
    assert!(!prunable("*\n!a*/x", "ab"));
    assert!(prunable("*\n!b/x", "a"));
}

proptest! {
    #[test]
    fn any_file_never_panics(text in prop::collection::vec(any::<u8>(), 0..60), path in ".{0,20}") {
        if let Ok(patterns) = Patterns::parse(&text) {
            patterns.matches(path);
        }
    }

    #[test]
    fn pruning_loses_nothing(file in "(!?[ab*/]{1,5}\n){1,4}", path in "[ab]{1,2}(/[ab]{1,2}){1,3}") {
        let Ok(patterns) = Patterns::parse(file.as_bytes()) else { return Ok(()) };
        let mut state = patterns.root();
        for (at, _) in path.match_indices('/') {
            let dir = &path[..at];
            state = patterns.enter(&state, dir);
            if patterns.prunable(&state, dir) {
                prop_assert!(patterns.matches(&path), "{:?} {} {}", file, dir, path);
            }
        }
    }
}
