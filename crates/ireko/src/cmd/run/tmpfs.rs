//! `--tmpfs`: empty file systems in memory.

use crate::failure::Failure;
use crate::text;
use ireko_oci::GuestPath;
use ireko_sys::sandbox::{Mount, MountSource};

/// Reads one, with Docker's defaults: no set-id programs, no devices, nothing executed.
pub(super) fn parse(text: &str) -> Result<Mount, Failure> {
    let wrong = || Failure::user(format!("`--tmpfs {text}` is not of the form inside[:size=64m,mode=1777]"));
    let (inside, options) = text.split_once(':').unwrap_or((text, ""));
    let inside = GuestPath::new(inside).map_err(|error| wrong().cause(error))?;
    if inside == GuestPath::root() {
        return Err(Failure::user(format!("`--tmpfs {text}` would hide the whole image"))
            .hint("mount it at another place than `/`"));
    }
    let (mut size, mut mode, mut read_only, mut hardened) = (None, 0o1777, false, true);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => size = Some(text::memory(&format!("--tmpfs {inside}:size="), value)?),
            Some(("mode", value)) => {
                mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(wrong)?;
            }
            None if option == "ro" => read_only = true,
            None if option == "exec" => hardened = false,
            None if ["rw", "noexec", "nosuid", "nodev"].contains(&option) => {}
            _ => return Err(Failure::not_yet(format!("`{option}` in `--tmpfs {text}`"))),
        }
    }
    let mount = Mount::new(MountSource::Tmpfs { size, mode }, inside.as_str());
    let mount = if read_only { mount.read_only() } else { mount };
    Ok(if hardened { mount.hardened() } else { mount })
}
