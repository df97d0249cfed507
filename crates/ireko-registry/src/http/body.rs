//! The content of an answer as a reader.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::HttpError;

/// Pieces that may wait for a slow reader; hyper hands out at most some hundred KiB in one.
const QUEUE: usize = 8;

/// The content of an answer. Reading blocks; dropping it early closes or resets the stream.
#[derive(Debug)]
pub struct Body {
    pieces: mpsc::Receiver<Result<Bytes, HttpError>>,
    piece: Bytes,
}

impl Body {
    /// Starts fetching on the current runtime.
    pub(super) fn pump(mut content: Incoming, host: String, idle: Duration) -> Self {
        let (sender, pieces) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            loop {
                let piece = match timeout(idle, content.frame()).await {
                    Ok(None) => return,
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => Ok(data),
                        Err(_trailers) => continue,
                    },
                    Ok(Some(Err(cause))) => {
                        Err(HttpError::Broken { host: host.clone(), problem: super::error::explain(&cause) })
                    }
                    Err(_late) => {
                        Err(HttpError::Timeout { host: host.clone(), awaited: "more data", patience: idle })
                    }
                };
                let last = piece.is_err();
                if sender.send(piece).await.is_err() || last {
                    return;
                }
            }
        });
        Self { pieces, piece: Bytes::new() }
    }

    /// The next bytes, in pieces as they came; nothing at the end.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            if !self.piece.is_empty() {
                return Ok(Some(std::mem::take(&mut self.piece)));
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(None),
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
