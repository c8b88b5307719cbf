//! What a runtime tells about its tasks while they run, and the records of their output.

use crate::spec::TaskId;
use crate::status::Exit;
use types::Timestamp;

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEvent {
    /// The task.
    pub task: TaskId,
    /// The container's name.
    pub container: String,
    /// What happened.
    pub kind: TaskEventKind,
}

/// What happened to the container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskEventKind {
    /// Its first process runs the image's program.
    Started {
        /// The process, as the host sees it.
        pid: u32,
        /// When.
        at: Timestamp,
    },
    /// It could not be started.
    Failed {
        /// Why, in the words of the container runtime that AWS uses.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Its first process ended, and with it all others of the container.
    Exited(Exit),
    /// There is output that was not there at the last [`crate::Runtime::read_logs`]. Not repeated until that is called.
    LogAvailable,
}

/// Where a line of output was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of output, or a piece of one that is longer than 256 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// When the shim had read it to its end.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: LogStream,
    /// The line goes on in the next record of the same stream.
    pub partial: bool,
    /// The bytes, without the newline; not necessarily UTF-8.
    pub line: Vec<u8>,
    /// Where a read goes on behind it, as [`LogChunk::next`].
    pub next: u64,
}

/// A piece of a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogChunk {
    /// The records, oldest first.
    pub records: Vec<LogRecord>,
    /// Where the next read goes on. Opaque but for its order; keep it durably once the records are shipped.
    pub next: u64,
    /// The container has ended and these are its last records.
    pub ended: bool,
}
