//! A whole file, over as many connections as it takes.

use std::io;

use super::{Client, HttpError, Request, Response};

/// Takes the bytes of a file as they arrive.
pub trait Download {
    /// The file begins (again): whatever came before is void. `length` is what the server announces.
    fn begin(&mut self, length: Option<u64>) -> io::Result<()>;

    /// The next bytes.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A file that has come before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// The address that answered with it, after redirects.
    pub url: String,
    /// Its `ETag`, a strong one.
    pub etag: String,
}

/// How a server names the state of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The address that answered, after redirects.
    pub url: String,
    /// `ETag`, as it came.
    pub etag: Option<String>,
    /// `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

impl Validators {
    fn of(response: &Response) -> Self {
        let text = |name| response.header(name).map(str::to_owned);
        Self { url: response.url(), etag: text("etag"), last_modified: text("last-modified") }
    }

    /// What is to be remembered of the file; nothing where no `ETag` promises equal bytes.
    pub fn known(&self) -> Option<KnownFile> {
        let etag = self.strong()?.to_owned();
        Some(KnownFile { url: self.url.clone(), etag })
    }

    /// When the file last changed, in seconds since 1970; unknown where the server does not say it in a form of RFC 9110
    /// section 5.6.7, or means a time before that year.
    pub fn modified(&self) -> Option<u64> {
        let time = httpdate::parse_http_date(self.last_modified.as_deref()?).ok()?;
        time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
    }

    /// Only a strong validator means equal bytes (RFC 9110 section 8.8.1); `If-Range` may hold no other.
    fn strong(&self) -> Option<&str> {
        let strong = |tag: &&str| !tag.starts_with("W/");
        self.etag.as_deref().filter(strong)
    }
}

/// How a download ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downloaded {
    /// The file is still the one that was known; nothing was taken.
    Unchanged,
    /// It was taken whole.
    Whole(Validators),
}

impl Client {
    /// Fetches a file unless it is still the known one. A connection that breaks is followed by another one, which
    /// asks for the rest only where the server can say that it is the rest of the same file.
    ///
    /// # Errors
    /// No answer, an answer that is no success, a transfer that broke too often, or `out` that cannot go on.
    pub fn download(
        &self,
        request: &Request,
        known: Option<&KnownFile>,
        out: &mut dyn Download,
    ) -> Result<Downloaded, HttpError> {
        let response = self.send(&request.clone().unless(known))?;
        if response.status() == 304 && known.is_some_and(|known| known.url == response.url()) {
            return Ok(Downloaded::Unchanged);
        }
        let mut transfer = Transfer { out, have: 0, validators: Validators::default(), length: None };
        let mut next = Ok(response);
        let mut patience = self.patience().attempts;
        loop {
            let before = transfer.have;
            match next.and_then(|response| transfer.take(response)) {
                Ok(()) => return Ok(Downloaded::Whole(transfer.validators)),
                // It gets on; only attempts without any progress count.
                Err(error) if error.retryable() && transfer.have > before && transfer.can_go_on() => {
                    patience = self.patience().attempts;
                }
                Err(error) if error.retryable() && patience > 1 => patience -= 1,
                Err(error) => return Err(error),
            }
            next = transfer.rest(request).and_then(|request| self.send(&request));
        }
    }
}

/// A file on its way.
struct Transfer<'a> {
    out: &'a mut dyn Download,
    have: u64,
    validators: Validators,
    length: Option<u64>,
}

impl Transfer<'_> {
    fn can_go_on(&self) -> bool {
        self.validators.strong().is_some()
    }

    /// The request for what is missing; for all of it where the server could not say that it is the same file.
    fn rest(&self, request: &Request) -> Result<Request, HttpError> {
        match self.validators.strong() {
            Some(validator) if self.have > 0 => request
                .clone()
                .header("range", &format!("bytes={}-", self.have))?
                .header("if-range", validator),
            _ => Ok(request.clone()),
        }
    }

    /// Whether an answer holds what follows the bytes that have come, of the same state of the same file: proxies are
    /// seen that do not know `If-Range`.
    fn goes_on(&self, response: &Response) -> bool {
        let validators = Validators::of(response);
        let same =
            place(&validators.url) == place(&self.validators.url) && validators.etag == self.validators.etag;
        let follows = range(response).is_some_and(|(start, whole)| {
            let lengths = self.length.zip(whole);
            start == self.have && lengths.is_none_or(|(announced, whole)| announced == whole)
        });
        same && follows && self.can_go_on()
    }

    fn take(&mut self, mut response: Response) -> Result<(), HttpError> {
        let write = |cause| HttpError::Write { cause };
        if response.status() == 206 && self.have > 0 {
            if !self.goes_on(&response) {
                // The next attempt asks for all of it.
                (self.have, self.validators) = (0, Validators::default());
                let problem = "it answered with a part of another file".to_owned();
                return Err(HttpError::Broken { host: response.host(), problem });
            }
        } else {
            if response.status() == 206 || !response.is_success() {
                let (host, status, reason) = (response.host(), response.status(), response.reason());
                return Err(HttpError::Status { host, status, reason });
            }
            (self.have, self.validators) = (0, Validators::of(&response));
            self.length = response.length();
            self.out.begin(self.length).map_err(write)?;
        }
        while let Some(piece) = response.body.next_piece()? {
            self.out.take(&piece).map_err(write)?;
            self.have += piece.len() as u64;
        }
        match self.length {
            Some(length) if length != self.have => {
                let problem = format!("it ended after {} of {length} bytes", self.have);
                Err(HttpError::Broken { host: response.host(), problem })
            }
            _ => Ok(()),
        }
    }
}

/// Where a partial answer begins, and how long the whole is where that is said (RFC 9110 section 14.4).
fn range(response: &Response) -> Option<(u64, Option<u64>)> {
    let (range, whole) = response.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    Some((start, whole.trim().parse().ok()))
}

/// An address without its query, which some servers sign anew for every request.
fn place(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
