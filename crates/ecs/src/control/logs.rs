//! The log shipper: moves what containers write from the runtime's files to their log streams.
//!
//! Exactly once: before a batch of records is handed over, the row says how many there are; they go under a position made
//! of where they were read and the batch's number; only then is the next read's offset stored. After a crash in between, the same
//! batch comes under the same position, and the stream's owner ([`crate::ports::Logs::append`]) drops it; what was
//! written since is a batch of its own.

use super::Control;
use crate::ports::LogEvent;
use crate::rows::{ShippedRow, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::TaskStatus;
use runtime::{LogRecord, RuntimeError, TaskId};
use std::time::Duration;
use store::{Change, Row, View};

pub(super) const NAME: &str = "ecs-logs";

/// One read's most.
const CHUNK: usize = 512 << 10;
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

/// What CloudWatch Logs gets: no empty events, and text.
fn events(records: &[LogRecord]) -> Vec<LogEvent> {
    let lines = records.iter().filter(|record| !record.line.is_empty());
    lines
        .map(|record| LogEvent { at: record.at, message: String::from_utf8_lossy(&record.line).into_owned() })
        .collect()
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
            let netns = row.netns();
            let assume = |role| self.control.ports.roles.assume(&view, &key.scope, role, &row.id).ok();
            let session = row.execution_role.as_deref().and_then(assume);
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
            let chunk = match self.control.runtime.read_logs(&id, container, offset, CHUNK).await {
                Ok(chunk) => chunk,
                Err(RuntimeError::NoTask(_) | RuntimeError::NoContainer { .. }) => return Ok(Next::Done),
                Err(why) => return Err(why.into()),
            };
            if chunk.records.is_empty() && chunk.next == offset && !chunk.ended {
                return Ok(Next::After(POLL));
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
                let events = events(records);
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
