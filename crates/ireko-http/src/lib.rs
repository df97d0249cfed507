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
mod hosts;
mod login;
mod redirect;
mod request;
mod trust;
mod upload;

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, HeaderMap, HeaderValue, IF_NONE_MATCH, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT,
};
use hyper::{StatusCode, Uri};
use tokio::sync::{oneshot, watch};

pub use body::Body;
use connect::Transport;
pub use download::{Download, Downloaded, KnownFile, Validators};
pub use error::{HttpError, Trouble};
pub use hosts::HostList;
pub use request::Request;
use upload::Content;

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
    /// Directories in the layout of `certs.d`: in one named after a host, with its port where one is given, are
    /// `*.crt` with authorities trusted for it, and `NAME.cert` with `NAME.key`, which are shown to it.
    pub certificate_dirs: Vec<PathBuf>,
    /// A certificate and its key that are shown to whoever asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Files of certificates (PEM) trusted for one host, which has its port where one is given.
    pub authorities: Vec<(String, PathBuf)>,
    /// A certificate and its key that are shown to one host.
    pub identities: Vec<(String, PathBuf, PathBuf)>,
    /// Hosts whose certificates are taken as they are.
    pub unverified: HostList,
    /// How long to wait, and how often.
    pub patience: Patience,
    /// Where host names are looked up.
    pub names: crate::dns::Source,
    /// A Unix socket that every connection goes to, whatever host is named.
    pub socket: Option<PathBuf>,
    /// What makes every connection, whatever host is named.
    pub dial: Option<Arc<dyn Dial>>,
}

/// Makes connections in a way of its own.
pub trait Dial: std::fmt::Debug + Send + Sync {
    /// One more connection; it must not take long. Its stream is made non-blocking.
    fn dial(&self) -> io::Result<Dialed>;
}

/// A connection that [`Dial`] made.
pub struct Dialed {
    /// What carries the bytes.
    pub stream: UnixStream,
    /// Dropped with the connection.
    pub kept: Box<dyn Send>,
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

    /// The address that it names as where to go on.
    pub fn location(&self) -> Option<String> {
        redirect::join(&self.url, self.header("location")?)
    }

    /// How long to wait before asking again, if the status says that it may help: as long as the server asks for, or
    /// else as usual.
    pub fn pause(&self, usual: Duration) -> Option<Duration> {
        pause_after(self, usual)
    }

    /// Where it came from, after redirects.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The host it came from, after redirects.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }

    /// Whether it came from this host, which has its port where one is given.
    pub fn is_from(&self, host: &str) -> bool {
        redirect::is_at(&self.url, host)
    }
}

fn host_of(url: &Uri) -> String {
    url.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default()
}

/// Sends requests. Several threads may use one at the same time; connections are shared.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// How long to wait for the head of an answer.
    answer: Duration,
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
        let answer = options.patience.answer;
        Self { shared: Arc::new(Shared { options, aborted, engine: Mutex::new(None) }), answer }
    }

    /// The same client, with the same connections, that waits so long for the head of an answer.
    #[must_use]
    pub fn with_answer_within(&self, answer: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), answer }
    }

    /// Ends every transfer, now and later, with [`HttpError::Aborted`].
    pub fn abort(&self) {
        self.shared.aborted.send_replace(true);
    }

    /// Whether everything is to end.
    pub fn is_aborted(&self) -> bool {
        *self.shared.aborted.borrow()
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

    /// Waits; ends early with [`HttpError::Aborted`] once everything is to end.
    pub fn wait(&self, pause: Duration) -> Result<(), HttpError> {
        let until = Instant::now() + pause;
        loop {
            if self.is_aborted() {
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
            if !request.may_move() {
                return Ok(response);
            }
            let Some(target) = redirect::target(&response, request.downgrade)? else {
                return Ok(response);
            };
            if redirect::changes_host(&request.url, &target) {
                request.headers.remove(AUTHORIZATION);
            }
            request.url = target;
        }
        let problem = format!("more than {REDIRECTS_MAX} redirects");
        Err(HttpError::url(&request.url.to_string(), &problem))
    }

    fn exchange(&self, request: &Request) -> Result<Response, HttpError> {
        let waiting = self.begin(request, Content::whole(request.content.clone()))?;
        waiting.answer()
    }

    /// Sends one request and does not wait for the answer.
    fn begin(&self, request: &Request, content: Content) -> Result<Waiting, HttpError> {
        let (runtime, transport) = self.engine()?;
        let mut outgoing = hyper::Request::new(content);
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
        let (host, url) = (request.host(), request.url.clone());
        let (patience, idle) = (self.answer, self.shared.options.patience.idle);
        let (sender, receiver) = oneshot::channel();
        runtime.spawn({
            let (host, aborted) = (host.clone(), self.shared.aborted.subscribe());
            async move {
                let answer = unless_aborted(aborted.clone(), transport.send(outgoing, &host, patience));
                let answer = answer.await.unwrap_or(Err(HttpError::Aborted));
                // Nobody listens any more if the caller's thread is gone; then the answer is not needed.
                let _ = sender.send(answer.map(|answer| open(answer, &host, idle, aborted)));
            }
        });
        Ok(Waiting { receiver, runtime, host, url })
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

/// Whether a host, with or without a port, is this machine by its name or address.
pub fn is_this_machine(host: &str) -> bool {
    let name = split_port(host).0.to_ascii_lowercase();
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// The name of a host, and its port where one is given.
pub fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

/// The parts of an answer as they come from the connection's thread.
type Parts = Result<(StatusCode, HeaderMap, Body), HttpError>;

/// A request on its way.
struct Waiting {
    receiver: oneshot::Receiver<Parts>,
    runtime: tokio::runtime::Handle,
    host: String,
    url: Uri,
}

impl Waiting {
    /// Waits for the answer.
    fn answer(self) -> Result<Response, HttpError> {
        let Self { receiver, host, url, .. } = self;
        let stopped = |_| HttpError::Broken { host, problem: "the connection's thread stopped".to_owned() };
        let (status, headers, body) = receiver.blocking_recv().map_err(stopped)??;
        Ok(Response { status, headers, url, body })
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
