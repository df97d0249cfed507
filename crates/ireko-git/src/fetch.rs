//! Local copies of repositories: bare, one for each address, as shallow as the server allows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ireko_oci::{Fields, Key};
use ireko_sys::fsx::{Lock, LockKind};

use crate::Repository;
use crate::command::{KnownHosts, Run, Trouble};
use crate::error::GitError;
use crate::resolve::Resolved;
use crate::said;

/// A commit that is here, held while this lives.
pub struct Fetched<'a> {
    pub(crate) repository: &'a Repository<'a>,
    pub(crate) copy: PathBuf,
    pub(crate) object: String,
    pub(crate) name: Option<String>,
    commit: String,
    time: i64,
    _lock: Lock,
}

impl Fetched<'_> {
    /// The commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// When it was committed, in seconds since 1970.
    pub fn time(&self) -> i64 {
        self.time
    }

    pub(crate) fn git(&self, deed: &'static str) -> Run<'_> {
        Run::new(self.repository.git, deed).dir(&self.copy)
    }
}

/// Where the copy of one repository lies.
struct Place {
    copy: PathBuf,
    lock: PathBuf,
}

/// A number that no other call of this process gets, after the process's own.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The ref that says that an object is here with all it needs.
fn mark(object: &str) -> String {
    format!("refs/ireko/{object}")
}

