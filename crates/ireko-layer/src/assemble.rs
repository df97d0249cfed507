//! Makes a tree of a tar's entries, whatever their order and names: every decision about names, parents, links,
//! repeated names and deletions is taken here, on paper, and only then done in a directory if there is one.

use std::collections::BTreeMap;

use crate::place::Place;
use crate::tar::{Header, Type, shown};
use crate::{Error, Kind, Meta, TreePath, xattr};

/// More hops than these are a loop.
const MAX_HOPS: usize = 255;

/// What names that begin with `.wh.` mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    /// Deletions, as in a layer.
    Delete,
    /// Nothing special, as in an archive.
    Plain,
}

/// A tree being assembled; `F` is what is known of a file's bytes.
pub(crate) struct Assembly<F> {
    nodes: BTreeMap<TreePath, Node>,
    files: Vec<(Meta, F)>,
    whiteouts: Whiteouts,
    pub(crate) place: Option<Place>,
}

#[derive(Clone, PartialEq, Eq)]
struct Node {
    meta: Meta,
    what: What,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    /// Number in `files`: names with the same number are hard links of each other.
    File(usize),
    Dir {
        opaque: bool,
        implied: bool,
    },
    Symlink(Vec<u8>),
    /// A device, a pipe.
    Other(Kind),
    Whiteout,
}

/// What the caller has to do for an entry.
pub(crate) enum Todo {
    Nothing,
    /// Read its content and give it to [`Assembly::put_file`].
    Content(TreePath),
    /// The same with the content of a file of the layers below.
    Below {
        path: TreePath,
        target: TreePath,
    },
}

/// One path of the finished tree.
pub(crate) struct Assembled<F> {
    pub(crate) path: TreePath,
    pub(crate) meta: Meta,
    pub(crate) kind: AssembledKind<F>,
}

pub(crate) enum AssembledKind<F> {
    File(F),
    Dir { opaque: bool, implied: bool },
    Other(Kind),
}

impl<F: Clone> Assembly<F> {
    pub(crate) fn new(whiteouts: Whiteouts, place: Option<Place>) -> Self {
        Self { nodes: BTreeMap::new(), files: Vec::new(), whiteouts, place }
    }

    /// Takes in one entry.
    pub(crate) fn add(&mut self, header: &Header) -> Result<Todo, Error> {
        let names = names_of(header, &header.name)?;
        let Some((last, parents)) = names.split_last() else {
            return match header.kind {
                Type::Dir => self.put_dir(header, TreePath::root()).map(|()| Todo::Nothing),
                // Some archives hold an entry without a name; tar programs pass over it, and so does Docker.
                _ => Ok(Todo::Nothing),
            };
        };
        if self.whiteouts == Whiteouts::Delete {
            if parents.iter().any(|name| name.starts_with(b".wh..wh.")) {
                // What aufs kept for itself: files that hard links of the tree led to.
                return Ok(Todo::Nothing);
            }
            if parents.iter().any(|name| name.starts_with(b".wh.")) {
                return Err(wrong(header, "it lies below a deletion"));
            }
            if let Some(hidden) = last.strip_prefix(b".wh.") {
                return self.delete(header, parents, hidden).map(|()| Todo::Nothing);
            }
        }
        let path = self.locate(header, parents, Some(last))?;
        self.ensure_parents(header, &path)?;
        match header.kind {
            Type::Dir => self.put_dir(header, path)?,
            Type::File => return Ok(Todo::Content(path)),
            Type::HardLink => return self.put_link(header, path),
            Type::Symlink if header.link.is_empty() => {
                return Err(wrong(header, "a symbolic link to nothing"));
            }
            Type::Symlink => self.put_new(path, meta_of(header), What::Symlink(header.link.clone()))?,
            Type::Char(0, 0) if self.whiteouts == Whiteouts::Delete => {
                return Err(wrong(header, "a device that overlayfs takes for a deletion"));
            }
            Type::Char(major, minor) => self.put_other(header, path, Kind::Char { major, minor })?,
            Type::Block(major, minor) => self.put_other(header, path, Kind::Block { major, minor })?,
            Type::Fifo => self.put_other(header, path, Kind::Fifo)?,
        }
        Ok(Todo::Nothing)
    }

    fn put_other(&mut self, header: &Header, path: TreePath, kind: Kind) -> Result<(), Error> {
        self.put_new(path, meta_of(header), What::Other(kind))
    }

    /// Makes room for a file's content at this path.
    pub(crate) fn clear(&mut self, path: &TreePath) -> Result<(), Error> {
        match self.nodes.get(path).map(|node| &node.what) {
            None => return Ok(()),
            // Deletions are put into the directory at the very end.
            Some(What::Whiteout) => {}
            Some(_) => {
                if let Some(place) = &mut self.place {
                    place.remove(path)?;
                }
            }
        }
        let gone: Vec<TreePath> = self
            .nodes
            .range(path.clone()..)
            .map(|(path, _)| path.clone())
            .take_while(|at| at.is_within(path))
            .collect();
        for path in gone {
            self.nodes.remove(&path);
        }
        Ok(())
    }

