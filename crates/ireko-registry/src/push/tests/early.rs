//! Uploads that were begun before the digest was known, in good and in bad times.

use super::*;

/// Begins an upload of these bytes.
fn begin(registry: &Registry, name: &Reference, bytes: &[u8]) -> Result<crate::Begun, RegistryError> {
    let content = |_: u64| Ok(Box::new(Cursor::new(bytes.to_vec())) as Box<dyn Read + Send>);
    registry.begin_blob(name, &content, &mut |_| {})
}

/// Begins and closes an upload of a large blob with faults, and says which requests that took.
#[track_caller]
fn check(prepare: impl FnOnce(&TestRegistry), expect: Expect) {
    let server = TestRegistry::start();
    prepare(&server);
    let (registry, bytes) = (session(), large());
    let name: Reference = format!("{}/team/app", server.address()).parse().unwrap();
    let begun = begin(&registry, &name, &bytes);
    let mut text = match &begun {
        Ok(_) => "begun\n".to_owned(),
        Err(error) => format!("{}\n", error.in_one_line()),
    };
    let descriptor = Descriptor::of(MediaType::OCI_LAYER_GZIP, &bytes);
    let content = |from: u64| {
        let from = usize::try_from(from).expect("a test's content fits");
        Ok(Box::new(Cursor::new(bytes[from..].to_vec())) as Box<dyn Read + Send>)
    };
    let begun = begun.as_ref().ok();
    let blob = Blob { descriptor: &descriptor, content: &content, sources: &[], begun };
    let mut told = 0;
    let pushed = registry.push_blob(&name, blob, &mut |sent| told = sent).unwrap();
    assert_eq!(told, 3_000_000);
    assert_eq!(server.uploads(), 0, "an upload is left behind");
    assert_eq!(server.blob(&Digest::of(&bytes)).as_deref(), Some(&bytes[..]));
    for request in server.server().received() {
        let path = request.path.split("/team/app/").nth(1).unwrap_or(&request.path);
        let path = if path.starts_with("blobs/sha256") { "blobs/DIGEST" } else { path };
        text += &format!("{} {path} {}\n", request.method, request.body.len());
    }
    text += &format!("{pushed:?}\n");
    expect.assert_eq(&text.replace(&server.address(), "HOST"));
}

#[test]
fn what_was_sent_early_is_only_closed() {
    check(
        |_| {},
        expect![[r#"
            begun
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            PUT blobs/uploads/upload0 0
            Sent
        "#]],
    );
}

#[test]
fn a_registry_that_takes_no_upload_is_asked_again_later() {
    check(
        |server| server.fault("/blobs/uploads/", 1, Fault::Status(503)),
        expect![[r#"
            `HOST` cannot serve a layer for `HOST/team/app` now (503 Service Unavailable, FAULT: fault)
            POST blobs/uploads/ 0
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            PUT blobs/uploads/upload0 0
            Sent
        "#]],
    );
}

#[test]
fn what_is_refused_is_cancelled_and_sent_later() {
    for status in [307, 400, 401, 404, 405, 411, 413, 416, 429, 500] {
        let server = TestRegistry::start();
        server.fault("/blobs/uploads/upload", 1, Fault::Status(status));
        let (registry, name) = (session(), format!("{}/a", server.address()));
        begin(&registry, &name.parse().unwrap(), &large()).unwrap_err();
        assert_eq!(server.uploads(), 0, "{status}");
        assert_eq!(push(&registry, &name, &large(), &[]).unwrap(), Pushed::Sent);
    }
    check(
        |server| server.fault("/blobs/uploads/upload", 1, Fault::Take(1_000_000)),
        expect![[r#"
            cannot push a layer for `HOST/team/app`: connection to `HOST` broke: connection closed before message completed
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            DELETE blobs/uploads/upload0 0
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload1 3000000
            PUT blobs/uploads/upload1 0
            Sent
        "#]],
    );
}

#[test]
fn an_end_that_is_refused_is_no_end() {
    check(
        |server| {
            // The PATCH passes.
            server.fault("/blobs/uploads/upload", 1, Fault::Accept);
            server.fault("/blobs/uploads/upload", 1, Fault::Status(400));
        },
        expect![[r#"
            begun
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            PUT blobs/uploads/upload0 0
            DELETE blobs/uploads/upload0 0
            HEAD blobs/DIGEST 0
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload1 3000000
            PUT blobs/uploads/upload1 0
            Sent
        "#]],
    );
}

#[test]
fn an_answer_to_the_end_that_was_lost_is_no_second_transfer() {
    check(
        |server| {
            server.fault("/blobs/uploads/upload", 1, Fault::Accept);
            server.fault("/blobs/uploads/upload", 1, Fault::Forget);
        },
        expect![[r#"
            begun
            POST blobs/uploads/ 0
            PATCH blobs/uploads/upload0 3000000
            PUT blobs/uploads/upload0 0
            DELETE blobs/uploads/upload0 0
            HEAD blobs/DIGEST 0
            Sent
        "#]],
    );
}

#[test]
fn a_token_that_is_too_old_is_renewed_on_the_way() {
    let server = TestRegistry::start();
    server.require_login("me", "pass", true);
    let secret = Secret::Password { user: "me".to_owned(), password: "pass".to_owned() };
    let registry = with_login(Some((server.address(), secret)));
    let name: Reference = format!("{}/a", server.address()).parse().unwrap();
    begin(&registry, &name, &large()).unwrap();
    server.forget_tokens();
    begin(&registry, &name, &large()).unwrap();
    assert_eq!(server.server().count("/token"), 2);
    begin(&session(), &name, &large()).unwrap_err();
}

#[test]
fn content_that_ends_in_the_middle_leaves_no_upload() {
    struct Broken(u32);
    impl Read for Broken {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            if self.0 > 20 { Err(std::io::Error::other("compression failed")) } else { Ok(room.len()) }
        }
    }
    let server = TestRegistry::start();
    let name: Reference = format!("{}/a", server.address()).parse().unwrap();
    let content = |_: u64| Ok(Box::new(Broken(0)) as Box<dyn Read + Send>);
    session().begin_blob(&name, &content, &mut |_| {}).unwrap_err();
    assert_eq!(server.uploads(), 0);
    assert_eq!(server.server().lines().last().unwrap(), "DELETE /v2/a/blobs/uploads/upload0");
}
