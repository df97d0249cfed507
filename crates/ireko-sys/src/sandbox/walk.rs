//! Finds, and makes where it is missing, the place of a mount inside the new root, without allocating.
//!
//! Links are followed by their text, always inside the root: what an image's link says can never lead to a
//! file of the host, and neither can the magic links of /proc.

use std::ffi::CStr;

use crate::raw::{self, Errno, MAX_LINKS, Result};

const CAPACITY: usize = 4096;

/// A zero-terminated path of bounded length.
pub(super) struct Text {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Text {
    fn new() -> Self {
        Self { bytes: [0; CAPACITY], length: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    /// The path, or `.` for none.
    pub(super) fn as_c_str(&self) -> &CStr {
        let whole = self.bytes.get(..=self.length).unwrap_or(b".\0");
        match CStr::from_bytes_with_nul(whole) {
            Ok(text) if self.length > 0 => text,
            _ => c".",
        }
    }

    fn clear(&mut self) {
        self.set_length(0);
    }

    fn set_length(&mut self, length: usize) {
        self.length = length;
        if let Some(end) = self.bytes.get_mut(length) {
            *end = 0;
        }
    }

    fn push(&mut self, added: &[u8]) -> Result<()> {
        let end = self.length.saturating_add(added.len());
        if end >= CAPACITY {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        let place = self.bytes.get_mut(self.length..end).ok_or(Errno(libc::ENAMETOOLONG))?;
        place.copy_from_slice(added);
        self.set_length(end);
        Ok(())
    }

    fn push_component(&mut self, component: &[u8]) -> Result<()> {
        if self.length > 0 {
            self.push(b"/")?;
        }
        self.push(component)
    }

    fn pop_component(&mut self) {
        let parent = self.bytes().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.set_length(parent);
    }
}

/// What is made where nothing is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Directory,
    File,
}

/// The places made and mounted on so far: for each a letter (`d`, `f`, `m`), the path, a zero byte.
pub(super) struct Log {
    bytes: Box<[u8]>,
    length: usize,
}

impl Log {
    /// Enough for hundreds of mount points; a sandbox that needs more fails with "no buffer space".
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; 32 << 10].into_boxed_slice(), length: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn add(&mut self, made: Make, path: &CStr) -> Result<()> {
        self.note(if made == Make::File { b"f" } else { b"d" }, path)
    }

    /// Something is mounted there: what is made below it from now on is no part of the root.
    pub(super) fn mounted(&mut self, path: &CStr) -> Result<()> {
        self.note(b"m", path)
    }

    fn note(&mut self, letter: &[u8], path: &CStr) -> Result<()> {
        for part in [letter, path.to_bytes_with_nul()] {
            let end = self.length.saturating_add(part.len());
            self.bytes.get_mut(self.length..end).ok_or(Errno(libc::ENOBUFS))?.copy_from_slice(part);
            self.length = end;
        }
        Ok(())
    }
}

/// The path of `target` free of links, relative to the current directory, which must be the root.
pub(super) fn resolve(target: &CStr, make: Make, mut log: Option<&mut Log>) -> Result<Text> {
    let mut done = Text::new();
    let mut rest = Text::new();
    rest.push(target.to_bytes())?;
    let mut links = 0_u32;
    loop {
        let mut component = [0_u8; 256];
        let Some(length) = take_component(&mut rest, &mut component)? else { return Ok(done) };
        let component = component.get(..length).unwrap_or(b".");
        match component {
            b"." => continue,
            b".." => {
                done.pop_component();
                continue;
            }
            _ => done.push_component(component)?,
        }
        let mut buffer = [0_u8; CAPACITY];
        match raw::readlinkat(raw::AT_CWD, done.as_c_str(), &mut buffer) {
            Ok(text) => {
                links = counted(links)?;
                done.pop_component();
                if text.first() == Some(&b'/') {
                    done.clear();
                }
                prepend(&mut rest, text)?;
            }
            // It is there and no link.
            Err(Errno(libc::EINVAL)) => {}
            Err(Errno(libc::ENOENT)) => {
                let is_last = rest.bytes().iter().all(|byte| *byte == b'/');
                let kind = if is_last { make } else { Make::Directory };
                match make_one(done.as_c_str(), kind) {
                    Ok(()) => {
                        if let Some(log) = log.as_deref_mut() {
                            log.add(kind, done.as_c_str())?;
                        }
                    }
                    // Another sandbox that shares the directory was faster: see what it made.
                    Err(Errno(libc::EEXIST)) => {
                        links = counted(links)?;
                        done.pop_component();
                        prepend(&mut rest, component)?;
                    }
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// One more link, or one more look at the same name.
fn counted(links: u32) -> Result<u32> {
    if links < MAX_LINKS { Ok(links.saturating_add(1)) } else { Err(Errno(libc::ELOOP)) }
}

fn make_one(path: &CStr, kind: Make) -> Result<()> {
    match kind {
        Make::Directory => raw::mkdirat(raw::AT_CWD, path, 0o755),
        Make::File => raw::mknodat(raw::AT_CWD, path, libc::S_IFREG | 0o644, 0),
    }
}

/// Moves the first component of `rest` into `component`; none when only slashes are left.
fn take_component(rest: &mut Text, component: &mut [u8; 256]) -> Result<Option<usize>> {
    let bytes = rest.bytes();
    let start = bytes.iter().position(|byte| *byte != b'/');
    let Some(start) = start else { return Ok(None) };
    let tail = bytes.get(start..).unwrap_or(&[]);
    let length = tail.iter().position(|byte| *byte == b'/').unwrap_or(tail.len());
    let source = tail.get(..length).unwrap_or(&[]);
    component.get_mut(..length).ok_or(Errno(libc::ENAMETOOLONG))?.copy_from_slice(source);
    let end = start.saturating_add(length);
    let left = rest.length.saturating_sub(end);
    rest.bytes.copy_within(end..rest.length, 0);
    rest.set_length(left);
    Ok(Some(length))
}

/// Puts a link's text before what is left to walk.
fn prepend(rest: &mut Text, text: &[u8]) -> Result<()> {
    let shift = text.len().saturating_add(1);
    let end = rest.length.saturating_add(shift);
    if end >= CAPACITY {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    rest.bytes.copy_within(0..rest.length, shift);
    if let Some(place) = rest.bytes.get_mut(..text.len()) {
        place.copy_from_slice(text);
    }
    if let Some(slash) = rest.bytes.get_mut(text.len()) {
        *slash = b'/';
    }
    rest.set_length(end);
    Ok(())
}