    /// Adds a file whose content was read (and put into the directory) after [`Self::clear`].
    pub(crate) fn put_file(&mut self, path: TreePath, meta: Meta, content: F) {
        self.files.push((meta.clone(), content));
        self.nodes.insert(path, Node { meta, what: What::File(self.files.len() - 1) });
    }

    /// The tree, sorted by path; the first name of a file has it, the others are links to that.
    pub(crate) fn finish(self) -> (Vec<Assembled<F>>, Option<Place>) {
        let mut first: BTreeMap<usize, TreePath> = BTreeMap::new();
        let mut out = Vec::with_capacity(self.nodes.len());
        for (path, Node { meta, what }) in self.nodes {
            let (meta, kind) = match what {
                What::File(number) => {
                    let (meta, content) = self.files[number].clone();
                    let kind = match first.get(&number) {
                        Some(target) => AssembledKind::Other(Kind::HardLink { target: target.clone() }),
                        None => {
                            first.insert(number, path.clone());
                            AssembledKind::File(content)
                        }
                    };
                    (meta, kind)
                }
                What::Dir { opaque, implied } => (meta, AssembledKind::Dir { opaque, implied }),
                What::Symlink(target) => (meta, AssembledKind::Other(Kind::Symlink { target })),
                What::Other(kind) => (meta, AssembledKind::Other(kind)),
                What::Whiteout => (meta, AssembledKind::Other(Kind::Whiteout)),
            };
            out.push(Assembled { path, meta, kind });
        }
        (out, self.place)
    }

