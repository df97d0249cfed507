//! The files that were named, at their places, in front of a base root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ireko_layer::Data;
use ireko_slim::{Dir, Node, Root, follow};

use crate::error::Error;
use crate::request::Source;
use crate::root::Base;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) host: PathBuf,
    pub(crate) node: Node,
    /// It was named itself, not a directory that it lies in.
    pub(crate) is_named: bool,
}

/// The files that were named before those of the base.
pub(crate) struct Target<'a> {
    pub(crate) own: BTreeMap<String, Own>,
    /// Links of the base that their places lead through.
    pub(crate) links: BTreeMap<String, String>,
    /// Directories that only hold them.
    parents: BTreeSet<String>,
    base: &'a dyn Base,
}

impl<'a> Target<'a> {
    /// Looks at everything that was named.
    pub(crate) fn new(sources: &[Source], base: &'a dyn Base) -> Result<Self, Error> {
        let mut target =
            Self { own: BTreeMap::new(), links: BTreeMap::new(), parents: BTreeSet::new(), base };
        for source in sources {
            // What is named is meant, not the link to it; a link inside a directory stays one.
            let host = std::fs::canonicalize(&source.host)
                .map_err(|cause| Error::Read { path: source.host.clone(), cause })?;
            let place = target.settled(normal(&source.place)?)?;
            target.add(&host, &place, true)?;
        }
        for path in target.own.keys() {
            let mut at = path.as_str();
            while let Some((parent, _)) = at.rsplit_once('/') {
                target.parents.insert(if parent.is_empty() { "/" } else { parent }.to_owned());
                at = parent;
            }
        }
        Ok(target)
    }

    /// Where a place is once links of the base are followed: `/lib/x` is `/usr/lib/x` in most of them.
    fn settled(&mut self, place: String) -> Result<String, Error> {
        let Some((parent, name)) = place.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) else {
            return Ok(place);
        };
        let reading = |cause| Error::Read { path: self.base.real(parent), cause };
        match follow(self.base, parent).map_err(reading)? {
            Some(found) if found.node == Node::Dir => {
                self.links.extend(found.links);
                Ok(format!("{}/{name}", if found.path == "/" { "" } else { &found.path }))
            }
            _ => Ok(place),
        }
    }

    fn add(&mut self, host: &Path, place: &str, is_named: bool) -> Result<(), Error> {
        let reading = |cause| Error::Read { path: host.to_owned(), cause };
        let meta = std::fs::symlink_metadata(host).map_err(reading)?;
        let kind = meta.file_type();
        let odd = |problem: &str| Error::Kind { path: host.to_owned(), problem: problem.to_owned() };
        let node = if kind.is_dir() {
            Node::Dir
        } else if kind.is_file() {
            Node::File { size: meta.len(), mode: meta.mode() & 0o7777 }
        } else if kind.is_symlink() {
            let target = std::fs::read_link(host).map_err(reading)?;
            Node::Link(target.to_str().ok_or_else(|| odd("a link whose target is no UTF-8"))?.to_owned())
        } else {
            return Err(odd("neither a file nor a directory"));
        };
        if node == Node::Dir {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(host).map_err(reading)? {
                names.push(entry.map_err(reading)?.file_name());
            }
            names.sort();
            for name in names {
                let text = name.to_str().ok_or_else(|| odd("a directory with a name that is no UTF-8"))?;
                let place = if place == "/" { format!("/{text}") } else { format!("{place}/{text}") };
                self.add(&host.join(&name), &place, false)?;
            }
            if place == "/" {
                return Ok(());
            }
        } else if place == "/" {
            return Err(Error::Place { place: place.to_owned(), problem: "a file cannot be the root" });
        }
        let own = Own { host: host.to_owned(), node, is_named };
        match self.own.get(place) {
            Some(other) if other.node != Node::Dir || own.node != Node::Dir => {
                let (one, other) = (other.host.clone(), own.host);
                Err(Error::Twice { one, other, place: place.to_owned() })
            }
            _ => {
                self.own.insert(place.to_owned(), own);
                Ok(())
            }
        }
    }

    /// The bytes of a file of either.
    pub(crate) fn data(&self, path: &str, size: u64) -> Data {
        match self.own.get(path) {
            Some(own) => Data::host(&own.host, size),
            None => self.base.data(path, size),
        }
    }

    /// Whether something of the base lies behind what was named.
    pub(crate) fn is_own(&self, path: &str) -> bool {
        self.own.contains_key(path)
    }

    /// The files that were named themselves.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        let files = self.own.iter().filter(|(_, own)| own.is_named && matches!(own.node, Node::File { .. }));
        files.map(|(place, _)| place.as_str())
    }

    /// Whether a file that was named may be executed.
    pub(crate) fn is_executable(&self, path: &str) -> bool {
        matches!(self.own.get(path), Some(Own { node: Node::File { mode, .. }, .. }) if mode & 0o111 != 0)
    }

    /// The programs among the files: what was named itself first, then what a directory brings along.
    pub(crate) fn programs(&self) -> io::Result<(Vec<&str>, Vec<&str>)> {
        let (mut named, mut brought) = (Vec::new(), Vec::new());
        for (place, own) in &self.own {
            match (is_program(self, place)?, own.is_named) {
                (true, true) => named.push(place.as_str()),
                (true, false) => brought.push(place.as_str()),
                (false, _) => {}
            }
        }
        Ok((named, brought))
    }
}

