//! References as people write them.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::Reference;
use crate::Digest;

#[track_caller]
fn check(text: &str, expect: Expect) {
    let shown = match text.parse::<Reference>() {
        Ok(it) => format!("{it} | {} | {} {} {:?}", it.familiar(), it.domain(), it.path(), it.tag()),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn short_names_are_docker_hubs() {
    check("app", expect!["docker.io/library/app | app | docker.io library/app None"]);
    check("app:1", expect![[r#"docker.io/library/app:1 | app:1 | docker.io library/app Some("1")"#]]);
    check("me/app", expect!["docker.io/me/app | me/app | docker.io me/app None"]);
    check("docker.io/library/app", expect!["docker.io/library/app | app | docker.io library/app None"]);
    check("index.docker.io/app", expect!["docker.io/library/app | app | docker.io library/app None"]);
    check(
        "docker.io/library/a/b",
        expect!["docker.io/library/a/b | library/a/b | docker.io library/a/b None"],
    );
}

#[test]
fn hosts_have_a_dot_a_port_or_are_localhost() {
    check("localhost/app", expect!["localhost/app | localhost/app | localhost app None"]);
    check("host:5000/app:1", expect![[r#"host:5000/app:1 | host:5000/app:1 | host:5000 app Some("1")"#]]);
    check("ghcr.io/a/b", expect!["ghcr.io/a/b | ghcr.io/a/b | ghcr.io a/b None"]);
    check("[::1]:5000/app", expect!["[::1]:5000/app | [::1]:5000/app | [::1]:5000 app None"]);
    check("HOST/app", expect!["HOST/app | HOST/app | HOST app None"]);
}

#[test]
fn what_is_wrong_is_said() {
    check("", expect!["invalid image reference ``: it has no repository name"]);
    check(":1", expect!["invalid image reference `:1`: it has no repository name"]);
    check("App", expect!["invalid image reference `App`: repository name (`library/App`) must be lowercase"]);
    check(
        "app:",
        expect![
            "invalid image reference `app:`: `` is not a tag (letters, digits, `_`, `.`, `-`; at most 128)"
        ],
    );
    check(
        "app:a b",
        expect![
            "invalid image reference `app:a b`: `a b` is not a tag (letters, digits, `_`, `.`, `-`; at most 128)"
        ],
    );
    check(
        "a//b",
        expect![
            "invalid image reference `a//b`: `a//b` is not a repository name (lowercase letters and digits, separated by `.`, `_`, `-`, `/`)"
        ],
    );
    check(
        "https://host/app",
        expect!["invalid image reference `https://host/app`: `https:` is not a registry host"],
    );
    check(
        "app@sha256:12",
        expect!["invalid image reference `app@sha256:12`: bad digest `sha256:12`: wrong number of digits"],
    );
    check(
        "app@md5:12",
        expect!["invalid image reference `app@md5:12`: bad digest `md5:12`: unsupported digest algorithm"],
    );
    check(
        "-host.com/app",
        expect!["invalid image reference `-host.com/app`: `-host.com` is not a registry host"],
    );
    check(
        &"ab".repeat(32),
        expect![
            "invalid image reference `abababababababababababababababababababababababababababababababab`: 64 hexadecimal digits are an image ID, not a name"
        ],
    );
    check(
        &format!("host.com/{}", "a".repeat(256)),
        expect![
            "invalid image reference `host.com/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`: repository name must not be more than 255 characters"
        ],
    );
}

#[test]
fn parts_can_be_replaced() {
    let app: Reference = "app:1".parse().unwrap();
    let digest = Digest::of(b"");
    assert_eq!(app.or_latest(), app);
    assert_eq!(app.repository().or_latest().familiar(), "app:latest");
    assert_eq!(app.with_digest(digest).familiar(), format!("app:1@{digest}"));
    assert_eq!(app.repository().with_digest(digest).or_latest().tag(), None);
    assert_eq!(app.with_digest(digest).with_tag("2").unwrap().to_string(), "docker.io/library/app:2");
    assert!(app.with_tag("a/b").is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-zA-Z0-9:@/._\\[\\] é-]{0,80}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference.clone());
            prop_assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
        }
    }

    #[test]
    fn good_names_survive(
        host in "[a-z]{1,8}\\.[a-z]{2,3}(:[0-9]{1,4})?",
        path in "[a-z0-9]{1,5}((\\.|_|__|-{1,3}|/)[a-z0-9]{1,5}){0,3}",
        tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}",
    ) {
        let text = format!("{host}/{path}:{tag}");
        prop_assume!(!text.starts_with("docker.io") && !text.starts_with("index.docker.io"));
        let reference: Reference = text.parse().unwrap();
        prop_assert_eq!(reference.to_string(), text.clone());
        prop_assert_eq!(reference.familiar(), text);
    }
}
