//! One request's bytes on their way to the target, and the answer's on their way back.
//!
//! Both directions are polled by one task. Neither holds more than a buffer: a slow reader slows its writer.

use super::body::{Decoder, Framing, LAST_CHUNK, Piece, write_chunk_size};
use super::response::Answer;
use crate::buffer::Buffer;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

/// So much is gathered before it is written: what follows is written from where it was read to.
const GATHER: usize = 32 * 1024;

/// Why an exchange ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The client went away.
    ClientGone,
    /// The client sent no proper body.
    ClientBad,
    /// The target's connection broke.
    TargetGone,
    /// The target sent no proper answer.
    TargetBad,
}

/// The request on its way to the target: head, then body.
pub(crate) struct Upload {
    out: Vec<u8>,
    written: usize,
    /// Bytes of the body at the front of the client's buffer.
    pending: usize,
    body: Decoder,
    chunked: bool,
    ended: bool,
    flushed: bool,
    /// Bytes of the body so far.
    pub(crate) bytes: u64,
}

impl Upload {
    /// `out` has the head.
    pub(crate) fn new(out: Vec<u8>, framing: Framing) -> Self {
        Self {
            out,
            written: 0,
            pending: 0,
            body: Decoder::new(framing),
            chunked: framing == Framing::Chunked,
            ended: framing == Framing::Length(0),
            flushed: false,
            bytes: 0,
        }
    }

    /// Whether all is written.
    pub(crate) fn is_done(&self) -> bool {
        self.flushed
    }

    /// Whether nothing of the body was taken from the client's buffer, so that the request can be sent once more.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.bytes == 0 && !(self.chunked && self.ended)
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buffer(mut self) -> Vec<u8> {
        self.out.clear();
        self.out
    }

