//! Bodies: a file streamed out, and a request streamed into an upload or gathered whole.

use super::errors::RegistryError;
use blob::{BlobError, Upload};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};

/// How much is read or written at once.
const PIECE: usize = 1 << 20;
/// How long a client may send nothing.
const IDLE: Duration = Duration::from_mins(2);

/// A part of a file as a response's body. A blocking thread is taken only while a piece is read, so a client that
/// reads slowly holds none.
pub(super) struct FileBody {
    state: State,
    left: u64,
}

enum State {
    Resting(io::Take<File>),
    Reading(JoinHandle<io::Result<(io::Take<File>, Bytes)>>),
    Over,
}

impl FileBody {
    /// The `length` bytes that `file` gives next.
    pub(super) fn new(file: io::Take<File>, length: u64) -> Self {
        Self { state: State::Resting(file), left: length }
    }
}

fn read_piece(mut file: io::Take<File>, length: usize) -> io::Result<(io::Take<File>, Bytes)> {
    let mut piece = BytesMut::zeroed(length);
    file.read_exact(&mut piece)?;
    Ok((file, piece.freeze()))
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Resting(file) if self.left > 0 => {
                    let length = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
                    self.state = State::Reading(spawn_blocking(move || read_piece(file, length)));
                }
                State::Resting(_) | State::Over => return Poll::Ready(None),
                State::Reading(mut handle) => {
                    let Poll::Ready(read) = Pin::new(&mut handle).poll(cx) else {
                        self.state = State::Reading(handle);
                        return Poll::Pending;
                    };
                    let (file, piece) = read.map_err(io::Error::other)??;
                    self.left -= piece.len() as u64;
                    self.state = State::Resting(file);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Appends the whole of `body` to `upload`. While one piece is written the next is received.
///
/// If the client breaks off, what it sent so far is kept for it to go on with.
pub(super) async fn receive<B>(mut upload: Upload, mut body: B) -> Result<Upload, RegistryError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut over = false;
    let mut broken = None;
    let mut gathered = gather(&mut body).await;
    while !over {
        let Gathered { pieces, end } = gathered;
        let writing = spawn_blocking(move || -> Result<Upload, BlobError> {
            pieces.iter().try_for_each(|piece| upload.write(piece))?;
            Ok(upload)
        });
        gathered = match end {
            None => gather(&mut body).await,
            Some(end) => {
                (over, broken) = (true, end.err());
                Gathered { pieces: Vec::new(), end: None }
            }
        };
        upload = writing.await??;
    }
    broken.map_or(Ok(upload), Err)
}

struct Gathered {
    pieces: Vec<Bytes>,
    /// Whether the body ended, and how.
    end: Option<Result<(), RegistryError>>,
}

async fn gather<B>(body: &mut B) -> Gathered
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let (mut pieces, mut length) = (Vec::new(), 0);
    while length < PIECE {
        match next(body).await {
            Ok(Some(piece)) => {
                length += piece.len();
                pieces.push(piece);
            }
            Ok(None) => return Gathered { pieces, end: Some(Ok(())) },
            Err(error) => return Gathered { pieces, end: Some(Err(error)) },
        }
    }
    Gathered { pieces, end: None }
}

async fn next<B>(body: &mut B) -> Result<Option<Bytes>, RegistryError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    loop {
        let frame = tokio::time::timeout(IDLE, body.frame()).await;
        let frame = frame.map_err(|_| {
            RegistryError::upload_invalid("the client sent nothing for too long")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => {
                return Err(RegistryError::upload_invalid(&format!("the request's body broke off: {error}")));
            }
        }
    }
}

/// The whole of a body that has at most `limit` bytes; `None` if it has more.
pub(super) async fn whole<B>(mut body: B, limit: usize) -> Result<Option<Bytes>, RegistryError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut bytes = BytesMut::new();
    while let Some(piece) = next(&mut body).await? {
        if bytes.len() + piece.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes.freeze()))
}
