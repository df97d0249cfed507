//! The stat cache: hashes of local files that need not be read again.
//!
//! One binary file a context, read by one call: a fixed-size entry for each path, sorted by a hash of the path, so that
//! a look-up touches one or two cache lines. An entry is believed only where device, inode, size, modification and
//! change time are all as they were, and only where the change time is older than the moment the files began to be
//! hashed: a file changed twice within one tick of the clock would look the same (git calls such entries racy).

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ireko_layer::Time;
use ireko_oci::FileHash;

use crate::disk;
use crate::error::Result;
use crate::seal::{self, STAT};
use crate::store::Store;

/// How much older than the start a time has to be to be believed, in seconds: two are the coarsest clock of a file
/// system in use (FAT), and cover a server's clock that is a little behind.
const MARGIN: i64 = 2;

/// Bytes of one entry.
const ENTRY: usize = 88;

/// What the kernel says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Length.
    pub size: u64,
    /// Modification time.
    pub mtime: Time,
    /// Change time.
    pub ctime: Time,
}

/// The known hashes of one context's files. May be asked and told from any thread.
#[derive(Debug)]
pub struct StatCache {
    path: PathBuf,
    started: Time,
    table: Table,
    asked: Vec<AtomicBool>,
    fresh: Mutex<Vec<Entry>>,
}

impl StatCache {
    /// Loads what is known of the context that `identity` names. `started` is the time now: what changes after it (or
    /// a little before) is not remembered.
    pub fn load(store: &Store, identity: &[u8], started: Time) -> Self {
        let path = store.layout.stat(identity);
        let table = Table::read(store, &path);
        let asked = std::iter::repeat_with(|| AtomicBool::new(false)).take(table.len()).collect();
        Self { path, started, table, asked, fresh: Mutex::new(Vec::new()) }
    }

    /// The hash of the file at `path` (relative to the context), if it is known that it did not change.
    pub fn get(&self, path: &[u8], stat: &FileStat) -> Option<FileHash> {
        let print = print_of(path);
        let at = self.table.find(print)?;
        let entry = self.table.entry(at);
        if entry[..56] != head(print, stat) {
            return None;
        }
        self.asked[at].store(true, Ordering::Relaxed);
        let mut hash = [0; 32];
        hash.copy_from_slice(&entry[56..]);
        Some(FileHash(hash))
    }

    /// Notes the hash of a file that was read whole; `stat` as it was before reading, and still after.
    pub fn put(&self, path: &[u8], stat: &FileStat, hash: FileHash) {
        let oldest = self.started.secs.saturating_sub(MARGIN);
        if stat.ctime.secs >= oldest || stat.mtime.secs >= oldest {
            return;
        }
        let print = print_of(path);
        let mut entry = [0; ENTRY];
        entry[..56].copy_from_slice(&head(print, stat));
        entry[56..].copy_from_slice(&hash.0);
        self.fresh
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(Entry { print, bytes: entry });
    }

