//! Which host, and whether in plain HTTP.

use ireko_oci::Reference;

use super::{Options, Registry, Scope};
use ireko_http::{HttpError, Request};

#[track_caller]
fn check(reference: &str, url: &str) {
    let registry = Registry::new(Options::default());
    let reference: Reference = reference.parse().unwrap();
    assert_eq!(registry.url(&reference, "x"), url);
}

#[test]
fn docker_hub_has_another_host() {
    check("app", "https://registry-1.docker.io/v2/library/app/x");
    check("ghcr.io/a/b", "https://ghcr.io/v2/a/b/x");
}

#[test]
fn this_machine_is_spoken_to_in_plain_http() {
    check("localhost/a", "http://localhost/v2/a/x");
    check("localhost:5000/a", "http://localhost:5000/v2/a/x");
    check("127.9.9.9:5000/a", "http://127.9.9.9:5000/v2/a/x");
    check("[::1]:5000/a", "http://[::1]:5000/v2/a/x");
    check("localhost:443/a", "https://localhost:443/v2/a/x");
    check("128.0.0.1:5000/a", "https://128.0.0.1:5000/v2/a/x");
}

#[test]
fn a_known_token_is_for_the_registry_alone_and_never_in_the_clear() {
    let registry = Registry::new(Options::default());
    let (reference, scope): (Reference, _) = ("reg.example/a".parse().unwrap(), Scope::pull("a"));
    registry.tokens.put("reg.example", &scope, "Bearer t".to_owned());
    let is_shown = |url: &str| {
        let mut shown = false;
        let mut attempt = |request: &Request| {
            shown = format!("{request:?}").contains("authorization");
            Err(HttpError::Aborted)
        };
        let request = Request::get(url).unwrap();
        registry.authorized((&reference, &scope), "x", &request, &mut attempt).unwrap_err();
        shown
    };
    for url in ["https://reg.example/u", "https://REG.example/u", "https://reg.example:443/u"] {
        assert!(is_shown(url), "{url}");
    }
    for url in ["http://reg.example/u", "https://reg.example:444/u", "https://reg.example.org/u"] {
        assert!(!is_shown(url), "{url}");
    }
}
