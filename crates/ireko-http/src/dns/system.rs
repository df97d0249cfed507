//! What this machine says about name resolution: `/etc/hosts` and `/etc/resolv.conf`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// The C library uses no more servers than this.
const SERVERS_MAX: usize = 3;

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names that need no server.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Who is asked, in order.
    pub servers: Vec<SocketAddr>,
    /// What is appended to short names.
    pub search: Vec<String>,
    /// A name with this many dots is tried as it is first.
    pub dots: usize,
    /// How long one server may take.
    pub timeout: Duration,
    /// How often the list of servers is gone through.
    pub attempts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        }
    }
}

impl Config {
    /// Reads both files; one that cannot be read counts as empty, as in the C library.
    pub(super) fn read(hosts: &Path, resolv_conf: &Path) -> Self {
        let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        let mut config = Self::parse_resolv_conf(&text(resolv_conf));
        config.hosts = parse_hosts(&text(hosts));
        config
    }

    /// Reads the text of a `resolv.conf`.
    pub fn parse_resolv_conf(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse().ok());
                    config.servers.extend(address.map(|address: IpAddr| SocketAddr::new(address, 53)));
                }
                Some("search") => config.search = words.map(clean).collect(),
                Some("domain") => config.search = words.take(1).map(clean).collect(),
                Some("options") => words.for_each(|word| config.option(word)),
                _ => {}
            }
        }
        config.search.retain(|suffix| !suffix.is_empty());
        config.servers.truncate(SERVERS_MAX);
        if config.servers.is_empty() {
            config.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        config
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u8>() else { return };
        match name {
            "ndots" => self.dots = usize::from(value.min(15)),
            "timeout" => self.timeout = Duration::from_secs(u64::from(value.clamp(1, 30))),
            "attempts" => self.attempts = usize::from(value.clamp(1, 5)),
            _ => {}
        }
    }

    /// The full names to ask for, in order.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        let bare = clean(host);
        if host.ends_with('.') {
            return vec![bare];
        }
        let mut names: Vec<String> = self.search.iter().map(|suffix| format!("{bare}.{suffix}")).collect();
        let place = if bare.matches('.').count() >= self.dots { 0 } else { names.len() };
        names.insert(place, bare);
        names
    }
}

fn clean(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn parse_hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            let known = hosts.entry(clean(name)).or_default();
            if !known.contains(&address) {
                known.push(address);
            }
        }
    }
    for addresses in hosts.values_mut() {
        addresses.sort_by_key(IpAddr::is_ipv6);
    }
    hosts
}
