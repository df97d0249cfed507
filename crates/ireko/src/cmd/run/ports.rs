//! `-p`: listens outside, and connects from inside the container's own network namespace.

use crate::failure::Failure;
use ireko_report::Blame;
use ireko_sys::net::NetNs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// A port to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published {
    outside: SocketAddr,
    inside: u16,
}

/// A published port that is listened to.
pub(super) struct Listening {
    listener: TcpListener,
    inside: u16,
}

impl Published {
    /// Reads `[address:]outside:inside[/tcp]` or `inside`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::user(format!("`-p {text}` is not of the form [address:]outside:inside"))
                .hint("ports look like 8080:80 or 127.0.0.1:8080:80")
        };
        let ports = match text.rsplit_once('/') {
            Some((ports, "tcp")) => ports,
            Some((_, protocol)) => {
                return Err(Failure::not_yet(format!("protocol `{protocol}` in `-p {text}`")));
            }
            None => text,
        };
        if ports.contains('-') {
            return Err(Failure::not_yet(format!("a range of ports in `-p {text}`")));
        }
        let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let Some((before, inside)) = ports.rsplit_once(':') else {
            return Ok(Self {
                outside: SocketAddr::new(any, 0),
                inside: nonzero(port(ports)?).ok_or_else(wrong)?,
            });
        };
        let (address, outside) = match before.rsplit_once(':') {
            Some((address, outside)) => {
                (address.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| wrong())?, outside)
            }
            None => (any, before),
        };
        let outside = if outside.is_empty() { 0 } else { port(outside)? };
        Ok(Self {
            outside: SocketAddr::new(address, outside),
            inside: nonzero(port(inside)?).ok_or_else(wrong)?,
        })
    }

    /// Takes the outside port, before the container starts.
    pub(super) fn listen(&self) -> Result<Listening, Failure> {
        let listener = TcpListener::bind(self.outside).map_err(|error| {
            let failure = Failure::environment(format!("cannot listen on {}", self.outside)).cause(&error);
            match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    failure.hint("another program has this port: choose another, as in -p 8081:80")
                }
                std::io::ErrorKind::PermissionDenied => {
                    failure.hint("ports below 1024 are for root: choose a higher one")
                }
                _ => failure,
            }
        })?;
        if self.outside.port() == 0
            && let Ok(address) = listener.local_addr()
        {
            let _ = writeln!(std::io::stderr(), "port {} is published at {address}", self.inside);
        }
        Ok(Listening { listener, inside: self.inside })
    }
}

fn nonzero(port: u16) -> Option<u16> {
    (port != 0).then_some(port)
}

/// Forwards connections until the process ends.
pub(super) fn forward(listeners: Vec<Listening>, pid: u32) -> Result<(), Failure> {
    if listeners.is_empty() {
        return Ok(());
    }
    let inside = match NetNs::of(pid) {
        Ok(inside) => inside,
        // The program has ended already: nobody is left to connect to, and its exit code is the answer.
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(Failure::of(Blame::Environment, &error)),
    };
    let inside = Arc::new(inside);
    for Listening { listener, inside: port } in listeners {
        let inside = Arc::clone(&inside);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let inside = Arc::clone(&inside);
                std::thread::spawn(move || serve(connection, &inside, port));
            }
        });
    }
    Ok(())
}

/// One connection. When nothing listens inside, it is closed, as a refused one would be.
fn serve(outside: TcpStream, inside: &NetNs, port: u16) {
    let Ok(Ok(inside)) = inside.connect(port) else { return };
    let (Ok(outside_reader), Ok(inside_reader)) = (outside.try_clone(), inside.try_clone()) else { return };
    let back = std::thread::spawn(move || pipe(inside_reader, outside));
    pipe(outside_reader, inside);
    let _ = back.join();
}

/// Copies one direction to its end, then says so to the other side.
fn pipe(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        for (text, expect) in [
            ("8080:80", Some(("0.0.0.0:8080", 80))),
            ("127.0.0.1:8080:80", Some(("127.0.0.1:8080", 80))),
            ("[::1]:8080:80", Some(("[::1]:8080", 80))),
            ("127.0.0.1::80", Some(("127.0.0.1:0", 80))),
            ("80", Some(("0.0.0.0:0", 80))),
            ("8080:80/tcp", Some(("0.0.0.0:8080", 80))),
            ("8080:80/udp", None),
            ("8080:0", None),
            ("x:80", None),
            ("8000-8010:80", None),
            ("", None),
        ] {
            let got = Published::parse(text).ok().map(|port| (port.outside.to_string(), port.inside));
            assert_eq!(got, expect.map(|(outside, inside)| (outside.to_owned(), inside)), "{text}");
        }
    }
}
