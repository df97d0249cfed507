//! Where engines are: what people set, and where they usually listen.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ireko_oci::Digest;
use serde::Deserialize;

use crate::ssh::{Far, Ssh};

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Socket(PathBuf),
    /// A host with its port.
    Tcp {
        /// The host.
        host: String,
        /// A directory with `ca.pem`, `cert.pem` and `key.pem`, where it speaks TLS.
        certificates: Option<PathBuf>,
    },
    /// A machine that `ssh` reaches.
    Ssh(Ssh),
}

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no address of an engine.
    #[error("`{text}`, from {from}, is no address of an engine: {problem}")]
    Text {
        /// The address.
        text: String,
        /// What said it.
        from: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The context that was asked for is not there.
    #[error("the {what} `{name}`, from {from}, cannot be used: {problem}")]
    Context {
        /// A Docker context, or a connection of Podman.
        what: &'static str,
        /// Its name.
        name: String,
        /// What said it.
        from: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What the address of an engine depends on.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// Docker's directory of configuration: `DOCKER_CONFIG`, or `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// `DOCKER_CERT_PATH`.
    pub docker_cert_path: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` or `DOCKER_TLS` is set.
    pub docker_tls: bool,
    /// `CONTAINER_HOST`.
    pub container_host: Option<String>,
    /// `CONTAINER_SSHKEY`.
    pub container_sshkey: Option<String>,
    /// `CONTAINER_CONNECTION`.
    pub container_connection: Option<String>,
    /// Files that name connections of Podman, the most important first: `podman-connections.json`, `containers.conf`.
    pub connection_files: Vec<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    #[serde(default)]
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
}

/// `podman-connections.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Connections {
    #[serde(default)]
    connection: NamedConnections,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedConnections {
    #[serde(default)]
    connections: BTreeMap<String, Destination>,
}

/// `containers.conf`, where older versions keep them.
#[derive(Default, Deserialize)]
struct ContainersConf {
    #[serde(default)]
    engine: EngineTable,
}

#[derive(Default, Deserialize)]
struct EngineTable {
    #[serde(default)]
    service_destinations: BTreeMap<String, Destination>,
}

#[derive(Deserialize)]
struct Destination {
    #[serde(alias = "URI")]
    uri: String,
    #[serde(default, alias = "Identity")]
    identity: String,
}

impl Address {
    /// Reads an address as `DOCKER_HOST` has it.
    ///
    /// # Errors
    /// It is of a kind that is not known.
    pub fn parse(text: &str, from: &str, around: &Surroundings) -> Result<Self, AddressError> {
        Self::read(text, from, around, (Far::Docker, None))
    }

    /// The same, with whose program is asked behind ssh, and by which key.
    fn read(
        text: &str,
        from: &str,
        around: &Surroundings,
        (far, key): (Far, Option<String>),
    ) -> Result<Self, AddressError> {
        let wrong =
            |problem| AddressError::Text { text: without_password(text), from: from.to_owned(), problem };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no `://`"))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Socket(PathBuf::from(rest))),
            "unix" => Err(wrong("the path of a socket begins with a slash")),
            "tcp" | "http" | "https" => {
                let host = rest.trim_end_matches('/');
                if host.is_empty() || host.contains('/') {
                    return Err(wrong("it is not of the form tcp://host:port"));
                }
                let is_tls = around.docker_tls || scheme == "https";
                let port = if is_tls { 2376 } else { 2375 };
                let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
                let dir = around.docker_cert_path.clone().or_else(|| around.docker_config.clone());
                Ok(Self::Tcp { host, certificates: dir.filter(|_| is_tls) })
            }
            "ssh" => Ssh::parse(rest, far, key).map(Self::Ssh).map_err(wrong),
            _ => Err(wrong("only unix://, tcp:// and ssh:// are known")),
        }
    }
}

/// An address that can be shown, whether or not it is well-formed: a password may hold any letter.
pub(crate) fn without_password(text: &str) -> String {
    let is_scheme = |word: &str| word.chars().all(|letter| letter.is_ascii_alphanumeric());
    let start = match text.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => scheme.len() + "://".len(),
        _ => 0,
    };
    let colon = text[start..].find(':').map(|at| start + at);
    match (colon, text.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => format!("{}:xxxxx{}", &text[..colon], &text[at..]),
        _ => text.to_owned(),
    }
}

/// The address that a Docker context names, where one is in use: by `DOCKER_CONTEXT`, or by `docker context use`.
///
/// # Errors
/// The context is not there or has no address that can be used.
pub fn context_of(around: &Surroundings) -> Result<Option<(Address, String)>, AddressError> {
    let Some(config) = &around.docker_config else { return Ok(None) };
    let (name, from) = match &around.docker_context {
        Some(name) => (name.clone(), "DOCKER_CONTEXT or `--context`".to_owned()),
        None => {
            let file = config.join("config.json");
            let text = fs::read(&file).unwrap_or_default();
            // A file that is broken is told where logins are looked for.
            let parsed: Config = serde_json::from_slice(&text).unwrap_or_default();
            match parsed.current_context.filter(|name| !name.is_empty()) {
                Some(name) => (name, file.display().to_string()),
                None => return Ok(None),
            }
        }
    };
    if name == "default" {
        return Ok(None);
    }
    let id = Digest::of(name.as_bytes()).to_string();
    let id = id.trim_start_matches("sha256:");
    let wrong = |problem: String| AddressError::Context {
        what: "Docker context",
        name: name.clone(),
        from: from.clone(),
        problem,
    };
    let file = config.join("contexts/meta").join(id).join("meta.json");
    let text = fs::read(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => wrong("there is none of this name".to_owned()),
        _ => wrong(error.to_string()),
    })?;
    let meta: Meta = serde_json::from_slice(&text).map_err(|error| {
        wrong(format!("`{}` is not of the form that Docker writes: {error}", file.display()))
    })?;
    let host = meta.endpoints.docker.map(|endpoint| endpoint.host).unwrap_or_default();
    if host.is_empty() {
        return Ok(None);
    }
    let tls = config.join("contexts/tls").join(id).join("docker");
    let around = Surroundings {
        docker_tls: tls.is_dir(),
        docker_cert_path: Some(tls).filter(|dir| dir.is_dir()),
        ..around.clone()
    };
    let address = Address::parse(&host, &format!("the Docker context `{name}`"), &around)?;
    Ok(Some((address, format!("the Docker context `{name}`"))))
}

