//! Where a body ends. Strict: whatever two parsers could read differently is an error.

/// How a message's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`, or no body (0).
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// By the end of the connection; answers only.
    UntilEnd,
}

/// Extensions of one chunk, and all trailers together, may take this much.
const MAX_LINE: u32 = 16 * 1024;

/// Finds a body's data in a stream of bytes.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilEnd,
    Size {
        value: u64,
        digits: u8,
    },
    Extension {
        value: u64,
        length: u32,
    },
    SizeFeed {
        value: u64,
    },
    Data(u64),
    DataReturn,
    DataFeed,
    /// At the beginning of a line after the last chunk.
    TrailerStart {
        length: u32,
    },
    Trailer {
        length: u32,
    },
    TrailerFeed {
        length: u32,
    },
    EndFeed,
    Done,
}

/// What the next bytes are. `skip` bytes of framing come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Then `length` bytes of the body.
    Data {
        /// Bytes of framing.
        skip: usize,
        /// Bytes of the body.
        length: usize,
    },
    /// Then nothing: more must be read.
    More {
        /// Bytes of framing.
        skip: usize,
    },
    /// Then the body has ended.
    End {
        /// Bytes of framing.
        skip: usize,
    },
}

/// The body's framing is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadBody;

impl Decoder {
    /// For a body delimited so.
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
            Framing::UntilEnd => State::UntilEnd,
        };
        Self { state }
    }

    /// Whether the body's last byte has been seen.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done | State::Length(0))
    }

    /// Whether the end of the connection is the body's rightful end.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.state == State::UntilEnd
    }

    /// Looks at the bytes after those that earlier calls reported; the caller must use up all that is reported.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<Piece, BadBody> {
        let mut at = 0;
        loop {
            let left = &input[at..];
            match &mut self.state {
                State::Length(0) | State::Done => {
                    self.state = State::Done;
                    return Ok(Piece::End { skip: at });
                }
                State::UntilEnd if left.is_empty() => return Ok(Piece::More { skip: at }),
                State::UntilEnd => return Ok(Piece::Data { skip: at, length: left.len() }),
                State::Length(remaining) | State::Data(remaining) if *remaining > 0 => {
                    if left.is_empty() {
                        return Ok(Piece::More { skip: at });
                    }
                    let length = usize::try_from(*remaining).unwrap_or(usize::MAX).min(left.len());
                    *remaining -= length as u64;
                    return Ok(Piece::Data { skip: at, length });
                }
                State::Data(_) => self.state = State::DataReturn,
                _ => {
                    let Some(byte) = left.first() else { return Ok(Piece::More { skip: at }) };
                    self.state = self.state.after(*byte)?;
                    at += 1;
                }
            }
        }
    }
}

impl State {
    fn after(self, byte: u8) -> Result<Self, BadBody> {
        Ok(match (self, byte) {
            (Self::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = char::from(byte).to_digit(16).ok_or(BadBody)?;
                Self::Size { value: value * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { value, digits: 1.. }, b';') => Self::Extension { value, length: 0 },
            (Self::Size { value, digits: 1.. } | Self::Extension { value, .. }, b'\r') => Self::SizeFeed { value },
            (Self::Extension { value, length }, b'\t' | b' '..=b'~') if length < MAX_LINE => {
                Self::Extension { value, length: length + 1 }
            }
            (Self::SizeFeed { value: 0 }, b'\n') => Self::TrailerStart { length: 0 },
            (Self::SizeFeed { value }, b'\n') => Self::Data(value),
            (Self::DataReturn, b'\r') => Self::DataFeed,
            (Self::DataFeed, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::TrailerStart { .. }, b'\r') => Self::EndFeed,
            (Self::EndFeed, b'\n') => Self::Done,
            (Self::TrailerStart { length }, byte) if byte > b' ' && length < MAX_LINE => {
                Self::Trailer { length: length + 1 }
            }
            (Self::Trailer { length }, b'\r') => Self::TrailerFeed { length },
            (Self::Trailer { length }, byte) if byte != b'\n' && byte != 0 && length < MAX_LINE => {
                Self::Trailer { length: length + 1 }
            }
            (Self::TrailerFeed { length }, b'\n') => Self::TrailerStart { length },
            _ => return Err(BadBody),
        })
    }
}

/// Adds the line that goes before a chunk of `length` bytes.
pub(crate) fn write_chunk_size(out: &mut Vec<u8>, length: usize) {
    use std::io::Write;
    // writing to a vector cannot fail
    let _ = write!(out, "{length:x}\r\n");
}

/// The last chunk, without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(mut decoder: Decoder, mut input: &[u8], step: usize) -> Result<(Vec<u8>, usize), BadBody> {
        let (mut out, mut held, whole) = (Vec::new(), Vec::new(), input.len());
        loop {
            let piece = decoder.next(&held)?;
            match piece {
                Piece::Data { skip, length } => {
                    out.extend_from_slice(&held[skip..skip + length]);
                    held.drain(..skip + length);
                }
                Piece::End { skip } => {
                    held.drain(..skip);
                    return Ok((out, whole - input.len() - held.len()));
                }
                Piece::More { skip } => {
                    held.drain(..skip);
                    if input.is_empty() {
                        return Err(BadBody);
                    }
                    let (now, later) = input.split_at(step.min(input.len()));
                    held.extend_from_slice(now);
                    input = later;
                }
            }
        }
    }

    fn chunked(input: &[u8]) -> Result<(Vec<u8>, usize), BadBody> {
        decode(Decoder::new(Framing::Chunked), input, 1000)
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read() {
        let body = b"5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\nZ: w\r\n\r\nGET";
        assert_eq!(chunked(body), Ok((b"hello world".to_vec(), body.len() - 3)));
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-1\r\n",
            b"fffffffffffffffff\r\n",
            b"5\r\nhello\r\n0\r\n folded\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX: y\n\r\n",
            b"5\r\rhello",
        ] {
            assert_eq!(chunked(bad), Err(BadBody), "{:?} was taken", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn however_it_arrives_it_is_the_same(chunks in proptest::collection::vec("[a-z\r\n]{1,20}", 0..6), step in 1usize..30) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                write_chunk_size(&mut wire, chunk.len());
                wire.extend_from_slice(chunk.as_bytes());
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(LAST_CHUNK);
            let whole = wire.len();
            wire.extend_from_slice(b"NEXT");
            let (body, used) = decode(Decoder::new(Framing::Chunked), &wire, step).unwrap();
            prop_assert_eq!(body, chunks.concat().into_bytes());
            prop_assert_eq!(used, whole);
        }

        #[test]
        fn garbage_never_panics(input in proptest::collection::vec(any::<u8>(), 0..60), step in 1usize..9) {
            let _ = decode(Decoder::new(Framing::Chunked), &input, step);
            let _ = decode(Decoder::new(Framing::Length(10)), &input, step);
        }
    }
}
