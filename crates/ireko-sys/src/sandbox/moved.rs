//! What a command finds in its root where nothing can be mounted: moved in before it starts, moved out when it has ended.
//!
//! Everything comes from the file system that the root is on, so each thing is renamed, not copied. What lies at its place
//! already waits aside. A thing that must not be lost when this process is killed ([`MountSource::Lent`]) has a note that
//! says where it is for the time being.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, renameat_with};

use super::running::MountPoint;
use super::{Mount, MountSource, pseudo};
use crate::error::{Error, Result};
use crate::fsx;
use crate::raw::MAX_LINKS;

/// What was moved in. Dropped, it is moved out.
#[derive(Debug)]
pub(super) struct Moved {
    swaps: Vec<Swap>,
    made: Vec<MountPoint>,
}

/// One thing at its place.
#[derive(Debug)]
struct Swap {
    /// Where it comes from, and goes back to.
    home: PathBuf,
    /// Its inode.
    inode: (u64, u64),
    /// The directory that it is in, whatever becomes of that one's name.
    dir: OwnedFd,
    name: OsString,
    /// Where what it covers waits.
    covered: Option<PathBuf>,
    /// The note that says where it is.
    note: Option<PathBuf>,
}

impl Moved {
    /// Moves the container's own /dev, /proc and /sys into `root`, then `mounts` in their order. `aside` is a
    /// directory on the file system of `root` for nothing else.
    pub(super) fn put_in(root: &Path, aside: &Path, mounts: &[Mount]) -> Result<Self> {
        let mut moved = Self { swaps: Vec::new(), made: Vec::new() };
        match moved.put_all(root, aside, mounts) {
            Ok(()) => Ok(moved),
            Err(error) => {
                moved.take_out()?;
                Err(error)
            }
        }
    }

    /// Places that were made for what was moved in; complete once it was moved out.
    pub(super) fn made(&self) -> Vec<MountPoint> {
        self.made.clone()
    }

