//! Files of some root, and where a path leads inside it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File {
        /// Its bytes.
        size: u64,
        /// Permission bits.
        mode: u32,
    },
    /// A directory.
    Dir,
    /// A symbolic link, and what it says.
    Link(String),
    /// Anything else.
    Other,
}

/// A tree of files. Paths are absolute and have no `.`, `..` or double slash, and none of their parents is a link.
pub trait Root {
    /// What lies at a path.
    fn node(&self, path: &str) -> io::Result<Option<Node>>;

    /// The names in a directory, sorted; none where it is none.
    fn names(&self, path: &str) -> io::Result<Vec<String>>;

    /// Where a regular file lies on this machine.
    fn real(&self, path: &str) -> PathBuf;

    /// Opens a regular file.
    fn open(&self, path: &str) -> io::Result<File> {
        File::open(self.real(path))
    }
}

/// A directory of this machine as a root.
#[derive(Clone, Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// Takes a directory; `/` is this machine's own root.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Root for Dir {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        let real = self.real(path);
        let meta = match std::fs::symlink_metadata(&real) {
            Ok(meta) => meta,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(match meta.file_type() {
            kind if kind.is_file() => Node::File { size: meta.len(), mode: meta.mode() & 0o7777 },
            kind if kind.is_dir() => Node::Dir,
            kind if kind.is_symlink() => Node::Link(text(&std::fs::read_link(&real)?)?),
            _ => Node::Other,
        }))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let listed = match std::fs::read_dir(self.real(path)) {
            Err(error) if is_absent(&error) => return Ok(names),
            listed => listed?,
        };
        for entry in listed {
            names.push(text(Path::new(&entry?.file_name()))?);
        }
        names.sort();
        Ok(names)
    }

    fn real(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn text(path: &Path) -> io::Result<String> {
    let odd =
        || io::Error::new(io::ErrorKind::InvalidData, format!("the name {} is no UTF-8", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(odd)
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The same without links.
    pub path: String,
    /// What lies there.
    pub node: Node,
    /// The links on the way, and what they say.
    pub links: Vec<(String, String)>,
}

/// Follows all links of a path inside a root, as the kernel does in a container: nothing leads out of it. `None` where
/// it leads nowhere, or in a circle.
pub fn follow(root: &dyn Root, path: &str) -> io::Result<Option<Place>> {
    // The kernel's own limit, path_resolution(7).
    const LINKS_MAX: usize = 40;
    let mut links = Vec::new();
    let mut done: Vec<String> = Vec::new();
    let mut left: Vec<String> = parts(path).rev().map(str::to_owned).collect();
    let mut node = Node::Dir;
    while let Some(part) = left.pop() {
        if node != Node::Dir {
            return Ok(None);
        }
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        let here = joined(&done);
        match root.node(&here)? {
            None => return Ok(None),
            Some(Node::Link(target)) => {
                done.pop();
                if links.len() == LINKS_MAX {
                    return Ok(None);
                }
                if target.starts_with('/') {
                    done.clear();
                }
                left.extend(parts(&target).rev().map(str::to_owned));
                links.push((here, target));
                node = Node::Dir;
            }
            Some(found) => node = found,
        }
    }
    Ok(Some(Place { path: joined(&done), node, links }))
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

fn joined(parts: &[String]) -> String {
    format!("/{}", parts.join("/"))
}

/// The directory a file lies in.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_inside_the_root() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("usr/lib/deep")).expect("a directory");
        std::fs::write(at("usr/lib/deep/x"), "four").expect("a file");
        symlink("usr/lib", at("lib")).expect("a link");
        symlink("/lib/deep/x", at("usr/absolute")).expect("a link");
        symlink("../../../../../usr/lib/deep/x", at("usr/lib/out")).expect("a link");
        symlink("round", at("round")).expect("a link");
        let root = Dir::new(dir.path());
        let found = |path: &str| follow(&root, path).expect("readable");
        let x = found("/usr/absolute").expect("there");
        assert_eq!(x.path, "/usr/lib/deep/x");
        assert!(matches!(x.node, Node::File { size: 4, .. }), "{x:?}");
        let links = [("/usr/absolute", "/lib/deep/x"), ("/lib", "usr/lib")];
        assert_eq!(x.links, links.map(|(link, target)| (link.to_owned(), target.to_owned())));
        assert_eq!(found("/lib/out").expect("there").path, "/usr/lib/deep/x");
        assert_eq!(found("/lib/deep/../deep/./x").expect("there").path, "/usr/lib/deep/x");
        for nowhere in ["/round", "/none", "/lib/deep/x/y", "/lib/deep/x/..", "/lib/none/../deep"] {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
        assert_eq!(found("/").expect("there").path, "/");
    }
}
