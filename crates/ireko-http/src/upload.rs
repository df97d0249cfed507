//! Content that is sent while it is read.

use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::{Client, HttpError, Request, Response};

/// Pieces that are read ahead of the connection, and their size.
const QUEUE: usize = 4;
const PIECE: usize = 256 << 10;

/// The content of a request.
pub(super) struct Content {
    /// What is at hand.
    piece: Bytes,
    /// Where more comes from.
    pieces: Option<mpsc::Receiver<Bytes>>,
    /// How many bytes are still to come, where that is known.
    left: Option<u64>,
    /// How many bytes were taken so far: whether a transfer gets on.
    taken: Arc<AtomicU64>,
}

impl Content {
    /// Content that is at hand.
    pub(super) fn whole(piece: Bytes) -> Self {
        let left = Some(piece.len() as u64);
        Self { piece, pieces: None, left, taken: Arc::default() }
    }

    /// Content that comes in pieces, of this length where it is known.
    fn streamed(pieces: mpsc::Receiver<Bytes>, left: Option<u64>) -> Self {
        Self { piece: Bytes::new(), pieces: Some(pieces), left, taken: Arc::default() }
    }

    /// A counter of the bytes that the connection took.
    pub(super) fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = if self.piece.is_empty() {
            match self.pieces.as_mut().map(|pieces| pieces.poll_recv(cx)) {
                Some(Poll::Pending) => return Poll::Pending,
                // An empty piece is the end. A channel that closes without it was abandoned: what was sent must not look
                // whole.
                Some(Poll::Ready(None)) => return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
                Some(Poll::Ready(Some(piece))) if piece.is_empty() => {
                    self.left = Some(0);
                    return Poll::Ready(None);
                }
                Some(Poll::Ready(Some(piece))) => piece,
                None => return Poll::Ready(None),
            }
        } else {
            std::mem::take(&mut self.piece)
        };
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        self.taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Client {
    /// Sends a request once, with the next `length` bytes of a reader as its content, or all where no length is given.
    /// `progress` is told how many bytes have been handed over so far. An answer that comes early ends the transfer: it is then shorter.
    ///
    /// # Errors
    /// The reader fails or ends early ([`HttpError::Read`]), or the server does not take it or does not answer.
    pub fn upload(
        &self,
        request: &Request,
        content: &mut dyn Read,
        length: Option<u64>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Response, HttpError> {
        let (sender, pieces) = mpsc::channel(QUEUE);
        let mut waiting = self.begin(request, Content::streamed(pieces, length))?;
        let mut done = 0;
        while length.is_none_or(|length| done < length) {
            let left = length.map_or(PIECE as u64, |length| length - done);
            let room = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let mut piece = vec![0; room];
            let read = read_some(content, &mut piece).map_err(|cause| HttpError::Read { cause })?;
            if read == 0 && length.is_none() {
                break;
            }
            if read == 0 {
                let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(HttpError::Read { cause });
            }
            piece.truncate(read);
            let runtime = waiting.runtime.clone();
            let given = runtime.block_on(either(sender.send(Bytes::from(piece)), &mut waiting.receiver));
            match given {
                Either::First(Ok(())) => {}
                // The connection is gone; the answer says why.
                Either::First(Err(_)) => break,
                Either::Second(answer) => {
                    let problem = "the connection's thread stopped".to_owned();
                    let stopped = |_| HttpError::Broken { host: waiting.host.clone(), problem };
                    let (status, headers, body) = answer.map_err(stopped)??;
                    return Ok(Response { status, headers, url: waiting.url, body });
                }
            }
            done += read as u64;
            progress(done);
        }
        // A connection that is gone says why by itself.
        let runtime = waiting.runtime.clone();
        let _ = runtime.block_on(sender.send(Bytes::new()));
        drop(sender);
        waiting.answer()
    }
}

fn read_some(content: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match content.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

enum Either<A, B> {
    First(A),
    Second(B),
}

/// Whichever of two comes first; the first where both are ready.
async fn either<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(move |cx| match (first.as_mut().poll(cx), second.as_mut()) {
        (Poll::Ready(value), _) => Poll::Ready(Either::First(value)),
        (Poll::Pending, second) => second.poll(cx).map(Either::Second),
    })
    .await
}
