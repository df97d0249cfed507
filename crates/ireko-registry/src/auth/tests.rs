//! Challenges as servers write them.

use expect_test::{Expect, expect};

use super::{Challenge, escape};

#[track_caller]
fn check(header: &str, expect: Expect) {
    let mut text = String::new();
    for challenge in Challenge::parse(header) {
        text += &format!("{}\n", challenge.scheme);
        for (name, value) in challenge.parameters {
            text += &format!("  {name} = {value}\n");
        }
    }
    expect.assert_eq(&text);
}

#[test]
fn a_challenge_has_parameters() {
    check(
        r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        expect![[r#"
            bearer
              realm = https://auth.docker.io/token
              scope = repository:a/b:pull,push
              service = registry.docker.io
        "#]],
    );
    check(
        "bearer Realm = plain , scope=x",
        expect![[r#"
        bearer
          realm = plain
          scope = x
    "#]],
    );
}

#[test]
fn one_header_holds_several_challenges() {
    check(
        r#"Basic realm="a \"b\", c", Bearer realm="d""#,
        expect![[r#"
        basic
          realm = a "b", c
        bearer
          realm = d
    "#]],
    );
    check(
        "Negotiate, Basic realm=x",
        expect![[r#"
        negotiate
        basic
          realm = x
    "#]],
    );
}

#[test]
fn rubbish_ends_the_list() {
    check(
        r#"Bearer realm="unclosed"#,
        expect![[r#"
        bearer
    "#]],
    );
    check("=x", expect![[r#""#]]);
    check("", expect![[r#""#]]);
}

#[test]
fn values_are_escaped() {
    assert_eq!(escape("repository:a/b:pull,push &x"), "repository:a/b:pull%2Cpush%20%26x");
}

proptest::proptest! {
    #[test]
    fn any_header_is_read(header in ".*") {
        Challenge::parse(&header);
    }

    #[test]
    fn what_looks_like_a_challenge_is_read(header in "([Bb]earer|Basic|x)?( ?,? ?[a-z]{0,3}=?\"?[a-z\\\\,= ]{0,5}\"?){0,5}") {
        for challenge in Challenge::parse(&header) {
            assert!(!challenge.scheme.is_empty());
        }
    }
}
