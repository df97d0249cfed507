//! gzip as a row of independent members of 1 MiB, compressed by several threads and written in order.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

/// Plain bytes of one member.
/// Format break if changed: the same layer would get another digest.
const MEMBER: usize = 1 << 20;

type Job = (Vec<u8>, Sender<io::Result<Done>>);
/// A member, and the buffer its bytes came in.
type Done = (Vec<u8>, Vec<u8>);

/// Compresses what is written to it.
pub(super) struct Members<W: Write> {
    out: W,
    level: u8,
    threads: usize,
    buffer: Vec<u8>,
    free: Vec<Vec<u8>>,
    waiting: VecDeque<Receiver<io::Result<Done>>>,
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    any: bool,
}

impl<W: Write> Members<W> {
    pub(super) fn new(level: u8, threads: usize, out: W) -> Self {
        Self {
            out,
            level,
            threads,
            buffer: Vec::with_capacity(MEMBER),
            free: Vec::new(),
            waiting: VecDeque::new(),
            jobs: None,
            workers: Vec::new(),
            any: false,
        }
    }

    /// Hands the full buffer to a worker; when enough are waiting, writes the first.
    fn ship(&mut self) -> io::Result<()> {
        let empty = self.free.pop().unwrap_or_else(|| Vec::with_capacity(MEMBER));
        let full = std::mem::replace(&mut self.buffer, empty);
        self.any = true;
        let jobs = match &self.jobs {
            Some(jobs) => jobs,
            None => {
                let (jobs, todo) = sync_channel(self.threads);
                let todo = Arc::new(Mutex::new(todo));
                for _ in 0..self.threads {
                    let (todo, level) = (Arc::clone(&todo), self.level);
                    let worker = std::thread::Builder::new()
                        .name("gzip".to_owned())
                        .spawn(move || work(&todo, level))?;
                    self.workers.push(worker);
                }
                self.jobs.insert(jobs)
            }
        };
        let (answer, result) = channel();
        jobs.send((full, answer)).map_err(|_| gone())?;
        self.waiting.push_back(result);
        if self.waiting.len() > 2 * self.threads { self.write_first() } else { Ok(()) }
    }

    fn write_first(&mut self) -> io::Result<()> {
        if let Some(result) = self.waiting.pop_front() {
            let (member, mut buffer) = result.recv().map_err(|_| gone())??;
            self.out.write_all(&member)?;
            buffer.clear();
            self.free.push(buffer);
        }
        Ok(())
    }

    /// Ends the stream; an empty one is one empty member.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.any {
            // Small enough not to need a thread.
            let mut compressor = compressor(self.level);
            self.out.write_all(&member(&mut compressor, &self.buffer, &mut Vec::new())?)?;
            return Ok(self.out);
        }
        if !self.buffer.is_empty() {
            self.ship()?;
        }
        while !self.waiting.is_empty() {
            self.write_first()?;
        }
        drop(self.jobs.take());
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| gone())?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == MEMBER {
            self.ship()?;
        }
        let count = bytes.len().min(MEMBER - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(todo: &Mutex<Receiver<Job>>, level: u8) {
    let mut compressor = compressor(level);
    let mut room = Vec::new();
    loop {
        // The lock is held while waiting: the others have nothing to do either.
        let job = match todo.lock() {
            Ok(todo) => todo.recv(),
            Err(_) => return,
        };
        let Ok((bytes, answer)) = job else { return };
        let result = member(&mut compressor, &bytes, &mut room).map(|member| (member, bytes));
        // If nobody waits any more, the stream was given up.
        let _ = answer.send(result);
    }
}

fn compressor(level: u8) -> Compressor {
    let level = CompressionLvl::new(i32::from(level)).unwrap_or_else(|_| CompressionLvl::default());
    Compressor::new(level)
}

/// One member; `room` is kept from one to the next, so that the compressor's worst case is not allocated each time.
fn member(compressor: &mut Compressor, bytes: &[u8], room: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    room.resize(compressor.gzip_compress_bound(bytes.len()).max(room.len()), 0);
    let length = compressor.gzip_compress(bytes, room).map_err(io::Error::other)?;
    Ok(room[..length].to_vec())
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended early")
}