impl Repository<'_> {
    /// The directory of all copies, made if it is missing.
    pub(crate) fn store(&self) -> Result<PathBuf, GitError> {
        fs::create_dir_all(&self.store)
            .map_err(|cause| GitError::io("create directory", &self.store, cause))?;
        Ok(self.store.clone())
    }

    fn place(&self, format: usize) -> Result<Place, GitError> {
        let fields = Fields::new("ireko git/1").bytes("address", self.address.as_str().as_bytes());
        let name = Key(fields.hash()).hex()[..32].to_owned();
        let name = if format == 64 { format!("{name}-sha256") } else { name };
        let store = self.store()?;
        Ok(Place { copy: store.join(&name), lock: store.join(format!("{name}.lock")) })
    }

    /// Sees that what was resolved is in the local copy. Nobody is asked where it is already.
    pub fn fetch(&self, resolved: &Resolved) -> Result<Fetched<'_>, GitError> {
        self.git.check()?;
        let place = self.place(resolved.object.len())?;
        loop {
            let lock = self.lock(&place, LockKind::Shared)?;
            if let Some(fetched) = self.held(&place, resolved, lock)? {
                return Ok(fetched);
            }
            let lock = self.lock(&place, LockKind::Exclusive)?;
            if !self.has(&place, &resolved.object)? {
                self.bring(&place, resolved)?;
            }
            // Taken anew as a shared one; whoever clears the store in between makes it start over.
            drop(lock);
        }
    }

    fn lock(&self, place: &Place, kind: LockKind) -> Result<Lock, GitError> {
        loop {
            let taken = Lock::try_take(&place.lock, kind);
            let taken = taken.map_err(|cause| GitError::io("lock", &place.lock, io::Error::other(cause)))?;
            match taken {
                Some(lock) => return Ok(lock),
                None if (self.watch.cancelled)() => return Err(GitError::Cancelled),
                None => thread::sleep(Duration::from_millis(30)),
            }
        }
    }

    fn held(&self, place: &Place, resolved: &Resolved, lock: Lock) -> Result<Option<Fetched<'_>>, GitError> {
        if !self.has(place, &resolved.object)? {
            return Ok(None);
        }
        let format = ["log", "-1", "--no-show-signature", "--format=%H %ct"];
        let commit = format!("{}^{{commit}}", resolved.object);
        let out = self.bare(place, "read a commit of").args(format).args([commit.as_str(), "--"]);
        let text = self.text(out)?;
        let (commit, time) = text.trim().split_once(' ').unwrap_or_default();
        Ok(Some(Fetched {
            repository: self,
            copy: place.copy.clone(),
            object: resolved.object.clone(),
            name: resolved.name.clone(),
            commit: commit.to_owned(),
            time: time.parse().unwrap_or(0),
            _lock: lock,
        }))
    }

    fn bare(&self, place: &Place, deed: &'static str) -> Run<'_> {
        Run::new(self.git, deed).dir(&place.copy)
    }

    /// Runs git here; what it wrote.
    pub(crate) fn text(&self, run: Run<'_>) -> Result<String, GitError> {
        let deed = run.deed();
        let out = run.run(&self.session, self.watch);
        let out = out.map_err(|trouble| said::error(trouble, deed, &self.address, &self.session))?;
        String::from_utf8(out).map_err(|_| GitError::Failed {
            deed,
            address: self.address.to_string(),
            said: "a name in it is not UTF-8".to_owned(),
        })
    }

    /// Whether git succeeds here.
    fn test(&self, run: Run<'_>) -> Result<bool, GitError> {
        let deed = run.deed();
        match run.run(&self.session, self.watch) {
            Ok(_) => Ok(true),
            Err(Trouble::Exit(_)) => Ok(false),
            Err(trouble) => Err(said::error(trouble, deed, &self.address, &self.session)),
        }
    }

    fn has(&self, place: &Place, object: &str) -> Result<bool, GitError> {
        if !place.copy.join("HEAD").exists() {
            return Ok(false);
        }
        let run = self.bare(place, "look into the copy of");
        self.test(run.args(["rev-parse", "--verify", "--quiet", &format!("{}^{{commit}}", mark(object))]))
    }

    /// Fetches, into a new copy where the old one is unusable.
    fn bring(&self, place: &Place, resolved: &Resolved) -> Result<(), GitError> {
        let existed = place.copy.join("HEAD").exists();
        self.make(place, resolved.object.len())?;
        let brought = match self.bring_once(place, resolved) {
            Err(GitError::Failed { .. }) if existed => {
                clear(&place.copy)?;
                self.make(place, resolved.object.len())?;
                self.bring_once(place, resolved)
            }
            other => other,
        };
        if brought.is_err() {
            // Half a pack is no use to anybody, and may be what filled the disk. The first failure is what counts.
            let _what_failed_is_told = sweep(&place.copy);
        }
        brought
    }

    fn make(&self, place: &Place, format: usize) -> Result<(), GitError> {
        if place.copy.join("HEAD").exists() {
            return sweep(&place.copy);
        }
        clear(&place.copy)?;
        let format = if format == 64 { "sha256" } else { "sha1" };
        // Made beside and renamed: a copy that is here is a repository.
        let draft = place.copy.with_extension("new");
        clear(&draft)?;
        let run = Run::new(self.git, "prepare a copy of").dir(&draft);
        let format = format!("--object-format={format}");
        self.text(run.args(["init", "--quiet", "--bare", "--template=", &format]))?;
        fs::rename(&draft, &place.copy).map_err(|cause| GitError::io("rename", &draft, cause))
    }

    fn bring_once(&self, place: &Place, resolved: &Resolved) -> Result<(), GitError> {
        let object = &resolved.object;
        let spec = format!("+{object}:{}", mark(object));
        let mut tried = self.transfer(place, &["--depth=1", "--no-tags"], &[&spec]);
        if matches!(&tried, Err(Trouble::Exit(said)) if said.is_no_depth()) {
            tried = self.transfer(place, &["--no-tags"], &[&spec]);
        }
        match tried {
            Ok(()) if self.has(place, object)? => return Ok(()),
            Ok(()) => return Err(self.no_commit(object)),
            Err(Trouble::Exit(said)) if said.is_unadvertised() => {}
            Err(trouble) => return Err(self.failed(trouble)),
        }
        // The server gives only what its refs name: take them all, and see whether it is among them.
        let mut specs = vec![HEADS, TAGS];
        let apart = resolved.name.as_deref().filter(|name| is_apart(name));
        let apart = apart.map(|name| format!("+{name}:refs/ireko-named/{object}"));
        specs.extend(apart.as_deref());
        self.everything(place, &specs)?;
        let found = self.bare(place, "look into the copy of");
        let found = self.test(found.args(["cat-file", "-e", &format!("{object}^{{commit}}")]))?;
        if !found {
            return Err(self.no_commit(object));
        }
        self.text(self.bare(place, "mark a commit of").args(["update-ref", &mark(object), object])).map(drop)
    }

    fn no_commit(&self, object: &str) -> GitError {
        let wanted = format!("commit `{object}`");
        GitError::NoRef { address: self.address.to_string(), wanted, similar: Vec::new() }
    }

    fn failed(&self, trouble: Trouble) -> GitError {
        said::error(trouble, "fetch from", &self.address, &self.session)
    }

    /// All history of these refs.
    fn everything(&self, place: &Place, specs: &[&str]) -> Result<(), GitError> {
        let mut flags = vec!["--no-tags", "--prune"];
        if place.copy.join("shallow").exists() {
            flags.push("--unshallow");
        }
        self.transfer(place, &flags, specs).map_err(|trouble| self.failed(trouble))
    }

    fn transfer(&self, place: &Place, flags: &[&str], specs: &[&str]) -> Result<(), Trouble> {
        let hosts = KnownHosts::write(&self.session, &self.store);
        let hosts = hosts.map_err(|error| Trouble::Start(io::Error::other(error)))?;
        let run = self.bare(place, "fetch from").network(&self.session, hosts.path());
        let run = run.args(["fetch", "--progress", "--force", "--no-write-fetch-head"]).args(flags);
        run.args(["--", self.address.as_str()]).args(specs).run(&self.session, self.watch).map(drop)
    }

    /// The commit that begins with these digits, found in all history.
    pub(crate) fn find_short(&self, digits: &str) -> Result<Option<String>, GitError> {
        let place = self.place(40)?;
        let _lock = self.lock(&place, LockKind::Exclusive)?;
        self.make(&place, 40)?;
        self.everything(&place, &[HEADS, TAGS]).inspect_err(|_| drop(sweep(&place.copy)))?;
        let run = self.bare(&place, "look into the copy of");
        let commit = format!("{digits}^{{commit}}");
        let deed = run.deed();
        let out = run.args(["rev-parse", "--verify", &commit]).run(&self.session, self.watch);
        let found = match out {
            Ok(out) => String::from_utf8_lossy(&out).trim().to_owned(),
            Err(Trouble::Exit(said)) if said.has(&["ambiguous"]) => {
                let problem =
                    format!("several commits of `{}` begin with `{digits}`; write more digits", self.address);
                return Err(GitError::Request { problem });
            }
            Err(Trouble::Exit(_)) => return Ok(None),
            Err(trouble) => return Err(said::error(trouble, deed, &self.address, &self.session)),
        };
        let run = self.bare(&place, "mark a commit of");
        self.text(run.args(["update-ref", &mark(&found), &found]))?;
        Ok(Some(found))
    }
}

const HEADS: &str = "+refs/heads/*:refs/ireko-heads/*";
const TAGS: &str = "+refs/tags/*:refs/ireko-tags/*";

/// Whether a ref is neither branch nor tag.
fn is_apart(name: &str) -> bool {
    !name.starts_with("refs/heads/") && !name.starts_with("refs/tags/")
}

fn clear(dir: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(dir) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(GitError::io("remove", dir, cause)),
        _ => Ok(()),
    }
}

/// Removes what a killed fetch left: nobody else is in the copy.
fn sweep(copy: &Path) -> Result<(), GitError> {
    let names = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let is_left = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with(".tmp-")
    };
    let refs =
        ["refs/ireko", "refs/ireko-heads", "refs/ireko-tags"].map(|dir| names(&copy.join(dir))).concat();
    let all = [names(copy), names(&copy.join("objects/pack")), refs].concat();
    for path in all.into_iter().filter(|path| is_left(path)) {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|cause| GitError::io("remove", &path, cause))?;
    }
    Ok(())
}
