//! Extended attributes by directory handle and name; of a symbolic link itself, not of what it points to.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::XattrFlags;
use rustix::io::{Errno, Result};

use super::handle_path;

/// Most bytes an attribute or the list of names can have (`XATTR_SIZE_MAX`).
const SIZE_MAX: usize = 64 << 10;

/// The attribute `key` of `name` in `dir`; none if it has no such attribute.
///
/// With an empty name, of the directory itself.
pub fn get_xattr(dir: impl AsFd, name: &OsStr, key: &OsStr) -> Result<Option<Vec<u8>>> {
    let path = handle_path(dir, name);
    let mut small = [0_u8; 256];
    match rustix::fs::lgetxattr(&path, key, &mut small) {
        Ok(length) => return Ok(small.get(..length).map(<[u8]>::to_vec)),
        Err(Errno::NODATA) => return Ok(None),
        Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    let mut buffer = vec![0_u8; SIZE_MAX];
    let length = rustix::fs::lgetxattr(&path, key, &mut buffer)?;
    buffer.truncate(length);
    Ok(Some(buffer))
}

/// The names of the attributes of `name` in `dir`. File systems without attributes have none.
pub fn list_xattrs(dir: impl AsFd, name: &OsStr) -> Result<Vec<OsString>> {
    let path = handle_path(dir, name);
    let mut small = [0_u8; 512];
    let read = rustix::fs::llistxattr(&path, &mut small);
    let buffer = match read {
        Ok(length) => small.get(..length).unwrap_or(&[]).to_vec(),
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut buffer = vec![0_u8; SIZE_MAX];
            let length = rustix::fs::llistxattr(&path, &mut buffer)?;
            buffer.truncate(length);
            buffer
        }
        Err(errno) => return Err(errno),
    };
    Ok(buffer
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect())
}

/// Sets the attribute `key` of `name` in `dir`.
pub fn set_xattr(dir: impl AsFd, name: &OsStr, key: &OsStr, value: &[u8]) -> Result<()> {
    rustix::fs::lsetxattr(handle_path(dir, name), key, value, XattrFlags::empty())
}

/// Removes the attribute `key` of `name` in `dir`.
pub fn remove_xattr(dir: impl AsFd, name: &OsStr, key: &OsStr) -> Result<()> {
    rustix::fs::lremovexattr(handle_path(dir, name), key)
}
