//! Event streams: append-only records ordered by time, on disk, never resident. Meant for log events, by the million.
//!
//! A stream is named by a string, springs into being with its first append, and is read by ranges of [`Position`]. Appends, trims and
//! deletions are queued; a thread writes what has gathered with one sync and answers the [`Ticket`]s. They are apart from the
//! transactions of [`crate::Store`]: neither is atomic with the other, and no change feed tells of them.

mod file;
mod writer;

use crate::{Error, Ticket};
use file::File;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::sync::Arc;
use types::Timestamp;
use writer::{Command, Writer};

/// Where streams are kept.
pub(crate) enum Home {
    Directory(PathBuf),
    Memory,
}

/// A record's place in its stream: by time first, then in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The time that the record carries.
    pub timestamp: Timestamp,
    /// The number of its arrival in the stream, from 1.
    pub sequence: u64,
}

impl Position {
    /// The place before all records of that time.
    pub fn at(timestamp: Timestamp) -> Self {
        Self { timestamp, sequence: 0 }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// What was appended.
    pub data: Vec<u8>,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStats {
    /// The number of the last arrival: how many records were ever appended.
    pub appended: u64,
    /// Bytes of data ever appended.
    pub bytes: u64,
    /// The earliest record.
    pub first: Option<Position>,
    /// The latest record.
    pub last: Option<Position>,
}

/// All event streams. Clones are handles to the same.
#[derive(Clone)]
pub struct Streams {
    file: Arc<File>,
    writer: Arc<Writer>,
}

impl Streams {
    pub(crate) fn open(home: &Home) -> Result<Self, Error> {
        let file = Arc::new(File::open(home)?);
        let writer = Arc::new(Writer::start(file.clone())?);
        Ok(Self { file, writer })
    }

    /// Appends records, each with its time, in order. The ticket gives the number of the last one's arrival, once durable;
    /// until then they are not read. Blocks while several megabytes wait for the disk.
    pub fn append(&self, stream: &str, records: Vec<(Timestamp, Vec<u8>)>) -> Ticket {
        self.writer.push(Command::Append { stream: stream.to_owned(), records })
    }

    /// Deletes the stream, and gives its space back in the background. A new stream of the name begins empty.
    pub fn delete(&self, stream: &str) -> Ticket {
        self.writer.push(Command::Delete { stream: stream.to_owned() })
    }

    /// Deletes the records whose time is before `before`, also those that arrive later.
    pub fn trim(&self, stream: &str, before: Timestamp) -> Ticket {
        self.writer.push(Command::Trim { stream: stream.to_owned(), before })
    }

    /// The first `limit` records of the range, earliest first; none if there is no such stream.
    pub fn read(&self, stream: &str, range: impl RangeBounds<Position>, limit: usize) -> Result<Vec<Entry>, Error> {
        self.file.read(stream, &bounds(&range), limit, false)
    }

    /// The last `limit` records of the range, latest first; none if there is no such stream.
    pub fn read_back(
        &self,
        stream: &str,
        range: impl RangeBounds<Position>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.file.read(stream, &bounds(&range), limit, true)
    }

    /// What the stream holds, if there is one.
    pub fn stats(&self, stream: &str) -> Result<Option<StreamStats>, Error> {
        self.file.stats(stream)
    }

    /// The names of the streams that begin with `prefix`, in order.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.file.names(prefix)
    }
}

fn bounds(range: &impl RangeBounds<Position>) -> (Bound<Position>, Bound<Position>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}

#[cfg(test)]
mod tests;
