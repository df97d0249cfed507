//! The only HTTP: blocking requests over one background thread, with proxies, own roots, redirects and retry.
//!
//! [`Client::get`] answers with any status; what a status means is the caller's to say. A body is a reader, and
//! bytes are fetched no faster than they are read. [`Client::download`] fetches a whole file over as many
//! connections as it takes. Nothing here knows the environment: proxies and certificates are given in [`Options`].
//!
//! ```no_run
//! let client = ireko_http::Client::new(ireko_http::Options::default());
//! let mut answer = client.get("https://example.com/", &[("accept", "text/html")])?;
//! assert!(answer.is_success() && answer.body.read_up_to(1 << 20)?.is_some());
//! # Ok::<(), ireko_http::HttpError>(())
//! ```
#![forbid(unsafe_code)]

mod body;
mod connect;
pub mod dns;
mod download;
mod error;
mod login;
mod redirect;

use std::future::{Future, pending, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, PROXY_AUTHORIZATION, RETRY_AFTER,
    USER_AGENT,
};
use hyper::{Method, StatusCode, Uri};
use tokio::sync::{oneshot, watch};

pub use body::Body;
use connect::Transport;
pub use download::{Download, Downloaded, KnownFile, Validators};
pub use error::{HttpError, Trouble};

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;
/// A server that asks for a longer pause than this gets no second try.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Proxies as the environment variables of the same names give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `HTTP_PROXY`.
    pub http: Option<String>,
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `NO_PROXY`.
    pub no_proxy: Option<String>,
}

/// How long to wait for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer.
    pub answer: Duration,
    /// For the next bytes of a body.
    pub idle: Duration,
    /// How often a request is sent, the first time included.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles each time.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            attempts: 5,
            pause: Duration::from_millis(250),
        }
    }
}

/// What a client is made with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// Proxies.
    pub proxies: Proxies,
    /// Files of certificates (PEM) trusted in addition to the machine's.
    pub ca_files: Vec<PathBuf>,
    /// How long to wait, and how often.
    pub patience: Patience,
    /// Where host names are looked up.
    pub names: crate::dns::Source,
}

/// A request that may be sent again.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    url: Uri,
    headers: HeaderMap,
    downgrade: bool,
    known: Option<KnownFile>,
}

impl Request {
    /// Asks for a document.
    pub fn get(url: &str) -> Result<Self, HttpError> {
        Self::new(Method::GET, url)
    }

    /// Asks for the head of an answer only.
    pub fn head(url: &str) -> Result<Self, HttpError> {
        Self::new(Method::HEAD, url)
    }

    /// A user name in the address becomes a header: no message ever shows it.
    fn new(method: Method, url: &str) -> Result<Self, HttpError> {
        let (url, login) = login::split(url);
        let url = redirect::parse(&url)?;
        let request = Self { method, url, headers: HeaderMap::new(), downgrade: false, known: None };
        match login {
            Some(login) => request.header("authorization", &login),
            None => Ok(request),
        }
    }

    /// The same request, which may be redirected from https to plain http: for content whose digest is known.
    pub fn may_leave_tls(mut self, may: bool) -> Self {
        self.downgrade = may;
        self
    }

    /// The same request, which asks the address of a known file only for another one.
    fn unless(mut self, known: Option<&KnownFile>) -> Self {
        self.known = known.cloned();
        self
    }

    /// The same request with this header set.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HttpError> {
        let wrong = || HttpError::Url { url: self.url.to_string(), problem: format!("bad header `{name}`") };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut content = HeaderValue::from_str(value).map_err(|_| wrong())?;
        content.set_sensitive(key == AUTHORIZATION);
        self.headers.insert(key, content);
        Ok(self)
    }

    /// The name of the host it goes to.
    pub fn host_name(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// The host it goes to, with its port where one is given.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    url: Uri,
    /// The content.
    pub body: Body,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The usual words for the status.
    pub fn reason(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("unknown status")
    }

    /// Whether the status is in the two hundreds.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// A header's value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All values of a header that are text.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// The length the server announced.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// Where it came from, after redirects.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The host it came from, after redirects.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }
}

fn host_of(url: &Uri) -> String {
    url.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default()
}

/// Sends requests. Several threads may use one at the same time; connections are shared.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    /// True once everything is to end.
    aborted: watch::Sender<bool>,
    // Started by the first request: many commands never need the network, and reading certificates takes time.
    engine: Mutex<Option<Engine>>,
}

struct Engine {
    runtime: tokio::runtime::Handle,
    transport: Transport,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread only waits for the line above; a panic of it would have been seen as a broken request.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client; nothing is opened before the first request.
    pub fn new(options: Options) -> Self {
        let aborted = watch::Sender::new(false);
        Self { shared: Arc::new(Shared { options, aborted, engine: Mutex::new(None) }) }
    }

    /// Ends every transfer, now and later, with [`HttpError::Aborted`].
    pub fn abort(&self) {
        self.shared.aborted.send_replace(true);
    }

    /// Allows transfers again.
    pub fn resume(&self) {
        self.shared.aborted.send_replace(false);
    }

