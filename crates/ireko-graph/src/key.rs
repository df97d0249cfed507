//! What a step's key is made of: every declared input, by name, in a fixed order.
//!
//! The same list makes the key and, kept in the record, explains a later miss. Each function below destructures its
//! operation without `..`, so a new field cannot be added without deciding whether it changes the result.
//! The page `docs/format/cache-key.md` holds the table and the reasons.

use crate::graph::Node;
use crate::op::{
    Copy, CopyItem, Device, FilesFrom, GitSource, HttpSource, ImageSource, MakeDir, Mount, MountKind,
};
use crate::op::{Network, Op, Run};
use crate::op::{Security, Sharing, Unpack};
use ireko_oci::{Fields, Key, SelectionId, TreeId};

/// The declared inputs of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Name and value, in the order of the rule. Values of names that begin with `env ` may be private: they are
    /// hashed before anything keeps them.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// The version of the rule. Raised whenever the meaning of any field changes.
const RULE: &str = "ireko key/2";

impl Declared {
    /// The declared inputs of `node`, given the tree below it (absent for what ignores it), the digests of its
    /// selections in the order of [`Node::selections`], and the class of sandbox level that would run it.
    pub fn of(node: &Node, base: Option<TreeId>, selections: &[SelectionId], class: &str) -> Self {
        let mut declared = Self::default();
        match &node.op {
            Op::Image(image) => declared.image(image),
            Op::Run(run) => {
                declared.run(run);
                declared.text("sandbox", class);
            }
            Op::Copy(copy) => declared.copy(copy),
            Op::MakeDir(dir) => declared.make_dir(dir),
            Op::Http(source) => declared.http(source),
            Op::Git(source) => declared.git(source),
        }
        if let Some(tree) = base.filter(|_| !node.op.ignores_base()) {
            declared.field("base", &tree.0);
        }
        for (at, selection) in selections.iter().enumerate() {
            declared.field(&format!("files {at}"), &selection.0);
        }
        declared
    }

