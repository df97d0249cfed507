//! How registries are reached: mirrors, other places for a name, hosts without proper TLS.

use ireko_http::HostList;
use ireko_oci::Reference;
use serde::Deserialize;

use crate::error::RegistryError;

/// Docker's name for its own registry, and the host that serves it.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// What is known of registries beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    rules: Vec<Rule>,
    insecure: HostList,
}

/// What holds for names that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// A host with or without a path; or `*.` and the end of a host.
    prefix: String,
    /// What stands in the prefix's place.
    location: Option<String>,
    blocked: bool,
    mirrors: Vec<Mirror>,
    /// The file that says so.
    file: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    location: String,
    /// Which references it is asked for.
    serves: Serves,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Serves {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

/// A file that cannot be read as what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use `{file}`: {problem}")]
pub struct HostsError {
    /// The file.
    pub file: String,
    /// What is wrong with it, with line and column where these are known.
    pub problem: String,
}

#[derive(Deserialize)]
struct RegistriesConf {
    #[serde(default)]
    registry: Vec<ConfRegistry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ConfRegistry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<ConfMirror>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ConfMirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: Serves,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DaemonJson {
    #[serde(default)]
    registry_mirrors: Vec<String>,
    #[serde(default)]
    insecure_registries: Vec<String>,
}

impl Hosts {
    /// A host that is spoken to over TLS with any certificate, or else in plain HTTP: `host` on its usual port,
    /// `host:port`, `*.domain`, or addresses as in `10.0.0.0/8`. This machine always is spoken to in plain HTTP, save
    /// on port 443.
    pub fn insecure(&mut self, host: &str) {
        self.insecure.add(host);
    }

    /// The hosts listed as insecure.
    pub fn insecure_hosts(&self) -> &HostList {
        &self.insecure
    }

    /// Another place that is asked first for what is in a registry: `docker.io` and `mirror.example:5000/hub`. A mirror
    /// with `http://` is insecure.
    pub fn mirror(&mut self, of: &str, place: &str, file: &str) {
        let location = self.place(place);
        let mirror = Mirror { location, serves: Serves::All };
        match self.rules.iter_mut().find(|rule| rule.prefix == of) {
            Some(rule) => rule.mirrors.push(mirror),
            None => self.rules.push(Rule {
                prefix: of.to_owned(),
                location: None,
                blocked: false,
                mirrors: vec![mirror],
                file: file.to_owned(),
            }),
        }
    }

    /// A place without its scheme.
    fn place(&mut self, text: &str) -> String {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let rest = rest.trim_end_matches('/');
        if scheme == "http" {
            let host = host_of(rest).to_owned();
            self.insecure(&host);
        }
        rest.to_owned()
    }

    /// Adds what a `registries.conf` of version 2 says (containers-registries.conf(5)): prefixes, locations, mirrors,
    /// what is insecure or blocked. Search lists and aliases are left alone: names without a host are Docker's.
    ///
    /// # Errors
    /// It is no TOML, or of another shape.
    pub fn add_registries_conf(&mut self, file: &str, text: &str) -> Result<(), HostsError> {
        let wrong = |problem: String| HostsError { file: file.to_owned(), problem };
        let conf: RegistriesConf =
            toml::from_str(text).map_err(|error| wrong(place_in(text, error.span(), error.message())))?;
        for entry in conf.registry {
            let Some(prefix) = entry.prefix.clone().or(entry.location.clone()) else {
                return Err(wrong("a [[registry]] has neither prefix nor location".to_owned()));
            };
            if entry.insecure {
                self.insecure(host_of(entry.location.as_deref().unwrap_or(&prefix)));
            }
            let mut mirrors = Vec::new();
            for mirror in &entry.mirror {
                let location = self.place(&mirror.location);
                if mirror.insecure {
                    self.insecure(host_of(&location));
                }
                let serves = match (entry.mirror_by_digest_only, mirror.pull_from_mirror) {
                    (true, _) => Serves::DigestOnly,
                    (false, serves) => serves,
                };
                mirrors.push(Mirror { location, serves });
            }
            let location = entry.location.filter(|location| *location != prefix);
            // A later file's word on a prefix stands in place of an earlier one's.
            self.rules.retain(|rule| rule.prefix != prefix);
            let (blocked, file) = (entry.blocked, file.to_owned());
            self.rules.push(Rule { prefix, location, blocked, mirrors, file });
        }
        Ok(())
    }

    /// Adds what a `daemon.json` of the Docker engine says: `registry-mirrors` and `insecure-registries`.
    ///
    /// # Errors
    /// It is no JSON, or of another shape.
    pub fn add_daemon_json(&mut self, file: &str, text: &str) -> Result<(), HostsError> {
        let conf: DaemonJson = serde_json::from_str(text)
            .map_err(|error| HostsError { file: file.to_owned(), problem: error.to_string() })?;
        for host in &conf.insecure_registries {
            self.insecure(host);
        }
        for mirror in &conf.registry_mirrors {
            self.mirror(DOCKER_HUB, mirror, file);
        }
        Ok(())
    }

    /// Whether a host, with its port where one is given, is listed as insecure.
    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        self.insecure.contains(host)
    }

    /// Where a reference is asked for, mirrors first, the place itself last.
    ///
    /// # Errors
    /// A file blocks it, or moves it to what is no name.
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Reference>, RegistryError> {
        let name = reference.name();
        let Some((rule, length)) = self.rule(&name) else { return Ok(vec![reference.clone()]) };
        if rule.blocked {
            let (reference, file) = (reference.familiar(), rule.file.clone());
            return Err(RegistryError::Blocked { reference, file });
        }
        let rest = &name[length..];
        let moved = |location: &str| {
            let name: Reference = format!("{location}{rest}").parse().map_err(|_| {
                let (reference, file) = (reference.familiar(), rule.file.clone());
                RegistryError::Place { reference, place: format!("{location}{rest}"), file }
            })?;
            let name = match reference.tag() {
                Some(tag) => name.with_tag(tag).unwrap_or(name),
                None => name,
            };
            Ok(match reference.digest() {
                Some(digest) => name.with_digest(digest),
                None => name,
            })
        };
        let serves = |mirror: &&Mirror| match mirror.serves {
            Serves::All => true,
            Serves::DigestOnly => reference.digest().is_some(),
            Serves::TagOnly => reference.digest().is_none(),
        };
        let mirrors = rule.mirrors.iter().filter(serves).map(|mirror| moved(&mirror.location));
        let own = match &rule.location {
            Some(location) => moved(location),
            None => Ok(reference.clone()),
        };
        mirrors.chain([own]).collect()
    }

    /// Where a reference is pushed to.
    pub(crate) fn destination(&self, reference: &Reference) -> Result<Reference, RegistryError> {
        let mut all = self.endpoints(reference)?;
        Ok(all.pop().unwrap_or_else(|| reference.clone()))
    }

    /// The rule with the longest prefix that a name begins with, and how much of the name that is.
    fn rule(&self, name: &str) -> Option<(&Rule, usize)> {
        let fits = |rule: &Rule| match rule.prefix.strip_prefix('*') {
            Some(end) => host_of(name).strip_suffix(end).map(|_| host_of(name).len()),
            None => name.strip_prefix(rule.prefix.as_str()).and_then(|rest| {
                (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(rule.prefix.len())
            }),
        };
        let found = self.rules.iter().filter_map(|rule| Some((rule, fits(rule)?)));
        found.max_by_key(|(rule, length)| (*length, !rule.prefix.starts_with('*')))
    }
}

/// Line and column of a mistake, and what it is.
fn place_in(text: &str, span: Option<std::ops::Range<usize>>, message: &str) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else { return message.to_owned() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {message}")
}

/// The host of a name or place.
fn host_of(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

/// The host that serves a registry.
pub(crate) fn serving(domain: &str) -> &str {
    match domain {
        DOCKER_HUB => DOCKER_HUB_HOST,
        other => other,
    }
}

#[cfg(test)]
mod tests;
