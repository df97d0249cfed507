//! Reads everything and says what is damaged; on request, drops what can be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ireko_layer::Index;
use ireko_oci::{Digest, ImageConfig};

use crate::disk::{self, Hold};
use crate::error::{Error, Result};
use crate::image::{Image, NameFile};
use crate::inventory::{LayerItem, is_torn, quiet};
use crate::layer::{NewForms, digest_of};
use crate::lease::{self, Object};
use crate::open::unique_name;
use crate::seal::{self, IMAGE, INDEX, INPUTS, MEMO, NAME, RECORD, SLOT, STAT, TREE};
use crate::snapshot::SnapshotFile;
use crate::store::Store;

/// What checking the store came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What was read, by kind: its plural, and how many.
    pub checked: BTreeMap<&'static str, u64>,
    /// Unpacked directories that were written under another id map and cannot be judged from here.
    pub unreadable: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The thing, as people name it.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
    /// What was done about it.
    pub fate: Fate,
}

/// What became of a damaged thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is as it was: nothing was asked, or it cannot be made again.
    Left,
    /// It was dropped, and will be made again where it is needed.
    Dropped,
    /// It was made again from what is left.
    Remade,
    /// A process that runs now uses it.
    InUse,
}

impl FsckReport {
    /// Whether all is well.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Store {
    /// Checks blobs against their digests, layers' indexes against their forms, records, trees and images. With
    /// `repair`, what is damaged and can be made again is dropped; a damaged image is told and stays.
    pub fn fsck(&self, repair: bool) -> Result<FsckReport> {
        self.lease()?;
        let mut check = Check { store: self, repair, report: FsckReport::default() };
        check.blobs()?;
        check.layers()?;
        check.small_files()?;
        // Last: what was dropped above may be what an image needs.
        check.images()?;
        Ok(check.report)
    }
}

/// Files as they were before they were looked at.
struct Witness(Vec<(PathBuf, Option<Print>)>);

/// What tells one file from another that came in its place, and a directory from itself with one file more.
type Print = (u64, u64, i64, i64, i64);

impl Witness {
    fn of(paths: &[&Path]) -> Self {
        Self(paths.iter().map(|path| ((*path).to_owned(), Self::print(path))).collect())
    }

    #[expect(clippy::useless_conversion, reason = "the width of the fields is the platform's")]
    fn print(path: &Path) -> Option<Print> {
        let stat = rustix::fs::lstat(path).ok()?;
        let nanos = i64::try_from(stat.st_ctime_nsec).unwrap_or_default();
        Some((stat.st_dev.into(), stat.st_ino.into(), stat.st_size.into(), stat.st_ctime.into(), nanos))
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }

    fn is_unchanged(&self) -> bool {
        self.0.iter().all(|(path, print)| Self::print(path) == *print)
    }
}

struct Check<'a> {
    store: &'a Store,
    repair: bool,
    report: FsckReport,
}

