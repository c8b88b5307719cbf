//! What automatic scaling may read of services and ask of them. The service controller does the rest.

use crate::control::journal;
use crate::rows::{ServiceRow, ServiceStatus, TASKS_BY_SERVICE, TaskRow};
use crate::texts;
use rollout::{DesiredStatus, TaskStatus};
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// The tables in which a change of a service's capacity shows.
pub const TABLES: &[&str] = &[ServiceRow::TABLE, TaskRow::TABLE];

/// How many tasks a service may have. Source: Amazon ECS service quotas, "Tasks per service".
pub const MOST_TASKS: u32 = 5_000;

/// The desired and the running count of an active service; `key` is `cluster/service`.
pub fn capacity(view: &View, scope: &Scope, key: &str) -> Option<(u32, u32)> {
    let row = view.get::<ServiceRow>(scope, key).filter(|row| row.status == ServiceStatus::Active)?;
    let runs =
        |task: &&std::sync::Arc<TaskRow>| task.last == TaskStatus::Running && task.desired == DesiredStatus::Running;
    let running = view.by_index(&TASKS_BY_SERVICE, scope, key).filter(runs).count();
    Some((row.desired, u32::try_from(running).unwrap_or(u32::MAX)))
}

/// Asks for another desired count, of which a service gets no more than [`MOST_TASKS`]. The error is ECS's text.
pub fn set_desired(tx: &mut Tx, scope: &Scope, key: &str, count: u32, now: Timestamp) -> Result<(), String> {
    match tx.get::<ServiceRow>(scope, key).map(|row| row.status) {
        None => return Err(texts::service_not_found().message),
        Some(ServiceStatus::Active) => {}
        Some(_) => return Err(texts::service_not_active().message),
    }
    tx.update::<ServiceRow>(scope, key, |row| {
        row.desired = count.min(MOST_TASKS);
        if let Some(primary) = row.deployments.first_mut() {
            primary.updated_at = now;
        }
    });
    Ok(())
}

/// Adds an event to a service.
pub fn announce(tx: &mut Tx, scope: &Scope, key: &str, message: &str, now: Timestamp) {
    if tx.contains::<ServiceRow>(scope, key) {
        journal(tx, scope, key, vec![message.to_owned()], now);
    }
}

/// The key of the service that a change in one of [`TABLES`] is about.
pub fn service_of(view: &View, change: &Change) -> Option<String> {
    if change.table == ServiceRow::TABLE {
        return Some(change.id.to_string());
    }
    view.get::<TaskRow>(&change.scope, &change.id)?.service_key()
}
