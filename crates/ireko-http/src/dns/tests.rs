//! Name resolution against a name server in this process.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::message::{self, Kind};
use super::{Config, LookupError, Resolver, Source};

/// What the server knows: addresses by name and family.
const KNOWN: &[(&str, &[&str])] = &[
    ("two.example", &["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
    ("four.example", &["192.0.2.4"]),
    ("six.example", &["2001:db8::6"]),
    ("short.corp.example", &["192.0.2.7"]),
    ("empty.example", &[]),
    ("big.example", &["192.0.2.8"]),
];

/// The answer's bytes, with a compressed name and an alias before the addresses.
fn reply(question: &[u8], by_udp: bool) -> Option<Vec<u8>> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0)? + 5;
    let name: Vec<&str> = labels(&question[12..end - 4]);
    let name = name.join(".").to_ascii_lowercase();
    let kind = question[end - 3];
    let mut bytes = question[..end].to_vec();
    bytes[2] |= 0x80;
    match name.as_str() {
        "silent.example" => return None,
        "broken.example" => {
            bytes[3] = 2;
            return Some(bytes);
        }
        "big.example" if by_udp => {
            bytes[2] |= 0x02;
            return Some(bytes);
        }
        _ => {}
    }
    let Some((_, addresses)) = KNOWN.iter().find(|(known, _)| *known == name) else {
        bytes[3] = 3;
        return Some(bytes);
    };
    let mut records = vec![vec![0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]];
    for address in *addresses {
        let data = match address.parse().unwrap() {
            IpAddr::V4(address) if kind == 1 => address.octets().to_vec(),
            IpAddr::V6(address) if kind == 28 => address.octets().to_vec(),
            _ => continue,
        };
        let head = [0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9, 0, data.len() as u8];
        records.push([head.as_slice(), &data].concat());
    }
    bytes[7] = records.len() as u8;
    bytes.extend(records.concat());
    Some(bytes)
}

fn labels(mut bytes: &[u8]) -> Vec<&str> {
    let mut found = Vec::new();
    while let Some((length, rest)) = bytes.split_first().filter(|(length, _)| **length > 0) {
        found.push(std::str::from_utf8(&rest[..usize::from(*length)]).unwrap());
        bytes = &rest[usize::from(*length)..];
    }
    found
}

/// Starts a name server that ends with the test's process; returns its address and the names it was asked for.
fn server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let stream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = stream.local_addr().unwrap();
    let datagram = UdpSocket::bind(address).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        let mut room = [0; 512];
        while let Ok((count, client)) = datagram.recv_from(&mut room) {
            log.lock().unwrap().push(labels(&room[12..count]).join("."));
            // A forged answer comes first and must be passed over.
            let mut forged = reply(&room[..count], true).unwrap_or_default();
            if let Some(id) = forged.first_mut() {
                *id ^= 0x55;
                datagram.send_to(&forged, client).unwrap();
            }
            if let Some(bytes) = reply(&room[..count], true) {
                datagram.send_to(&bytes, client).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for client in stream.incoming() {
            let mut client = client.unwrap();
            let mut length = [0; 2];
            client.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            client.read_exact(&mut question).unwrap();
            let bytes = reply(&question, false).unwrap();
            client.write_all(&(bytes.len() as u16).to_be_bytes()).unwrap();
            client.write_all(&bytes).unwrap();
        }
    });
    (address, asked)
}

