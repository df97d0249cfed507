//! Lists of hosts.

use std::net::IpAddr;

use super::split_port;

/// Hosts that are spoken to in another way, such as those without proper certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostList(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// One host, in lower case, and its port.
    Host(String, Option<u16>),
    /// All that ends so, with the dot, and the port where one is given.
    Below(String, Option<u16>),
    /// Addresses whose first bits are these.
    Net(IpAddr, u32),
}

impl HostList {
    /// Adds a host: `host`, which is the one on its usual port, `host:port`, `*.domain` for all below a domain, or
    /// addresses as in `10.0.0.0/8`. A scheme, and a path, are left out.
    pub fn add(&mut self, text: &str) {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let entry = net(text).unwrap_or_else(|| {
            let (host, port) = place(text.split('/').next().unwrap_or_default());
            match host.strip_prefix('*') {
                Some(end) if end.starts_with('.') => Entry::Below(end.to_owned(), port),
                _ => Entry::Host(host, port),
            }
        });
        let is_empty = matches!(&entry, Entry::Host(host, _) if host.is_empty());
        if !is_empty && !self.0.contains(&entry) {
            self.0.push(entry);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a host, with its port where one is given, is among them. What is named without a port is not meant with
    /// any other than those of the schemes. Only an address as it is written is looked for in a range: what a name
    /// means is for others to say.
    pub fn contains(&self, host: &str) -> bool {
        let (name, port) = place(host);
        let is_usual = matches!(port, None | Some(80 | 443));
        self.0.iter().any(|entry| match entry {
            Entry::Host(listed, None) => *listed == name && is_usual,
            Entry::Host(listed, Some(number)) => *listed == name && *number == port.unwrap_or(443),
            Entry::Below(end, number) => {
                name.ends_with(end.as_str()) && number.is_none_or(|number| number == port.unwrap_or(443))
            }
            Entry::Net(net, bits) => {
                let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
                address.is_ok_and(|address| is_in(address, *net, *bits))
            }
        })
    }
}

impl<T: AsRef<str>> FromIterator<T> for HostList {
    fn from_iter<I: IntoIterator<Item = T>>(hosts: I) -> Self {
        let mut list = Self::default();
        hosts.into_iter().for_each(|host| list.add(host.as_ref()));
        list
    }
}

/// A host's name in lower case, and its port.
fn place(host: &str) -> (String, Option<u16>) {
    let (name, port) = split_port(host);
    (name.to_ascii_lowercase(), port.and_then(|port| port.parse().ok()))
}

fn net(text: &str) -> Option<Entry> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits) = (address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?, bits.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some(Entry::Net(address, bits))
}

/// Whether the first bits of two addresses of one kind are the same.
fn is_in(address: IpAddr, net: IpAddr, bits: u32) -> bool {
    match (address, net) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros() >= bits,
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros() >= bits,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listed: &str, hosts: &[&str], others: &[&str]) {
        let list: HostList = [listed].into_iter().collect();
        for host in hosts {
            assert!(list.contains(host), "{listed}: {host}");
        }
        for host in others {
            assert!(!list.contains(host), "{listed}: {host}");
        }
    }

    #[test]
    fn host_and_port_are_those_named() {
        check("reg.io", &["reg.io", "REG.io", "reg.io:443", "reg.io:80"], &["reg.io:5000", "a.reg.io", ""]);
        check("reg.io:5000", &["reg.io:5000"], &["reg.io", "reg.io:5001"]);
        check("reg.io:443", &["reg.io", "reg.io:443"], &["reg.io:80"]);
        check("http://Reg.io:5000/v2/", &["reg.io:5000"], &["reg.io"]);
        check("reg.io/team", &["reg.io"], &["reg.io:5000"]);
        check("[::1]:5000", &["[::1]:5000"], &["[::1]"]);
        check("", &[], &["", "a"]);
    }

    #[test]
    fn many_may_be_meant() {
        check("*.corp", &["a.corp", "a.b.corp:5000"], &["corp", "acorp", "a.corp.io"]);
        check("*.corp:5000", &["a.corp:5000"], &["a.corp", "a.corp:443"]);
        check("10.0.0.0/8", &["10.1.2.3", "10.1.2.3:5000"], &["11.0.0.1", "10.reg.io", "[::1]"]);
        check("0.0.0.0/0", &["1.2.3.4:80"], &["[::1]:80"]);
        check("fd00::/8", &["[fd12::1]:5000"], &["[fe80::1]:5000", "10.0.0.1"]);
        check("10.0.0.0/33", &["10.0.0.0"], &["10.0.0.1"]);
    }
}
