//! Managed instance draining: an instance of a capacity provider's group that is to end waits until its tasks are elsewhere.
//! Its key is the provider's name.
//! Source: ECS developer guide, "Safely stop Amazon ECS workloads running on EC2 instances".
//!
//! The group has such an instance wait by a lifecycle hook. Here its container instance is set to DRAINING, upon which the
//! service controller moves services' tasks within their deployments' bounds; standalone tasks are waited for. When nothing
//! runs there any more, or after 48 hours, the instance ends. Daemons' tasks go last (`on_instances`).

use super::Control;
use crate::ports::{HEARTBEAT, Waiting};
use crate::rows::{ContainerInstanceRow, INSTANCES_BY_EC2, InstanceStatus, ProviderRow, TASKS_BY_INSTANCE, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::TaskStatus;
use std::time::Duration;
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// Drains instances of capacity providers' groups before they end.
pub struct ManagedDraining {
    control: Control,
    tables: &'static [&'static str],
}

impl ManagedDraining {
    /// The controller. Made once for each process: its list of tables lives as long as that.
    pub fn new(control: Control) -> Self {
        let mut tables = vec![ProviderRow::TABLE, ContainerInstanceRow::TABLE, TaskRow::TABLE];
        tables.extend(control.ports.groups.tables());
        Self { control, tables: Box::leak(tables.into_boxed_slice()) }
    }

    /// Drains an instance, and lets it go once it is empty. Returns when to look again if nothing happens.
    fn drain(&self, tx: &mut Tx, scope: &Scope, group: &str, one: &Waiting, now: Timestamp) -> Option<Duration> {
        let registered = tx.by_index(&INSTANCES_BY_EC2, scope, &one.instance);
        let registered: Vec<String> =
            registered.filter(|row| row.status != InstanceStatus::Inactive).map(|row| row.id.clone()).collect();
        let mut busy = false;
        for id in &registered {
            let active =
                tx.get::<ContainerInstanceRow>(scope, id).is_some_and(|row| row.status == InstanceStatus::Active);
            if active {
                tx.update::<ContainerInstanceRow>(scope, id, |row| {
                    row.status = InstanceStatus::Draining;
                    row.version += 1;
                });
            }
            busy |= has_tasks(tx, scope, id);
        }
        let groups = &self.control.ports.groups;
        if !busy {
            groups.let_go(tx, scope, group, &one.instance, now);
            return None;
        }
        if one.until >= one.last {
            return None;
        }
        let half = self.control.pace.scale(Duration::from_secs(u64::from(HEARTBEAT) / 2));
        let left = one.until.since(now);
        if left > half {
            return Some(left.saturating_sub(half));
        }
        groups.hold(tx, scope, group, &one.instance, self.control.pace, now);
        Some(half)
    }
}

/// Whether anything is or comes up on a container instance.
fn has_tasks(view: &View, scope: &Scope, instance: &str) -> bool {
    view.by_index(&TASKS_BY_INSTANCE, scope, instance).any(|task| task.last < TaskStatus::Stopped)
}

#[async_trait]
impl Controller for ManagedDraining {
    fn name(&self) -> &'static str {
        "ecs-managed-draining"
    }

    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.table == ProviderRow::TABLE {
            return vec![Key::new(&change.scope, change.id.to_string())];
        }
        // There are few providers.
        let draining = view.scan::<ProviderRow>(&change.scope).filter(|row| row.drains);
        draining.map(|row| Key::new(&change.scope, row.name.as_str())).collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<ProviderRow>().map(|(scope, row)| Key::new(scope, row.name.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (scope, now) = (&key.scope, self.control.now());
        let waiting = |view: &View| {
            let row = view.get::<ProviderRow>(scope, &key.id).filter(|row| row.drains)?;
            let group = self.control.ports.groups.group(view, scope, &row.group)?;
            (!group.waiting.is_empty()).then_some(group)
        };
        if waiting(&self.control.store.view()).is_none() {
            return Ok(Next::Done);
        }
        let (next, ticket) = self.control.write(|tx| {
            let group = waiting(tx)?;
            group.waiting.iter().filter_map(|one| self.drain(tx, scope, &group.name, one, now)).min()
        });
        ticket.await?;
        Ok(next.map_or(Next::Done, Next::After))
    }
}
