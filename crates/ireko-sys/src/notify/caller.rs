//! Who made a reported call: its memory, and its rights.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::kernel;
use super::serve::PATH_MAX;
use crate::raw::{self, Errno};

/// A caller's memory.
pub(super) struct Memory(File);

impl Memory {
    pub(super) fn of(pid: u32, write: bool) -> raw::Result<Self> {
        let path = format!("/proc/{pid}/mem");
        let open = || File::options().read(true).write(write).open(&path);
        // Of other users' processes it is theirs alone, where this process may not trace.
        let open = || open().or_else(|_| as_owner(pid, open));
        open().map(Self).map_err(|_| Errno(libc::EFAULT))
    }

    pub(super) fn text(&self, at: u64) -> raw::Result<Vec<u8>> {
        text(at, |at, room| self.0.read_at(room, at).map_err(|_| Errno(libc::EFAULT)))
    }

    pub(super) fn words<const N: usize>(&self, at: u64) -> raw::Result<[u64; N]> {
        let mut words = [0; N];
        for (place, word) in words.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            self.0.read_exact_at(&mut bytes, at + 8 * place as u64).map_err(|_| Errno(libc::EFAULT))?;
            *word = u64::from_ne_bytes(bytes);
        }
        Ok(words)
    }

    pub(super) fn bytes(&self, at: u64, size: usize) -> raw::Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.0.read_exact_at(&mut bytes, at).map_err(|_| Errno(libc::EFAULT))?;
        Ok(bytes)
    }

    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> raw::Result<()> {
        self.0.write_all_at(bytes, at).map_err(|_| Errno(libc::EFAULT))
    }
}

/// A text of a caller's up to its zero byte, by what reads the caller's memory from an address on.
pub(super) fn text(
    mut at: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> raw::Result<usize>,
) -> raw::Result<Vec<u8>> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    while text.len() < PATH_MAX {
        let mut buffer = [0_u8; 256];
        // Up to the end of a page, since the next one may not be there.
        let left = (PAGE - at % PAGE).min(buffer.len() as u64) as usize;
        let count = read(at, buffer.get_mut(..left).unwrap_or(&mut []))?;
        let found = buffer.get(..count).unwrap_or(&[]);
        if let Some(end) = found.iter().position(|byte| *byte == 0) {
            text.extend_from_slice(found.get(..end).unwrap_or(&[]));
            return Ok(text);
        }
        if count == 0 {
            return Err(Errno(libc::EFAULT));
        }
        text.extend_from_slice(found);
        at += count as u64;
    }
    Err(Errno(libc::ENAMETOOLONG))
}

/// Does something with the rights of the user and group whose process this is.
pub(super) fn as_owner<T>(pid: u32, deed: impl FnOnce() -> T) -> T {
    let owner = fs::metadata(format!("/proc/{pid}")).map_or((0, 0), |meta| (meta.uid(), meta.gid()));
    if owner == (0, 0) {
        return deed();
    }
    let _given_up = kernel::act_as(owner);
    deed()
}
