//! The streams' file: a redb table of records keyed by (stream's number, time, arrival), and one of the streams.
//!
//! Deleting a stream removes its name and marks its number as doomed, which is immediate; the records go afterwards, in bounded steps.

use super::writer::Command;
use super::{Entry, Home, Position, StreamStats};
use crate::Error;
use crate::disk::open_or_create;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Bound;
use types::Timestamp;

const RECORDS: TableDefinition<'_, (u64, i64, u64), &[u8]> = TableDefinition::new("records");
const STREAMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("streams");
/// Streams' numbers, and the time before which their records are to go.
const DOOMED: TableDefinition<'_, u64, i64> = TableDefinition::new("doomed");
const NUMBERS: TableDefinition<'_, (), u64> = TableDefinition::new("numbers");

const CACHE_BYTES: usize = 16 << 20;
/// How many doomed records one transaction removes.
const REAP: usize = 4096;

/// What is known of a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stream {
    number: u64,
    appended: u64,
    bytes: u64,
    /// Records before this time are trimmed, whether they are still on disk or not.
    floor: i64,
}

pub(super) struct File(Database);

impl File {
    pub(super) fn open(home: &Home) -> Result<Self, Error> {
        match home {
            Home::Directory(directory) => open_or_create(&directory.join("streams.redb"), CACHE_BYTES).map(Self),
            Home::Memory => {
                Database::builder().create_with_backend(InMemoryBackend::new()).map(Self).map_err(Error::disk)
            }
        }
    }

    /// Does all commands in one durable transaction. Returns each one's answer.
    pub(super) fn apply(&self, commands: &[Command]) -> Result<Vec<u64>, Error> {
        let write = self.0.begin_write().map_err(Error::disk)?;
        let answers = apply_in(&write, commands).map_err(Error::disk)?;
        write.commit().map_err(Error::disk)?;
        Ok(answers)
    }

    /// Removes some doomed records. Returns whether there may be more.
    pub(super) fn reap(&self) -> Result<bool, Error> {
        let none = match self.0.begin_read().map_err(Error::disk)?.open_table(DOOMED) {
            Ok(doomed) => doomed.first().map_err(Error::disk)?.is_none(),
            Err(TableError::TableDoesNotExist(_)) => true,
            Err(why) => return Err(Error::disk(why)),
        };
        if none {
            return Ok(false);
        }
        let write = self.0.begin_write().map_err(Error::disk)?;
        reap_in(&write).map_err(Error::disk)?;
        write.commit().map_err(Error::disk)?;
        Ok(true)
    }

    pub(super) fn read(
        &self,
        stream: &str,
        range: &(Bound<Position>, Bound<Position>),
        limit: usize,
        back: bool,
    ) -> Result<Vec<Entry>, Error> {
        self.try_read(stream, range, limit, back).map_err(Error::disk)
    }

    fn try_read(
        &self,
        stream: &str,
        range: &(Bound<Position>, Bound<Position>),
        limit: usize,
        back: bool,
    ) -> Result<Vec<Entry>, redb::Error> {
        let read = self.0.begin_read()?;
        let Some(stream) = find(&read, stream)? else { return Ok(Vec::new()) };
        let key = |position: Position| (stream.number, position.timestamp.0, position.sequence);
        let floor = (stream.number, stream.floor, 0);
        let start = match range.0 {
            Bound::Included(position) if key(position) > floor => Bound::Included(key(position)),
            Bound::Excluded(position) if key(position) >= floor => Bound::Excluded(key(position)),
            _ => Bound::Included(floor),
        };
        let end = match range.1 {
            Bound::Included(position) => Bound::Included(key(position)),
            Bound::Excluded(position) => Bound::Excluded(key(position)),
            Bound::Unbounded => Bound::Included((stream.number, i64::MAX, u64::MAX)),
        };
        let first = match start {
            Bound::Included(key) | Bound::Excluded(key) => key,
            Bound::Unbounded => floor,
        };
        // A range that ends before it starts is empty, and redb need not be asked what it thinks of it.
        if matches!(end, Bound::Included(last) | Bound::Excluded(last) if last < first) {
            return Ok(Vec::new());
        }
        let records = read.open_table(RECORDS)?;
        let mut found = records.range::<(u64, i64, u64)>((start, end))?;
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(pair) = (if back { found.next_back() } else { found.next() }) else { break };
            let (key, data) = pair?;
            let (_, timestamp, sequence) = key.value();
            let position = Position { timestamp: Timestamp(timestamp), sequence };
            entries.push(Entry { position, data: data.value().to_vec() });
        }
        Ok(entries)
    }

    pub(super) fn stats(&self, name: &str) -> Result<Option<StreamStats>, Error> {
        let read = self.0.begin_read().map_err(Error::disk)?;
        let Some(stream) = find(&read, name).map_err(Error::disk)? else { return Ok(None) };
        let all = (Bound::Unbounded, Bound::Unbounded);
        let first = self.read(name, &all, 1, false)?.first().map(|entry| entry.position);
        let last = self.read(name, &all, 1, true)?.first().map(|entry| entry.position);
        Ok(Some(StreamStats { appended: stream.appended, bytes: stream.bytes, first, last }))
    }

    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let read = self.0.begin_read().map_err(Error::disk)?;
        let streams = match read.open_table(STREAMS) {
            Ok(streams) => streams,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(why) => return Err(Error::disk(why)),
        };
        let mut names = Vec::new();
        for pair in streams.range(prefix..).map_err(Error::disk)? {
            let (name, _) = pair.map_err(Error::disk)?;
            if !name.value().starts_with(prefix) {
                break;
            }
            names.push(name.value().to_owned());
        }
        Ok(names)
    }
}

