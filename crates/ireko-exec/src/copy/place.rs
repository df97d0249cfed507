//! Placing selected files onto a tree, one source after the other.

use ireko_dockerfile::chmod::{self, Chmod};
use ireko_graph::op::Copy;
use ireko_layer::{ChangeKind, Follow, Meta, Time, TreePath, View};

use super::Workplace;
use super::staged::{Made, Put, Staged, There};
use crate::files_error::FilesError;
use crate::passwd;
use crate::selection::{Pick, PickSource, Selected};
use crate::source::{ItemKind, Source};

/// One copy being placed.
pub(super) struct Placing<'a> {
    copy: &'a Copy,
    staged: Staged<'a>,
    dest: TreePath,
    owner: Option<(u32, u32)>,
    chmod: Option<Chmod>,
    now: Time,
    /// Where archives are unpacked to; without it they are left out.
    workplace: Option<Workplace<'a>>,
}

impl<'a> Placing<'a> {
    pub(super) fn new(
        copy: &'a Copy,
        base: &'a View,
        now: Time,
        workplace: Option<Workplace<'a>>,
    ) -> Result<Self, FilesError> {
        let owner = match &copy.owner {
            Some(spec) => Some(passwd::owner(spec, base)?),
            None => None,
        };
        let chmod = match &copy.mode {
            Some(text) => Some(chmod::parse(text).map_err(|problem| FilesError::Unusable {
                text: format!("--chmod={text}"),
                problem,
                hint: None,
            })?),
            None => None,
        };
        let dest = TreePath::from_guest(&copy.dest);
        Ok(Self { copy, staged: Staged::new(base), dest, owner, chmod, now, workplace })
    }

    pub(super) fn finish(self) -> Vec<(TreePath, Put)> {
        self.staged.finish()
    }

    /// Places one source.
    pub(super) fn pick(&mut self, number: usize, pick: &Pick) -> Result<(), FilesError> {
        let Some(root) = pick.entries.first() else { return Ok(()) };
        if pick.unpack && root.item.is_file() && self.unpack(pick, root)? {
            return Ok(());
        }
        let made = Made::By(self.owner);
        let time = self.time_of(pick, root);
        let sure = match self.copy.dest_is_dir {
            true => self.dest.clone(),
            false => self.dest.parent().unwrap_or_default(),
        };
        let sure = self.staged.resolve(&sure, Follow::All)?;
        self.staged.make_dirs(&sure, made, time)?;

        let mut target = self.staged.resolve(&self.dest, Follow::All)?;
        if root.item.is_dir() {
            self.staged.make_dirs(&target, made, time)?;
        } else {
            if self.staged.there(&target) == There::Dir {
                target = target.join(&pick.name)?;
            }
            self.staged.make_dirs(&target.parent().unwrap_or_default(), made, time)?;
            return self.put(&target, (number, 0), root, time);
        }
        for (at, selected) in pick.entries.iter().enumerate().skip(1) {
            let path = target.join(&selected.below)?;
            let time = selected.item.meta.mtime;
            if selected.item.is_dir() {
                self.dir(&path, selected)?;
            } else {
                self.put(&path, (number, at), selected, time)?;
            }
        }
        Ok(())
    }

    /// What is made for a source gets the source's time; a here-document has none.
    fn time_of(&self, pick: &Pick, root: &Selected) -> Time {
        match pick.source {
            PickSource::Inline(_) => self.now,
            PickSource::Files(_) => root.item.meta.mtime,
        }
    }

    /// Mode, owner and attributes as they are written.
    fn meta(&self, selected: &Selected, time: Time) -> Meta {
        let item = &selected.item;
        let (uid, gid) = self.owner.unwrap_or((item.meta.uid, item.meta.gid));
        let mode = match (&self.chmod, &item.kind) {
            (_, ItemKind::Symlink { .. }) => 0o777,
            (Some(chmod), _) => chmod.apply(item.meta.mode, item.is_dir()),
            (None, _) => item.meta.mode,
        };
        Meta { mode, uid, gid, mtime: time, xattrs: selected.xattrs.clone() }
    }

    /// A directory below the source.
    fn dir(&mut self, path: &TreePath, selected: &Selected) -> Result<(), FilesError> {
        let meta = self.meta(selected, selected.item.meta.mtime);
        match self.staged.there(path) {
            There::Nothing => self.staged.put_new_dir(path, meta),
            There::Other => {
                let problem = "the source has a directory there, and what is there is none";
                return Err(FilesError::Clash { path: path.clone(), problem });
            }
            There::Dir => {
                let old = self.staged.meta(path).unwrap_or_default();
                let meta = match selected.asked {
                    true => Meta { xattrs: old.xattrs.into_iter().chain(meta.xattrs).collect(), ..meta },
                    // It is there for what it holds: only the mode is taken over, and the source's own at that.
                    false => Meta { mode: selected.item.meta.mode, ..old },
                };
                self.staged.set_dir(path, meta);
            }
        }
        Ok(())
    }

    /// A file or other thing that is no directory; `from` are the numbers of its pick and of the entry there.
    fn put(
        &mut self,
        path: &TreePath,
        from: (usize, usize),
        selected: &Selected,
        time: Time,
    ) -> Result<(), FilesError> {
        if self.staged.there(path) == There::Dir {
            let problem = "the source is a file, and a directory is there";
            return Err(FilesError::Clash { path: path.clone(), problem });
        }
        let meta = self.meta(selected, time);
        let kind = match &selected.item.kind {
            ItemKind::File { .. } => {
                self.staged.put_file(path, meta, from);
                return Ok(());
            }
            ItemKind::Dir => ChangeKind::Dir { opaque: false },
            ItemKind::Symlink { target } => ChangeKind::Symlink { target: target.clone() },
            ItemKind::Char { major, minor } => ChangeKind::Char { major: *major, minor: *minor },
            ItemKind::Block { major, minor } => ChangeKind::Block { major: *major, minor: *minor },
            ItemKind::Fifo => ChangeKind::Fifo,
        };
        self.staged.put(path, meta, kind);
        Ok(())
    }

    /// Unpacks a source that is an archive; false if it is none.
    fn unpack(&mut self, pick: &Pick, root: &Selected) -> Result<bool, FilesError> {
        let PickSource::Files(source) = &pick.source else { return Ok(false) };
        let Some(workplace) = self.workplace else { return Ok(false) };
        let path = &root.item.path;
        let file = match source {
            Source::Context(context) => context.open_file(&root.item)?,
            Source::Tree(tree) => tree.open_file(path, workplace.scratch)?,
            Source::Empty => return Ok(false),
        };
        let Some(archive) = workplace.open(file)? else { return Ok(false) };
        let made = Made::By(self.owner);
        let dest = self.staged.resolve(&self.dest, Follow::All)?;
        self.staged.make_dirs(&dest, made, root.item.meta.mtime)?;
        for change in archive.changes(&dest)? {
            self.staged.unpack(change)?;
        }
        Ok(true)
    }
}
