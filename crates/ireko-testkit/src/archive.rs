//! Tar streams made entry by entry.

use std::io::Write;

use tar::{Builder, EntryType, Header};

/// The time every entry gets.
const TIME: u64 = 1_500_000_000;

/// A tar stream in memory. Owner 0:0, directories 0755, files 0644, one fixed time, unless said otherwise.
pub struct TarStream {
    builder: Builder<Vec<u8>>,
    owner: (u64, u64),
    mode: Option<u32>,
    time: u64,
}

impl Default for TarStream {
    fn default() -> Self {
        Self { builder: Builder::new(Vec::new()), owner: (0, 0), mode: None, time: TIME }
    }
}

impl TarStream {
    /// A stream without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries from here on belong to this user and group.
    #[must_use]
    pub fn owner(mut self, user: u64, group: u64) -> Self {
        self.owner = (user, group);
        self
    }

    /// The next entry has this mode.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Entries from here on have this modification time.
    #[must_use]
    pub fn time(mut self, seconds: u64) -> Self {
        self.time = seconds;
        self
    }

    /// A regular file.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, path, None, content.as_ref())
    }

    /// A directory.
    #[must_use]
    pub fn dir(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, None, b"")
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, Some(target), b"")
    }

    /// A hard link to an earlier entry.
    #[must_use]
    pub fn hardlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, Some(target), b"")
    }

    /// A named pipe.
    #[must_use]
    pub fn fifo(self, path: &str) -> Self {
        self.entry(EntryType::Fifo, path, None, b"")
    }

    /// A whiteout: this path of a lower layer is gone.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let marker = if folder.is_empty() { format!(".wh.{name}") } else { format!("{folder}/.wh.{name}") };
        self.entry(EntryType::Regular, &marker, None, b"")
    }

    /// An opaque mark: nothing of lower layers is seen in this directory.
    #[must_use]
    pub fn opaque(self, path: &str) -> Self {
        self.entry(EntryType::Regular, &format!("{path}/.wh..wh..opq"), None, b"")
    }

    /// PAX records for the next entry, such as `SCHILY.xattr.user.x`.
    #[must_use]
    pub fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.builder.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    /// An entry of any type. The name is written as it is, however dangerous: `../x` and `/x` stay.
    #[must_use]
    pub fn entry(mut self, kind: EntryType, path: &str, target: Option<&str>, content: &[u8]) -> Self {
        let usual = if kind == EntryType::Directory { 0o755 } else { 0o644 };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(self.mode.take().unwrap_or(usual));
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(self.time);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        put(&mut gnu.name, path);
        put(&mut gnu.linkname, target.unwrap_or_default());
        header.set_cksum();
        self.builder.append(&header, content).unwrap();
        self
    }

    /// The bytes of the whole stream.
    pub fn bytes(self) -> Vec<u8> {
        self.builder.into_inner().unwrap()
    }

    /// The bytes of the whole stream, compressed with gzip.
    pub fn gzip(self) -> Vec<u8> {
        gzip(&self.bytes())
    }
}

fn put(field: &mut [u8; 100], text: &str) {
    assert!(text.len() <= field.len(), "test paths are short: `{text}`");
    field[..text.len()].copy_from_slice(text.as_bytes());
}

/// Compresses with gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
