//! The client against servers in this process: headers, redirects, proxies, certificates, what breaks.

use std::io::Read;
use std::time::Duration;

use expect_test::{Expect, expect};
use ireko_testkit::{Answer, Received, Server};

use super::{Client, HttpError, Options, Patience, Proxies, Request};

fn options() -> Options {
    let patience =
        Patience { pause: Duration::from_millis(1), idle: Duration::from_secs(5), ..Patience::default() };
    Options { patience, ..Options::default() }
}

#[track_caller]
fn check(result: Result<super::Response, HttpError>, hide: &[(&str, &str)], expect: Expect) {
    let mut text = match result {
        Ok(mut response) => {
            let mut body = String::new();
            let read = response.body.read_to_string(&mut body).map_err(|error| error.to_string());
            format!("{} {} {body} {read:?}", response.status(), response.url())
        }
        Err(error) => format!("{error} (retryable: {})", error.retryable()),
    };
    for (from, to) in hide {
        text = text.replace(from, to);
    }
    expect.assert_eq(&text);
}

#[test]
fn headers_go_and_come() {
    let server = Server::start(|request: &Received| {
        Answer::ok(request.header("if-none-match").unwrap_or_default()).header("ETag", "\"e\"")
    });
    let response = Client::new(options()).get(&server.url("/x?y"), &[("If-None-Match", "\"e\"")]).unwrap();
    assert_eq!((response.header("etag"), response.length()), (Some("\"e\""), Some(3)));
    let request = &server.received()[0];
    assert_eq!((request.path.as_str(), request.query.as_str()), ("/x", "y"));
    assert!(request.header("user-agent").unwrap().starts_with("ireko/"));
}

#[test]
fn redirects_are_followed_to_an_end() {
    let server = Server::start(|request: &Received| match request.path.as_str() {
        "/a" => Answer::status(302).header("Location", "/b"),
        "/b" => Answer::status(308).header("Location", "c"),
        "/c" => Answer::ok("end"),
        "/ftp" => Answer::status(301).header("Location", "ftp://x/"),
        _ => Answer::status(301).header("Location", "/loop"),
    });
    let client = Client::new(options());
    let host = server.address();
    let hide = [(host.as_str(), "HOST")];
    check(client.get(&server.url("/a"), &[]), &hide, expect!["200 http://HOST/c end Ok(3)"]);
    check(
        client.get(&server.url("/loop"), &[]),
        &hide,
        expect!["cannot use URL `http://HOST/loop`: more than 10 redirects (retryable: false)"],
    );
    check(
        client.get(&server.url("/ftp"), &[]),
        &hide,
        expect!["cannot use URL `ftp://x/`: its scheme is neither http nor https (retryable: false)"],
    );
}

#[test]
fn a_body_that_breaks_off_is_an_error() {
    let server = Server::start(|_: &Received| Answer::ok("0123456789").cut_after(4));
    let host = server.address();
    check(
        Client::new(options()).get(&server.url("/"), &[]),
        &[(&host, "HOST")],
        expect![[
            r#"200 http://HOST/ 0123 Err("connection to `HOST` broke: end of file before message length reached")"#
        ]],
    );
}

#[test]
fn nobody_there_fails_at_once() {
    let port = Server::start(|_: &Received| Answer::ok("")).port();
    let hide = port.to_string();
    let url = format!("http://127.0.0.1:{port}/");
    check(
        Client::new(options()).get(&url, &[]),
        &[(&hide, "PORT")],
        expect!["cannot connect to `127.0.0.1:PORT`: Connection refused (os error 111) (retryable: false)"],
    );
}

