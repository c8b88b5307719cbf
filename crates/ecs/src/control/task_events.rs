//! What becomes of tasks, told to EventBridge as `ECS Task State Change`. Source: ECS developer guide, "Amazon ECS task
//! state change events".
//!
//! The change feed tells each state that a task was in, in order; [`ToldRow`] remembers which of them were told, in the
//! commit that tells. After a crash the states that passed unseen are left out, and the present one is told. Where no rule
//! waits for anything, nothing is told and nothing is written.

use super::Control;
use crate::api;
use crate::rows::{TaskRow, ToldRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use events::Event;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// The states of a task that may not be told yet, at most: one that changes faster than it is told loses the oldest.
const MOST_STATES: usize = 64;

/// Tells of tasks. Its key is the task's id.
pub struct TaskEvents {
    control: Control,
    /// What tasks were before changes, as the feed told it.
    passed: Mutex<HashMap<Key, Vec<Option<Arc<TaskRow>>>>>,
}

impl TaskEvents {
    /// The controller.
    pub fn new(control: Control) -> Self {
        Self { control, passed: Mutex::default() }
    }

    fn passed(&self) -> MutexGuard<'_, HashMap<Key, Vec<Option<Arc<TaskRow>>>>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event of a task as it was at one version.
fn event(scope: &Scope, row: &TaskRow, at: Timestamp) -> Event {
    let task = api::task_shape(scope, row);
    let arn = task.task_arn.clone().unwrap_or_default();
    let mut detail = serde_json::to_value(model::Stored(task)).unwrap_or_default();
    written_as_events_are(&mut detail);
    if let Value::Object(detail) = &mut detail {
        detail.remove("tags");
        detail.insert("updatedAt".to_owned(), Value::String(at.iso8601()));
        for attachment in detail.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
            if attachment["type"] == "ElasticNetworkInterface" {
                attachment["type"] = "eni".into();
            }
        }
    }
    Event {
        source: "aws.ecs".to_owned(),
        detail_type: "ECS Task State Change".to_owned(),
        resources: vec![arn],
        at,
        detail,
    }
}

/// Times are texts in events, and numbers of seconds in answers.
fn written_as_events_are(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_f64() {
                    Some(seconds) if name.ends_with("At") => {
                        *member = Value::String(Timestamp((seconds * 1000.0).round() as i64).iso8601());
                    }
                    _ => written_as_events_are(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(written_as_events_are),
        _ => {}
    }
}

/// When a task came into the state that it is in: the newest of its times.
fn since(row: &TaskRow, now: Timestamp) -> Timestamp {
    let times = [
        row.connectivity_at,
        row.pull_started_at,
        row.pull_stopped_at,
        row.started_at,
        row.stopping_at,
        row.execution_stopped_at,
        row.stopped_at,
    ];
    times.into_iter().flatten().max().unwrap_or(row.created_at).min(now)
}

/// Tells of the states in `states` that are newer than what was told, oldest first.
fn tell(tx: &mut Tx, scope: &Scope, id: &str, told: Option<i64>, states: &[Arc<TaskRow>], now: Timestamp) {
    let mut told = told;
    for row in states {
        if told.is_some_and(|told| row.version <= told) {
            continue;
        }
        events::publish(tx, scope, &event(scope, row, since(row, now)), now);
        told = Some(row.version);
    }
    if let Some(version) = told {
        let row = ToldRow {
            what: ToldRow::task(id),
            version,
            event: None,
            deployments: std::collections::BTreeMap::default(),
        };
        tx.put(scope, row);
    }
}

#[async_trait]
impl Controller for TaskEvents {
    fn name(&self) -> &'static str {
        "ecs-task-events"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TaskRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let key = Key::new(&change.scope, change.id.to_string());
        let known = view.contains::<ToldRow>(&key.scope, &ToldRow::task(&key.id));
        if !known && !events::is_awaited(view, &key.scope) {
            return Vec::new();
        }
        let mut passed = self.passed();
        let states = passed.entry(key.clone()).or_default();
        states.push(change.before::<TaskRow>());
        if states.len() > MOST_STATES {
            states.remove(0);
        }
        vec![key]
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let told = view.scan_all::<ToldRow>();
        told.filter_map(|(scope, row)| Some(Key::new(scope, row.what.strip_prefix("task/")?))).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (scope, now) = (&key.scope, self.control.now());
        let what = ToldRow::task(&key.id);
        let passed = self.passed().remove(key).unwrap_or_default();
        let ((), ticket) = self.control.write(|tx| {
            let told = tx.get::<ToldRow>(scope, &what).map(|row| row.version);
            let present = tx.get::<TaskRow>(scope, &key.id);
            // Of a task that nothing was told of yet: what it was before the first change seen is not news.
            let known = told.or_else(|| passed.first().and_then(|first| first.as_ref()).map(|row| row.version));
            if present.is_none() || !events::is_awaited(tx, scope) {
                tx.delete::<ToldRow>(scope, &what);
                return;
            }
            if told.is_none() && passed.is_empty() {
                return;
            }
            let states: Vec<Arc<TaskRow>> = passed.into_iter().flatten().chain(present).collect();
            tell(tx, scope, &key.id, known, &states, now);
        });
        ticket.await?;
        Ok(Next::Done)
    }
}