    /// Asks for a document, with these headers.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, HttpError> {
        let mut request = Request::get(url)?;
        for (name, value) in headers {
            request = request.header(name, value)?;
        }
        self.send(&request)
    }

    /// Sends a request, follows redirects, and tries again what may succeed later.
    pub fn send(&self, request: &Request) -> Result<Response, HttpError> {
        let patience = &self.shared.options.patience;
        let mut pause = patience.pause;
        let mut attempt = 1;
        loop {
            let result = self.follow(request);
            let wanted = match &result {
                _ if attempt >= patience.attempts => None,
                Ok(response) => pause_after(response, pause),
                Err(error) => (attempt < error.attempts()).then_some(pause),
            };
            let Some(wanted) = wanted else { return result };
            drop(result);
            self.wait(wanted)?;
            pause *= 2;
            attempt += 1;
        }
    }

    fn wait(&self, pause: Duration) -> Result<(), HttpError> {
        let until = Instant::now() + pause;
        loop {
            if *self.shared.aborted.borrow() {
                return Err(HttpError::Aborted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// How often a request is sent, and how long the first pause is.
    pub fn patience(&self) -> &Patience {
        &self.shared.options.patience
    }

    fn follow(&self, request: &Request) -> Result<Response, HttpError> {
        let mut request = request.clone();
        for _ in 0..=REDIRECTS_MAX {
            let response = self.exchange(&request)?;
            let Some(target) = redirect::target(&response, request.downgrade)? else {
                return Ok(response);
            };
            if redirect::changes_host(&request.url, &target) {
                request.headers.remove(AUTHORIZATION);
            }
            request.url = target;
        }
        let problem = format!("more than {REDIRECTS_MAX} redirects");
        Err(HttpError::Url { url: request.url.to_string(), problem })
    }

    fn exchange(&self, request: &Request) -> Result<Response, HttpError> {
        let (runtime, transport) = self.engine()?;
        let mut outgoing = hyper::Request::new(Full::new(Bytes::new()));
        *outgoing.method_mut() = request.method.clone();
        *outgoing.uri_mut() = request.url.clone();
        *outgoing.headers_mut() = request.headers.clone();
        let agent =
            self.shared.options.user_agent.as_deref().unwrap_or(concat!("ireko/", env!("CARGO_PKG_VERSION")));
        let agent = HeaderValue::from_str(agent).unwrap_or(HeaderValue::from_static("ireko"));
        outgoing.headers_mut().insert(USER_AGENT, agent);
        if let Some(login) = transport.proxy_login(&request.url) {
            outgoing.headers_mut().insert(PROXY_AUTHORIZATION, login);
        }
        // An `ETag` tells states of one address apart, and nothing of another that a redirect leads to now.
        if let Some(known) = request.known.as_ref().filter(|known| known.url == request.url.to_string())
            && let Ok(etag) = HeaderValue::from_str(&known.etag)
        {
            outgoing.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let host = request.host();
        let patience = self.shared.options.patience.clone();
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        runtime.spawn({
            let (host, aborted) = (host.clone(), self.shared.aborted.subscribe());
            async move {
                let answer =
                    unless_aborted(aborted.clone(), transport.send(outgoing, &host, patience.answer));
                let answer = answer.await.unwrap_or(Err(HttpError::Aborted));
                // Nobody listens any more if the caller's thread is gone; then the answer is not needed.
                let _ = sender.send(answer.map(|answer| open(answer, &host, patience.idle, aborted)));
            }
        });
        let stopped = |_| HttpError::Broken { host, problem: "the connection's thread stopped".to_owned() };
        let (status, headers, body) = receiver.recv().map_err(stopped)??;
        Ok(Response { status, headers, url: request.url.clone(), body })
    }

    fn engine(&self) -> Result<(tokio::runtime::Handle, Transport), HttpError> {
        let mut slot = self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match &mut *slot {
            Some(engine) => engine,
            empty => empty.insert(start(&self.shared.options)?),
        };
        Ok((engine.runtime.clone(), engine.transport.clone()))
    }
}

fn start(options: &Options) -> Result<Engine, HttpError> {
    let transport = Transport::new(options)?;
    let failed = |cause| HttpError::Start { cause };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let wait = move || {
        // Ends when the sender is dropped, which is an error to the receiver and what is wanted here.
        let _ = runtime.block_on(stopped);
    };
    let thread = thread::Builder::new().name("http".to_owned()).spawn(wait).map_err(failed)?;
    Ok(Engine { runtime: handle, transport, stop: Some(stop), thread: Some(thread) })
}

/// Splits an answer; must be called on the runtime, where the body is pumped.
fn open(
    answer: hyper::Response<Incoming>,
    host: &str,
    idle: Duration,
    aborted: Aborted,
) -> (StatusCode, HeaderMap, Body) {
    let (head, content) = answer.into_parts();
    (head.status, head.headers, Body::pump(content, host.to_owned(), idle, aborted))
}

/// Tells whether everything is to end.
type Aborted = watch::Receiver<bool>;

/// What a future yields; nothing once everything is to end.
async fn unless_aborted<T>(mut aborted: Aborted, work: impl Future<Output = T>) -> Option<T> {
    let asked = async {
        // A client that is gone asks nothing any more.
        if aborted.wait_for(|asked| *asked).await.is_err() {
            pending::<()>().await;
        }
    };
    let (mut work, mut asked) = (pin!(work), pin!(asked));
    poll_fn(move |cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => asked.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// How long to wait before asking again, if the status says that it may help.
fn pause_after(response: &Response, usual: Duration) -> Option<Duration> {
    if !matches!(response.status(), 408 | 429 | 500 | 502 | 503 | 504) {
        return None;
    }
    // A date instead of seconds would need a clock; the usual pause has to do.
    let asked = response.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let pause = asked.map_or(usual, Duration::from_secs);
    (pause <= PAUSE_MAX).then_some(pause)
}

#[cfg(test)]
mod tests;
