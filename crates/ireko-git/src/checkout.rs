//! The files of a commit in a directory.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::GitError;
use crate::fetch::{Fetched, unique};
use crate::tidy;

/// Which time the files have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mtime {
    /// That of the checkout.
    #[default]
    Checkout,
    /// That of the commit.
    Commit,
}

/// What of a commit is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The directory; empty for all. Always read as if the repository were the root.
    pub subdir: String,
    /// Whether `.git` is kept. With a directory it never is.
    pub keep_git_dir: bool,
    /// Whether the files of submodules are there.
    pub submodules: bool,
    /// Which time files have.
    pub mtime: Mtime,
}

impl Default for Checkout {
    fn default() -> Self {
        Self { subdir: String::new(), keep_git_dir: false, submodules: true, mtime: Mtime::Checkout }
    }
}

/// A directory that is removed when this is dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(dir: &Path, name: &str) -> Result<Self, GitError> {
        let path = dir.join(format!("git-{name}-{}", unique()));
        fs::create_dir(&path).map_err(|cause| GitError::io("create directory", &path, cause))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone_already = fs::remove_dir_all(&self.0);
    }
}

impl Fetched<'_> {
    /// Writes the files into the empty directory `dest`. What is written while it is being done lies in `scratch`, a
    /// directory of the same file system that others must not reach.
    ///
    /// Files have mode 644 or 755, as their owner may run them, directories 755, whatever the umask is.
    pub fn checkout(&self, what: &Checkout, dest: &Path, scratch: &Path) -> Result<(), GitError> {
        let parts = clean(&what.subdir);
        let room = Scratch::new(scratch, "checkout")?;
        let work = if parts.is_empty() { dest.to_owned() } else { room.0.join("work") };
        fs::create_dir_all(&work).map_err(|cause| GitError::io("create directory", &work, cause))?;
        let kept = (what.keep_git_dir && parts.is_empty()).then(|| work.join(".git"));
        let place = Place { work: &work, git_dir: kept.as_deref(), room: &room.0 };
        self.write_tree(&place)?;
        if what.submodules {
            self.write_submodules(&place, &parts, 0)?;
        }
        if !parts.is_empty() {
            self.take_subdir(&work, &parts, dest)?;
        }
        let time = (what.mtime == Mtime::Commit).then_some(self.time());
        tidy::tidy(dest, time)
    }

    /// The files of this commit alone.
    pub(crate) fn write_tree(&self, place: &Place<'_>) -> Result<(), GitError> {
        if let Some(git_dir) = place.git_dir {
            return self.write_with_git_dir(place.work, git_dir);
        }
        let index = place.room.join(format!("index-{}", unique()));
        let run = || self.git("check out").index(&index).tree(place.work);
        self.repository.text(run().args(["read-tree", self.commit()]))?;
        self.repository.text(run().args(["checkout-index", "--all", "--force"])).map(drop)
    }

    /// The same with a repository of its own, which holds this commit and nothing else and knows where it came from.
    fn write_with_git_dir(&self, work: &Path, git_dir: &Path) -> Result<(), GitError> {
        let repository = self.repository;
        fs::create_dir_all(git_dir).map_err(|cause| GitError::io("create directory", git_dir, cause))?;
        let git = || crate::command::Run::new(repository.git, "check out").dir(git_dir);
        let format = if self.commit().len() == 64 { "sha256" } else { "sha1" };
        let format = format!("--object-format={format}");
        repository.text(git().args(["init", "--quiet", "--template=", &format]))?;
        let mark = format!("refs/ireko/{}", self.object);
        let spec = match &self.name {
            Some(name) if name.starts_with("refs/") => format!("+{mark}:{name}"),
            _ => mark,
        };
        let fetch =
            git().local().args(["fetch", "--quiet", "--update-head-ok", "--depth=1", "--no-tags", "--"]);
        repository.text(fetch.args([self.copy.as_os_str(), spec.as_ref()]))?;
        repository.text(git().tree(work).args(["checkout", "--quiet", "--detach", self.commit()]))?;
        repository.text(git().args(["remote", "add", "origin", repository.address.as_str()]))?;
        for name in ["FETCH_HEAD", "ORIG_HEAD", "logs", "index"] {
            let path = git_dir.join(name);
            let _there_may_be_none = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        // An index without what the disk says of the files: the same for everybody.
        repository.text(git().tree(work).args(["read-tree", self.commit()])).map(drop)
    }

    fn take_subdir(&self, work: &Path, parts: &[String], dest: &Path) -> Result<(), GitError> {
        let mut path = work.to_owned();
        for part in parts {
            let above = path.clone();
            path.push(part);
            if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                return Err(self.no_subdir(parts, &above, &path));
            }
        }
        fs::create_dir_all(dest).map_err(|cause| GitError::io("create directory", dest, cause))?;
        // A directory takes the place of an empty one.
        fs::rename(&path, dest).map_err(|cause| GitError::io("rename", &path, cause))
    }

    fn no_subdir(&self, parts: &[String], above: &Path, path: &Path) -> GitError {
        const MOST: usize = 6;
        let address = &self.repository.address;
        let wanted = parts.join("/");
        if fs::symlink_metadata(path).is_ok() {
            let last = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let problem = format!(
                "`{wanted}` of `{address}` cannot be used: `{last}` in it is no directory of its own"
            );
            return GitError::Request { problem };
        }
        let entries = fs::read_dir(above).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut similar: Vec<String> =
            dirs.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        similar.sort();
        similar.truncate(MOST);
        GitError::NoRef { address: address.to_string(), wanted: format!("directory `{wanted}`"), similar }
    }
}

/// Where one tree is written.
pub(crate) struct Place<'a> {
    pub(crate) work: &'a Path,
    pub(crate) git_dir: Option<&'a Path>,
    pub(crate) room: &'a Path,
}

/// The parts of a path, `.` and `..` resolved as at the root.
pub(crate) fn clean(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts
}
