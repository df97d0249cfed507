//! Pulling from a registry in this process, with what can go wrong on the way.

use std::time::Duration;

use expect_test::{Expect, expect};
use ireko_oci::{Descriptor, Digest, Index, MediaType, Platform, Reference};
use ireko_testkit::{Answer, Fault, Server, TarStream, TestImage, TestRegistry};

use super::{distance, nearest};
use crate::{Options, Registry, RegistryError};
use ireko_http::{self as http, Patience};

fn session() -> Registry {
    let patience = Patience { pause: Duration::from_millis(1), ..Patience::default() };
    Registry::new(Options {
        http: http::Options { patience, ..http::Options::default() },
        ..Options::default()
    })
}

fn name(address: &str, rest: &str) -> Reference {
    format!("{address}/{rest}").parse().unwrap()
}

/// An image with one layer of about 100 KB that does not compress.
fn image() -> TestImage {
    let noise: Vec<u8> = (0..3200_u32)
        .flat_map(|number| *Digest::of(&number.to_be_bytes()).as_bytes().first_chunk::<32>().unwrap())
        .collect();
    TestImage::new().layer(TarStream::new().file("noise", noise)).with(|config| {
        config.config.cmd = vec!["/bin/sh".to_owned()];
    })
}

/// Pulls the image whole and shows what was asked for and what came, with what differs each time replaced.
#[track_caller]
fn check(prepare: impl FnOnce(&TestRegistry), reference: &str, expect: Expect) {
    let registry = TestRegistry::start();
    registry.push("app", "1.0", &image());
    prepare(&registry);
    let (manifest, _, _) = image().parts();
    let outcome = pull(&name(&registry.address(), reference));
    let mut text = registry.server().lines().join("\n");
    text += "\n";
    match outcome {
        Ok(bytes) => text += &format!("ok: {bytes} bytes more than the layer\n"),
        Err(error) => {
            text += &format!("error: {}\n", chain(&error));
            text += &format!(
                "retryable {}, blame {:?}, hint {:?}\n",
                error.retryable(),
                error.blame(),
                error.hint()
            );
        }
    }
    text = text.replace(&registry.address(), "HOST");
    text = text.replace(&manifest.layers[0].digest.to_string(), "LAYER");
    text = text.replace(&manifest.config.digest.to_string(), "CONFIG");
    expect.assert_eq(&without_digests(&text));
}

/// What other digests there are depends on the machine's architecture.
fn without_digests(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown += "sha256:";
        shown += part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
    }
    shown
}

