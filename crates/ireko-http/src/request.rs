//! What is asked of a server.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};

use super::{HttpError, KnownFile, host_of, login, redirect};

/// A request that may be sent again.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    pub(super) content: Bytes,
    pub(super) downgrade: bool,
    pub(super) known: Option<KnownFile>,
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

    /// Begins something, or hands something in.
    pub fn post(url: &str) -> Result<Self, HttpError> {
        Self::new(Method::POST, url)
    }

    /// Puts something in its place.
    pub fn put(url: &str) -> Result<Self, HttpError> {
        Self::new(Method::PUT, url)
    }

    /// Adds to something.
    pub fn patch(url: &str) -> Result<Self, HttpError> {
        Self::new(Method::PATCH, url)
    }

    /// Takes something away.
    pub fn delete(url: &str) -> Result<Self, HttpError> {
        Self::new(Method::DELETE, url)
    }

    /// A user name in the address becomes a header: no message ever shows it.
    fn new(method: Method, url: &str) -> Result<Self, HttpError> {
        let (url, login) = login::split(url);
        let url = redirect::parse(&url)?;
        let (headers, content) = (HeaderMap::new(), Bytes::new());
        let request = Self { method, url, headers, content, downgrade: false, known: None };
        match login {
            Some(login) => request.header("authorization", &login),
            None => Ok(request),
        }
    }

    /// The same request with this content, which is sent again with it.
    #[must_use]
    pub fn content(mut self, kind: &str, content: impl Into<Bytes>) -> Self {
        self.content = content.into();
        if let Ok(kind) = HeaderValue::from_str(kind) {
            self.headers.insert(CONTENT_TYPE, kind);
        }
        self
    }

    /// The same request, which may be redirected from https to plain http: for content whose digest is known.
    #[must_use]
    pub fn may_leave_tls(mut self, may: bool) -> Self {
        self.downgrade = may;
        self
    }

    /// The same request, which asks the address of a known file only for another one.
    pub(super) fn unless(mut self, known: Option<&KnownFile>) -> Self {
        self.known = known.cloned();
        self
    }

    /// The same request with this header set.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HttpError> {
        let wrong = || HttpError::url(&self.url.to_string(), &format!("bad header `{name}`"));
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

    /// Whether it goes to this host, which has its port where one is given.
    pub fn is_to(&self, host: &str) -> bool {
        redirect::is_at(&self.url, host)
    }

    /// What it asks for there: path and query.
    pub fn path(&self) -> String {
        let path = self.url.path_and_query().map_or("", |path| path.as_str());
        if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
    }

    /// Whether it goes over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// The same request over TLS.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        let mut parts = self.url.clone().into_parts();
        parts.scheme = Some(hyper::http::uri::Scheme::HTTPS);
        if let Ok(url) = Uri::from_parts(parts) {
            self.url = url;
        }
        self
    }

    /// Whether a redirect may be followed: a document is asked for again elsewhere; what is handed in is not.
    pub(super) fn may_move(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}
