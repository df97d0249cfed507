//! A store of its own, images over it, and archives made in memory, for tests.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ireko_layer::{OverlayAttrs, Time};
use ireko_oci::{ImageConfig, Platform, Timestamp};
use ireko_registry::{Options, Registry};
use ireko_report::Event;
use ireko_store::{OpenOptions, Store, WrittenAs};
use ireko_testkit::{TarStream, TestImage};

use crate::assemble::Assembled;
use crate::images::{Images, PullPolicy};

/// A store in a temporary directory.
pub(crate) struct World {
    pub(crate) home: tempfile::TempDir,
    pub(crate) store: Arc<Store>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = open(&home.path().join("store"));
        Self { home, store, events: Arc::default() }
    }

    /// The images of this store, as a new process would see them.
    pub(crate) fn images(&self) -> Images {
        let registry = Arc::new(Registry::new(Options::default()));
        let sink: Arc<dyn ireko_report::Sink> = self.events.clone();
        Images::new(Arc::clone(&self.store), registry, sink, PullPolicy::IfMissing)
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }
}

pub(crate) fn open(home: &Path) -> Arc<Store> {
    let written_as = WrittenAs { id_map: "test".to_owned(), attrs: OverlayAttrs::User };
    let now = Time::new(2_000_000_000, 0);
    Store::open(home, OpenOptions { written_as, boot_id: "boot-1".to_owned(), now }).unwrap()
}

/// Files of the user who runs the tests, so that they can be unpacked without a privilege.
pub(crate) fn tar() -> TarStream {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    TarStream::new().owner(user.into(), group.into())
}

/// Two layers: the second deletes, replaces and links.
pub(crate) fn image() -> TestImage {
    let below =
        tar().dir("etc").file("etc/motd", "hello\n").file("etc/old", "old").dir("opt").file("opt/x", "x");
    let above = tar()
        .dir("etc")
        .whiteout("etc/old")
        .file("etc/motd", "hello again\n")
        .hardlink("etc/motd2", "etc/motd")
        .symlink("motd", "etc/motd")
        .opaque("opt")
        .dir("opt")
        .file("opt/y", "y");
    TestImage::new().layer(below).layer(above)
}

pub(crate) fn host() -> Platform {
    Platform::host()
}

/// A build's result that adds nothing to its base.
pub(crate) fn unchanged(config: ImageConfig) -> Assembled {
    let layers: Vec<_> = config.rootfs.diff_ids.iter().map(|diff| (*diff, None)).collect();
    crate::assemble(config, &layers, Some(Timestamp::EPOCH))
}

/// An error as the command line prints it.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
