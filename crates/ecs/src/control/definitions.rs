//! Deletes task definitions whose deletion was asked for, once no task and no service needs them.

use super::Control;
use crate::rows::{DefinitionRow, ServiceRow, ServiceStatus, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::TaskStatus;
use std::time::Duration;
use store::{Change, Op, Row, View};
use types::Scope;

/// How long one stays in DELETE_IN_PROGRESS at least, so that it is seen there.
const LINGER: Duration = Duration::from_mins(1);
/// How often it is looked whether somebody still needs it.
const PERIOD: Duration = Duration::from_mins(1);

/// The controller. Its key is the definition's.
pub struct DefinitionKeeper {
    control: Control,
}

impl DefinitionKeeper {
    /// The keeper of the store's definitions.
    pub fn new(control: Control) -> Self {
        Self { control }
    }
}

/// Whether a task runs it, or a service would start others of it.
fn is_needed(view: &View, scope: &Scope, row: &DefinitionRow) -> bool {
    let runs =
        |task: &TaskRow| task.last < TaskStatus::Stopped && task.family == row.family && task.revision == row.revision;
    let deploys = |service: &ServiceRow| {
        service.status != ServiceStatus::Inactive
            && service.deployments.iter().any(|deployment| deployment.definition_arn == row.arn())
    };
    view.scan::<TaskRow>(scope).any(|task| runs(task)) || view.scan::<ServiceRow>(scope).any(|service| deploys(service))
}

#[async_trait]
impl Controller for DefinitionKeeper {
    fn name(&self) -> &'static str {
        "ecs-task-definitions"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[DefinitionRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.op == Op::Delete {
            return Vec::new();
        }
        let row = view.get::<DefinitionRow>(&change.scope, &change.id);
        let leaving = row.is_some_and(|row| row.delete_requested_at.is_some());
        if leaving { vec![Key::new(&change.scope, change.id.to_string())] } else { Vec::new() }
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let leaving = view.scan_all::<DefinitionRow>().filter(|(_, row)| row.delete_requested_at.is_some());
        leaving.map(|(scope, row)| Key::new(scope, DefinitionRow::key(&row.family, row.revision))).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let now = self.control.now();
        let pace = self.control.pace;
        let (next, ticket) = self.control.write(|tx| {
            let row = tx.get::<DefinitionRow>(&key.scope, &key.id)?;
            let since = row.delete_requested_at?;
            let left = pace.scale(LINGER).saturating_sub(now.since(since));
            if !left.is_zero() {
                return Some(left);
            }
            if is_needed(tx, &key.scope, &row) {
                return Some(pace.scale(PERIOD));
            }
            tx.delete::<DefinitionRow>(&key.scope, &key.id);
            None
        });
        ticket.await?;
        Ok(next.map_or(Next::Done, Next::After))
    }
}
