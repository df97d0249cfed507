//! What can go wrong before an answer is whole.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ireko_report::Blame;

use crate::dns::LookupError;

/// What kept a connection from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name server says there is no such host.
    NoSuchHost,
    /// No name server answered.
    NameServer,
    /// Nobody listens there.
    Refused,
    /// The server speaks HTTP where TLS was begun.
    PlainHttp,
    /// The certificate's time is over, or has not come.
    Expired,
    /// The certificate or another part of TLS is wrong.
    Tls,
    /// The proxy is wrong.
    Proxy,
    /// Anything else, such as no route.
    Network,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be used.
    #[error("cannot use URL `{url}`: {problem}")]
    Url {
        /// The address, without credentials and query.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of certificates cannot be used.
    #[error("cannot use certificate file `{path}`: {problem}", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The thread for connections cannot be started.
    #[error("cannot start the thread for network connections")]
    Start {
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// No connection could be made.
    #[error("cannot connect to `{host}`: {problem}")]
    Connect {
        /// Where to.
        host: String,
        /// Of what kind the trouble is.
        trouble: Trouble,
        /// What happened.
        problem: String,
    },
    /// A server took too long.
    #[error("`{host}` did not send {awaited} within {} s", patience.as_secs_f32())]
    Timeout {
        /// Which server.
        host: String,
        /// What was waited for.
        awaited: &'static str,
        /// How long.
        patience: Duration,
    },
    /// The server has no such document, or does not give it.
    #[error("`{host}` answered {status} {reason}")]
    Status {
        /// Which server.
        host: String,
        /// The code.
        status: u16,
        /// Its usual words.
        reason: &'static str,
    },
    /// What arrived could not be kept.
    #[error("cannot write what arrives")]
    Write {
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// What is to be sent could not be read.
    #[error("cannot read what is to be sent")]
    Read {
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Aborted,
    /// A connection broke.
    #[error("connection to `{host}` broke: {problem}")]
    Broken {
        /// Which server.
        host: String,
        /// What happened.
        problem: String,
    },
}

impl HttpError {
    /// An address that cannot be used. Its query may hold a signature that opens what it names, and is not shown.
    pub(crate) fn url(url: &str, problem: &str) -> Self {
        let url = url.split_once('?').map_or(url.to_owned(), |(place, _)| format!("{place}?…"));
        Self::Url { url, problem: problem.to_owned() }
    }

    /// Whether the same request may succeed in a moment.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Url { .. }
            | Self::Certificates { .. }
            | Self::Start { .. }
            | Self::Status { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Aborted => false,
            Self::Connect { trouble, .. } => matches!(trouble, Trouble::NameServer | Trouble::Network),
            Self::Timeout { .. } | Self::Broken { .. } => true,
        }
    }

    /// How often a request that fails like this is sent at most. What took long to fail is tried once more only,
    /// and the resolver has asked several times by itself.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Broken { .. } => u32::MAX,
            Self::Timeout { .. } | Self::Connect { trouble: Trouble::Network, .. } => 2,
            _ => 1,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connect { trouble, .. } => Some(match trouble {
                Trouble::NoSuchHost => "check the spelling of the host; a proxy may be needed to reach it",
                Trouble::NameServer => "check /etc/resolv.conf and the network",
                Trouble::Refused => "check that the server runs there, and the port",
                Trouble::PlainHttp => "write `http://`, or ask the server's keeper for TLS",
                Trouble::Expired => {
                    "the server's keeper has to renew the certificate; check this machine's clock too"
                }
                Trouble::Tls => {
                    "if the server's certificate is your own authority's, set SSL_CERT_FILE to its file"
                }
                Trouble::Proxy => "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY",
                Trouble::Network => "check the network",
            }),
            Self::Timeout { .. } | Self::Broken { .. } => Some("try again; check the network if it stays so"),
            Self::Status { status, .. } => match status {
                401 | 403 => Some("credentials are missing or wrong"),
                404 | 410 => Some("check the spelling of the URL"),
                408 | 429 | 500..=599 => Some("try again later"),
                _ => None,
            },
            Self::Url { .. }
            | Self::Certificates { .. }
            | Self::Start { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Aborted => None,
        }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Url { .. } | Self::Certificates { .. } | Self::Status { status: 400..=499, .. } => {
                Blame::User
            }
            Self::Aborted => Blame::Interrupted,
            _ => Blame::Environment,
        }
    }

    /// Puts what hyper says into our words.
    pub(super) fn from_exchange(host: &str, error: &hyper_util::client::legacy::Error) -> Self {
        let (host, problem) = (host.to_owned(), explain(error));
        if !error.is_connect() {
            return Self::Broken { host, problem };
        }
        let trouble = trouble(error);
        let problem = match trouble {
            Trouble::PlainHttp => "the server speaks HTTP, not TLS".to_owned(),
            _ => problem,
        };
        Self::Connect { host, trouble, problem }
    }
}

