//! What one node of the build graph does: its parameters, as the planner wrote them.

use ireko_oci::{Digest, GuestPath};

/// One operation. Its inputs are other nodes, named by position in [`crate::Node::inputs`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The root file system of an image whose config is known; nothing is read until a step needs it.
    Image(ImageSource),
    /// A command run in a sandbox.
    Run(Box<Run>),
    /// Files put on top of a tree, or, when [`Copy::link`] is set, into a layer of its own.
    Copy(Box<Copy>),
    /// A directory made where it is missing (WORKDIR).
    MakeDir(MakeDir),
    /// A file fetched from a URL, alone in its tree.
    Http(HttpSource),
    /// The files of a commit of a git repository.
    Git(Box<GitSource>),
}

/// A file at a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpSource {
    /// The URL, with whatever login it carries; [`shown`] is what may be seen of it.
    pub url: String,
    /// The file's name in its tree.
    pub name: String,
    /// The digest that its bytes must have.
    pub checksum: Option<Digest>,
}

/// A place in a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitSource {
    /// The repository's URL, with whatever login it carries; [`shown`] is what may be seen of it.
    pub remote: String,
    /// Branch, tag or commit; empty is the repository's default branch.
    pub reference: String,
    /// The commit that the reference must mean: its hash or the beginning of it.
    pub checksum: Option<String>,
    /// The directory that becomes the root; empty is all of it.
    pub subdir: String,
    /// `.git` is kept.
    pub keep_git_dir: bool,
    /// Submodules are fetched too.
    pub submodules: bool,
    /// Files have the time of the commit, not that of their writing.
    pub commit_times: bool,
    /// The checksum is fetched without asking what the reference means.
    pub by_commit: bool,
}

/// A URL without the login in it, for messages. The user of `ssh` is none: everybody is called `git` there.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password with a slash in it makes no authority: what may be one ends at the last `@` before the query.
    let port = rest[..end].split_once(':').map(|(_, port)| port);
    let end = match port {
        Some(port) if !rest[..end].contains('@') && !port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let path_end = rest.find(['?', '#']).unwrap_or(rest.len());
            let login_end = rest[..path_end].rfind('@').unwrap_or(0);
            rest[login_end..].find(['/', '?', '#']).map_or(rest.len(), |at| login_end + at)
        }
        _ => end,
    };
    match rest[..end].rsplit_once('@') {
        Some((user, host)) if scheme.eq_ignore_ascii_case("ssh") => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}@{host}{}", &rest[end..])
        }
        Some((_, host)) => format!("{scheme}://{host}{}", &rest[end..]),
        None => url.to_owned(),
    }
}

/// An image as a source of files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageSource {
    /// As the user wrote it, for messages.
    pub display: String,
    /// Digest of the image's config, by which the performer finds manifest and blobs among the facts.
    pub config: Digest,
    /// The layers, bottom first. Their chain ID is the tree.
    pub diff_ids: Vec<Digest>,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilesFrom {
    /// A named local context; the main one is called `context`.
    Context(String),
    /// The tree of the node at this position of [`crate::Node::inputs`].
    Input(usize),
    /// An empty tree (`--from=scratch`).
    Empty,
}

/// Parameters of a RUN step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Program and arguments; a shell form already carries its shell.
    pub argv: Vec<String>,
    /// The Dockerfile's environment for this step, in order, names unique.
    pub env: Vec<(String, String)>,
    /// Proxy variables handed to the step but kept out of the key and the image (predefined ARGs).
    pub hidden_env: Vec<(String, String)>,
    /// Working directory, made where it is missing.
    pub cwd: GuestPath,
    /// As USER wrote it: name or number, with an optional group; empty means root.
    pub user: String,
    /// The network of the step.
    pub network: Network,
    /// Confinement of the step.
    pub security: Security,
    /// Mounts in the order they were written.
    pub mounts: Vec<Mount>,
    /// Host name seen by the step; `None` is the builder's fixed default.
    pub hostname: Option<String>,
    /// Extra lines of /etc/hosts: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Bytes of /dev/shm; `None` is 64 MiB.
    pub shm_size: Option<u64>,
    /// Resource limits: name, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
    /// Devices of the machine, in the order they were asked for.
    pub devices: Vec<Device>,
    /// Platform the step's programs are for, as `os/arch[/variant]`.
    pub platform: String,
}

/// A device that a step asks for (Container Device Interface).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// As it was written: `vendor.com/class=name` or a part of it.
    pub name: String,
    /// The step fails where there is none; else it runs without.
    pub required: bool,
}

/// The network of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// The builder's default, which is the host's own.
    Default,
    /// An empty namespace with loopback only.
    None,
    /// The host's, asked for by name.
    Host,
}

