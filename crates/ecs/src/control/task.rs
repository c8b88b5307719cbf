//! The task controller, the agent: takes a task through the stations of its life.
//!
//! Each station is one method, idempotent, which ends with the row at the next station or with what is waited for. The
//! row is the only memory: after a crash the present station is simply done again, and finds what it had made.

use super::{Control, journal};
use crate::ports::{EniRequest, Target, TargetState};
use crate::rows::{ContainerRow, DefinitionRow, ServiceRow, ShippedRow, TASKS_BY_ENI, TaskRow};
use crate::{names, texts};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::{DesiredStatus, StopCode, TaskStatus};
use runtime::{ContainerState, RuntimeError, TaskId};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, View};
use types::arn::Arn;
use types::{Scope, Timestamp};

pub(super) const NAME: &str = "ecs-tasks";

/// A look again where nothing is sure to wake us.
const POLL: Duration = Duration::from_secs(1);
/// How long a network interface may take (AWS: three minutes).
const ENI_PATIENCE: Duration = Duration::from_mins(3);
/// How long the last output of a task may take to be shipped before it is given up.
const LOG_PATIENCE: Duration = Duration::from_secs(30);
/// How long a stopped task can be described.
const STOPPED_FOR: Duration = Duration::from_hours(1);
/// More steps than a task's life has; a bound, not a limit that is met.
const MOST_STEPS: usize = 32;

/// Drives tasks. Its key is the task's id.
pub struct TaskController {
    pub(super) control: Control,
    tables: &'static [&'static str],
    /// Tasks whose containers were told to stop by this process: told twice, their grace would begin anew.
    told: Mutex<HashSet<String>>,
}

pub(super) enum Step {
    /// The row went on: look at it again.
    Again,
    /// Nothing more to do now.
    Rest(Next),
}

impl TaskController {
    /// The controller. Made once for each process: its list of tables lives as long as that.
    pub fn new(control: Control) -> Self {
        let mut tables = vec![TaskRow::TABLE, ShippedRow::TABLE];
        tables.extend(control.ports.network.tables());
        tables.extend(control.ports.targets.tables());
        Self { control, tables: Box::leak(tables.into_boxed_slice()), told: Mutex::default() }
    }

    /// Removes what the runtime has of tasks that no row knows: left by a crash between two steps, or by a reset.
    pub async fn sweep(&self) -> Result<(), RuntimeError> {
        let running = self.control.runtime.list().await?;
        let view = self.control.store.view();
        let known: HashSet<String> = view.scan_all::<TaskRow>().map(|(_, row)| row.id.clone()).collect();
        for status in running {
            if !known.contains(status.task.as_str()) {
                self.control.runtime.remove(&status.task).await?;
            }
        }
        Ok(())
    }

    async fn advance(&self, scope: &Scope, row: &TaskRow) -> Result<Step, Failure> {
        let id = TaskId::parse(&row.id).ok_or_else(|| Failure::new("a task's id is malformed"))?;
        if row.desired == DesiredStatus::Stopped && row.last < TaskStatus::Deactivating {
            self.to(scope, row, row.last.stop_from(), |_, _| {}).await?;
            return Ok(Step::Again);
        }
        match row.last {
            TaskStatus::Provisioning => self.provision(scope, row).await,
            TaskStatus::Pending => self.start(scope, row, &id).await,
            TaskStatus::Activating => self.activate(scope, row, &id).await,
            TaskStatus::Running => self.observe(scope, row, &id).await,
            TaskStatus::Deactivating => self.deactivate(scope, row, &id).await,
            TaskStatus::Stopping => self.stop(scope, row, &id).await,
            TaskStatus::Deprovisioning => self.clean(scope, row, &id).await,
            TaskStatus::Stopped => self.forget(scope, row).await,
        }
    }

    /// Changes the row, if it is still at the station that `row` showed.
    pub(super) async fn change(
        &self,
        scope: &Scope,
        row: &TaskRow,
        change: impl FnOnce(&mut TaskRow, Timestamp),
    ) -> Result<(), Failure> {
        let now = self.control.now();
        let ((), ticket) = self.control.write(|tx| {
            tx.update::<TaskRow>(scope, &row.id, |fresh| {
                if fresh.last == row.last {
                    change(fresh, now);
                }
            });
        });
        ticket.await?;
        Ok(())
    }

