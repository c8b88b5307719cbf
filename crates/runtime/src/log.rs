//! A container's output on disk: what the shim appends and the daemon reads, ships and then removes.
//!
//! The output is one sequence of bytes, cut into files named by the position of their first byte, so that an offset
//! means the same for ever. Each record is written by one call: length, time, flags, line. The daemon removes the files that it has shipped;
//! the shim sees by the files that remain how far it may run ahead. Nothing is flushed: output survives the death of every process, not of the machine.

use crate::event::{LogChunk, LogRecord, LogStream};
use crate::spec::LogBuffer;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use types::Timestamp;

/// The largest event of CloudWatch Logs without its overhead; longer lines are cut, as the awslogs driver does.
pub(crate) const MAX_LINE: usize = 262_118;
/// Bytes before each line.
const HEADER: usize = 4 + 8 + 1;
const STDERR: u8 = 1;
const PARTIAL: u8 = 2;
/// How large one file grows at most.
const SEGMENT: u64 = 4 << 20;

/// The writing end, in the shim.
pub(crate) struct LogWriter {
    directory: PathBuf,
    buffer: LogBuffer,
    segment: u64,
    file: Option<File>,
    /// Where the current file begins, and how long it is.
    start: u64,
    length: u64,
    /// What had not been removed when it was last looked at, the current file aside.
    unshipped: u64,
    lines: [Vec<u8>; 2],
}

impl LogWriter {
    /// Continues after what is there.
    pub(crate) fn open(directory: PathBuf, buffer: LogBuffer) -> io::Result<Self> {
        crate::paths::make_private(&directory)?;
        let (LogBuffer::Blocking { bytes } | LogBuffer::Dropping { bytes }) = buffer;
        // Several files, so that shipping makes room before all is shipped.
        let segment = SEGMENT.min((bytes / 4).max(1 << 16));
        let start = match segments(&directory)?.last() {
            Some(last) => last.start + last.length,
            None => 0,
        };
        let lines = [Vec::new(), Vec::new()];
        let mut writer = Self { directory, buffer, segment, file: None, start, length: 0, unshipped: 0, lines };
        writer.look();
        Ok(writer)
    }

    /// Whether a container that writes now must wait.
    pub(crate) fn is_full(&mut self) -> bool {
        match self.buffer {
            LogBuffer::Blocking { bytes } => self.above(bytes),
            LogBuffer::Dropping { .. } => false,
        }
    }

    /// Takes what was read from a stream; whole lines become records. Says whether there are new ones.
    pub(crate) fn feed(&mut self, stream: LogStream, mut bytes: &[u8], now: Timestamp) -> io::Result<bool> {
        let index = usize::from(stream == LogStream::Stderr);
        let mut batch = Vec::new();
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let mut line = std::mem::take(&mut self.lines[index]);
            line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            append_line(&mut batch, stream, &line, now, false);
        }
        if !bytes.is_empty() {
            let line = &mut self.lines[index];
            line.extend_from_slice(bytes);
            while line.len() > MAX_LINE {
                let rest = line.split_off(MAX_LINE);
                append_line(&mut batch, stream, line, now, true);
                *line = rest;
            }
        }
        self.append(&batch)
    }

    /// The streams are closed: what has no newline is a line all the same.
    pub(crate) fn finish(&mut self, now: Timestamp) -> io::Result<bool> {
        let mut batch = Vec::new();
        for (stream, line) in [LogStream::Stdout, LogStream::Stderr].into_iter().zip(&mut self.lines) {
            if !line.is_empty() {
                append_line(&mut batch, stream, &std::mem::take(line), now, false);
            }
        }
        self.append(&batch)
    }

    fn append(&mut self, records: &[u8]) -> io::Result<bool> {
        if records.is_empty() {
            return Ok(false);
        }
        if let LogBuffer::Dropping { bytes } = self.buffer
            && self.above(bytes)
        {
            return Ok(false);
        }
        if self.length >= self.segment {
            self.start += self.length;
            self.unshipped += self.length;
            self.length = 0;
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open_segment(&self.directory, self.start)?),
        };
        file.write_all(records)?;
        self.length += records.len() as u64;
        Ok(true)
    }

    fn above(&mut self, limit: u64) -> bool {
        if self.unshipped + self.length < limit {
            return false;
        }
        self.look();
        self.unshipped + self.length >= limit
    }

    fn look(&mut self) {
        let all = segments(&self.directory).unwrap_or_default();
        self.unshipped = all.iter().filter(|s| s.start != self.start).map(|s| s.length).sum();
    }
}

/// Reads records from `offset` on, about `max_bytes` of them. `LogChunk::ended` is for the caller to set.
pub(crate) fn read(directory: &Path, offset: u64, max_bytes: usize) -> io::Result<LogChunk> {
    let mut chunk = LogChunk { next: offset, ..LogChunk::default() };
    let mut room = max_bytes.max(1);
    for segment in segments(directory)? {
        if segment.start + segment.length <= chunk.next {
            continue;
        }
        // What lay before was removed after it was shipped.
        chunk.next = chunk.next.max(segment.start);
        let mut file = match File::open(segment_path(directory, segment.start)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(chunk.next - segment.start))?;
        let mut bytes = Vec::new();
        // At least one record, however long, must fit.
        let wanted = (room as u64).max((MAX_LINE + HEADER) as u64);
        file.take(wanted).read_to_end(&mut bytes)?;
        let mut rest = &bytes[..];
        while room > 0 {
            let Some((mut record, length)) = parse(rest) else { break };
            rest = &rest[length..];
            chunk.next += length as u64;
            record.next = chunk.next;
            room = room.saturating_sub(length);
            chunk.records.push(record);
        }
        if room == 0 || !rest.is_empty() {
            break;
        }
    }
    Ok(chunk)
}

