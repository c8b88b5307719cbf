//! The service controller: shows [`rollout::decide`] a service as it stands, and carries its plan out in one transaction.
//!
//! Plan and effect see the same transaction, so nothing can come between them; tasks are only rows here, the task
//! controller makes them real.

use super::{Control, journal, on_instances};
use crate::launch::{self, Birth};
use crate::placing::is_on_instances;
use crate::ports::TargetState;
use crate::rows::{
    ContainerInstanceRow, DefinitionRow, DeploymentRow, EventsRow, Health, SERVICES_BY_TARGET_GROUP, ServiceRow,
    ServiceStatus, TASKS_BY_SERVICE, Tag, TaskRow,
};
use crate::{api, texts};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use model::ecs::TaskOverride;
use rollout::capacity::next_provider;
use rollout::health::Cause;
use rollout::{
    ContainerHealth, Decision, DeploymentStatus, DesiredStatus, Placement, Plan, RolloutState, ServiceState, StopCode,
    StopReason, TargetHealth, TaskStatus, Timing,
};
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
        Self { control, tables: Box::leak(tables.into_boxed_slice()) }
    }

    /// The service as the scheduler sees it.
    fn state(&self, view: &View, scope: &Scope, row: &ServiceRow) -> ServiceState {
        let key = ServiceRow::key(&row.cluster, &row.name);
        let tasks = view.by_index(&TASKS_BY_SERVICE, scope, &key);
        let open = tasks.filter(|task| task.last != TaskStatus::Stopped || !task.marks.end_seen);
        ServiceState {
            desired: row.desired,
            minimum_healthy_percent: row.minimum_healthy_percent,
            maximum_percent: row.maximum_percent,
            grace_period: self.control.pace.scale(Duration::from_secs(u64::from(row.grace_seconds.unwrap_or(0)))),
            circuit_breaker: row.circuit_breaker,
            places: places(row),
            deployments: row.deployments.iter().map(|deployment| deployment.state.clone()).collect(),
            last_completed: row.last_completed.clone(),
            tasks: open.map(|task| self.task(view, scope, task)).collect(),
            steady_since: row.steady_since,
            stuck_since: row.stuck_since,
            timing: Timing::at(self.control.pace),
        }
    }

    fn task(&self, view: &View, scope: &Scope, row: &TaskRow) -> rollout::Task {
        let checked = row.containers.iter().any(|container| container.checked && container.essential);
        let targets = row.targets.iter().map(|target| {
            let Some(registered) = row.target(target).filter(|_| row.registered) else { return TargetHealth::Initial };
            match self.control.ports.targets.state(view, scope, &target.group, &registered) {
                TargetState::Registered(health) => health,
                TargetState::Draining | TargetState::Gone => TargetHealth::Initial,
            }
        });
        rollout::Task {
            id: row.id.clone(),
            deployment: on_instances::deployment(view, scope, row),
            placement: row.placement.clone(),
            last: row.last,
            desired: row.desired,
            created_at: row.created_at,
            running_since: row.started_at,
            containers: checked.then(|| match api::health(row) {
                Health::Unknown => ContainerHealth::Unknown,
                Health::Healthy => ContainerHealth::Healthy,
                Health::Unhealthy => ContainerHealth::Unhealthy,
            }),
            targets: targets.collect(),
            ended_by_itself: row.ended_by_itself,
            marks: row.marks,
        }
    }

    /// What is to be done, without doing it.
    fn plan(&self, view: &View, scope: &Scope, row: &ServiceRow, now: Timestamp) -> (ServiceState, Plan) {
        let state = self.state(view, scope, row);
        let plan = rollout::decide(&state, now);
        (state, plan)
    }

    fn carry_out(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        row: &ServiceRow,
        (state, plan): &(ServiceState, Plan),
        now: Timestamp,
    ) {
        let mut change = Carrying {
            row: row.clone(),
            seen: state,
            scope,
            now,
            timing: Timing::at(self.control.pace),
            messages: vec![],
            started: vec![],
            replaced: 0,
            stopped_running: vec![],
            stopped_pending: 0,
        };
        for decision in &plan.decisions {
            change.apply(tx, decision);
        }
        change.finish(tx, row);
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
                        tx.delete::<ServiceRow>(scope, &key);
                        tx.delete::<EventsRow>(scope, &key);
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
            if !plan.1.decisions.is_empty() {
                self.carry_out(tx, &key.scope, &row, &plan, now);
            }
            Some(plan.1)
        });
        ticket.await?;
        // What was written wakes us again; the clock's share is kept in case nothing was.
        Ok(plan.map_or(Next::Done, |plan| self.rest(&row, &plan, now)))
    }
}

