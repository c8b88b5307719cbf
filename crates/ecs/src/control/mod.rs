//! The controllers: from intent in the rows to effects, and back to observations in the rows.

pub(crate) mod agents;
pub(crate) mod connect;
pub(crate) mod definitions;
pub(crate) mod dependencies;
pub(crate) mod discovery;
pub(crate) mod health;
pub(crate) mod instance_resources;
pub(crate) mod instances;
pub(crate) mod logs;
pub(crate) mod managed_draining;
pub(crate) mod managed_scaling;
pub(crate) mod meter;
mod on_instances;
pub(crate) mod service;
pub(crate) mod service_events;
mod start;
pub(crate) mod state_events;
pub(crate) mod task;
pub(crate) mod tokens;
pub(crate) mod waiting;

pub(crate) use service::record;

use crate::ports::Ports;
use crate::rows::{ClusterRow, Event, EventsRow, TaskRow};
use controller::Key;
use runtime::{Runtime, TaskEventKind, TaskId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use store::{Store, Ticket, Tx, View};
use tokio::sync::broadcast::error::RecvError;
use types::{Clock, Pace, Scope, Timestamp};

/// What all controllers of this crate share.
#[derive(Clone)]
pub struct Control {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How much faster than AWS waiting times pass.
    pub pace: Pace,
    /// What runs tasks.
    pub runtime: Arc<dyn Runtime>,
    /// The other services.
    pub ports: Ports,
}

impl Control {
    /// Runs `change` in a transaction. The ticket is to be awaited before anything is done that relies on it.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Tx) -> T) -> (T, Ticket) {
        let mut tx = self.store.begin();
        let answer = change(&mut tx);
        (answer, tx.commit())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Adds events to a service, the last message being the newest.
pub(crate) fn journal(tx: &mut Tx, scope: &Scope, service: &str, messages: Vec<String>, now: Timestamp) {
    if messages.is_empty() {
        return;
    }
    let row = tx.get::<EventsRow>(scope, service);
    let mut row = row.map_or_else(
        || EventsRow { service: service.to_owned(), ..EventsRow::default() },
        |row| EventsRow::clone(&row),
    );
    for message in messages {
        row.events.push_front(Event { id: types::id::random_uuid(), at: now, message });
    }
    row.events.truncate(EventsRow::MOST);
    tx.put(scope, row);
}

/// Wakes the controllers when the runtime reports something. Ends with the runtime.
pub async fn pump(control: Control, wake: impl Fn(&'static str, Key) + Send) {
    let mut events = control.runtime.watch();
    let mut scopes: HashMap<TaskId, Scope> = HashMap::new();
    loop {
        match events.recv().await {
            Ok(event) => {
                let known = scopes.get(&event.task).cloned();
                let Some(scope) = known.or_else(|| scope_of(&control.store.view(), event.task.as_str())) else {
                    continue;
                };
                if scopes.len() > 4096 {
                    scopes.clear();
                }
                scopes.insert(event.task.clone(), scope.clone());
                let log = Key::new(&scope, format!("{}/{}", event.task, event.container));
                match event.kind {
                    TaskEventKind::LogAvailable => wake(logs::NAME, log),
                    TaskEventKind::Exited(_) => {
                        wake(logs::NAME, log);
                        wake(task::NAME, Key::new(&scope, event.task.as_str()));
                    }
                    _ => wake(task::NAME, Key::new(&scope, event.task.as_str())),
                }
            }
            Err(RecvError::Lagged(_)) => {
                let view = control.store.view();
                for (scope, row) in view.scan_all::<TaskRow>() {
                    wake(task::NAME, Key::new(scope, row.id.as_str()));
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn scope_of(view: &View, task: &str) -> Option<Scope> {
    // Tasks are in clusters, of which there are few; looking at every task would cost more with each.
    let scopes: BTreeSet<&Scope> = view.scan_all::<ClusterRow>().map(|(scope, _)| scope).collect();
    scopes.into_iter().find(|scope| view.contains::<TaskRow>(scope, task)).cloned()
}