/// Removes the files that lie before `offset` as a whole. The newest stays: its name says where the output goes on.
pub(crate) fn release(directory: &Path, offset: u64) -> io::Result<()> {
    let mut all = segments(directory)?;
    all.pop();
    for segment in all.iter().filter(|s| s.start + s.length <= offset) {
        fs::remove_file(segment_path(directory, segment.start))?;
    }
    Ok(())
}

struct Segment {
    start: u64,
    length: u64,
}

fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(start) = u64::from_str_radix(&entry.file_name().to_string_lossy(), 16) else { continue };
        match entry.metadata() {
            Ok(metadata) => all.push(Segment { start, length: metadata.len() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_unstable_by_key(|s| s.start);
    Ok(all)
}

fn segment_path(directory: &Path, start: u64) -> PathBuf {
    directory.join(format!("{start:016x}"))
}

fn open_segment(directory: &Path, start: u64) -> io::Result<File> {
    File::options().create(true).append(true).open(segment_path(directory, start))
}

fn append_line(batch: &mut Vec<u8>, stream: LogStream, line: &[u8], now: Timestamp, partial: bool) {
    let mut pieces = line.chunks(MAX_LINE).peekable();
    let empty: &[u8] = &[];
    let mut next = pieces.next().or(Some(empty));
    while let Some(piece) = next {
        next = pieces.next();
        let goes_on = partial || next.is_some();
        let flags = if stream == LogStream::Stderr { STDERR } else { 0 } | if goes_on { PARTIAL } else { 0 };
        batch.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        batch.extend_from_slice(&now.0.to_le_bytes());
        batch.push(flags);
        batch.extend_from_slice(piece);
    }
}

/// A whole record at the beginning of `bytes`, and its length.
fn parse(bytes: &[u8]) -> Option<(LogRecord, usize)> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let at = Timestamp(i64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?));
    let flags = *bytes.get(12)?;
    let line = bytes.get(HEADER..HEADER + length)?.to_vec();
    let stream = if flags & STDERR == 0 { LogStream::Stdout } else { LogStream::Stderr };
    Some((LogRecord { at, stream, partial: flags & PARTIAL != 0, line, next: 0 }, HEADER + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunk: &LogChunk) -> Vec<String> {
        chunk.records.iter().map(|r| String::from_utf8_lossy(&r.line).into_owned()).collect()
    }

    #[test]
    fn lines_are_put_together_and_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(dir.path().join("logs"), LogBuffer::default()).unwrap();
        let at = dir.path().join("logs");
        assert!(!log.feed(LogStream::Stdout, b"hel", Timestamp(1)).unwrap());
        assert!(log.feed(LogStream::Stderr, b"error\n\n", Timestamp(2)).unwrap());
        assert!(log.feed(LogStream::Stdout, b"lo\nrest", Timestamp(3)).unwrap());
        let first = read(&at, 0, 1).unwrap();
        assert_eq!(lines(&first), ["error"], "a small limit gives at least one record");
        let second = read(&at, first.next, 1 << 20).unwrap();
        assert_eq!(lines(&second), ["", "hello"]);
        log.finish(Timestamp(4)).unwrap();
        let third = read(&at, second.next, 1 << 20).unwrap();
        assert_eq!(lines(&third), ["rest"]);
        assert_eq!(read(&at, third.next, 1 << 20).unwrap().records, []);
    }

    #[test]
    fn a_writer_that_runs_ahead_waits_until_its_output_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let limit = LogBuffer::Blocking { bytes: 1 << 18 };
        let mut log = LogWriter::open(dir.path().to_owned(), limit).unwrap();
        let line = [b'x'; 1000];
        let mut written = 0;
        while !log.is_full() {
            log.feed(LogStream::Stdout, &line, Timestamp(0)).unwrap();
            log.feed(LogStream::Stdout, b"\n", Timestamp(0)).unwrap();
            written += 1;
        }
        let mut seen = 0;
        let mut next = 0;
        loop {
            let chunk = read(dir.path(), next, 50_000).unwrap();
            if chunk.records.is_empty() {
                break;
            }
            seen += chunk.records.len();
            next = chunk.next;
        }
        assert_eq!(seen, written, "lines were lost or read twice");
        release(dir.path(), next).unwrap();
        assert!(!log.is_full(), "shipped output still holds the writer up");
        log.feed(LogStream::Stdout, b"more\n", Timestamp(0)).unwrap();
        assert_eq!(lines(&read(dir.path(), next, 1000).unwrap()), ["more"], "offsets moved with the release");
    }

    #[test]
    fn an_endless_line_is_cut_and_marked() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(dir.path().to_owned(), LogBuffer::default()).unwrap();
        log.feed(LogStream::Stdout, &vec![b'y'; MAX_LINE + 10], Timestamp(0)).unwrap();
        log.feed(LogStream::Stdout, b"\n", Timestamp(0)).unwrap();
        let chunk = read(dir.path(), 0, 1 << 20).unwrap();
        let sizes: Vec<_> = chunk.records.iter().map(|r| (r.line.len(), r.partial)).collect();
        assert_eq!(sizes, [(MAX_LINE, true), (10, false)]);
    }
}
