//! Stand-ins for the kernel's file systems where none can be mounted: a /dev with the usual devices, and of /proc and /sys
//! what tells of the machine, copied. Of processes, and so of a program itself (/proc/self/fd, /dev/fd), they know
//! nothing: what needs that fails, and is not misled.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::plan::{DIRS, LINKS, NODES};

/// Files of /proc that tell of the machine, not of a process.
const PROC: [&str; 17] = [
    "cmdline",
    "cpuinfo",
    "filesystems",
    "loadavg",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "version",
    "sys/kernel/cap_last_cap",
    "sys/kernel/osrelease",
    "sys/kernel/ostype",
    "sys/kernel/pid_max",
    "sys/kernel/random/boot_id",
    "sys/kernel/threads-max",
    "sys/vm/max_map_count",
    "sys/vm/overcommit_memory",
];

/// Files of /sys by which processors are counted, and memory's pages.
const SYS: [&str; 4] = [
    "devices/system/cpu/online",
    "devices/system/cpu/possible",
    "devices/system/cpu/present",
    "kernel/mm/transparent_hugepage/enabled",
];

/// What /proc/self says that is so for every command here.
const SELF: [(&str, &str); 3] = [
    ("cgroup", "0::/\n"),
    ("mounts", "none / rootfs rw 0 0\n"),
    ("mountinfo", "1 0 0:1 / / rw - rootfs none rw\n"),
];

/// Makes the directory `dir`, which is called as what it stands for: dev, proc or sys.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    make_dir(dir)?;
    match dir.file_name().and_then(|name| name.to_str()) {
        Some("dev") => dev(dir),
        Some("proc") => {
            copy("/proc", &PROC, dir)?;
            make_dir(&dir.join("self"))?;
            for (name, text) in SELF {
                let file = dir.join("self").join(name);
                fs::write(&file, text)?;
                set(&file, 0o444)?;
            }
            std::os::unix::fs::symlink("self/mounts", dir.join("mounts"))
        }
        Some("sys") => {
            copy("/sys", &SYS, dir)?;
            make_dir(&dir.join("fs"))?;
            make_dir(&dir.join("fs/cgroup"))
        }
        _ => Ok(()),
    }
}

/// Whatever this process's umask is.
fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    set(path, 0o755)
}

fn set(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn dev(dir: &Path) -> io::Result<()> {
    for (name, major, minor) in NODES {
        let path = dir.join(name);
        let number = rustix::fs::makedev(major, minor);
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), number)?;
        set(&path, 0o666)?;
    }
    for (name, to) in LINKS {
        std::os::unix::fs::symlink(to, dir.join(name))?;
    }
    for (name, mode) in DIRS {
        fs::create_dir(dir.join(name))?;
        set(&dir.join(name), mode)?;
    }
    Ok(())
}

/// Copies those files of `from` that can be read here.
fn copy(from: &str, names: &[&str], to: &Path) -> io::Result<()> {
    for name in names {
        let Ok(text) = fs::read(Path::new(from).join(name)) else { continue };
        let copy = to.join(name);
        let parents: Vec<&Path> = copy.ancestors().skip(1).take_while(|parent| *parent != to).collect();
        for parent in parents.into_iter().rev().filter(|parent| !parent.exists()) {
            make_dir(parent)?;
        }
        fs::write(&copy, text)?;
        set(&copy, 0o444)?;
    }
    Ok(())
}