    /// Writes what is new; tells whether there was anything. Processes that save the same context at the same time
    /// lose at most each other's news.
    pub fn save(&self, store: &Store) -> Result<bool> {
        let fresh = self.fresh.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if fresh.is_empty() {
            return Ok(false);
        }
        let asked = self.asked.iter().filter(|asked| asked.load(Ordering::Relaxed)).count();
        // From the weakest to the strongest: what another process saved meanwhile counts, what nobody asked for stays
        // while it is not the bulk.
        let mut entries = Vec::new();
        if self.table.len() <= 3 * (asked + fresh.len()) + 1000 {
            entries.extend(Table::read(store, &self.path).entries());
        }
        let ours = self.table.entries().zip(&self.asked);
        entries.extend(ours.filter(|(_, asked)| asked.load(Ordering::Relaxed)).map(|(entry, _)| entry));
        entries.extend(fresh.iter().copied());
        // A stable sort: of equal ones the strongest is the last.
        entries.sort_by_key(|entry| entry.print);
        let mut body = Vec::with_capacity(entries.len() * ENTRY);
        for (at, entry) in entries.iter().enumerate() {
            if entries.get(at + 1).is_none_or(|next| next.print != entry.print) {
                body.extend_from_slice(&entry.bytes);
            }
        }
        store.write_sealed(STAT, &self.path, &body)?;
        Ok(true)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    print: u64,
    bytes: [u8; ENTRY],
}

/// All of an entry that has to be equal: the path's hash and what the kernel says.
fn head(print: u64, stat: &FileStat) -> [u8; 56] {
    let mut head = [0; 56];
    let words = [print, stat.dev, stat.ino, stat.size, stat.mtime.secs as u64, stat.ctime.secs as u64];
    for (at, word) in words.into_iter().enumerate() {
        head[8 * at..8 * at + 8].copy_from_slice(&word.to_le_bytes());
    }
    head[48..52].copy_from_slice(&stat.mtime.nanos.to_le_bytes());
    head[52..].copy_from_slice(&stat.ctime.nanos.to_le_bytes());
    head
}

/// The file's bytes, and where in them to begin to look.
#[derive(Debug, Default)]
struct Table {
    bytes: Vec<u8>,
    /// Where the entries begin, after the seal's line.
    body: usize,
    /// For each value of the leading bits of a path's hash, the first entry with it.
    starts: Vec<u32>,
    shift: u32,
}

impl Table {
    fn read(store: &Store, path: &std::path::Path) -> Self {
        let bytes = match disk::read(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Self::default(),
            Err(error) => {
                store.warn(path, &error.to_string());
                return Self::default();
            }
        };
        match seal::body_offset(STAT, &bytes).and_then(|body| Self::new(bytes, body)) {
            Ok(table) => table,
            Err(problem) => {
                store.warn(path, problem);
                Self::default()
            }
        }
    }

    fn new(bytes: Vec<u8>, body: usize) -> std::result::Result<Self, &'static str> {
        let length = bytes.len() - body;
        let count = length / ENTRY;
        if !length.is_multiple_of(ENTRY) || u32::try_from(count).is_err() {
            return Err("its length is wrong");
        }
        // About one entry a bucket.
        let bits = usize::BITS - count.leading_zeros();
        let mut table = Self { bytes, body, starts: vec![0; (1 << bits) + 1], shift: 64 - bits };
        let mut last = 0;
        for at in 0..count {
            let print = table.print(at);
            if print < last {
                return Err("its entries are not sorted");
            }
            last = print;
            let bucket = table.bucket(print) + 1;
            table.starts[bucket] = at as u32 + 1;
        }
        for bucket in 1..table.starts.len() {
            table.starts[bucket] = table.starts[bucket].max(table.starts[bucket - 1]);
        }
        Ok(table)
    }

    fn len(&self) -> usize {
        (self.bytes.len() - self.body) / ENTRY
    }

    fn entry(&self, at: usize) -> &[u8] {
        let from = self.body + at * ENTRY;
        &self.bytes[from..from + ENTRY]
    }

    fn print(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.entry(at)[..8]);
        u64::from_le_bytes(word)
    }

    fn bucket(&self, print: u64) -> usize {
        // Shifting by all 64 bits is no shift: then there is one bucket.
        print.checked_shr(self.shift).unwrap_or(0) as usize
    }

    fn find(&self, print: u64) -> Option<usize> {
        let bucket = self.bucket(print);
        let (from, to) = (*self.starts.get(bucket)?, *self.starts.get(bucket + 1)?);
        (from as usize..to as usize).find(|at| self.print(*at) == print)
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.len()).map(|at| {
            let mut entry = [0; ENTRY];
            entry.copy_from_slice(self.entry(at));
            Entry { print: self.print(at), bytes: entry }
        })
    }
}

/// A hash of a path: fast, the same in every process. Two paths that meet in it do no harm, since the inode has to be
/// the same too.
fn print_of(path: &[u8]) -> u64 {
    // Odd constants with well mixed bits, as multiplicative hashes want them: digits of pi.
    const A: u64 = 0x243f_6a88_85a3_08d3;
    const B: u64 = 0x1319_8a2e_0370_7345;
    let mix = |left: u64, right: u64| {
        let product = u128::from(left) * u128::from(right);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mut hash = mix(A ^ path.len() as u64, B);
    let mut chunks = path.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word), B | 1);
    }
    let mut word = [0; 8];
    word[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(hash ^ u64::from_le_bytes(word), A | 1)
}

#[cfg(test)]
mod tests;
