//! The service controller: shows [`rollout::decide`] a service as it stands, and carries its plan out in one transaction.
//!
//! Plan and effect see the same transaction, so nothing can come between them; tasks are only rows here, the task
//! controller makes them real. [`observe`] makes the scheduler's state of rows, [`carry`] makes rows of decisions, and
//! [`record`] keeps the service deployment's record.

mod carry;
mod observe;
pub(crate) mod record;

use self::carry::Carrying;
use self::observe::Observer;
use super::{Control, journal, on_instances};
use crate::rows::{
    ContainerInstanceRow, EventsRow, SERVICES_BY_TARGET_GROUP, ServiceDeploymentRow, ServiceRevisionRow, ServiceRow,
    ServiceStatus, TASKS_BY_SERVICE, TaskRow,
};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::{Plan, ServiceState, TaskStatus};
use std::time::Duration;
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// AWS's scheduler looks at each service about every ten seconds. Ours is woken by what changes; this is for a change of a
/// target's health that no row tells of.
const TICK: Duration = Duration::from_secs(10);
/// How long a deleted service can be described.
const INACTIVE_FOR: Duration = Duration::from_hours(1);

/// Keeps services as they are wanted. Its key is `cluster/service`.
pub struct ServiceController {
    control: Control,
    tables: &'static [&'static str],
}

impl ServiceController {
    /// The controller. Made once for each process: its list of tables lives as long as that.
    pub fn new(control: Control) -> Self {
        let mut tables = vec![ServiceRow::TABLE, TaskRow::TABLE, ContainerInstanceRow::TABLE];
        tables.extend(control.ports.targets.tables());
        tables.extend(control.ports.alarms.iter().flat_map(|alarms| alarms.tables()));
        Self { control, tables: Box::leak(tables.into_boxed_slice()) }
    }

    /// What is to be done, without doing it.
    fn plan(&self, view: &View, scope: &Scope, row: &ServiceRow, now: Timestamp) -> (ServiceState, Plan) {
        let state = Observer { control: &self.control, view, scope, row }.state();
        let plan = rollout::decide(&state, now);
        (state, plan)
    }

    /// Until when there is nothing to do.
    fn rest(&self, row: &ServiceRow, plan: &Plan, now: Timestamp) -> Next {
        let looks = !row.targets.is_empty() || row.placement.complaint.is_some();
        let tick = looks.then(|| now.plus(self.control.pace.scale(TICK)));
        let next = tick.into_iter().chain(plan.wake_at).min();
        next.map_or(Next::Done, |at| Next::After(at.since(now)))
    }

    /// A deleted service becomes INACTIVE with its last task, and is forgotten an hour later.
    fn bury(&self, scope: &Scope, row: &ServiceRow, now: Timestamp) -> Option<(Next, Option<store::Ticket>)> {
        let key = ServiceRow::key(&row.cluster, &row.name);
        match row.status {
            ServiceStatus::Active => None,
            ServiceStatus::Draining => {
                let view = self.control.store.view();
                if view.by_index(&TASKS_BY_SERVICE, scope, &key).any(|task| task.last != TaskStatus::Stopped) {
                    return None;
                }
                let ((), ticket) = self.control.write(|tx| {
                    tx.update::<ServiceRow>(scope, &key, |row| {
                        if row.status == ServiceStatus::Draining {
                            row.status = ServiceStatus::Inactive;
                            row.deleted_at = Some(now);
                        }
                    });
                    record::abandon(tx, scope, row, now);
                });
                Some((Next::After(INACTIVE_FOR), Some(ticket)))
            }
            ServiceStatus::Inactive => {
                let since = row.deleted_at.map_or(INACTIVE_FOR, |at| now.since(at));
                if since < INACTIVE_FOR {
                    return Some((Next::After(INACTIVE_FOR.saturating_sub(since)), None));
                }
                let ((), ticket) = self.control.write(|tx| {
                    // A service of the same name may have been made meanwhile.
                    if tx.get::<ServiceRow>(scope, &key).is_some_and(|row| row.status == ServiceStatus::Inactive) {
                        forget(tx, scope, &key);
                    }
                });
                Some((Next::Done, Some(ticket)))
            }
        }
    }
}