#[test]
fn a_proxy_gets_the_whole_address() {
    let proxy = Server::start(|request: &Received| {
        Answer::ok(format!("{} {:?}", request.path, request.header("proxy-authorization")))
    });
    let http = Some(format!("http://user:word@{}", proxy.address()));
    let proxies = Proxies { http, https: None, no_proxy: Some("127.0.0.1".to_owned()) };
    let client = Client::new(Options { proxies, ..options() });
    check(
        client.get("http://far.example/x", &[]),
        &[],
        expect![[r#"200 http://far.example/x http://far.example/x Some("Basic dXNlcjp3b3Jk") Ok(47)"#]],
    );
    let direct = Server::start(|_: &Received| Answer::ok("direct"));
    let host = direct.address();
    check(client.get(&direct.url("/"), &[]), &[(&host, "HOST")], expect!["200 http://HOST/ direct Ok(6)"]);
}

#[test]
fn a_tunnel_that_is_refused_is_the_proxys_fault() {
    let proxy = Server::start(|_: &Received| Answer::status(403));
    let https = Some(format!("http://{}", proxy.address()));
    let client = Client::new(Options { proxies: Proxies { https, ..Proxies::default() }, ..options() });
    let host = proxy.address();
    check(
        client.get("https://far.example/x", &[]),
        &[(&host, "PROXY")],
        expect![
            "cannot connect to `far.example`: proxy `PROXY`: tunnel error: unsuccessful (retryable: false)"
        ],
    );
    assert_eq!(proxy.lines(), ["CONNECT far.example:443"]);
    let https = Some("socks5://127.0.0.1:1".to_owned());
    let client = Client::new(Options { proxies: Proxies { https, ..Proxies::default() }, ..options() });
    check(
        client.get("https://far.example/x", &[]),
        &[],
        expect![
            "cannot connect to `far.example`: proxy `127.0.0.1:1`: only proxies with `http://` are supported (retryable: false)"
        ],
    );
}

#[test]
fn plain_http_on_a_tls_address_is_said() {
    let server = Server::start(|_: &Received| Answer::ok(""));
    let url = format!("https://{}/", server.address());
    let host = server.address();
    check(
        Client::new(options()).get(&url, &[]),
        &[(&host, "HOST")],
        expect!["cannot connect to `HOST`: tls handshake eof (retryable: true)"],
    );
}

#[test]
fn files_of_certificates_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let place = path.display().to_string();
    let client = || Client::new(Options { ca_files: vec![path.clone()], ..options() });
    check(
        client().get("https://127.0.0.1:1/", &[]),
        &[(&place, "CA")],
        expect![
            "cannot use certificate file `CA`: No such file or directory (os error 2) (retryable: false)"
        ],
    );
    std::fs::write(&path, "nothing").unwrap();
    check(
        client().get("https://127.0.0.1:1/", &[]),
        &[(&place, "CA")],
        expect!["cannot use certificate file `CA`: it holds no certificate in PEM form (retryable: false)"],
    );
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    check(
        client().get("https://127.0.0.1:1/", &[]),
        &[(&place, "CA")],
        expect!["cannot use certificate file `CA`: invalid peer certificate: BadEncoding (retryable: false)"],
    );
}

#[test]
fn certificates_of_one_host_are_used_for_no_other() {
    let server = Server::start(|_: &Received| Answer::ok(""));
    let path = std::path::PathBuf::from("/nowhere/ca.pem");
    let of = |host: &str| Options { authorities: vec![(host.to_owned(), path.clone())], ..options() };
    let url = format!("https://{}/", server.address());
    let host = server.address();
    check(
        Client::new(of(&host)).get(&url, &[]),
        &[],
        expect![
            "cannot use certificate file `/nowhere/ca.pem`: No such file or directory (os error 2) (retryable: false)"
        ],
    );
    check(
        Client::new(of("other.example")).get(&url, &[]),
        &[(&host, "HOST")],
        expect!["cannot connect to `HOST`: tls handshake eof (retryable: true)"],
    );
    let key = std::path::PathBuf::from("/nowhere/own.key");
    let shown = vec![(host.clone(), path.clone(), key)];
    check(
        Client::new(Options { identities: shown, ..options() }).get(&url, &[]),
        &[],
        expect![
            "cannot use certificate file `/nowhere/ca.pem`: No such file or directory (os error 2) (retryable: false)"
        ],
    );
}

#[test]
fn bodies_have_a_limit_where_one_is_given() {
    let server = Server::start(|_: &Received| Answer::ok(vec![b'x'; 100_000]));
    let client = Client::new(options());
    let read = |limit| client.get(&server.url("/"), &[]).unwrap().body.read_up_to(limit).unwrap();
    assert_eq!(read(100_000).map(|bytes| bytes.len()), Some(100_000));
    assert_eq!(read(99_999), None);
}

#[test]
fn a_body_does_not_end_early_with_its_client() {
    let server = Server::start(|_: &Received| Answer::ok(vec![b'x'; 50_000_000]));
    let client = Client::new(options());
    let mut response = client.get(&server.url("/"), &[]).unwrap();
    drop(client);
    let error = response.body.read_up_to(u64::MAX).unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error}");
}

#[test]
fn what_is_said_to_this_machine_passes_no_proxy() {
    let proxy = Server::start(|_: &Received| Answer::ok("from the proxy"));
    let server = Server::start(|_: &Received| Answer::ok("direct"));
    let url = proxy.url("");
    let proxies = Proxies { http: Some(url.clone()), https: Some(url), no_proxy: None };
    let client = Client::new(Options { proxies, ..options() });
    for host in ["localhost", "127.0.0.1"] {
        let mut answer = client.get(&format!("http://{host}:{}/", server.port()), &[]).unwrap();
        assert_eq!(answer.body.read_up_to(99).unwrap().unwrap(), b"direct");
    }
    assert!(client.get(&format!("https://localhost:{}/", server.port()), &[]).is_err());
    assert!(proxy.received().is_empty());
    let mut answer = client.get("http://elsewhere.test/", &[]).unwrap();
    assert_eq!(answer.body.read_up_to(99).unwrap().unwrap(), b"from the proxy");
}

#[test]
fn no_query_is_in_an_error() {
    let server = Server::start(|request: &Received| match request.path.as_str() {
        path if path.starts_with("/ftp") => Answer::status(301).header("Location", "ftp://x/?sig=SECRET"),
        _ => Answer::status(301).header("Location", "/loop?sig=SECRET"),
    });
    let client = Client::new(options());
    let said = |url: &str| client.get(url, &[]).unwrap_err().to_string();
    for url in
        [&server.url("/loop"), &server.url("/ftp?sig=SECRET"), "ftp://x/?sig=SECRET", "http:///a?sig=SECRET"]
    {
        assert!(!said(url).contains("SECRET"), "{}", said(url));
    }
    assert!(said("ftp://x/?sig=SECRET").contains("`ftp://x/?…`"));
    let request = Request::get("https://x/?sig=SECRET").unwrap().header("a b", "c").unwrap_err().to_string();
    assert!(!request.contains("SECRET"), "{request}");
}
