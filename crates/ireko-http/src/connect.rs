//! Connections: names, proxies, TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tower_service::Service;

use super::{HttpError, Options, Proxies};
use crate::dns::{LookupError, Resolver};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// How long a connection nobody uses stays open.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Sends single requests over pooled connections.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
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
        let connector = Connector { tcp, proxies: Arc::clone(&proxies) };
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls(&options.ca_files)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { client, proxies })
    }

    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        host: &str,
        patience: Duration,
    ) -> Result<Response<Incoming>, HttpError> {
        match tokio::time::timeout(patience, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(HttpError::from_exchange(host, &error)),
            Err(_late) => Err(HttpError::Timeout { host: host.to_owned(), awaited: "an answer", patience }),
        }
    }

    /// What a proxy for plain HTTP wants to see in the request itself; for TLS the tunnel says it.
    pub(super) fn proxy_login(&self, url: &Uri) -> Option<HeaderValue> {
        if url.scheme_str() != Some("http") {
            return None;
        }
        self.proxies.intercept(url)?.basic_auth().cloned()
    }
}

fn matcher(proxies: &Proxies) -> Matcher {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Matcher::builder()
        .http(text(&proxies.http))
        .https(text(&proxies.https))
        .no(text(&proxies.no_proxy))
        .build()
}

fn tls(extra: &[std::path::PathBuf]) -> Result<rustls::ClientConfig, HttpError> {
    let mut roots = rustls::RootCertStore::empty();
    // A machine without certificates can still pull over plain HTTP, or with a file of its own; if neither is
    // the case, the handshake says that the issuer is unknown.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for path in extra {
        for certificate in certificates(path)? {
            let wrong = |problem: rustls::Error| unusable(path, problem.to_string());
            roots.add(certificate).map_err(wrong)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring provides for every default protocol version");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let bytes = std::fs::read(path).map_err(|cause| unusable(path, cause.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|cause| unusable(path, cause.to_string()))?;
    if found.is_empty() {
        return Err(unusable(path, "it holds no certificate in PEM form".to_owned()));
    }
    Ok(found)
}

fn unusable(path: &Path, problem: String) -> HttpError {
    HttpError::Certificates { path: path.to_owned(), problem }
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
        let Some(proxy) = self.proxies.intercept(&target) else {
            return Box::pin(async move { Ok(Stream { inner: tcp.call(target).await?, is_proxy: false }) });
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
                Ok(Stream { inner, is_proxy: false })
            });
        }
        Box::pin(async move {
            let inner = tcp.call(address).await.map_err(|error| failed(super::error::explain(&error)))?;
            Ok(Stream { inner, is_proxy: true })
        })
    }
}

/// A connection that knows whether a proxy at its end wants whole addresses.
struct Stream {
    inner: TokioIo<TcpStream>,
    is_proxy: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.is_proxy)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, room)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
