//! Mounts made by this process for itself: overlays, binds, tmpfs; each undone when its guard is dropped.

mod one_text;

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libc::c_int;

pub(crate) use self::one_text::legacy_overlay;
use crate::error::{Error, Result};
use crate::raw::{self, Errno};
use crate::userns::{IdRange, namespace_for_idmap};

/// Layers to be united by overlayfs.
///
/// Always with `redirect_dir=off,metacopy=off,index=off`, so that the upper directory is a plain change set, and
/// with `volatile`: neither unmounting nor a program's `fsync` writes to the disk what it need not, which would
/// otherwise be everything on the file system. Whoever keeps an upper directory syncs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The layers read from, **top first**. None at all is an empty tree.
    pub lowers: Vec<PathBuf>,
    /// Where changes go; none refuses them.
    pub upper: Option<Upper>,
    /// Whether marks are `user.overlay.*`, as a user namespace needs (see [`crate::userns::IdMap`]).
    pub userxattr: bool,
}

/// Where an overlay's changes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upper {
    /// The directory that will hold the change set. Its own mode and owner are those of the united root.
    pub dir: PathBuf,
    /// An empty directory on the same file system, for overlayfs's own use.
    pub work: PathBuf,
}

/// How this kernel takes the list of lower directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayApi {
    /// One by one, any length (Linux 6.7 and later).
    Append,
    /// In one text of limited length; each is passed as a number of an open descriptor.
    OneText,
}

impl OverlayApi {
    /// What this kernel can do, asked once.
    #[must_use]
    pub fn of_this_kernel() -> Self {
        static KNOWN: OnceLock<OverlayApi> = OnceLock::new();
        if let Some(known) = KNOWN.get() {
            return *known;
        }
        // Refused before a level is entered: that says nothing about later.
        let Ok(fs) = raw::fsopen(c"overlay") else { return Self::OneText };
        // Before Linux 6.5 overlayfs is not asked until all options are there: any is taken, and refused at the end.
        let takes_anything = raw::fsconfig_string(fs, c"ireko-no-such-option", c"/").is_ok();
        let appends = !takes_anything && raw::fsconfig_string(fs, c"lowerdir+", c"/").is_ok();
        raw::close(fs);
        *KNOWN.get_or_init(|| if appends { Self::Append } else { Self::OneText })
    }
}

/// An overlay with every text ready for the kernel, so that mounting allocates nothing.
#[derive(Debug, Clone)]
pub(crate) struct OverlayPlan {
    pub(crate) lowers: Vec<CString>,
    pub(crate) upper: Option<(CString, CString)>,
    pub(crate) userxattr: bool,
    pub(crate) api: OverlayApi,
}

/// Most layers the kernel unites.
pub(crate) const MAX_LOWERS: usize = 500;

impl Overlay {
    /// Layers bottom first, as images name them, each at most once: overlayfs refuses a directory that it has already,
    /// and what lies deepest of two equal layers cannot be seen, since the upper one names all of it again.
    #[must_use]
    pub fn of_stack(layers: &[PathBuf], upper: Option<Upper>, userxattr: bool) -> Self {
        let mut lowers: Vec<PathBuf> = Vec::with_capacity(layers.len());
        let mut seen = std::collections::BTreeSet::new();
        for layer in layers.iter().rev() {
            if seen.insert(layer) {
                lowers.push(layer.clone());
            }
        }
        Self { lowers, upper, userxattr }
    }
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::Invalid(format!("path `{}` holds a zero byte", path.display())))
}

impl OverlayPlan {
    pub(crate) fn new(overlay: &Overlay, api: OverlayApi) -> Result<Self> {
        if overlay.lowers.is_empty() || overlay.lowers.len() > MAX_LOWERS {
            return Err(Error::Invalid(format!(
                "an overlay takes 1 to {MAX_LOWERS} layers, not {}",
                overlay.lowers.len()
            )));
        }
        let lowers = overlay.lowers.iter().map(|path| c_path(path)).collect::<Result<Vec<_>>>()?;
        let upper = overlay
            .upper
            .as_ref()
            .map(|upper| Ok::<_, Error>((c_path(&upper.dir)?, c_path(&upper.work)?)))
            .transpose()?;
        Ok(Self { lowers, upper, userxattr: overlay.userxattr, api })
    }
}

