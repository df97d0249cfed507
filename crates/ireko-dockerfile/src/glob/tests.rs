//! Patterns and paths, as data.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(glob: &Glob, matching: &[&str], other: &[&str]) {
    for path in matching {
        assert!(glob.matches(path), "{path} does not match {glob:?}");
    }
    for path in other {
        assert!(!glob.matches(path), "{path} matches {glob:?}");
    }
}

#[test]
fn plain_patterns() {
    check(&Glob::new("*.go").unwrap(), &["a.go", ".go"], &["a/b.go", "a.go/x"]);
    check(&Glob::new("a/**/b").unwrap(), &["a/x/b"], &["a/b", "a/x/y/b"]);
    check(&Glob::new("[^a-c]?\\*").unwrap(), &["dé*"], &["ab*", "d/*", "déx"]);
    check(&Glob::new("").unwrap(), &[""], &["a"]);
    for bad in ["[", "[]", "[^]", "[a-", "[-]", "[a-]", "a\\"] {
        assert!(Glob::new(bad).is_err(), "{bad}");
    }
    check(&Glob::new("[b-a]").unwrap(), &[], &["a", "b"]);
    assert!(Glob::deep("[b-a]").is_err());
}

#[test]
fn deep_patterns() {
    check(&Glob::deep("**/foo").unwrap(), &["foo", "a/foo", "a/b/foo"], &["afoo", "foo/a"]);
    check(&Glob::deep("**foo").unwrap(), &["foo", "afoo", "a/bfoo"], &["foo/a"]);
    check(&Glob::deep("a/**").unwrap(), &["a/b", "a/b/c"], &["a", "ab"]);
    check(&Glob::deep("a/**/b").unwrap(), &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "ab"]);
    check(&Glob::deep("**").unwrap(), &["a", "a/b", ""], &[]);
    check(&Glob::deep("**/*.txt").unwrap(), &["a.txt", "x/y/a.txt"], &["a.txt/b"]);
    check(&Glob::deep("a*b*c*d*e*/f").unwrap(), &["axbxcxdxe/f"], &["axbxcxdxexxx/fff"]);
}

#[test]
fn many_stars_end_soon() {
    let glob = Glob::new(&"a*".repeat(50)).unwrap();
    assert!(!glob.matches("a".repeat(2000) + "/"));
}

proptest! {
    #[test]
    fn any_pattern_never_panics(pattern in "[a*?/\\[\\]^\\\\é-]{0,16}", path in prop::collection::vec(prop::sample::select(b"a/\xc3\xa9".to_vec()), 0..20)) {
        for glob in [Glob::new(&pattern), Glob::deep(&pattern)].into_iter().flatten() {
            glob.matches(&path);
        }
    }

    #[test]
    fn what_matches_below_is_never_denied(pattern in "[ab*?/]{1,8}", path in "[ab]{1,2}(/[ab]{1,2}){1,3}") {
        let Ok(glob) = Glob::deep(&pattern) else { return Ok(()) };
        if glob.matches(&path) {
            for (at, _) in path.match_indices('/') {
                prop_assert!(glob.may_match_below(&path.as_bytes()[..at]), "{} {}", pattern, &path[..at]);
            }
        }
    }
}