impl Check<'_> {
    fn count(&mut self, kind: &'static str) {
        *self.report.checked.entry(kind).or_default() += 1;
    }

    fn problem(&mut self, subject: String, problem: String, fate: Fate) {
        self.report.problems.push(Problem { subject, problem, fate });
    }

    /// Drops what was looked at if that is asked and nobody uses the object, and tells what is wrong. What others
    /// replaced or took away since is not what was looked at, and nothing is wrong with it.
    fn drop_damaged(
        &mut self,
        subject: String,
        problem: String,
        object: Option<Object>,
        seen: &Witness,
    ) -> Result<()> {
        if !seen.is_unchanged() {
            return Ok(());
        }
        if !self.repair {
            self.problem(subject, problem, Fate::Left);
            return Ok(());
        }
        // While this is held nobody comes to use anything; who does so already is asked now, not when all began.
        let gc = disk::lock(&self.store.layout.lock("gc"), Hold::Exclusive)?;
        if !seen.is_unchanged() {
            return Ok(());
        }
        let held = match object {
            Some(object) => self.held_by_others()?.contains(&object),
            None => false,
        };
        let mut gone = Vec::new();
        if !held {
            for path in seen.paths() {
                gone.extend(self.take_out(path)?);
            }
        }
        drop(gc);
        self.problem(subject, problem, if held { Fate::InUse } else { Fate::Dropped });
        gone.iter().try_for_each(|path| match disk::remove(path).problems.pop() {
            Some(problem) => Err(problem),
            None => Ok(()),
        })
    }

    /// What live processes hold, but for this one. The collector's lock must be held.
    fn held_by_others(&self) -> Result<BTreeSet<Object>> {
        lease::held_by_the_living(&self.store.layout, Some(self.store.lease()?.path()))
    }

    fn is_held(&self, object: &Object) -> Result<bool> {
        let _gc = disk::lock(&self.store.layout.lock("gc"), Hold::Exclusive)?;
        Ok(self.held_by_others()?.contains(object))
    }

    /// Moves a path into the trash; tells where it is then.
    fn take_out(&self, path: &Path) -> Result<Option<PathBuf>> {
        let trash = self.store.layout.dir("trash").join(unique_name()?);
        match disk::publish(path, &trash) {
            Err(Error::Io { cause, .. }) if disk::is_absent(&cause) => Ok(None),
            other => other.map(|()| Some(trash)),
        }
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let Some(trash) = self.take_out(path)? else { return Ok(()) };
        match disk::remove(&trash).problems.pop() {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    fn blobs(&mut self) -> Result<()> {
        for item in self.store.blob_items()? {
            self.count("blobs");
            let path = self.store.layout.blob(&item.digest);
            let seen = Witness::of(&[&path]);
            // One that was dropped meanwhile is no problem.
            let found = match digest_of(&path) {
                Err(Error::Io { cause, .. }) if disk::is_absent(&cause) => continue,
                other => other?,
            };
            if found != item.digest {
                let subject = format!("blob {}", item.digest);
                let object = Some(Object::Blob(item.digest));
                self.drop_damaged(subject, format!("its bytes have digest `{found}`"), object, &seen)?;
            }
        }
        Ok(())
    }

    fn layers(&mut self) -> Result<()> {
        for item in self.store.layer_items()? {
            let item = self.as_it_is(item)?;
            self.unread(&item)?;
            let is_read = item.has_info || item.unread.is_empty();
            let Some(index) = is_read.then(|| self.layer_index(&item)).transpose()?.flatten() else {
                continue;
            };
            self.tar(&item, &index)?;
            self.snapshots(&item, &index)?;
        }
        Ok(())
    }

    /// A layer that was listed without its info, as it is now: it may have been read since, or have been gone for a
    /// moment and made again.
    fn as_it_is(&self, item: LayerItem) -> Result<LayerItem> {
        if item.has_info { Ok(item) } else { self.store.layer_item(item.diff) }
    }

    /// The layer's own files; where they are damaged the layer as a whole is, and its forms with it.
    fn layer_index(&mut self, item: &LayerItem) -> Result<Option<Index>> {
        self.count("layers");
        let place = self.store.layout.layer(&item.diff);
        let seen = Witness::of(&[&place]);
        let bytes = disk::read(&place.join("index"))?;
        let index = bytes
            .ok_or_else(|| "it has no index".to_owned())
            .and_then(|bytes| seal::unseal(INDEX, bytes).map_err(|problem| format!("its index: {problem}")))
            .and_then(|body| Index::decode(&body).map_err(|error| format!("its index: {error}")));
        let problem = match (&item.file, index) {
            (Some(file), Ok(index)) if index.content_id() == file.content => return Ok(Some(index)),
            (Some(_), Ok(_)) => "its index has another content id than its info".to_owned(),
            (None, _) => "its info does not read back".to_owned(),
            (_, Err(problem)) => problem,
        };
        if !place.exists() {
            return Ok(None);
        }
        let subject = format!("layer {}", item.diff);
        let object = Object::Layer(item.diff);
        if self.repair
            && seen.is_unchanged()
            && !self.is_held(&object)?
            && let Some(index) = self.remake(item)?
        {
            self.problem(subject, problem, Fate::Remade);
            return Ok(Some(index));
        }
        self.drop_damaged(subject, problem, Some(object), &seen)?;
        Ok(None)
    }

    /// Reads a layer's index again from its tar or a blob. Whose times were set on purpose cannot be told any more, so
    /// the content id may be another; and the tar is no longer known to be ours.
    fn remake(&self, item: &LayerItem) -> Result<Option<Index>> {
        let tar = self.store.layout.tar(&item.diff);
        let mut files: Vec<fs::File> = item.tar.and_then(|_| fs::File::open(tar).ok()).into_iter().collect();
        for blob in item.all_blobs() {
            files.extend(self.store.open_blob(&blob.digest)?);
        }
        for file in files {
            let Ok(written) = ireko_layer::decompress(file).and_then(ireko_layer::index_of) else { continue };
            if written.diff_id == item.diff {
                let place = self.store.layout.layer(&item.diff);
                self.remove(&place.join("info"))?;
                self.store.put(&written, NewForms::default(), false)?;
                return Ok(Some(written.index));
            }
        }
        Ok(None)
    }

    /// Blobs that nobody read yet: each must unpack to the layer that it is said to be.
    fn unread(&mut self, item: &LayerItem) -> Result<()> {
        let place = self.store.layout.layer(&item.diff);
        for blob in &item.unread {
            self.count("layers not read yet");
            let mark = self.store.unread_mark(&item.diff, &blob.digest);
            // Where the mark is all there is, the layer's directory goes with it.
            let is_alone = disk::names(&place)?.len() == 1;
            let seen = Witness::of(&[if is_alone { &place } else { &mark }]);
            let Some(file) = self.store.open_blob(&blob.digest)? else { continue };
            let short = blob.digest.short();
            let problem = match ireko_layer::decompress(file).and_then(ireko_layer::index_of) {
                Ok(written) if written.diff_id == item.diff => continue,
                Ok(written) => format!("blob {short} was to be it, and is layer `{}`", written.diff_id),
                Err(error) => format!("blob {short} was to be it, and cannot be read: {error}"),
            };
            let object = Some(Object::Layer(item.diff));
            self.drop_damaged(format!("layer {}", item.diff), problem, object, &seen)?;
        }
        Ok(())
    }

    fn tar(&mut self, item: &LayerItem, index: &Index) -> Result<()> {
        if item.tar.is_none() {
            return Ok(());
        }
        self.count("layer tars");
        let path = self.store.layout.tar(&item.diff);
        let form = self.store.layout.layer(&item.diff).join("tar");
        let seen = Witness::of(&[&form, &path]);
        let file = match fs::File::open(&path) {
            Err(error) if disk::is_absent(&error) => return Ok(()),
            other => other.map_err(|cause| Error::io("open", &path, cause))?,
        };
        let problem = match ireko_layer::index_of(file) {
            Ok(written) if written.diff_id != item.diff => {
                format!("its tar has digest `{}`", written.diff_id)
            }
            Ok(written) if !is_same(&written.index, index) => {
                "its index lists other entries than its tar".to_owned()
            }
            Ok(_) => return Ok(()),
            Err(error) => format!("its tar cannot be read: {error}"),
        };
        let object = Some(Object::Layer(item.diff));
        self.drop_damaged(format!("layer {}", item.diff), problem, object, &seen)
    }

    fn snapshots(&mut self, item: &LayerItem, index: &Index) -> Result<()> {
        let own = self.store.written_as();
        for snapshot in &item.snapshots {
            let place = self.store.layout.snapshot(&snapshot.name);
            let link = self.store.layout.layer(&item.diff).join(&snapshot.link);
            let seen = Witness::of(&[&link, &place]);
            let record = quiet::<SnapshotFile>(seal::FORM, &place.join("record"));
            let ours =
                |record: &SnapshotFile| record.id_map == own.id_map && record.attrs == own.attrs_name();
            let Some(record) = record.filter(ours) else {
                self.report.unreadable += 1;
                continue;
            };
            self.count("unpacked layers");
            let problems = record.verify(index, &place);
            if !problems.is_empty() && place.exists() {
                let problem = format!("unpacked: {}", problems.join("; "));
                let object = Some(Object::Layer(item.diff));
                self.drop_damaged(format!("layer {}", item.diff), problem, object, &seen)?;
            }
        }
        Ok(())
    }

    /// Records, inputs, trees, slots, memos and file hashes: all can be found again.
    fn small_files(&mut self) -> Result<()> {
        let fanned =
            [("records", RECORD), ("inputs", INPUTS), ("trees", TREE), ("memo", MEMO), ("steps", SLOT)];
        for (dir, kind) in fanned {
            for (name, path) in disk::fanned_names(&self.store.layout.dir(dir))? {
                self.small_file(kind, &name, &path)?;
            }
        }
        let place = self.store.layout.dir("stat");
        for name in disk::names(&place)? {
            self.small_file(STAT, &name, &place.join(&name))?;
        }
        Ok(())
    }

    fn small_file(&mut self, kind: seal::Kind, name: &str, path: &Path) -> Result<()> {
        self.count("cache notes");
        let seen = Witness::of(&[path]);
        if !is_torn(kind, path) {
            return Ok(());
        }
        let subject = format!("{} {name}", kind.name);
        self.drop_damaged(subject, "it is cut short or garbled".to_owned(), None, &seen)
    }

    fn images(&mut self) -> Result<()> {
        let (names, ids) = (self.store.layout.dir("images/names"), self.store.layout.dir("images/ids"));
        let _lock = match self.repair {
            true => Some(disk::lock(&self.store.layout.lock("images"), Hold::Exclusive)?),
            false => None,
        };
        // What somebody can ask for.
        let mut asked: BTreeSet<Digest> =
            self.store.all_names()?.into_iter().map(|name: NameFile| name.id).collect();
        asked
            .extend(self.store.all_images()?.iter().flat_map(|image| &image.members).map(|member| member.id));
        for hex in disk::names(&ids)? {
            self.count("images");
            let path = ids.join(&hex);
            match quiet::<Image>(IMAGE, &path) {
                Some(image) => {
                    let before = self.report.problems.len();
                    self.image(&image)?;
                    self.drop_nameless(&image, before, &asked)?;
                }
                None if !path.exists() => {}
                None => self.unreadable(format!("image {hex}"), "it does not read back", &path)?,
            }
        }
        // After the images: a name whose image was dropped is dropped too.
        for file_name in disk::names(&names)? {
            self.count("image names");
            let path = names.join(&file_name);
            match quiet::<NameFile>(NAME, &path) {
                Some(file) if self.store.layout.image_id(&file.id).exists() => {}
                Some(file) => {
                    let problem = format!("it names image {}, which is not there", file.id.short());
                    self.unreadable(format!("name `{}`", file.name), &problem, &path)?;
                }
                // The name may have gone since the directory was read.
                None if !path.exists() => {}
                None => self.unreadable(format!("name `{file_name}`"), "it does not read back", &path)?,
            }
        }
        Ok(())
    }

    /// A damaged image that has no name goes: nobody can ask for it.
    fn drop_nameless(&mut self, image: &Image, before: usize, asked: &BTreeSet<Digest>) -> Result<()> {
        let is_damaged = self.report.problems.len() > before;
        if self.repair && is_damaged && !self.is_held(&Object::Blob(image.id))? && !asked.contains(&image.id)
        {
            self.remove(&self.store.layout.image_id(&image.id))?;
            for problem in &mut self.report.problems[before..] {
                problem.fate = Fate::Dropped;
            }
        }
        Ok(())
    }

    /// What says nothing any more: nothing is lost with it.
    fn unreadable(&mut self, subject: String, problem: &str, path: &Path) -> Result<()> {
        self.drop_damaged(subject, problem.to_owned(), None, &Witness::of(&[path]))
    }

    /// An image for several platforms is well where its members are, each of which is looked at by itself.
    fn members(&mut self, image: &Image) -> Result<()> {
        let subject = format!("image {}", image.id.short());
        if !self.store.has_blob(&image.id) {
            self.problem(subject.clone(), "its list of images is not in the store".to_owned(), Fate::Left);
        }
        for member in &image.members {
            if self.store.image_by_id(&member.id)?.is_none() {
                let problem = format!("its image for {} is not in the store", member.platform);
                self.problem(subject.clone(), problem, Fate::Left);
            }
        }
        Ok(())
    }

    fn image(&mut self, image: &Image) -> Result<()> {
        let subject = format!("image {}", image.id.short());
        if !image.members.is_empty() {
            return self.members(image);
        }
        let config = disk::read(&self.store.layout.blob(&image.id))?;
        match config {
            None => self.problem(subject.clone(), "its config is not in the store".to_owned(), Fate::Left),
            Some(bytes) if image.id.matches(&bytes) => match ImageConfig::parse(&bytes) {
                Ok(config) if config.rootfs.diff_ids == image.diff_ids => {}
                Ok(_) => {
                    self.problem(subject.clone(), "its config lists other layers".to_owned(), Fate::Left)
                }
                Err(error) => self.problem(subject.clone(), format!("its config: {error}"), Fate::Left),
            },
            // Told with the blobs.
            Some(_) => {}
        }
        if let Some(manifest) = image.manifest.filter(|manifest| !self.store.has_blob(manifest)) {
            let problem = format!("its manifest {} is not in the store", manifest.short());
            self.problem(subject.clone(), problem, Fate::Left);
        }
        for diff in &image.diff_ids {
            let item = self.store.layer_item(*diff)?;
            if !item.packed() && item.snapshots.is_empty() && item.unread.is_empty() {
                self.problem(
                    subject.clone(),
                    format!("its layer {} is not in the store", diff.short()),
                    Fate::Left,
                );
            }
        }
        Ok(())
    }
}

/// Whether an index read from the tar agrees with the kept one, which knows more: whose time was set on purpose, and
/// times to the nanosecond.
fn is_same(from_tar: &Index, kept: &Index) -> bool {
    let (left, right) = (from_tar.entries(), kept.entries());
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            let meta = |entry: &ireko_layer::Entry| (entry.meta.mode, entry.meta.uid, entry.meta.gid);
            left.path == right.path
                && left.kind == right.kind
                && meta(left) == meta(right)
                && left.meta.mtime.secs == right.meta.mtime.secs
        })
}

#[cfg(test)]
mod tests;
