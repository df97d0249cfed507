//! The store itself: what one process knows of the directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use ireko_layer::Index;
use ireko_oci::Digest;

use crate::layout::Layout;
use crate::lease::Lease;
use crate::open::OpenOptions;

/// One directory of blobs, layers, records and images, used by many processes at once.
///
/// Cheap to open; may be used from any number of threads. What it publishes or returns as a path is held for this
/// process until the store is dropped.
#[derive(Debug)]
pub struct Store {
    pub(crate) layout: Layout,
    pub(crate) options: OpenOptions,
    pub(crate) lease: Mutex<Option<Arc<Lease>>>,
    pub(crate) scratched: AtomicU64,
    /// Whether this process made anything of the store bigger.
    pub(crate) grew: Arc<AtomicBool>,
    pub(crate) warnings: Mutex<Vec<String>>,
    pub(crate) indexes: Mutex<BTreeMap<Digest, Arc<Index>>>,
    /// Unpacked forms that were judged good and are held since.
    pub(crate) unpacked: Mutex<BTreeMap<Digest, KnownForm>>,
    /// Records of forms that were written in this boot and not synced since.
    pub(crate) unsynced: Mutex<BTreeMap<PathBuf, Unsynced>>,
}

/// An unpacked form that this process found to be whole.
#[derive(Clone, Debug)]
pub(crate) struct KnownForm {
    /// The stack it was unpacked on, where what lies below shows through in it.
    pub(crate) chain: Option<Digest>,
    pub(crate) leans: bool,
    pub(crate) dir: PathBuf,
}

/// What has to be marked as durable after a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Tar,
    Snapshot,
}