fn pull(reference: &Reference) -> Result<u64, RegistryError> {
    let session = session();
    let image = session.image(reference, &Platform::host())?;
    let (mut bytes, mut told) = (Vec::new(), 0);
    let layer = &image.manifest.layers[0];
    session.blob(&image.reference, layer, &mut bytes, &mut |count| told = count)?;
    assert_eq!(Digest::of(&bytes), layer.digest);
    assert_eq!(told, layer.size);
    assert_eq!(image.config.config.cmd, ["/bin/sh"]);
    Ok(bytes.len() as u64 - layer.size)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

#[test]
fn an_image_comes_whole() {
    check(
        |_| {},
        "app:1.0",
        expect![[r#"
        GET /v2/app/manifests/1.0
        GET /v2/app/blobs/CONFIG
        GET /v2/app/blobs/LAYER
        ok: 0 bytes more than the layer
    "#]],
    );
}

#[test]
fn a_token_is_fetched_once() {
    check(
        |registry| registry.require_token("t0k3n"),
        "app:1.0",
        expect![[r#"
        GET /v2/app/manifests/1.0
        GET /token
        GET /v2/app/manifests/1.0
        GET /v2/app/blobs/CONFIG
        GET /v2/app/blobs/LAYER
        ok: 0 bytes more than the layer
    "#]],
    );
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    check(
        |registry| registry.fault("/blobs/", 3, Fault::Cut(40_000)),
        "app:1.0",
        expect![[r#"
        GET /v2/app/manifests/1.0
        GET /v2/app/blobs/CONFIG
        GET /v2/app/blobs/LAYER
        GET /v2/app/blobs/LAYER
        GET /v2/app/blobs/LAYER
        ok: 0 bytes more than the layer
    "#]],
    );
}

#[test]
fn a_server_that_ignores_the_range_is_read_again() {
    let prepare = |registry: &TestRegistry| {
        // The config is the first blob asked for; the second answer is the layer's.
        registry.fault("/blobs/", 1, Fault::WholeAlways);
        registry.fault("/blobs/", 1, Fault::Cut(40_000));
        registry.fault("/blobs/", 1, Fault::WholeAlways);
    };
    check(
        prepare,
        "app:1.0",
        expect![[r#"
        GET /v2/app/manifests/1.0
        GET /v2/app/blobs/CONFIG
        GET /v2/app/blobs/LAYER
        GET /v2/app/blobs/LAYER
        ok: 0 bytes more than the layer
    "#]],
    );
}

#[test]
fn a_busy_server_is_asked_again() {
    let prepare = |registry: &TestRegistry| {
        registry.fault("/manifests/", 1, Fault::RetryAfter(429, 0));
        registry.fault("/manifests/", 1, Fault::Status(503));
        registry.fault("/manifests/", 1, Fault::HangUp);
    };
    check(
        prepare,
        "app:1.0",
        expect![[r#"
        GET /v2/app/manifests/1.0
        GET /v2/app/manifests/1.0
        GET /v2/app/manifests/1.0
        GET /v2/app/manifests/1.0
        GET /v2/app/blobs/CONFIG
        GET /v2/app/blobs/LAYER
        ok: 0 bytes more than the layer
    "#]],
    );
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    check(
        |registry| registry.fault("/manifests/", 9, Fault::Status(503)),
        "app:1.0",
        expect![[r#"
        GET /v2/app/manifests/1.0
        GET /v2/app/manifests/1.0
        GET /v2/app/manifests/1.0
        GET /v2/app/manifests/1.0
        GET /v2/app/manifests/1.0
        error: `HOST` cannot serve manifest of `HOST/app:1.0` now (503 Service Unavailable, FAULT: fault)
        retryable true, blame Environment, hint Some("try again later")
    "#]],
    );
    check(
        |registry| registry.fault("/manifests/", 1, Fault::RetryAfter(429, 600)),
        "app:1.0",
        expect![[r#"
            GET /v2/app/manifests/1.0
            error: `HOST` cannot serve manifest of `HOST/app:1.0` now (429 Too Many Requests, FAULT: fault)
            retryable true, blame Environment, hint Some("try again later")
        "#]],
    );
}

#[test]
fn changed_bytes_are_refused() {
    let prepare = |registry: &TestRegistry| {
        registry.fault("/blobs/", 1, Fault::WholeAlways);
        registry.fault("/blobs/", 1, Fault::Corrupt);
    };
    check(
        prepare,
        "app:1.0",
        expect![[r#"
            GET /v2/app/manifests/1.0
            GET /v2/app/blobs/CONFIG
            GET /v2/app/blobs/LAYER
            error: blob `LAYER` of `HOST/app:1.0` from `HOST` is wrong: expected LAYER, got sha256:
            retryable true, blame Environment, hint Some("the registry or something before it changes content; try again, or another registry")
        "#]],
    );
    check(
        |registry| registry.fault("/manifests/", 1, Fault::Corrupt),
        "app:1.0",
        expect![[r#"
            GET /v2/app/manifests/1.0
            error: manifest of `HOST/app:1.0` from `HOST` is wrong: expected sha256:, got sha256:
            retryable true, blame Environment, hint Some("the registry or something before it changes content; try again, or another registry")
        "#]],
    );
}

#[test]
fn what_is_not_there_is_named_with_its_neighbours() {
    check(
        |_| {},
        "app:1.1",
        expect![[r#"
        GET /v2/app/manifests/1.1
        GET /v2/app/tags/list
        error: `HOST/app:1.1` is not at `HOST` (404 Not Found, MANIFEST_UNKNOWN: manifest unknown); tags there: 1.0
        retryable false, blame User, hint Some("check the spelling of name and tag")
    "#]],
    );
    check(
        |_| {},
        "nope",
        expect![[r#"
        GET /v2/nope/manifests/latest
        GET /v2/nope/tags/list
        error: `HOST/nope:latest` is not at `HOST` (404 Not Found, MANIFEST_UNKNOWN: manifest unknown)
        retryable false, blame User, hint Some("check the spelling of name and tag")
    "#]],
    );
}

#[test]
fn what_is_private_says_so() {
    check(
        |registry| registry.fault("/manifests/", 1, Fault::Status(403)),
        "app:1.0",
        expect![[r#"
            GET /v2/app/manifests/1.0
            error: `HOST` does not let everybody pull `HOST/app:1.0` (403 Forbidden, FAULT: fault)
            retryable false, blame User, hint Some("check the spelling; what is not public needs `ireko login` first")
        "#]],
    );
}

#[test]
fn a_page_instead_of_a_manifest_is_no_image() {
    let prepare = |registry: &TestRegistry| {
        registry.put_manifest("web", "latest", MediaType::new("text/html"), b"<html>hello</html>");
    };
    check(
        prepare,
        "web",
        expect![[r#"
        GET /v2/web/manifests/latest
        error: `HOST` sent an unusable manifest of `HOST/web:latest`: cannot read image manifest: expected value at line 1 column 1
        retryable false, blame Environment, hint None
    "#]],
    );
}

#[test]
fn a_manifest_has_a_limit() {
    let prepare = |registry: &TestRegistry| {
        registry.put_manifest("big", "latest", MediaType::OCI_MANIFEST, &vec![b' '; 5 << 20]);
    };
    check(
        prepare,
        "big",
        expect![[r#"
        GET /v2/big/manifests/latest
        error: manifest of `HOST/big:latest` from `HOST` is larger than 4194304 bytes
        retryable false, blame Environment, hint None
    "#]],
    );
}

#[test]
fn an_index_is_searched_for_the_platform() {
    let index = |registry: &TestRegistry, os: &str| {
        let (_, manifest, _) = image().parts();
        let mut entry = Descriptor::of(MediaType::OCI_MANIFEST, &manifest);
        entry.platform = Some(Platform { os: os.to_owned(), ..Platform::host() });
        let index = Index::new(MediaType::OCI_INDEX, vec![entry]);
        registry.put_manifest("app", "many", MediaType::OCI_INDEX, &index.to_json());
    };
    let registry = TestRegistry::start();
    registry.push("app", "1.0", &image());
    index(&registry, Platform::HOST_OS);
    let found = session().image(&name(&registry.address(), "app:many"), &Platform::host()).unwrap();
    assert!(found.top.media_type.is_index());
    assert_eq!(found.manifest_digest, Digest::of(&image().parts().1));

    index(&registry, "plan9");
    let missing =
        session().image(&name(&registry.address(), "app:many"), &Platform::new("linux", "s390x", ""));
    let text = missing.unwrap_err().to_string().replace(&registry.address(), "HOST");
    let text = text.replace(Platform::HOST_ARCHITECTURE, "ARCH");
    expect!["`HOST/app:many` has no image for linux/s390x; it has plan9/ARCH"].assert_eq(&text);
}

#[test]
fn a_digest_is_asked_for_and_checked() {
    let registry = TestRegistry::start();
    let digest = registry.push("app", "1.0", &image());
    let session = session();
    let reference = name(&registry.address(), "app:1.0");
    assert_eq!(session.digest(&reference).unwrap(), Some(digest));
    assert_eq!(session.manifest(&reference, &digest).unwrap().digest, digest);
    registry.fault("/manifests/", 1, Fault::Corrupt);
    let error = session.resolve(&reference.with_digest(digest)).unwrap_err();
    assert!(matches!(error, RegistryError::Mismatch { .. }), "{error}");
}

#[test]
fn a_failing_writer_stops_the_transfer() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let registry = TestRegistry::start();
    registry.push("app", "1.0", &image());
    let layer = &image().parts().0.layers[0];
    let error = session().blob(&name(&registry.address(), "app"), layer, &mut Full, &mut |_| {}).unwrap_err();
    assert!(matches!(error, RegistryError::Write { .. }), "{error}");
    assert_eq!(registry.server().count("/blobs/"), 1);
}

#[test]
fn blobs_elsewhere_get_no_token() {
    let blob = b"far away".to_vec();
    let there = Server::start({
        let blob = blob.clone();
        move |_| Answer::ok(blob.clone())
    });
    let target = format!("http://localhost:{}/b", there.port());
    let here = Server::start(move |request| match request.path.as_str() {
        "/token" => Answer::ok(r#"{"access_token":"t"}"#),
        _ if request.header("authorization") != Some("Bearer t") => {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap());
            Answer::status(401).header("WWW-Authenticate", &realm)
        }
        _ => Answer::status(307).header("Location", &target),
    });
    let described = Descriptor::of(MediaType::OCI_LAYER, &blob);
    let bytes = session().blob_bytes(&name(&here.address(), "app"), &described).unwrap();
    assert_eq!(bytes, blob);
    assert_eq!(there.received()[0].header("authorization"), None);
    expect![[r#"
        /v2/app/blobs/BLOB?
        /token?scope=repository:app:pull
        /v2/app/blobs/BLOB?
    "#]]
    .assert_eq(
        &here
            .received()
            .iter()
            .map(|it| format!("{}?{}\n", it.path, it.query))
            .collect::<String>()
            .replace(&described.digest.to_string(), "BLOB"),
    );
}

#[test]
fn several_threads_share_one_session() {
    let registry = TestRegistry::start();
    registry.push("app", "1.0", &image());
    let session = session();
    let reference = name(&registry.address(), "app:1.0");
    let layer = &image().parts().0.layers[0];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| session.blob(&reference, layer, &mut std::io::sink(), &mut |_| {}).unwrap());
        }
    });
}

#[test]
fn near_tags_come_first() {
    let tags = ["latest", "bookworm", "bookworm-slim", "bullseye", "12"].map(str::to_owned);
    assert_eq!(nearest("bookwrom", &tags), ["bookworm", "bookworm-slim"]);
    assert_eq!(nearest("book", &tags), ["bookworm", "bookworm-slim"]);
    assert_eq!(nearest("zzz", &tags), ["latest", "bookworm", "bookworm-slim"]);
    assert_eq!(distance("kitten", "sitting"), 3);
}

#[test]
fn a_blob_of_another_size_is_refused() {
    let registry = TestRegistry::start();
    let digest = registry.put_blob(b"0123456789");
    let reference = name(&registry.address(), "app");
    let pull = |size| session().blob_bytes(&reference, &Descriptor::new(MediaType::OCI_LAYER, digest, size));
    let text = |error: RegistryError| chain(&error).replace(&registry.address(), "HOST");
    assert_eq!(pull(10).unwrap(), b"0123456789");
    expect!["blob `sha256:` of `HOST/app` from `HOST` is wrong: expected 9 bytes, got more"]
        .assert_eq(&without_digests(&text(pull(9).unwrap_err())));
    expect!["blob `sha256:` of `HOST/app` from `HOST` is wrong: expected 11 bytes, got 10"]
        .assert_eq(&without_digests(&text(pull(11).unwrap_err())));
    expect!["blob `sha256:` of `HOST/app` from `HOST` is larger than 4194304 bytes"]
        .assert_eq(&without_digests(&text(pull(5 << 20).unwrap_err())));
}

#[test]
fn a_mirror_that_lies_is_passed_over() {
    for (part, fault) in [("/blobs/", Fault::Corrupt), ("/manifests/", Fault::Page)] {
        let (origin, mirror) = (TestRegistry::start(), TestRegistry::start());
        origin.push("app", "1", &image());
        mirror.push("app", "1", &image());
        mirror.fault(part, 9, fault.clone());
        let mut hosts = crate::Hosts::default();
        hosts.mirror(&origin.address(), &mirror.address(), "test");
        let patience = http::Patience { pause: Duration::from_millis(1), ..http::Patience::default() };
        let http = http::Options { patience, ..http::Options::default() };
        let registry = Registry::new(Options { http, hosts, ..Options::default() });
        let found = registry.image(&name(&origin.address(), "app:1"), &Platform::host());
        let found = found.unwrap_or_else(|error| panic!("{fault:?}: {}", error.in_one_line()));
        for blob in &found.manifest.layers {
            registry.blob_bytes(&found.reference, blob).unwrap();
        }
        let notes = registry.take_notes();
        assert!(notes.iter().any(|note| note.contains("is passed over")), "{fault:?}: {notes:?}");
    }
}