fn find(read: &redb::ReadTransaction, name: &str) -> Result<Option<Stream>, redb::Error> {
    match read.open_table(STREAMS) {
        Ok(streams) => streams.get(name)?.map(|json| parse(json.value())).transpose(),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

fn parse(json: &[u8]) -> Result<Stream, redb::Error> {
    serde_json::from_slice(json).map_err(|why| redb::Error::Corrupted(format!("stream: {why}")))
}

fn apply_in(write: &WriteTransaction, commands: &[Command]) -> Result<Vec<u64>, redb::Error> {
    let mut records = write.open_table(RECORDS)?;
    let mut streams = write.open_table(STREAMS)?;
    let mut doomed = write.open_table(DOOMED)?;
    let mut numbers = write.open_table(NUMBERS)?;
    // A batch often appends to few streams many times: their rows are written once, at the end.
    let mut touched: HashMap<&str, Option<Stream>> = HashMap::new();
    let mut answers = Vec::with_capacity(commands.len());
    for command in commands {
        let name = command.stream();
        let stream = match touched.entry(name) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                let row = streams.get(name)?.map(|json| parse(json.value())).transpose()?;
                unknown.insert(row)
            }
        };
        answers.push(match command {
            Command::Append { records: fresh, .. } => {
                if stream.is_none() {
                    let number = numbers.get(())?.map_or(1, |last| last.value() + 1);
                    numbers.insert((), number)?;
                    *stream = Some(Stream { number, appended: 0, bytes: 0, floor: i64::MIN });
                }
                stream.as_mut().map(|stream| append(&mut records, stream, fresh)).transpose()?.unwrap_or(0)
            }
            Command::Trim { before, .. } => {
                if let Some(stream) = stream {
                    stream.floor = stream.floor.max(before.0);
                    doomed.insert(stream.number, stream.floor)?;
                }
                0
            }
            Command::Delete { .. } => {
                if let Some(gone) = stream.take() {
                    doomed.insert(gone.number, i64::MAX)?;
                }
                0
            }
        });
    }
    for (name, stream) in touched {
        match stream {
            Some(stream) => {
                let json = serde_json::to_vec(&stream).map_err(|why| redb::Error::Corrupted(why.to_string()))?;
                streams.insert(name, json.as_slice())?;
            }
            None => drop(streams.remove(name)?),
        }
    }
    Ok(answers)
}

fn append(
    records: &mut Table<'_, (u64, i64, u64), &[u8]>,
    stream: &mut Stream,
    fresh: &[(Timestamp, Vec<u8>)],
) -> Result<u64, redb::Error> {
    for (timestamp, data) in fresh {
        stream.appended += 1;
        stream.bytes += data.len() as u64;
        if timestamp.0 >= stream.floor {
            records.insert((stream.number, timestamp.0, stream.appended), data.as_slice())?;
        }
    }
    Ok(stream.appended)
}

fn reap_in(write: &WriteTransaction) -> Result<(), redb::Error> {
    let mut doomed = write.open_table(DOOMED)?;
    let mut records = write.open_table(RECORDS)?;
    let Some((number, before)) = doomed.first()?.map(|(number, before)| (number.value(), before.value())) else {
        return Ok(());
    };
    let end = if before == i64::MAX { (number, i64::MAX, u64::MAX) } else { (number, before, 0) };
    let mut removed = 0;
    for pair in records.extract_from_if((number, i64::MIN, 0)..end, |_, _| true)?.take(REAP) {
        pair?;
        removed += 1;
    }
    if removed < REAP {
        doomed.remove(number)?;
    }
    Ok(())
}