    /// Moves on to the station `next`.
    pub(super) async fn to(
        &self,
        scope: &Scope,
        row: &TaskRow,
        next: TaskStatus,
        also: impl FnOnce(&mut TaskRow, Timestamp),
    ) -> Result<(), Failure> {
        self.change(scope, row, |fresh, now| {
            fresh.last = next;
            fresh.version += 1;
            also(fresh, now);
        })
        .await
    }

    /// The task could not be brought up.
    pub(super) async fn fail(
        &self,
        scope: &Scope,
        row: &TaskRow,
        reason: String,
        container: Option<&str>,
    ) -> Result<Step, Failure> {
        self.change(scope, row, |fresh, now| {
            if fresh.desired == DesiredStatus::Running {
                fresh.ended_by_itself = true;
            }
            if let Some(container) = fresh.containers.iter_mut().find(|c| Some(c.name.as_str()) == container) {
                container.reason = Some(reason.clone());
            }
            fresh.stop(StopCode::TaskFailedToStart, reason, now);
        })
        .await?;
        Ok(Step::Again)
    }

    // --- PROVISIONING: the network interface ---

    async fn provision(&self, scope: &Scope, row: &TaskRow) -> Result<Step, Failure> {
        let network = &self.control.ports.network;
        let now = self.control.now();
        let Some(eni) = &row.eni else {
            let description = Arn::new("ecs", scope, format!("attachment/{}", row.attachment_id)).to_string();
            let (made, ticket) = self.control.write(|tx| {
                let fresh = tx.get::<TaskRow>(scope, &row.id)?;
                if fresh.eni.is_some() || fresh.desired == DesiredStatus::Stopped {
                    return None;
                }
                let request = EniRequest {
                    placement: &row.placement,
                    groups: &row.security_groups,
                    public: row.assign_public_ip,
                    netns: &row.netns(),
                    description: &description,
                    now,
                };
                Some(network.create(tx, scope, &request).map(|eni| {
                    tx.update::<TaskRow>(scope, &row.id, |fresh| fresh.eni = Some(eni));
                }))
            });
            ticket.await?;
            return match made {
                Some(Err(reason)) => self.fail(scope, row, texts::eni_failed(&reason), None).await,
                _ => Ok(Step::Again),
            };
        };
        if network.is_attached(&self.control.store.view(), scope, &eni.id) {
            self.to(scope, row, TaskStatus::Pending, |fresh, now| fresh.connectivity_at = Some(now)).await?;
            return Ok(Step::Again);
        }
        if now.since(row.created_at) > self.control.pace.scale(ENI_PATIENCE) {
            return self.fail(scope, row, texts::ENI_TIMEOUT.to_owned(), None).await;
        }
        Ok(Step::Rest(Next::After(POLL)))
    }

    // --- ACTIVATING: containers come up, targets are registered ---

    async fn activate(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        match self.look(scope, row, id).await? {
            Look::Ended => return Ok(Step::Again),
            Look::Waiting => return Ok(Step::Rest(Next::After(POLL))),
            Look::Up => {}
        }
        let now = self.control.now();
        let ((), ticket) = self.control.write(|tx| {
            let Some(fresh) = tx.get::<TaskRow>(scope, &row.id) else { return };
            if fresh.last != TaskStatus::Activating || fresh.desired == DesiredStatus::Stopped {
                return;
            }
            let mut fresh = TaskRow::clone(&fresh);
            let mut messages = Vec::new();
            if let Some(eni) = &fresh.eni {
                for target in &fresh.targets {
                    let address = Target { ip: eni.ip, port: target.port };
                    self.control.ports.targets.register(tx, scope, &target.group, address, now);
                    messages.extend(fresh.service.as_ref().map(|name| texts::registered(name, 1, &target.group)));
                }
            }
            if let Some(service) = fresh.service_key() {
                journal(tx, scope, &service, messages, now);
            }
            fresh.registered = true;
            fresh.last = TaskStatus::Running;
            fresh.started_at = Some(now);
            fresh.version += 1;
            tx.put(scope, fresh);
        });
        ticket.await?;
        Ok(Step::Again)
    }

