//! Unpacked layers: who wrote them how, whether they reached the disk, and making them once among processes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ireko_layer::{Index, OverlayAttrs, SnapshotStack, UnpackOptions, View, Written};
use ireko_oci::{Digest, DigestReader};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::{Error, Result};
use crate::inventory::unpacked_bytes;
use crate::layer::{BlobForm, LayerFile, LayerInfo, NewForms, TarFile, check_diff, check_rest};
use crate::lease::{Lease, Object};
use crate::open::{WrittenAs, unique_name};
use crate::seal::FORM;
use crate::store::{KnownForm, Store, Unsynced};
use crate::verify;

/// A directory being filled that may become a layer's unpacked form. Dropped before that, it never existed.
#[derive(Debug)]
pub struct SnapshotDraft {
    _lease: Arc<Lease>,
    dir: PathBuf,
}

impl SnapshotDraft {
    /// The directory for the layer's files: an overlay's `upperdir`.
    pub fn dir(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// An empty directory beside it: an overlay's `workdir`.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }
}

impl Drop for SnapshotDraft {
    fn drop(&mut self) {
        disk::remove(&self.dir);
    }
}

/// Who unpacked a layer that cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// How it was written.
    pub by: WrittenAs,
    /// The user of the machine, where that is another than this process's.
    pub other_user: Option<u32>,
}

impl WrittenAs {
    /// Whether ids are the machine's own.
    pub fn is_identity(&self) -> bool {
        self.id_map == IDENTITY
    }
}

/// The record beside an unpacked layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotFile {
    pub(crate) diff: Digest,
    pub(crate) id_map: String,
    pub(crate) attrs: String,
    /// What its files hold together.
    pub(crate) bytes: u64,
    /// Whether owners and modes could all be set as the index has them.
    pub(crate) exact: bool,
    /// The boot in which it was written, until it was synced.
    pub(crate) boot: Option<String>,
}

impl SnapshotFile {
    /// What is wrong with its files, a line each.
    pub(crate) fn verify(&self, index: &Index, place: &Path) -> Vec<String> {
        verify::snapshot(index, &place.join("fs"), verify::As { attrs: &self.attrs, exact: self.exact })
    }
}

/// An unpacked layer to be kept: its files, and whether they are as the index has them.
pub(crate) struct Unpacked<'a> {
    pub(crate) draft: SnapshotDraft,
    pub(crate) exact: bool,
    pub(crate) below: &'a [Digest],
}

/// The file in the layer's directory that names the unpacked form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotLink {
    pub(crate) name: String,
}

impl Store {
    /// Begins an unpacked layer.
    pub fn snapshot_draft(&self) -> Result<SnapshotDraft> {
        let dir = self.scratch()?;
        let draft = SnapshotDraft { _lease: self.lease()?, dir };
        for path in [draft.dir.clone(), draft.dir(), draft.work()] {
            fs::create_dir(&path).map_err(|cause| Error::io("create directory", &path, cause))?;
        }
        // What a step sees as the mode of `/` where no layer says otherwise.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(draft.dir(), mode)
            .map_err(|cause| Error::io("set the mode of", &draft.dir, cause))?;
        Ok(draft)
    }

    /// Makes a draft the unpacked form of a layer; the layer's lock must be held. One that is there already stays.
    pub(crate) fn add_snapshot(&self, layer: &LayerFile, unpacked: Unpacked<'_>) -> Result<()> {
        let Unpacked { draft, exact, below } = unpacked;
        let link = self.link_name(layer, below);
        if self.snapshot_at(layer, &link)?.is_some() {
            return Ok(());
        }
        disk::remove(&draft.work());
        let WrittenAsText { id_map, attrs } = self.written_as_text();
        let file = SnapshotFile {
            diff: layer.diff,
            id_map,
            attrs,
            bytes: unpacked_bytes(&*self.index(&layer.diff)?),
            exact,
            boot: Some(self.options.boot_id.clone()),
        };
        self.write_json(FORM, &draft.dir.join("record"), &file)?;
        let name = format!("{}-{}", layer.diff.short(), unique_name()?);
        let place = self.layout.snapshot(&name);
        disk::publish(&draft.dir, &place)?;
        self.write_json(FORM, &self.layout.layer(&layer.diff).join(&link), &SnapshotLink { name })?;
        self.pend(place.join("record"), Unsynced::Snapshot);
        Ok(())
    }

