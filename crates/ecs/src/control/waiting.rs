//! Standalone tasks that wait in PROVISIONING for room on an instance of their capacity provider: they are placed when there is
//! some, in the order in which they came, or stopped when they have waited too long. Its key is the cluster's name.
//! Source: AWS's blog, "Deep dive on Amazon ECS cluster auto scaling".
//!
//! Nobody makes room for them but managed scaling, which asks [`of_provider`] how much is missing.

use super::Control;
use crate::placing::{self, Placed, Unplaced, Wish};
use crate::rows::{ContainerInstanceRow, DefinitionRow, TaskRow, WAITING_TASKS, WaitRow};
use crate::texts;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::fargate::Size;
use rollout::placement::{Instance, Lack, Strategy};
use rollout::{StopCode, TaskStatus};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Row, View};
use types::{Scope, Timestamp};

/// How long a task waits for room (AWS: between 10 and 30 minutes).
const PATIENCE: Duration = Duration::from_mins(15);

/// Places tasks that wait.
pub struct WaitingTasks {
    control: Control,
}

impl WaitingTasks {
    /// The controller.
    pub fn new(control: Control) -> Self {
        Self { control }
    }
}

/// Whether a task that is placed nowhere may wait for room: also one that is larger than any instance, as on AWS.
pub(crate) fn may_wait(why: &Unplaced) -> bool {
    match why {
        Unplaced::NoInstances => true,
        Unplaced::Lacks(_) => {
            let room = |lack| matches!(lack, Lack::Interfaces | Lack::Ports | Lack::Cpu | Lack::Memory);
            why.closest().is_some_and(|(_, lack)| room(lack))
        }
    }
}

/// The tasks of a cluster that wait, in the order in which they came.
fn tasks(view: &View, scope: &Scope, cluster: &str) -> Vec<Arc<TaskRow>> {
    let mut found: Vec<Arc<TaskRow>> = view.by_index(&WAITING_TASKS, scope, cluster).cloned().collect();
    found.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    found
}

/// How many tasks of a cluster wait.
pub(crate) fn count(view: &View, scope: &Scope, cluster: &str) -> usize {
    view.by_index(&WAITING_TASKS, scope, cluster).count()
}

/// Asks about what a task that waits wishes. `None`: what it waits for makes no sense, which is so of none that was accepted.
fn wish<R>(
    view: &View,
    scope: &Scope,
    row: &TaskRow,
    wait: &WaitRow,
    now: Timestamp,
    ask: impl FnOnce(&Wish) -> R,
) -> Option<R> {
    let definition = view.get::<DefinitionRow>(scope, &DefinitionRow::key(&row.family, row.revision))?;
    let constraints = placing::constraints(&definition, &wait.constraints).ok()?;
    let mut strategies = placing::strategies(&wait.strategies);
    if strategies.is_empty() {
        strategies.push(Strategy::Random);
    }
    let wish = Wish {
        cluster: &row.cluster,
        provider: row.capacity_provider.as_deref(),
        definition: &definition,
        size: Size { cpu: row.cpu, memory: row.memory },
        network: &wait.network,
        constraints: &constraints,
        strategies: &strategies,
        group: &row.group,
        seed: u64::try_from(now.millis()).unwrap_or(0),
    };
    Some(ask(&wish))
}

/// Where a task that waits could go.
fn place(
    view: &View,
    scope: &Scope,
    row: &TaskRow,
    wait: &WaitRow,
    now: Timestamp,
) -> Option<Result<Placed, Unplaced>> {
    wish(view, scope, row, wait, now, |wish| placing::choose(view, scope, wish))
}

/// What the tasks of a cluster need that wait for instances of a provider and fit one of these, which it would launch: how
/// many they are, CPU units and MiB.
pub(super) fn of_provider(
    view: &View,
    scope: &Scope,
    (cluster, provider): (&str, &str),
    launches: &[Instance],
    now: Timestamp,
) -> (u64, u64, u64) {
    let (mut count, mut cpu, mut memory) = (0, 0, 0);
    for row in tasks(view, scope, cluster) {
        let wait = row.waits.as_ref().filter(|_| row.capacity_provider.as_deref() == Some(provider));
        // One that has room by now waits for nothing but its turn; for one that fits no new instance none helps.
        let lacks_room = |wish: &Wish| {
            placing::choose(view, scope, wish).is_err() && launches.iter().any(|launch| wish.suits(launch))
        };
        if wait.and_then(|wait| wish(view, scope, &row, wait, now, lacks_room)) == Some(true) {
            count += 1;
            cpu += u64::from(row.cpu);
            memory += u64::from(row.memory);
        }
    }
    (count, cpu, memory)
}

#[async_trait]
impl Controller for WaitingTasks {
    fn name(&self) -> &'static str {
        "ecs-waiting-tasks"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TaskRow::TABLE, ContainerInstanceRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let scope = &change.scope;
        let cluster = if change.table == ContainerInstanceRow::TABLE {
            let row = view.get::<ContainerInstanceRow>(scope, &change.id);
            row.or_else(|| change.before::<ContainerInstanceRow>()).map(|row| row.cluster.clone())
        } else {
            let row = view.get::<TaskRow>(scope, &change.id).or_else(|| change.before::<TaskRow>());
            // One that came to wait, or one that makes room.
            let matters = |row: &Arc<TaskRow>| row.waits.is_some() || row.last == TaskStatus::Stopped;
            row.filter(matters).map(|row| row.cluster.clone())
        };
        let cluster = cluster.filter(|cluster| count(view, scope, cluster) > 0);
        cluster.map(|cluster| Key::new(scope, cluster)).into_iter().collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let rows = view.scan_all::<TaskRow>().filter(|(_, row)| row.waits.is_some());
        rows.map(|(scope, row)| Key::new(scope, row.cluster.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (scope, now) = (&key.scope, self.control.now());
        let patience = self.control.pace.scale(PATIENCE);
        let (next, ticket) = self.control.write(|tx| {
            let mut soonest: Option<Duration> = None;
            for row in tasks(tx, scope, &key.id) {
                let Some(wait) = &row.waits else { continue };
                let place = place(tx, scope, &row, wait, now);
                let waited = now.since(row.created_at);
                if let Some(Ok(place)) = place {
                    tx.update::<TaskRow>(scope, &row.id, |row| {
                        row.host = Some(place.host);
                        row.eni = place.eni;
                        row.placement = place.placement;
                        row.placed_at = Some(now);
                        row.waits = None;
                        row.version += 1;
                    });
                } else if waited >= patience || place.is_none() {
                    let provider = row.capacity_provider.as_deref().unwrap_or_default();
                    let reason = texts::waited_too_long(provider);
                    tx.update::<TaskRow>(scope, &row.id, |row| row.stop(StopCode::TaskFailedToStart, reason, now));
                } else {
                    let left = patience.saturating_sub(waited);
                    soonest = Some(soonest.map_or(left, |soonest| soonest.min(left)));
                }
            }
            soonest
        });
        ticket.await?;
        Ok(next.map_or(Next::Done, Next::After))
    }
}
