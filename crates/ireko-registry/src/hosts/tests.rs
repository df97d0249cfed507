//! Which places are asked for a name, and in which order.

use expect_test::{Expect, expect};

use super::Hosts;

const CONF: &str = r#"
unqualified-search-registries = ["quay.io"]

[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "mirror.example:5000/hub"
insecure = true
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"

[[registry]]
prefix = "old.example/team"
location = "new.example/moved"

[[registry]]
prefix = "*.lab.example"
location = "lab.example/all"

[[registry]]
prefix = "bad.example"
blocked = true

[[registry]]
location = "plain.example"
insecure = true

[[registry]]
prefix = "*.corp.example"
insecure = true

[[registry]]
location = "shared.example/team"
insecure = true
"#;

#[track_caller]
fn check(reference: &str, expect: Expect) {
    let mut hosts = Hosts::default();
    hosts.add_registries_conf("registries.conf", CONF).unwrap();
    let said = match hosts.endpoints(&reference.parse().unwrap()) {
        Ok(places) => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&said);
}

#[test]
fn mirrors_come_first_and_the_place_itself_last() {
    check("app:1", expect!["mirror.example:5000/hub/library/app:1 docker.io/library/app:1"]);
    let digest = format!("app@sha256:{}", "0".repeat(64));
    let hosts = {
        let mut hosts = Hosts::default();
        hosts.add_registries_conf("x", CONF).unwrap();
        hosts
    };
    assert_eq!(hosts.endpoints(&digest.parse().unwrap()).unwrap().len(), 3);
    assert!(hosts.is_insecure("mirror.example:5000") && hosts.is_insecure("plain.example:80"));
    assert!(hosts.is_insecure("a.corp.example:5000") && !hosts.is_insecure("corp.example"));
    assert!(hosts.is_insecure("shared.example") && !hosts.is_insecure("shared.example:5000"));
    assert!(!hosts.is_insecure("digests.example") && !hosts.is_insecure("mirror.example:5001"));
}

#[test]
fn prefixes_end_where_a_part_ends() {
    check("old.example/team/a/b:1", expect!["new.example/moved/a/b:1"]);
    check("old.example/teams/a:1", expect!["old.example/teams/a:1"]);
    check("a.lab.example/x:1", expect!["lab.example/all/x:1"]);
    check("other.example/x:1", expect!["other.example/x:1"]);
    check("bad.example/x", expect!["`registries.conf` blocks `bad.example/x`"]);
}

#[test]
fn the_engines_file_has_mirrors_too() {
    let mut hosts = Hosts::default();
    let text = r#"{"registry-mirrors": ["http://cache.example:5000/"], "insecure-registries": ["nas:80", "10.0.0.0/8", "http://old:5000"], "x": 1}"#;
    hosts.add_daemon_json("daemon.json", text).unwrap();
    let places = hosts.endpoints(&"app".parse().unwrap()).unwrap();
    assert_eq!(places[0].to_string(), "cache.example:5000/library/app");
    assert!(hosts.is_insecure("cache.example:5000") && hosts.is_insecure("nas:80"));
    assert!(hosts.is_insecure("10.1.2.3:5000") && hosts.is_insecure("old:5000") && !hosts.is_insecure("nas"));
    assert_eq!(hosts.destination(&"app".parse().unwrap()).unwrap().to_string(), "docker.io/library/app");
}

#[test]
fn mistakes_have_a_place() {
    let mut hosts = Hosts::default();
    let error = hosts.add_registries_conf("r.conf", "[[registry]]\nlocation = 1\n").unwrap_err();
    expect!["cannot use `r.conf`: line 2, column 12: invalid type: integer `1`, expected a string"]
        .assert_eq(&error.to_string());
    let error = hosts.add_registries_conf("r.conf", "[[registry]]\n").unwrap_err();
    expect!["cannot use `r.conf`: a [[registry]] has neither prefix nor location"]
        .assert_eq(&error.to_string());
    let error = hosts.add_daemon_json("d.json", "{\"registry-mirrors\": [1]}").unwrap_err();
    expect!["cannot use `d.json`: invalid type: integer `1`, expected a string at line 1 column 23"]
        .assert_eq(&error.to_string());
}