/// A plan being carried out on a copy of the service's row.
struct Carrying<'a> {
    row: ServiceRow,
    seen: &'a ServiceState,
    scope: &'a Scope,
    now: Timestamp,
    timing: Timing,
    messages: Vec<String>,
    started: Vec<String>,
    replaced: usize,
    stopped_running: Vec<String>,
    stopped_pending: usize,
}

impl Carrying<'_> {
    fn apply(&mut self, tx: &mut Tx, decision: &Decision) {
        match decision {
            Decision::MarkHealthy { task } => {
                let task = tx.update::<TaskRow>(self.scope, task, |row| row.marks.was_healthy = true);
                let reset = self.row.circuit_breaker.is_none_or(|breaker| breaker.reset_on_healthy_task);
                if let Some(deployment) = task.and_then(|task| self.deployment(task.started_by.as_deref())) {
                    deployment.state.count_success(reset);
                }
                self.row.impaired = false;
            }
            Decision::MarkUnhealthy { task, cause, failure } => self.mark_unhealthy(tx, task, *cause, *failure),
            Decision::MarkEnded { task, failure } => self.mark_ended(tx, task, *failure),
            Decision::StartTask { deployment, placement, replaces_unhealthy } => {
                self.start(tx, deployment, placement);
                self.replaced += usize::from(*replaces_unhealthy);
            }
            Decision::StopTask { task, reason } => self.stop(tx, task, *reason),
            Decision::CompleteDeployment { deployment } => {
                let (now, name) = (self.now, self.row.name.clone());
                if let Some(row) = self.deployment(Some(deployment)) {
                    row.state.rollout = RolloutState::Completed;
                    row.reason = texts::rollout_completed(deployment);
                    row.updated_at = now;
                }
                self.row.last_completed = Some(deployment.clone());
                self.messages.push(texts::completed(&name, deployment));
            }
            Decision::FailDeployment { deployment } => {
                let (now, name) = (self.now, self.row.name.clone());
                if let Some(row) = self.deployment(Some(deployment)) {
                    row.state.rollout = RolloutState::Failed;
                    texts::ROLLOUT_FAILED.clone_into(&mut row.reason);
                    row.updated_at = now;
                }
                self.messages.push(texts::failed(&name, deployment));
            }
            Decision::RollBack { from, to } => self.roll_back(from, to),
            Decision::RemoveDeployment { deployment } => {
                self.row.deployments.retain(|row| row.state.id != *deployment);
            }
            Decision::Unsteady => self.row.steady_since = None,
            Decision::Unstuck => self.row.stuck_since = None,
            Decision::Announce(rollout::Event::Steady) => {
                self.row.steady_since = Some(self.now);
                self.messages.push(texts::steady(&self.row.name));
            }
            Decision::Announce(rollout::Event::Stuck) => {
                self.row.stuck_since = Some(self.now);
                self.messages.push(texts::stuck(&self.row.name));
            }
        }
    }

    fn deployment(&mut self, id: Option<&str>) -> Option<&mut DeploymentRow> {
        self.row.deployments.iter_mut().find(|row| Some(row.state.id.as_str()) == id)
    }

    fn mark_unhealthy(&mut self, tx: &mut Tx, task: &str, cause: Cause, failure: bool) {
        let (now, timing) = (self.now, self.timing);
        let Some(task) = tx.update::<TaskRow>(self.scope, task, |row| row.marks.was_unhealthy = true) else { return };
        let name = &self.row.name;
        self.messages.push(match cause {
            Cause::Container => format!("(service {name}) (task {}) failed container health checks.", task.id),
            Cause::Target(index) => match task.targets.get(index) {
                Some(target) => {
                    let seen = self.seen.tasks.iter().find(|seen| seen.id == task.id);
                    let reason = match seen.and_then(|seen| seen.targets.get(index)) {
                        Some(TargetHealth::Unhealthy(reason)) => reason,
                        _ => "Health checks failed",
                    };
                    texts::unhealthy(name, &task.id, target.port, &target.group, reason)
                }
                None => return,
            },
        });
        if failure && let Some(deployment) = self.deployment(task.started_by.as_deref()) {
            deployment.state.count_failure(true, &timing, now);
            deployment.updated_at = now;
        }
    }

    fn mark_ended(&mut self, tx: &mut Tx, task: &str, failure: bool) {
        let (now, timing) = (self.now, self.timing);
        let Some(task) = tx.update::<TaskRow>(self.scope, task, |row| row.marks.end_seen = true) else { return };
        let name = self.row.name.clone();
        if task.started_at.is_none()
            && let Some(stop) = task.stop.as_ref().filter(|stop| stop.code == StopCode::TaskFailedToStart)
        {
            self.messages.push(texts::unable_to_place(&name, &stop.reason));
        }
        if !failure {
            return;
        }
        let Some(deployment) = self.deployment(task.started_by.as_deref()) else { return };
        deployment.state.count_failure(task.started_at.is_some(), &timing, now);
        deployment.updated_at = now;
        if timing.is_impaired(deployment.state.start_failures) && !self.row.impaired {
            self.row.impaired = true;
            self.messages.push(texts::impaired(&name));
        }
    }

    fn start(&mut self, tx: &mut Tx, deployment: &str, placement: &Placement) {
        let Some(deployment) = self.deployment(Some(deployment)).cloned() else { return };
        let key = DefinitionRow::key(&deployment.family, deployment.revision);
        let Some(definition) = tx.get::<DefinitionRow>(self.scope, &key) else {
            tracing::error!(service = self.row.name, definition = key, "a deployment's task definition is gone");
            return;
        };
        let overrides = TaskOverride::default();
        let provider = capacity_provider(tx, self.scope, &self.row, &deployment.state.id);
        let (size, placement, host, eni) = if is_on_instances(&self.row) {
            let about = (&deployment, &*definition, provider.as_deref());
            let Some((size, place)) = on_instances::place(tx, self.scope, &self.row, about, self.now) else { return };
            match place {
                Ok(place) => {
                    self.row.placement.complaint = None;
                    (size, place.placement, Some(place.host), place.eni)
                }
                Err(unplaced) => {
                    let text = texts::unplaced(&self.row.name, unplaced.closest(), provider.is_some());
                    self.complain(text);
                    return;
                }
            }
        } else {
            let Ok(size) = launch::size(&definition, &overrides) else { return };
            (size, placement.clone(), None, None)
        };
        let service = &self.row;
        let birth = Birth {
            cluster: &service.cluster,
            definition: &definition,
            overrides,
            size,
            service: Some(&service.name),
            group: format!("service:{}", service.name),
            started_by: Some(deployment.state.id.clone()),
            launch_type: service.launch_type.clone(),
            capacity_provider: provider,
            network: &deployment.network,
            placement,
            host,
            eni,
            targets: deployment.targets.clone(),
            registries: deployment.registries.clone(),
            enable_execute_command: service.enable_execute_command,
            tags: tags(service, &definition),
            now: self.now,
        };
        let task = tx.put(self.scope, launch::task(self.scope, birth));
        self.started.push(task.id.clone());
    }

    /// Says why a task could not be placed, and again only where the cause is another or six hours have passed.
    fn complain(&mut self, text: String) {
        let said = self.row.placement.complaint.as_ref();
        if said.is_some_and(|(said, at)| *said == text && self.now.since(*at) < self.timing.repeat) {
            return;
        }
        self.row.placement.complaint = Some((text.clone(), self.now));
        self.messages.push(text);
    }

    fn stop(&mut self, tx: &mut Tx, task: &str, reason: StopReason) {
        let now = self.now;
        let Some(before) = tx.get::<TaskRow>(self.scope, task) else { return };
        let text = match reason {
            StopReason::Scaling => texts::scaling_activity(before.started_by.as_deref().unwrap_or_default()),
            StopReason::Unhealthy(Cause::Container) => texts::CONTAINER_CHECKS_FAILED.to_owned(),
            StopReason::Unhealthy(Cause::Target(index)) => {
                texts::elb_checks_failed(before.targets.get(index).map_or("", |target| &target.group))
            }
        };
        tx.update::<TaskRow>(self.scope, task, |row| row.stop(StopCode::ServiceSchedulerInitiated, text, now));
        if before.last == TaskStatus::Running {
            self.stopped_running.push(task.to_owned());
        } else {
            self.stopped_pending += 1;
        }
    }

    fn roll_back(&mut self, from: &str, to: &str) {
        let now = self.now;
        if let Some(row) = self.deployment(Some(from)) {
            row.state.status = DeploymentStatus::Active;
            row.updated_at = now;
        }
        let Some(at) = self.row.deployments.iter().position(|row| row.state.id == to) else { return };
        let mut target = self.row.deployments.remove(at);
        target.state = rollout::Deployment::new(to);
        target.reason = texts::rollout_back_to(to);
        target.updated_at = now;
        self.row.targets.clone_from(&target.targets);
        self.row.registries.clone_from(&target.registries);
        self.row.deployments.insert(0, target);
        self.row.impaired = false;
        self.messages.push(texts::rolling_back(&self.row.name, to));
    }

    /// Writes the row and the events; starts and stops are announced in one event each.
    fn finish(mut self, tx: &mut Tx, before: &ServiceRow) {
        let name = self.row.name.clone();
        if !self.started.is_empty() {
            self.messages.push(texts::started(&name, &self.started, self.replaced));
        }
        if !self.stopped_running.is_empty() {
            self.messages.push(texts::stopped_running(&name, &self.stopped_running));
        }
        if self.stopped_pending > 0 {
            self.messages.push(texts::stopped_pending(&name, self.stopped_pending));
        }
        let key = ServiceRow::key(&self.row.cluster, &name);
        journal(tx, self.scope, &key, self.messages, self.now);
        if self.row != *before {
            tx.put(self.scope, self.row);
        }
    }
}

