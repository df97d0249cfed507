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

/// How a server names the state of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, as it came.
    pub etag: Option<String>,
    /// `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

impl Validators {
    fn of(response: &Response) -> Self {
        let text = |name| response.header(name).map(str::to_owned);
        Self { etag: text("etag"), last_modified: text("last-modified") }
    }

    /// When the file last changed, in seconds since 1970; unknown where the server does not say it in a form of RFC 9110
    /// section 5.6.7, or means a time before that year.
    pub fn modified(&self) -> Option<u64> {
        let time = httpdate::parse_http_date(self.last_modified.as_deref()?).ok()?;
        time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
    }

    /// What `If-Range` may hold: only a strong validator means equal bytes (RFC 9110 section 13.1.5).
    fn for_range(&self) -> Option<&str> {
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
    /// Fetches a file unless it is still the one of `known` (an `ETag`). A connection that breaks is followed by
    /// another one, which asks for the rest only where the server can say that it is the rest of the same file.
    ///
    /// # Errors
    /// No answer, an answer that is no success, a transfer that broke too often, or `out` that cannot go on.
    pub fn download(
        &self,
        request: &Request,
        known: Option<&str>,
        out: &mut dyn Download,
    ) -> Result<Downloaded, HttpError> {
        let mut first = request.clone();
        if let Some(etag) = known {
            first = first.header("if-none-match", etag)?;
        }
        let response = self.send(&first)?;
        if response.status() == 304 && known.is_some() {
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
        self.validators.for_range().is_some()
    }

    /// The request for what is missing; for all of it where the server could not say that it is the same file.
    fn rest(&self, request: &Request) -> Result<Request, HttpError> {
        match self.validators.for_range() {
            Some(validator) if self.have > 0 => request
                .clone()
                .header("range", &format!("bytes={}-", self.have))?
                .header("if-range", validator),
            _ => Ok(request.clone()),
        }
    }

    fn take(&mut self, mut response: Response) -> Result<(), HttpError> {
        let write = |cause| HttpError::Write { cause };
        let goes_on = response.status() == 206 && starts_at(&response) == Some(self.have);
        if !goes_on {
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

/// Where a partial answer begins.
fn starts_at(response: &Response) -> Option<u64> {
    response.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
