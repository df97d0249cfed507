//! A device file for one step: one of its own where one can be made, else this machine's.

use crate::cdi::{Allowed, DeviceError, Devices, Given, GivenNode, NodeKind};
use crate::error::Fault;
use ireko_graph::op::Device;
use ireko_report::Blame;
use ireko_sys::mount;
use ireko_sys::sandbox::Mount;
use rustix::fs::{CWD, Dev, FileType, Mode, makedev, mknodat};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Who reads and writes a device, unless its file says otherwise: everybody in the step, as with runc.
const MODE: u32 = 0o666;

/// What whoever uses devices is given, made ready outside the sandbox.
#[derive(Debug, Default)]
pub struct ReadyDevices {
    /// Variables of its programs.
    pub variables: Vec<(OsString, OsString)>,
    /// Groups that its user is in.
    pub groups: Vec<u32>,
    /// Device files, and files of this machine.
    pub mounts: Vec<Mount>,
    /// The file system in which the device files are; it is to outlive the programs.
    pub(crate) attached: Option<mount::Mounted>,
}

/// Makes devices ready for a container; `dir` is an empty directory of its own. Whoever names them allows them.
///
/// # Errors
/// There is no such device, it wants what ireko does not do, or it cannot be made.
pub fn ready_devices(devices: &Devices, names: &[Device], dir: &Path) -> Result<ReadyDevices, DeviceError> {
    let (names, _) = devices.wanted(names, &Allowed { all: true, ..Allowed::default() })?;
    ready(&devices.given(&names)?, dir).map_err(|fault| match fault {
        Fault::Failed(failed) => DeviceError::Made(
            std::iter::once(failed.message).chain(failed.causes).collect::<Vec<_>>().join(": "),
        ),
        fault => DeviceError::Made(format!("{fault:?}")),
    })
}

/// The same for what was found already.
pub(crate) fn ready(given: &Given, dir: &Path) -> Result<ReadyDevices, Fault> {
    let variables = given.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let mut ready = ReadyDevices { variables, groups: given.groups.clone(), ..ReadyDevices::default() };
    if !given.nodes.is_empty() {
        let mounted = mount::tmpfs_for_devices(dir).map_err(|error| Fault::of(Blame::Environment, &error))?;
        ready.attached = Some(mounted);
        for (at, node) in given.nodes.iter().enumerate() {
            let source = make(node, &dir.join(at.to_string()))?;
            let devices = ireko_sys::sandbox::Devices::Given;
            ready.mounts.push(Mount { devices, ..Mount::bind(source, &node.path) });
        }
    }
    for one in &given.mounts {
        fs::metadata(&one.host).map_err(|error| missing(&one.host, &error))?;
        let mount = Mount::bind(&one.host, &one.path);
        let (read_only, no_set_id, no_execution) = (one.read_only, one.no_set_id, one.no_execution);
        ready.mounts.push(Mount { read_only, no_set_id, no_execution, ..mount });
    }
    Ok(ready)
}

/// Makes the device at `own` and says what is to be shown: with an owner and a mode of its own where this process may
/// make devices. Elsewhere it is this machine's, and what the step may do with it is what its user may.
fn make(node: &GivenNode, own: &Path) -> Result<PathBuf, Fault> {
    let (kind, number) = what(node)?;
    let failed = |error: &(dyn std::error::Error + 'static)| {
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

fn missing(host: &Path, error: &io::Error) -> Fault {
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