/// Where the service's tasks may go. On instances that is decided when a task is placed.
fn places(row: &ServiceRow) -> Vec<Placement> {
    if is_on_instances(row) {
        return vec![Placement { subnet: String::new(), zone: String::new() }];
    }
    row.primary().map(|primary| primary.network.places.clone()).unwrap_or_default()
}

/// The capacity provider that a new task of the deployment goes to, where the service has a strategy.
fn capacity_provider(view: &View, scope: &Scope, service: &ServiceRow, deployment: &str) -> Option<String> {
    let key = ServiceRow::key(&service.cluster, &service.name);
    let tasks = view.by_index(&TASKS_BY_SERVICE, scope, &key);
    let live: Vec<&str> = tasks
        .filter(|task| task.desired == DesiredStatus::Running && task.started_by.as_deref() == Some(deployment))
        .filter_map(|task| task.capacity_provider.as_deref())
        .collect();
    let has = |name: &str| u32::try_from(live.iter().filter(|on| **on == name).count()).unwrap_or(u32::MAX);
    next_provider(&service.strategy, has).map(str::to_owned)
}

/// The tags of a service's new task.
fn tags(service: &ServiceRow, definition: &DefinitionRow) -> Vec<Tag> {
    let mut tags = match service.propagate_tags.as_deref() {
        Some("SERVICE") => service.tags.clone(),
        Some("TASK_DEFINITION") => definition.tags.clone(),
        _ => vec![],
    };
    if service.managed_tags {
        let managed = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        tags.push(managed("aws:ecs:clusterName", &service.cluster));
        tags.push(managed("aws:ecs:serviceName", &service.name));
    }
    tags
}
