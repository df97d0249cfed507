//! Where things are written: a file that appears whole or not at all, a stream, or a directory of such files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tar::EntryType;

use crate::archive;
use crate::error::{Error, Result};
use crate::export::To;
use crate::files::copy;

/// One thing being written. Dropped without [`Output::finish`], a file never existed.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    written: u64,
    place: PathBuf,
    /// Where it lies until it is whole; nothing for a stream.
    draft: Option<PathBuf>,
}

impl Output {
    /// A file, or whatever the path names: a device or a pipe is written to as it is.
    pub(crate) fn open(to: &To) -> Result<Self> {
        let path = match to {
            To::Stdout => return Self::stdout(),
            To::Path(path) if path == Path::new("/dev/stdout") || path == Path::new("/dev/fd/1") => {
                return Self::stdout();
            }
            To::Path(path) => path,
        };
        let is_stream = path.starts_with("/dev")
            || path.starts_with("/proc")
            || fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
        if is_stream {
            let file =
                OpenOptions::new().write(true).open(path).map_err(|cause| Error::io("open", path, cause))?;
            return Ok(Self { file, written: 0, place: path.clone(), draft: None });
        }
        if path.is_dir() {
            return Err(Error::io("write", path, io::ErrorKind::IsADirectory));
        }
        Self::beside(&fs::canonicalize(path).unwrap_or_else(|_| path.clone()))
    }

    fn stdout() -> Result<Self> {
        let place = PathBuf::from("-");
        let file = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3);
        let file = file.map_err(|cause| Error::io("write to", &place, cause))?.into();
        Ok(Self { file, written: 0, place, draft: None })
    }

    /// A pipe or socket that somebody reads.
    pub(crate) fn stream(file: File) -> Self {
        Self { file, written: 0, place: PathBuf::from("-"), draft: None }
    }

    /// A file that is renamed into place when it is whole.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().ok_or_else(|| Error::io("write", path, io::ErrorKind::InvalidInput))?;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let mut beside = std::ffi::OsString::from(".");
            beside.push(name);
            beside.push(format!(".{}-{count}.partial", std::process::id()));
            let draft = path.with_file_name(beside);
            match OpenOptions::new().write(true).create_new(true).open(&draft) {
                Ok(file) => return Ok(Self { file, written: 0, place: path.to_owned(), draft: Some(draft) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(Error::io("create", path, cause)),
            }
        }
    }

    /// Writes bytes, and says what could not be written.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|cause| Error::io("write", &self.place, cause))
    }

    /// Writes a file of this size from its start: within the kernel where it can, shared where the file system can.
    pub(crate) fn put_file(&mut self, file: &mut File, size: u64) -> Result<()> {
        let place = self.place.clone();
        let failed = |cause: io::Error| Error::io("write", &place, cause);
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
            match rustix::fs::copy_file_range(&*file, None, &self.file, None, most) {
                Ok(0) => break,
                Ok(copied) => {
                    left -= copied as u64;
                    self.written += copied as u64;
                }
                Err(rustix::io::Errno::NOSPC) => return Err(failed(io::ErrorKind::StorageFull.into())),
                // Pipes, other file systems, old kernels: read and write.
                Err(_) => break,
            }
        }
        let rest = copy(&mut file.take(left), self).map_err(failed)?;
        match rest == left {
            true => Ok(()),
            false => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Puts a file into its place; tells how many bytes were written.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.file.flush().map_err(|cause| Error::io("write", &self.place, cause))?;
        if let Some(draft) = self.draft.take()
            && let Err(cause) = fs::rename(&draft, &self.place)
        {
            let _ = fs::remove_file(&draft);
            return Err(Error::io("write", &self.place, cause));
        }
        Ok(self.written)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            let _ = fs::remove_file(draft);
        }
    }
}

/// Bytes of one named file.
pub(crate) enum Content<'a> {
    Bytes(&'a [u8]),
    File(File, u64),
    /// Written by a function that is given where to; so many bytes.
    Made(u64, &'a dyn Fn(&mut Output) -> Result<()>),
}

impl Content<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) | Self::Made(size, _) => *size,
        }
    }

    fn write(self, output: &mut Output) -> Result<()> {
        match self {
            Self::Bytes(bytes) => output.put(bytes),
            Self::File(mut file, size) => output.put_file(&mut file, size),
            Self::Made(_, make) => make(output),
        }
    }
}

/// A set of named files: an archive or a directory.
pub(crate) enum Folder {
    Archive(Output),
    Dir { path: PathBuf, written: u64 },
}

impl Folder {
    /// An archive, or a directory, which is made where it is not there.
    pub(crate) fn open(to: &To, as_dir: bool) -> Result<Self> {
        match to {
            To::Path(path) if as_dir => {
                fs::create_dir_all(path).map_err(|cause| Error::io("create directory", path, cause))?;
                Ok(Self::Dir { path: path.clone(), written: 0 })
            }
            To::Stdout if as_dir => {
                Err(Error::io("create directory", Path::new("-"), io::ErrorKind::InvalidInput))
            }
            _ => Ok(Self::Archive(Output::open(to)?)),
        }
    }

    /// Adds a directory.
    pub(crate) fn dir(&mut self, name: &str) -> Result<()> {
        match self {
            Self::Archive(output) => {
                output.put(archive::header(&format!("{name}/"), EntryType::Directory, 0o755, 0).as_bytes())
            }
            Self::Dir { path, .. } => {
                let path = path.join(name);
                fs::create_dir_all(&path).map_err(|cause| Error::io("create directory", &path, cause))
            }
        }
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: Content<'_>) -> Result<()> {
        let size = content.size();
        match self {
            Self::Archive(output) => {
                output.put(archive::header(name, EntryType::Regular, mode, size).as_bytes())?;
                content.write(output)?;
                output.put(archive::padding(size))
            }
            Self::Dir { path, written } => {
                let mut output = Output::beside(&path.join(name))?;
                content.write(&mut output)?;
                *written += output.finish()?;
                Ok(())
            }
        }
    }

    /// The bytes of a file that a directory has already.
    pub(crate) fn present(&self, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Archive(_) => None,
            Self::Dir { path, .. } => fs::read(path.join(name)).ok(),
        }
    }

    /// Whether a directory has a file of this name and size already.
    pub(crate) fn has(&self, name: &str, size: u64) -> bool {
        match self {
            Self::Archive(_) => false,
            Self::Dir { path, .. } => {
                fs::metadata(path.join(name)).is_ok_and(|meta| meta.is_file() && meta.len() == size)
            }
        }
    }

    /// Ends it; tells how many bytes were written.
    pub(crate) fn finish(self) -> Result<u64> {
        match self {
            Self::Archive(mut output) => {
                output.put(&archive::END)?;
                output.finish()
            }
            Self::Dir { written, .. } => Ok(written),
        }
    }
}

#[cfg(test)]
mod tests;
