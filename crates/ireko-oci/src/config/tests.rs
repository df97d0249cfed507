//! Image configs as Docker, BuildKit and others write them.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{ContainerConfig, ImageConfig, chain_id, chain_ids};
use crate::{Digest, Platform, Timestamp};

/// Shows a config as it is written again, or why it was refused.
#[track_caller]
fn check(text: &str, expect: Expect) {
    let shown = match ImageConfig::parse(text.as_bytes()) {
        Ok(config) => String::from_utf8(config.to_json()).unwrap(),
        Err(error) => format!("{error}: {}", std::error::Error::source(&error).unwrap()),
    };
    expect.assert_eq(&shown);
}

#[test]
fn an_empty_config_is_written_as_buildkit_does() {
    let platform = Platform::new("linux", "amd64", "");
    let json = String::from_utf8(ImageConfig::for_platform(&platform).to_json()).unwrap();
    expect![[
        r#"{"architecture":"amd64","config":{},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#
    ]]
    .assert_eq(&json);
}

#[test]
fn a_config_of_buildkit_keeps_its_bytes() {
    let text = r#"{"architecture":"arm64","author":"me","config":{"User":"1","ExposedPorts":{"53/udp":{},"80/tcp":{}},"Env":["B=2","A=1"],"Entrypoint":["/e"],"Cmd":["c","d"],"Volumes":{"/v":{}},"WorkingDir":"/w","Labels":{"a":"1","b":""},"StopSignal":"SIGINT","ArgsEscaped":true,"Healthcheck":{"Test":["CMD","t"],"Interval":30000000000,"Retries":3},"OnBuild":["RUN x"],"Shell":["/bin/bash","-c"]},"created":"2024-05-01T12:00:00.123456789Z","history":[{"created":"2024-05-01T12:00:00Z","created_by":"RUN x # buildkit","comment":"buildkit.dockerfile.v0"},{"created_by":"CMD [\"c\"]","empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"variant":"v8"}"#;
    let config = ImageConfig::parse(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(config.to_json()).unwrap(), text);
    assert_eq!(config.platform().to_string(), "linux/arm64");
}

#[test]
fn nulls_and_unknown_fields_are_accepted() {
    check(
        r#"{"os":"linux","architecture":"amd64","config":{"Env":null,"Cmd":null,"Labels":null,"Volumes":null,
        "ExposedPorts":null,"Hostname":"","NetworkDisabled":false,"Healthcheck":null},"history":null,"rootfs":null,
        "created":null,"docker_version":"20.10","container_config":{"Tty":false}}"#,
        expect![[
            r#"{"architecture":"amd64","config":{"Hostname":"","NetworkDisabled":false},"os":"linux","rootfs":{"type":"layers","diff_ids":[]},"container_config":{"Tty":false},"docker_version":"20.10"}"#
        ]],
    );
    check(
        "{}",
        expect![[r#"{"architecture":"","config":{},"os":"","rootfs":{"type":"layers","diff_ids":[]}}"#]],
    );
}

#[test]
fn a_command_may_be_one_word() {
    check(
        r#"{"os":"linux","architecture":"amd64","config":{"Entrypoint":"/e x","Cmd":"","Shell":"/bin/sh"}}"#,
        expect![[
            r#"{"architecture":"amd64","config":{"Entrypoint":["/e x"],"Cmd":[""],"Shell":["/bin/sh"]},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#
        ]],
    );
    check(
        r#"{"config":{"Cmd":7}}"#,
        expect![
            "cannot read image config: invalid type: integer `7`, expected a list of words or one word at line 1 column 18"
        ],
    );
}

#[test]
fn wrong_types_are_refused() {
    check(
        "[]",
        expect![
            "cannot read image config: invalid type: sequence, expected struct ImageConfig at line 1 column 0"
        ],
    );
    check(
        r#"{"config":{"Env":"A=1"}}"#,
        expect![[
            r#"cannot read image config: invalid type: string "A=1", expected a sequence at line 1 column 22"#
        ]],
    );
    check(
        r#"{"created":"yesterday"}"#,
        expect![
            "cannot read image config: invalid time `yesterday`: expected RFC 3339, such as `2024-05-01T12:00:00Z` at line 1 column 23"
        ],
    );
    check(
        r#"{"rootfs":{"type":"layers","diff_ids":["x"]}}"#,
        expect!["cannot read image config: invalid digest `x`: expected `algorithm:hex` at line 1 column 43"],
    );
}

#[test]
fn variables_keep_their_place() {
    let mut config = ContainerConfig::default();
    for (name, value) in [("A", "1"), ("AB", "2"), ("A", "3=4")] {
        config.env_set(name, value);
    }
    assert_eq!(config.env, ["A=3=4", "AB=2"]);
    assert_eq!((config.env_get("A"), config.env_get("B")), (Some("3=4"), None));
}

#[test]
fn chains_follow_the_specification() {
    let [a, b] = [b"a", b"b"].map(|bytes| Digest::of(bytes));
    assert_eq!(chain_id(&[]), None);
    assert_eq!(chain_ids(&[a, b]), [a, Digest::of(format!("{a} {b}").as_bytes())]);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes: Vec<u8>) {
        let _ = ImageConfig::parse(&bytes);
    }

    #[test]
    fn writing_and_reading_agree(
        env in proptest::collection::vec("\\PC{0,9}", 0..3),
        ports in proptest::collection::btree_set("[0-9]{1,5}/tcp", 0..3),
        labels in proptest::collection::btree_map("\\PC{0,5}", "\\PC{0,5}", 0..3),
        seconds in -1_000_000_000_i64..10_000_000_000,
    ) {
        let mut config = ImageConfig::for_platform(&Platform::host());
        config.created = Some(Timestamp::from_unix(seconds, 5));
        config.config = ContainerConfig { env, exposed_ports: ports, labels, ..ContainerConfig::default() };
        let bytes = config.to_json();
        prop_assert_eq!(ImageConfig::parse(&bytes).unwrap(), config.clone());
        prop_assert_eq!(ImageConfig::parse(&bytes).unwrap().to_json(), bytes);
    }
}
