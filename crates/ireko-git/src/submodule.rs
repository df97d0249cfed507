//! Repositories inside a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Repository;
use crate::address::Address;
use crate::checkout::{Place, clean};
use crate::command::Run;
use crate::error::GitError;
use crate::fetch::Fetched;
use crate::resolve::Resolved;

/// How deep repositories may lie in each other: one that holds itself would have no end.
const DEEPEST: usize = 16;

/// What `.gitmodules` says of one.
#[derive(Debug, Default)]
struct Entry {
    name: String,
    path: String,
    url: String,
    update: String,
}

impl Fetched<'_> {
    /// Writes the files of submodules, theirs included. With `only`, those that lie on the way to that directory or
    /// below it.
    pub(crate) fn write_submodules(
        &self,
        place: &Place<'_>,
        only: &[String],
        depth: usize,
    ) -> Result<(), GitError> {
        let links = self.links()?;
        if links.is_empty() {
            return Ok(());
        }
        if depth == DEEPEST {
            return Err(request(format!(
                "submodules of `{}` lie more than {DEEPEST} deep",
                self.repository.address
            )));
        }
        let entries = self.entries()?;
        for (path, commit) in links {
            let parts = clean(&path);
            let shared = parts.len().min(only.len());
            if parts[..shared] != only[..shared] {
                continue;
            }
            let of = |cause| GitError::Submodule { path: path.clone(), cause: Box::new(cause) };
            let Some(entry) = entries.iter().find(|entry| entry.path == path) else {
                return Err(of(request("`.gitmodules` has no URL for it".to_owned())));
            };
            if entry.update == "none" {
                continue;
            }
            let rest = only.get(parts.len()..).unwrap_or_default();
            self.write_submodule(place, entry, &commit, (rest, depth)).map_err(of)?;
        }
        Ok(())
    }

    fn write_submodule(
        &self,
        place: &Place<'_>,
        entry: &Entry,
        commit: &str,
        (only, depth): (&[String], usize),
    ) -> Result<(), GitError> {
        let outer = self.repository;
        let url = outer.address.join(&entry.url);
        let (address, credentials) = Address::parse(&url);
        if !is_remote(address.as_str()) {
            return Err(request(format!("its URL `{address}` is not one of http, https, ssh and git")));
        }
        let session = outer.session.for_submodule(&address, credentials);
        let (git, store, watch) = (outer.git, outer.store.clone(), outer.watch);
        let inner = Repository { git, address, session, store, watch };
        let fetched = inner.fetch(&Resolved { object: commit.to_owned(), commit: None, name: None })?;
        let work = real_dir(place.work, &entry.path)?;
        let kept = match place.git_dir {
            Some(outer_dir) => Some((outer_dir, outer_dir.join("modules").join(module_name(&entry.name)?))),
            None => None,
        };
        let git_dir = kept.as_ref().map(|(_, dir)| dir.as_path());
        let inside = Place { work: &work, git_dir, room: place.room };
        fetched.write_tree(&inside)?;
        if let Some((outer_dir, dir)) = &kept {
            link(&fetched, outer_dir, dir, &work)?;
            let run = |args: &[&str]| {
                let run = Run::new(outer.git, "note a submodule of").dir(outer_dir);
                outer.text(run.args(["config"]).args(args)).map(drop)
            };
            run(&[&format!("submodule.{}.active", entry.name), "true"])?;
            run(&[&format!("submodule.{}.url", entry.name), inner.address.as_str()])?;
        }
        fetched.write_submodules(&inside, only, depth + 1)
    }

    /// Paths of this commit at which another repository's commit lies.
    fn links(&self) -> Result<Vec<(String, String)>, GitError> {
        let run = self.git("list the files of").args(["ls-tree", "-r", "-z", "--full-tree", self.commit()]);
        let deed = run.deed();
        let session = &self.repository.session;
        let out = run.run(session, self.repository.watch);
        let out =
            out.map_err(|trouble| crate::said::error(trouble, deed, &self.repository.address, session))?;
        let mut links = Vec::new();
        for line in out.split(|byte| *byte == 0).filter(|line| line.starts_with(b"160000 ")) {
            let line = String::from_utf8_lossy(line);
            if let Some((head, path)) = line.split_once('\t') {
                links.push((path.to_owned(), head.rsplit(' ').next().unwrap_or_default().to_owned()));
            }
        }
        Ok(links)
    }

    fn entries(&self) -> Result<Vec<Entry>, GitError> {
        let blob = format!("{}:.gitmodules", self.commit());
        let run = self.git("read `.gitmodules` of");
        let args = ["config", "--blob", &blob, "-z", "--get-regexp", r"^submodule\..*\.(path|url|update)$"];
        // Without the file, or with nothing in it, there is nothing to say.
        let out = run.args(args).run(&self.repository.session, self.repository.watch);
        let out = match out {
            Ok(out) => String::from_utf8_lossy(&out).into_owned(),
            Err(crate::command::Trouble::Exit(_)) => String::new(),
            Err(trouble) => {
                let repository = self.repository;
                let deed = "read `.gitmodules` of";
                return Err(crate::said::error(trouble, deed, &repository.address, &repository.session));
            }
        };
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for item in out.split('\0').filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('\n').unwrap_or((item, ""));
            let Some((name, field)) = key.strip_prefix("submodule.").and_then(|key| key.rsplit_once('.'))
            else {
                continue;
            };
            let entry = entries.entry(name.to_owned()).or_default();
            name.clone_into(&mut entry.name);
            match field {
                "path" => value.trim_end_matches('/').clone_into(&mut entry.path),
                "url" => value.clone_into(&mut entry.url),
                _ => value.clone_into(&mut entry.update),
            }
        }
        Ok(entries.into_values().filter(|entry| !entry.url.is_empty()).collect())
    }
}

