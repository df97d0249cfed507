//! What is built: contexts written into the scratch folder.
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The folder everything of a run lies in; emptied when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Takes a folder that is not there yet.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        match fs::create_dir(path) {
            Ok(()) => Ok(Self(fs::canonicalize(path)?)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!(
                    "`{}` exists: another run, or one that was killed; remove it or choose another --scratch",
                    path.display()
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot make `{}`", path.display())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // buildah leaves its storage mounted on itself.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if Path::new(mount).starts_with(&self.0) {
                let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: cannot remove `{}`: {error}", self.0.display());
        }
    }
}

/// A context of one Dockerfile.
pub(crate) fn context(dir: &Path, dockerfile: &str) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    fs::write(dir.join("Dockerfile"), dockerfile)
        .with_context(|| format!("cannot write a Dockerfile into `{}`", dir.display()))
}

/// A Dockerfile of `count` RUN steps that do nothing, different for each `seed`.
pub(crate) fn run_steps(count: usize, seed: usize) -> String {
    let mut text = "FROM busybox\n".to_owned();
    for step in 0..count {
        writeln!(text, "RUN : {seed} {step}").expect("a string takes all that is written");
    }
    text
}

/// `count` stages of one second, joined by COPY --from, different for each `seed`.
pub(crate) fn sleeping_stages(count: usize, seed: usize) -> String {
    let mut text = String::new();
    for stage in 0..count {
        writeln!(text, "FROM busybox AS s{stage}\nRUN sleep 1 && echo {seed} >/part")
            .expect("a string takes all that is written");
    }
    text.push_str("FROM scratch\n");
    for stage in 0..count {
        writeln!(text, "COPY --from=s{stage} /part /parts/{stage}")
            .expect("a string takes all that is written");
    }
    text
}

/// `count` files of a few hundred bytes, a hundred a folder, each different. They are left alone for a while: a file that
/// changed within the last two seconds is read again by who is careful, as git does.
pub(crate) fn small_files(dir: &Path, count: usize) -> Result<()> {
    for file in 0..count {
        let folder = dir.join(format!("d{:03}", file / 100));
        if file % 100 == 0 {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        let body = format!("file {file} {}\n", "text ".repeat(20 + file * 7 % 180));
        fs::write(folder.join(format!("f{file:05}.txt")), body).context("cannot write a small file")?;
    }
    std::thread::sleep(Duration::from_secs(3));
    Ok(())
}

/// Copies whole files of `from` in name order until `limit` bytes are there; links and modes are kept. The bytes copied.
pub(crate) fn part_of(from: &Path, to: &Path, limit: u64) -> Result<u64> {
    fs::create_dir_all(to).with_context(|| format!("cannot make `{}`", to.display()))?;
    let mut entries: Vec<_> = fs::read_dir(from)
        .with_context(|| format!("cannot list `{}`", from.display()))?
        .collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut total = 0;
    for entry in entries {
        if total >= limit {
            break;
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = fs::symlink_metadata(&source)?;
        if meta.is_dir() {
            total += part_of(&source, &target, limit - total)?;
        } else if meta.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if meta.is_file() {
            fs::copy(&source, &target).with_context(|| format!("cannot copy `{}`", source.display()))?;
            fs::set_permissions(&target, fs::Permissions::from_mode(meta.permissions().mode()))?;
            total += meta.len();
        }
    }
    Ok(total)
}

/// Every regular file below `dir`, sorted.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes of a file, or of all files below a folder.
pub(crate) fn size(path: &Path) -> Result<u64> {
    if path.is_dir() {
        return files(path)?.iter().map(|file| Ok(fs::metadata(file)?.len())).sum();
    }
    Ok(fs::metadata(path).with_context(|| format!("cannot look at `{}`", path.display()))?.len())
}
