//! Extended attributes: which belong to a layer, and how they are read from a file.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use ireko_sys::owner::{Owner, RECORD};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;

use crate::{OverlayAttrs, Xattrs};

const CAPABILITY: &[u8] = b"security.capability";

/// The attributes of a file that belong to its layer, and overlayfs's own marks.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) kept: Xattrs,
    pub(crate) opaque: bool,
    pub(crate) whiteout: bool,
    /// Who owns it, where owners are noted and there is a note.
    pub(crate) owner: Option<Owner>,
}

/// Whether a layer carries this attribute. Labels of the machine's security modules and access lists, whose ids mean
/// nothing elsewhere, are not the image's.
pub(crate) fn belongs(name: &[u8]) -> bool {
    let user = name.strip_prefix(b"user.").or_else(|| name.strip_prefix(b"trusted."));
    match user {
        Some(rest) => !rest.starts_with(b"overlay.") && name != RECORD.as_bytes() && !name.contains(&b'='),
        None => name == CAPABILITY,
    }
}

/// Keeps what belongs to a layer, in the form that means the same everywhere.
pub(crate) fn normalise(xattrs: &mut Xattrs) {
    xattrs.retain(|name, _| belongs(name));
    if let Some(value) = xattrs.get_mut(CAPABILITY) {
        without_root_id(value);
    }
}

/// Version 3 of a capability set names the user namespace's root; in a layer that is root, which version 2 means.
fn without_root_id(value: &mut Vec<u8>) {
    const VERSION_3: u8 = 3;
    if value.len() == 24 && value[3] == VERSION_3 {
        value.truncate(20);
        value[3] = 2;
    }
}

/// Reads a file's attributes; a symbolic link is not followed.
pub(crate) fn read(path: &Path, attrs: OverlayAttrs) -> io::Result<Found> {
    let mut found = Found::default();
    let names = match sized(|room| llistxattr(path, room)) {
        Err(Errno::NOTSUP | Errno::NODATA) => return Ok(found),
        names => names?,
    };
    let own = attrs.prefix();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mark = name.strip_prefix(own);
        let noted = attrs == OverlayAttrs::Noted && name == RECORD.as_bytes();
        if mark.is_none() && !noted && !belongs(name) {
            continue;
        }
        let value = match sized(|room| lgetxattr(path, name, room)) {
            // Gone since it was listed.
            Err(Errno::NODATA) => continue,
            value => value?,
        };
        match mark {
            Some(b"opaque") => found.opaque = value == b"y",
            Some(b"whiteout") => found.whiteout = true,
            Some(_) => {}
            None if noted => found.owner = Owner::parse(&value),
            None => {
                found.kept.insert(name.to_vec(), value);
            }
        }
    }
    normalise(&mut found.kept);
    Ok(found)
}

/// Notes who owns a file; of root nothing is noted. A symbolic link, pipe or socket takes no note, and needs none: its
/// index has it.
pub(crate) fn note(path: &Path, owner: Owner) -> Result<(), Errno> {
    let noted = match owner {
        Owner::ROOT => lremovexattr(path, RECORD),
        owner => lsetxattr(path, RECORD, owner.to_string().as_bytes(), XattrFlags::empty()),
    };
    match noted {
        Err(Errno::NODATA | Errno::PERM) => Ok(()),
        Err(Errno::NOTSUP) if owner == Owner::ROOT => Ok(()),
        noted => noted,
    }
}

/// The same of an open file.
pub(crate) fn note_open(fd: BorrowedFd<'_>, owner: Owner) -> Result<(), Errno> {
    rustix::fs::fsetxattr(fd, RECORD, owner.to_string().as_bytes(), XattrFlags::empty())
}

/// Calls with room for most answers, and again with the most that Linux allows.
fn sized(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match call(&mut small) {
        Err(Errno::RANGE) => {}
        length => return Ok(small[..length?].to_vec()),
    }
    let mut room = vec![0; 1 << 16];
    let length = call(&mut room)?;
    room.truncate(length);
    Ok(room)
}
