//! A file as a slice of bytes.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// A file mapped into memory, to be read only.
///
/// The file must be one that nobody changes in place while it is mapped: one of the store's own, published by
/// rename and only ever replaced or removed as a whole. A file that is cut short ends the process with
/// `SIGBUS`; one that is written to changes under the reader's eyes. So never map a user's files.
#[derive(Debug)]
pub struct Mapped {
    /// Dangling for an empty file, which cannot be mapped.
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is read-only for as long as the value lives and belongs to it alone.
unsafe impl Send for Mapped {}
// SAFETY: as above; there is no mutation to race with.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the whole file.
    pub fn whole(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len())
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if length == 0 {
            return Ok(Self { start: NonNull::dangling(), length: 0 });
        }
        // SAFETY: a new private read-only mapping at a place of the kernel's choice touches no memory in use.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { start, length })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has `length` readable bytes until this is dropped, and by the rule above nobody
        // changes the file in place; a dangling pointer is allowed for no bytes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: the mapping is ours, and no slice of it outlives this value.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        }
    }
}
