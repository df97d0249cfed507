//! WORKDIR: a directory is made where it is missing.

use ireko_graph::op::MakeDir;
use ireko_layer::{Change, Follow, Time, TreePath, View};

use crate::copy::{Made, Staged};
use crate::files_error::FilesError;
use crate::passwd;

/// What making the directory changes: nothing, if it is there. Its missing parents are made too, with the same owner.
pub fn make_dir(op: &MakeDir, base: &View, now: Time) -> Result<Vec<Change>, FilesError> {
    let owner = match op.user.as_str() {
        "" => None,
        user => Some(passwd::owner(user, base)?),
    };
    let mut staged = Staged::new(base);
    let path = staged.resolve(&TreePath::from_guest(&op.path), Follow::All)?;
    staged.make_dirs(&path, Made::By(owner), now).map_err(|error| match error {
        FilesError::Clash { path, problem } => FilesError::Unusable {
            text: op.path.to_string(),
            problem: match format!("/{path}") == op.path.as_str() {
                true => problem.to_owned(),
                false => format!("at `/{path}` {problem}"),
            },
            hint: None,
        },
        other => other,
    })?;
    Ok(staged.changes())
}

#[cfg(test)]
mod tests;
