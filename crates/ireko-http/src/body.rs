//! The content of an answer as a reader.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Aborted, HttpError, unless_aborted};

/// Pieces that may wait for a slow reader; hyper hands out at most some hundred KiB in one.
const QUEUE: usize = 8;

/// The content of an answer. Reading blocks; dropping it early closes or resets the stream.
#[derive(Debug)]
pub struct Body {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    ended: bool,
    host: String,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    /// The content is whole. A channel that closes without this was abandoned, and must not look like an end.
    End,
    Failed(HttpError),
}

impl Body {
    /// Starts fetching on the current runtime.
    pub(super) fn pump(content: Incoming, host: String, idle: Duration, aborted: Aborted) -> Self {
        let (sender, pieces) = mpsc::channel(QUEUE);
        let fetched = fetch(content, host.clone(), idle, sender.clone());
        tokio::spawn(async move {
            if unless_aborted(aborted, fetched).await.is_none() {
                // A reader that is gone, or that has enough to read, learns nothing from it.
                let _ = sender.try_send(Piece::Failed(HttpError::Aborted));
            }
        });
        Self { pieces, piece: Bytes::new(), ended: false, host }
    }

    /// The next bytes, in pieces as they came; nothing at the end.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            if !self.piece.is_empty() {
                return Ok(Some(std::mem::take(&mut self.piece)));
            }
            if self.ended {
                return Ok(None);
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.piece = bytes,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(error)) => return Err(error),
                None => {
                    let problem = "the transfer was abandoned".to_owned();
                    return Err(HttpError::Broken { host: self.host.clone(), problem });
                }
            }
        }
    }

    /// All bytes, if there are no more than `limit`.
    pub fn read_up_to(&mut self, limit: u64) -> Result<Option<Vec<u8>>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next_piece()? {
            if bytes.len() as u64 + piece.len() as u64 > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }
}

async fn fetch(mut content: Incoming, host: String, idle: Duration, sender: mpsc::Sender<Piece>) {
    loop {
        let piece = match timeout(idle, content.frame()).await {
            Ok(None) => Piece::End,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Piece::Bytes(data),
                Err(_trailers) => continue,
            },
            Ok(Some(Err(cause))) => Piece::Failed(HttpError::Broken {
                host: host.clone(),
                problem: super::error::explain(&cause),
            }),
            Err(_late) => {
                Piece::Failed(HttpError::Timeout { host: host.clone(), awaited: "more data", patience: idle })
            }
        };
        let is_last = !matches!(piece, Piece::Bytes(_));
        // A reader that is gone wants no more.
        if sender.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

impl Read for Body {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match self.next_piece().map_err(io::Error::other)? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = room.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut room[..count]);
        Ok(count)
    }
}
