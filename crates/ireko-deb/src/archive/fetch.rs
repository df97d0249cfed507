//! One file, by `http`, `https`, `file` or `copy`.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use ireko_http::{Download, Downloaded, HttpError, Request, Validators};
use percent_encoding::percent_decode_str;

use super::cache::{Draft, Kept};
use super::intake::{Fault, Form, Intake};
use super::{Archive, ArchiveError, Meter};
use crate::release::Listed;

/// Answers that say that there is no such file. Stores of objects say 403 for it.
const MISSING: [u16; 3] = [403, 404, 410];

/// What a file is asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// As usual.
    Usual,
    /// Past what proxies have kept.
    Anew,
}

/// A file to be taken in.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) url: &'a str,
    pub(super) form: Form,
    pub(super) wanted: Listed,
    pub(super) plain_max: Option<u64>,
}

/// What came of asking for a document.
pub(super) enum Document {
    Unchanged,
    Whole(Vec<u8>, Validators),
}

impl Archive<'_> {
    /// Takes in a file of known size and hash; says the hash and size of what it holds.
    pub(super) fn take_in(
        &self,
        target: Target<'_>,
        asked: Asked,
        meter: &Meter<'_>,
    ) -> Result<(Draft, Listed), ArchiveError> {
        let Target { url, form, wanted, plain_max } = target;
        let mut intake = Intake::new(self.cache.draft()?, form, wanted, plain_max, meter);
        let taken = self.receive(url, &[], asked, &mut intake);
        let size = intake.size;
        let taken_in = match (taken, intake.fault.take()) {
            (Ok(_), _) => intake.finish(shown(url).as_str()),
            (Err(_), Some(Fault::TooLong)) => Err(ArchiveError::other_size(&shown(url), wanted.size, "more")),
            (Err(_), Some(Fault::Damaged(problem))) => {
                // Most often it is another file; its hash would say so, if it were here whole.
                Err(ArchiveError::Damaged { url: shown(url), problem })
            }
            (Err(ArchiveError::Fetch { cause: HttpError::Write { cause }, .. }), None) => {
                Err(ArchiveError::Keep { path: intake.draft.path.clone(), cause })
            }
            (Err(error), None) => Err(error),
        };
        taken_in.inspect_err(|_| meter.take_back(size))
    }

    /// Fetches a document of at most `most` bytes, unless it is the one that is kept.
    pub(super) fn document(
        &self,
        url: &str,
        most: usize,
        known: Option<&Kept>,
        asked: Asked,
    ) -> Result<Document, ArchiveError> {
        let mut headers = Vec::new();
        if let Some(etag) = known.and_then(|kept| kept.etag.as_deref()) {
            headers.push(("if-none-match", etag));
        }
        if let Some(date) = known.and_then(|kept| kept.last_modified.as_deref()) {
            headers.push(("if-modified-since", date));
        }
        let mut document = Bytes { bytes: Vec::new(), most, is_over: false };
        match self.receive(url, &headers, asked, &mut document) {
            Ok(validators) => Ok(Document::Whole(document.bytes, validators)),
            Err(_) if document.is_over => {
                let problem = format!("it has more than {most} bytes");
                Err(ArchiveError::Mismatch { url: shown(url), problem })
            }
            Err(ArchiveError::Fetch { cause: HttpError::Status { status: 304, .. }, .. })
                if known.is_some() =>
            {
                Ok(Document::Unchanged)
            }
            Err(error) => Err(error),
        }
    }

    fn receive(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        asked: Asked,
        out: &mut dyn Download,
    ) -> Result<Validators, ArchiveError> {
        let fetch = |cause| ArchiveError::Fetch { url: shown(url), cause };
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(ArchiveError::Address { address: shown(url), problem: "it is no URI" });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" | "copy" => local(&PathBuf::from(decoded(rest)), out).map(|()| Validators::default()),
            "http" | "https" => {
                // What comes is held against hashes and signatures, so it may come by plain http too.
                let mut request = Request::get(url).map_err(fetch)?.may_leave_tls(true);
                for (name, value) in headers {
                    request = request.header(name, value).map_err(fetch)?;
                }
                if let Some(login) = self.logins.header(url) {
                    request = request.header("authorization", &login).map_err(fetch)?;
                }
                if asked == Asked::Anew {
                    request = request.header("cache-control", "no-cache").map_err(fetch)?;
                }
                match self.client.download(&request, None, out) {
                    Ok(Downloaded::Whole(validators)) => Ok(validators),
                    Ok(Downloaded::Unchanged) => Ok(Validators::default()),
                    Err(HttpError::Status { status, .. }) if MISSING.contains(&status) => {
                        Err(ArchiveError::Missing { url: shown(url), status })
                    }
                    Err(cause) => Err(fetch(cause)),
                }
            }
            _ => Err(ArchiveError::Address {
                address: shown(url),
                problem: "archives are reached by http, https, file or copy only",
            }),
        }
    }
}

/// The path of a local address: `file:/srv/debian` or `file:///srv/debian`.
fn decoded(rest: &str) -> String {
    let path = rest.strip_prefix("//").map_or(rest, |rest| rest.strip_prefix("localhost").unwrap_or(rest));
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn local(path: &std::path::Path, out: &mut dyn Download) -> Result<(), ArchiveError> {
    let read = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => {
            ArchiveError::Missing { url: format!("file:{}", path.display()), status: 404 }
        }
        _ => ArchiveError::Read { path: path.to_owned(), cause },
    };
    let keep = |cause| ArchiveError::Fetch {
        url: format!("file:{}", path.display()),
        cause: HttpError::Write { cause },
    };
    let mut file = File::open(path).map_err(read)?;
    out.begin(file.metadata().ok().map(|metadata| metadata.len())).map_err(keep)?;
    let mut room = vec![0; 128 << 10];
    loop {
        match file.read(&mut room).map_err(read)? {
            0 => return Ok(()),
            count => out.take(&room[..count]).map_err(keep)?,
        }
    }
}

/// An address as it is shown: without a login.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

/// A document in memory.
struct Bytes {
    bytes: Vec<u8>,
    most: usize,
    is_over: bool,
}

impl Download for Bytes {
    fn begin(&mut self, _: Option<u64>) -> io::Result<()> {
        self.bytes.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_over = self.bytes.len() + bytes.len() > self.most;
        if self.is_over {
            return Err(io::Error::other("it is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}
