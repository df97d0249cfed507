//! The work itself, done as plainly as can be: what no builder can be much faster than.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result};
use libdeflater::{CompressionLvl, Compressor};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use sha2::{Digest, Sha256};

/// Gzip members of this size are what parallel compressors make.
const CHUNK: usize = 1 << 20;

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Lists every folder below `dir` and asks for the metadata of every entry, on all cores. The entries seen.
pub(crate) fn stat_walk(dir: &Path) -> Result<usize> {
    // Folders waiting, and how many threads may still add some.
    let queue = Mutex::new((vec![dir.to_owned()], 0usize));
    let results: Vec<Result<usize>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(|| walk_some(&queue))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a walker does not panic")).collect()
    });
    results.into_iter().sum()
}

fn walk_some(queue: &Mutex<(Vec<PathBuf>, usize)>) -> Result<usize> {
    let mut seen = 0;
    loop {
        let folder = {
            let mut queue = queue.lock().expect("no walker panics with the lock");
            match (queue.0.pop(), queue.1) {
                (Some(folder), _) => {
                    queue.1 += 1;
                    folder
                }
                (None, 0) => return Ok(seen),
                (None, _) => {
                    drop(queue);
                    thread::yield_now();
                    continue;
                }
            }
        };
        let below = stat_folder(&folder, &mut seen);
        let mut queue = queue.lock().expect("no walker panics with the lock");
        queue.1 -= 1;
        queue.0.extend(below?);
    }
}

fn stat_folder(folder: &Path, seen: &mut usize) -> Result<Vec<PathBuf>> {
    let name = || format!("cannot list `{}`", folder.display());
    let handle = rustix::fs::openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
        .with_context(name)?;
    let mut below = Vec::new();
    for entry in Dir::read_from(&handle).with_context(name)? {
        let entry = entry.with_context(name)?;
        let file = entry.file_name();
        if file == c"." || file == c".." {
            continue;
        }
        let stat = rustix::fs::statat(&handle, file, AtFlags::SYMLINK_NOFOLLOW).with_context(name)?;
        *seen += 1;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            below.push(folder.join(file.to_string_lossy().as_ref()));
        }
    }
    Ok(below)
}

/// Reads every file once, hashes the stream with SHA-256 and writes it to `dest`, on one thread.
pub(crate) fn read_hash_write(files: &[PathBuf], dest: &Path) -> Result<()> {
    let mut out = File::create(dest).with_context(|| format!("cannot make `{}`", dest.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    for path in files {
        let mut file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        loop {
            let length =
                file.read(&mut buffer).with_context(|| format!("cannot read `{}`", path.display()))?;
            if length == 0 {
                break;
            }
            hash.update(&buffer[..length]);
            out.write_all(&buffer[..length]).with_context(|| format!("cannot write `{}`", dest.display()))?;
        }
    }
    std::hint::black_box(hash.finalize());
    fs::remove_file(dest).with_context(|| format!("cannot remove `{}`", dest.display()))
}

/// The files as one stream, a chunk at a time.
struct Stream<'a> {
    files: std::slice::Iter<'a, PathBuf>,
    open: Option<File>,
}

impl Stream<'_> {
    fn next_chunk(&mut self) -> Result<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            let Some(file) = &mut self.open else {
                let Some(path) = self.files.next() else { break };
                self.open =
                    Some(File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?);
                continue;
            };
            let room = (CHUNK - chunk.len()) as u64;
            if file.take(room).read_to_end(&mut chunk).context("cannot read a file of the context")? == 0 {
                self.open = None;
            }
        }
        Ok(chunk)
    }
}

/// Reads every file once, compresses (gzip, level 6) and hashes both sides, on all cores. The compressed size.
pub(crate) fn read_compress_hash(files: &[PathBuf]) -> Result<usize> {
    let stream = Mutex::new(Stream { files: files.iter(), open: None });
    let results: Vec<Result<usize>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores()).map(|_| scope.spawn(|| compress_some(&stream))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a compressor does not panic")).collect()
    });
    results.into_iter().sum()
}

fn compress_some(stream: &Mutex<Stream<'_>>) -> Result<usize> {
    let mut compressor = Compressor::new(CompressionLvl::new(6).expect("6 is a level of gzip"));
    let mut packed = vec![0; compressor.gzip_compress_bound(CHUNK)];
    let (mut plain_hash, mut packed_hash) = (Sha256::new(), Sha256::new());
    let mut total = 0;
    loop {
        let chunk = stream.lock().expect("no compressor panics with the lock").next_chunk()?;
        if chunk.is_empty() {
            std::hint::black_box((plain_hash.finalize(), packed_hash.finalize()));
            return Ok(total);
        }
        let length = compressor.gzip_compress(&chunk, &mut packed).context("cannot compress a chunk")?;
        plain_hash.update(&chunk);
        packed_hash.update(&packed[..length]);
        total += length;
    }
}