/// The one engine that somebody named: by a variable or a Docker context.
///
/// # Errors
/// What was said cannot be used.
pub fn named(around: &Surroundings) -> Result<Option<Address>, AddressError> {
    if let Some(text) = &around.docker_host {
        return Address::parse(text, "DOCKER_HOST", around).map(Some);
    }
    if let Some((address, _)) = context_of(around)? {
        return Ok(Some(address));
    }
    if around.docker_context.is_some() {
        // Docker's own, which is found where it usually is.
        return Ok(None);
    }
    if let Some(text) = &around.container_host {
        let far = (Far::Podman, around.container_sshkey.clone());
        return Address::read(text, "CONTAINER_HOST", around, far).map(Some);
    }
    around.container_connection.as_deref().map(|name| connection(name, around)).transpose()
}

/// The address that a connection of Podman has.
fn connection(name: &str, around: &Surroundings) -> Result<Address, AddressError> {
    let wrong = |problem: String| AddressError::Context {
        what: "connection of Podman",
        name: name.to_owned(),
        from: "CONTAINER_CONNECTION".to_owned(),
        problem,
    };
    for file in &around.connection_files {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text.map_err(|error| wrong(format!("cannot read `{}`: {error}", file.display())))?,
        };
        let read = match file.extension().is_some_and(|end| end == "json") {
            true => serde_json::from_str(&text)
                .map(|file: Connections| file.connection.connections)
                .map_err(|error| error.to_string()),
            false => toml::from_str(&text)
                .map(|file: ContainersConf| file.engine.service_destinations)
                .map_err(|error| error.message().to_owned()),
        };
        let mut found =
            read.map_err(|error| wrong(format!("`{}` is not as Podman writes it: {error}", file.display())))?;
        if let Some(Destination { uri, identity }) = found.remove(name) {
            let key =
                Some(identity).filter(|key| !key.is_empty()).or_else(|| around.container_sshkey.clone());
            return Address::read(
                &uri,
                &format!("the connection of Podman `{name}`"),
                around,
                (Far::Podman, key),
            );
        }
    }
    Err(wrong("there is none of this name: `podman system connection list`".to_owned()))
}

/// Where an engine usually is, the most likely first: sockets that are there.
pub fn usual(around: &Surroundings) -> Vec<Address> {
    let run = around.runtime_dir.as_deref();
    let below = |dir: Option<&Path>, name: &str| dir.map(|dir| dir.join(name));
    let places = [
        Some(PathBuf::from("/var/run/docker.sock")),
        below(run, "docker.sock"),
        below(around.docker_config.as_deref(), "run/docker.sock"),
        below(run, "podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    places.into_iter().flatten().filter(|path| path.exists()).map(Address::Socket).collect()
}
