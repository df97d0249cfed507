//! `--ca`: what steps trust, and that nothing of it stays.

use crate::support::Place;
use std::fs;

const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nb3VyIG93biBhdXRob3JpdHk=\n-----END CERTIFICATE-----\n";

fn check(flags: &[&str]) {
    let Some(place) = Place::with_base() else { return };
    fs::write(place.path("own.pem"), AUTHORITY).expect("a file");
    let build = |text: &str, more: &[&str]| {
        place.dockerfile(text);
        place.build(&[flags, &["--ca=own.pem"], more].concat())
    };
    // An image that trusts nobody yet: variables alone.
    let text = "FROM base\nRUN grep b3VyIG93 $SSL_CERT_FILE && [ $CURL_CA_BUNDLE = $SSL_CERT_FILE ] && [ $PIP_CERT = $SSL_CERT_FILE ]\n\
        ENV PIP_CERT=/own\nRUN [ $PIP_CERT = /own ]\n";
    build(text, &[]).ok();
    assert!(!place.contents("app").iter().any(|path| path.contains("ireko")), "{:?}", place.contents("app"));
    // One that does: its bundle too.
    let bundle = "etc/ssl/certs/ca-certificates.crt";
    let text = format!(
        "FROM base AS trusting\nRUN mkdir -p /etc/ssl/certs && echo OWN >/{bundle} && ln -s certs/ca-certificates.crt /etc/ssl/cert.pem\n\
         FROM trusting\nRUN grep -q OWN /{bundle} && grep -q b3VyIG93 /{bundle} && grep -q OWN $SSL_CERT_FILE && grep -q b3VyIG93 /etc/ssl/cert.pem && echo ok >/ok\n\
         # As update-ca-certificates does it, as a careless script does it, and a mode that changes.\n\
         RUN cp /{bundle} /tmp/new && echo MORE >>/tmp/new && mv -f /tmp/new /{bundle}\n\
         RUN echo LAST >>/{bundle} && chmod 600 /{bundle}\n\
         RUN echo nothing >/other\n"
    );
    build(&text, &[]).ok();
    assert_eq!(place.inside("cat /etc/ssl/certs/ca-certificates.crt"), "OWN\nMORE\nLAST\n");
    assert_eq!(place.inside("stat -c %a /etc/ssl/certs/ca-certificates.crt"), "600\n");
    // Neither in the key nor anywhere in the store.
    let again = place.build(flags).ok();
    assert_eq!(again.ran(), Vec::<String>::new(), "{}", again.stderr);
    assert!(!place.config("app").to_string().contains("ireko"));
    place.ireko(&["save", "-o", "app.tar", "app"]).ok();
    let tar = fs::read(place.path("app.tar")).expect("an archive");
    let needle = b"b3VyIG93biBhdXRob3JpdHk";
    assert!(!tar.windows(needle.len()).any(|window| window == needle), "it is in a layer");
    place.sound();
}

#[test]
fn steps_trust_more_and_nothing_of_it_stays() {
    check(&[]);
}

#[test]
fn on_copies_too() {
    check(&["--snapshotter=copy"]);
}

#[test]
fn what_is_no_authority_is_told() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\n");
    fs::write(place.path("key.pem"), format!("{AUTHORITY}-----BEGIN PRIVATE KEY-----\n")).expect("a file");
    fs::write(place.path("no.pem"), "hello").expect("a file");
    place.build(&["--ca=key.pem"]).fails(2, &["`--ca key.pem` holds a private key"]);
    place.build(&["--ca=no.pem"]).fails(2, &["`--ca no.pem` holds no certificate"]);
    place.build(&["--ca=none.pem"]).fails(2, &["`--ca none.pem` cannot be read"]);
}