    fn put_all(&mut self, root: &Path, aside: &Path, mounts: &[Mount]) -> Result<()> {
        let open = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::path("open", root, errno))?;
        // A command of the same root may have run before.
        let number = fs::read_dir(aside).map_err(|cause| Error::path("read", aside, cause))?.count();
        let aside = &aside.join(number.to_string());
        fs::create_dir(aside).map_err(|cause| Error::path("make", aside, cause))?;
        let mut place =
            Placing { root: &open, path: root, aside, made: &mut self.made, places: Vec::new(), covered: 0 };
        for name in ["dev", "proc", "sys"] {
            let home = aside.join(name);
            pseudo::make(&home).map_err(|cause| Error::path("make", &home, cause))?;
            self.swaps.push(place.put(&home, Path::new("/").join(name).as_path(), None)?);
        }
        for (number, mount) in mounts.iter().enumerate() {
            let (home, note) = match &mount.source {
                MountSource::Bind(path) => (path.clone(), None),
                MountSource::Lent { path, note } => (path.clone(), Some(note.clone())),
                MountSource::Tmpfs { mode, .. } => {
                    let home = aside.join(format!("tmp-{number}"));
                    fs::create_dir(&home).map_err(|cause| Error::path("make", &home, cause))?;
                    let mode = Permissions::from_mode(*mode);
                    fs::set_permissions(&home, mode).map_err(|cause| Error::path("make", &home, cause))?;
                    (home, None)
                }
                MountSource::InPlace => continue,
                MountSource::Idmapped { .. } | MountSource::Overlay(_) => {
                    return Err(Error::Invalid("nothing can be mounted without a namespace".to_owned()));
                }
            };
            if self.swaps.iter().any(|swap| swap.home == home) {
                return Err(Error::Twice { target: mount.target.clone() });
            }
            self.swaps.push(place.put(&home, &mount.target, note)?);
        }
        Ok(())
    }

    /// Moves everything out again, the last first. What the command has put at a place instead goes where that came from,
    /// unless it is lent: then it is thrown away.
    pub(super) fn take_out(&mut self) -> Result<()> {
        let mut failure = None;
        while let Some(swap) = self.swaps.pop() {
            if let Err(cause) = swap.undo() {
                failure.get_or_insert(Error::path("move out of the step's files", &swap.home, cause));
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        // What cannot be moved goes with the directory that it is in.
        let _ = self.take_out();
    }
}

impl Swap {
    fn undo(&self) -> io::Result<()> {
        match renameat_with(&self.dir, &self.name, CWD, &self.home, RenameFlags::empty()) {
            // The command moved or removed it, which no mount would allow.
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        if let Some(covered) = &self.covered {
            match renameat_with(CWD, covered, &self.dir, &self.name, RenameFlags::NOREPLACE) {
                // Where the command removed the directory, it removed what lay in it.
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if let Some(note) = &self.note {
            let is_it = fs::symlink_metadata(&self.home).is_ok_and(|meta| inode(&meta) == self.inode);
            if !is_it {
                remove(&self.home)?;
            }
            fs::remove_file(note)?;
        }
        Ok(())
    }
}

fn inode(meta: &fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Finds places in a root.
struct Placing<'p> {
    root: &'p OwnedFd,
    path: &'p Path,
    aside: &'p Path,
    made: &'p mut Vec<MountPoint>,
    /// Where something lies by now, relative to the root and free of links.
    places: Vec<PathBuf>,
    /// How much was put aside.
    covered: usize,
}

impl Placing<'_> {
    fn put(&mut self, home: &Path, target: &Path, note: Option<PathBuf>) -> Result<Swap> {
        let failed = |cause: io::Error| Error::path("find a place in the step's files for", target, cause);
        if !target.is_absolute() {
            return Err(Error::Invalid(format!("mount target `{}` is not absolute", target.display())));
        }
        let meta = fs::symlink_metadata(home).map_err(|cause| Error::path("find", home, cause))?;
        let (parent, name, there) = self.find(target).map_err(failed)?;
        let Some(name) = name else {
            return Err(Error::Invalid(format!("mount target `{}` is the root itself", target.display())));
        };
        let place = parent.join(&name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fsx::open_beneath(self.root, relative(&parent), flags, Mode::empty());
        let dir = dir.map_err(|errno| failed(errno.into()))?;
        let mut covered = None;
        if there {
            self.covered += 1;
            let aside = self.aside.join(format!("covered-{}", self.covered));
            renameat_with(&dir, &name, CWD, &aside, RenameFlags::NOREPLACE)
                .map_err(|errno| failed(errno.into()))?;
            covered = Some(aside);
        }
        let swap = Swap { home: home.to_owned(), inode: inode(&meta), dir, name, covered, note };
        if let Some(note) = &swap.note {
            let lies = self.path.join(&place);
            fs::write(note, lies.as_os_str().as_bytes())
                .map_err(|cause| Error::path("write", note, cause))?;
        }
        let moved = renameat_with(CWD, home, &swap.dir, &swap.name, RenameFlags::NOREPLACE);
        if let Err(errno) = moved {
            swap.undo().map_err(failed)?;
            return Err(failed(errno.into()));
        }
        self.places.push(place);
        Ok(swap)
    }

    /// The directory of a target, free of links, the name in it, and whether there is something of that name. Directories
    /// that are missing are made; links are followed inside the root.
    fn find(&mut self, target: &Path) -> io::Result<(PathBuf, Option<OsString>, bool)> {
        let mut done = PathBuf::new();
        let mut rest: Vec<OsString> = names(target);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                done.pop();
                continue;
            }
            let next = done.join(&name);
            let found = rustix::fs::readlinkat(self.root, &next, Vec::new());
            match found {
                Ok(text) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(rustix::io::Errno::LOOP.into());
                    }
                    let text = Path::new(OsStr::from_bytes(text.to_bytes()));
                    if text.is_absolute() {
                        done.clear();
                    }
                    rest.extend(names(text));
                }
                // It is there and no link.
                Err(rustix::io::Errno::INVAL) if rest.is_empty() => return Ok((done, Some(name), true)),
                Err(rustix::io::Errno::INVAL) => done = next,
                Err(rustix::io::Errno::NOENT) if rest.is_empty() => return Ok((done, Some(name), false)),
                Err(rustix::io::Errno::NOENT) => {
                    let mode = Mode::from_raw_mode(0o755);
                    rustix::fs::mkdirat(self.root, &next, mode)?;
                    // Whatever this process's umask is.
                    rustix::fs::chmodat(self.root, &next, mode, AtFlags::empty())?;
                    // Inside another mount it goes with that, and the image may have one of its own at that path.
                    if !self.places.iter().any(|place| next.starts_with(place)) {
                        self.made.push(MountPoint { path: next.clone(), is_dir: true });
                    }
                    done = next;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok((done, None, true))
    }
}

/// A path's names, the last first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

fn relative(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