    fn written_as_text(&self) -> WrittenAsText {
        let written_as = &self.options.written_as;
        WrittenAsText { id_map: written_as.id_map.clone(), attrs: written_as.attrs_name().to_owned() }
    }

    /// Unpacked directories are shared by every stack with the layer, unless what lies below shows through in it.
    fn link_name(&self, layer: &LayerFile, below: &[Digest]) -> String {
        let own = format!("snapshot-{}", self.options.written_as.fingerprint());
        match layer.leans.then(|| ireko_oci::chain_id(below)).flatten() {
            Some(chain) => format!("{own}-{}", chain.short()),
            None => own,
        }
    }

    /// The unpacked form that a link in the layer's directory names, where it is whole and written as we write.
    pub(crate) fn snapshot_at(&self, layer: &LayerFile, link: &str) -> Result<Option<PathBuf>> {
        let link = self.layout.layer(&layer.diff).join(link);
        let Some(SnapshotLink { name }) = self.read_json(FORM, &link) else { return Ok(None) };
        let place = self.layout.snapshot(&name);
        let record = place.join("record");
        let Some(file) = self.read_json::<SnapshotFile>(FORM, &record) else { return Ok(None) };
        let WrittenAsText { id_map, attrs } = self.written_as_text();
        if (file.diff, &file.id_map, &file.attrs) != (layer.diff, &id_map, &attrs) {
            return Ok(None);
        }
        match &file.boot {
            None => {}
            Some(boot) if *boot == self.options.boot_id => self.pend(record, Unsynced::Snapshot),
            Some(_) => {
                let problems = file.verify(&*self.index(&layer.diff)?, &place);
                if let Some(problem) = problems.first() {
                    self.warn(&place, &format!("it was not written out when the machine stopped: {problem}"));
                    self.discard(&link, &place)?;
                    return Ok(None);
                }
                self.write_json(FORM, &record, &SnapshotFile { boot: None, ..file })?;
            }
        }
        Ok(Some(place.join("fs")))
    }

    /// Takes a damaged unpacked form away: first its name, then its files.
    fn discard(&self, link: &Path, place: &Path) -> Result<()> {
        fs::remove_file(link).map_err(|cause| Error::io("remove", link, cause))?;
        let trash = self.layout.dir("trash").join(unique_name()?);
        disk::publish(place, &trash)?;
        disk::remove(&trash);
        Ok(())
    }

    /// The layer's unpacked directory over these layers, where there is one that this process can use.
    pub fn snapshot(&self, diff: &Digest, below: &[Digest]) -> Result<Option<PathBuf>> {
        if !self.hold(&Object::Layer(*diff))? {
            return Ok(None);
        }
        if let Some(dir) = self.known_form(diff, below) {
            return Ok(Some(dir));
        }
        let Some(layer) = self.layer_file(diff) else { return Ok(None) };
        self.used(&self.layout.layer(diff).join("info"));
        let dir = self.snapshot_at(&layer, &self.link_name(&layer, below))?;
        if let Some(dir) = &dir {
            let chain = layer.leans.then(|| ireko_oci::chain_id(below)).flatten();
            self.known_forms().insert(*diff, KnownForm { chain, leans: layer.leans, dir: dir.clone() });
        }
        Ok(dir)
    }

    /// A form that this process has found to be whole: nobody takes it away while it is held, so that a stack of many
    /// layers is judged once and not once a step.
    fn known_form(&self, diff: &Digest, below: &[Digest]) -> Option<PathBuf> {
        let KnownForm { chain, leans, dir } = self.known_forms().get(diff).cloned()?;
        let same = !leans || chain == ireko_oci::chain_id(below);
        (same && dir.exists()).then_some(dir)
    }

