//! Bytes read from a peer and not yet used.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// What an idle connection keeps.
const SMALL: usize = 8 * 1024;
/// What a body in full flow may take; large reads are what makes large bodies cheap.
const LARGE: usize = 128 * 1024;

/// A growing window over a peer's bytes.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What is there.
    pub(crate) fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Marks the first `count` bytes as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Gives back what a large body took, once all is used.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() && self.bytes.len() > SMALL {
            self.bytes = Vec::new();
        }
    }

    /// Reads once. 0 is the end of the stream; a full buffer that may not grow is an error.
    pub(crate) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else if self.bytes.len() >= LARGE {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "more is waiting than may be held",
                )));
            } else {
                let size = (self.bytes.len() * 4).clamp(SMALL, LARGE);
                self.bytes.resize(size, 0);
            }
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(io).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        // a read that filled all the room: the peer has more, so ask for more at once the next time
        if self.end == self.bytes.len() && self.bytes.len() < LARGE {
            let size = (self.bytes.len() * 4).min(LARGE);
            self.bytes.resize(size, 0);
        }
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_limit_and_gives_back() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut source = tokio::io::repeat(7);
        let mut buffer = Buffer::default();
        while let Poll::Ready(Ok(_)) = buffer.poll_fill(&mut source, &mut cx) {}
        assert_eq!(buffer.data().len(), LARGE);
        buffer.consume(LARGE - 1);
        assert!(matches!(buffer.poll_fill(&mut source, &mut cx), Poll::Ready(Ok(_))), "room made was not used");
        buffer.consume(LARGE);
        buffer.rest();
        assert_eq!(buffer.bytes.len(), 0);
    }
}
