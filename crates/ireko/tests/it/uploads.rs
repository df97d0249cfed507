//! Large layers that are sent while they are compressed, to Debian's registry, alone and behind an nginx.

use crate::daemons::{Nginx, Registry};
use crate::support::Place;

/// An image with a layer of 24 MB that was never compressed, and stays large when it is.
fn built(place: &Place, name: &str) {
    place.dockerfile("FROM base\nRUN head -c 24000000 /dev/urandom >/big && sha256sum /big >/sum\nCMD [\"sha256sum\", \"-c\", \"/sum\"]\n");
    place.ireko(&["build", "-q", "--no-cache", "-t", name, "context"]).ok();
}

/// What is pushed is what was built.
fn arrives(name: &str) {
    let Some(other) = Place::new() else { return };
    other.ireko(&["pull", "-q", name]).ok();
    assert_eq!(other.ireko(&["run", name]).ok().stdout, "/big: OK\n");
    other.sound();
}

#[test]
fn a_layer_is_sent_while_it_is_compressed() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    let (name, second) =
        (format!("{}/app:1", registry.address()), format!("{}/second:1", registry.address()));
    built(&place, &name);
    place.ireko(&["tag", &name, &second]).ok();
    place.ireko(&["push", "-q", &name, &second]).ok();
    let log = registry.log();
    let requests: Vec<&str> = log.lines().filter(|line| line.contains("HTTP/1.1\"")).collect();
    let first = requests.iter().find(|line| line.contains("/blobs/")).expect("a request");
    assert!(first.contains("POST /v2/app/blobs/uploads/ "), "{first}");
    assert!(!log.contains("PATCH /v2/second/"), "the second repository takes it over");
    arrives(&name);
    arrives(&second);
    assert_eq!((registry.uploads("app"), registry.uploads("second")), (0, 0));
    let sent = |log: &str| log.lines().filter(|line| line.contains("PATCH /v2/app/")).count();
    place.ireko(&["push", "-q", &name]).ok();
    assert_eq!(sent(&registry.log()), sent(&log), "it is sent once");
    place.sound();
}

#[test]
fn what_stands_before_a_registry_may_refuse_it() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start_closed()) else { return };
    let pass = format!(
        "proxy_pass http://{}; proxy_set_header Host $http_host; proxy_request_buffering off;",
        registry.address()
    );
    // Too large; no PATCH; no content without a length; uploads go elsewhere.
    let Some(nginx) = Nginx::start(&format!(
        "client_max_body_size 0;\n\
         location /v2/small/ {{ client_max_body_size 8m; {pass} }}\n\
         location /v2/length/ {{ if ($http_transfer_encoding = chunked) {{ return 411; }} {pass} }}\n\
         location /v2/moved/ {{ if ($http_transfer_encoding = chunked) {{ return 307 http://127.0.0.1:1/; }} {pass} }}\n\
         location /v2/ {{ {pass} }}"
    )) else {
        return;
    };
    let host = format!("localhost:{}", nginx.port());
    place.ireko_fed(&["login", "-u", "me", "--password-stdin", &host], b"secret\n").ok();
    for repository in ["plain", "small", "length", "moved"] {
        let name = format!("{host}/{repository}:1");
        built(&place, &name);
        place.ireko(&["push", "-q", &name]).ok();
        let Some(other) = Place::new() else { return };
        other.ireko(&["pull", "-q", "--creds=me:secret", &name]).ok();
        assert_eq!(other.ireko(&["run", &name]).ok().stdout, "/big: OK\n", "{repository}");
        // An upload that is given up is cancelled; what a registry leaves of one without bytes is its own.
        match repository {
            "plain" => assert_eq!(registry.uploads(repository), 0),
            _ => assert!(
                registry.log().contains(&format!("DELETE /v2/{repository}/blobs/uploads/")),
                "{repository}"
            ),
        }
    }
    // Who is not let in hears it as ever.
    place.ireko(&["logout", &host]).ok();
    let name = format!("{host}/plain:2");
    built(&place, &name);
    place.ireko(&["push", &name]).fails(2, &["does not let everybody push", "ireko login"]);
    place.sound();
}
