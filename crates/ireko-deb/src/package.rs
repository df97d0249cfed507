//! A package file: an `ar` archive of `debian-binary`, `control.tar` and `data.tar` (deb(5)).

mod scripts;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ireko_layer::archive::Bounds;

use crate::index::Stanza;
pub use scripts::{Deed, deeds};

/// What the control part may hold: a package of 20,000 files has 2 MB of it.
const CONTROL_MAX: u64 = 64 << 20;
/// More members than these has no package.
const MEMBERS_MAX: usize = 64;
/// What decompressing may take: `xz -9` needs 65 MiB.
const MEMORY_MAX: u64 = 256 << 20;
/// What its files may be long beside what its control file says of them: in all, and for each byte that is packed.
const PLAIN_MIN: u64 = 64 << 20;
const PLAIN_EACH: u64 = 256;
/// That file is of whoever made the package, and believed no further than this for each packed byte.
const ESTIMATE_EACH: u64 = 8192;

/// Why a file is no package that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It cannot be read.
    #[error("cannot read package `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It can, and is none.
    #[error("`{}` is no Debian package: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// One member of the control part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// An open package file.
#[derive(Clone, Debug)]
pub struct Package {
    file: Arc<File>,
    path: PathBuf,
    control: BTreeMap<String, ControlFile>,
    data: Span,
    built: i64,
}

/// Where a member of the archive lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    begin: u64,
    length: u64,
}

impl Package {
    /// Opens a package file and reads its control part.
    ///
    /// # Errors
    /// The file cannot be read, or is no package of format 2.
    pub fn open(path: &Path) -> Result<Self, PackageError> {
        let reading = |cause| PackageError::Read { path: path.to_owned(), cause };
        let malformed = |problem: String| PackageError::Malformed { path: path.to_owned(), problem };
        let file = Arc::new(File::open(path).map_err(reading)?);
        let members = members(&file).map_err(|cause| match cause.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => malformed(cause.to_string()),
            _ => reading(cause),
        })?;
        // What begins with an underscore may stand anywhere and is not for us.
        let mut members = members.iter().filter(|(name, _)| !name.starts_with('_'));
        let version = match members.next() {
            Some((name, span)) if name == "debian-binary" => text(&file, *span).map_err(reading)?,
            _ => return Err(malformed("its first member is not `debian-binary`".to_owned())),
        };
        if !version.starts_with("2.") {
            let version = version.lines().next().unwrap_or_default();
            return Err(malformed(format!("its format is `{version}`, and 2.0 is read here")));
        }
        let mut member = |wanted: &str| match members.next() {
            Some((name, span)) if name == wanted || name.starts_with(&format!("{wanted}.")) => Ok(*span),
            Some((name, _)) => Err(malformed(format!("`{name}` stands where `{wanted}` has to be"))),
            None => Err(malformed(format!("it has no `{wanted}`"))),
        };
        let (control, data) = (member("control.tar")?, member("data.tar")?);
        let control = control_files(Section { file: file.clone(), at: control.begin, left: control.length })
            .map_err(|cause| malformed(format!("its control part is damaged: {cause}")))?;
        if !control.contains_key("control") {
            return Err(malformed("its control part has no `control`".to_owned()));
        }
        let built = built(&file).map_err(reading)?;
        Ok(Self { file, path: path.to_owned(), control, data, built })
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A member of the control part: `control`, `md5sums`, `conffiles`, `preinst` and so on.
    pub fn control_file(&self, name: &str) -> Option<&ControlFile> {
        self.control.get(name)
    }

    /// The names of all members of the control part, sorted.
    pub fn control_files(&self) -> impl Iterator<Item = (&str, &ControlFile)> {
        self.control.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// What the package says of itself.
    pub fn control(&self) -> std::borrow::Cow<'_, str> {
        self.control.get("control").map_or_else(Default::default, |file| String::from_utf8_lossy(&file.bytes))
    }