#[track_caller]
fn check(host: &str, expect: Expect) {
    let (address, asked) = server();
    let mut config = Config::parse_resolv_conf("search corp.example\noptions ndots:2 attempts:1\n");
    config.servers = vec![address];
    config.timeout = Duration::from_millis(300);
    config.hosts.insert("written.down".to_owned(), vec![Ipv4Addr::new(192, 0, 2, 99).into()]);
    let resolver = Resolver::new(Source::Fixed(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(resolver.lookup(host));
    let mut asked = asked.lock().unwrap().clone();
    asked.dedup();
    let found = match outcome {
        Ok(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => format!("{error} (retryable: {})", error.retryable()),
    };
    expect.assert_eq(&format!("asked: {}\n{found}\n", asked.join(" ")));
}

#[test]
fn both_families_are_found() {
    check(
        "two.example.",
        expect![[r#"
        asked: two.example
        192.0.2.1 192.0.2.2 2001:db8::1
    "#]],
    );
    check(
        "four.example.",
        expect![[r#"
        asked: four.example
        192.0.2.4
    "#]],
    );
    check(
        "six.example.",
        expect![[r#"
        asked: six.example
        2001:db8::6
    "#]],
    );
}

#[test]
fn short_names_are_searched_for() {
    check(
        "short",
        expect![[r#"
        asked: short.corp.example
        192.0.2.7
    "#]],
    );
    check(
        "two.example",
        expect![[r#"
        asked: two.example.corp.example two.example
        192.0.2.1 192.0.2.2 2001:db8::1
    "#]],
    );
}

#[test]
fn some_names_need_no_server() {
    check(
        "192.0.2.55",
        expect![[r#"
        asked: 
        192.0.2.55
    "#]],
    );
    check(
        "[2001:db8::9]",
        expect![[r#"
        asked: 
        2001:db8::9
    "#]],
    );
    check(
        "localhost",
        expect![[r#"
        asked: 
        127.0.0.1 ::1
    "#]],
    );
    check(
        "app.localhost",
        expect![[r#"
        asked: 
        127.0.0.1 ::1
    "#]],
    );
    check(
        "Written.Down.",
        expect![[r#"
        asked: 
        192.0.2.99
    "#]],
    );
}

#[test]
fn a_long_answer_comes_by_tcp() {
    check(
        "big.example.",
        expect![[r#"
        asked: big.example
        192.0.2.8
    "#]],
    );
}

#[test]
fn what_is_missing_and_what_is_silent_differ() {
    check(
        "nope.example.",
        expect![[r#"
        asked: nope.example
        host `nope.example.` is unknown to the name server (127.0.0.1) (retryable: false)
    "#]],
    );
    check(
        "empty.example.",
        expect![[r#"
        asked: empty.example
        host `empty.example.` is unknown to the name server (127.0.0.1) (retryable: false)
    "#]],
    );
    check(
        "broken.example.",
        expect![[r#"
        asked: broken.example
        no name server answered for host `broken.example.` (127.0.0.1: error code 2) (retryable: true)
    "#]],
    );
    check(
        "silent.example.",
        expect![[r#"
        asked: silent.example
        no name server answered for host `silent.example.` (127.0.0.1: no answer within 0.3 s) (retryable: true)
    "#]],
    );
    check(
        "not a name",
        expect![[r#"
        asked: 
        `not a name` is not a host name (retryable: false)
    "#]],
    );
}

#[test]
fn resolv_conf_is_read_as_the_c_library_reads_it() {
    let text = "# c\nnameserver 192.0.2.1\nnameserver bad\nnameserver 2001:db8::2 ; x\nnameserver 192.0.2.3\n\
                nameserver 192.0.2.4\ndomain a.\nsearch b c.\noptions ndots:9 timeout:1 attempts:99 rotate\n";
    let config = Config::parse_resolv_conf(text);
    expect![[r#"
        Config {
            hosts: {},
            servers: [
                192.0.2.1:53,
                [2001:db8::2]:53,
                192.0.2.3:53,
            ],
            search: [
                "b",
                "c",
            ],
            dots: 9,
            timeout: 1s,
            attempts: 5,
        }
    "#]]
    .assert_debug_eq(&config);
    assert_eq!(Config::parse_resolv_conf("").servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[test]
fn files_are_read_at_each_lookup() {
    let folder = tempfile::tempdir().unwrap();
    let (hosts, resolv_conf) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
    let resolver = Resolver::new(Source::Files { hosts: hosts.clone(), resolv_conf });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for address in ["192.0.2.1", "192.0.2.2"] {
        std::fs::write(&hosts, format!("# x\n2001:db8::1 a b\n{address}\tB a # c\n")).unwrap();
        let found = runtime.block_on(resolver.lookup("a")).unwrap();
        assert_eq!(found, [address.parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    }
}

#[test]
fn answers_of_any_bytes_do_no_harm() {
    let question = message::question(7, "two.example", Kind::A);
    let good = reply(&question, true).unwrap();
    assert!(message::answer(&good, 7, "TWO.example", Kind::A).is_some());
    assert!(message::answer(&good, 8, "two.example", Kind::A).is_none());
    assert!(message::answer(&good, 7, "one.example", Kind::A).is_none());
    assert!(message::answer(&question, 7, "two.example", Kind::A).is_none());
    for at in 0..good.len() {
        message::answer(&good[..at], 7, "two.example", Kind::A);
        for value in [0, 12, 0x3f, 0x40, 0xc0, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            message::answer(&bytes, 7, "two.example", Kind::A);
        }
    }
}

#[test]
fn an_error_is_kept_by_kind() {
    let unknown = LookupError::Unknown { host: "x".to_owned(), servers: "192.0.2.1".to_owned() };
    assert!(!unknown.retryable());
}
