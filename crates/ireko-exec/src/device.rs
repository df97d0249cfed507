//! A device file for one step: one of its own where one can be made, else this machine's.

use crate::cdi::{GivenNode, NodeKind};
use crate::error::Fault;
use ireko_report::Blame;
use rustix::fs::{CWD, Dev, FileType, Mode, makedev, mknodat};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Who reads and writes a device, unless its file says otherwise: everybody in the step, as with runc.
const MODE: u32 = 0o666;

/// Makes the device at `own` and says what is to be shown: with an owner and a mode of its own where this process may
/// make devices. Elsewhere it is this machine's, and what the step may do with it is what its user may.
pub(crate) fn make(node: &GivenNode, own: &Path) -> Result<PathBuf, Fault> {
    let (kind, number) = what(node)?;
    let failed = |error: &dyn std::error::Error| {
        Fault::of(Blame::Environment, error).named(format!("cannot make device `{}`", node.path.display()))
    };
    let kind = match kind {
        NodeKind::Character => FileType::CharacterDevice,
        NodeKind::Block => FileType::BlockDevice,
    };
    match mknodat(CWD, own, kind, Mode::from_raw_mode(MODE), number) {
        Ok(()) => {}
        Err(rustix::io::Errno::PERM) => return shown(node),
        Err(errno) => return Err(failed(&errno)),
    }
    chown(own, Some(node.uid.unwrap_or(0)), Some(node.gid.unwrap_or(0))).map_err(|error| failed(&error))?;
    fs::set_permissions(own, Permissions::from_mode(node.mode.unwrap_or(MODE)))
        .map_err(|error| failed(&error))?;
    Ok(own.to_owned())
}

/// This machine's own device, which must be there.
fn shown(node: &GivenNode) -> Result<PathBuf, Fault> {
    fs::metadata(&node.host).map_err(|error| missing(&node.host, &error))?;
    Ok(node.host.clone())
}

pub(crate) fn missing(host: &Path, error: &io::Error) -> Fault {
    Fault::of(Blame::Environment, error)
        .named(format!("a device of the step needs `{}`, which cannot be had", host.display()))
}

/// What the description says, or what is there.
fn what(node: &GivenNode) -> Result<(NodeKind, Dev), Fault> {
    if let (Some(kind), Some((major, minor))) = (node.kind, node.number) {
        return Ok((kind, makedev(major, minor)));
    }
    let there = fs::metadata(&node.host).map_err(|error| missing(&node.host, &error))?;
    let kind = match there.file_type() {
        kind if kind.is_char_device() => NodeKind::Character,
        kind if kind.is_block_device() => NodeKind::Block,
        _ => {
            let message =
                format!("a device of the step needs `{}`, which is no device file", node.host.display());
            return Err(Fault::failed(Blame::Environment, message));
        }
    };
    if node.kind.is_some_and(|wanted| wanted != kind) {
        let message = format!(
            "a device of the step needs `{}`, which is not of the type that its description says",
            node.host.display()
        );
        return Err(Fault::failed(Blame::Environment, message));
    }
    Ok((kind, node.number.map_or(there.rdev(), |(major, minor)| makedev(major, minor))))
}