/// Confinement of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Docker's default capabilities and system call filter.
    Sandbox,
    /// All capabilities and no filter; allowed by the caller.
    Insecure,
}

/// One mount of a RUN step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Where it appears: absolute, already joined with the working directory.
    pub target: GuestPath,
    /// What appears.
    pub kind: MountKind,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// Files of a context or a tree.
    Bind {
        /// The source of files.
        from: FilesFrom,
        /// Path in that source.
        source: GuestPath,
        /// Writes are allowed, and thrown away.
        writable: bool,
    },
    /// A directory kept between builds.
    Cache {
        /// Its name; mounts of one name share one directory.
        id: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// Where its first content comes from.
        from: FilesFrom,
        /// Path in that source.
        source: GuestPath,
        /// Permissions of a new directory.
        mode: u32,
        /// Owner of a new directory.
        uid: u32,
        /// Group of a new directory.
        gid: u32,
        /// No writes.
        read_only: bool,
    },
    /// Memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
    },
    /// A secret as a file; its value is never part of anything kept.
    Secret {
        /// Its name among the secrets of the build.
        id: String,
        /// A missing secret stops the build.
        required: bool,
        /// Permissions of the file.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Also (or only) an environment variable of this name.
        env: Option<String>,
        /// Whether the file exists at all; an `env` secret without a target has none.
        file: bool,
    },
    /// An ssh agent's socket.
    Ssh {
        /// Its name among the agents of the build.
        id: String,
        /// A missing agent stops the build.
        required: bool,
        /// Permissions of the socket.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A file with these bytes (a here-document with an interpreter line).
    Inline {
        /// Its content.
        bytes: Vec<u8>,
        /// Permissions.
        mode: u32,
    },
}

impl MountKind {
    /// Whether it shows, or begins with, files that are part of the step's key. What a cache holds later is not.
    pub fn reads_files(&self) -> bool {
        match self {
            Self::Bind { from, .. } | Self::Cache { from, .. } => *from != FilesFrom::Empty,
            _ => false,
        }
    }
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// Each user gets an own directory.
    Private,
    /// One at a time; others wait.
    Locked,
}

/// Parameters of a COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    /// Sources in order.
    pub items: Vec<CopyItem>,
    /// Destination, absolute, joined with the working directory.
    pub dest: GuestPath,
    /// The destination was written with a trailing slash (or as `.`): it is a directory.
    pub dest_is_dir: bool,
    /// `--chown`; `None` is 0:0 from a context, and the source's own owner from a tree (BuildKit: 0:0 too unless
    /// the source is a stage or image and no flag is given; the performer knows the rule).
    pub owner: Option<String>,
    /// `--chmod`, as written: octal or symbolic.
    pub mode: Option<String>,
    /// `--link`: the layer does not look at the tree below.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude` patterns.
    pub excludes: Vec<String>,
    /// What happens to archives.
    pub unpack: Unpack,
}

/// What happens to archives among the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unpack {
    /// COPY, or ADD `--unpack=false`: they are files.
    Never,
    /// ADD: local archives are unpacked when their content says that they are archives.
    Local,
}

/// One source of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CopyItem {
    /// Files by pattern. A `pattern` is as the user wrote it after expansion; wildcards as in Go's `filepath.Match`.
    Files {
        /// The source of files.
        from: FilesFrom,
        /// The pattern.
        pattern: String,
    },
    /// What a source node fetched; neither wildcards nor `--parents` apply to it.
    Fetched {
        /// The node, among the inputs.
        input: usize,
        /// A file by its name, or all files where it is empty.
        name: String,
        /// An archive is unpacked (`ADD --unpack`).
        unpack: bool,
    },
    /// A here-document.
    Inline {
        /// File name.
        name: String,
        /// Content.
        bytes: Vec<u8>,
    },
}

/// Parameters of a WORKDIR.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MakeDir {
    /// The directory; its parents are made too.
    pub path: GuestPath,
    /// USER in force, whose owner a new directory gets; empty means root.
    pub user: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_not_shown() {
        for (url, seen) in [
            ("https://me:pass@h:1/a?b", "https://h:1/a?b"),
            ("https://me@h", "https://h"),
            ("name=https://me:pass@h/a", "name=https://h/a"),
            ("https://h/@scope/a@1", "https://h/@scope/a@1"),
            ("https://h:1/a@b", "https://h:1/a@b"),
            ("https://me:pa/ss@h/a@b?c@d", "https://b?c@d"),
            ("https://me:pa/s@s@h/", "https://h/"),
            ("https://h:x/a", "https://h:x/a"),
            ("ssh://git:pass@h/a", "ssh://git@h/a"),
            ("plain", "plain"),
        ] {
            assert_eq!(shown(url), seen, "{url}");
        }
    }
}