fn trouble(error: &(dyn Error + 'static)) -> Trouble {
    let mut found = Trouble::Network;
    for cause in causes(error) {
        if let Some(lookup) = cause.downcast_ref::<LookupError>() {
            return if lookup.retryable() { Trouble::NameServer } else { Trouble::NoSuchHost };
        }
        if let Some(cause) = cause.downcast_ref::<rustls::Error>() {
            return of_tls(cause);
        }
        if cause.is::<super::connect::ProxyError>() {
            return Trouble::Proxy;
        }
        if let Some(cause) = cause.downcast_ref::<io::Error>()
            && cause.kind() == io::ErrorKind::ConnectionRefused
        {
            found = Trouble::Refused;
        }
    }
    found
}

fn of_tls(error: &rustls::Error) -> Trouble {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match error {
        // The first bytes of an answer are no record of TLS.
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Trouble::PlainHttp,
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => Trouble::Expired,
        _ => Trouble::Tls,
    }
}

/// The error and what caused it. An `io::Error` hides the error it was made from; it is looked into.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut found: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        found.push(error);
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    found
}

/// The innermost causes in one line, without the wrappers that only say that something failed.
pub(super) fn explain(error: &(dyn Error + 'static)) -> String {
    let mut lines: Vec<String> = causes(error).iter().map(|cause| cause.to_string()).collect();
    lines.dedup();
    let mut told: Vec<String> = Vec::new();
    // From the inside out: an outer line that repeats an inner one adds nothing.
    for line in lines.into_iter().rev() {
        if !told.iter().any(|inner| line.contains(inner.as_str())) {
            told.push(line);
        }
    }
    told.truncate(2);
    told.reverse();
    match told.len() {
        2 if is_wrapper(&told[0]) => told.swap_remove(1),
        _ => told.join(": "),
    }
}

fn is_wrapper(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["client error", "tcp connect error", "dns error", "connection error", "error reading a body"]
        .iter()
        .any(|wrapper| line.starts_with(wrapper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_tls_has_a_hint_of_its_own() {
        let of = |error: rustls::Error| {
            let trouble = trouble(&io::Error::new(io::ErrorKind::InvalidData, error));
            (trouble, HttpError::Connect { host: String::new(), trouble, problem: String::new() }.hint())
        };
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert_eq!(
            of(plain),
            (Trouble::PlainHttp, Some("write `http://`, or ask the server's keeper for TLS"))
        );
        let of_certificate = |problem| of(rustls::Error::InvalidCertificate(problem));
        let (trouble, hint) = of_certificate(rustls::CertificateError::Expired);
        assert_eq!(trouble, Trouble::Expired);
        assert!(hint.is_some_and(|hint| hint.contains("renew") && !hint.contains("http://")));
        assert_eq!(of_certificate(rustls::CertificateError::UnknownIssuer).0, Trouble::Tls);
    }
}
