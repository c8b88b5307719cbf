//! The agents of ECS Exec: whether Session Manager could reach a container.
//!
//! On AWS an agent runs in each container of a task that was started with `enableExecuteCommand`, and holds a channel to Session Manager: as
//! the task role, over the task's network. Here nothing has to run in the container, but all that an agent needs is asked for again
//! and again, so that a missing permission, route or endpoint keeps a command from being executed as it does there.

use super::Control;
use crate::exec::Registry;
use crate::names;
use crate::rows::{DefinitionRow, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::TaskStatus;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Row, View};

/// How often a connected agent is looked at. Source: the agent's `WebSocketPongWaitTimeout`.
const CONNECTED: Duration = Duration::from_mins(1);
/// How soon one that is not tries again. Source: the agent's `ControlChannelRetryInitialDelayMillis`.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps agents' connections. Its key is the task's id.
pub struct ExecAgents {
    control: Control,
    registry: Arc<Registry>,
}

impl ExecAgents {
    /// The controller; it tells `registry` what it finds.
    pub fn new(control: Control, registry: Arc<Registry>) -> Self {
        Self { control, registry }
    }
}

/// The containers of a task whose agents can run: those that run, and that have a file system which can be written.
/// Source: ECS developer guide, "Using ECS Exec", considerations.
fn able(row: &TaskRow, definition: &DefinitionRow) -> HashSet<String> {
    let read_only = |name: &str| {
        let found = definition.containers().iter().find(|container| container.name.as_deref() == Some(name));
        found.and_then(|container| container.readonly_root_filesystem) == Some(true)
    };
    let running = row.containers.iter().filter(|container| container.last == TaskStatus::Running);
    running.map(|container| container.name.clone()).filter(|name| !read_only(name)).collect()
}

#[async_trait]
impl Controller for ExecAgents {
    fn name(&self) -> &'static str {
        "ecs-exec-agents"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TaskRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let row = view.get::<TaskRow>(&change.scope, &change.id);
        // One that is gone is forgotten.
        let concerned = row.is_none_or(|row| row.enable_execute_command);
        if concerned { vec![Key::new(&change.scope, change.id.to_string())] } else { vec![] }
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let enabled = view.scan_all::<TaskRow>().filter(|(_, row)| row.enable_execute_command);
        enabled.map(|(scope, row)| Key::new(scope, row.id.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let view = self.control.store.view();
        let none = HashSet::new;
        let row = view.get::<TaskRow>(&key.scope, &key.id).filter(|row| row.last <= TaskStatus::Running);
        let definition = row
            .as_ref()
            .and_then(|row| view.get::<DefinitionRow>(&key.scope, &DefinitionRow::key(&row.family, row.revision)));
        let (Some(row), Some(definition)) = (row, definition) else {
            self.registry.connected(&key.id, none());
            return Ok(Next::Done);
        };
        let able = able(&row, &definition);
        let Some(role) = row.task_role.as_deref().filter(|_| !able.is_empty()) else {
            self.registry.connected(&key.id, none());
            return Ok(Next::Done);
        };
        let arn = names::task_arn(&key.scope, &row.cluster, &row.id);
        let opened = match self.control.ports.roles.assume(&view, &key.scope, role, &row.id) {
            Ok(session) => self.control.ports.messages.open(&key.scope, &session, &arn, &row.netns()).await,
            Err(why) => Err(why),
        };
        let pace = self.control.pace;
        Ok(match opened {
            Ok(()) => {
                self.registry.connected(&key.id, able);
                Next::After(pace.scale(CONNECTED))
            }
            Err(why) => {
                tracing::debug!(task = key.id, why, "the agent of ECS Exec cannot connect");
                self.registry.connected(&key.id, none());
                Next::After(pace.scale(RETRY))
            }
        })
    }
}