    /// What it calls itself.
    pub fn name(&self) -> String {
        Stanza::new(&self.control()).get("Package").unwrap_or_default().to_owned()
    }

    /// When it was built, in seconds since 1970, by its archive: none of its files is later where dpkg-deb made it.
    pub fn built(&self) -> i64 {
        self.built
    }

    /// What reading its files may take. Of how many bytes they are, the control file has an estimate.
    pub fn bounds(&self) -> Bounds {
        let estimate =
            Stanza::new(&self.control()).get("Installed-Size").and_then(|size| size.parse::<u64>().ok());
        let estimate = estimate.unwrap_or(0).saturating_mul(2 << 10);
        let estimate = estimate.min(self.data.length.saturating_mul(ESTIMATE_EACH));
        let plain =
            PLAIN_MIN.saturating_add(self.data.length.saturating_mul(PLAIN_EACH)).saturating_add(estimate);
        Bounds { memory: MEMORY_MAX, plain }
    }

    /// The package's files: a tar, compressed as it is in the package.
    pub fn data(&self) -> impl Read + Send + use<> {
        Section { file: self.file.clone(), at: self.data.begin, left: self.data.length }
    }
}

/// A part of a file, read without moving the file's own position.
#[derive(Debug)]
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let wanted = room.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut room[..wanted], self.at)?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// The members of an `ar` archive (deb(5): common format, no long names).
fn members(file: &File) -> io::Result<Vec<(String, Span)>> {
    const MAGIC: &[u8] = b"!<arch>\n";
    const HEADER: usize = 60;
    let wrong = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    let length = file.metadata()?.len();
    let mut magic = [0; MAGIC.len()];
    file.read_exact_at(&mut magic, 0).map_err(|_| wrong("it is too short".to_owned()))?;
    if magic != MAGIC {
        return Err(wrong("it is no `ar` archive".to_owned()));
    }
    let mut members = Vec::new();
    let mut at = MAGIC.len() as u64;
    while at < length {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, at)
            .map_err(|_| wrong(format!("it ends at byte {length}, inside a header")))?;
        if &header[58..] != b"`\n" {
            return Err(wrong(format!("there is no member at byte {at}")));
        }
        let field = |from: usize, to: usize| String::from_utf8_lossy(&header[from..to]).trim().to_owned();
        let name = field(0, 16).trim_end_matches('/').to_owned();
        let size = field(48, 58);
        let span = Span {
            begin: at + HEADER as u64,
            length: size.parse().map_err(|_| wrong(format!("member `{name}` has the size `{size}`")))?,
        };
        let end = span.begin.checked_add(span.length).filter(|end| *end <= length);
        let end = end.ok_or_else(|| wrong(format!("it ends at byte {length}, inside `{name}`")))?;
        if members.len() == MEMBERS_MAX {
            return Err(wrong(format!("it has more than {MEMBERS_MAX} members")));
        }
        members.push((name, span));
        at = end + end % 2;
    }
    Ok(members)
}

/// The time of the first member.
fn built(file: &File) -> io::Result<i64> {
    let mut date = [0; 12];
    file.read_exact_at(&mut date, 8 + 16)?;
    Ok(String::from_utf8_lossy(&date).trim().parse().unwrap_or(0))
}

fn text(file: &File, span: Span) -> io::Result<String> {
    let mut bytes = vec![0; usize::try_from(span.length.min(64)).unwrap_or_default()];
    file.read_exact_at(&mut bytes, span.begin)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files of the control part, by their names.
fn control_files(packed: Section) -> io::Result<BTreeMap<String, ControlFile>> {
    let plain = ireko_layer::decompress_within(packed, MEMORY_MAX).map_err(io::Error::other)?;
    let mut archive = tar::Archive::new(plain.take(CONTROL_MAX));
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.trim_start_matches("./");
        if name.is_empty() || name.contains('/') {
            return Err(io::Error::other(format!("`{path}` is no name of a control file")));
        }
        let mode = entry.header().mode()? & 0o7777;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name.to_owned(), ControlFile { bytes, mode });
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
