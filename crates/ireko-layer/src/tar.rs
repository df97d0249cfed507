//! The tar format itself: canonical headers out, any usual headers in.

mod fields;
mod pax;
mod read;
mod sparse;
mod write;

pub(crate) use read::{Header, Reader, Type, shown};
pub(crate) use write::{END, entry_bytes, padding};

/// Everything in a tar is a multiple of this long.
pub(crate) const BLOCK: usize = 512;

/// Whether these bytes are a header: an archive is told by its first one.
pub(crate) fn is_header(block: &[u8; BLOCK]) -> bool {
    block.iter().any(|&byte| byte != 0) && fields::checksum_holds(block)
}
