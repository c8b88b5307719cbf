//! A container instance's version grows as tasks take of what it has and give it back, upon which its event is told
//! (`state_events`). Its key is the container instance's id.
//! Source: API reference, `ContainerInstance.version`; ECS developer guide, "Amazon ECS container instance state change events".
//!
//! Of several tasks that come and go at once the instance's event tells together. What a crash leaves unseen is not told.

use super::Control;
use crate::rows::{ContainerInstanceRow, InstanceStatus, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::TaskStatus;
use store::{Change, Row, View};

/// Counts the changes of what instances have left.
pub struct InstanceResources {
    control: Control,
}

impl InstanceResources {
    /// The controller.
    pub fn new(control: Control) -> Self {
        Self { control }
    }
}

/// The container instance whose resources a task holds.
fn holds(task: &TaskRow) -> Option<&str> {
    task.host.as_ref().filter(|_| task.last != TaskStatus::Stopped).map(|host| host.instance.as_str())
}

#[async_trait]
impl Controller for InstanceResources {
    fn name(&self) -> &'static str {
        "ecs-instance-resources"
    }

    fn tables(&self) -> &'static [&'static str] {
        const { &[TaskRow::TABLE] }
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let (before, after) = (change.before::<TaskRow>(), view.get::<TaskRow>(&change.scope, &change.id));
        let (before, after) = (before.as_deref().and_then(holds), after.as_deref().and_then(holds));
        let changed = before.into_iter().chain(after).filter(|_| before != after);
        changed.map(|instance| Key::new(&change.scope, instance)).collect()
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        Vec::new()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let ((), ticket) = self.control.write(|tx| {
            let known = tx.get::<ContainerInstanceRow>(&key.scope, &key.id);
            if known.is_some_and(|row| row.status != InstanceStatus::Inactive) {
                tx.update::<ContainerInstanceRow>(&key.scope, &key.id, |row| row.version += 1);
            }
        });
        ticket.await?;
        Ok(Next::Done)
    }
}
