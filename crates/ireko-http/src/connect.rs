//! Connections: names, proxies, TLS.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use super::trust::Trust;
use super::upload::Content;
use super::{Dial, Dialed, HttpError, Options, Proxies};
use crate::dns::{LookupError, Resolver};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// How long a connection nobody uses stays open.
const POOL_IDLE: Duration = Duration::from_secs(30);

type Pool = Client<HttpsConnector<Connector>, Content>;

/// Sends single requests over pooled connections.
#[derive(Clone)]
pub(super) struct Transport {
    pool: Pool,
    /// Hosts with certificates of their own, and those found to have none.
    others: Arc<Mutex<BTreeMap<String, Pool>>>,
    connector: Connector,
    trust: Arc<Trust>,
    proxies: Arc<Matcher>,
}

impl Transport {
    pub(super) fn new(options: &Options) -> Result<Self, HttpError> {
        let mut tcp = HttpConnector::new_with_resolver(Names(Resolver::new(options.names.clone())));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.patience.connect));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let proxies = Arc::new(matcher(&options.proxies));
        let socket = options.socket.clone().map(Arc::from);
        let dial = options.dial.clone();
        let connector = Connector { tcp, proxies: Arc::clone(&proxies), socket, dial };
        let trust = Arc::new(Trust::load(options)?);
        let pool = pool(trust.everywhere()?, connector.clone());
        Ok(Self { pool, others: Arc::default(), connector, trust, proxies })
    }

    /// The connections to a host.
    fn pool(&self, host: &str) -> Result<Pool, HttpError> {
        if self.trust.is_same_everywhere() && !super::is_this_machine(host) {
            return Ok(self.pool.clone());
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = others.get(host) {
            return Ok(pool.clone());
        }
        let pool = match self.trust.at(host)? {
            Some(config) => pool(config, self.connector.clone()),
            None => self.pool.clone(),
        };
        others.insert(host.to_owned(), pool.clone());
        Ok(pool)
    }

    pub(super) async fn send(
        &self,
        request: Request<Content>,
        host: &str,
        patience: Duration,
    ) -> Result<Response<Incoming>, HttpError> {
        let taken = request.body().taken();
        let pool = self.pool(host)?;
        let mut work = pin!(pool.request(request));
        let mut before = 0;
        loop {
            match tokio::time::timeout(patience, work.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(HttpError::from_exchange(host, &error)),
                Err(_late) => {
                    // A long upload is no silence.
                    let now = taken.load(Ordering::Relaxed);
                    if now == before {
                        let host = host.to_owned();
                        return Err(HttpError::Timeout { host, awaited: "an answer", patience });
                    }
                    before = now;
                }
            }
        }
    }

    /// What a proxy for plain HTTP wants to see in the request itself; for TLS the tunnel says it.
    pub(super) fn proxy_login(&self, url: &Uri) -> Option<HeaderValue> {
        if url.scheme_str() != Some("http") {
            return None;
        }
        proxy_for(&self.proxies, url)?.basic_auth().cloned()
    }
}

fn pool(config: rustls::ClientConfig, connector: Connector) -> Pool {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// The proxy for an address. What is said to this machine never leaves it.
fn proxy_for(proxies: &Matcher, url: &Uri) -> Option<Intercept> {
    let is_here = url.authority().is_some_and(|host| super::is_this_machine(host.as_str()));
    if is_here { None } else { proxies.intercept(url) }
}

fn matcher(proxies: &Proxies) -> Matcher {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Matcher::builder()
        .http(text(&proxies.http))
        .https(text(&proxies.https))
        .no(text(&proxies.no_proxy))
        .build()
}

/// A proxy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("proxy `{host}`: {problem}")]
pub(super) struct ProxyError {
    host: String,
    problem: String,
}

/// The resolver in the form hyper asks for.
#[derive(Clone)]
struct Names(Resolver);

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = LookupError;
    type Future = Connecting<Self::Response, LookupError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LookupError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.0.clone();
        Box::pin(async move {
            let addresses = resolver.lookup(name.as_str()).await?;
            // The port is filled in by the connector.
            let addresses: Vec<_> =
                addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}

/// Connects to a host, or to the proxy in front of it.
#[derive(Clone)]
struct Connector {
    tcp: HttpConnector<Names>,
    proxies: Arc<Matcher>,
    socket: Option<Arc<Path>>,
    dial: Option<Arc<dyn Dial>>,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting<Stream, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        if let Some(socket) = self.socket.clone() {
            return Box::pin(async move {
                let stream = UnixStream::connect(&socket).await?;
                Ok(Stream { inner: Pipe::Unix(TokioIo::new(stream)), is_proxy: false })
            });
        }
        if let Some(dial) = self.dial.clone() {
            return Box::pin(async move {
                let Dialed { stream, kept } = dial.dial()?;
                stream.set_nonblocking(true)?;
                let stream = TokioIo::new(UnixStream::from_std(stream)?);
                Ok(Stream { inner: Pipe::Dialed(stream, kept), is_proxy: false })
            });
        }
        let Some(proxy) = proxy_for(&self.proxies, &target) else {
            return Box::pin(async move {
                Ok(Stream { inner: Pipe::Tcp(tcp.call(target).await?), is_proxy: false })
            });
        };
        let host = proxy.uri().authority().map(|it| it.as_str().to_owned()).unwrap_or_default();
        let failed = move |problem: String| -> BoxError { Box::new(ProxyError { host, problem }) };
        if proxy.uri().scheme_str() != Some("http") {
            let problem = "only proxies with `http://` are supported".to_owned();
            return Box::pin(async move { Err(failed(problem)) });
        }
        let address = proxy.uri().clone();
        if target.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(address, tcp);
            if let Some(login) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(login.clone());
            }
            return Box::pin(async move {
                let inner =
                    tunnel.call(target).await.map_err(|error| failed(super::error::explain(&error)))?;
                Ok(Stream { inner: Pipe::Tcp(inner), is_proxy: false })
            });
        }
        Box::pin(async move {
            let inner = tcp.call(address).await.map_err(|error| failed(super::error::explain(&error)))?;
            Ok(Stream { inner: Pipe::Tcp(inner), is_proxy: true })
        })
    }
}

/// A connection that knows whether a proxy at its end wants whole addresses.
struct Stream {
    inner: Pipe,
    is_proxy: bool,
}

/// What carries the bytes.
enum Pipe {
    Tcp(TokioIo<TcpStream>),
    Unix(TokioIo<UnixStream>),
    Dialed(TokioIo<UnixStream>, #[expect(dead_code, reason = "dropped with the stream")] Box<dyn Send>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match &self.inner {
            Pipe::Tcp(stream) => stream.connected().proxy(self.is_proxy),
            Pipe::Unix(_) | Pipe::Dialed(..) => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Pipe::Tcp(stream) => Pin::new(stream).poll_read(cx, room),
            Pipe::Unix(stream) | Pipe::Dialed(stream, _) => Pin::new(stream).poll_read(cx, room),
        }
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Pipe::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Pipe::Unix(stream) | Pipe::Dialed(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Pipe::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Pipe::Unix(stream) | Pipe::Dialed(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Pipe::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Pipe::Unix(stream) | Pipe::Dialed(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