/// Mounts an overlay by the new calls, without a place yet. Allocates nothing: the sandbox's child calls it too.
pub(crate) fn new_overlay(plan: &OverlayPlan) -> raw::Result<c_int> {
    let fs = raw::fsopen(c"overlay")?;
    let mounted = configure_overlay(fs, plan).and_then(|()| raw::fsmount(fs, 0));
    raw::close(fs);
    mounted
}

fn configure_overlay(fs: c_int, plan: &OverlayPlan) -> raw::Result<()> {
    for lower in &plan.lowers {
        raw::fsconfig_string(fs, c"lowerdir+", lower)?;
    }
    if let Some((dir, work)) = &plan.upper {
        raw::fsconfig_string(fs, c"upperdir", dir)?;
        raw::fsconfig_string(fs, c"workdir", work)?;
        // Kernels before 5.10 do not know it, and sync more than they need.
        let _ = raw::fsconfig_flag(fs, c"volatile");
    }
    if plan.userxattr {
        // Implies redirect_dir and metacopy off, and refuses to hear them named.
        raw::fsconfig_flag(fs, c"userxattr")?;
    } else {
        raw::fsconfig_string(fs, c"redirect_dir", c"off")?;
        raw::fsconfig_string(fs, c"metacopy", c"off")?;
    }
    raw::fsconfig_string(fs, c"index", c"off")?;
    raw::fsconfig_create(fs)
}

/// Lets the layers be mounted again with the same work directory: overlayfs marks one used with `volatile`, for
/// fear of what a crash of the machine lost; whether there was one is the store's business to know.
pub(crate) fn forget_volatile(overlay: &Overlay) {
    if let Some(upper) = &overlay.upper {
        // Mostly there is none; one that cannot be removed makes the mount fail with a better error.
        let _ = fs::remove_dir_all(upper.work.join("work/incompat/volatile"));
    }
}

/// A mount of this process's namespace; dropped, it is taken away.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Takes it away and says if that failed.
    pub fn unmount(self) -> Result<()> {
        let at = self.at.clone();
        std::mem::forget(self);
        detach(&at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Nobody is left to be told; the namespace takes it away at the latest.
        let _ = detach(&self.at);
    }
}

/// Takes the topmost mount at `path` away, at once for look-ups, really when its last user is gone.
pub fn detach(path: &Path) -> Result<()> {
    raw::umount_detach(&c_path(path)?).map_err(|errno| Error::path("unmount", path, errno))
}

fn attach(mount: c_int, at: &Path) -> Result<Mounted> {
    // SAFETY: the descriptor was just made by the kernel for us and nobody else knows it.
    let mount = unsafe { OwnedFd::from_raw_fd(mount) };
    raw::move_mount(mount.as_raw_fd(), raw::AT_CWD, &c_path(at)?)
        .map_err(|errno| Error::path("mount onto", at, errno))?;
    Ok(Mounted { at: at.to_owned() })
}

/// Mounts an overlay onto the directory `at`.
///
/// Without an upper directory, one lower layer is bound read-only instead, since overlayfs wants two.
pub fn overlay(overlay: &Overlay, at: &Path) -> Result<Mounted> {
    if let ([only], None) = (&overlay.lowers[..], &overlay.upper) {
        return bind(only, at, true);
    }
    let plan = OverlayPlan::new(overlay, OverlayApi::of_this_kernel())?;
    forget_volatile(overlay);
    if plan.api == OverlayApi::Append {
        let fd = new_overlay(&plan).map_err(|errno| Error::path("mount an overlay onto", at, errno))?;
        return attach(fd, at);
    }
    // The old call needs the current directory, which belongs to the whole process: a thread gets its own.
    let target = c_path(&fs::canonicalize(at).map_err(|cause| Error::path("find", at, cause))?)?;
    let done = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let flags = rustix::thread::UnshareFlags::FS | rustix::thread::UnshareFlags::FILES;
                // SAFETY: the thread opens descriptors of its own only and ends before anyone could miss them.
                unsafe { rustix::thread::unshare_unsafe(flags) }
                    .map_err(|errno| Errno(errno.raw_os_error()))?;
                legacy_overlay(&plan, &target)
            })
            .join()
            .unwrap_or(Err(Errno(libc::EIO)))
    });
    done.map_err(|errno| Error::path("mount an overlay onto", at, errno))?;
    Ok(Mounted { at: at.to_owned() })
}

