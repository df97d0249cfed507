//! Why a source of a copy is not in a context: an ignore line took it out, or its name is another.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use ireko_layer::TreePath;
use ireko_report::nearest_names;
use rustix::fs::{AtFlags, FileType, RawDir};

use super::{LocalContext, dirs};

/// More names than these are not compared.
const MOST: usize = 10_000;

impl LocalContext {
    /// A clause and a hint for the message that `path` is missing.
    pub(crate) fn why_missing(&self, path: &TreePath) -> (String, Option<String>) {
        let on_disk = rustix::fs::statat(&self.place.root, path.as_path(), AtFlags::SYMLINK_NOFOLLOW);
        if on_disk.is_ok()
            && let Some(decision) = self.place.ignore.decide(path)
            && decision.excluded
        {
            let why =
                format!("; line {} of the ignore file (`{}`) keeps it out", decision.line, decision.pattern);
            let hint = format!("let it in again with a line `!{path}` below that one");
            return (why, Some(hint));
        }
        let (dir, missing) = self.first_missing(path);
        let names = dirs::open(&self.place.root, &dir).and_then(|fd| names_of(&fd)).unwrap_or_default();
        let nearest = nearest_names(&missing, names.iter().map(String::as_str));
        if nearest.is_empty() {
            return (String::new(), self.place_outside(path));
        }
        let full = nearest.iter().map(|name| match dir.is_root() {
            true => format!("`{name}`"),
            false => format!("`{dir}/{name}`"),
        });
        (String::new(), Some(format!("there is {}", full.collect::<Vec<_>>().join(", "))))
    }

    /// A hint for who gave a path of the whole machine: sources are read within the context.
    fn place_outside(&self, path: &TreePath) -> Option<String> {
        let whole = std::path::Path::new("/").join(path.as_path());
        let root = rustix::fs::readlink(format!("/proc/self/fd/{}", self.place.root.as_raw_fd()), Vec::new());
        let root = PathBuf::from(OsString::from_vec(root.ok()?.into_bytes()));
        if let Ok(inside) = whole.strip_prefix(&root)
            && !inside.as_os_str().is_empty()
        {
            return Some(format!("paths begin at the context: write `{}`", inside.display()));
        }
        let exists = path.names().count() > 1 && whole.symlink_metadata().is_ok();
        exists.then(|| {
            "paths begin at the context, and nothing outside it can be copied: \
             `--build-context NAME=DIR` and `COPY --from=NAME` bring files of another directory"
                .to_owned()
        })
    }

    /// The deepest directory of the path that exists, and the name that it lacks.
    fn first_missing(&self, path: &TreePath) -> (TreePath, String) {
        let mut dir = TreePath::root();
        for name in path.names() {
            let text = String::from_utf8_lossy(name).into_owned();
            let Ok(next) = dir.join(name) else { return (dir, text) };
            match rustix::fs::statat(&self.place.root, next.as_path(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => dir = next,
                _ => return (dir, text),
            }
        }
        (dir, String::new())
    }
}

fn names_of(fd: &OwnedFd) -> io::Result<Vec<String>> {
    let mut room = [MaybeUninit::<u8>::uninit(); 8192];
    let mut dir = RawDir::new(fd, &mut room);
    let mut names = Vec::new();
    while let Some(entry) = dir.next() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." && names.len() < MOST {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
