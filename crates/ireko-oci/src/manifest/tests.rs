//! Manifests and indexes as others write them.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Document, Index, Manifest};
use crate::{Descriptor, Digest, MediaType, Platform};

/// Shows a document as it is written again, or why it was refused.
#[track_caller]
fn check(text: &str, expect: Expect) {
    let text = text.replace("DIGEST", &Digest::of(b"").to_string());
    let shown = match Document::parse(text.as_bytes()) {
        Ok(Document::Manifest(manifest)) => {
            format!("manifest {}", String::from_utf8(manifest.to_json()).unwrap())
        }
        Ok(Document::Index(index)) => format!("index {}", String::from_utf8(index.to_json()).unwrap()),
        Err(error) => match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    };
    expect.assert_eq(&shown.replace(&Digest::of(b"").to_string(), "DIGEST"));
}

#[test]
fn a_manifest_is_known_by_its_config() {
    check(
        r#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"DIGEST","size":0},"layers":null}"#,
        expect![[
            r#"manifest {"schemaVersion":2,"config":{"mediaType":"x","digest":"DIGEST","size":0},"layers":[]}"#
        ]],
    );
    check(
        r#"{"unknown":{"b":1,"a":2},"layers":[{"size":7,"digest":"DIGEST","mediaType":"l","urls":["u"],"new":true}],
        "annotations":{"b":"2","a":"1"},"schemaVersion":2,"config":{"mediaType":"x","digest":"DIGEST","size":0},
        "mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
        expect![[
            r#"manifest {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"x","digest":"DIGEST","size":0},"layers":[{"mediaType":"l","digest":"DIGEST","size":7,"urls":["u"],"new":true}],"annotations":{"a":"1","b":"2"},"unknown":{"a":2,"b":1}}"#
        ]],
    );
}

#[test]
fn an_index_is_known_by_its_manifests() {
    check(
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"DIGEST","size":1,
        "platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}"#,
        expect![[
            r#"index {"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"DIGEST","size":1,"platform":{"architecture":"arm","os":"linux","variant":"v7"}}]}"#
        ]],
    );
    check(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":null}"#,
        expect![[
            r#"index {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
        ]],
    );
}

#[test]
fn what_is_neither_is_refused() {
    check("{}", expect!["cannot use image manifest: it has neither `config` nor `manifests`"]);
    check(
        "[]",
        expect![
            "cannot read image manifest: invalid length 2, expected struct Shape with 4 elements at line 1 column 2"
        ],
    );
    check("", expect!["cannot read image manifest: EOF while parsing a value at line 1 column 0"]);
    check(
        r#"{"schemaVersion":1,"fsLayers":[]}"#,
        expect!["cannot use image manifest: schema 1 is obsolete and not supported"],
    );
    check(
        r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
        expect!["cannot use image manifest: it is both a manifest and an index"],
    );
    check(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#,
        expect![
            "cannot use image manifest: its content does not fit its type `application/vnd.oci.image.manifest.v1+json`"
        ],
    );
    check(
        r#"{"schemaVersion":2,"config":{"digest":"DIGEST","size":-1}}"#,
        expect!["cannot read image manifest: invalid value: integer `-1`, expected u64 at line 1 column 121"],
    );
}

#[test]
fn the_nearest_platform_is_chosen() {
    let entry = |text: &str| {
        let mut entry = Descriptor::of(MediaType::OCI_MANIFEST, text.as_bytes());
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        entry.platform =
            Some(Platform { os: next(), architecture: next(), variant: next(), ..Platform::default() });
        entry
    };
    let names =
        ["linux/arm/v6", "linux/386", "linux/arm/v7", "linux/amd64", "linux/arm64/v8", "unknown/unknown"];
    let index = Index::new(MediaType::OCI_INDEX, names.map(entry).to_vec());
    let chosen = |wanted: &str| {
        let digest = index.select(&wanted.parse().unwrap())?.digest;
        names.into_iter().find(|name| Digest::of(name.as_bytes()) == digest)
    };
    assert_eq!(chosen("linux/amd64"), Some("linux/amd64"));
    assert_eq!(chosen("linux/x86_64/v3"), Some("linux/amd64"));
    assert_eq!(chosen("linux/arm64"), Some("linux/arm64/v8"));
    assert_eq!(chosen("linux/arm"), Some("linux/arm/v7"));
    assert_eq!(chosen("linux/arm/v5"), None);
    assert_eq!(chosen("linux/s390x"), None);
    assert_eq!(chosen("unknown/unknown"), None);
    assert_eq!(index.platforms().len(), 5);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes: Vec<u8>) {
        let _ = Document::parse(&bytes);
    }

    #[test]
    fn writing_and_reading_agree(sizes in proptest::collection::vec(0_u64..1 << 40, 0..4), note in "\\PC*") {
        let layers = sizes.iter().map(|size| Descriptor::new(MediaType::OCI_LAYER_ZSTD, Digest::of(note.as_bytes()), *size));
        let config = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
        let mut manifest = Manifest::new(MediaType::OCI_MANIFEST, config, layers.collect());
        manifest.annotations.insert(note.clone(), note);
        let bytes = manifest.to_json();
        prop_assert_eq!(Manifest::parse(&bytes).unwrap(), manifest.clone());
        prop_assert_eq!(Manifest::parse(&bytes).unwrap().to_json(), bytes);
    }
}
