//! Git repositories as sources of files: for steps, and for contexts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use ireko_git::{
    Address, Auth, Checkout, Found, Git, GitError, Mtime, Repository, Resolved, SshAuth, Want, Watch,
};
use ireko_graph::NodeId;
use ireko_graph::op::{self, GitSource};
use ireko_layer::{ScanOptions, View, scan_upper};
use ireko_oci::{Fields, SelectionId};
use ireko_report::{Blame, Event};
use ireko_store::{CacheMount, MountRequest, Sharing, Store};
use ireko_sys::fsx::open_in_root;
use rustix::fs::{Mode, OFlags};

use crate::cancel::Cancel;
use crate::error::Fault;
use crate::job::Job;
use crate::perform::{Done, Performer, clock_of};
use crate::secrets::{SecretError, Secrets};
use crate::ssh::Agents;

/// The program, and the hosts that the person knows.
#[derive(Debug)]
pub struct GitSettings {
    /// The program.
    pub git: Git,
    /// The person's known-hosts file, where there is one.
    pub known_hosts: Option<Vec<u8>>,
}

/// Hears how many bytes have come.
pub(crate) type Tell<'a> = &'a (dyn Fn(u64) + Sync);

/// What is needed to read a repository.
#[derive(Clone, Copy)]
pub struct Repositories<'a> {
    /// How git is run.
    pub settings: &'a GitSettings,
    /// Where copies are kept.
    pub store: &'a Store,
    /// Tokens and headers.
    pub secrets: &'a Secrets,
    /// The agent `default` is used for ssh.
    pub agents: &'a Agents,
    /// The wish to stop.
    pub cancel: &'a Cancel,
}

/// Why a repository gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// Git, or the server.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A token cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store.
    #[error(transparent)]
    Store(#[from] ireko_store::Error),
}

impl RepositoryError {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Git(error) => error.blame(),
            Self::Secret(_) => Blame::User,
            Self::Store(error) => error.blame(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Git(error) => error.hint(),
            Self::Secret(_) | Self::Store(_) => None,
        }
    }
}

/// A repository that was asked what it means now.
#[derive(Debug)]
pub struct Opened {
    /// The same source, which means this commit whenever it is asked again.
    pub source: GitSource,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// The first of the files that is there: its name and bytes.
    pub file: Option<(String, Vec<u8>)>,
}

/// The id of the cache mount in which a repository's copy is kept. A step's ids have a second line, so no step can ask
/// for it.
fn mount_id(url: &str) -> String {
    format!("git {}", Address::of(url))
}

