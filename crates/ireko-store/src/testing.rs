//! A store in a temporary directory, and layers to put into it.

use std::path::Path;
use std::sync::Arc;

use ireko_layer::{Change, ChangeKind, Data, LayerWriter, Meta, OverlayAttrs, Time, TreePath, Written};

use crate::layer::{LayerInfo, NewForms};
use crate::open::{OpenOptions, WrittenAs};
use crate::store::Store;

/// A fresh directory, gone with its guard.
pub(crate) fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The time that test stores are opened at: late enough that nothing written by the test looks unused.
pub(crate) fn now() -> Time {
    let elapsed = std::fs::metadata("/proc/self").unwrap().modified().unwrap();
    Time::new(elapsed.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64, 0)
}

/// Options of a first boot.
pub(crate) fn options() -> OpenOptions {
    let written_as = WrittenAs { id_map: "test".to_owned(), attrs: OverlayAttrs::User };
    OpenOptions { written_as, boot_id: "boot-1".to_owned(), now: now() }
}

/// A store there.
pub(crate) fn store(home: &Path) -> Arc<Store> {
    Store::open(home, options()).unwrap()
}

/// The owner that this process can give to files without a privilege.
fn owner() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// The changes of a layer with these files.
pub(crate) fn changes(files: &[(&str, &str)]) -> Vec<Change> {
    let (uid, gid) = owner();
    let meta = |mode| Meta { uid, gid, ..Meta::new(mode, Time::new(1_000_000, 0)) };
    let mut changes = std::collections::BTreeMap::new();
    for (name, text) in files {
        let path = TreePath::new(name).unwrap();
        for parent in path.ancestors().filter(|parent| !parent.is_root()) {
            let dir = Change::new(parent.clone(), meta(0o755), ChangeKind::Dir { opaque: false });
            changes.entry(parent).or_insert(dir);
        }
        let data = Data::memory(text.as_bytes().to_vec());
        changes.insert(path.clone(), Change::new(path, meta(0o644), ChangeKind::File(data)));
    }
    changes.into_values().collect()
}

/// Which forms a test layer gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forms {
    Tar,
    Snapshot,
    Both,
}

/// Writes and puts a layer.
pub(crate) fn put(store: &Store, files: &[(&str, &str)], forms: Forms) -> (Written, LayerInfo) {
    let mut tar = (forms != Forms::Snapshot).then(|| store.tar_draft().unwrap());
    let snapshot = (forms != Forms::Tar).then(|| store.snapshot_draft().unwrap());
    let mut writer = LayerWriter::new();
    if let Some(tar) = &mut tar {
        writer = writer.sink(tar);
    }
    if let Some(snapshot) = &snapshot {
        writer = writer.snapshot(&snapshot.dir(), OverlayAttrs::User).unwrap();
    }
    writer.push_all(changes(files)).unwrap();
    let written = writer.finish().unwrap();
    let info = store.put_layer(&written, NewForms { tar, snapshot, blob: None }).unwrap();
    (written, info)
}
