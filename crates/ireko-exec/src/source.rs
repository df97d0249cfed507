//! Sources of files as copies and mounts see them: a local context, the tree of a stage or image, or nothing.

use std::sync::Arc;

use ireko_layer::{Follow, Meta, TreePath, follow_links};
use ireko_oci::FileHash;
use ireko_store::FileStat;

use crate::context::LocalContext;
use crate::files_error::FilesError;
use crate::tree::TreeFiles;

/// One file, directory or other thing of a source.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its path in the source.
    pub path: TreePath,
    /// Mode, owner, time and attributes; a context's owner is always 0:0.
    pub meta: Meta,
    /// What it is.
    pub kind: ItemKind,
}

/// What an item is.
#[derive(Clone, Debug)]
pub enum ItemKind {
    /// A regular file.
    File {
        /// Its length.
        size: u64,
        /// Equal for the names of one file that has several.
        twin: Option<(u64, u64)>,
        /// What is known of its bytes.
        bytes: Bytes,
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: Vec<u8>,
    },
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// What is known of a file's bytes before they are read.
#[derive(Clone, Copy, Debug)]
pub enum Bytes {
    /// Their hash, from the index of a layer.
    Hash(FileHash),
    /// What the kernel says of the file.
    Stat(FileStat),
}

impl Item {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, ItemKind::Dir)
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, ItemKind::File { .. })
    }

    /// A file's length, otherwise 0.
    pub fn size(&self) -> u64 {
        match self.kind {
            ItemKind::File { size, .. } => size,
            _ => 0,
        }
    }
}

/// Where an operation's files come from.
#[derive(Clone)]
pub enum FileSource<'a> {
    /// Nothing but an empty root.
    Empty,
    /// A local context.
    Context(&'a LocalContext),
    /// The tree of a stage or image.
    Tree(TreeFiles),
}

impl FileSource<'_> {
    pub(crate) fn owned(&self) -> Source {
        match self {
            FileSource::Empty => Source::Empty,
            FileSource::Context(context) => Source::Context((*context).clone()),
            FileSource::Tree(tree) => Source::Tree(tree.clone()),
        }
    }
}

/// A source that a selection keeps.
#[derive(Clone)]
pub(crate) enum Source {
    Empty,
    Context(LocalContext),
    Tree(TreeFiles),
}

impl Source {
    /// How the source is called in messages.
    pub(crate) fn place(&self) -> &'static str {
        match self {
            Self::Context(_) => "the context",
            Self::Tree(_) => "the stage or image it is copied from",
            Self::Empty => "an empty tree",
        }
    }

    /// What is at this path; no link is followed.
    pub(crate) fn item(&self, path: &TreePath) -> Result<Option<Arc<Item>>, FilesError> {
        match self {
            Self::Empty => Ok(path.is_root().then(|| Arc::new(empty_root()))),
            Self::Context(context) => context.item(path),
            Self::Tree(tree) => Ok(tree.item(path).map(Arc::new)),
        }
    }

    /// What is in a directory, sorted by name.
    pub(crate) fn children(&self, path: &TreePath) -> Result<Vec<Arc<Item>>, FilesError> {
        match self {
            Self::Empty => Ok(Vec::new()),
            Self::Context(context) => context.children(path),
            Self::Tree(tree) => Ok(tree.children(path).into_iter().map(Arc::new).collect()),
        }
    }

    /// A directory with everything that is known of it.
    pub(crate) fn dir_item(&self, path: &TreePath) -> Result<Option<Arc<Item>>, FilesError> {
        match self {
            Self::Context(context) => context.dir_item(path),
            _ => self.item(path),
        }
    }

    /// Everything below a directory, a directory right before what it holds.
    pub(crate) fn below(&self, path: &TreePath) -> Result<Vec<Arc<Item>>, FilesError> {
        match self {
            Self::Empty => Ok(Vec::new()),
            Self::Context(context) => context.below(path),
            Self::Tree(tree) => Ok(tree.below(path).into_iter().map(Arc::new).collect()),
        }
    }

    /// The path that this one means when links are followed inside the source's root.
    pub(crate) fn resolve(&self, path: &TreePath, follow: Follow) -> Result<TreePath, FilesError> {
        match self {
            Self::Empty => Ok(path.clone()),
            Self::Tree(tree) => Ok(tree.view().resolve(path, follow)?),
            Self::Context(context) => follow_links(path, follow, |path| {
                let item = context.item(path)?;
                Ok(item.and_then(|item| match &item.kind {
                    ItemKind::Symlink { target } => Some(target.clone()),
                    _ => None,
                }))
            }),
        }
    }
}

fn empty_root() -> Item {
    Item { path: TreePath::root(), meta: Meta { mode: 0o755, ..Meta::default() }, kind: ItemKind::Dir }
}
