//! Host names to addresses, without the C library.
//!
//! In a static program the C library's look-up loads plug-ins of the machine it runs on, and crashes or fails
//! where they do not fit. This one reads `/etc/hosts` and `/etc/resolv.conf` itself and asks the name servers
//! for A and AAAA records.

mod message;
mod system;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use message::{Answer, Kind};
pub use system::Config;

/// Once addresses of one family are known, how long to wait for the other: some name servers answer only one
/// of two questions asked at the same time.
const SECOND_FAMILY: Duration = Duration::from_millis(500);

/// Where names are looked up.
#[derive(Clone, Debug)]
pub enum Source {
    /// These two files, read again for each look-up.
    Files {
        /// Usually `/etc/hosts`.
        hosts: PathBuf,
        /// Usually `/etc/resolv.conf`.
        resolv_conf: PathBuf,
    },
    /// What is written here.
    Fixed(Config),
}

impl Default for Source {
    fn default() -> Self {
        Self::Files { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into() }
    }
}

/// Why a host name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// It can be no host name at all.
    #[error("`{host}` is not a host name")]
    Malformed {
        /// The name.
        host: String,
    },
    /// The name servers say there is no such name, or that it has no address.
    #[error("host `{host}` is unknown to the name server ({servers})")]
    Unknown {
        /// The name.
        host: String,
        /// Who was asked.
        servers: String,
    },
    /// No name server gave a usable answer.
    #[error("no name server answered for host `{host}` ({servers}: {problem})")]
    Silent {
        /// The name.
        host: String,
        /// Who was asked.
        servers: String,
        /// What the last one did.
        problem: String,
    },
}

impl LookupError {
    /// Whether the same question may be answered later.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }
}

/// Looks up host names.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    source: Source,
}

enum Reply {
    Found(Vec<IpAddr>),
    /// No such name, or no addresses under it.
    Nothing,
    /// This server cannot say; another may.
    Refused(String),
    TimedOut,
}

impl Resolver {
    /// A resolver that uses this source.
    pub fn new(source: Source) -> Self {
        Self { source }
    }

    /// The addresses of a host, best first: version 4 before version 6, since many build machines have no route
    /// for the latter.
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let config = match &self.source {
            Source::Files { hosts, resolv_conf } => Config::read(hosts, resolv_conf),
            Source::Fixed(config) => config.clone(),
        };
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(addresses) = config.hosts.get(&name) {
            return Ok(addresses.clone());
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        if !message::is_name(&name) {
            return Err(LookupError::Malformed { host: host.to_owned() });
        }
        let mut silent = None;
        for candidate in config.candidates(host) {
            match ask_all(&config, &candidate).await {
                Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
                Ok(_) => {}
                Err(problem) => silent = Some(problem),
            }
        }
        let servers =
            config.servers.iter().map(|server| server.ip().to_string()).collect::<Vec<_>>().join(", ");
        Err(match silent {
            Some(problem) => LookupError::Silent { host: host.to_owned(), servers, problem },
            None => LookupError::Unknown { host: host.to_owned(), servers },
        })
    }
}

/// Asks one server after the other until one knows; an empty answer means there is nothing under that name.
async fn ask_all(config: &Config, name: &str) -> Result<Vec<IpAddr>, String> {
    let mut problem = "no name server is configured".to_owned();
    for _ in 0..config.attempts {
        for server in &config.servers {
            let reply = ask(*server, name, config.timeout).await;
            match reply.unwrap_or_else(|cause| Reply::Refused(cause.to_string())) {
                Reply::Found(addresses) => return Ok(addresses),
                Reply::Nothing => return Ok(Vec::new()),
                Reply::Refused(why) => problem = why,
                Reply::TimedOut => problem = format!("no answer within {} s", config.timeout.as_secs_f32()),
            }
        }
    }
    Err(problem)
}

/// Asks one server for both families at the same time.
async fn ask(server: SocketAddr, name: &str, patience: Duration) -> std::io::Result<Reply> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    let first = random_id();
    let questions = [(first, Kind::A), (first.wrapping_add(1), Kind::Aaaa)];
    for (id, kind) in questions {
        socket.send(&message::question(id, name, kind)).await?;
    }
    let mut deadline = Instant::now() + patience;
    let mut answers: [Option<Answer>; 2] = [None, None];
    let mut room = [0; 4096];
    while answers.iter().any(Option::is_none) {
        let Ok(received) = timeout_at(deadline, socket.recv(&mut room)).await else { break };
        let bytes = &room[..received?];
        for (slot, (id, kind)) in answers.iter_mut().zip(questions) {
            let Some(mut answer) = message::answer(bytes, id, name, kind) else { continue };
            if answer.truncated {
                let asked = timeout(patience, ask_by_tcp(server, id, name, kind)).await;
                answer = asked.unwrap_or_else(|late| Err(late.into()))?;
            }
            if !answer.addresses.is_empty() {
                deadline = deadline.min(Instant::now() + SECOND_FAMILY);
            }
            *slot = Some(answer);
        }
    }
    Ok(merge(&answers))
}

fn merge(answers: &[Option<Answer>; 2]) -> Reply {
    let given = || answers.iter().flatten();
    let addresses: Vec<IpAddr> = given().flat_map(|answer| answer.addresses.iter().copied()).collect();
    if !addresses.is_empty() {
        return Reply::Found(addresses);
    }
    if let Some(answer) = given().find(|answer| !matches!(answer.code, message::NO_ERROR | message::NO_NAME))
    {
        return Reply::Refused(format!("error code {}", answer.code));
    }
    if given().any(|answer| answer.code == message::NO_NAME) || given().count() == answers.len() {
        return Reply::Nothing;
    }
    Reply::TimedOut
}

async fn ask_by_tcp(server: SocketAddr, id: u16, name: &str, kind: Kind) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let question = message::question(id, name, kind);
    let length = u16::try_from(question.len()).expect("a question is shorter than 300 bytes");
    stream.write_all(&[&length.to_be_bytes(), question.as_slice()].concat()).await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    message::answer(&bytes, id, name, kind).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer does not fit the question")
    })
}

/// A number that an outsider cannot guess: the standard library seeds its hashers from the system.
fn random_id() -> u16 {
    (RandomState::new().build_hasher().finish() >> 16) as u16
}

#[cfg(test)]
mod tests;
