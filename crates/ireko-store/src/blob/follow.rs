//! A blob that is read while it is written.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How far a blob is written.
#[derive(Clone, Copy, Debug)]
struct State {
    size: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Whole,
    GivenUp,
}

#[derive(Debug)]
pub(super) struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

impl Growth {
    /// Of a blob of which so much is written.
    pub(super) fn from(size: u64) -> Self {
        Self { state: Mutex::new(State { size, end: None }), changed: Condvar::new() }
    }

    pub(super) fn grow(&self, by: usize) {
        self.lock().size += by as u64;
        self.changed.notify_all();
    }

    /// Nothing more will be written.
    pub(super) fn whole(&self) {
        self.end(End::Whole);
    }

    /// The blob will never be whole, unless it is already.
    pub(super) fn give_up(&self) {
        self.end(End::GivenUp);
    }

    fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something after this position, or nothing will be.
    fn after(&self, position: u64) -> State {
        let mut state = self.lock();
        while state.size <= position && state.end.is_none() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        *state
    }
}

/// Reads a blob from its first byte while it is written. At the end of what is written it waits for more; where the
/// blob is given up, it fails. A clone begins again.
#[derive(Debug)]
pub struct Follower {
    file: Arc<File>,
    growth: Arc<Growth>,
    position: u64,
}

impl Follower {
    pub(super) fn new(file: File, growth: Arc<Growth>) -> Self {
        Self { file: Arc::new(file), growth, position: 0 }
    }
}

impl Clone for Follower {
    fn clone(&self) -> Self {
        Self { file: Arc::clone(&self.file), growth: Arc::clone(&self.growth), position: 0 }
    }
}

impl Read for Follower {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let State { size, end } = self.growth.after(self.position);
        if matches!(end, Some(End::GivenUp)) {
            return Err(io::Error::other("it was given up while it was written"));
        }
        let there = usize::try_from(size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let room_there = room.len().min(there);
        let read = self.file.read_at(&mut room[..room_there], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{home, store};
    use std::io::Write;

    #[test]
    fn what_is_written_is_read_at_once() {
        let home = home();
        let store = store(home.path());
        let mut draft = store.blob_draft().unwrap();
        draft.write_all(b"before ").unwrap();
        let mut follower = draft.follow().unwrap();
        let mut piece = [0; 64];
        assert_eq!(follower.read(&mut piece).unwrap(), 7);
        let reading = std::thread::spawn(move || {
            let mut rest = Vec::new();
            follower.read_to_end(&mut rest).map(|_| (follower, rest))
        });
        draft.write_all(b"and after").unwrap();
        draft.publish(None).unwrap();
        let (follower, rest) = reading.join().unwrap().unwrap();
        assert_eq!(rest, b"and after");
        let mut all = Vec::new();
        follower.clone().read_to_end(&mut all).unwrap();
        assert_eq!(all, b"before and after");
    }

    #[test]
    fn a_blob_that_is_given_up_has_no_end() {
        let home = home();
        let store = store(home.path());
        let mut draft = store.blob_draft().unwrap();
        draft.write_all(b"half").unwrap();
        let mut follower = draft.follow().unwrap();
        drop(draft);
        assert!(follower.read_to_end(&mut Vec::new()).is_err());
    }
}
