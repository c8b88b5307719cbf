//! Log events that come in without the API: a task's output through the `awslogs` driver.

use crate::record::{Event, encode};
use crate::rows::{LogGroup, LogStream};
use crate::texts;
use std::sync::Arc;
use store::{Position, Store, Streams, Tx, View};
use types::{Scope, Timestamp};

/// A log event on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// When it happened.
    pub timestamp: Timestamp,
    /// The message.
    pub message: String,
}

/// Why events cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The group is not there, or was deleted meanwhile.
    #[error("ResourceNotFoundException: {}", texts::NO_SUCH_GROUP)]
    NoSuchGroup,
    /// The stream is not there, or was deleted meanwhile.
    #[error("ResourceNotFoundException: {}", texts::NO_SUCH_STREAM)]
    NoSuchStream,
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(String),
}

/// Makes the stream in an open transaction; one that is there is no error. With `create_group` a missing group is made as
/// well, as the driver's option `awslogs-create-group` has it.
pub fn create_stream(
    tx: &mut Tx,
    scope: &Scope,
    group: &str,
    stream: &str,
    create_group: bool,
    now: Timestamp,
) -> Result<(), AppendError> {
    if !tx.contains::<LogGroup>(scope, group) {
        if !create_group {
            return Err(AppendError::NoSuchGroup);
        }
        tx.put(
            scope,
            LogGroup {
                name: group.to_owned(),
                created: now,
                retention: None,
                kms_key_id: None,
                class: model::logs::log_group_class::STANDARD.to_owned(),
                protected: false,
                tags: std::collections::BTreeMap::new(),
            },
        );
    }
    if !tx.contains::<LogStream>(scope, &LogStream::key(group, stream)) {
        tx.put(scope, LogStream::new(group, stream, now));
    }
    Ok(())
}

/// Appends events, in order of time. They are durable when this returns.
///
/// `position` says where the batch stands in its source, if it has one. It must differ from batch to batch of a stream. A batch
/// that comes again with its position after a crash is not appended again: each batch is kept whole or not at all.
pub async fn append(
    store: &Store,
    scope: &Scope,
    (group, stream): (&str, &str),
    position: Option<u64>,
    events: Vec<LogEvent>,
    now: Timestamp,
) -> Result<(), AppendError> {
    let row = find(&store.view(), scope, group, stream)?;
    let streams = store.streams().map_err(failed)?;
    let Some(first) = events.first() else { return Ok(()) };
    if let Some(position) = position
        && is_there(&streams, &row.records, first.timestamp, position)?
    {
        return Ok(());
    }
    let records = events.into_iter().map(|event| {
        let record = Event { ingested: now, message: event.message, position };
        (event.timestamp, encode(&record))
    });
    let ticket = streams.append(&row.records, records.collect());
    ticket.wait().await.map(drop).map_err(failed)
}

fn failed(error: store::Error) -> AppendError {
    AppendError::Store(error.to_string())
}

fn find(view: &View, scope: &Scope, group: &str, stream: &str) -> Result<Arc<LogStream>, AppendError> {
    let row = view.get::<LogStream>(scope, &LogStream::key(group, stream));
    row.ok_or_else(|| {
        if view.contains::<LogGroup>(scope, group) { AppendError::NoSuchStream } else { AppendError::NoSuchGroup }
    })
}

/// Whether a batch with that position and first event has been appended. Only records of that very instant are looked at.
fn is_there(streams: &Streams, records: &str, at: Timestamp, position: u64) -> Result<bool, AppendError> {
    const STEP: usize = 256;
    let end = Position { timestamp: at, sequence: u64::MAX };
    let mut from = Position::at(at);
    loop {
        let entries = streams.read(records, from..=end, STEP).map_err(failed)?;
        let is_ours =
            |data: &[u8]| crate::record::decode::<Event>(data).is_some_and(|event| event.position == Some(position));
        if entries.iter().any(|entry| is_ours(&entry.data)) {
            return Ok(true);
        }
        match entries.last() {
            Some(last) if entries.len() == STEP && last.position < end => {
                from = Position { timestamp: at, sequence: last.position.sequence + 1 };
            }
            _ => return Ok(false),
        }
    }
}