#[async_trait]
impl Controller for ServiceController {
    fn name(&self) -> &'static str {
        "ecs-services"
    }

    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let scope = &change.scope;
        if change.table == ServiceRow::TABLE {
            return vec![Key::new(scope, change.id.to_string())];
        }
        if change.table == ContainerInstanceRow::TABLE {
            return on_instances::of_instance(view, change);
        }
        if change.table == TaskRow::TABLE {
            let row = view.get::<TaskRow>(scope, &change.id).or_else(|| change.before::<TaskRow>());
            if let Some(row) = row.as_ref().filter(|row| row.host.is_some() && row.last == TaskStatus::Stopped) {
                return on_instances::of_freed(view, scope, row);
            }
            return row.and_then(|row| row.service_key()).map(|key| Key::new(scope, key)).into_iter().collect();
        }
        if self.control.ports.alarms.as_ref().is_some_and(|alarms| alarms.tables().contains(&change.table)) {
            let watching = view.scan::<ServiceRow>(scope).filter(|row| watches(row, &change.id));
            return watching.map(|row| Key::new(scope, row.id().into_owned())).collect();
        }
        // A target changed: its row's id is the group's ARN, or begins with it.
        let group = change.id.split(['|', '#', ' ']).next().unwrap_or_default();
        let services = view.by_index(&SERVICES_BY_TARGET_GROUP, scope, group);
        services.map(|row| Key::new(scope, row.id().into_owned())).collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<ServiceRow>().map(|(scope, row)| Key::new(scope, row.id().into_owned())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let now = self.control.now();
        let view = self.control.store.view();
        let Some(row) = view.get::<ServiceRow>(&key.scope, &key.id) else { return Ok(Next::Done) };
        if let Some((next, ticket)) = self.bury(&key.scope, &row, now) {
            if let Some(ticket) = ticket {
                ticket.await?;
            }
            return Ok(next);
        }
        if let Some(ticket) = on_instances::count_daemons(&self.control, &view, &key.scope, &row) {
            ticket.await?;
            return Ok(Next::After(Duration::ZERO));
        }
        // Most wakes find nothing to do: those take no turn of the writer.
        let (_, plan) = self.plan(&view, &key.scope, &row, now);
        if plan.decisions.is_empty() {
            return Ok(self.rest(&row, &plan, now));
        }
        let (plan, ticket) = self.control.write(|tx| {
            let row = tx.get::<ServiceRow>(&key.scope, &key.id)?;
            let plan = self.plan(tx, &key.scope, &row, now);
            let (state, plan) = plan;
            if !plan.decisions.is_empty() {
                Carrying::new(&self.control, tx, &key.scope, &row, &state, now).carry_out(tx, &plan, &row);
            }
            Some(plan)
        });
        ticket.await?;
        // What was written wakes us again; the clock's share is kept in case nothing was.
        Ok(plan.map_or(Next::Done, |plan| self.rest(&row, &plan, now)))
    }
}

/// Whether a deployment of the service that is under way watches the alarm.
fn watches(row: &ServiceRow, alarm: &str) -> bool {
    let alarms = row.deployment_configuration.alarms.as_ref().filter(|alarms| alarms.enable);
    alarms.is_some_and(|alarms| alarms.alarm_names.iter().any(|name| name == alarm))
}

/// Deletes a service's row and all that is kept beside it.
fn forget(tx: &mut Tx, scope: &Scope, key: &str) {
    tx.delete::<ServiceRow>(scope, key);
    tx.delete::<EventsRow>(scope, key);
    let first = format!("{key}/");
    let deployments = tx.scan_from::<ServiceDeploymentRow>(scope, &first).map(|row| row.id().into_owned());
    let deployments: Vec<String> = deployments.take_while(|id| id.starts_with(&first)).collect();
    let revisions = tx.scan_from::<ServiceRevisionRow>(scope, &first).map(|row| row.id().into_owned());
    let revisions: Vec<String> = revisions.take_while(|id| id.starts_with(&first)).collect();
    for id in deployments {
        tx.delete::<ServiceDeploymentRow>(scope, &id);
    }
    for id in revisions {
        tx.delete::<ServiceRevisionRow>(scope, &id);
    }
}
