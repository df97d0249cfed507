//! Port specs of EXPOSE: `80`, `80-82/udp`; and with an address or a host port, which mean nothing
//! in an image but are read.

use std::net::IpAddr;

/// A port and its protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// Reads one spec, variables expanded; a range gives several ports.
pub fn parse(spec: &str) -> Result<Vec<Port>, String> {
    ports(spec).map_err(|reason| format!("invalid port: {spec:?}: {reason}"))
}

fn ports(spec: &str) -> Result<Vec<Port>, String> {
    let parts: Vec<&str> = spec.split(':').collect();
    let (address, host, container) = match parts.as_slice() {
        [container] => (String::new(), "", *container),
        [host, container] => (String::new(), *host, *container),
        [address @ .., host, container] => (address.join(":"), *host, *container),
        [] => return Err("no port specified".to_owned()),
    };
    let (container, protocol) = match container.split_once('/') {
        _ if container.is_empty() => (container, "tcp".to_owned()),
        Some((port, "")) => (port, "tcp".to_owned()),
        Some((port, protocol)) => (port, protocol.to_lowercase()),
        None => (container, "tcp".to_owned()),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let bare = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(&address);
    if !address.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    if container.is_empty() {
        return Err("no port specified".to_owned());
    }
    let (start, end) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    if !host.is_empty() {
        let (host_start, host_end) = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
        if end != start && end - start != host_end - host_start {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            ));
        }
    }
    Ok((start..=end).map(|port| Port { port, protocol: protocol.clone() }).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((start, end)) => Some((number(start)?, number(end)?)).filter(|(start, end)| start <= end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: &str, expected: &str) {
        let shown = match parse(spec) {
            Ok(ports) => ports.iter().map(Port::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error,
        };
        assert_eq!(shown, expected, "{spec}");
    }

    #[test]
    fn specs_are_read() {
        check("80", "80/tcp");
        check("80-82/UDP", "80/udp 81/udp 82/udp");
        check("[::1]:8080:80", "80/tcp");
        check("80/foo", "invalid port: \"80/foo\": invalid proto: foo");
        check("a", "invalid port: \"a\": invalid containerPort: a");
        check("70000", "invalid port: \"70000\": invalid containerPort: 70000");
        check("9-8", "invalid port: \"9-8\": invalid containerPort: 9-8");
        check(
            "1:2-3",
            "invalid port: \"1:2-3\": invalid ranges specified for container and host Ports: 2-3 and 1",
        );
        check("x:1:2", "invalid port: \"x:1:2\": invalid IP address: x");
    }
}