    /// Where names lead: symbolic links of this tree are followed inside its root, the last name's is not.
    fn locate(&self, header: &Header, parents: &[&[u8]], last: Option<&[u8]>) -> Result<TreePath, Error> {
        let too_long = |_| wrong(header, "its name is too long");
        // Above a directory of this tree stand directories only, so no link is on the way to it.
        if let Ok(parent) = TreePath::new(parents.join(&b'/'))
            && let Some(Node { what: What::Dir { .. }, .. }) = self.nodes.get(&parent)
        {
            return last.map_or(Ok(parent.clone()), |last| parent.join(last).map_err(too_long));
        }
        let mut hops = 0;
        let mut done = TreePath::root();
        let mut left: Vec<Vec<u8>> = parents.iter().rev().map(|name| name.to_vec()).collect();
        while let Some(name) = left.pop() {
            if name == b".." {
                done = done.parent().unwrap_or_default();
                continue;
            }
            let next = done.join(&name).map_err(too_long)?;
            match self.nodes.get(&next).map(|node| &node.what) {
                Some(What::Symlink(target)) => {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Err(wrong(header, "its parents are symbolic links that lead nowhere"));
                    }
                    if target.first() == Some(&b'/') {
                        done = TreePath::root();
                    }
                    let names = target.split(|&byte| byte == b'/').rev();
                    left.extend(names.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec));
                }
                _ => done = next,
            }
        }
        match last {
            None => Ok(done),
            Some(last) => done.join(last).map_err(too_long),
        }
    }

    fn ensure_parents(&mut self, header: &Header, path: &TreePath) -> Result<(), Error> {
        let mut missing = Vec::new();
        for above in path.ancestors().filter(|above| !above.is_root()) {
            match self.nodes.get(&above).map(|node| &node.what) {
                Some(What::Dir { .. }) => break,
                // Deleted below, and made anew here.
                Some(What::Whiteout) => missing.push((above, What::Dir { opaque: true, implied: false })),
                None => missing.push((above, What::Dir { opaque: false, implied: true })),
                Some(_) => return Err(wrong(header, "its parent is not a directory")),
            }
        }
        for (above, what) in missing.into_iter().rev() {
            if let Some(place) = &mut self.place {
                place.dir(&above)?;
            }
            self.nodes.insert(above, Node { meta: Meta { mode: 0o755, ..Meta::default() }, what });
        }
        Ok(())
    }

    fn put_dir(&mut self, header: &Header, path: TreePath) -> Result<(), Error> {
        let meta = meta_of(header);
        match self.nodes.get_mut(&path) {
            Some(Node { meta: old, what: What::Dir { implied, .. } }) => {
                *old = meta;
                *implied = false;
                Ok(())
            }
            None if path.is_root() => {
                self.nodes.insert(path, Node { meta, what: What::Dir { opaque: false, implied: false } });
                Ok(())
            }
            // What was there, here or below, is gone: nothing of a directory below shows through.
            Some(_) => self.put_new(path, meta, What::Dir { opaque: true, implied: false }),
            None => self.put_new(path, meta, What::Dir { opaque: false, implied: false }),
        }
    }

    fn put_new(&mut self, path: TreePath, meta: Meta, what: What) -> Result<(), Error> {
        self.clear(&path)?;
        if let Some(place) = &mut self.place {
            let kind = match &what {
                What::Dir { .. } => {
                    place.dir(&path)?;
                    None
                }
                What::Symlink(target) => Some(Kind::Symlink { target: target.clone() }),
                What::Other(kind) => Some(kind.clone()),
                What::File(_) | What::Whiteout => None,
            };
            if let Some(kind) = kind {
                let (path, meta) = (path.clone(), meta.clone());
                place.special(&crate::Entry { path, meta, kind, dated: false, implied: false })?;
            }
        }
        self.nodes.insert(path, Node { meta, what });
        Ok(())
    }

    fn put_link(&mut self, header: &Header, path: TreePath) -> Result<Todo, Error> {
        let names = names_of(header, &header.link)?;
        let Some((last, parents)) = names.split_last() else {
            return Err(wrong(header, "a hard link to a directory"));
        };
        let target = self.locate(header, parents, Some(last))?;
        if target == path {
            return Err(wrong(header, "a hard link to itself"));
        }
        let node = self.nodes.get(&target).cloned();
        match node {
            Some(Node { what: What::Dir { .. }, .. }) => Err(wrong(header, "a hard link to a directory")),
            Some(Node { what: What::Whiteout, .. }) => {
                Err(wrong(header, "a hard link to what the layer deletes"))
            }
            None => Ok(Todo::Below { path, target }),
            // What has no bytes is the same made twice.
            Some(node @ Node { what: What::Symlink(_) | What::Other(_), .. }) => {
                self.put_new(path, node.meta, node.what).map(|()| Todo::Nothing)
            }
            Some(node) => {
                self.clear(&path)?;
                if let Some(place) = &mut self.place {
                    let kind = Kind::HardLink { target };
                    let (path, meta) = (path.clone(), node.meta.clone());
                    place.special(&crate::Entry { path, meta, kind, dated: false, implied: false })?;
                }
                // What an archive says of one name holds for the file, and the last word counts.
                if let (Whiteouts::Plain, What::File(number)) = (self.whiteouts, &node.what) {
                    let old = &mut self.files[*number].0;
                    *old = Meta { xattrs: std::mem::take(&mut old.xattrs), ..meta_of(header) };
                }
                self.nodes.insert(path, node);
                Ok(Todo::Nothing)
            }
        }
    }

    /// A name that begins with `.wh.`: as the OCI specification has it, it hides only what lies below, wherever in
    /// the tar it stands.
    fn delete(&mut self, header: &Header, parents: &[&[u8]], hidden: &[u8]) -> Result<(), Error> {
        match hidden {
            b".wh..opq" => {
                let dir = self.locate(header, parents, None)?;
                let inside = dir.join("x").map_err(|_| wrong(header, "its name is too long"))?;
                self.ensure_parents(header, &inside)?;
                let implied = || Node {
                    meta: Meta { mode: 0o755, ..Meta::default() },
                    what: What::Dir { opaque: true, implied: true },
                };
                let node = self.nodes.entry(dir).or_insert_with(implied);
                if let What::Dir { opaque, .. } = &mut node.what {
                    *opaque = true;
                }
                return Ok(());
            }
            // Other marks of aufs (hard links' directory, temporary names): no part of the tree.
            _ if hidden.starts_with(b".wh.") => return Ok(()),
            b"" | b"." | b".." => return Err(wrong(header, "a deletion of nothing")),
            _ => {}
        }
        let path = self.locate(header, parents, Some(hidden))?;
        self.ensure_parents(header, &path)?;
        match self.nodes.get_mut(&path) {
            None => {
                self.nodes.insert(path, Node { meta: Meta::default(), what: What::Whiteout });
            }
            Some(Node { what: What::Dir { opaque, implied }, .. }) => (*opaque, *implied) = (true, false),
            Some(_) => {}
        }
        Ok(())
    }
}

/// An entry's metadata as a layer holds it.
pub(crate) fn meta_of(header: &Header) -> Meta {
    let mut meta = header.meta.clone();
    xattr::normalise(&mut meta.xattrs);
    if header.kind == Type::Symlink {
        meta.mode = 0o777;
    }
    meta
}

/// The names of a path in a tar: `.` left out, `..` taken back, nothing above the root.
fn names_of<'a>(header: &Header, path: &'a [u8]) -> Result<Vec<&'a [u8]>, Error> {
    let mut names = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop().ok_or_else(|| wrong(header, "it leads out of the layer by `..`"))?;
            }
            _ if name.contains(&0) => return Err(wrong(header, "a zero byte in a name")),
            name => names.push(name),
        }
    }
    Ok(names)
}

pub(crate) fn wrong(header: &Header, problem: &str) -> Error {
    Error::Tar { entry: header.number, name: shown(&header.name), problem: problem.to_owned() }
}
