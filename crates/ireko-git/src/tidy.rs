//! What a checkout looks like whatever the umask was: modes, and times if asked.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::error::GitError;

/// Gives everything below `dir`, and `dir`, the modes that umask 022 would have given, and the time.
pub(crate) fn tidy(dir: &Path, time: Option<i64>) -> Result<(), GitError> {
    let io = |deed| move |path: &Path, cause| GitError::io(deed, path, cause);
    let (list, change) = (io("list"), io("change the mode or time of"));
    for entry in fs::read_dir(dir).map_err(|cause| list(dir, cause))? {
        let entry = entry.map_err(|cause| list(dir, cause))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|cause| list(&path, cause))?;
        if kind.is_dir() {
            tidy(&path, time)?;
            continue;
        }
        if kind.is_file() {
            let mode = entry.metadata().map_err(|cause| list(&path, cause))?.permissions().mode();
            set_mode(&path, mode).map_err(|cause| change(&path, cause))?;
        }
        set_time(&path, time).map_err(|cause| change(&path, cause))?;
    }
    fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(|cause| change(dir, cause))?;
    set_time(dir, time).map_err(|cause| change(dir, cause))
}

/// The group and the others may what the owner may, but write.
fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    let owner = mode >> 6 & 7;
    let wanted = owner << 6 | (owner & 5) << 3 | owner & 5;
    if mode & 0o7777 == wanted { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(wanted)) }
}

fn set_time(path: &Path, time: Option<i64>) -> std::io::Result<()> {
    let Some(seconds) = time else { return Ok(()) };
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Into::into)
}
