//! How the layers of a tree become one root: united by overlayfs, or copied into a plain directory where the store's
//! file system can hold no overlay.

use crate::authorities;
use crate::error::Fault;
use crate::freshness::{self, Shown, Times};
use crate::job::Job;
use crate::perform::{Done, Ground, Performer, clock_of};
use crate::run::{Ran, Step, run_step};
use ireko_graph::op::Run;
use ireko_layer::{LaidOut, OverlayAttrs, ScanOptions, SnapshotStack, Time, TreePath, View, scan_tree};
use ireko_oci::Fields;
use ireko_report::Blame;
use ireko_store::Store;
use ireko_sys::mount;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a step is shown a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshotter {
    /// Its layers, united by overlayfs.
    Overlay,
    /// A copy of the whole tree: slower, and needs nothing of the file system.
    Copy,
}

impl Snapshotter {
    /// The fastest that works in the store's file system. That overlayfs works is remembered until the machine starts
    /// again; that it does not is found out each time, since it may be mended.
    ///
    /// # Errors
    /// The store cannot be written to.
    pub fn best(store: &Store) -> Result<Self, ireko_store::Error> {
        let key = memo_key(store);
        if store.memo(&key).is_some() {
            return Ok(Self::Overlay);
        }
        let scratch = store.scratch_dir()?;
        let userxattr = store.written_as().attrs.is_user();
        if mount::probe_overlay(scratch.path(), userxattr).is_err() {
            return Ok(Self::Copy);
        }
        store.put_memo(&key, b"works")?;
        Ok(Self::Overlay)
    }
}

impl std::fmt::Display for Snapshotter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Overlay => "overlay",
            Self::Copy => "copy",
        })
    }
}

fn memo_key(store: &Store) -> [u8; 32] {
    let mut fields = Fields::new("ireko overlay memo/1");
    fields.add("boot", store.boot_id().as_bytes());
    fields.add("ids", store.written_as().id_map.as_bytes());
    // A store that was moved is on another file system.
    let device = fs::metadata(store.home()).map_or(0, |home| home.dev());
    fields.number("device", device);
    fields.hash()
}

impl Performer<'_> {
    /// Runs a step on a copy of its tree and finds what it changed by looking at all of it.
    pub(crate) fn run_on_copy(
        &self,
        job: &Job,
        run: &Run,
        ground: Ground,
        began: Instant,
    ) -> Result<Done, Fault> {
        let Ground { below, lowers } = ground;
        let scratch = self.scratch()?;
        let root = scratch.path().join("root");
        fs::create_dir(&root).map_err(|error| Fault::of(Blame::Environment, &error))?;
        let stack = SnapshotStack { view: below, dirs: lowers };
        let attrs = self.store().written_as().attrs;
        stack.lay_out(&root, attrs)?;
        let below = stack.view;
        let mut times = Times::new();
        if freshness::matters(run) {
            let shown = Shown { tree: &job.base, origins: &job.base_origins, lowers: &stack.dirs, which: 0 };
            times = freshness::times(self, job, &shown)?;
            freshness::set(&times, &TreePath::root(), &root)?;
        }
        let authorities = self.settings().authorities.as_ref();
        let put = |authorities| authorities::put(authorities, &below, &root, scratch.path());
        let shown = authorities.map(put).transpose()?;
        same_root(&below, &root, attrs)?;
        let laid = LaidOut::of(&root, attrs)?;
        let started = clock_after(scratch.path(), laid.latest())?;
        let step = Step { job, run, below: &below, upper: &root, authorities: shown.as_ref() };
        let confined = self.settings().confinement.root(root.clone(), scratch.path());
        let confined = confined.map_err(|error| Fault::of(Blame::Environment, &error))?;
        let Ran { unchanged, owners } = run_step(self, &step, confined)?;
        if let Some(authorities) = authorities {
            authorities::take_out(authorities, &below, &root)?;
        }
        let options = ScanOptions { started, attrs, skip: Vec::new(), owners };
        let mut scan = scan_tree(&root, &laid, &below, &options)?;
        freshness::give_back(&times, &below, &mut scan.changes, None)?;
        self.warn_of(run, unchanged, &scan);
        self.write(job, scan.changes, unchanged.then_some(began))
    }
}

/// A time by the file system's clock that is later than `before`: its ticks are milliseconds long.
fn clock_after(dir: &Path, before: Time) -> Result<Time, Fault> {
    let mut now = clock_of(dir)?;
    // A tree whose files are dated in the future by a server's clock is compared by its bytes.
    for _ in 0..50 {
        if now > before {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        now = clock_of(dir)?;
    }
    Ok(now)
}

/// The new upper directory is the root of what the step sees: it gets the root's own mode and owner.
pub(crate) fn same_root(below: &View, upper: &Path, attrs: OverlayAttrs) -> Result<(), Fault> {
    let (mode, uid, gid) = match below.entry(&ireko_layer::TreePath::root()) {
        Some(root) => (root.meta.mode, root.meta.uid, root.meta.gid),
        None => (0o755, 0, 0),
    };
    let io = |error: std::io::Error| Fault::of(Blame::Environment, &error);
    attrs.give(upper, uid, gid).map_err(io)?;
    std::fs::set_permissions(upper, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(io)
}
