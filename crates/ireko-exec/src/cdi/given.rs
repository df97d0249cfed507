//! What a device's files come to: variables, device files, mounts and groups.

use super::spec::{Edits, Mount, Node};
use std::path::PathBuf;

/// What a step is given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// Variables; a later one wins.
    pub(crate) env: Vec<(String, String)>,
    /// Device files.
    pub(crate) nodes: Vec<GivenNode>,
    /// Files and directories of this machine.
    pub(crate) mounts: Vec<GivenMount>,
    /// Groups that the step's user is in.
    pub(crate) groups: Vec<u32>,
}

/// A device file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GivenNode {
    pub(crate) host: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) kind: Option<NodeKind>,
    /// Major and minor, where the file says them.
    pub(crate) number: Option<(u32, u32)>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// What kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Character,
    Block,
}

/// A file or directory of this machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GivenMount {
    pub(crate) host: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) read_only: bool,
    pub(crate) no_set_id: bool,
    pub(crate) no_execution: bool,
}

impl Given {
    /// Adds what is asked for, or says what of it cannot be had.
    pub(super) fn add(&mut self, edits: &Edits) -> Result<(), (String, bool)> {
        for line in &edits.env {
            let (name, value) =
                line.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                    (format!("the variable `{line}`, which is not of the form NAME=value"), false)
                })?;
            self.env.push((name.to_owned(), value.to_owned()));
        }
        for one in &edits.device_nodes {
            let node = node(one)?;
            if !self.nodes.contains(&node) {
                self.nodes.retain(|other| other.path != node.path);
                self.nodes.push(node);
            }
        }
        for one in &edits.mounts {
            let mount = mount(one)?;
            self.mounts.retain(|other| other.path != mount.path);
            self.mounts.push(mount);
        }
        self.groups.extend(&edits.additional_gids);
        Ok(())
    }
}

fn node(node: &Node) -> Result<GivenNode, (String, bool)> {
    let kind = match node.kind.as_deref() {
        None | Some("") => None,
        Some("c" | "u") => Some(NodeKind::Character),
        Some("b") => Some(NodeKind::Block),
        Some(other) => {
            return Err((format!("a device file of type `{other}` at `{}`", node.path.display()), false));
        }
    };
    let permissions = node.permissions.as_deref().filter(|text| !text.is_empty()).unwrap_or("rwm");
    if !(permissions.contains('r') && permissions.contains('w')) {
        let path = node.path.display();
        return Err((format!("`{path}` with permissions `{permissions}` and no more"), false));
    }
    absolute(&node.path)?;
    absolute(node.host())?;
    Ok(GivenNode {
        host: node.host().to_owned(),
        path: node.path.clone(),
        kind,
        number: node.major.zip(node.minor).filter(|number| *number != (0, 0)),
        mode: node.file_mode.map(|mode| mode & 0o7777),
        uid: node.uid,
        gid: node.gid,
    })
}

fn mount(mount: &Mount) -> Result<GivenMount, (String, bool)> {
    let at = mount.container_path.display();
    match mount.kind.as_deref() {
        None | Some("" | "bind" | "none") => {}
        Some(other) => return Err((format!("a mount of type `{other}` at `{at}`"), false)),
    }
    absolute(&mount.container_path)?;
    absolute(&mount.host_path)?;
    let mut given = GivenMount {
        host: mount.host_path.clone(),
        path: mount.container_path.clone(),
        read_only: false,
        no_set_id: false,
        no_execution: false,
    };
    for option in &mount.options {
        match option.as_str() {
            "ro" => given.read_only = true,
            "rw" => given.read_only = false,
            "nosuid" => given.no_set_id = true,
            "suid" => given.no_set_id = false,
            "noexec" => given.no_execution = true,
            "exec" => given.no_execution = false,
            // Mounts of a step are its own and with all that is below them, and refuse devices, whatever is asked for.
            "bind" | "rbind" | "private" | "rprivate" | "slave" | "rslave" | "nodev" | "dev" | "relatime"
            | "noatime" | "nodiratime" | "strictatime" | "defaults" => {}
            other => return Err((format!("the option `{other}` of the mount at `{at}`"), false)),
        }
    }
    Ok(given)
}

fn absolute(path: &std::path::Path) -> Result<(), (String, bool)> {
    match path.is_absolute() {
        true => Ok(()),
        false => Err((format!("the path `{}`, which is not absolute", path.display()), false)),
    }
}
