//! Compression of layers: the same bytes for any number of threads; and its inverse for what others wrote.

use std::io::{self, Read, Write};

use ireko_oci::Digest;

use crate::Error;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// gzip in members of 1 MiB, level 1 to 12.
    Gzip {
        /// Level; 6 is usual.
        level: u8,
    },
    /// gzip in one member, for readers that know no other; one thread.
    GzipSingle {
        /// Level, 1 to 9.
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

/// A compressed layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

/// Compresses what is written to it; may be a sink of [`crate::LayerWriter`].
pub struct Compressor<W: Write> {
    _out: W,
}

impl<W: Write> Compressor<W> {
    /// Compresses into `out` with this many threads.
    pub fn new(_how: Compression, _threads: usize, _out: W) -> Result<Self, Error> {
        unimplemented!("being built")
    }

    /// Ends the stream.
    pub fn finish(self) -> Result<(W, Compressed), Error> {
        unimplemented!("being built")
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        unimplemented!("being built")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses a whole stream.
pub fn compress(
    _reader: impl Read,
    _how: Compression,
    _threads: usize,
    _out: impl Write,
) -> Result<Compressed, Error> {
    unimplemented!("being built")
}

/// The plain bytes of a stream, whatever it is compressed with: gzip in any number of members, zstd, bzip2, xz or
/// nothing, told from its first bytes.
pub fn decompress<'a>(_reader: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, Error> {
    unimplemented!("being built")
}
