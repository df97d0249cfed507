//! Overlays by the old mount call, which reads at most one page of options.
//!
//! Each directory is opened and named by the number of its descriptor, with /proc/thread-self/fd as the
//! current directory: hundreds of layers fit, whatever their paths are.

use std::ffi::CStr;

use libc::c_int;

use super::{MAX_LOWERS, OverlayPlan};
use crate::raw::{self, Errno, Result};

/// The most the kernel reads.
const PAGE: usize = 4096;

/// The option text and the descriptors it names.
struct Options {
    text: [u8; PAGE],
    length: usize,
    open: [c_int; MAX_LOWERS + 2],
    count: usize,
}

/// Mounts an overlay at `at`. Changes the current directory; allocates nothing.
pub(crate) fn legacy_overlay(plan: &OverlayPlan, at: &CStr) -> Result<()> {
    match mount(plan, at, plan.upper.is_some()) {
        // Kernels before 5.10 do not know `volatile`.
        Err(Errno(libc::EINVAL)) => mount(plan, at, false),
        other => other,
    }
}

fn mount(plan: &OverlayPlan, at: &CStr, volatile: bool) -> Result<()> {
    let mut options = Options { text: [0; PAGE], length: 0, open: [-1; MAX_LOWERS + 2], count: 0 };
    let done = options.fill(plan, volatile).and_then(|()| {
        raw::chdir(c"/proc/thread-self/fd")?;
        let text = CStr::from_bytes_until_nul(&options.text).map_err(|_| Errno(libc::E2BIG))?;
        raw::mount(Some(c"overlay"), at, Some(c"overlay"), 0, Some(text))
    });
    for fd in options.open.iter().take(options.count) {
        raw::close(*fd);
    }
    done
}

impl Options {
    fn fill(&mut self, plan: &OverlayPlan, volatile: bool) -> Result<()> {
        let mut before: &[u8] = b"lowerdir=";
        for lower in &plan.lowers {
            self.write(before)?;
            self.name(lower)?;
            before = b":";
        }
        if let Some((dir, work)) = &plan.upper {
            self.write(b",upperdir=")?;
            self.name(dir)?;
            self.write(b",workdir=")?;
            self.name(work)?;
        }
        let rest: &[u8] = if plan.userxattr { b",userxattr" } else { b",redirect_dir=off,metacopy=off" };
        self.write(rest)?;
        self.write(if volatile { b",index=off,volatile" } else { b",index=off" })
    }

    /// Opens a directory and writes its number.
    fn name(&mut self, path: &CStr) -> Result<()> {
        let fd = raw::openat(raw::AT_CWD, path, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        *self.open.get_mut(self.count).ok_or(Errno(libc::EMFILE))? = fd;
        self.count = self.count.saturating_add(1);
        let mut digits = [0_u8; 10];
        let (mut left, mut first) = (fd.unsigned_abs(), digits.len());
        while left > 0 || first == digits.len() {
            first = first.saturating_sub(1);
            if let Some(digit) = digits.get_mut(first) {
                *digit = b'0'.wrapping_add((left % 10) as u8);
            }
            left /= 10;
        }
        self.write(digits.get(first..).unwrap_or(&[]))
    }

    fn write(&mut self, added: &[u8]) -> Result<()> {
        let end = self.length.saturating_add(added.len());
        // One byte is left for the zero.
        if end >= PAGE {
            return Err(Errno(libc::E2BIG));
        }
        self.text.get_mut(self.length..end).ok_or(Errno(libc::E2BIG))?.copy_from_slice(added);
        self.length = end;
        Ok(())
    }
}
