//! The task controller, the agent: takes a task through the stations of its life.
//!
//! Each station is one method, idempotent, which ends with the row at the next station or with what is waited for. The
//! row is the only memory: after a crash the present station is simply done again, and finds what it had made.

use super::dependencies::{Members, Turn};
use super::{Control, discovery, journal};
use crate::ports::{EniRequest, TargetState};
use crate::rows::{
    ContainerRow, DefinitionRow, Health, ImagesRow, NetworkMode, ServiceRow, ServiceStatus, ShippedRow, TASKS_BY_ENI,
    TaskRow,
};
use crate::{names, texts};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::{DesiredStatus, StopCode, TaskStatus};
use runtime::{ContainerState, RuntimeError, TaskId};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, View};
use types::arn::Arn;
use types::{Scope, Timestamp};

pub(super) const NAME: &str = "ecs-tasks";

/// A look again where nothing is sure to wake us.
const POLL: Duration = Duration::from_secs(1);
/// How long a network interface may take (AWS: three minutes), in time that follows the pace.
const ENI_PATIENCE: Duration = Duration::from_mins(3);
/// What it may take at any pace, for the kernel's work is no waiting time of AWS's and gets no faster.
const ENI_WORK: Duration = Duration::from_secs(30);
/// How long the last output of a task may take to be shipped before it is given up.
const LOG_PATIENCE: Duration = Duration::from_secs(30);
/// How long a stopped task can be described.
const STOPPED_FOR: Duration = Duration::from_hours(1);
/// What the agent says a container exited with that can never start: as if it had been told to end.
const NEVER_STARTED: i32 = 143;
const UNBORN: Option<&str> = Some(runtime::NEVER_STARTED);
/// More steps than a task's life has; a bound, not a limit that is met.
const MOST_STEPS: usize = 32;

