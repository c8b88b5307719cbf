//! What becomes of tasks and container instances, told to EventBridge as `ECS Task State Change` and `ECS Container Instance
//! State Change`. Source: ECS developer guide, "Amazon ECS task state change events" and "Amazon ECS container instance state
//! change events".
//!
//! The change feed tells each state that one was in, in order; [`ToldRow`] remembers which of them were told, in the
//! commit that tells. After a crash the states that passed unseen are left out, and the present one is told. Where no rule
//! waits for anything, nothing is told and nothing is written.

use super::Control;
use crate::api;
use crate::names;
use crate::rows::{ContainerInstanceRow, TaskRow, ToldRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use events::Event;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// The states that may not be told yet, at most: one that changes faster than it is told loses the oldest.
const MOST_STATES: usize = 64;

/// Something whose states are told.
pub trait Told: Row {
    /// The controller's name.
    const CONTROLLER: &'static str;
    /// What it is in [`ToldRow::what`].
    const KIND: &'static str;

    /// Grows with every state.
    fn version(&self) -> i64;

    /// What is told of it in this state.
    fn event(row: &Arc<Self>, view: &View, scope: &Scope, now: Timestamp) -> Event;
}

/// What something was before its changes, oldest first; nothing before it came.
type Passed<R> = Vec<Option<Arc<R>>>;

/// Tells of rows of one kind. Its key is the row's id.
pub struct StateEvents<R> {
    control: Control,
    /// What they were before changes, as the feed told it.
    passed: Mutex<HashMap<Key, Passed<R>>>,
}

impl<R: Told> StateEvents<R> {
    /// The controller.
    pub fn new(control: Control) -> Self {
        Self { control, passed: Mutex::default() }
    }

    fn passed(&self) -> MutexGuard<'_, HashMap<Key, Passed<R>>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told for TaskRow {
    const CONTROLLER: &'static str = "ecs-task-events";
    const KIND: &'static str = "task";

    fn version(&self) -> i64 {
        self.version
    }

    fn event(row: &Arc<Self>, _: &View, scope: &Scope, now: Timestamp) -> Event {
        let at = since(row, now);
        let task = api::task_shape(scope, row);
        let arn = task.task_arn.clone().unwrap_or_default();
        let mut detail = detail(serde_json::to_value(model::Stored(task)).unwrap_or_default(), at);
        for attachment in detail.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
            if attachment["type"] == "ElasticNetworkInterface" {
                attachment["type"] = "eni".into();
            }
        }
        event("ECS Task State Change", arn, at, detail)
    }
}

impl Told for ContainerInstanceRow {
    const CONTROLLER: &'static str = "ecs-instance-events";
    const KIND: &'static str = "instance";

    fn version(&self) -> i64 {
        self.version
    }

    fn event(row: &Arc<Self>, view: &View, scope: &Scope, now: Timestamp) -> Event {
        let instance = api::instance_shape(view, scope, row);
        let arn = instance.container_instance_arn.clone().unwrap_or_default();
        let mut detail = detail(serde_json::to_value(model::Stored(instance)).unwrap_or_default(), now);
        detail["clusterArn"] = names::cluster_arn(scope, &row.cluster).into();
        event("ECS Container Instance State Change", arn, now, detail)
    }
}

fn event(detail_type: &str, resource: String, at: Timestamp, detail: Value) -> Event {
    let (source, detail_type) = ("aws.ecs".to_owned(), detail_type.to_owned());
    Event { source, detail_type, resources: vec![resource], at, detail }
}

/// What answers say of something as events say it.
fn detail(mut shape: Value, at: Timestamp) -> Value {
    written_as_events_are(&mut shape);
    if let Value::Object(detail) = &mut shape {
        detail.remove("tags");
        detail.insert("updatedAt".to_owned(), Value::String(at.iso8601()));
    }
    shape
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
fn tell<R: Told>(tx: &mut Tx, scope: &Scope, id: &str, told: Option<i64>, states: &[Arc<R>], now: Timestamp) {
    let mut told = told;
    for row in states {
        if told.is_some_and(|told| row.version() <= told) {
            continue;
        }
        let event = R::event(row, tx, scope, now);
        events::publish(tx, scope, &event, now);
        told = Some(row.version());
    }
    if let Some(version) = told {
        let what = ToldRow::of(R::KIND, id);
        tx.put(scope, ToldRow { what, version, event: None, deployments: BTreeMap::default() });
    }
}

#[async_trait]
impl<R: Told> Controller for StateEvents<R> {
    fn name(&self) -> &'static str {
        R::CONTROLLER
    }

    fn tables(&self) -> &'static [&'static str] {
        const { &[R::TABLE] }
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let key = Key::new(&change.scope, change.id.to_string());
        let known = view.contains::<ToldRow>(&key.scope, &ToldRow::of(R::KIND, &key.id));
        if !known && !events::is_awaited(view, &key.scope) {
            return Vec::new();
        }
        let mut passed = self.passed();
        let states = passed.entry(key.clone()).or_default();
        states.push(change.before::<R>());
        if states.len() > MOST_STATES {
            states.remove(0);
        }
        vec![key]
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let id = |row: &ToldRow| Some(row.what.strip_prefix(R::KIND)?.strip_prefix('/')?.to_owned());
        view.scan_all::<ToldRow>().filter_map(|(scope, row)| Some(Key::new(scope, id(row)?))).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (scope, now) = (&key.scope, self.control.now());
        let what = ToldRow::of(R::KIND, &key.id);
        let passed = self.passed().remove(key).unwrap_or_default();
        let ((), ticket) = self.control.write(|tx| {
            let told = tx.get::<ToldRow>(scope, &what).map(|row| row.version);
            let present = tx.get::<R>(scope, &key.id);
            // Of one that nothing was told of yet: what it was before the first change seen is not news.
            let known = told.or_else(|| passed.first().and_then(|first| first.as_ref()).map(|row| row.version()));
            if present.is_none() || !events::is_awaited(tx, scope) {
                tx.delete::<ToldRow>(scope, &what);
                return;
            }
            if told.is_none() && passed.is_empty() {
                return;
            }
            let states: Vec<Arc<R>> = passed.into_iter().flatten().chain(present).collect();
            tell(tx, scope, &key.id, known, &states, now);
        });
        ticket.await?;
        Ok(Next::Done)
    }
}
