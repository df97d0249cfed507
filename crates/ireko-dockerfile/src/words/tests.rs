//! Expansion, as data.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn env() -> BTreeMap<String, String> {
    let values = [("a", "one two"), ("e", ""), ("path", "/usr/lib/x.tar.gz"), ("m", "x\ny")];
    values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[track_caller]
fn check(word: &str, expect: Expect) {
    let shown = match Lexer::new('\\').word(word, &env()) {
        Ok(expanded) => format!("{} {:?} unset {:?}", expanded.text, expanded.words, expanded.unset),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn variables_split_into_words_where_they_are_not_quoted() {
    check("$a-$a", expect![[r#"one two-one two ["one", "two-one", "two"] unset {}"#]]);
    check("\"$a\"-$b", expect![[r#"one two- ["one two-"] unset {"b"}"#]]);
    check("'$a' \\$a", expect![[r#"$a $a ["$a", "$a"] unset {}"#]]);
}

#[test]
fn defaults_alternatives_and_demands() {
    check("${e-x} ${e:-x} ${b-${a}}", expect![[r#" x one two ["x", "one", "two"] unset {"b"}"#]]);
    check("${e+x}${e:+x}${b+x}", expect![[r#"x ["x"] unset {"b"}"#]]);
    check("${b:?needs $a}", expect!["cannot expand `${b:?needs $a}`: b: needs one two"]);
    check("${e:?}", expect!["cannot expand `${e:?}`: e: is not allowed to be empty"]);
    check("${a", expect!["cannot expand `${a`: syntax error: missing '}'"]);
    check("${a!x}", expect!["cannot expand `${a!x}`: unsupported modifier (!) in substitution"]);
}

#[test]
fn patterns_trim_and_replace() {
    check(
        "${path#*/} ${path##*/}",
        expect![[r#"usr/lib/x.tar.gz x.tar.gz ["usr/lib/x.tar.gz", "x.tar.gz"] unset {}"#]],
    );
    check(
        "${path%.*} ${path%%.*}",
        expect![[r#"/usr/lib/x.tar /usr/lib/x ["/usr/lib/x.tar", "/usr/lib/x"] unset {}"#]],
    );
    check(
        "${path/\\//_}${path//[/x}",
        expect![[r#"_usr/lib/x.tar.gz/usr/lib/x.tar.gz ["_usr/lib/x.tar.gz/usr/lib/x.tar.gz"] unset {}"#]],
    );
    check("${path//?ib/$a}", expect![[r#"/usr/one two/x.tar.gz ["/usr/one", "two/x.tar.gz"] unset {}"#]]);
    check(
        "${m#*y}",
        expect![[r#"x
y ["x", "y"] unset {}"#]],
    );
    check(
        "${a//x\\y/}",
        expect!["cannot expand `${a//x\\y/}`: invalid pattern (x\\y) in substitution: invalid escape '\\y'"],
    );
}

/// Each doubles what is in it, or works on all of it.
#[test]
fn small_words_do_not_become_large_or_slow() {
    let values = |name: &str| match name {
        "a" => Some("abcdefgh".repeat(8)),
        "big" => Some("x".repeat(1 << 20)),
        _ => None,
    };
    let nested = |inner: &str| (0..6).fold(inner.to_owned(), |inside, _| format!("${{a//?/{inside}}}"));
    for (word, reason) in [
        (nested("$$0$$0"), "more than 2 MiB"),
        ("$big".repeat(3), "more than 2 MiB"),
        ("\"$big$big$big\"".to_owned(), "more than 2 MiB"),
        ("${none:+$big$big}".repeat(10_000), "take too long"),
        ("${big//*/}".repeat(1000), "take too long"),
        ("${big//$big/}".to_owned(), "take too long"),
    ] {
        let begin = std::time::Instant::now();
        let error = Lexer::new('\\').word(&word, &values).expect_err("it is refused");
        assert!(error.reason.contains(reason), "{}", error.reason);
        assert!(begin.elapsed().as_secs() < 60, "{reason}: {:?}", begin.elapsed());
    }
    // What is written may be longer.
    let written = "x".repeat(3 << 20) + "$a";
    assert!(Lexer::new('\\').word(&written, &values).is_ok());
}

#[test]
fn nesting_is_bounded() {
    let deep = "${x:-".repeat(5000);
    assert!(Lexer::new('\\').word(&deep, &Empty).is_err());
}

proptest! {
    #[test]
    fn any_word_never_panics(word in ".*", escape in prop::sample::select(vec!['\\', '`'])) {
        for lexer in [Lexer::new(escape), Lexer::new(escape).raw_quotes().raw_escapes().skip_unset(), Lexer::new(escape).skip_quotes()] {
            let _ = lexer.word(&word, &env());
        }
    }

    #[test]
    fn dollar_soup_never_panics(word in "[${}:/#%?*'\"\\\\ ab-]{0,40}") {
        let _ = Lexer::new('\\').word(&word, &env());
    }

    #[test]
    fn raw_and_without_variables_gives_the_word_back(word in "[ab'\" <]{0,20}") {
        if let Ok(expanded) = Lexer::new('\\').raw_quotes().raw_escapes().word(&word, &Empty) {
            prop_assert_eq!(expanded.text, word);
        }
    }
}
