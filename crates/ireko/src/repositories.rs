//! Contexts that are git repositories.

use crate::environment::Environment;
use crate::failure::Failure;
use ireko_dockerfile::gitref::{self, GitRef, Refusal};
use ireko_exec::{GitSettings, Repositories, RepositoryError};
use ireko_git::{Git, GitError, Options};
use ireko_graph::Op;
use ireko_graph::op::GitSource;
use ireko_report::{Event, Sink};
use std::fs;
use std::path::{Path, PathBuf};

/// How git is run for this process.
pub(crate) fn settings(environment: &Environment) -> GitSettings {
    let mut options = Options::default();
    if let Some(path) = environment.get("PATH") {
        options.path = path.into();
    }
    let passed = ireko_git::PASSED.iter().filter_map(|name| Some((*name, environment.get(name)?)));
    options.env = passed.map(|(name, value)| (name.into(), value.into())).collect();
    let known = environment.get("HOME").map(|home| Path::new(home).join(".ssh/known_hosts"));
    GitSettings { git: Git::new(options), known_hosts: known.and_then(|path| fs::read(path).ok()) }
}

/// What is needed to make contexts of repositories.
pub(crate) struct Elsewhere<'a> {
    /// How they are read.
    pub(crate) repositories: Repositories<'a>,
    /// Where their files are put: a directory of the store.
    pub(crate) scratch: &'a Path,
    /// Build arguments as they were given.
    pub(crate) build_args: &'a [(String, Option<String>)],
    /// Fetches files by their URL.
    pub(crate) http: &'a ireko_http::Client,
    /// The files of the main context are to be seen, not only what a build needs.
    pub(crate) with_files: bool,
    /// Hears what is being fetched.
    pub(crate) sink: &'a dyn Sink,
}

/// A file: its path in the repository, and its bytes.
pub(crate) type NamedFile = (String, Vec<u8>);

/// A repository as the main context.
#[derive(Debug)]
pub(crate) struct Repository {
    /// A directory of the store: its files, where they were asked for, else nothing.
    pub(crate) dir: PathBuf,
    /// What the person calls it, without a login.
    pub(crate) place: String,
    /// When the commit was made, in seconds since 1970.
    pub(crate) time: i64,
    /// What fetches its files, where the directory does not have them.
    pub(crate) source: Option<Op>,
}

/// The git reference that a context's name is, if it is one. What is a directory is not.
pub(crate) fn reference(text: &str) -> Result<Option<GitRef>, Failure> {
    if Path::new(text).is_dir() {
        return Ok(None);
    }
    match gitref::parse(text) {
        Ok(found) => Ok(Some(found)),
        Err(Refusal::NotGit) => Ok(None),
        Err(Refusal::Wrong(why)) => {
            Err(Failure::user(format!("cannot use git context `{}`", gitref::redact(text))).cause(why))
        }
    }
}

impl Elsewhere<'_> {
    /// The main context, and the first of these files of it. Its files have the time of the commit if the build has a
    /// date of its own.
    pub(crate) fn main(
        &self,
        found: &GitRef,
        names: &[&str],
    ) -> Result<(Repository, Option<NamedFile>), Failure> {
        let given = |name: &str| {
            let named = self.build_args.iter().rev().find(|(key, _)| key == name);
            named.and_then(|(_, value)| value.as_deref()).filter(|value| !value.is_empty())
        };
        let keep = given("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
        let keep = matches!(keep, Some("1" | "t" | "T" | "true" | "TRUE" | "True"));
        let mut source = source_of(found);
        source.keep_git_dir |= keep;
        source.commit_times |= given("SOURCE_DATE_EPOCH").is_some() && found.mtime.is_none();
        let place = place(found);
        let tell = |done| {
            let what = format!("fetching {place}");
            self.sink.emit(Event::Progress { node: None, what, done, total: None });
        };
        tell(0);
        let dir = self.scratch.join("repository");
        let failed = |error: RepositoryError| failure(&format!("context `{place}`"), &error);
        let opened = self.repositories.open(&source, names, self.scratch, &tell).map_err(failed)?;
        let source = match self.with_files {
            true => {
                self.repositories.write_context(&opened.source, &dir, self.scratch).map_err(failed)?;
                None
            }
            false => {
                fs::create_dir(&dir).map_err(|error| {
                    Failure::environment(format!("cannot make directory `{}`", dir.display())).cause(error)
                })?;
                Some(Op::Git(Box::new(opened.source)))
            }
        };
        Ok((Repository { dir, place, time: opened.time, source }, opened.file))
    }
}

/// When the commit that a source means was made, in seconds since 1970.
pub(crate) fn commit_time(source: &GitSource, elsewhere: &Elsewhere<'_>) -> Result<i64, Failure> {
    let place = gitref::redact(&source.remote);
    let tell = |done| {
        let what = format!("fetching {place}");
        elsewhere.sink.emit(Event::Progress { node: None, what, done, total: None });
    };
    let opened = elsewhere.repositories.open(source, &[], elsewhere.scratch, &tell);
    opened.map(|opened| opened.time).map_err(|error| failure(&format!("`{place}`"), &error))
}

/// A repository as a named context.
pub(crate) fn named(found: &GitRef) -> Op {
    Op::Git(Box::new(source_of(found)))
}

fn source_of(found: &GitRef) -> GitSource {
    ireko_plan::git_source(found, found.checksum.clone(), found.keep_git_dir.unwrap_or(false))
}

/// The reference as it may be shown, with what of it was asked for.
fn place(found: &GitRef) -> String {
    let mut place = gitref::redact(&found.remote);
    if !found.reference.is_empty() || !found.subdir.is_empty() {
        place.push_str(&format!("#{}", found.reference));
    }
    if !found.subdir.is_empty() {
        place.push_str(&format!(":{}", found.subdir));
    }
    place
}

fn failure(what: &str, error: &RepositoryError) -> Failure {
    if matches!(error, RepositoryError::Git(GitError::Cancelled)) {
        return Failure::interrupted();
    }
    let mut failure = Failure::of(error.blame(), error);
    let why = std::mem::replace(&mut failure.message, format!("cannot fetch {what}"));
    failure.causes.insert(0, why);
    failure.hinted(error.hint())
}