/// Drives tasks. Its key is the task's id.
pub struct TaskController {
    pub(super) control: Control,
    tables: &'static [&'static str],
    /// Containers, under `task/container`, that were told to stop by this process: told twice, their grace would begin anew.
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

    fn told(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn eni_patience(&self) -> Duration {
        self.control.pace.scale(ENI_PATIENCE).max(ENI_WORK)
    }

    async fn provision(&self, scope: &Scope, row: &TaskRow) -> Result<Step, Failure> {
        let network = &self.control.ports.network;
        let now = self.control.now();
        if row.waits.is_some() {
            // `waiting` finds it an instance.
            return Ok(Step::Rest(Next::Done));
        }
        let since = row.placed_at.unwrap_or(row.created_at);
        if let Some(host) = row.host.as_ref().filter(|host| host.mode == NetworkMode::Bridge)
            && !network.stands_behind(&self.control.store.view(), scope, &row.netns())
        {
            if now.since(since) > self.eni_patience() {
                return self.fail(scope, row, texts::ENI_TIMEOUT.to_owned(), None).await;
            }
            let ((), ticket) = self.control.write(|tx| {
                let wanted = tx.get::<TaskRow>(scope, &row.id).is_some_and(|row| row.desired == DesiredStatus::Running);
                if wanted && row.connectivity_at.is_none() {
                    network.create_behind(tx, scope, &row.netns(), host);
                    // It is asked for once: made again, it would have to stand again.
                    tx.update::<TaskRow>(scope, &row.id, |row| row.connectivity_at = Some(now));
                }
            });
            ticket.await?;
            return Ok(Step::Rest(Next::After(POLL)));
        }
        if !row.has_own_interface() {
            // Its instance's stands already.
            self.to(scope, row, TaskStatus::Pending, |fresh, now| fresh.connectivity_at = Some(now)).await?;
            return Ok(Step::Again);
        }
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
                Some(Err(code)) => {
                    let reason = texts::eni_failed(&row.placement.subnet, row.assign_public_ip, &code);
                    self.fail(scope, row, reason, None).await
                }
                _ => Ok(Step::Again),
            };
        };
        if network.is_attached(&self.control.store.view(), scope, &eni.id) {
            self.to(scope, row, TaskStatus::Pending, |fresh, now| fresh.connectivity_at = Some(now)).await?;
            return Ok(Step::Again);
        }
        if now.since(since) > self.eni_patience() {
            return self.fail(scope, row, texts::ENI_TIMEOUT.to_owned(), None).await;
        }
        Ok(Step::Rest(Next::After(POLL)))
    }

    // --- ACTIVATING: containers come up, targets are registered ---

    async fn activate(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        match self.look(scope, row, id).await? {
            Look::Ended | Look::Changed => return Ok(Step::Again),
            Look::Waiting(most) => return Ok(Step::Rest(Next::After(most))),
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
            for entry in &fresh.targets {
                let Some(target) = fresh.target(entry) else { continue };
                self.control.ports.targets.register(tx, scope, &entry.group, &target, now);
                messages.extend(fresh.service.as_ref().map(|name| texts::registered(name, 1, &entry.group)));
            }
            if let Some(service) = fresh.service_key() {
                journal(tx, scope, &service, messages, now);
            }
            discovery::register(&*self.control.ports.registries, tx, scope, &fresh, now);
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
            Look::Ended | Look::Changed => Ok(Step::Again),
            Look::Up => Ok(Step::Rest(Next::Done)),
            Look::Waiting(most) => Ok(Step::Rest(Next::After(most))),
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
        let mut turns = self.turns(scope, row, &status);
        // A start may be all that the next one waits for.
        for _ in 0..status.containers.len() {
            let now: Vec<_> = turns.iter().filter(|(_, turn)| *turn == Turn::Now).collect();
            if now.is_empty() {
                break;
            }
            for (name, _) in now {
                // One that cannot start shows in the state read next.
                let _ = self.control.runtime.start_container(id, name).await;
            }
            status = self.control.runtime.status(id).await?;
            turns = self.turns(scope, row, &status);
        }
        if self.refuse(scope, row, id, &turns).await? {
            return Ok(Look::Changed);
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
                    // One that was started again is nobody's known health.
                    let again = old.started_at.is_some() && old.started_at != new.started_at;
                    new.health = if again { Health::Unknown } else { old.health };
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
                        fresh.stop(StopCode::TaskFailedToStart, texts::FAILED_TO_START, now);
                    }
                }
            })
            .await?;
        }
        if dead.is_some() {
            return Ok(Look::Ended);
        }
        if !status.containers.iter().any(|c| matches!(c.state, ContainerState::Created)) {
            return Ok(Look::Up);
        }
        let soonest =
            turns.iter().filter_map(|(_, turn)| if let Turn::Later(left) = turn { *left } else { None }).min();
        Ok(Look::Waiting(soonest.map_or(POLL, |left| left.min(POLL))))
    }

    /// What the containers that have not started are to do.
    fn turns(&self, scope: &Scope, row: &TaskRow, status: &runtime::TaskStatus) -> Vec<(String, Turn)> {
        if !status.containers.iter().any(|container| container.state == ContainerState::Created) {
            return vec![];
        }
        let definition = self.definition(scope, row);
        definition.map(|definition| self.members(&definition, row, status).turns()).unwrap_or_default()
    }

    /// Writes down who will never start, and tells the runtime. Says whether there was anybody.
    async fn refuse(
        &self,
        scope: &Scope,
        row: &TaskRow,
        id: &TaskId,
        turns: &[(String, Turn)],
    ) -> Result<bool, Failure> {
        let never = |name: &str| {
            turns.iter().find_map(|(other, turn)| match turn {
                Turn::Never(why) if other == name => Some(why.clone()),
                _ => None,
            })
        };
        if !turns.iter().any(|(name, _)| never(name).is_some()) {
            return Ok(false);
        }
        // The row first: the runtime does not know why.
        self.change(scope, row, |fresh, now| {
            for container in &mut fresh.containers {
                if let Some(why) = never(&container.name) {
                    container.last = TaskStatus::Stopped;
                    container.reason = Some(why);
                    container.exit_code = Some(NEVER_STARTED);
                    container.finished_at = Some(now);
                }
            }
            fresh.version += 1;
        })
        .await?;
        for (name, _) in turns.iter().filter(|(name, _)| never(name).is_some()) {
            self.control.runtime.stop_container(id, name, None).await?;
        }
        Ok(true)
    }

    fn definition(&self, scope: &Scope, row: &TaskRow) -> Option<Arc<DefinitionRow>> {
        self.control.store.view().get(scope, &DefinitionRow::key(&row.family, row.revision))
    }

    fn members<'a>(
        &self,
        definition: &'a DefinitionRow,
        row: &'a TaskRow,
        status: &'a runtime::TaskStatus,
    ) -> Members<'a> {
        let (now, pace) = (self.control.now(), self.control.pace);
        Members { definitions: definition.containers(), rows: &row.containers, status, now, pace }
    }

    // --- DEACTIVATING: out of the target groups ---

    async fn deactivate(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        let targets = &self.control.ports.targets;
        let now = self.control.now();
        let told =
            !row.registries.is_empty() || row.connect.as_ref().is_some_and(|connect| !connect.services.is_empty());
        if row.registered && (told || !row.targets.is_empty()) {
            let ((), ticket) = self.control.write(|tx| {
                let Some(fresh) = tx.get::<TaskRow>(scope, &row.id).filter(|fresh| fresh.registered) else { return };
                let mut messages = Vec::new();
                for entry in &fresh.targets {
                    let Some(target) = fresh.target(entry) else { continue };
                    targets.deregister(tx, scope, &entry.group, &target, now);
                    messages.extend(fresh.service.as_ref().map(|name| texts::deregistered(name, 1, &entry.group)));
                }
                discovery::deregister(&*self.control.ports.registries, tx, scope, &fresh, now);
                if let (Some(service), Some(name)) = (fresh.service_key(), &fresh.service)
                    && !fresh.targets.is_empty()
                {
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
        let draining = row.targets.iter().any(|entry| {
            let target = row.target(entry);
            target.is_some_and(|target| targets.state(&view, scope, &entry.group, &target) != TargetState::Gone)
        });
        // Capacity is taken back without waiting for connections, and nobody waits for those of a task that is dead.
        let taken = row
            .stop
            .as_ref()
            .is_some_and(|stop| matches!(stop.code, StopCode::SpotInterruption | StopCode::TerminationNotice));
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
        let key = |name: &str| format!("{}/{name}", row.id);
        if !status.is_over() {
            let mut may = match self.definition(scope, row) {
                Some(definition) => self.members(&definition, row, &status).may_stop(),
                None => status.containers.iter().map(|container| container.name.clone()).collect(),
            };
            may.retain(|name| self.told().insert(key(name)));
            // Of an instance that is gone nothing runs any more.
            let lost = row.stop.as_ref().is_some_and(|stop| stop.code == StopCode::TerminationNotice);
            let grace = (lost && row.host.is_some()).then_some(Duration::ZERO);
            for name in &may {
                self.control.runtime.stop_container(id, name, grace).await?;
            }
            return Ok(if may.is_empty() { Step::Rest(Next::After(POLL)) } else { Step::Again });
        }
        for container in &status.containers {
            self.told().remove(&key(&container.name));
        }
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
            if let Some(eni) = fresh.eni.as_ref().filter(|_| fresh.has_own_interface()) {
                self.control.ports.network.delete(tx, scope, &eni.id);
            }
            if fresh.host.as_ref().is_some_and(|host| host.mode == NetworkMode::Bridge) {
                self.control.ports.network.delete_behind(tx, scope, &fresh.netns());
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
        let ((), ticket) = self.control.write(|tx| {
            tx.delete::<TaskRow>(scope, &row.id);
            // A service's last task outlives it, so nothing is left behind both.
            if let Some(service) = row.service_key() {
                let gone = tx.get::<ServiceRow>(scope, &service).is_none_or(|s| s.status == ServiceStatus::Inactive);
                if gone {
                    tx.delete::<ImagesRow>(scope, &service);
                }
            }
        });
        ticket.await?;
        Ok(Step::Rest(Next::Done))
    }
}

enum Look {
    /// All containers run, or ended without ending the task.
    Up,
    /// Some are still to be started: look again after so long at the latest.
    Waiting(Duration),
    /// The row has changed: look again.
    Changed,
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
        let found = status.container(&container.name);
        container.restarts = found.map_or(container.restarts, |found| found.restarts);
        match found.map(|c| &c.state) {
            None | Some(ContainerState::Created) => {}
            Some(ContainerState::Running { started_at, .. }) => {
                container.last = TaskStatus::Running;
                container.started_at = Some(*started_at);
            }
            // Told to end before its turn came: it has no exit code, but perhaps a reason already.
            Some(ContainerState::Exited(exit)) if exit.started_at.is_none() && exit.reason.as_deref() == UNBORN => {
                container.last = TaskStatus::Stopped;
                container.finished_at = container.finished_at.or(Some(exit.at));
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
                container.reason = Some(texts::cannot_start(reason));
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
            if let Some(task) = change.id.strip_prefix("task-") {
                return vec![Key::new(scope, task)];
            }
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
