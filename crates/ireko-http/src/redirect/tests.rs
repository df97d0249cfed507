//! References resolved against the address they were found at.

use super::{changes_host, join, parse};

#[track_caller]
fn check(location: &str, target: &str) {
    let from = parse("https://host:1/a/b?c=d").unwrap();
    assert_eq!(join(&from, location).unwrap(), target);
}

#[test]
fn locations_are_resolved() {
    check("http://other/x#y", "http://other/x");
    check("//other/x", "https://other/x");
    check("/x?y", "https://host:1/x?y");
    check("x", "https://host:1/a/x");
    check("/x?to=http://other/y", "https://host:1/x?to=http://other/y");
    check("?x", "https://host:1/a/b?x");
}

#[test]
fn another_port_or_scheme_is_another_host() {
    let url = |text| parse(text).unwrap();
    assert!(!changes_host(&url("https://A/x"), &url("https://a:443/y")));
    assert!(changes_host(&url("https://a/x"), &url("https://a:444/x")));
    assert!(changes_host(&url("https://a/x"), &url("http://a:443/x")));
    assert!(changes_host(&url("https://a/x"), &url("https://b/x")));
}

#[test]
fn addresses_that_cannot_be_used_are_refused() {
    for text in
        ["", "x", "/x", "ftp://a/b", "http://", "http://user:secret@host/x", "http://a b/", "http://#x"]
    {
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    let problem = |text| parse(text).unwrap_err().to_string();
    assert!(problem("http://h:99999/x").contains("its port is no number up to 65535"));
    assert!(problem("http://bob:secret/more@h/x").starts_with("cannot use URL `http://bob`: its port"));
    assert!(problem("file:///etc/passwd").contains("its scheme is neither http nor https"));
    for text in ["http://h:80/x", "http://h:/x", "http://[::1]:8080/x", "http://[::1]/x", "HTTP://h"] {
        assert!(parse(text).is_ok(), "{text}");
    }
}