    /// The key.
    pub fn key(&self) -> Key {
        let mut fields = Fields::new(RULE);
        for (name, value) in &self.fields {
            fields.add(name, value);
        }
        Key(fields.hash())
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.fields.push((name.to_owned(), value.to_vec()));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.field(name, value.as_bytes());
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.field(name, &[u8::from(value)]);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.field(name, &value.to_le_bytes());
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.field(&format!("no {name}"), b""),
        }
    }

    fn image(&mut self, image: &ImageSource) {
        let ImageSource { display: _, config: _, diff_ids } = image;
        self.text("op", "image/1");
        for diff_id in diff_ids {
            self.text("layer", &diff_id.to_string());
        }
    }

    fn make_dir(&mut self, dir: &MakeDir) {
        let MakeDir { path, user } = dir;
        self.text("op", "mkdir/1");
        self.text("path", path.as_str());
        self.text("user", user);
    }

    // What is fetched decides, and its selection stands for it: not where it comes from.
    fn http(&mut self, source: &HttpSource) {
        let HttpSource { url: _, name, checksum: _ } = source;
        self.text("op", "http/1");
        self.text("name", name);
    }

    fn git(&mut self, source: &GitSource) {
        let GitSource {
            remote,
            reference: _,
            checksum: _,
            subdir,
            keep_git_dir,
            submodules,
            commit_times,
            by_commit: _,
        } = source;
        self.text("op", "git/1");
        self.text("directory", subdir);
        self.flag("keeps .git", *keep_git_dir);
        self.flag("submodules", *submodules);
        self.flag("times of the commit", *commit_times);
        // The kept directory names the repository.
        if *keep_git_dir {
            self.text("repository", &crate::op::shown(remote));
        }
    }

    fn copy(&mut self, copy: &Copy) {
        let Copy { items, dest, dest_is_dir, owner, mode, link, parents, excludes, unpack } = copy;
        self.text("op", "copy/1");
        for item in items {
            match item {
                // Which context or tree the files come from does not matter: their digest is in the key. The
                // pattern does, because names at the destination follow from it.
                CopyItem::Files { from, pattern } => {
                    self.text("source kind", files_kind(from));
                    self.text("source", pattern);
                }
                CopyItem::Fetched { input: _, name, unpack } => {
                    self.text("fetched", name);
                    self.flag("unpacked", *unpack);
                }
                CopyItem::Inline { name, bytes } => {
                    self.text("here-document", name);
                    self.field("here-document content", bytes);
                }
            }
        }
        self.text("destination", dest.as_str());
        self.flag("destination is a directory", *dest_is_dir);
        self.optional("owner", owner.as_deref());
        self.optional("mode", mode.as_deref());
        self.flag("link", *link);
        self.flag("parents", *parents);
        for exclude in excludes {
            self.text("exclude", exclude);
        }
        self.text(
            "unpack",
            match unpack {
                Unpack::Never => "never",
                Unpack::Local => "local",
            },
        );
    }

    fn run(&mut self, run: &Run) {
        let Run {
            argv,
            env,
            hidden_env: _, // Proxy variables: they change how bytes are fetched, not which (BuildKit's rule).
            cwd,
            user,
            network,
            security,
            mounts,
            hostname,
            extra_hosts,
            shm_size,
            ulimits,
            devices,
            platform,
        } = run;
        self.text("op", "run/1");
        for word in argv {
            self.text("argument", word);
        }
        for (name, value) in env {
            self.text(&format!("env {name}"), value);
        }
        self.text("working directory", cwd.as_str());
        self.text("user", user);
        self.text("platform", platform);
        self.text(
            "network",
            match network {
                Network::Default | Network::Host => "host",
                Network::None => "none",
            },
        );
        self.text(
            "security",
            match security {
                Security::Sandbox => "sandbox",
                Security::Insecure => "insecure",
            },
        );
        for mount in mounts {
            self.mount(mount);
        }
        self.optional("host name", hostname.as_deref());
        for (name, address) in extra_hosts {
            self.text("host", &format!("{name} {address}"));
        }
        if let Some(size) = shm_size {
            self.number("shm", *size);
        }
        for (name, soft, hard) in ulimits {
            self.text("ulimit", &format!("{name}={soft}:{hard}"));
        }
        for Device { name, required: _ } in devices {
            // Whether it may be missing says when the step is refused, not what it leaves.
            self.text("device", name);
        }
    }

    fn mount(&mut self, mount: &Mount) {
        let Mount { target, kind } = mount;
        self.text("mount", target.as_str());
        match kind {
            MountKind::Bind { from, source, writable } => {
                self.text("mount type", "bind");
                self.text("mount from", files_kind(from));
                self.text("mount source", source.as_str());
                self.flag("mount writable", *writable);
            }
            // A cache mount's content is not declared: it may only make the step faster.
            MountKind::Cache { id, sharing, from, source, mode, uid, gid, read_only } => {
                self.text("mount type", "cache");
                self.text("cache id", id);
                self.text("cache sharing", sharing_name(*sharing));
                self.text("mount from", files_kind(from));
                self.text("mount source", source.as_str());
                self.owner(*mode, *uid, *gid);
                self.flag("mount read-only", *read_only);
            }
            MountKind::Tmpfs { size } => {
                self.text("mount type", "tmpfs");
                self.number("tmpfs size", size.unwrap_or(0));
            }
            MountKind::Secret { id, required, mode, uid, gid, env, file } => {
                self.text("mount type", "secret");
                self.text("secret id", id);
                self.flag("secret required", *required);
                self.owner(*mode, *uid, *gid);
                self.optional("secret variable", env.as_deref());
                self.flag("secret file", *file);
            }
            MountKind::Ssh { id, required, mode, uid, gid } => {
                self.text("mount type", "ssh");
                self.text("ssh id", id);
                self.flag("ssh required", *required);
                self.owner(*mode, *uid, *gid);
            }
            MountKind::Inline { bytes, mode } => {
                self.text("mount type", "inline");
                self.field("inline content", bytes);
                self.number("inline mode", u64::from(*mode));
            }
        }
    }

    fn owner(&mut self, mode: u32, uid: u32, gid: u32) {
        self.text("mount owner", &format!("{mode:o} {uid}:{gid}"));
    }
}

fn files_kind(from: &FilesFrom) -> &'static str {
    match from {
        FilesFrom::Context(_) => "context",
        FilesFrom::Input(_) => "tree",
        FilesFrom::Empty => "empty",
    }
}

fn sharing_name(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Shared => "shared",
        Sharing::Private => "private",
        Sharing::Locked => "locked",
    }
}

impl Op {
    /// The result does not depend on the tree below: a linked copy.
    pub fn ignores_base(&self) -> bool {
        matches!(self, Op::Copy(copy) if copy.link)
    }

    /// A command that counts against the limit of steps at one time.
    pub fn is_run(&self) -> bool {
        matches!(self, Op::Run(_))
    }
}

#[cfg(test)]
mod tests;