impl Repositories<'_> {
    /// Does something with a repository, whose local copy is held meanwhile.
    fn with<T>(
        &self,
        url: &str,
        tell: Tell<'_>,
        work: impl FnOnce(&Repository<'_>) -> Result<T, RepositoryError>,
    ) -> Result<T, RepositoryError> {
        let (mount, auth) = (self.mount(url)?, self.auth(url)?);
        let (asked, said) =
            (|| self.cancel.is_asked(), |line: &str| received(line).into_iter().for_each(tell));
        let watch = Watch { cancelled: &asked, said: &said };
        work(&self.settings.git.repository(url, auth, mount.dir(), watch))
    }

    /// What the source means now.
    pub(crate) fn resolve(&self, source: &GitSource) -> Result<Resolved, RepositoryError> {
        self.with(&source.remote, &|_| {}, |repository| Ok(repository.resolve(&want(source))?))
    }

    /// Writes the files of what was resolved into the empty directory `dest`; `scratch` is a directory of the same file
    /// system.
    pub(crate) fn write(
        &self,
        source: &GitSource,
        resolved: &Resolved,
        (dest, scratch): (&Path, &Path),
        tell: Tell<'_>,
    ) -> Result<(), RepositoryError> {
        let what = Checkout {
            subdir: source.subdir.clone(),
            keep_git_dir: source.keep_git_dir,
            submodules: source.submodules,
            mtime: if source.commit_times { Mtime::Commit } else { Mtime::Checkout },
        };
        self.with(&source.remote, tell, |repository| {
            Ok(repository.fetch(resolved)?.checkout(&what, dest, scratch)?)
        })
    }

    /// Makes a context of a repository: what it means now, and one of these files of it.
    ///
    /// # Errors
    /// The repository cannot be read, or lacks what is asked for.
    pub fn open(
        &self,
        source: &GitSource,
        names: &[&str],
        scratch: &Path,
        tell: Tell<'_>,
    ) -> Result<Opened, RepositoryError> {
        let resolved = self.resolve(source)?;
        self.with(&source.remote, tell, |repository| {
            let fetched = repository.fetch(&resolved)?;
            let mut opened = Opened { source: pinned(source, &resolved), time: fetched.time(), file: None };
            for name in names {
                match fetched.read(&source.subdir, name)? {
                    Found::File(bytes) => {
                        opened.file = Some(((*name).to_owned(), bytes));
                        break;
                    }
                    Found::Nothing => {}
                    // In a submodule perhaps: seen with all files. If it is nowhere, that is told with what there is.
                    Found::NoDirectory => {
                        let dest = scratch.join("whole-repository");
                        self.write_context(&opened.source, &dest, scratch)?;
                        opened.file = first_file(&dest, names);
                        break;
                    }
                }
            }
            Ok(opened)
        })
    }

    /// Writes the files of an opened source into a new directory.
    ///
    /// # Errors
    /// The repository cannot be read, or lacks what is asked for.
    pub fn write_context(
        &self,
        source: &GitSource,
        dest: &Path,
        scratch: &Path,
    ) -> Result<(), RepositoryError> {
        let failed = |cause| GitError::Io { deed: "create directory", path: dest.to_owned(), cause };
        std::fs::create_dir(dest).map_err(failed)?;
        let resolved = self.resolve(source)?;
        self.write(source, &resolved, (dest, scratch), &|_| {})
    }

    fn mount(&self, url: &str) -> Result<CacheMount, RepositoryError> {
        let request = MountRequest {
            id: &mount_id(url),
            sharing: Sharing::Shared,
            prepare: &|_| Ok(()),
            give_up: &|| self.cancel.is_asked(),
        };
        self.store.cache_mount(&request, &|_| {}).map_err(|error| match error {
            ireko_store::Error::GaveUp => GitError::Cancelled.into(),
            other => other.into(),
        })
    }

    fn auth(&self, url: &str) -> Result<Auth, RepositoryError> {
        let mut unreadable = None;
        let look_up = |id: &str| match self.secrets.value(id) {
            Ok(value) => value.map(|value| value.0),
            Err(error) => {
                unreadable = Some(error);
                None
            }
        };
        let auth = Auth::from_secrets(Address::of(url).host(), look_up);
        if let Some(error) = unreadable {
            return Err(error.into());
        }
        let agent_socket = self.agents.0.get("default").cloned();
        Ok(Auth { ssh: SshAuth { agent_socket, known_hosts: self.settings.known_hosts.clone() }, ..auth })
    }
}

/// How much has come, as git says it: `Receiving objects:  42% (420/1000), 12.34 MiB | 5.00 MiB/s`.
fn received(line: &str) -> Option<u64> {
    let (_, amount) = line.strip_prefix("Receiving objects:")?.split_once("), ")?;
    let mut words = amount.split(' ');
    let (number, unit) = (words.next()?.parse::<f64>().ok()?, words.next()?);
    let scale = match unit.trim_end_matches(',') {
        "bytes" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1048576.0,
        "GiB" => 1073741824.0,
        _ => return None,
    };
    Some((number * scale) as u64)
}

/// The first of these files below a directory; what leads out of it is none.
fn first_file(dir: &Path, names: &[&str]) -> Option<(String, Vec<u8>)> {
    let root = File::open(dir).ok()?;
    names.iter().find_map(|name| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = open_in_root(&root, Path::new(name), flags, Mode::empty()).ok()?;
        let (mut file, mut bytes) = (File::from(file), Vec::new());
        file.read_to_end(&mut bytes).ok()?;
        Some(((*name).to_owned(), bytes))
    })
}

