//! One file of a commit, read without a checkout.

use crate::checkout::clean;
use crate::error::GitError;
use crate::fetch::Fetched;

/// What is found at a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A file's bytes.
    File(Vec<u8>),
    /// Nothing that is a file, or a link out of the directory.
    Nothing,
    /// The directory itself is not among the repository's own: it does not exist, or lies in a submodule.
    NoDirectory,
}

impl Fetched<'_> {
    /// The file at `path` below the directory `subdir`. Links are followed inside that directory.
    pub fn read(&self, subdir: &str, path: &str) -> Result<Found, GitError> {
        let Some(tree) = self.tree(&clean(subdir).join("/"))? else { return Ok(Found::NoDirectory) };
        let path = clean(path).join("/");
        if path.is_empty() || path.contains('\n') {
            return Ok(Found::Nothing);
        }
        let run = self.git("read a file of").args(["cat-file", "--batch", "--follow-symlinks"]);
        let deed = run.deed();
        let repository = self.repository;
        let out = run.input(format!("{tree}:{path}\n")).run(&repository.session, repository.watch);
        let out = out
            .map_err(|trouble| crate::said::error(trouble, deed, &repository.address, &repository.session))?;
        // `ID blob SIZE`, a line end, the bytes, a line end.
        let end = out.iter().position(|byte| *byte == b'\n').unwrap_or(out.len());
        let head = String::from_utf8_lossy(&out[..end]).into_owned();
        let size: Option<usize> = match head.split(' ').collect::<Vec<_>>().as_slice() {
            [_, "blob", size] => size.parse().ok(),
            _ => None,
        };
        let bytes = size.and_then(|size| out.get(end + 1..end + 1 + size));
        Ok(bytes.map_or(Found::Nothing, |bytes| Found::File(bytes.to_vec())))
    }

    fn tree(&self, subdir: &str) -> Result<Option<String>, GitError> {
        let name = if subdir.is_empty() {
            format!("{}^{{tree}}", self.commit())
        } else {
            format!("{}:{subdir}", self.commit())
        };
        let run = self.git("find a directory of").args(["rev-parse", "--verify", "--quiet", &name]);
        let deed = run.deed();
        let repository = self.repository;
        let id = match run.run(&repository.session, repository.watch) {
            Ok(out) => String::from_utf8_lossy(&out).trim().to_owned(),
            Err(crate::command::Trouble::Exit(_)) => return Ok(None),
            Err(trouble) => {
                return Err(crate::said::error(trouble, deed, &repository.address, &repository.session));
            }
        };
        let kind = self.repository.text(self.git("find a directory of").args(["cat-file", "-t", &id]));
        // A submodule's commit is not here.
        Ok(kind.is_ok_and(|kind| kind.trim() == "tree").then_some(id))
    }
}