    /// Writes what can be written. Progress is noted in `moved`.
    pub(crate) fn poll<C, T>(
        &mut self,
        client: &mut C,
        from: &mut Buffer,
        target: &mut T,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>>
    where
        C: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        loop {
            if self.pending == 0 && !self.ended && self.out.len() - self.written < GATHER {
                match self.body.next(from.data()).map_err(|_| Broken::ClientBad)? {
                    Piece::Data { skip, length } => {
                        from.consume(skip);
                        self.bytes += length as u64;
                        if self.chunked {
                            write_chunk_size(&mut self.out, length);
                            self.out.extend_from_slice(&from.data()[..length]);
                            self.out.extend_from_slice(b"\r\n");
                            from.consume(length);
                        } else {
                            self.pending = length;
                        }
                    }
                    Piece::End { skip } => {
                        from.consume(skip);
                        self.ended = true;
                        if self.chunked {
                            self.out.extend_from_slice(LAST_CHUNK);
                        }
                    }
                    Piece::More { skip } => {
                        from.consume(skip);
                        if self.written == self.out.len() {
                            let count = ready!(from.poll_fill(client, cx)).map_err(|_| Broken::ClientGone)?;
                            if count == 0 {
                                return Poll::Ready(Err(Broken::ClientGone));
                            }
                            *moved = true;
                            continue;
                        }
                    }
                }
            }
            if self.written < self.out.len() {
                let count = ready!(Pin::new(&mut *target).poll_write(cx, &self.out[self.written..]))
                    .map_err(|_| Broken::TargetGone)?;
                self.written += count;
                *moved = true;
                if self.written == self.out.len() {
                    self.out.clear();
                    self.written = 0;
                }
            } else if self.pending > 0 {
                let count = ready!(Pin::new(&mut *target).poll_write(cx, &from.data()[..self.pending]))
                    .map_err(|_| Broken::TargetGone)?;
                from.consume(count);
                self.pending -= count;
                *moved = true;
            } else if self.ended {
                if !self.flushed {
                    ready!(Pin::new(&mut *target).poll_flush(cx)).map_err(|_| Broken::TargetGone)?;
                    self.flushed = true;
                }
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Reads the target's answer head into `answer`.
pub(crate) fn poll_answer<T: AsyncRead + Unpin>(
    target: &mut T,
    buffer: &mut Buffer,
    answer: &mut Answer,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Broken>> {
    loop {
        if !buffer.is_empty()
            && let Some(length) = answer.parse(buffer.data()).map_err(|_| Broken::TargetBad)?
        {
            buffer.consume(length);
            return Poll::Ready(Ok(()));
        }
        let count = ready!(buffer.poll_fill(target, cx)).map_err(|_| Broken::TargetGone)?;
        if count == 0 {
            return Poll::Ready(Err(Broken::TargetGone));
        }
    }
}

/// The answer on its way to the client: head, then body.
pub(crate) struct Download {
    out: Vec<u8>,
    written: usize,
    /// Bytes of the body at the front of the target's buffer.
    pending: usize,
    body: Decoder,
    chunked: bool,
    ended: bool,
    /// Bytes of the body so far.
    pub(crate) bytes: u64,
}

impl Download {
    /// `out` has the head. `chunked` is how the client gets the body.
    pub(crate) fn new(out: Vec<u8>, framing: Framing, chunked: bool) -> Self {
        Self {
            out,
            written: 0,
            pending: 0,
            body: Decoder::new(framing),
            chunked,
            ended: framing == Framing::Length(0),
            bytes: 0,
        }
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buffer(mut self) -> Vec<u8> {
        self.out.clear();
        self.out
    }

    /// Writes what can be written. Progress is noted in `moved`.
    pub(crate) fn poll<C, T>(
        &mut self,
        client: &mut C,
        target: &mut T,
        from: &mut Buffer,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>>
    where
        C: AsyncWrite + Unpin,
        T: AsyncRead + Unpin,
    {
        loop {
            let mut more = false;
            while self.pending == 0 && !self.ended && !more && self.out.len() - self.written < GATHER {
                match self.body.next(from.data()).map_err(|_| Broken::TargetBad)? {
                    Piece::Data { skip, length } => {
                        from.consume(skip);
                        self.bytes += length as u64;
                        if self.chunked {
                            write_chunk_size(&mut self.out, length);
                        }
                        if self.chunked || (!self.out.is_empty() && length < GATHER) {
                            self.out.extend_from_slice(&from.data()[..length]);
                            from.consume(length);
                        } else {
                            self.pending = length;
                        }
                        if self.chunked {
                            self.out.extend_from_slice(b"\r\n");
                        }
                    }
                    Piece::End { skip } => {
                        from.consume(skip);
                        self.end();
                    }
                    Piece::More { skip } => {
                        from.consume(skip);
                        more = true;
                    }
                }
            }
            if self.written < self.out.len() {
                let count = ready!(Pin::new(&mut *client).poll_write(cx, &self.out[self.written..]))
                    .map_err(|_| Broken::ClientGone)?;
                self.written += count;
                *moved = true;
                if self.written == self.out.len() {
                    self.out.clear();
                    self.written = 0;
                }
            } else if self.pending > 0 {
                let count = ready!(Pin::new(&mut *client).poll_write(cx, &from.data()[..self.pending]))
                    .map_err(|_| Broken::ClientGone)?;
                from.consume(count);
                self.pending -= count;
                *moved = true;
            } else if self.ended {
                ready!(Pin::new(&mut *client).poll_flush(cx)).map_err(|_| Broken::ClientGone)?;
                return Poll::Ready(Ok(()));
            } else if more {
                // what was written goes out before anything is waited for
                ready!(Pin::new(&mut *client).poll_flush(cx)).map_err(|_| Broken::ClientGone)?;
                let count = ready!(from.poll_fill(target, cx)).map_err(|_| Broken::TargetGone)?;
                *moved = true;
                if count == 0 {
                    if !self.body.ends_with_connection() {
                        return Poll::Ready(Err(Broken::TargetGone));
                    }
                    self.end();
                }
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if self.chunked {
            self.out.extend_from_slice(LAST_CHUNK);
        }
    }
}