    // --- RUNNING ---

    async fn observe(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        match self.look(scope, row, id).await? {
            Look::Ended => Ok(Step::Again),
            Look::Up => Ok(Step::Rest(Next::Done)),
            Look::Waiting => Ok(Step::Rest(Next::After(POLL))),
        }
    }

    /// Writes down what the containers do, and starts those that waited for what has happened.
    async fn look(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Look, Failure> {
        let mut status = match self.control.runtime.status(id).await {
            Ok(status) => status,
            Err(RuntimeError::NoTask(_)) => {
                // The host lost it: as good as killed.
                self.change(scope, row, |fresh, now| {
                    for container in &mut fresh.containers {
                        container.last = TaskStatus::Stopped;
                        container.finished_at = container.finished_at.or(Some(now));
                        container.exit_code = container.exit_code.or(Some(137));
                    }
                    fresh.ended_by_itself |= fresh.desired == DesiredStatus::Running;
                    fresh.stop(StopCode::EssentialContainerExited, texts::ESSENTIAL_EXITED, now);
                })
                .await?;
                return Ok(Look::Ended);
            }
            Err(why) => return Err(why.into()),
        };
        let ready = self.ready(scope, row, &status);
        for name in &ready {
            // One that cannot start shows in the state read next.
            let _ = self.control.runtime.start_container(id, name).await;
        }
        if !ready.is_empty() {
            status = self.control.runtime.status(id).await?;
        }
        let mut containers = row.containers.clone();
        observe_containers(&mut containers, &status);
        let dead = containers.iter().filter(|c| c.essential && c.last == TaskStatus::Stopped);
        // One that ended by itself is why the others were ended.
        let dead = dead.min_by_key(|c| ended_with_server(c)).cloned();
        if containers != row.containers || dead.is_some() {
            self.change(scope, row, |fresh, now| {
                // The health checker may have written meanwhile.
                for (new, old) in containers.iter_mut().zip(&fresh.containers) {
                    new.health = old.health;
                }
                if fresh.containers != containers {
                    fresh.containers.clone_from(&containers);
                    fresh.version += 1;
                }
                if let Some(dead) = &dead
                    && fresh.desired == DesiredStatus::Running
                {
                    if ended_with_server(dead) {
                        fresh.stop(StopCode::TerminationNotice, runtime::SERVER_STOPPED, now);
                        return;
                    }
                    fresh.ended_by_itself = true;
                    if dead.started_at.is_some() {
                        fresh.stop(StopCode::EssentialContainerExited, texts::ESSENTIAL_EXITED, now);
                    } else {
                        let reason = dead.reason.clone().unwrap_or_else(|| texts::ESSENTIAL_EXITED.to_owned());
                        fresh.stop(StopCode::TaskFailedToStart, reason, now);
                    }
                }
            })
            .await?;
        }
        if dead.is_some() {
            return Ok(Look::Ended);
        }
        let waiting = status.containers.iter().any(|c| matches!(c.state, ContainerState::Created));
        Ok(if waiting { Look::Waiting } else { Look::Up })
    }

    /// The containers not yet started whose dependencies are met.
    fn ready(&self, scope: &Scope, row: &TaskRow, status: &runtime::TaskStatus) -> Vec<String> {
        let created = |c: &&runtime::ContainerStatus| matches!(c.state, ContainerState::Created);
        if !status.containers.iter().any(|c| created(&c)) {
            return vec![];
        }
        let key = DefinitionRow::key(&row.family, row.revision);
        let Some(definition) = self.control.store.view().get::<DefinitionRow>(scope, &key) else { return vec![] };
        let health = |name: &str| row.containers.iter().find(|c| c.name == name).map(|c| c.health);
        let met = |dependency: &model::ecs::ContainerDependency| {
            let Some(other) = status.container(&dependency.container_name) else { return false };
            match (dependency.condition.as_str(), &other.state) {
                (_, ContainerState::Created) => false,
                ("START", _) => true,
                ("COMPLETE", state) => state.is_over(),
                ("SUCCESS", ContainerState::Exited(exit)) => exit.code == 0,
                ("HEALTHY", ContainerState::Running { .. }) => {
                    health(&dependency.container_name) == Some(crate::rows::Health::Healthy)
                }
                _ => false,
            }
        };
        let waiting = definition.containers().iter().filter(|container| {
            let name = container.name.as_deref().unwrap_or_default();
            status.container(name).as_ref().is_some_and(created)
        });
        let ready = waiting.filter(|container| container.depends_on.iter().flatten().all(met));
        ready.filter_map(|container| container.name.clone()).collect()
    }

    // --- DEACTIVATING: out of the target groups ---

    async fn deactivate(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        let targets = &self.control.ports.targets;
        let now = self.control.now();
        if row.registered && !row.targets.is_empty() {
            let ((), ticket) = self.control.write(|tx| {
                let Some(fresh) = tx.get::<TaskRow>(scope, &row.id).filter(|fresh| fresh.registered) else { return };
                let mut messages = Vec::new();
                for target in &fresh.targets {
                    let Some(eni) = &fresh.eni else { continue };
                    targets.deregister(tx, scope, &target.group, Target { ip: eni.ip, port: target.port }, now);
                    messages.extend(fresh.service.as_ref().map(|name| texts::deregistered(name, 1, &target.group)));
                }
                if let (Some(service), Some(name)) = (fresh.service_key(), &fresh.service) {
                    let several = tx.get::<ServiceRow>(scope, &service).is_some_and(|row| row.deployments.len() > 1);
                    let deployment = fresh.started_by.as_deref().filter(|_| several);
                    messages.push(texts::draining(name, deployment, 1));
                    journal(tx, scope, &service, messages, now);
                }
                tx.update::<TaskRow>(scope, &row.id, |fresh| fresh.registered = false);
            });
            ticket.await?;
            return Ok(Step::Again);
        }
        let view = self.control.store.view();
        let draining = row.eni.as_ref().is_some_and(|eni| {
            row.targets.iter().any(|target| {
                let address = Target { ip: eni.ip, port: target.port };
                targets.state(&view, scope, &target.group, address) != TargetState::Gone
            })
        });
        // Spot capacity is taken back without waiting for connections, and nobody waits for those of a task that is dead.
        let taken = row.stop.as_ref().is_some_and(|stop| stop.code == StopCode::SpotInterruption);
        let dead = !draining || taken || self.control.runtime.status(id).await.is_ok_and(|status| status.is_over());
        if !dead {
            return Ok(Step::Rest(Next::After(POLL)));
        }
        self.to(scope, row, TaskStatus::Stopping, |_, _| {}).await?;
        Ok(Step::Again)
    }

    // --- STOPPING: SIGTERM, the stop timeout, SIGKILL ---

    async fn stop(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        let status = match self.control.runtime.status(id).await {
            Ok(status) => status,
            Err(RuntimeError::NoTask(_)) => {
                self.to(scope, row, TaskStatus::Deprovisioning, |_, _| {}).await?;
                return Ok(Step::Again);
            }
            Err(why) => return Err(why.into()),
        };
        if !status.is_over() {
            let first = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(row.id.clone());
            if first {
                self.control.runtime.stop(id, None).await?;
            }
            return Ok(if first { Step::Again } else { Step::Rest(Next::After(POLL)) });
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(&row.id);
        self.to(scope, row, TaskStatus::Deprovisioning, |fresh, now| {
            observe_containers(&mut fresh.containers, &status);
            fresh.execution_stopped_at = Some(now);
        })
        .await?;
        Ok(Step::Again)
    }

    // --- DEPROVISIONING: the last output, the containers' remains, the network interface ---

    async fn clean(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        let now = self.control.now();
        let view = self.control.store.view();
        let patience = row.execution_stopped_at.is_some_and(|at| now.since(at) < LOG_PATIENCE);
        let unshipped = row.containers.iter().any(|container| {
            container.log.is_some() && container.started_at.is_some() && {
                let shipped = view.get::<ShippedRow>(scope, &ShippedRow::key(&row.id, &container.name));
                shipped.is_none_or(|shipped| !shipped.ended)
            }
        });
        if unshipped && patience {
            return Ok(Step::Rest(Next::After(POLL)));
        }
        self.control.runtime.remove(id).await?;
        let ((), ticket) = self.control.write(|tx| {
            let Some(fresh) = tx.get::<TaskRow>(scope, &row.id) else { return };
            if let Some(eni) = &fresh.eni {
                self.control.ports.network.delete(tx, scope, &eni.id);
            }
            tx.update::<TaskRow>(scope, &row.id, |fresh| {
                fresh.last = TaskStatus::Stopped;
                fresh.stopped_at = Some(now);
                fresh.version += 1;
                for container in &mut fresh.containers {
                    container.last = TaskStatus::Stopped;
                }
            });
            for container in &fresh.containers {
                tx.delete::<ShippedRow>(scope, &ShippedRow::key(&row.id, &container.name));
            }
        });
        ticket.await?;
        Ok(Step::Again)
    }

    // --- STOPPED: kept for an hour ---

    async fn forget(&self, scope: &Scope, row: &TaskRow) -> Result<Step, Failure> {
        let since = self.control.now().since(row.stopped_at.unwrap_or(row.created_at));
        if since < STOPPED_FOR {
            return Ok(Step::Rest(Next::After(STOPPED_FOR.saturating_sub(since))));
        }
        let (_, ticket) = self.control.write(|tx| tx.delete::<TaskRow>(scope, &row.id));
        ticket.await?;
        Ok(Step::Rest(Next::Done))
    }
}

enum Look {
    /// All containers run, or ended without ending the task.
    Up,
    /// Some are still to be started.
    Waiting,
    /// An essential container ended.
    Ended,
}

/// Whether the container ended because the server was stopped: no failure of the task's, and no end of its own.
fn ended_with_server(container: &ContainerRow) -> bool {
    container.reason.as_deref() == Some(runtime::SERVER_STOPPED)
}

/// Takes over what the runtime says of the containers.
fn observe_containers(containers: &mut [ContainerRow], status: &runtime::TaskStatus) {
    for container in containers {
        match status.container(&container.name).map(|c| &c.state) {
            None | Some(ContainerState::Created) => {}
            Some(ContainerState::Running { started_at, .. }) => {
                container.last = TaskStatus::Running;
                container.started_at = Some(*started_at);
            }
            Some(ContainerState::Exited(exit)) => {
                container.last = TaskStatus::Stopped;
                container.exit_code = Some(exit.code);
                container.started_at = container.started_at.or(exit.started_at);
                container.finished_at = Some(exit.at);
                container.reason = if exit.oom { Some(texts::OUT_OF_MEMORY.to_owned()) } else { exit.reason.clone() };
            }
            Some(ContainerState::Failed { reason, at }) => {
                container.last = TaskStatus::Stopped;
                container.finished_at = Some(*at);
                container.reason = Some(reason.clone());
            }
        }
    }
}

#[async_trait]
impl Controller for TaskController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let scope = &change.scope;
        if change.table == TaskRow::TABLE {
            return vec![Key::new(scope, change.id.to_string())];
        }
        if change.table == ShippedRow::TABLE {
            let task = change.id.split('/').next().unwrap_or_default();
            let leaving = view.get::<TaskRow>(scope, task).filter(|row| row.last == TaskStatus::Deprovisioning);
            return leaving.map(|_| Key::new(scope, task)).into_iter().collect();
        }
        if self.control.ports.network.tables().contains(&change.table) {
            let rows = view.by_index(&TASKS_BY_ENI, scope, &change.id);
            let waiting = rows.filter(|row| row.last == TaskStatus::Provisioning);
            return waiting.map(|row| Key::new(scope, row.id.as_str())).collect();
        }
        let rows = view.scan::<TaskRow>(scope).filter(|row| row.last == TaskStatus::Deactivating);
        rows.map(|row| Key::new(scope, row.id.as_str())).collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<TaskRow>().map(|(scope, row)| Key::new(scope, row.id.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        for _ in 0..MOST_STEPS {
            let Some(row) = self.control.store.view().get::<TaskRow>(&key.scope, &key.id) else {
                return Ok(Next::Done);
            };
            match self.advance(&key.scope, &row).await? {
                Step::Again => {}
                Step::Rest(next) => return Ok(next),
            }
        }
        tracing::warn!(task = key.id, arn = names::task_arn(&key.scope, "-", &key.id), "a task does not come to rest");
        Ok(Next::After(POLL))
    }
}
