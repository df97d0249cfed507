//! Places that a command writes to at its end, tried before it begins: a long build must not fail for a missing directory.

use crate::failure::Failure;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// How a place is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A file that is renamed into place, so that its directory is what counts.
    Whole,
    /// A file that is written where it is.
    InPlace,
    /// A directory, made with those above it.
    Dir,
}

/// Fails as the writing itself would, as far as it can be known. `flag` is what named the place.
pub(crate) fn check(flag: &str, path: &Path, how: Written) -> Result<(), Failure> {
    let refused = |error: io::Error| refused(flag, path, &error);
    if how == Written::Dir {
        let there = path.ancestors().find(|dir| fs::symlink_metadata(or_here(dir)).is_ok());
        return probe(or_here(there.unwrap_or(path))).map_err(refused);
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(refused(io::ErrorKind::IsADirectory.into())),
        // A device or a pipe is opened once, when there is something to write.
        Ok(meta) if !meta.is_file() => Ok(()),
        Ok(_) if how == Written::InPlace => File::options().write(true).open(path).map(drop).map_err(refused),
        Err(error) if path.starts_with("/dev") || path.starts_with("/proc") => Err(refused(error)),
        _ => {
            let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let dir = or_here(real.parent().unwrap_or(Path::new("/")));
            match probe(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let what = format!("{}: there is no directory `{}`", cannot(flag, path), dir.display());
                    Err(Failure::user(what).hint("make it first, or name a file elsewhere"))
                }
                probed => probed.map_err(refused),
            }
        }
    }
}

/// What is said of a place that cannot be written to, whenever that turns out.
pub(crate) fn refused(flag: &str, path: &Path, error: &io::Error) -> Failure {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound, StorageFull};
    // A path that is none is a mistake, one that refuses is the machine's.
    match error.kind() {
        IsADirectory => {
            Failure::user(format!("{}: it is a directory", cannot(flag, path))).hint("name a file in it")
        }
        NotFound | NotADirectory | InvalidInput => Failure::user(cannot(flag, path)).cause(error),
        StorageFull => Failure::environment(cannot(flag, path))
            .cause(error)
            .hint("free some space there, or write elsewhere"),
        _ => Failure::environment(cannot(flag, path)).cause(error),
    }
}

fn cannot(flag: &str, path: &Path) -> String {
    format!("cannot write `{}` for `{flag}`", path.display())
}

fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// Makes a file in a directory that nobody sees.
fn probe(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Ok(()),
        // File systems without files that have no name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let path = dir.join(format!(".ireko-{}.partial", std::process::id()));
            File::create_new(&path)?;
            fs::remove_file(&path)
        }
        Err(errno) => Err(errno.into()),
    }
}
