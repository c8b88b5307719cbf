//! The log shipper: moves what containers write from the runtime's files to their log streams.
//!
//! Exactly once: before a batch of records is handed over, the row says how many there are; they go under a position made
//! of where they were read and the batch's number; only then is the next read's offset stored. After a crash in between, the same
//! batch comes under the same position, and the stream's owner ([`crate::ports::Logs::append`]) drops it; what was
//! written since is a batch of its own.

use super::Control;
use crate::logging;
use crate::ports::LogEvent;
use crate::rows::{ShippedRow, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use regex::bytes::Regex;
use rollout::TaskStatus;
use runtime::{LogRecord, RuntimeError, TaskId};
use std::time::Duration;
use store::{Change, Row, View};
use types::Timestamp;

pub(super) const NAME: &str = "ecs-logs";

/// One read's most.
const CHUNK: usize = 512 << 10;
/// How long an event of several lines may wait for its next line, as the driver has it.
const EVENT_PATIENCE: Duration = Duration::from_secs(5);
/// A look for output in case its announcement was lost.
const POLL: Duration = Duration::from_secs(10);
/// A read that crashes more often than this in a row would repeat lines.
const BATCH_BITS: u32 = 8;
/// At most so many chunks in a row, so that a chatty container does not keep the others waiting.
const MOST_CHUNKS: usize = 16;

/// Ships logs. Its key is `task/container`.
pub struct LogShipper {
    control: Control,
}

impl LogShipper {
    /// The shipper.
    pub fn new(control: Control) -> Self {
        Self { control }
    }

    /// Stores the row, unless the task has been cleaned away meanwhile: nothing stays behind it.
    async fn put(&self, key: &Key, row: ShippedRow) -> Result<(), Failure> {
        let ((), ticket) = self.control.write(|tx| {
            if tx.get::<TaskRow>(&key.scope, &row.task).is_some_and(|task| task.last < TaskStatus::Stopped) {
                tx.put(&key.scope, row);
            }
        });
        ticket.await?;
        Ok(())
    }
}

/// What CloudWatch Logs gets: no empty events, and text. Lines that are one event each end in a newline.
fn events(records: &[LogRecord], pattern: Option<&Regex>) -> Vec<LogEvent> {
    let starts = logging::starts(records, pattern);
    let ends = starts.iter().skip(1).copied().chain([records.len()]);
    let pieces = starts.iter().zip(ends).map(|(from, to)| &records[*from..to]);
    let event = |lines: &[LogRecord]| {
        let mut bytes = Vec::new();
        for record in lines {
            bytes.extend_from_slice(&record.line);
            if pattern.is_some() {
                bytes.push(b'\n');
            }
        }
        let at = lines.first().map_or(Timestamp(0), |record| record.at);
        LogEvent { at, message: String::from_utf8_lossy(&bytes).into_owned() }
    };
    pieces.map(event).filter(|event| !event.message.is_empty()).collect()
}

/// How many of the records belong to events that have ended; and if not all, how long the last one may still go on.
fn ended(records: &[LogRecord], pattern: Option<&Regex>, now: Timestamp, patience: Duration) -> (usize, Duration) {
    let last = pattern.and(logging::starts(records, pattern).last().copied());
    let Some(last) = last else { return (records.len(), Duration::ZERO) };
    let left = patience.saturating_sub(now.since(records[last].at));
    if left.is_zero() { (records.len(), left) } else { (last, left) }
}

fn keys_of(scope: &types::Scope, row: &TaskRow) -> Vec<Key> {
    if !(TaskStatus::Activating..=TaskStatus::Deprovisioning).contains(&row.last) {
        return vec![];
    }
    let logging = row.containers.iter().filter(|container| container.log.is_some());
    logging.map(|container| Key::new(scope, ShippedRow::key(&row.id, &container.name))).collect()
}

#[async_trait]
impl Controller for LogShipper {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TaskRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        view.get::<TaskRow>(&change.scope, &change.id).map(|row| keys_of(&change.scope, &row)).unwrap_or_default()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<TaskRow>().flat_map(|(scope, row)| keys_of(scope, row)).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let Some((task, container)) = key.id.split_once('/') else { return Ok(Next::Done) };
        let Some(id) = TaskId::parse(task) else { return Ok(Next::Done) };
        for _ in 0..MOST_CHUNKS {
            let view = self.control.store.view();
            let Some(row) = view.get::<TaskRow>(&key.scope, task).filter(|row| row.last < TaskStatus::Stopped) else {
                return Ok(Next::Done);
            };
            let state = row.containers.iter().find(|state| state.name == container);
            let Some(log) = state.and_then(|state| state.log.as_ref()) else { return Ok(Next::Done) };
            let netns = row.agent_netns();
            let assume = |role| self.control.ports.roles.assume(&view, &key.scope, role, &row.id).ok();
            let of_instance = || row.host.as_ref().and_then(|host| host.session(&key.scope));
            let session = row.execution_role.as_deref().and_then(assume).or_else(of_instance);
            let shipped = view.get::<ShippedRow>(&key.scope, &key.id);
            if shipped.as_ref().is_some_and(|shipped| shipped.ended) {
                return Ok(Next::Done);
            }
            let shipped = shipped.map_or_else(
                || ShippedRow {
                    task: task.to_owned(),
                    container: container.to_owned(),
                    offset: 0,
                    batches: vec![],
                    ended: false,
                },
                |row| ShippedRow::clone(&row),
            );
            let offset = shipped.offset;
            let mut chunk = match self.control.runtime.read_logs(&id, container, offset, CHUNK).await {
                Ok(chunk) => chunk,
                Err(RuntimeError::NoTask(_) | RuntimeError::NoContainer { .. }) => return Ok(Next::Done),
                Err(why) => return Err(why.into()),
            };
            if chunk.records.is_empty() && chunk.next == offset && !chunk.ended {
                return Ok(Next::After(POLL));
            }
            let pattern = log.event_start.as_deref().and_then(logging::compile);
            let over = chunk.ended || state.is_some_and(|state| state.last == TaskStatus::Stopped);
            if let Some(pattern) = pattern.as_ref().filter(|_| !over) {
                let patience = self.control.pace.scale(EVENT_PATIENCE);
                let (count, left) = ended(&chunk.records, Some(pattern), self.control.now(), patience);
                // What a crash interrupted is done as it was begun.
                let count = count.max(shipped.batches.last().copied().unwrap_or(0)).min(chunk.records.len());
                if count == 0 && !chunk.records.is_empty() {
                    return Ok(Next::After(left.min(POLL)));
                }
                if count < chunk.records.len() {
                    chunk.records.truncate(count);
                    chunk.next = chunk.records.last().map_or(offset, |record| record.next);
                }
            }
            let mut batches = shipped.batches.clone();
            if batches.last().copied().unwrap_or(0) < chunk.records.len() {
                batches.push(chunk.records.len());
                self.put(key, ShippedRow { batches: batches.clone(), ..shipped.clone() }).await?;
            }
            let mut from = 0;
            for (number, to) in batches.into_iter().enumerate() {
                let Some(records) = chunk.records.get(from..to) else { break };
                let position = (offset << BATCH_BITS) + number as u64;
                let events = events(records, pattern.as_ref());
                if !events.is_empty() {
                    let logs = &self.control.ports.logs;
                    let appended = logs.append(&key.scope, log, (position, events), session.as_ref(), &netns);
                    appended.await.map_err(Failure::new)?;
                }
                from = to;
            }
            let next = ShippedRow { offset: chunk.next, batches: vec![], ended: chunk.ended, ..shipped };
            let ended = next.ended;
            self.put(key, next).await?;
            let _ = self.control.runtime.release_logs(&id, container, chunk.next).await;
            if ended {
                return Ok(Next::Done);
            }
        }
        Ok(Next::After(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lines: &[(i64, &str)]) -> Vec<LogRecord> {
        let of = |(at, line): &(i64, &str)| LogRecord {
            at: Timestamp(*at),
            stream: runtime::LogStream::Stdout,
            partial: false,
            line: line.as_bytes().to_vec(),
            next: 0,
        };
        lines.iter().map(of).collect()
    }

    #[test]
    fn lines_are_put_together_to_events_that_begin_as_the_pattern_says() {
        let pattern = logging::compile("^E").expect("it is one");
        let records = records(&[(1, "E one"), (2, "  more"), (3, "E two"), (4, "")]);
        let found = events(&records, Some(&pattern));
        let found: Vec<_> = found.iter().map(|event| (event.at.0, event.message.as_str())).collect();
        assert_eq!(found, [(1, "E one\n  more\n"), (3, "E two\n\n")]);
        let plain = events(&records, None);
        assert_eq!(plain.len(), 3, "an empty line is no event: {plain:?}");
    }

    #[test]
    fn the_last_event_waits_for_its_next_line_but_not_for_ever() {
        let pattern = logging::compile("^E").expect("it is one");
        let records = records(&[(1000, "E one"), (2000, "E two"), (2500, "  more")]);
        let patience = Duration::from_secs(5);
        let at = |now| ended(&records, Some(&pattern), Timestamp(now), patience);
        assert_eq!(at(3000), (1, Duration::from_secs(4)));
        assert_eq!(at(7000), (3, Duration::ZERO));
        assert_eq!(ended(&records, None, Timestamp(3000), patience).0, 3);
        assert_eq!(ended(&[], Some(&pattern), Timestamp(0), patience).0, 0);
    }
}
