//! Bytes on their way in or out, with SHA-256 computed on a thread of its own.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use ireko_oci::{Digest, Hasher};

/// Bytes that pass at a time: enough that threads meet seldom, little enough to stay in a core's cache.
pub(crate) const CHUNK: usize = 1 << 20;
/// Chunks that may wait for the hashing thread.
const WAITING: usize = 4;

type Chunk = (Vec<u8>, usize);

/// SHA-256 of what it is given; the thread starts with the second chunk, so that a small layer needs none.
#[derive(Default)]
struct Hashing {
    inline: Hasher,
    thread: Option<Thread>,
    chunks: u64,
}

impl Hashing {
    /// Hashes a full chunk and gives an empty one for it.
    fn take(&mut self, chunk: Arc<Chunk>) -> io::Result<Vec<u8>> {
        let back = self.give(chunk)?;
        let empty = back.or_else(|| self.thread.as_ref().and_then(|(_, empty, _)| empty.try_recv().ok()));
        Ok(empty.unwrap_or_else(|| vec![0; CHUNK]))
    }

    /// Hashes a full chunk; gives its buffer back where that is done at once and nobody else has it.
    fn give(&mut self, chunk: Arc<Chunk>) -> io::Result<Option<Vec<u8>>> {
        self.chunks += 1;
        if self.chunks == 1 {
            self.inline.update(&chunk.0[..chunk.1]);
            return Ok(Arc::try_unwrap(chunk).map(|(buffer, _)| buffer).ok());
        }
        let (jobs, ..) = match &mut self.thread {
            Some(thread) => thread,
            None => self.thread.insert(start(std::mem::take(&mut self.inline))?),
        };
        jobs.send(chunk).map_err(|_| gone())?;
        Ok(None)
    }

    /// The digest of all chunks and these last bytes, and their number.
    fn finish(self, rest: &[u8]) -> io::Result<(Digest, u64)> {
        let mut hasher = match self.thread {
            None => self.inline,
            Some((jobs, _, thread)) => {
                drop(jobs);
                thread.join().map_err(|_| gone())?
            }
        };
        hasher.update(rest);
        let size = hasher.size();
        Ok((hasher.finish(), size))
    }
}

type Thread = (SyncSender<Arc<Chunk>>, Receiver<Vec<u8>>, JoinHandle<Hasher>);

fn start(mut hasher: Hasher) -> io::Result<Thread> {
    let (jobs, todo) = sync_channel::<Arc<Chunk>>(WAITING);
    let (used, empty) = sync_channel(WAITING + 2);
    let thread = std::thread::Builder::new().name("sha256".to_owned()).spawn(move || {
        for chunk in todo {
            hasher.update(&chunk.0[..chunk.1]);
            if let Ok((buffer, _)) = Arc::try_unwrap(chunk) {
                // Nobody waits for it once the stream has ended.
                let _ = used.try_send(buffer);
            }
        }
        hasher
    })?;
    Ok((jobs, empty, thread))
}

fn gone() -> io::Error {
    io::Error::other("the hashing thread ended early")
}

/// Bytes on their way out: to any number of sinks, and hashed.
pub(crate) struct Output<'a> {
    sinks: Vec<&'a mut (dyn Write + Send)>,
    hashing: Hashing,
    buffer: Vec<u8>,
    filled: usize,
    spare: Option<Vec<u8>>,
}

impl<'a> Output<'a> {
    pub(crate) fn new() -> Self {
        Self {
            sinks: Vec::new(),
            hashing: Hashing::default(),
            buffer: vec![0; CHUNK],
            filled: 0,
            spare: None,
        }
    }

    pub(crate) fn add_sink(&mut self, sink: &'a mut (dyn Write + Send)) {
        self.sinks.push(sink);
    }

    /// Room to be filled, never empty.
    pub(crate) fn room(&mut self) -> io::Result<&mut [u8]> {
        if self.filled == self.buffer.len() {
            self.ship()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    /// So many bytes of the room were filled.
    pub(crate) fn filled(&mut self, count: usize) {
        self.filled += count;
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn ship(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let chunk = Arc::new((buffer, self.filled));
        self.filled = 0;
        if self.sinks.is_empty() {
            self.buffer = self.hashing.take(chunk)?;
            return Ok(());
        }
        self.buffer = match self.spare.take() {
            Some(buffer) => {
                self.hashing.give(Arc::clone(&chunk))?;
                buffer
            }
            None => self.hashing.take(Arc::clone(&chunk))?,
        };
        for sink in &mut self.sinks {
            sink.write_all(&chunk.0[..chunk.1])?;
        }
        // Where hashing was faster, the chunk comes back here.
        self.spare = Arc::try_unwrap(chunk).map(|(buffer, _)| buffer).ok();
        Ok(())
    }

    /// The digest of everything and its length.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        let rest = &self.buffer[..self.filled];
        for sink in &mut self.sinks {
            sink.write_all(rest)?;
            sink.flush()?;
        }
        self.hashing.finish(rest)
    }
}

/// Bytes on their way in, hashed as they are taken from the reader.
pub(crate) struct Input<R> {
    reader: R,
    hashing: Hashing,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, hashing: Hashing::default(), buffer: vec![0; CHUNK], at: 0, filled: 0 }
    }

    fn fill(&mut self) -> io::Result<bool> {
        if self.filled == self.buffer.len() {
            let buffer = std::mem::take(&mut self.buffer);
            self.buffer = self.hashing.take(Arc::new((buffer, self.filled)))?;
            (self.at, self.filled) = (0, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let count = result?;
                    self.filled += count;
                    return Ok(count > 0);
                }
            }
        }
    }

    /// Reads to the end; the digest of everything and its length.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        while self.fill()? {}
        self.hashing.finish(&self.buffer[..self.filled])
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.at == self.filled && !self.fill()? {
            return Ok(0);
        }
        let count = room.len().min(self.filled - self.at);
        room[..count].copy_from_slice(&self.buffer[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