/// What the first bytes of a file say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Code,
    Script,
    Other,
}

pub(crate) fn form(root: &dyn Root, path: &str) -> io::Result<Form> {
    let mut head = Vec::new();
    root.open(path)?.take(4).read_to_end(&mut head)?;
    Ok(match &head[..] {
        b"\x7fELF" => Form::Code,
        [b'#', b'!', ..] => Form::Script,
        _ => Form::Other,
    })
}

/// Whether a file of this machine is machine code, or a script that may be executed.
pub fn is_program_here(path: &Path) -> bool {
    let Some(path) = std::fs::canonicalize(path).ok().and_then(|path| Some(path.to_str()?.to_owned())) else {
        return false;
    };
    is_program(&Dir::new("/"), &path).unwrap_or(false)
}

/// Whether a file is machine code, or a script that may be executed.
pub(crate) fn is_program(root: &dyn Root, path: &str) -> io::Result<bool> {
    let Some(Node::File { mode, .. }) = root.node(path)? else { return Ok(false) };
    Ok(match form(root, path)? {
        Form::Code => true,
        Form::Script => mode & 0o111 != 0,
        Form::Other => false,
    })
}

/// An absolute path without `.`, `..` and doubled slashes.
pub(crate) fn normal(place: &str) -> Result<String, Error> {
    let wrong = |problem| Error::Place { place: place.to_owned(), problem };
    if !place.starts_with('/') {
        return Err(wrong("it has to begin with `/`"));
    }
    let mut parts = Vec::new();
    for part in place.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => return Err(wrong("`..` leads out of what it names")),
            part if part.contains('\0') => return Err(wrong("no name has a zero byte")),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

impl Root for Target<'_> {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        if let Some(own) = self.own.get(path) {
            return Ok(Some(own.node.clone()));
        }
        match self.base.node(path)? {
            // What is to hold own files is a directory of the image's own; the base may have a link there, as `/lib`.
            None | Some(Node::File { .. } | Node::Other) if self.parents.contains(path) => {
                Ok(Some(Node::Dir))
            }
            found => Ok(found),
        }
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        self.base.names(path)
    }

    fn open(&self, path: &str) -> io::Result<File> {
        match self.own.get(path) {
            Some(own) => File::open(&own.host),
            None => self.base.open(path),
        }
    }

    fn real(&self, path: &str) -> PathBuf {
        self.own.get(path).map_or_else(|| self.base.real(path), |own| own.host.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_absolute_and_stay_inside() {
        assert_eq!(normal("//a/./b/").expect("fine"), "/a/b");
        assert_eq!(normal("/").expect("fine"), "/");
        for wrong in ["", "a", "./a", "/a/../b", "/a\0"] {
            assert!(normal(wrong).is_err(), "{wrong}");
        }
    }
}