fn request(problem: String) -> GitError {
    GitError::Request { problem }
}

/// Whether git may be sent there: never to a path of this machine, never to a helper.
fn is_remote(url: &str) -> bool {
    if url.starts_with('-') || url.chars().any(char::is_control) {
        return false;
    }
    match url.split_once("://") {
        Some((scheme, _)) => matches!(scheme, "http" | "https" | "ssh" | "git"),
        // `host:path`, but no `helper::address` and no path.
        None => url
            .split_once(':')
            .is_some_and(|(host, path)| !host.is_empty() && !host.contains('/') && !path.starts_with(':')),
    }
}

/// The directory that git made for the submodule, reached through directories only.
fn real_dir(work: &Path, path: &str) -> Result<std::path::PathBuf, GitError> {
    let mut dir = work.to_owned();
    for part in clean(path) {
        if part.eq_ignore_ascii_case(".git") {
            return Err(request("its path leads into `.git`".to_owned()));
        }
        dir.push(part);
        let meta = fs::symlink_metadata(&dir).map_err(|cause| GitError::io("read", &dir, cause))?;
        if !meta.is_dir() {
            return Err(request("its path leads through something that is no directory".to_owned()));
        }
    }
    Ok(dir)
}

/// The name as a path below `modules`.
fn module_name(name: &str) -> Result<&str, GitError> {
    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.split(['/', '\\']).all(fine) {
        return Ok(name);
    }
    Err(request(format!("`{}` is no name for a submodule", name.escape_debug())))
}

/// Makes a submodule's files and its repository know each other, by relative paths.
fn link(fetched: &Fetched<'_>, outer_dir: &Path, dir: &Path, work: &Path) -> Result<(), GitError> {
    let top = outer_dir.ancestors().find(|path| path.file_name().is_some_and(|name| name == ".git"));
    let root = top.and_then(Path::parent).unwrap_or(outer_dir);
    let relative = |from: &Path, to: &Path| {
        let depth = from.strip_prefix(root).map_or(0, |path| path.components().count());
        let rest = to.strip_prefix(root).unwrap_or(to);
        format!("{}{}", "../".repeat(depth), rest.display())
    };
    let file = work.join(".git");
    let text = format!("gitdir: {}\n", relative(work, dir));
    fs::write(&file, text).map_err(|cause| GitError::io("write", &file, cause))?;
    let config = |key: &str, value: &str| {
        let run = Run::new(fetched.repository.git, "note the files of").dir(dir);
        fetched.repository.text(run.args(["config", key, value])).map(drop)
    };
    config("core.bare", "false")?;
    config("core.worktree", &relative(dir, work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_submodules_may_be() {
        let cases = [
            ("https://h/r", true),
            ("ssh://git@h/r", true),
            ("git@h:r", true),
            ("file:///etc", false),
            ("/etc", false),
            ("ext::sh -c id", false),
            ("-oProxyCommand=id:x", false),
            ("./a:b", false),
            ("ftp://h/r", false),
        ];
        for (url, fine) in cases {
            assert_eq!(is_remote(url), fine, "{url}");
        }
        for name in ["../x", "a/../b", "", "a//b", "..", "a\\..\\b"] {
            assert!(module_name(name).is_err(), "{name}");
        }
        assert!(module_name("a/b.c").is_ok());
    }
}
