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
fn a_login_is_looked_for_once_also_in_vain() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let helper = dir.path().join("docker-credential-locked");
    std::fs::write(&helper, "#!/bin/sh\necho start >>\"$COUNT\"\necho locked\nexit 1\n").unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let count = dir.path().join("count");
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let keychain = crate::Keychain {
        inline: Some(("TEXT".to_owned(), r#"{"credsStore": "locked"}"#.to_owned())),
        environment: vec![("PATH".into(), path.into()), ("COUNT".into(), count.clone().into())],
        ..crate::Keychain::default()
    };
    let registry = Registry::new(Options { keychain, ..Options::default() });
    let reference: Reference = "a.io/x".parse().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| registry.login(&reference).unwrap_err());
        }
    });
    registry.login(&reference).unwrap_err();
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "start\n");
    // An interruption is no answer.
    registry.client().abort();
    let other: Reference = "b.io/x".parse().unwrap();
    std::fs::write(&helper, "#!/bin/sh\nsleep 1000 & wait\n").unwrap();
    let error = registry.login(&other).unwrap_err();
    assert_eq!(error.blame(), ireko_report::Blame::Interrupted);
    registry.client().resume();
    std::fs::write(&helper, "#!/bin/sh\necho credentials not found; exit 1\n").unwrap();
    assert!(registry.login(&other).unwrap().is_none());
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