    fn known_forms(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<Digest, KnownForm>> {
        self.unpacked.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Some unpacked directory of the layer that this process can use.
    pub(crate) fn any_snapshot(&self, diff: &Digest) -> Result<Option<PathBuf>> {
        let Some(layer) = self.layer_file(diff) else { return Ok(None) };
        let own = format!("snapshot-{}", self.options.written_as.fingerprint());
        for name in disk::names(&self.layout.layer(diff))? {
            if name.starts_with(&own)
                && let Some(dir) = self.snapshot_at(&layer, &name)?
            {
                return Ok(Some(dir));
            }
        }
        Ok(None)
    }

    /// An unpacked directory that another kind of user wrote, where all of it can be read here; owners, modes and marks are the index's to tell, so the tar can be written from it.
    pub(crate) fn foreign_snapshot(&self, diff: &Digest) -> Result<Option<PathBuf>> {
        let found = self.snapshots_of(diff)?.into_iter().find(|(record, _)| self.can_read(record));
        Ok(found.map(|(_, dir)| dir.join("fs")))
    }

    /// Who unpacked a layer, where nobody did whose files can be read here.
    pub fn unpacked_elsewhere(&self, diff: &Digest) -> Result<Option<Elsewhere>> {
        let records: Vec<_> = self.snapshots_of(diff)?.into_iter().map(|(record, _)| record).collect();
        let own = self.written_as_text();
        let is_ours = |record: &SnapshotFile| (&record.id_map, &record.attrs) == (&own.id_map, &own.attrs);
        if records.iter().any(|record| is_ours(record) || self.can_read(record)) {
            return Ok(None);
        }
        let user = |map: &str| user_of(map).and_then(|range| range.split(':').nth(1)?.parse::<u32>().ok());
        let own = user(&own.id_map);
        Ok(records.into_iter().find_map(|record| {
            let other_user = user(&record.id_map).filter(|user| own.is_some_and(|own| own != *user));
            let attrs = OverlayAttrs::named(&record.attrs)?;
            Some(Elsewhere { by: WrittenAs { id_map: record.id_map, attrs }, other_user })
        }))
    }

    /// Every unpacked form of a layer, whoever wrote it.
    fn snapshots_of(&self, diff: &Digest) -> Result<Vec<(SnapshotFile, PathBuf)>> {
        let Some(layer) = self.layer_file(diff) else { return Ok(Vec::new()) };
        let place = self.layout.layer(diff);
        let mut found = Vec::new();
        for link in disk::names(&place)?.iter().filter(|name| name.starts_with("snapshot-")) {
            let Some(SnapshotLink { name }) = self.read_json(FORM, &place.join(link)) else { continue };
            let dir = self.layout.snapshot(&name);
            let record = self.read_json::<SnapshotFile>(FORM, &dir.join("record"));
            found.extend(record.filter(|record| record.diff == layer.diff).map(|record| (record, dir)));
        }
        Ok(found)
    }

    /// Whether all of an unpacked directory can be read here: by root always, else where all of it is this user's own,
    /// as it is where owners are noted.
    fn can_read(&self, record: &SnapshotFile) -> bool {
        let own = &self.options.written_as.id_map;
        own == IDENTITY
            || (record.attrs == OverlayAttrs::Noted.name() && user_of(own) == user_of(&record.id_map))
    }

    /// The layer's unpacked directory over these layers (bottom first), made from its tar or a blob where there is
    /// none: once among all processes and threads, the others wait.
    pub fn ensure_snapshot(self: &Arc<Self>, diff: &Digest, below: &[Digest]) -> Result<PathBuf> {
        if let Some(dir) = self.snapshot(diff, below)? {
            return Ok(dir);
        }
        let gone = Error::LayerGone { diff: *diff };
        let Some(layer) = self.layer_file(diff) else { return Err(gone) };
        let stack = match layer.leans {
            true => self.stack(below)?,
            false => SnapshotStack::default(),
        };
        let _lock = self.lock_layer(diff)?;
        let link = self.link_name(&layer, below);
        if let Some(dir) = self.snapshot_at(&layer, &link)? {
            return Ok(dir);
        }
        let draft = self.snapshot_draft()?;
        let written = self.unpack(diff, &draft, &stack)?;
        check_diff(Some(diff), &written)?;
        let exact = written.substituted.is_empty();
        self.add_snapshot(&layer, Unpacked { draft, exact, below })?;
        self.snapshot_at(&layer, &link)?.ok_or(gone)
    }

    /// The layers below as unpacked directories, made where they are missing.
    fn stack(self: &Arc<Self>, below: &[Digest]) -> Result<SnapshotStack> {
        let dirs = below.iter().enumerate().map(|(at, diff)| self.ensure_snapshot(diff, &below[..at]));
        let dirs = dirs.collect::<Result<_>>()?;
        Ok(SnapshotStack { view: self.view(below)?, dirs })
    }

    fn unpack(
        self: &Arc<Self>,
        diff: &Digest,
        draft: &SnapshotDraft,
        stack: &SnapshotStack,
    ) -> Result<Written> {
        let tar = self.open_tar(diff)?;
        let options = self.unpack_options(stack);
        let written = ireko_layer::unpack(tar, &draft.dir(), &options);
        written.map_err(|cause| Error::Layer { deed: "unpack", subject: *diff, cause: Box::new(cause) })
    }

    fn unpack_options<'a>(&self, stack: &'a SnapshotStack) -> UnpackOptions<'a> {
        let below: Option<&View> = (!stack.dirs.is_empty()).then_some(&stack.view);
        let lower = (!stack.dirs.is_empty()).then_some(stack as &dyn ireko_layer::LowerFiles);
        UnpackOptions { attrs: self.options.written_as.attrs, below, lower }
    }

