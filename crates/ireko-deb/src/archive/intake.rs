//! Where bytes go as they arrive: hashed, decompressed, hashed again, and into a file.

use std::fs::File;
use std::io::{self, Seek, Write};

use ireko_http::Download;
use ring::digest::{Context, SHA256};

use super::cache::{Draft, sum};
use super::{ArchiveError, Meter};
use crate::release::Listed;

/// How a list is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Xz,
    Zstd,
    Gzip,
    Plain,
}

impl Form {
    /// The best first: what is smaller on the way.
    pub(super) const ALL: [Self; 4] = [Self::Xz, Self::Zstd, Self::Gzip, Self::Plain];

    /// The end of the file's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::Plain => "",
        }
    }
}

/// A list is refused from this size on where its archive does not say how large it is: none is nearly as large.
const PLAIN_MAX: u64 = 2 << 30;
/// `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// What is wrong with what arrives, beyond the transfer.
pub(super) enum Fault {
    TooLong,
    Damaged(String),
}

/// Takes a file.
pub(super) struct Intake<'a> {
    pub(super) draft: Draft,
    form: Form,
    wanted: Listed,
    plain_max: u64,
    seen: Context,
    pub(super) size: u64,
    decoder: Option<Decoder>,
    pub(super) fault: Option<Fault>,
    meter: &'a Meter<'a>,
}

impl<'a> Intake<'a> {
    /// For a file of this size and hash; where it is compressed, it may decompress to at most `plain_max` bytes.
    pub(super) fn new(
        draft: Draft,
        form: Form,
        wanted: Listed,
        plain_max: Option<u64>,
        meter: &'a Meter<'a>,
    ) -> Self {
        let plain_max = plain_max.unwrap_or(PLAIN_MAX);
        let seen = Context::new(&SHA256);
        Self { draft, form, wanted, plain_max, seen, size: 0, decoder: None, fault: None, meter }
    }

    /// The end: the file is the wanted one. Says the hash and size of what was written, which are those of the file
    /// itself where it is not compressed.
    pub(super) fn finish(mut self, url: &str) -> Result<(Draft, Listed), ArchiveError> {
        let keep = |path: &std::path::Path, cause| ArchiveError::Keep { path: path.to_owned(), cause };
        if self.size != self.wanted.size {
            return Err(ArchiveError::other_size(url, self.wanted.size, &self.size.to_string()));
        }
        let seen = sum(self.seen.clone());
        if seen != self.wanted.sha256 {
            return Err(ArchiveError::other_hash(url, &self.wanted.sha256, &seen));
        }
        let plain = match self.decoder.take() {
            Some(decoder) => decoder.finish(),
            None => Plain::new(&self.draft.file, self.plain_max),
        };
        let mut plain = plain.map_err(|error| match error.raw_os_error() {
            Some(_) => keep(&self.draft.path, error),
            None => ArchiveError::Damaged { url: url.to_owned(), problem: error.to_string() },
        })?;
        plain.flush().map_err(|cause| keep(&self.draft.path, cause))?;
        let listed = Listed { size: plain.size, sha256: sum(plain.seen) };
        Ok((self.draft, listed))
    }
}

impl Download for Intake<'_> {
    fn begin(&mut self, length: Option<u64>) -> io::Result<()> {
        self.meter.take_back(self.size);
        (self.seen, self.size) = (Context::new(&SHA256), 0);
        if length.is_some_and(|length| length > self.wanted.size) {
            self.fault = Some(Fault::TooLong);
            return Err(io::Error::other("it is longer than it should be"));
        }
        self.draft.file.set_len(0)?;
        self.draft.file.rewind()?;
        self.decoder = Some(Decoder::new(self.form, Plain::new(&self.draft.file, self.plain_max)?)?);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size + bytes.len() as u64 > self.wanted.size {
            self.fault = Some(Fault::TooLong);
            return Err(io::Error::other("it is longer than it should be"));
        }
        self.seen.update(bytes);
        self.size += bytes.len() as u64;
        self.meter.add(bytes.len() as u64);
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        decoder.write_all(bytes).inspect_err(|error| {
            // What the system says is about the disk, and not about the file that comes.
            if error.raw_os_error().is_none() {
                self.fault = Some(Fault::Damaged(error.to_string()));
            }
        })
    }
}

/// Decompresses what is written to it.
enum Decoder {
    Xz(Box<liblzma::write::XzDecoder<Plain>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Plain>>),
    Gzip(Box<flate2::write::MultiGzDecoder<Plain>>),
    Plain(Box<Plain>),
}

impl Decoder {
    fn new(form: Form, plain: Plain) -> io::Result<Self> {
        Ok(match form {
            Form::Xz => {
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                Self::Xz(Box::new(liblzma::write::XzDecoder::new_stream(plain, stream)))
            }
            Form::Zstd => Self::Zstd(Box::new(zstd::stream::write::Decoder::new(plain)?)),
            Form::Gzip => Self::Gzip(Box::new(flate2::write::MultiGzDecoder::new(plain))),
            Form::Plain => Self::Plain(Box::new(plain)),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Xz(decoder) => decoder.write_all(bytes),
            Self::Zstd(decoder) => decoder.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Plain(plain) => plain.write_all(bytes),
        }
    }

    /// The end of the input; one that is in the middle of a stream is an error.
    fn finish(self) -> io::Result<Plain> {
        match self {
            Self::Xz(decoder) => decoder.finish(),
            Self::Zstd(mut decoder) => {
                decoder.flush()?;
                Ok(decoder.into_inner())
            }
            Self::Gzip(decoder) => decoder.finish(),
            Self::Plain(plain) => Ok(*plain),
        }
    }
}

/// Writes to a file, and hashes.
struct Plain {
    file: io::BufWriter<File>,
    seen: Context,
    size: u64,
    most: u64,
}

impl Plain {
    fn new(file: &File, most: u64) -> io::Result<Self> {
        let file = io::BufWriter::with_capacity(64 << 10, file.try_clone()?);
        Ok(Self { file, seen: Context::new(&SHA256), size: 0, most })
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.size += bytes.len() as u64;
        if self.size > self.most {
            return Err(io::Error::other("it decompresses to more than its archive says"));
        }
        self.seen.update(bytes);
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
