//! Compression of layers: the same bytes for any number of threads; and its inverse for what others wrote.

mod members;

use std::io::{self, BufReader, Read, Write};

use crate::Error;
use members::Members;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// gzip in members of 1 MiB, level 0 to 12.
    Gzip {
        /// Level; 6 is usual.
        level: u8,
    },
    /// gzip in one member, for readers that know no other; one thread.
    GzipSingle {
        /// Level, 0 to 9.
        level: u8,
    },
    /// zstd, level 1 to 22.
    Zstd {
        /// Level; 3 is usual.
        level: u8,
    },
    /// Not at all.
    None,
}

/// Compresses what is written to it; may be a sink of [`crate::LayerWriter`].
pub struct Compressor<W: Write> {
    encoder: Encoder<W>,
}

enum Encoder<W: Write> {
    Gzip(Members<W>),
    GzipSingle(Blocks<flate2::write::GzEncoder<W>>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    None(W),
}

impl<W: Write> Compressor<W> {
    /// Compresses into `out` with this many threads; a level out of range is taken as the nearest.
    pub fn new(how: Compression, threads: usize, out: W) -> Result<Self, Error> {
        let threads = threads.max(1);
        let encoder = match how {
            Compression::Gzip { level } => Encoder::Gzip(Members::new(level.min(12), threads, out)),
            Compression::GzipSingle { level } => {
                let level = flate2::Compression::new(u32::from(level.min(9)));
                let gzip = flate2::GzBuilder::new().mtime(0).operating_system(255).write(out, level);
                Encoder::GzipSingle(Blocks { out: gzip, buffer: Vec::with_capacity(BLOCK) })
            }
            Compression::Zstd { level } => {
                zstd_encoder(level, threads, out).map(Encoder::Zstd).map_err(compressing)?
            }
            Compression::None => Encoder::None(out),
        };
        Ok(Self { encoder })
    }

    /// Ends the stream, and gives back what it went to.
    pub fn finish(self) -> Result<W, Error> {
        let mut out = match self.encoder {
            Encoder::Gzip(members) => members.finish(),
            Encoder::GzipSingle(blocks) => blocks.finish().and_then(|encoder| encoder.finish()),
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::None(out) => Ok(out),
        }
        .map_err(compressing)?;
        out.flush().map_err(compressing)?;
        Ok(out)
    }
}

/// What zlib is given at a time: its output depends on it.
/// Format break if changed: the same layer would get another digest.
const BLOCK: usize = 256 << 10;

/// Passes bytes on in blocks of one size, however they come.
struct Blocks<W> {
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> Blocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == BLOCK {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        let count = bytes.len().min(BLOCK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.buffer)?;
        Ok(self.out)
    }
}

fn zstd_encoder<W: Write>(
    level: u8,
    threads: usize,
    out: W,
) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(out, i32::from(level.clamp(1, 22)))?;
    // One worker and two give the same bytes; none gives others.
    encoder.multithread(threads as u32)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.encoder {
            Encoder::Gzip(members) => members.write(bytes),
            Encoder::GzipSingle(blocks) => blocks.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
            Encoder::None(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // A block ends where it always does, so that bytes do not depend on when somebody flushed.
        Ok(())
    }
}

fn compressing(cause: io::Error) -> Error {
    Error::Stream { deed: "compress", cause }
}

/// The plain bytes of a stream, whatever it is compressed with: gzip in any number of members, zstd, bzip2, xz or
/// nothing, told from its first bytes.
pub fn decompress<'a>(reader: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, Error> {
    decompress_within(reader, u64::MAX)
}

/// The same where xz may ask for so much memory at most: its streams name their own need, of up to 4 GiB. What the
/// others need is bounded by their formats, or by their libraries.
pub fn decompress_within<'a>(
    mut reader: impl Read + Send + 'a,
    memory: u64,
) -> Result<Box<dyn Read + Send + 'a>, Error> {
    let failed = |cause| Error::Stream { deed: "decompress", cause };
    let mut head = Vec::new();
    reader.by_ref().take(6).read_to_end(&mut head).map_err(failed)?;
    let packing = Packing::of(&head);
    let reader = BufReader::with_capacity(256 << 10, io::Cursor::new(head).chain(reader));
    Ok(match packing {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader).map_err(failed)?),
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Packing::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(memory, liblzma::stream::CONCATENATED);
            let stream = stream.map_err(|cause| failed(cause.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
        }
        Packing::None => Box::new(reader),
    })
}

/// What a stream is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    None,
}

impl Packing {
    /// Told from a stream's first six bytes.
    pub(crate) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // The second is a skippable frame, with which some streams begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests;
