//! Platforms in all spellings.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::Platform;

#[track_caller]
fn check(text: &str, expect: Expect) {
    let shown = match text.parse::<Platform>() {
        Ok(platform) => {
            let others: Vec<String> = platform.runnable().iter().skip(1).map(ToString::to_string).collect();
            format!("{platform} runs also {}", others.join(" "))
        }
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn spellings_are_unified() {
    check("linux/x86_64", expect!["linux/amd64 runs also linux/386"]);
    check("Linux/AMD64/v1", expect!["linux/amd64 runs also linux/386"]);
    check("linux/amd64/v3", expect!["linux/amd64/v3 runs also linux/amd64/v2 linux/amd64 linux/386"]);
    check(
        "linux/aarch64",
        expect!["linux/arm64 runs also linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"],
    );
    check(
        "linux/arm64/v8",
        expect!["linux/arm64 runs also linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"],
    );
    check("linux/arm", expect!["linux/arm/v7 runs also linux/arm/v6 linux/arm/v5"]);
    check("linux/arm/6", expect!["linux/arm/v6 runs also linux/arm/v5"]);
    check("linux/armhf", expect!["linux/arm/v7 runs also linux/arm/v6 linux/arm/v5"]);
    check("linux/armv7l", expect!["linux/arm/v7 runs also linux/arm/v6 linux/arm/v5"]);
    check("linux/i686", expect!["linux/386 runs also "]);
    check(
        "macos/arm64",
        expect!["darwin/arm64 runs also darwin/arm/v8 darwin/arm/v7 darwin/arm/v6 darwin/arm/v5"],
    );
    check(
        "windows(10.0.17763)/amd64",
        expect!["windows(10.0.17763)/amd64 runs also windows(10.0.17763)/386"],
    );
    check("linux/riscv64", expect!["linux/riscv64 runs also "]);
}

#[test]
fn one_word_is_a_system_or_an_architecture() {
    let host = Platform::host();
    assert_eq!("linux".parse::<Platform>().unwrap().architecture, host.architecture);
    let arm: Platform = "arm64".parse().unwrap();
    assert_eq!((arm.os.as_str(), arm.architecture.as_str()), (Platform::HOST_OS, "arm64"));
    check("amigaos", expect!["invalid platform `amigaos`: neither an operating system nor an architecture"]);
}

#[test]
fn what_is_wrong_is_said() {
    check("", expect!["invalid platform ``: expected `os/architecture` or `os/architecture/variant`"]);
    check(
        "linux/",
        expect!["invalid platform `linux/`: expected `os/architecture` or `os/architecture/variant`"],
    );
    check(
        "linux/a/b/c",
        expect!["invalid platform `linux/a/b/c`: expected at most `os/architecture/variant`"],
    );
    check("windows(1/amd64", expect!["invalid platform `windows(1/amd64`: the `(` is not closed"]);
    check(
        "linux/am d64",
        expect!["invalid platform `linux/am d64`: expected `os/architecture` or `os/architecture/variant`"],
    );
}

proptest! {
    #[test]
    fn normal_forms_stay(text in "[a-z]{1,5}/[a-z0-9_]{1,6}(/v?[0-9])?") {
        let platform: Platform = text.parse().unwrap();
        prop_assert_eq!(platform.clone().normalized(), platform.clone());
        prop_assert_eq!(platform.to_string().parse::<Platform>().unwrap(), platform.clone());
        prop_assert!(platform.runnable()[0].same(&platform));
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = text.parse::<Platform>();
    }
}

#[test]
fn levels_are_of_one_instruction_set() {
    let is = |one: &str, two: &str| {
        one.parse::<Platform>().unwrap().is_level_of(&two.parse::<Platform>().unwrap())
    };
    assert!(is("linux/amd64/v3", "linux/amd64") && is("linux/arm64/v9", "linux/aarch64"));
    assert!(!is("linux/arm/v6", "linux/arm/v7") && !is("linux/386", "linux/amd64"));
    assert!(!is("windows/amd64", "linux/amd64"));
}