/// The source with the reference's meaning: nobody has to be asked again, and no answer can differ.
fn pinned(source: &GitSource, resolved: &Resolved) -> GitSource {
    let id = if source.keep_git_dir { &resolved.object } else { resolved.id() };
    GitSource {
        reference: resolved.name.clone().unwrap_or_default(),
        checksum: Some(id.to_owned()),
        by_commit: true,
        ..source.clone()
    }
}

fn want(source: &GitSource) -> Want {
    Want {
        reference: source.reference.clone(),
        checksum: source.checksum.clone().unwrap_or_default(),
        by_commit: source.by_commit,
    }
}

/// What the repositories of a build were found to mean.
#[derive(Default)]
pub(crate) struct Meanings(Mutex<BTreeMap<NodeId, Resolved>>);

impl Meanings {
    /// What stands for a repository in a key: the commit; where `.git` is kept also what it was named by.
    pub(crate) fn resolve(
        &self,
        performer: &Performer<'_>,
        node: NodeId,
        source: &GitSource,
    ) -> Result<SelectionId, Fault> {
        let resolved =
            repositories(performer).resolve(source).map_err(|error| fault(performer, source, &error))?;
        let mut fields = Fields::new("ireko source/1");
        match source.keep_git_dir {
            true => {
                fields.add("object", resolved.object.as_bytes());
                fields.add("name", resolved.name.as_deref().unwrap_or_default().as_bytes());
            }
            false => fields.add("commit", resolved.id().as_bytes()),
        }
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(node, resolved);
        Ok(SelectionId(fields.hash()))
    }

    /// Makes the layer of a repository.
    pub(crate) fn perform(
        &self,
        performer: &Performer<'_>,
        (job, source): (&Job, &GitSource),
        began: Instant,
    ) -> Result<Done, Fault> {
        let resolved =
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&job.node).cloned();
        let resolved = resolved
            .ok_or_else(|| Fault::failed(Blame::Bug, "a repository is read that nobody asked about"))?;
        let tell = |done| {
            let what = format!("fetching {}", op::shown(&source.remote));
            performer.emit(Event::Progress { node: Some(job.node.0), what, done, total: None });
        };
        let scratch = performer.scratch()?;
        // Times of the checkout are those of a step's own making, and count for nothing.
        let started = clock_of(scratch.path())?;
        let dest = scratch.path().join("files");
        std::fs::create_dir(&dest).map_err(|error| Fault::of(Blame::Environment, &error))?;
        tell(0);
        repositories(performer)
            .write(source, &resolved, (&dest, scratch.path()), &tell)
            .map_err(|error| fault(performer, source, &error))?;
        let options = ScanOptions {
            started,
            attrs: performer.store().written_as().attrs,
            skip: Vec::new(),
            owners: Default::default(),
        };
        let scan = scan_upper(&dest, &View::default(), &options)?;
        performer.write(job, scan.changes, Some(began))
    }
}

fn repositories<'a>(performer: &'a Performer<'_>) -> Repositories<'a> {
    let surroundings = performer.surroundings();
    Repositories {
        settings: &surroundings.git,
        store: &surroundings.store,
        secrets: &surroundings.secrets,
        agents: &surroundings.agents,
        cancel: &surroundings.cancel,
    }
}

fn fault(performer: &Performer<'_>, source: &GitSource, error: &RepositoryError) -> Fault {
    if performer.cancel().is_asked() || matches!(error, RepositoryError::Git(GitError::Cancelled)) {
        return Fault::Cancelled;
    }
    let fault = Fault::of(error.blame(), error);
    fault.named(format!("cannot fetch `{}`", op::shown(&source.remote))).hinted(error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_of_its_progress() {
        let cases = [
            ("Receiving objects:  42% (420/1000), 1.50 KiB | 5.00 MiB/s", Some(1536)),
            ("Receiving objects: 100% (3/3), 230 bytes | 230.00 KiB/s, done.", Some(230)),
            ("Receiving objects: 100% (3/3), 2.00 MiB, done.", Some(2 << 20)),
            ("Receiving objects:  42% (420/1000)", None),
            ("remote: Counting objects: 5, done.", None),
        ];
        for (line, bytes) in cases {
            assert_eq!(received(line), bytes, "{line}");
        }
    }
}
