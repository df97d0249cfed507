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
