//! Many small files with few calls: a directory is opened once, what lies in it is asked for by name, on all cores.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::disk;
use crate::error::{Error, Result};

/// What a listing tells of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Seconds of its modification time.
    pub(crate) used: i64,
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// It holds nothing, which nothing of ours does that is whole.
    pub(crate) is_empty: bool,
}

impl Seen {
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            used: stat.st_mtime,
            bytes: u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
            is_empty: stat.st_size == 0,
        }
    }
}

/// An open directory and the names in it.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    pub(crate) names: Vec<String>,
}

impl Dir {
    /// Opens a directory; `None` where there is none.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(cause) => return Err(Error::io("open directory", path, cause)),
        };
        let mut names = Vec::new();
        let listed = rustix::fs::Dir::read_from(&fd).map_err(|cause| Error::io("list", path, cause))?;
        for entry in listed {
            let entry = entry.map_err(|cause| Error::io("list", path, cause))?;
            // Nothing the store writes has a name outside ASCII; what is not ours is left alone.
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        names.sort_unstable();
        Ok(Some(Self { fd, names }))
    }

    /// What is known of one file without opening it; `None` where it is gone.
    pub(crate) fn look(&self, name: &str) -> Option<Seen> {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Seen::of(&stat))
    }

    /// The same of the directory itself.
    pub(crate) fn own(&self) -> Seen {
        rustix::fs::fstat(&self.fd).map_or_else(|_| Seen::default(), |stat| Seen::of(&stat))
    }

    /// Reads one small file, and tells what is known of it; `None` where it is gone or cannot be read.
    pub(crate) fn read(&self, name: &str) -> Option<(Vec<u8>, Seen)> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let mut bytes = vec![0; usize::try_from(stat.st_size).ok()?];
        let mut filled = 0;
        // Files are replaced, never changed: one read gets all of it.
        while filled < bytes.len() {
            match rustix::io::read(file.as_fd(), &mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        bytes.truncate(filled);
        Some((bytes, Seen::of(&stat)))
    }

    /// Removes one file; tells whether it was there.
    fn unlink(&self, name: &str) -> std::result::Result<bool, Errno> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Files two levels deep (`ab/<name>`), each as `see` has it, sorted by name.
pub(crate) fn fanned<T: Send>(
    dir: &Path,
    see: impl Fn(&Dir, &str) -> Option<T> + Sync,
) -> Result<Vec<(String, T)>> {
    let fans = disk::names(dir)?;
    let found = parallel(&fans, |fan| {
        let Some(fan) = Dir::open(&dir.join(fan))? else { return Ok(Vec::new()) };
        let seen = fan.names.iter().filter_map(|name| Some((name.clone(), see(&fan, name)?)));
        Ok(seen.collect::<Vec<_>>())
    });
    let found: Vec<Vec<_>> = found.into_iter().collect::<Result<_>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// The files of one directory.
pub(crate) fn flat(dir: &Path) -> Result<Vec<(String, Seen)>> {
    let Some(dir) = Dir::open(dir)? else { return Ok(Vec::new()) };
    let seen = parallel(&dir.names, |name| Some((name.clone(), dir.look(name)?)));
    Ok(seen.into_iter().flatten().collect())
}

/// Removes these files of one directory, on all cores, those of one subdirectory (`ab/<name>`) by one thread; tells
/// which were there, by their positions in the list.
pub(crate) fn unlink(dir: &Path, names: &[String]) -> Result<Vec<usize>> {
    let mut groups: Vec<(&str, Vec<(usize, &str)>)> = Vec::new();
    let mut sorted: Vec<(usize, &str, &str)> = names
        .iter()
        .enumerate()
        .map(|(at, name)| match name.split_once('/') {
            Some((fan, name)) => (at, fan, name),
            None => (at, "", name.as_str()),
        })
        .collect();
    sorted.sort_unstable_by_key(|(_, fan, name)| (*fan, *name));
    for (at, fan, name) in sorted {
        match groups.last_mut() {
            Some((last, group)) if *last == fan => group.push((at, name)),
            _ => groups.push((fan, vec![(at, name)])),
        }
    }
    let gone = parallel(&groups, |(fan, group)| {
        let path = dir.join(fan);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(cause) => return Err(Error::io("open directory", &path, cause)),
        };
        let opened = Dir { fd, names: Vec::new() };
        let mut gone = Vec::new();
        for (at, name) in group {
            match opened.unlink(name) {
                Ok(true) => gone.push(*at),
                Ok(false) => {}
                Err(cause) => return Err(Error::io("remove", &path.join(name), cause)),
            }
        }
        Ok(gone)
    });
    let gone: Vec<Vec<usize>> = gone.into_iter().collect::<Result<_>>()?;
    Ok(gone.into_iter().flatten().collect())
}

/// Does the same with each of these, on all cores; the answers are in the order of the items.
pub(crate) fn parallel<T: Sync, R: Send>(items: &[T], deed: impl Fn(&T) -> R + Sync) -> Vec<R> {
    // Below this a thread costs more than it saves.
    const FEW: usize = 64;
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    if cores == 1 || items.len() < FEW {
        return items.iter().map(deed).collect();
    }
    let deed = &deed;
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(items.len().div_ceil(cores))
            .map(|part| {
                let work = move || part.iter().map(deed).collect::<Vec<R>>();
                // Where no thread can be started this one does it all.
                (part, std::thread::Builder::new().spawn_scoped(scope, work).ok())
            })
            .collect();
        let done = |(part, thread): (&[T], Option<std::thread::ScopedJoinHandle<'_, Vec<R>>>)| match thread {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => part.iter().map(deed).collect(),
        };
        parts.into_iter().flat_map(done).collect()
    })
}