    /// As [`Store::import_blob`], and unpacks the layer over `below` in the same read.
    pub fn import_and_unpack(
        self: &Arc<Self>,
        blob: &BlobForm,
        expect: Option<&Digest>,
        below: &[Digest],
    ) -> Result<LayerInfo> {
        let known = expect.copied().or_else(|| self.diff_of_blob(&blob.digest));
        if let Some(diff) = known
            && self.layer_file(&diff).is_some()
        {
            let info = self.import_blob(blob, expect)?;
            self.ensure_snapshot(&diff, below)?;
            return Ok(LayerInfo { snapshot: true, readable: true, ..info });
        }
        let stack = self.stack(below)?;
        let draft = self.snapshot_draft()?;
        let file = self.open_blob(&blob.digest)?.ok_or(Error::BlobGone { digest: blob.digest })?;
        let failed = |cause| Error::Layer { deed: "unpack", subject: blob.digest, cause: Box::new(cause) };
        let mut reader = DigestReader::<File>::new(file);
        let tar = ireko_layer::decompress(&mut reader).map_err(failed)?;
        let written = ireko_layer::unpack(tar, &draft.dir(), &self.unpack_options(&stack)).map_err(failed)?;
        check_rest(reader, &blob.digest)?;
        check_diff(expect, &written)?;
        let forms = NewForms { blob: Some(blob.clone()), ..NewForms::default() };
        self.put(&written, forms, false)?;
        let diff = written.diff_id;
        let layer = self.layer_file(&diff).ok_or(Error::LayerGone { diff })?;
        {
            let _lock = self.lock_layer(&diff)?;
            let exact = written.substituted.is_empty();
            self.add_snapshot(&layer, Unpacked { draft, exact, below })?;
        }
        self.layer(&diff)?.ok_or(Error::LayerGone { diff })
    }

    pub(crate) fn pend(&self, record: PathBuf, kind: Unsynced) {
        self.unsynced.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(record, kind);
    }

    /// Brings all that was written to the disk, and marks the unpacked files and tars as durable. Without it they are
    /// verified, or dropped, after the machine was started again.
    pub fn sync(&self) -> Result<()> {
        let pending =
            std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if pending.is_empty() {
            return Ok(());
        }
        let home = self.layout.home();
        let dir = File::open(home).map_err(|cause| Error::io("open", home, cause))?;
        rustix::fs::syncfs(&dir).map_err(|error| Error::io("sync", home, error))?;
        for (path, kind) in pending {
            match kind {
                Unsynced::Tar => {
                    if let Some(file) = self.read_json::<TarFile>(FORM, &path) {
                        self.write_json(FORM, &path, &TarFile { boot: None, ..file })?;
                    }
                }
                Unsynced::Snapshot => {
                    if let Some(file) = self.read_json::<SnapshotFile>(FORM, &path) {
                        self.write_json(FORM, &path, &SnapshotFile { boot: None, ..file })?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The id map of a process whose ids are the machine's own.
const IDENTITY: &str = "identity";

/// What user 0 of a map is outside.
fn user_of(map: &str) -> Option<&str> {
    map.split(['/', ',']).next()
}

struct WrittenAsText {
    id_map: String,
    attrs: String,
}