/// Shows the file or directory `source`, with the mounts below it, at `at` too.
pub fn bind(source: &Path, at: &Path, read_only: bool) -> Result<Mounted> {
    let failed = |errno| Error::path("bind", source, errno);
    let fd = raw::clone_tree(raw::AT_CWD, &c_path(source)?, true).map_err(failed)?;
    if read_only && let Err(errno) = raw::set_attributes(fd, libc::MOUNT_ATTR_RDONLY, true) {
        raw::close(fd);
        return Err(failed(errno));
    }
    attach(fd, at)
}

/// Mounts an empty file system in memory.
pub fn tmpfs(at: &Path, size: Option<u64>) -> Result<Mounted> {
    memory(at, size, libc::MS_NOSUID | libc::MS_NODEV)
}

/// The same for device files, which can be opened there if this process may make any.
pub fn tmpfs_for_devices(at: &Path) -> Result<Mounted> {
    memory(at, Some(1 << 20), libc::MS_NOSUID | libc::MS_NOEXEC)
}

fn memory(at: &Path, size: Option<u64>, flags: libc::c_ulong) -> Result<Mounted> {
    let options = size.map(|size| format!("size={size},mode=755")).unwrap_or("mode=755".to_owned());
    let options = CString::new(options).expect("made of digits and option names");
    raw::mount(Some(c"tmpfs"), &c_path(at)?, Some(c"tmpfs"), flags, Some(&options))
        .map_err(|errno| Error::path("mount a tmpfs onto", at, errno))?;
    Ok(Mounted { at: at.to_owned() })
}

/// The user namespace that shows files of `owner` as files of `shown`, for an id-mapped mount.
pub(crate) fn idmap(owner: (u32, u32), shown: (u32, u32)) -> io::Result<fs::File> {
    let one = |on_disk: u32, seen: u32| [IdRange { inside: on_disk, outside: seen, count: 1 }];
    namespace_for_idmap(&one(owner.0, shown.0), &one(owner.1, shown.1))
}

/// Shows `source` at `at` with the files of `owner` as files of `shown`; others appear as nobody's.
///
/// `Ok(None)` says that this kernel, file system or level cannot: the caller copies instead.
pub fn idmapped(source: &Path, at: &Path, owner: (u32, u32), shown: (u32, u32)) -> Result<Option<Mounted>> {
    let Ok(userns) = idmap(owner, shown) else { return Ok(None) };
    let fd = raw::clone_tree(raw::AT_CWD, &c_path(source)?, false)
        .map_err(|errno| Error::path("bind", source, errno))?;
    if raw::set_idmap(fd, userns.as_raw_fd()).is_err() {
        raw::close(fd);
        return Ok(None);
    }
    attach(fd, at).map(Some)
}

/// Whether [`MountSource::Idmapped`](crate::sandbox::MountSource::Idmapped) works for files below `source`.
#[must_use]
pub fn can_idmap(source: &Path) -> bool {
    let Ok(userns) = idmap((1, 1), (0, 0)) else { return false };
    let Ok(path) = c_path(source) else { return false };
    let Ok(fd) = raw::clone_tree(raw::AT_CWD, &path, false) else { return false };
    let can = raw::set_idmap(fd, userns.as_raw_fd()).is_ok();
    raw::close(fd);
    can
}

/// Whether overlayfs can keep an upper directory in `dir`: tries it with two directories made there.
///
/// The error says what the kernel refused: a file system without the attributes or file types it needs, an
/// overlay below, or a level without mounts.
pub fn probe_overlay(dir: &Path, userxattr: bool) -> Result<()> {
    let base = dir.join(format!(".overlay-probe-{}", std::process::id()));
    let make = |name: &str| -> Result<PathBuf> {
        let path = base.join(OsStr::new(name));
        fs::create_dir_all(&path).map_err(|cause| Error::path("make", &path, cause))?;
        Ok(path)
    };
    let tried = (|| {
        let (lower, upper, work, at) = (make("lower")?, make("upper")?, make("work")?, make("at")?);
        let probe = lower.join("gone");
        fs::write(&probe, b"").map_err(|cause| Error::path("write", &probe, cause))?;
        let layers = Overlay { lowers: vec![lower], upper: Some(Upper { dir: upper, work }), userxattr };
        let mounted = overlay(&layers, &at)?;
        // Making a whiteout is what fails on file systems that mount but cannot hold an upper directory.
        fs::remove_file(at.join("gone")).map_err(|cause| Error::path("remove in an overlay", &at, cause))?;
        mounted.unmount()
    })();
    // The work directory holds one that nobody may enter; it is empty and removable all the same.
    let _ = fs::remove_dir_all(&base);
    tried
}
