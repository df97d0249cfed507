//! Flags of others.

use super::*;
use crate::cli::{Cli, Command};
use std::ffi::OsString;

/// What the flags mean, or why they are refused.
fn meant(flags: &str) -> String {
    let typed: Vec<OsString> = format!("ireko build {flags} .").split(' ').map(OsString::from).collect();
    let command = Cli::read(&typed).expect("flags that are known").command;
    let Command::Build(args) = command else { panic!("no build") };
    match read(&args) {
        Ok(meant) if meant == Meant::default() => "nothing".to_owned(),
        Ok(Meant { build_args, platform, docker_types, annotations, warnings }) => {
            let args =
                build_args.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("")));
            let notes = annotations.iter().map(|(name, value)| format!("{name}: {value}"));
            let types = docker_types.then(|| "docker".to_owned());
            let all: Vec<String> = args.chain(platform).chain(types).chain(notes).chain(warnings).collect();
            all.join(" | ")
        }
        Err(failure) => format!("no: {}", failure.message),
    }
}

#[test]
fn flags_of_others_have_a_meaning_or_a_word() {
    let cache = "there is no cache elsewhere yet; what ireko remembers lies in its store, which may be kept between builds";
    for (flags, expect) in [
        ("--rm --force-rm=false --compress --disable-content-trust=false -D --retry 3", "nothing".to_owned()),
        ("--provenance=false --sbom=false --cache-from=", "nothing".to_owned()),
        ("--attest type=provenance,disabled=true --attest type=sbom,disabled=true", "nothing".to_owned()),
        ("--security-opt label=disable --userns host", "no: `--userns host` is not supported".to_owned()),
        ("--ipc private --layers --squash=false", "nothing".to_owned()),
        (
            "--cache-from type=gha --cache-to type=gha,mode=max",
            format!("`--cache-from` and `--cache-to`: {cache}"),
        ),
        ("--cache-to type=inline", format!("`--cache-to`: {cache}")),
        (
            "--provenance=mode=min,inline-only=true",
            "`--provenance`: no attestation is made; the image is the same without".to_owned(),
        ),
        (
            "--attest type=provenance,mode=max",
            "`--attest type=provenance`: no attestation is made; the image is the same without".to_owned(),
        ),
        ("--builder ci", "`--builder ci`: there are no builders to choose from; it is built here".to_owned()),
        ("--sbom=true", "no: `--sbom` is not supported".to_owned()),
        ("--attest type=sbom", "no: `--attest type=sbom` is not supported".to_owned()),
        ("--squash", "no: `--squash` is not supported".to_owned()),
        ("--layers=false", "no: `--layers=false` is not supported".to_owned()),
        (
            "--security-opt seccomp=unconfined",
            "no: `--security-opt seccomp=unconfined` is not supported".to_owned(),
        ),
        ("--arch arm64", "linux/arm64".to_owned()),
        ("--os linux --arch arm --variant v7", "linux/arm/v7".to_owned()),
        (
            "--arch arm64 --platform linux/arm64",
            "no: `--platform` and one of `--arch`, `--os` and `--variant` are given".to_owned(),
        ),
        ("--timestamp 7", "SOURCE_DATE_EPOCH=7".to_owned()),
        ("--source-date-epoch 7", "SOURCE_DATE_EPOCH=7".to_owned()),
        ("--format docker", "docker".to_owned()),
        ("--annotation a.b=c=d --annotation manifest:e=", "a.b: c=d | e: ".to_owned()),
        ("--annotation index:a=b", "no: `--annotation index:…` is not supported".to_owned()),
        ("--annotation a", "no: `--annotation a` is not of the form name=value".to_owned()),
    ] {
        assert_eq!(meant(flags), expect, "{flags}");
    }
}

#[test]
fn annotations_that_nothing_carries_are_told_of() {
    let meant = Meant { annotations: [("a".to_owned(), "b".to_owned())].into(), ..Meant::default() };
    let told = |outputs: &[&str]| {
        let outputs: Vec<Output> = outputs.iter().filter_map(|text| Output::parse(text).ok()).collect();
        lost_annotations(&meant, &outputs).is_some()
    };
    assert!(told(&[]) && told(&["type=docker,dest=a", "type=local,dest=b"]));
    assert!(!told(&["type=local,dest=b", "type=oci,dest=a"]) && !told(&["type=registry"]));
    assert_eq!(lost_annotations(&Meant::default(), &[]), None);
}
